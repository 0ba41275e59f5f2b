# %% [markdown]
# # 13 · The GANs compared
#
# FSRGAN, DICGAN, SPARGAN, SFMGAN and AMIGAN: five generators that first learnt pixels, and then met five different judges. What does each judge see? Then Table VIII and Fig. 10, and what a FID of 122 means.
#
# *About 2 minutes on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/13_compared_gans.ipynb) · previous: [12 · Comparisons](12_comparisons.ipynb) · next: [A · Symbols and shapes](A_symbols_and_shapes.ipynb)
#
# You will be able to
#
# - **say** what a discriminator judges, a face, a patch, three sizes or a spectrum, and measure it;
# - **weigh** the losses of a GAN by how they pull at the picture, not by their factors;
# - **doubt** a FID: what it depends on besides the faces' quality, and when it may rank two methods wrongly.

# %% tags=["parameters"]
records = ""  # folder of records; empty: the course's own
own = ""  # your faces, folders and zips, also looked for in $AMINET_FACES; empty: none
synthetic = 24  # synthetic faces to restore, beside the two portraits
steps = 20  # of the live game
seed = 0
rerun = ""  # runs to train, as in python -m aminet reproduce --only; empty: one, in seconds
scale = "smoke"  # of these runs
budget = 0.0  # minutes for them, 0: no end
PARAMETERS = dict(globals())

# %% tags=["setup"]
import sys
from pathlib import Path

if "google.colab" in sys.modules and not Path("../aminet/notebook.py").exists():  # fetch the course
    get_ipython().system("git clone -q -c advice.detachedHead=false --depth 1 -b v0.2.0 "
                         "https://github.com/aminet-course/aminet /content/aminet "
                         "&& pip install -q -r /content/aminet/notebooks/colab.txt")
    get_ipython().run_line_magic("cd", "-q /content/aminet/notebooks")
if not Path("../aminet/notebook.py").exists():
    raise FileNotFoundError("start in the course's folder notebooks/ (papermill: --cwd notebooks; Colab: see above)")
sys.path.insert(0, "..")
from aminet.notebook import begin, grade, show  # noqa: F401

begin(globals(), PARAMETERS)

# %%
import inspect
import json
import os
from textwrap import dedent

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Markdown, display
from matplotlib.patches import FancyBboxPatch, Rectangle
from scipy.stats import kendalltau
from torch.nn import functional as F

from aminet.amigan import AMIGAN, variety
from aminet.baselines.dicgan import DICGAN
from aminet.baselines.fsrgan import FSRGAN
from aminet.baselines.sfmgan import SFMGAN, MaxFeatureMap
from aminet.baselines.sfmnet import spectrum
from aminet.baselines.spargan import SPARGAN
from aminet.degrade import degrade, to_float, upsample
from aminet.paper.records import read_record
from aminet.faces.sources import open_faces
from aminet.files import DATA
from aminet.notebook import error_map
from aminet.faces.portraits import portraits
from aminet.protocol import PROTOCOLS, psnr
from aminet.metrics.pretrained import NETWORKS, look_in
from aminet.metrics.statistics import paired_difference
from aminet.paper.reproduce import rerun as train_runs, span
from aminet.paper.runs import find_run, runs
from aminet.faces.synthetic import faces as draw_faces
from aminet.paper.published import FACES, SCALES, published
from aminet.paper.text import short_table
from aminet.paper.tables import table
from aminet.train import restore
from aminet.training.weights import PRETRAINED, load_weights

RECORDS = Path(records or DATA / "records")

# %% [markdown]
# ## Train a row yourself
#
# Every row of Table VIII is a run that this notebook can train and measure. By default it is one at scale `smoke`: a few drawn faces, about a minute at most, and a number that means nothing. It is FSRGAN, if VGG19 and AlexNet are on this machine, else its generator FSRNet.
#
# `mkdir -p runs && papermill notebooks/13_compared_gans.ipynb runs/13.ipynb --cwd notebooks -p rerun "spargan-*" -p scale smoke` trains SPARGAN in the same way, and its start `sparnet-hd` first. A game needs VGG19 and AlexNet. At scale `mini` use the command line, with CelebA at hand ([how](../RESULTS.md)). Its records stand in the tables below.

# %% tags=["nbval-ignore-output"]
folders = [*os.environ.get("AMINET_WEIGHTS", "").split(os.pathsep), f"{torch.hub.get_dir()}/checkpoints"]
game = all(look_in([Path(folder) for folder in folders if folder], NETWORKS[name]) for name in ("vgg19", "alexnet"))
print(train_runs(rerun or ("fsrgan-smoke-0" if game else "fsrnet-smoke-0"), scale, budget, DATA.parent / "runs", RECORDS))

# %% [markdown]
# ## First your prediction
#
# > "Results on the Helen dataset (Table VIII) show that AMIGAN consistently outperforms prior methods." (Sec. IV-D3)
#
# Each generator of Table VIII has a row in Table VII as well, on Helen too, from before it met its judge. (SPARGAN's authors play with the wider SPARNetHD; Table VII has SPARNet.) So the price of each game is printed: PSNR lost. Four guesses, before you run on. As it stands the prediction says what theory suggests: who imitates best (lowest FID) pays most.

# %%
prediction = {  # edit me
    "lowest FID": "AMIGAN",
    "loses most PSNR": "AMIGAN",
    "loses least PSNR": "FSRGAN",
    "dB lost, mean of five": 0.5,
}
PARENT = {"FSRGAN": "FSRNet", "DICGAN": "DICNet", "SPARGAN": "SPARNet", "SFMGAN": "SFMNet", "AMIGAN": "AMINet"}
START = PARENT | {"SPARGAN": "SPARNetHD"}                            # what our games start from
before = {row["row"]: row for row in published(7)}
after = {row["row"].split()[0]: row for row in published(8)}
LOST = {gan: round(float(before[parent]["helen_psnr"]) - float(after[gan]["psnr"]), 2) for gan, parent in PARENT.items()}
fids, psnrs = ({gan: float(after[gan][column]) for gan in PARENT} for column in ("fid", "psnr"))
answer = {"lowest FID": min(fids, key=fids.get), "loses most PSNR": max(LOST, key=LOST.get),
          "loses least PSNR": min(LOST, key=LOST.get), "dB lost, mean of five": round(np.mean(list(LOST.values())), 2)}
print(f"{'':24s}{'you':>9s}{'printed':>10s}")
for question, guess in prediction.items():
    print(f"{question:24s}{guess!s:>9s}{answer[question]!s:>10s}")

print(f"\n{'Helen, as printed':20s}{'PSNR before':>12s}{'after':>8s}{'lost':>7s}{'VIF before':>13s}{'after':>9s}{'LPIPS before':>15s}{'FID after':>12s}")
for gan, parent in PARENT.items():
    row = before[parent]
    print(f"{parent:8s}-> {gan:9s}{row['helen_psnr']:>12s}{after[gan]['psnr']:>8s}{LOST[gan]:7.2f}{row['helen_vif']:>13s}"
          f"{after[gan]['vif']:>9s}{row['helen_lpips']:>15s}{after[gan]['fid']:>12s}")
print(f"\nKendall's tau over the five: lost PSNR and FID {kendalltau(list(LOST.values()), list(fids.values()))[0]:+.1f}, "
      f"PSNR and FID {kendalltau(list(psnrs.values()), list(fids.values()))[0]:+.1f}  (five points: only +-1 would be beyond chance)")

# %% [markdown]
# All five lose, and all lose VIF too. But look at what is *not* printed. Table VII has LPIPS and no FID; Table VIII has FID and no LPIPS. So for no method does the paper show one perceptual number before **and** after the game: what the games cost is there, what they gained is not.
#
# And within Table VIII nothing has to be traded: higher PSNR goes with lower FID, for all pairs but SPARGAN's with FSRGAN and with DICGAN. That is what one sees when the *generators* differ more than their games.
#
# ## Five judges
#
# A discriminator is a question. Below is what each one gets to see, drawn with the judges of the package at their full width: the inputs at their sizes, the judge with its parameters, its logits one square each. Red is what the convolutions of the marked logit reach.

# %%
hr = torch.cat([torch.stack(list(portraits().values())), draw_faces(synthetic, seed + 300)])        # uint8 (B, 3, 128, 128)
mine = 0
if own:
    yours = open_faces(own.split(), progress=False)[0][:2]
    hr, mine = torch.cat([yours, hr]), len(yours)
target, x = to_float(hr), to_float(upsample(degrade(hr)))           # the originals, and the generators' enlarged input

torch.manual_seed(seed)
GANS = {"FSRGAN": FSRGAN, "DICGAN": DICGAN, "SPARGAN": SPARGAN, "SFMGAN": SFMGAN, "AMIGAN": AMIGAN}


def adversaries(width):
    """The discriminators of the five, untrained, in eval mode, by the GAN's name."""
    return {name: GAN(width=width).eval() for name, GAN in GANS.items()}


FIVE = adversaries(64)
LOGITS, PARAMETERS_OF = {}, {name: sum(p.numel() for p in judge.parameters()) for name, judge in FIVE.items()}
with torch.no_grad():
    for name, judge in FIVE.items():
        LOGITS[name] = [tuple(logits.shape) for logits in judge.judge(target[:2], x[:2])]
        print(f"{name:8s}{PARAMETERS_OF[name]:12,d} parameters; for two faces the logits " + ", ".join(map(str, LOGITS[name])))
assert LOGITS["FSRGAN"] == [(2, 1, 14, 14)] and LOGITS["SPARGAN"] == [(2, 1, 6, 6), (2, 1, 2, 2), (2, 1, 2, 2)]
assert LOGITS["DICGAN"] == LOGITS["AMIGAN"] == [(2,)] and LOGITS["SFMGAN"] == [(2,), (2,)]

# %%
def seen(name, face, blurred):
    """What a judge sees, left to right: (picture, height, width, share of the side that one logit reaches, caption)."""
    colour = lambda image: ((image + 1) / 2).clamp(0, 1).permute(1, 2, 0).numpy()
    light = lambda map_: ((map_ - map_.min()) / (map_.max() - map_.min())).numpy()               # its range stretched
    half = F.interpolate(face[None], scale_factor=0.5, mode="bicubic")
    quarter = F.interpolate(half, scale_factor=0.5, mode="bicubic")
    amplitude, phase = (part[0].mean(0).roll(64, 0) for part in spectrum(face[None]))
    return {"FSRGAN": [(colour(face), 0.8, 0.8, 70 / 128, "the face"), (colour(blurred), 0.8, 0.8, 70 / 128, "its input")],
            "SPARGAN": [(colour(face), 0.9, 0.9, 65 / 128, "full"), (colour(half[0]), 0.45, 0.45, 1, "half"),
                        (colour(quarter[0]), 0.225, 0.225, 1, "quarter")],
            "SFMGAN": [(colour(face), 0.8, 0.8, 1, "the face"), (light(amplitude.log()), 0.8, 0.4, 1, "|FFT|"), (light(phase), 0.8, 0.4, 1, "phase")],
            }.get(name, [(colour(face), 0.9, 0.9, 1, "the face")])


def draw_judge(axis, centre, name, face, blurred):
    tiles = seen(name, face, blurred)
    left = centre - (sum(width for *_, width, _, _ in tiles) + 0.06 * (len(tiles) - 1)) / 2
    for picture, height, width, share, caption in tiles:
        axis.imshow(picture, extent=(left, left + width, 2.3, 2.3 + height), cmap="gray", aspect="auto")
        side = share * width
        corner = (left + (width - side) / 2, 2.3 + (height - share * height) / 2)
        axis.add_patch(Rectangle(corner, side, share * height, fill=False, ec="red", lw=1.6))
        axis.text(left + width / 2, 2.24, caption, ha="center", va="top", fontsize=7.5)
        left += width + 0.06
    axis.text(centre, 3.35, name, ha="center", weight="bold")
    axis.annotate("", (centre, 1.64), (centre, 2.04), arrowprops=dict(arrowstyle="->"))
    axis.add_patch(FancyBboxPatch((centre - 0.62, 1.26), 1.24, 0.3, boxstyle="round,pad=0.04", fc="#e8eef7", ec="black", lw=0.8))
    count = {"SPARGAN": "3 judges", "SFMGAN": "2 judges"}.get(name, "1 judge")
    axis.text(centre, 1.41, f"{count}, {PARAMETERS_OF[name] / 1e6:.1f} M", ha="center", va="center", fontsize=8)
    axis.annotate("", (centre, 0.84), (centre, 1.2), arrowprops=dict(arrowstyle="->"))
    sides = [shape[-1] if len(shape) == 4 else 1 for shape in LOGITS[name]]
    left = centre - sum(0.05 * side + 0.12 for side in sides) / 2 + 0.06
    for side in sides:
        for i in range(side * side):
            middle = i == side // 2 * side + side // 2
            axis.add_patch(Rectangle((left + 0.05 * (i % side), 0.78 - 0.05 * (i // side + 1)), 0.05, 0.05,
                                     fc="red" if middle else "white", ec="black", lw=0.4))
        left += 0.05 * side + 0.12
    axis.text(centre, -0.02, ", ".join("one" if side == 1 else f"{side}x{side}" for side in sides), ha="center", va="top", fontsize=8)


# %%
figure, axis = plt.subplots(figsize=(9.4, 3.9), layout="constrained")
for i, name in enumerate(PARENT):
    draw_judge(axis, 1.95 * i, name, target[mine + 1], x[mine + 1])
for height, text in ((2.7, "sees"), (1.41, "judges"), (0.43, "logits")):
    axis.text(-1.12, height, text, ha="right", va="center", fontsize=9, color="dimgray")
axis.set(xlim=(-1.6, 8.85), ylim=(-0.25, 3.55), aspect="equal")
axis.axis("off")
plt.show()

# %% [markdown]
# ### Each in a paragraph, and the lines that make it what it is
#
# The code is read from [`aminet/baselines`](../aminet/baselines/README.md) as it is now. Each of the five is an `Adversary`, as in [notebook 10](10_train_amigan.ipynb). It names its step sizes and the weights of its losses. `judge` gives the logits. `parts` gives the generator's losses, where they differ from AMIGAN's.
#
# **FSRGAN** (2018) plays for FSRNet. Its judge is *conditional*: it gets six channels, the face and the enlarged input that it was made from. So it can ask more than "real or not": does this face *fit* that input? And it asks patch by patch. The loss is the mean over 196 logits; none of them sees whether two far patches belong together.
#
# **DICGAN** (2020) plays for DICNet, and is the plainest: one logit for a whole face. Its judge is a LightCNN-9 (5.5 M parameters), as in its authors' public code. Where others cut off below zero, LightCNN's layers make two maps and keep the larger of the two, value by value. One thing could not be had as published: the perceptual features are VGG19's here, and LightCNN's there.
#
# **SPARGAN** (2021; its authors call it SPARNetHD) plays for the generator SPARNetHD, a wider SPARNet with instance norm (83.4 M parameters at full size). Three patch judges look at the face at full, half and quarter size: pores, an eye, the whole. The second idea is **feature matching**: whatever a judge computes on the way, the restored face shall give it what the real one gives. That is a perceptual loss whose network learns with the game. The judges are held back by spectral norm and hinge ([notebook 10](10_train_amigan.ipynb)).
#
# **SFMGAN** (2023) plays for SFMNet. Its two judges have the form of DICGAN's. One judges the face, the other its spectrum, amplitude and phase of three colours. What is small in a face can be loud in a spectrum: we come back to it below. SFMNet's own training has a loss on its frequency branch; the game has none.
#
# **AMIGAN** (2024) plays for AMINet; its judge and losses are [notebook 10](10_train_amigan.ipynb). The paper does not describe its discriminator.

# %%
def excerpt(piece, first="", last=""):
    """The source of a function or class without its docstring, from the line with `first` to the next with `last`."""
    source = inspect.getsource(piece)
    if inspect.getdoc(piece) and source.count('"""') > 1:
        start, _, rest = source.partition('"""')
        source = start.rstrip() + "\n" + rest.partition('"""')[2].lstrip("\n")
    lines = dedent(source).rstrip().splitlines()
    begin = next(i for i, line in enumerate(lines) if first in line)
    stop = next(i for i, line in enumerate(lines) if i >= begin and last in line) + 1 if last else len(lines)
    return f"# {piece.__qualname__}\n" + dedent("\n".join(lines[begin:stop]))


def code(*excerpts):
    display(Markdown("```python\n" + "\n\n".join(excerpts) + "\n```"))


code(excerpt(FSRGAN.__init__, "layers, channels", "self.discriminator"), excerpt(FSRGAN.judge), excerpt(FSRGAN.parts),
     excerpt(DICGAN.__init__, "self.discriminator"), excerpt(DICGAN.judge), excerpt(MaxFeatureMap.forward),
     excerpt(SPARGAN.features), excerpt(SPARGAN.parts),
     excerpt(SFMGAN.__init__, "self.of_face", "self.of_spectrum"), excerpt(SFMGAN.judge))

# %% [markdown]
# ### Losses and step sizes, and where they come from
#
# Read from the classes: the weight of each loss, and the step sizes of both players. `other` is what only one of them has.

# %%
print(f"{'':9s}{'loss':>9s}{'pixel':>8s}{'perceptual':>12s}{'adversarial':>13s}{'other':>15s}{'step G':>10s}{'step D':>9s}")
for name, GAN in GANS.items():
    weights = {"pixel": GAN.WEIGHTS.get("mse", 0)} | GAN.WEIGHTS     # FSRGAN has the squared error in its place
    extra = next((f"{part} {weights[part]:g}" for part in ("matching", "spectrum") if part in weights), "")
    print(f"{name:9s}{GAN.LOSS:>9s}{weights['pixel']:8g}{weights['perceptual']:12g}{weights['adversarial']:13g}{extra:>15s}{GAN.LR:10g}{GAN.D_LR:9g}")
print("pixel is squared error in FSRGAN, L1 in the others; perceptual: VGG19's features for all of them here")

lines = ["| | described, or in the authors' code | chosen by us |", "|---|---|---|"]
for name, GAN in GANS.items():
    text = inspect.getdoc(sys.modules[GAN.__module__])
    if name == "AMIGAN":
        told, ours = text.split("\n\n")[1].split(" Ours: ")
    else:
        told, ours = text[text.index("As described"):].split("Chosen by us: ")
    lines.append(f"| {name} | {' '.join(told.split()).removeprefix('As described: ')} | {' '.join(ours.split())} |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# The right column is long. A row of Table VIII that we fill is *this* game, not the authors'.
#
# ## What a judge can see
#
# "Patches of 70x70" can be measured: at which pixels has one logit a gradient? Below, the mean absolute gradient of the middle logit on six pictures of noise, with random weights and narrow judges, on a logarithmic scale. Above each stands the side of the square outside which it is exactly zero. (Exercise 1 does it by arithmetic.)

# %%
NARROW = adversaries(16)


def field(judge, which, tries=6):
    """Mean |d logit / d image| of the middle logit of one output, and the side of the square it reaches."""
    heat = torch.zeros(128, 128)
    for i in range(tries):
        image = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(i)).requires_grad_()
        logits = judge.judge(image, torch.zeros(1, 3, 128, 128))[which]
        middle = logits if logits.dim() == 1 else logits[..., logits.shape[-2] // 2, logits.shape[-1] // 2]
        heat += torch.autograd.grad(middle.sum(), image)[0].abs().sum((0, 1))
    rows = (heat.sum(1) > 0).nonzero()
    return heat / heat.max(), int(rows.max() - rows.min() + 1)


looks = [("FSRGAN", 0, ""), ("SPARGAN", 0, "full size"), ("SPARGAN", 1, "half"), ("SPARGAN", 2, "quarter"), ("DICGAN", 0, "whole face"),
         ("SFMGAN", 1, "spectrum"), ("AMIGAN", 0, "whole face")]
HEAT = {}
figure, axes = plt.subplots(1, len(looks), figsize=(9.4, 2.1), layout="constrained")
for axis, (name, which, what) in zip(axes, looks):
    HEAT[name, which], side = field(NARROW[name], which)
    picture = axis.imshow(HEAT[name, which].clamp(min=1e-3).log10(), vmin=-3, vmax=0)
    axis.set(xticks=[], yticks=[])
    axis.set_title(f"{name}\n{what}\n{side} px", fontsize=8.5)
    axis.grid(False)
bar = figure.colorbar(picture, ax=axes, ticks=[-3, -2, -1, 0], shrink=0.75, pad=0.01)
bar.set_ticklabels(["0.001", "0.01", "0.1", "1"], fontsize=7.5)
plt.show()
reached = torch.zeros(128, 128, dtype=torch.bool)
reached[32:97, 32:97] = True                                        # by the convolutions of SPARGAN's middle logit at full size
heat = HEAT["SPARGAN", 0]
print(f"SPARGAN at full size: outside the 65 pixels the mean gradient is {heat[~reached].mean() / heat[reached].mean():.2f} of that inside")

# %% [markdown]
# FSRGAN's are 70 pixels, but not all alike: a pixel in the middle reaches the logit on many more ways than one at the rim. SPARGAN's convolutions reach 65 pixels at full size, and everything at half and quarter size. Yet no pixel is without a gradient. Instance norm takes a mean and a deviation over the whole map, and so lets every logit see all of it, if faintly.
#
# The fine pattern comes from the stride: 3x3 filters that step by 2 overlap unevenly, 4x4 filters evenly. Max pooling passes on only its winner. The spectrum's judge sees everything from its first layer on, for each coefficient is a sum over all pixels.
#
# Two things can be checked exactly. A judge of patches knows **where**: exchange a mouth, and only those logits of FSRGAN change that see it. SPARGAN's all change: instance norm tells every place of the mouth. An amplitude does **not**: push the face round the edge of the picture, and all amplitudes stay; where things are is in the phase alone.

# %%
swapped = target[mine:mine + 1].clone()
swapped[..., 82:106, 44:88] = target[mine + 1:mine + 2, :, 82:106, 44:88]               # one portrait with the other's mouth
with torch.no_grad():
    for name, judge in NARROW.items():
        pairs = zip(judge.judge(target[mine:mine + 1], x[mine:mine + 1]), judge.judge(swapped, x[mine:mine + 1]))
        changed = [f"{int((a != b).sum())} of {a.numel()}" for a, b in pairs]
        print(f"{name:9s}logits that change with the mouth: {', '.join(changed)}")
    (amplitude, phase), (moved, moved_phase) = spectrum(target[mine:mine + 1]), spectrum(target[mine:mine + 1].roll(16, -1))
torch.testing.assert_close(amplitude, moved, rtol=1e-3, atol=1e-3)
turned = 1 - torch.cos(phase - moved_phase).abs() > 1e-3
print(f"the face moved by 16 pixels: no amplitude changes; {100 * turned.float().mean():.0f} % of the phases turn")

# %% [markdown]
# ## What a spectrum gives away
#
# 16 pixels carry at most 8 cycles per face in each direction. What a network draws beyond, it has not been shown. So the spectrum tells a restored face from a photograph, and that is what SFMGAN's second judge looks at. First its input, the amplitudes, on a logarithmic scale: zero cycles lie at the left in the middle, the circle is 8 cycles. Then the power at each radius, relative to the originals', for the portraits and for the synthetic faces.

# %%
def at_hand():
    """(network, scale) -> the name of weights in data/weights that are of a run of the list."""
    found = {}
    for path in sorted(PRETRAINED.glob("*.json")):
        spec = find_run(json.loads(path.read_text()))
        if spec and spec.scale in SCALES and not spec.block:
            found.setdefault((spec.network, spec.scale), path.stem)
    return found


def run_of(name):
    """The network of runs.yaml by its name in the paper."""
    return {"SPARNetHD": "sparnet-hd"}.get(name, name.lower())


WEIGHTS = at_hand()                                                 # one scale for all: the one with the most, so that they can be compared
EVERY = [name for pair in START.items() for name in reversed(pair)]
CAST_SCALE = max(reversed(SCALES), key=lambda size: sum((run_of(name), size) in WEIGHTS for name in EVERY))
CAST = {name: WEIGHTS[run_of(name), CAST_SCALE] for name in EVERY if (run_of(name), CAST_SCALE) in WEIGHTS}
RESULTS = {"Bicubic": x} | {name: restore(load_weights(weights)[0], hr) for name, weights in CAST.items()}
print(f"scale {CAST_SCALE}: " + ", ".join(CAST))
ABSENT = [name for name in EVERY if name not in CAST]
print("pending, not among the course's weights: " + (", ".join(ABSENT) or "none"))

# %%
def radial_power(images):
    """Mean power at 1, 2, ... 63 cycles per face. float (B, 3, 128, 128) -> (63,)."""
    power = torch.fft.fft2(images.mean(1)).abs().square().mean(0)
    cycles = torch.fft.fftfreq(128, 1 / 128)
    radius = (cycles[:, None] ** 2 + cycles[None] ** 2).sqrt().round().long().flatten()
    total = torch.zeros(100).index_add_(0, radius, power.flatten())
    return (total / torch.bincount(radius, minlength=100))[1:64]


SETS = {"portraits": slice(mine, mine + 2), "synthetic faces": slice(mine + 2, None)}
STYLE = {"Bicubic": ("gray", ":")} | {name: (f"C{i}", style) for i, (gan, parent) in enumerate(reversed(START.items()))
                                       for name, style in ((parent, "--"), (gan, "-"))}
figure = plt.figure(figsize=(9.4, 5.2), layout="constrained")
top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.15))
pictures = {name: RESULTS[name] for name in ("Bicubic", "AMINet", "AMIGAN") if name in RESULTS} | {"original": target}
for axis, (name, images) in zip(top.subplots(1, len(pictures)), pictures.items()):
    amplitude = spectrum(images[mine + 1:mine + 2])[0][0].mean(0).roll(64, 0)
    axis.imshow(amplitude.clamp(min=1e-3).log10(), vmin=-3, vmax=1, extent=(0, 65, -64, 64), interpolation="antialiased")
    axis.add_patch(plt.Circle((0, 0), 8, fill=False, ec="white", lw=1))
    axis.set(title=name, xticks=[0, 32, 64], yticks=[-64, 0, 64])
    axis.grid(False)
for axis, (what, part) in zip(bottom.subplots(1, 2, sharey=True), SETS.items()):
    truth = radial_power(target[part])
    for name, images in RESULTS.items():
        axis.plot(range(1, 64), radial_power(images[part]) / truth, label=name, color=STYLE[name][0], ls=STYLE[name][1])
    axis.axvline(8, color="black", lw=0.8)
    axis.axhline(1, color="black", lw=0.8)
    axis.set(yscale="log", ylim=(5e-3, 3), xlabel="cycles per face", title=what)
    axis.set_ylabel("power / the originals'" if what == "portraits" else "")
axis.legend(fontsize=7.5, loc="lower center", ncols=3)
plt.show()
for name, images in RESULTS.items():
    shares = [radial_power(images[part])[8:].sum() / radial_power(target[part])[8:].sum() for part in SETS.values()]
    print(f"{name:10s}power beyond 8 cycles, in parts of the originals': " + ", ".join(f"{what} {100 * s:.0f} %" for what, s in zip(SETS, shares)))

# %% [markdown]
# Up to eight cycles all are nearly right. Beyond, bicubic has least, and a network trained for pixels a part, where it can be sure of it. Most judges ask for more. (Not all get it: a narrow FSRGAN after a short game has less than before.) Power is not yet *detail*, though: a radial spectrum would be just as content with noise of the right strength. Whether the power sits in the right places is what PSNR asks, in its own strict way.
#
# ## A game, live
#
# SPARGAN's three judges, narrow, against its own start `sparnet-hd-mini-0`. Where its weights are not here yet, SPARNet stands in, `sparnet-mini-0`. It takes about a minute at most, on synthetic faces, without VGG19. Watch the balance: at the first and the last step we take the gradient of each term at the restored picture, with its factor. That says who moves the picture.

# %%
torch.manual_seed(seed)
start = next(name for name in ("sparnet-hd-mini-0", "sparnet-mini-0", "pocket-s") if (PRETRAINED / f"{name}.safetensors").exists())
pool, fresh = draw_faces(16, seed + 7), draw_faces(6, seed + 8)     # to train on, to look at
pool_x, pool_y = to_float(upsample(degrade(pool))), to_float(pool)
generator, judge = load_weights(start)[0], SPARGAN(width=12)
FRESH = {"before": restore(generator, fresh)}
players = [torch.optim.Adam(network.parameters(), lr=lr, betas=(0.9, 0.99))
           for network, lr in ((generator.train(), SPARGAN.LR), (judge, SPARGAN.D_LR))]
history, pull = [], {}
for step in range(steps):
    who = torch.randperm(len(pool))[:2]
    sr = generator(pool_x[who])
    loss, parts = judge.generator_loss(sr, pool_y[who], pool_x[who], None)                       # no VGG19 here
    against, judged = judge.discriminator_loss(sr.detach(), pool_y[who], pool_x[who])
    if step in (0, steps - 1):
        pull[step] = {name: judge.weights[name] * torch.autograd.grad(parts[name], sr, retain_graph=True)[0].norm().item()
                      for name in ("pixel", "matching", "adversarial")}
    for player in players:
        player.zero_grad()
    (loss + against).backward()                                     # neither loss reaches the other's weights
    for player in players:
        player.step()
    history.append([value.item() for value in (parts["adversarial"], against, judged["real"], judged["fake"])])
FRESH["after"] = restore(generator, fresh)

# %%
curves = np.array(history).T
figure, axes = plt.subplots(1, 3, figsize=(9.4, 2.7), layout="constrained")
for line, label in zip(curves[:2], ("generator: - mean logit", "judges: hinge")):
    axes[0].plot(line, label=label)
axes[0].axhline(2, color="gray", ls=":", lw=1)
axes[0].set(title="the two losses (dotted: judges without a clue)", xlabel="step")
for line, label, colour in zip(curves[2:], ("real patches", "restored patches"), ("C2", "C4")):
    axes[1].plot(line, label=label, color=colour)
axes[1].set(title="what the judges think", xlabel="step", ylabel="sigmoid of the logits")
for shift, (step, norms) in zip((-0.2, 0.2), pull.items()):
    axes[2].bar(np.arange(3) + shift, list(norms.values()), 0.4, label=f"step {step}")
axes[2].set(title="pull at the picture, with its factor", yscale="log", ylabel="norm of the gradient")
axes[2].set_xticks(range(3), list(norms))
for axis in axes:
    axis.legend(fontsize=8)
    axis.title.set_fontsize(9)
plt.show()
real = radial_power(to_float(fresh))[8:].sum()
print(f"the generator: {start}")
for when, images in FRESH.items():
    print(f"{len(fresh)} faces not trained on, {when:6s} {steps} steps: PSNR {psnr(images, fresh, PROTOCOLS['paper']).mean():.1f} dB, "
          f"power beyond 8 cycles {100 * radial_power(images)[8:].sum() / real:.0f} % of the originals', variety {variety(images, to_float(fresh)):.1f}")
print(f"matching to adversarial at the first step: factors 10 to 1, pulls {pull[0]['matching'] / pull[0]['adversarial']:.1f} to 1")
print("PSNR may rise: this generator has not met synthetic faces before, and pixels are 100 to 1 of the loss")

# %% [markdown]
# The factors of matching and judges stand 10 to 1; their pulls are printed above. A factor says nothing without the size of what it multiplies. SPARGAN's 100 : 1 of pixels to judges and AMIGAN's 1 : 0.01 are the same ratio on paper; behind them stand hinge and softplus, patches and a whole face, judges with and without a bound. What can be compared is the pull.
#
# ## Table VIII, the paper's and ours
#
# The paper's is Helen. Ours stands in with portraits from Flickr, where Helen's faces are not at hand; numbers left and right must not be compared, only orders within a side. A row is filled in two runs: a generator, then its game. The game needs VGG19's weights, and two of the generators need landmarks.

# %%
eight = table(8, RECORDS)
print(f"{short_table(eight)}\nThe paper's faces: {FACES['Helen'][0]}.")
SPECS = {spec.name: spec for size in SCALES for spec in runs(size)}
if eight.runs:
    print("\nTo fill what is pending, in this order (what is done already is passed over):")
for name in eight.runs:
    for needed in (SPECS[name].start, name):
        print(f"   python -m aminet reproduce --scale {SPECS[name].scale} --only {needed}")
print("\nHow far each run is on your machine:  python -m aminet reproduce --list --scale " + (SPECS[eight.runs[0]].scale if eight.runs else CAST_SCALE))
log = DATA / "records" / "pocket-gan-train.jsonl"
if log.exists():
    last = json.loads(log.read_text().splitlines()[-1])
    print(f"For an idea: AMIGAN's own game of {last['images']:,} pictures took {span(last['seconds'] / 60)} where it was played, VGG19 and validation in it")

# %% [markdown]
# ### What our game gained, and what it cost
#
# AMINet and AMIGAN at scale `pocket`, the same small network before and after its game, on the same faces: what the paper does not print. The intervals are paired, and draw people where it is known who is on a picture. FID has no value per face; its interval comes from 100 bootstrap draws of the faces, the same for both. They speak of these two sets of weights, not of another training. Below them the games of Table VIII in short, at scale `mini`: 3,200 pictures for pixels, then a game of 800.

# %%
DIGITS = {"psnr": 2, "ssim": 3, "vif": 3, "lpips": 3, "identity": 3, "fid": 1}


def versus(after, before, metric):
    """The mean difference of two records of the same faces, and its paired 95 % interval."""
    if metric in before["values"]:
        gap = paired_difference(*(np.array(record["values"][metric], float) for record in (after, before)), people=before["faces"].get("people"))
        return gap["mean"], gap["low"], gap["high"]
    return after["means"][metric]["mean"] - before["means"][metric]["mean"], *np.quantile(
        np.subtract(after["draws"][metric], before["draws"][metric]), (0.025, 0.975))


MEASURED, GAMES = {}, {}                                            # by faces and metric: three means; by faces and GAN: means before, after
for faces in ("celeba_test", "flickr_test", "london"):
    paths = [RECORDS / f"{name}-{faces}-paper.json" for name in ("pocket", "pocket-gan")]
    if not all(path.exists() for path in paths):
        print(f"pending: {faces}")
        continue
    first, second = map(read_record, paths)
    assert first["faces"]["fingerprint"] == second["faces"]["fingerprint"] and first["protocol"] == second["protocol"]
    print(f"{faces + ', ' + format(first['faces']['images'], ',') + ' faces':27s}{'bicubic':>10s}{'AMINet':>10s}{'AMIGAN':>10s}   AMIGAN - AMINet [95 %]")
    for metric, digits in DIGITS.items():
        if metric in first["means"] and metric in second["means"]:
            values = [first["means"][f"bicubic_{metric}"]["mean"], first["means"][metric]["mean"], second["means"][metric]["mean"]]
            mean, low, high = versus(second, first, metric)
            print(f"   {metric:24s}" + "".join(f"{value:10.{digits}f}" for value in values) + f"   {mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]")
            MEASURED.setdefault(faces, {})[metric] = values

print(f"\ngames at scale mini, {sum((RECORDS / f'{gan.lower()}-mini-0-flickr_test-paper.json').exists() for gan in START)} of {len(START)} measured, one training each: generator -> GAN, and the paired difference [95 %]")
for faces, gan in ((faces, gan) for faces in ("celeba_test", "flickr_test") for gan in START):
    paths = [RECORDS / f"{run_of(name)}-mini-0-{faces}-paper.json" for name in (START[gan], gan)]
    if not all(path.exists() for path in paths):
        print(f"   {faces:12s}{gan:9s}pending")
        continue
    first, second = map(read_record, paths)
    means = {metric: tuple(record["means"][metric]["mean"] for record in (first, second))
             for metric in ("psnr", "lpips", "fid") if metric in first["means"] and metric in second["means"]}
    GAMES.setdefault(faces, {})[gan] = means
    print(f"   {faces:12s}{gan:9s}" + "   ".join("{} {:.{d}f} -> {:.{d}f}  {:+.{d}f} [{:+.{d}f}, {:+.{d}f}]".format(
        metric, *pair, *versus(second, first, metric), d=DIGITS[metric]) for metric, pair in means.items()))

# %%
figure, axes = plt.subplots(1, 3, figsize=(9.4, 3.3), layout="constrained")
for name in PARENT:
    axes[0].plot(psnrs[name], fids[name], "o", color="C1" if name == "AMIGAN" else "C0")
    axes[0].annotate(name, (psnrs[name], fids[name]), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
    axes[0].plot(float(before[PARENT[name]]["helen_psnr"]), 117, "|", color="C1" if name == "AMIGAN" else "C0", ms=9, mew=2)
axes[0].text(25.9, 118.5, "PSNR before the game (no FID printed)", ha="center", fontsize=7)
axes[0].set(title="Table VIII, Helen", ylabel="FID, lower is better", xlim=(24.6, 27.3), ylim=(116, 156))
for axis, metric in zip(axes[1:], ("fid", "lpips")):
    for i, (faces, values) in enumerate(MEASURED.items()):
        if metric in values:
            axis.plot(values["psnr"], values[metric], "-", color=f"C{i}", lw=1, label=faces)
            for kind, px, py in zip("sod", values["psnr"], values[metric]):
                axis.plot(px, py, kind, color=f"C{i}", ms=6)
    axis.set(title=f"ours: PSNR and {metric.upper()}", ylabel=f"{metric.upper()}, lower is better")
    for kind, name in zip("sod", ("bicubic", "AMINet", "AMIGAN")):
        axis.plot([], [], kind, color="gray", label=name)
axes[1].legend(fontsize=7)
for axis in axes:
    axis.set_xlabel("PSNR, dB")
plt.show()
if not MEASURED:
    print("ours: pending")
for faces, games in GAMES.items():
    lower = {metric: sum(means[metric][1] < means[metric][0] for means in games.values() if metric in means) for metric in ("psnr", "lpips")}
    both = [means["fid"] for means in games.values() if "fid" in means]
    order = f"; FID before and after the game, {len(both)} games: tau {kendalltau(*zip(*both))[0]:+.1f}" if len(both) > 2 else ""
    print(f"{faces}, scale mini: PSNR is lower after {lower['psnr']} of {len(games)} games, LPIPS after {lower['lpips']}{order}")

# %% [markdown]
# From bicubic (square) to AMINet (circle) everything gets better: that is learning. From AMINet to AMIGAN (diamond) the line turns back: PSNR is paid, FID and LPIPS are bought. That is the trade of perception and distortion, in the open since both ends were measured on the same faces. `identity` falls as well: a face network recognises the person *less* well in the sharper picture.
#
# The last lines count the games at scale `mini`: after how many PSNR is lower, and LPIPS. Mind that a game also trains its generator longer: after 3,200 pictures, 800 more count. No generator was trained on for 800 pictures without a judge. With three games or more, `tau` compares the order of the FIDs before the games with the order after them. At +1 the order was there before any judge, and is one of generators. The differences do not rank the games, for each starts elsewhere. FSRGAN ends worse than bicubic in PSNR and FID. So did its generator in FID, and on Flickr in PSNR by 0.02 dB: no rank.
#
# ## A FID of how many faces?
#
# FID fits a Gaussian to each set's features, 2,048 numbers a face, and takes the distance of the Gaussians:
#
# $$\|\mu_a - \mu_b\|^2 + \mathrm{tr}\big(\Sigma_a + \Sigma_b - 2(\Sigma_a\Sigma_b)^{1/2}\big)$$
#
# From $N$ faces that is 2,048 means and two million covariances to estimate. How many faces the paper had is not stated; Helen's test set has 50 in its lineage. The Inception network is not needed to see what that does: draw $N$ points twice from the *same* Gaussian, whose distance to itself is 0. The distance is in parts of the total variance $\mathrm{tr}\,\Sigma$, for 64 and for 2,048 dimensions, all of equal variance or (as is usual for features) of falling variance, the $i$-th $1/i$.

# %%
def frechet(a, b):
    """The Fréchet distance of two samples (N, d), by their Gaussians: tr (S_a S_b)^(1/2) is a sum of singular values."""
    n, gap = len(a), np.square(a.mean(0) - b.mean(0)).sum()
    a, b = a - a.mean(0), b - b.mean(0)
    trace = (np.square(a).sum() + np.square(b).sum()) / (n - 1)
    if n > a.shape[1]:
        a, b = np.linalg.qr(a)[1], np.linalg.qr(b)[1]               # the same covariance from d rows
    return gap + trace - 2 * np.linalg.svd(a @ b.T, compute_uv=False).sum() / (n - 1)


rng = np.random.default_rng(seed)
NS, falling = (50, 100, 200, 500, 1000), 1 / np.sqrt(np.arange(1, 2049))


def samples(n, deviations, alike=0.0):
    """Two samples of one Gaussian; `alike`: the correlation of their points, pair by pair."""
    a, b = (rng.normal(size=(n, len(deviations))) * deviations for _ in "ab")
    return a, alike * a + (1 - alike**2) ** 0.5 * b


BIAS = {label: [frechet(*samples(n, deviations, alike)) / np.square(deviations).sum() for n in NS]
        for label, deviations, alike in (("d = 64, equal", np.ones(64), 0), ("d = 2048, equal", np.ones(2048), 0),
                                         ("d = 2048, falling", falling, 0), ("pairs alike 0.5", falling, 0.5), ("pairs alike 0.9", falling, 0.9))}
NAMES = {"perfect": (1.0, 0.0), "shifted by 0.2": (1.0, 0.2), "too smooth by 30 %": (0.7, 0.0)}  # deviation, mean; d = 64
MANY = (50, 100, 200, 500, 1000, 5000)
RANK = {name: [np.mean([frechet(rng.normal(size=(n, 64)), shift + deviation * rng.normal(size=(n, 64))) for _ in range(5)]) for n in MANY]
        for name, (deviation, shift) in NAMES.items()}
TRUE = {name: 64 * (shift**2 + (1 - deviation) ** 2) for name, (deviation, shift) in NAMES.items()}

# %%
figure, axes = plt.subplots(1, 3, figsize=(9.4, 3.2), layout="constrained")
labels = list(BIAS)
for axis, chosen, title in ((axes[0], labels[:3], "two samples of one Gaussian"), (axes[1], labels[2:], "d = 2048, falling: pairs of faces")):
    for label in chosen:
        axis.plot(NS, BIAS[label], ".-", label=label if axis is axes[0] else label.replace("d = 2048, falling", "not alike"),
                  color=f"C{labels.index(label)}")
    axis.set(xscale="log", title=title, ylim=(0, None), ylabel="distance / total variance; truth: 0")
for i, (name, values) in enumerate(RANK.items()):
    axes[2].plot(MANY, values, ".-", label=name, color=f"C{i}")
    axes[2].plot(8000, max(TRUE[name], 0.35), "<", color=f"C{i}")
axes[2].set(xscale="log", yscale="log", title="three methods (d = 64)", ylabel="distance; triangle: truth")
for axis, ticks in zip(axes, (NS, NS, (50, 200, 1000, 5000))):
    axis.set_xticks(ticks, ticks)
    axis.minorticks_off()
    axis.set_xlabel("N of each sample")
    axis.legend(fontsize=7.5)
plt.show()
print("N                      " + "".join(f"{n:>9,d}" for n in MANY) + f"{'truth':>9s}")
for name, values in RANK.items():
    print(f"{name:23s}" + "".join(f"{value:9.1f}" for value in values) + f"{TRUE[name]:9.1f}")
best = [min(RANK, key=lambda name: RANK[name][i]) for i in range(len(MANY))]
print("the winner:  " + ", ".join(f"N = {n:,}: {name}" for n, name in zip(MANY, best)))

# %% [markdown]
# Left: the bias is a good part of all the variance there is at 50, and falls slowly; with 2,048 dimensions even 1,000 faces do not end it. Right, the worse news: **the bias differs between methods**. A method whose faces are all too smooth wanders less, is biased less, and at few faces beats a *perfect* one. So even an order on the same faces is not safe when the distances are of the size of the bias.
#
# Middle, the better news for our task: a restored face belongs to *its* original, both sets share their luck, and the bias shrinks with that likeness. (A perfect restoration has FID 0 at any $N$.) So FID on 50 restored faces is less biased than on 50 invented ones, and in part just another full-reference metric. How much, nobody can read off the number.
#
# Hence the rules of this course: the number of faces stands beside every FID; FIDs of different $N$, faces or code are never compared; LPIPS, which has a value for every face, stands beside it.

# %%
print("our FIDs, each with its own number of faces, and the spread of its bootstrap draws (which lie higher: they repeat faces)")
for path in sorted(RECORDS.glob("*-paper.json")):
    record = read_record(path)
    if "fid" in record["means"]:
        draws = np.array(record["draws"]["fid"])
        print(f"   {path.name.removesuffix('-paper.json'):24s} N = {record['faces']['images']:5,d}   FID {record['means']['fid']['mean']:6.1f}   "
              f"draws {draws.mean():6.1f} +- {draws.std():.1f}")

# %% [markdown]
# ## Figure 10: faces side by side
#
# > "Our AMIGAN can reconstruct high-quality face images with clear facial components." (caption of Fig. 10)
#
# Fig. 10 shows faces of Helen; how they were chosen is not said. Here are the two portraits, and, chosen by number out of the synthetic faces, AMIGAN's best and its worst in PSNR. Every network of Table VIII whose weights are at hand is there, its generator before it, all of one scale.

# %%
SCORE = {name: psnr(images, hr, PROTOCOLS["paper"]) for name, images in RESULTS.items()}
ranked_by = next(name for name in ("AMIGAN", "AMINet", "Bicubic") if name in SCORE)
drawn = np.arange(mine + 2, len(hr))
picked = [*range(mine + 2), drawn[SCORE[ranked_by][drawn].argmax()], drawn[SCORE[ranked_by][drawn].argmin()]]
labels = [*(f"yours {i + 1}" for i in range(mine)), *portraits(), "best", "worst"]
lr = degrade(hr)


def sheet(names):
    """Faces and errors for some of the networks, the input before and the original after them."""
    grid = []
    for i in picked:
        grid += [[lr[i], *(RESULTS[name][i] for name in names), target[i]],
                 [None, *(error_map(RESULTS[name][i], target[i]) for name in names), None]]
    figure = show(grid, ["LR", *names, "original"], [text for label in labels for text in (label, "error x 4")], height=0.95)
    axes = np.array(figure.axes).reshape(len(grid), -1)
    for row, i in zip(axes[::2], picked):
        for axis, name in zip(row[1:], names):
            axis.set_xlabel(f"{SCORE[name][i]:.2f} dB", fontsize=8, labelpad=1)
    for axis in axes[:, 0]:
        axis.yaxis.label.set_fontsize(8)
    plt.show()


shown = list(RESULTS)
for part in filter(None, (shown[:5], shown[5:])):
    sheet(part)
print(f"scale {CAST_SCALE}; pending, not among the course's weights: {', '.join(ABSENT) or 'none'}")
print(f"\n{len(drawn)} synthetic faces{'':6s}{'PSNR, dB':>10s}{'lowest':>9s}{'highest':>9s}{'variety':>9s}")
for name, images in RESULTS.items():
    values = SCORE[name][drawn]
    print(f"   {name:20s}{values.mean():10.2f}{values.min():9.2f}{values.max():9.2f}{variety(images[drawn], target[drawn]):9.2f}")

# %% [markdown]
# What the judge added shows where L1 left nothing: edges, hair, teeth, skin. Compare the error maps of AMINet and AMIGAN: the errors did not go away. (`variety` near 1: the faces differ from each other as much as the originals do; no collapse.) A viewer who does not know the original may well prefer the sharper one. Who wants to *recognise* somebody should trust neither: at 16 pixels, details are guesses, whoever makes them.
#
# ## What can be said of AMIGAN's rank, and what cannot
#
# Computed from the records, so that it holds in whatever state they are.

# %%
done = [cell for cell in eight.cells if cell.metric == "fid" and cell.ours is not None]
print(f"rows of Table VIII measured: {len(done)} of {len(PARENT)}; pending: "
      + (", ".join(cell.row.split()[0] for cell in eight.cells if cell.metric == "fid" and cell.ours is None) or "none"))
if len(done) > 1:
    for place, cell in enumerate(sorted(done, key=lambda cell: cell.ours), 1):
        note = "" if cell.difference_low is None else f", to AMIGAN {cell.difference:+.1f} [{cell.difference_low:+.1f}, {cell.difference_high:+.1f}]"
        print(f"   {place}. {cell.row:15s} FID {cell.ours:.1f} (scale {cell.scale}, {len(cell.seeds)} training{'s' * (len(cell.seeds) > 1)}){note}")
    print("an order of these weights on these faces; another training may change it, whatever the interval")
else:
    print("so this course says nothing yet on AMIGAN's rank among the five")
if MEASURED:
    better = {metric: [faces for faces, values in MEASURED.items() if metric in values and values[metric][2] < values[metric][1]] for metric in ("fid", "lpips")}
    print("AMIGAN against its own AMINet, one training of each: better " + ", ".join(f"{m.upper()} on {len(f)} of {len(MEASURED)} sets" for m, f in better.items())
          + f", PSNR lower on {sum(v['psnr'][2] < v['psnr'][1] for v in MEASURED.values())} of {len(MEASURED)}")

# %% [markdown]
# **Can be said.** In Table VIII as printed, AMIGAN leads all four columns. Part of that lead is there before any judge: AMINet leads Table VII's Helen columns, too. In our own small setting the game does what it should to AMINet, with intervals far from zero.
#
# **Cannot be said.** Whether AMIGAN's *game* is better than the others': each generator has its own, so the table cannot separate the two; that would take one generator with five judges. How sure the printed order is: one training, no spread, a number of faces that is not stated. And of our own: a row that we fill belongs to a small network, a short game, a judge partly chosen by us, and portraits that are not Helen's.
#
# ## Exercises
#
# ### Exercise 1: how far does a stack of convolutions see?
#
# Layers of (kernel, stride), from the image on. One logit of the last layer sees a square of how many pixels? Write `receptive(layers)`. FSRGAN's five layers of 4x4 with strides 2, 2, 2, 1, 1 must give 70.

# %% tags=["exercise"]
def truth_1(layers):
    size, jump = 1, 1
    for kernel, stride in layers:
        size, jump = size + (kernel - 1) * jump, jump * stride
    return size


CASES_1 = [((layers,), truth_1(layers)) for layers in (
    [(4, 2), (4, 2), (4, 2), (4, 1), (4, 1)], [(3, 1)] * 5, [(3, 1), (4, 2)] * 5)]


def receptive(layers):
    ...  # your turn


passed = grade(receptive, CASES_1, "a step of a later layer is a step of `product of the strides before` pixels")

# %% tags=["solution"]
# one plausible wrong answer, then the solution
def wrong_1(layers):
    return 1 + sum(kernel - 1 for kernel, stride in layers)       # strides forgotten


def solution_1(layers):
    size, jump = 1, 1
    for kernel, stride in layers:
        size += (kernel - 1) * jump
        jump *= stride
    return size


passed = grade(wrong_1, CASES_1, "a step of a later layer is a step of `product of the strides before` pixels")
passed = grade(solution_1, CASES_1, "")
print("AMIGAN's ten convolutions, before the linear layers:", solution_1([(3, 1), (4, 2)] * 5), "pixels; "
      "SPARGAN's six, at full size:", solution_1([(3, 1), *[(3, 2)] * 4, (3, 1)]))

# %% [markdown]
# ### Exercise 2: feature matching
#
# SPARGAN's generator is also asked to give each judge the same *features* as the real face does. It counts the mean absolute difference of each layer's maps. These are summed over a judge's layers, and then averaged over the three judges. The logits are left out. `fake` and `real` have a list of maps for each judge, whose last entry is its logits. Write `matching(fake, real)`.

# %% tags=["exercise"]
def truth_2(fake, real):
    gaps = [(a - b).abs().mean() for mine, theirs in zip(fake, real) for a, b in zip(mine[:-1], theirs[:-1])]
    return float(sum(gaps) / len(fake))


torch.manual_seed(seed)
CASES_2 = []
for judges in (((16, 8, 4), (8, 4, 2), (4, 2)), ((8, 4, 2),)):
    fake, real = ([[torch.randn(2, 3, n, n) for n in sizes] for sizes in judges] for _ in "ab")
    CASES_2.append(((fake, real), truth_2(fake, real)))


def matching(fake, real):
    ...  # your turn


passed = grade(matching, CASES_2, "one mean for each layer, their sum over the layers of all judges, divided by the number of judges; the logits do not count")

# %% tags=["solution"]
# one plausible wrong answer, then the solution
def wrong_2(fake, real):
    gaps = [F.l1_loss(a, b) for mine, theirs in zip(fake, real) for a, b in zip(mine[:-1], theirs[:-1])]
    return sum(gaps) / len(gaps)                                  # a mean over the layers, too


def solution_2(fake, real):
    of_judges = [sum(F.l1_loss(a, b) for a, b in zip(mine[:-1], theirs[:-1])) for mine, theirs in zip(fake, real)]
    return sum(of_judges) / len(of_judges)


passed = grade(wrong_2, CASES_2, "one mean for each layer, their sum over the layers of all judges, divided by the number of judges; the logits do not count")
passed = grade(solution_2, CASES_2, "")

# %% [markdown]
# ### Exercise 3: the Fréchet distance in one dimension
#
# For two Gaussians on a line the formula of FID becomes $(\mu_a - \mu_b)^2 + (\sigma_a - \sigma_b)^2$. Write `line(ma, sa, mb, sb)`. Then think: a generator whose faces are all a little too smooth has the right mean and a smaller $\sigma$. One that always draws the *same* perfect face: what are its $\sigma$ and its distance?

# %% tags=["exercise"]
def truth_3(ma, sa, mb, sb):
    return (ma - mb) ** 2 + sa**2 + sb**2 - 2 * (sa**2 * sb**2) ** 0.5


CASES_3 = [(values, truth_3(*values)) for values in ((0.0, 1.0, 0.0, 1.0), (0.5, 1.0, 0.0, 2.0), (0.0, 0.0, 0.0, 1.5))]


def line(ma, sa, mb, sb):
    ...  # your turn


passed = grade(line, CASES_3, "sigma, not its square, is subtracted")

# %% tags=["solution"]
# one plausible wrong answer, then the solution
def wrong_3(ma, sa, mb, sb):
    return (ma - mb) ** 2 + (sa**2 - sb**2) ** 2


def solution_3(ma, sa, mb, sb):
    return (ma - mb) ** 2 + (sa - sb) ** 2


passed = grade(wrong_3, CASES_3, "sigma, not its square, is subtracted")
passed = grade(solution_3, CASES_3, "")
sample = np.random.default_rng(1).normal(0.3, 1.2, (2, 100_000))
check = solution_3(sample[0].mean(), sample[0].std(), 0.0, 1.0)
print(f"from 100,000 draws of N(0.3, 1.2^2) to N(0, 1): {check:.3f}, exactly {solution_3(0.3, 1.2, 0.0, 1.0):.3f}; "
      f"a generator of one perfect face to N(0, 1): {solution_3(0, 0, 0, 1):.1f}")

# %% [markdown]
# ## What to remember
#
# 1. A judge is a question: about a patch, a face, three sizes, a spectrum. It can teach only what it can see, and its factor tells nothing until you measure its pull.
# 2. A GAN pays in PSNR for what it gains in perception. Show both, before and after, on the same faces, with paired intervals; Tables VII and VIII together show only the price.
# 3. A FID belongs to its number of faces. On few it is largely bias, the bias differs between methods, and even the order can be wrong.
#
# Next: [A · Symbols and shapes](A_symbols_and_shapes.ipynb)
