# %% [markdown]
# # 13 · The GANs compared
#
# FSRGAN, DICGAN, SPARGAN, SFMGAN and AMIGAN: five generators, each trained against its own discriminators. What does that change, and what does Table VIII tell?
#
# *75 minutes to study, about 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/13_compared_gans.ipynb) · previous: [12 · Comparisons](12_comparisons.ipynb) · next: [14 · Faces at work](14_faces_at_work.ipynb)
#
# Before this: one GAN's losses and training in [10 · Train AMIGAN](10_train_amigan.ipynb), PSNR in [02 · Measuring a face](02_measuring_a_face.ipynb), LPIPS and FID in [Appendix A](A_symbols_and_shapes.ipynb#Words).
#
# You will be able to
#
# - **say** what each compared GAN adds to its generator;
# - **explain** why PSNR and perceptual metrics disagree, and read a trade between them;
# - **doubt** a FID of few faces.

# %% tags=["parameters"]
records = ""  # folder of records; empty: the course's own
own = ""  # your faces, folders and zips, also looked for in $AMINET_FACES; empty: none
synthetic = 24  # synthetic faces to restore, beside the two portraits
steps = 20  # of the live training
seed = 0
rerun = ""  # runs to train, as in python -m aminet reproduce --only; empty: one, in seconds
scale = "smoke"  # of these runs
budget = 0.0  # minutes for them, 0: no end
PARAMETERS = dict(globals())

# %% tags=["setup"]
import sys
from pathlib import Path

if "google.colab" in sys.modules and not Path("exercises.py").exists():  # fetch the course
    get_ipython().system("git clone -q -c advice.detachedHead=false --depth 1 -b v0.2.0 "
                         "https://github.com/aminet-course/aminet /content/aminet "
                         "&& pip install -q -r /content/aminet/notebooks/colab.txt")
    get_ipython().run_line_magic("cd", "-q /content/aminet/notebooks")
places = [folder / name for folder in (Path.cwd(), *Path.cwd().parents) for name in ("", "notebooks")]
place = next((place for place in places if (place / "exercises.py").exists() and (place / "page.py").exists()), None)
if not place:
    raise FileNotFoundError("start in a folder of the course's clone (papermill: --cwd notebooks; Colab: see above)")
sys.path[:0] = [str(place), str(place.parent)]
from page import begin

begin(globals(), PARAMETERS)

# %% tags=["imports"]
import inspect
import json
import os
from math import ceil
from textwrap import dedent

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import HTML, Markdown, display
from scipy.stats import kendalltau
from tabulate import tabulate
from torch.nn import functional as F

from aminet.amigan import AMIGAN, variety
from aminet.baselines.dicgan import DICGAN
from aminet.baselines.fsrgan import FSRGAN
from aminet.baselines.sfmgan import SFMGAN, MaxFeatureMap
from aminet.baselines.sfmnet import spectrum
from aminet.baselines.spargan import SPARGAN
from aminet.degrade import degrade, to_float, upsample
from aminet.faces.portraits import portraits
from aminet.faces.sources import open_faces
from aminet.faces.synthetic import faces as draw_faces
from aminet.files import DATA
from aminet.metrics.pretrained import NETWORKS, look_in
from aminet.metrics.statistics import paired_difference
from aminet.paper.published import COLUMNS, SCALES, published
from aminet.paper.records import read_record
from aminet.paper.reproduce import rerun as train_runs
from aminet.paper.runs import find_run
from aminet.paper.tables import table as paper_table
from aminet.protocol import PROTOCOLS, psnr
from aminet.train import restore
from aminet.training.weights import PRETRAINED, load_weights
from exercises import check
from page import code, error_map, eyes, show, table

RECORDS = Path(records or DATA / "records")

# %% [markdown]
# ## Before and after, in the paper
#
# A [GAN](A_symbols_and_shapes.ipynb#Words) trains two networks against each other. The generator restores faces. The discriminator learns to tell them from real ones, and its gradient teaches the generator. Each GAN of Table VIII has a relative in Table VII, so we can compare before and after. Whether it started from it, the paper does not say.
#
# Edit the prediction before you run on. As it stands, the GAN with the lowest FID loses most PSNR.

# %%
prediction = {  # edit me
    "lowest FID": "AMIGAN",
    "loses most PSNR": "AMIGAN",
    "loses least PSNR": "FSRGAN",
    "dB lost, mean of five": 0.5,
}
PARENT = {"FSRGAN": "FSRNet", "DICGAN": "DICNet", "SPARGAN": "SPARNet", "SFMGAN": "SFMNet", "AMIGAN": "AMINet"}
START = PARENT | {"SPARGAN": "SPARNetHD"}  # what our trainings start from
before = {row["row"]: row for row in published(7)}
after = {row["row"].split()[0]: row for row in published(8)}

LOST, FID, rows = {}, {}, []
for gan, parent in PARENT.items():
    old, new = before[parent], after[gan]
    LOST[gan] = round(float(old["helen_psnr"]) - float(new["psnr"]), 2)
    FID[gan] = float(new["fid"])
    rows.append([f"{parent} → {gan}", float(old["helen_psnr"]), float(new["psnr"]), LOST[gan],
                 old["helen_vif"], new["vif"], old["helen_lpips"], "not printed", "not printed", new["fid"]])
answer = {"lowest FID": min(FID, key=FID.get), "loses most PSNR": max(LOST, key=LOST.get),
          "loses least PSNR": min(LOST, key=LOST.get), "dB lost, mean of five": float(np.mean(list(LOST.values())))}
table([[question, guess, answer[question]] for question, guess in prediction.items()], ["", "you", "printed"])
table(rows, ["Helen, as printed", "PSNR before", "after", "lost, dB", "VIF before", "after", "LPIPS before", "after",
             "FID before", "after"], best={"lost, dB": min})

# %% [markdown]
# All five lose PSNR and VIF. The paper prints LPIPS only before and FID only after. So the cost of a GAN is visible, its gain is not.
#
# <details><summary>What the paper leaves open</summary>
#
# > "Results on the Helen dataset (Table VIII) show that AMIGAN consistently outperforms prior methods." (Sec. IV-D3)
#
# - Within Table VIII nothing is traded: higher PSNR goes with lower FID, for all pairs but SPARGAN's with FSRGAN and with DICGAN. One sees this when the *generators* differ more than their adversarial trainings.
# - SPARGAN's authors start from the wider SPARNetHD; Table VII has SPARNet. Its difference above is between two networks.
# - AMIGAN's discriminator is not described.
# - No number of trainings, no spread and no number of faces is stated: how sure the printed order is, nobody can tell.
#
# </details>
#
# ## What each GAN adds to its generator
#
# All five discriminators see the face, and three see more:

# %%
hr = torch.cat([torch.stack(list(portraits().values())), draw_faces(synthetic, seed + 300)])  # uint8 (B, 3, 128, 128)
mine = 0
if own:
    yours = open_faces(own.split(), progress=False)[0][:2]
    hr, mine = torch.cat([yours, hr]), len(yours)
target, x = to_float(hr), to_float(upsample(degrade(hr)))  # the originals, and the generators' enlarged input

face, blurred = target[mine + 1], x[mine + 1]
half = F.interpolate(face[None], scale_factor=0.5, mode="bicubic")
quarter = F.interpolate(half, scale_factor=0.5, mode="bicubic")
amplitude, phase = spectrum(face[None])
show([[face, blurred, half[0], quarter[0], amplitude[0, 0].roll(64, 0).log10(), phase[0, 0].roll(64, 0)]],
     ["face", "its input", "half size", "quarter size", "amplitudes", "phases"],
     captions=[["all five", "FSRGAN", "SPARGAN", "SPARGAN", "SFMGAN", "SFMGAN"]])
plt.show()

# %%
torch.manual_seed(seed)
GANS = {"FSRGAN": FSRGAN, "DICGAN": DICGAN, "SPARGAN": SPARGAN, "SFMGAN": SFMGAN, "AMIGAN": AMIGAN}
rows = []
for name, GAN in GANS.items():
    adversary = GAN(width=64).eval()  # untrained, at full width
    with torch.no_grad():
        logits = adversary.judge(target[:1], x[:1])
    count = sum(p.numel() for p in adversary.parameters())
    sides = [f"{one.shape[-1]}×{one.shape[-1]}" if one.dim() == 4 else "1" for one in logits]
    rows.append([name, START[name], len(logits), ", ".join(sides), count])
table(rows, ["GAN", "generator", "discriminators", "logits for a face", "their parameters"])

# %% [markdown]
# - **FSRGAN** (2018): a *conditional* discriminator. It gets the face with the generator's input, and sees whether they fit. It gives one logit (the number before the sigmoid) for each patch.
# - **DICGAN** (2020): one logit for the whole face, by a LightCNN-9. Its layers compute two maps and keep the larger value.
# - **SPARGAN** (2021): three patch discriminators, for three sizes of the face, and **feature matching**. The restored face shall cause the same features in the discriminators as the real one.
# - **SFMGAN** (2023): two LightCNN-9, one for the face and one for its Fourier spectrum.
# - **AMIGAN** (2024): one logit for the whole face, as in chapter 10.
#
# The [package's code](../aminet/baselines/README.md) of what is special:

# %%
pieces = [FSRGAN.judge, MaxFeatureMap.forward, SPARGAN.features, SPARGAN.parts, SFMGAN.judge]
code("\n".join(f"# {piece.__qualname__}\n{dedent(inspect.getsource(piece))}" for piece in pieces))

# %% [markdown]
# ### Where a discriminator looks
#
# The [receptive field](A_symbols_and_shapes.ipynb#Words) of a logit can be measured: at which pixels does it have a gradient? Below is the mean absolute gradient of the middle logit on six pictures of noise, on a logarithmic scale. Black is 1/1000 of the largest value. The table counts the logits that change if one portrait gets the other's mouth.

# %%
NARROW = {name: GAN(width=16).eval() for name, GAN in GANS.items()}


def field(adversary, which, tries=6):
    """Mean |d logit / d image| of the middle logit of one output, and the side of the square that it reaches."""
    heat = torch.zeros(128, 128)
    for i in range(tries):
        image = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(i)).requires_grad_()
        logits = adversary.judge(image, torch.zeros(1, 3, 128, 128))[which]
        middle = logits if logits.dim() == 1 else logits[..., logits.shape[-2] // 2, logits.shape[-1] // 2]
        heat += torch.autograd.grad(middle.sum(), image)[0].abs().sum((0, 1))
    reached = (heat.sum(1) > 0).nonzero()
    return heat / heat.max(), int(reached.max() - reached.min() + 1)


LOOKS = [("FSRGAN", 0, "patches"), ("SPARGAN", 0, "full size"), ("SPARGAN", 2, "quarter size"),
         ("DICGAN", 0, "whole face"), ("SFMGAN", 1, "spectrum"), ("AMIGAN", 0, "whole face")]
fields = [field(NARROW[name], which) for name, which, _ in LOOKS]
figure = show([[heat.clamp(min=1e-3).log10() for heat, _ in fields]], [f"{name}\n{what}" for name, _, what in LOOKS],
              captions=[[f"{side} pixels" for _, side in fields]])
for axis in figure.axes:
    axis.images[0].set_clim(-3, 0)
plt.show()

swapped = target[mine:mine + 1].clone()
swapped[..., 82:106, 44:88] = target[mine + 1, :, 82:106, 44:88]  # one portrait with the other's mouth
rows = []
with torch.no_grad():
    for name, adversary in NARROW.items():
        ours = adversary.judge(target[mine:mine + 1], x[mine:mine + 1])
        changed = adversary.judge(swapped, x[mine:mine + 1])
        rows.append([name, ", ".join(f"{int((a != b).sum())} of {a.numel()}" for a, b in zip(ours, changed))])
table(rows, ["GAN", "logits that change with the mouth"])

amplitude, moved = (spectrum(image)[0] for image in (target[mine:mine + 1], target[mine:mine + 1].roll(16, -1)))
torch.testing.assert_close(amplitude, moved, rtol=1e-3, atol=1e-3)  # 16 pixels to the side: the same amplitudes

# %% [markdown]
# FSRGAN's logits say **where** something is wrong: only those change whose patch contains a part of the mouth. In SPARGAN all change: its instance norm takes means over the whole map. The spectrum's discriminator sees everything from its first layer on.
#
# <details><summary>More about these pictures</summary>
#
# - A pixel in the middle reaches FSRGAN's logit on many more ways than one at the rim. So the patch has no sharp edge.
# - The fine pattern comes from the stride: 3×3 filters with stride 2 overlap unevenly, 4×4 filters evenly. Max pooling passes on only the largest value.
# - SPARGAN's convolutions reach 65 pixels at full size. Beyond them only the instance norm acts, and faintly.
# - Each coefficient of a spectrum is a sum over all pixels. An amplitude does not know where something is: move the face round the edge of the picture, and no amplitude changes. The place is in the phase alone. The code above checks it.
#
# </details>
#
# ### What each adds to the loss
#
# The weights of the generator's loss, and both step sizes. `other` is SPARGAN's feature matching, and the loss of SFMGAN's second discriminator.

# %%
def folded(summary, rows, headers):
    """A table that opens with a click."""
    inside = tabulate(rows, headers, tablefmt="html", disable_numparse=True)
    display(HTML(f"<details><summary>{summary}</summary>{inside}</details>"))


rows, origins = [], []
for name, GAN in GANS.items():
    weights = GAN.WEIGHTS
    other = [f"{part} {weights[part]:g}" for part in ("matching", "spectrum") if part in weights]
    pixels = f"L1 {weights['pixel']:g}" if "pixel" in weights else f"squared error {weights['mse']:g}"
    rows.append([name, pixels, f"{weights['perceptual']:g}", f"{GAN.LOSS} {weights['adversarial']:g}",
                 ", ".join(other), f"{GAN.LR:g}", f"{GAN.D_LR:g}"])
    text = inspect.getdoc(sys.modules[GAN.__module__])
    if name == "AMIGAN":
        told, chosen = text.split("\n\n")[1].split(" Ours: ")
    else:
        told, chosen = text[text.index("As described: "):].removeprefix("As described: ").split("Chosen by us: ")
    origins.append([name, " ".join(told.split()), " ".join(chosen.split())])
table(rows, ["GAN", "pixels", "perceptual (VGG19)", "adversarial", "other", "step size", "discriminator's"])
folded("What their authors describe, and what we chose",
       origins, ["GAN", "described, or in the authors' code", "chosen by us"])

# %% [markdown]
# A weight says nothing without the size of what it multiplies. Compare the **pull** instead: the norm of each part's gradient at the restored picture, with its weight. We measure it in a live training of a narrow SPARGAN on synthetic faces, without VGG19.

# %%
torch.manual_seed(seed)
possible = ("sparnet-hd-mini-0", "sparnet-mini-0", "pocket-s")
start = next(name for name in possible if (PRETRAINED / f"{name}.safetensors").exists())
pool, fresh = draw_faces(16, seed + 7), draw_faces(6, seed + 8)  # to train on, to look at
pool_x, pool_y = to_float(upsample(degrade(pool))), to_float(pool)
generator, adversary = load_weights(start)[0], SPARGAN(width=12)
FRESH = {"before": restore(generator, fresh)}
generator.train()
optimizers = [torch.optim.Adam(generator.parameters(), lr=SPARGAN.LR, betas=(0.9, 0.99)),
              torch.optim.Adam(adversary.parameters(), lr=SPARGAN.D_LR, betas=(0.9, 0.99))]
curves, pull = [], {}
for step in range(steps):
    who = torch.randperm(len(pool))[:2]
    sr = generator(pool_x[who])
    loss, parts = adversary.generator_loss(sr, pool_y[who], pool_x[who], None)  # None: no VGG19
    d_loss, judged = adversary.discriminator_loss(sr.detach(), pool_y[who], pool_x[who])
    if step in (0, steps - 1):
        pull[step + 1] = {}
        for name in ("pixel", "matching", "adversarial"):
            gradient = torch.autograd.grad(parts[name], sr, retain_graph=True)[0]
            pull[step + 1][name] = adversary.weights[name] * gradient.norm().item()
    for optimizer in optimizers:
        optimizer.zero_grad()
    (loss + d_loss).backward()  # neither loss reaches the other's weights
    for optimizer in optimizers:
        optimizer.step()
    curves.append([value.item() for value in (parts["adversarial"], d_loss, judged["real"], judged["fake"])])
FRESH["after"] = restore(generator, fresh)

# %% tags=["plot"]
figure, axes = plt.subplots(1, 3, figsize=(10.4, 3), layout="constrained")
adversarial, d_loss, real, fake = np.transpose(curves)
axes[0].plot(adversarial, label="generator: − mean logit")
axes[0].plot(d_loss, label="discriminators: hinge")
axes[0].axhline(2, color="gray", ls=":", lw=1)
axes[0].set(title="losses (dotted: all logits 0)", xlabel="step", ylabel="loss")
axes[1].plot(real, label="real patches", color="C2")
axes[1].plot(fake, label="restored patches", color="C3")
axes[1].set(title="discriminators' answers", xlabel="step", ylabel="mean sigmoid of the logits")
for shift, (step, norms) in zip((-0.2, 0.2), pull.items()):
    axes[2].bar(np.arange(3) + shift, list(norms.values()), 0.4, label=f"step {step}")
axes[2].set(title="pull at the picture", ylabel="norm of the gradient")
axes[2].set_xticks(range(3), list(norms))
for axis in axes:
    axis.legend(fontsize=9)
plt.show()

# %%
def radial_power(images):
    """Mean power at 1, 2, ... 63 cycles per face. float (B, 3, 128, 128) -> (63,)."""
    power = torch.fft.fft2(images.mean(1)).abs().square().mean(0)
    cycles = torch.fft.fftfreq(128, 1 / 128)
    radius = (cycles[:, None] ** 2 + cycles[None] ** 2).sqrt().round().long().flatten()
    total = torch.zeros(100).index_add_(0, radius, power.flatten())
    return (total / torch.bincount(radius, minlength=100))[1:64]


def fine_power(images, originals):
    """Power beyond 8 cycles per face, in % of the originals'."""
    return 100 * float(radial_power(images)[8:].sum() / radial_power(originals)[8:].sum())


rows = []
for when, images in FRESH.items():
    score = float(psnr(images, fresh, PROTOCOLS["paper"]).mean())
    rows.append([f"{when} {steps} steps", score, fine_power(images, to_float(fresh))])
table(rows, [f"{start}, {len(fresh)} other faces", "PSNR, dB", "power beyond 8 cycles, %"], digits=1)
table([[name, f"{SPARGAN.WEIGHTS[name]:g}", *(norms[name] for norms in pull.values())] for name in pull[1]],
      ["part of the loss", "weight", *(f"pull at step {step}" for step in pull)])

# %% [markdown]
# The pulls do not follow the weights, so equal weights do not make equal trainings. SPARGAN weighs pixels and adversarial loss 100 to 1, AMIGAN 1 to 0.01. But SPARGAN has a hinge loss on patches, AMIGAN a cross-entropy of the whole face.
#
# ## Why PSNR and FID disagree
#
# Many faces fit one 16×16 picture. PSNR is highest for their *average* ([chapter 01](01_the_problem.ipynb)). The possible edges lie at different places, so the average has soft edges. No photograph looks like that: a discriminator notices it, and so do the features of LPIPS and FID.
#
# A face that looks real must decide for one possibility. Its edges are sharp, and some are at the wrong place. PSNR counts a misplaced edge twice: where it is, and where it should be. So beyond some point a method gains in one only if it loses in the other: the **perception–distortion trade-off** (Blau and Michaeli, 2018).
#
# The spectrum shows the average's softness. 16 pixels carry at most 8 cycles per face in each direction, the circle below. Beyond it a network adds what it was not shown.

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


WEIGHTS = at_hand()
EVERY = [name for gan, parent in START.items() for name in (parent, gan)]
# one scale for all, so that they can be compared: the one with the most weights
CAST_SCALE = max(reversed(SCALES), key=lambda size: sum((run_of(name), size) in WEIGHTS for name in EVERY))
CAST = {name: WEIGHTS[run_of(name), CAST_SCALE] for name in EVERY if (run_of(name), CAST_SCALE) in WEIGHTS}
RESULTS = {"Bicubic": x} | {name: restore(load_weights(weights)[0], hr) for name, weights in CAST.items()}
missing = [name for name in EVERY if name not in CAST]
print(f"scale {CAST_SCALE}: {', '.join(CAST)}; pending: {', '.join(missing) or 'none'}")

pictures = {name: RESULTS[name] for name in ("Bicubic", "AMINet", "AMIGAN") if name in RESULTS} | {"original": target}
amplitudes = [torch.fft.fft2(images[mine + 1].mean(0), norm="ortho").abs() for images in pictures.values()]
figure = show([[torch.fft.fftshift(one).clamp(min=1e-3).log10() for one in amplitudes]], list(pictures))
for axis in figure.axes:
    axis.images[0].set_clim(-3, 1)
    axis.add_patch(plt.Circle((64, 64), 8, fill=False, ec="white", lw=1))
plt.show()

# %% tags=["plot"]
SETS = {"portraits": slice(mine, mine + 2), "synthetic faces": slice(mine + 2, None)}
figure, axes = plt.subplots(1, 2, figsize=(10.4, 3.6), sharey=True, layout="constrained")
colours = {name: f"C{i}" for i, pair in enumerate(reversed(START.items())) for name in pair}
for axis, (what, part) in zip(axes, SETS.items()):
    truth = radial_power(target[part])
    for name, images in RESULTS.items():
        style = "-" if name in START else ":" if name == "Bicubic" else "--"
        ratio = radial_power(images[part]) / truth
        axis.plot(range(1, 64), ratio, label=name, color=colours.get(name, "gray"), ls=style)
    axis.axvline(8, color="black", lw=0.8)
    axis.axhline(1, color="black", lw=0.8)
    axis.set(yscale="log", ylim=(None, 2), xlabel="cycles per face", title=what)
axes[0].set_ylabel("power / the originals'")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
figure.set_label("Power relative to the originals at 1 to 63 cycles per face, for portraits and synthetic faces: "
                 "all lines are near 1 up to 5 cycles and fall beyond")
plt.show()

# %%
table([[name, *(fine_power(images[part], target[part]) for part in SETS.values())]
       for name, images in RESULTS.items()],
      ["power beyond 8 cycles, in % of the originals'", *SETS], digits=0)

# %% [markdown]
# Up to about five cycles all have nearly the right power. Beyond eight, networks trained for pixels (dashed) add a part. The solid lines show what adversarial training changes. Power is not yet detail: noise of the right strength would give the same curve.
#
# ### The trade, measured
#
# What the paper does not print: one network before and after adversarial training, on the same faces. It is AMINet and AMIGAN at our scale `pocket`, one training of each.
#
# <details><summary>How the intervals are made</summary>
#
# The last row has the paired 95 % intervals. They draw people where it is known who is on a picture, else faces. FID has no value for a single face: its interval comes from 100 bootstrap draws of the faces, the same draws for both networks. All intervals speak of these two sets of weights, not of another training.
#
# </details>

# %%
METRICS = {"psnr": ("PSNR, dB", 2, max), "ssim": ("SSIM", 3, max), "vif": ("VIF", 3, max),
           "identity": ("identity", 3, max), "lpips": ("LPIPS", 3, min), "fid": ("FID", 1, min)}


def change(after, before, metric):
    """The mean difference of two records of the same faces with its paired 95 % interval, as text."""
    if metric in before["values"]:
        values = [np.array(record["values"][metric], float) for record in (after, before)]
        gap = paired_difference(*values, people=before["faces"].get("people"))
        numbers = gap["mean"], gap["low"], gap["high"]
    else:
        draws = np.subtract(after["draws"][metric], before["draws"][metric])
        mean = after["means"][metric]["mean"] - before["means"][metric]["mean"]
        numbers = mean, *np.quantile(draws, (0.025, 0.975))
    return "{:+.{d}f} [{:+.{d}f}, {:+.{d}f}]".format(*numbers, d=METRICS[metric][1]).replace("-", "−")


MEASURED = {}  # by faces and metric: the means of bicubic, AMINet and AMIGAN
for faces in ("celeba_test", "flickr_test", "london"):
    paths = [RECORDS / f"{name}-{faces}-paper.json" for name in ("pocket", "pocket-gan")]
    if not all(path.exists() for path in paths):
        print(f"pending: {faces}")
        continue
    first, second = map(read_record, paths)
    assert first["faces"]["fingerprint"] == second["faces"]["fingerprint"] and first["protocol"] == second["protocol"]
    known = [metric for metric in METRICS if metric in first["means"] and metric in second["means"]]
    MEASURED[faces] = {metric: [first["means"][f"bicubic_{metric}"]["mean"], first["means"][metric]["mean"],
                                second["means"][metric]["mean"]] for metric in known}
    columns = [[*MEASURED[faces][metric], *change(second, first, metric).split(" ", 1)] for metric in known]
    headers = [f"pocket, {faces}, {first['faces']['images']:,} faces", *(METRICS[metric][0] for metric in known)]
    table(zip(["bicubic", "AMINet", "AMIGAN", "AMIGAN − AMINet", "its 95 % interval"], *columns), headers,
          best={METRICS[metric][0]: METRICS[metric][2] for metric in known},
          digits={METRICS[metric][0]: METRICS[metric][1] for metric in known})

# %% tags=["plot"]
figure, axes = plt.subplots(1, 3, figsize=(10.4, 3.6), layout="constrained")
for name in PARENT:
    point = float(after[name]["psnr"]), FID[name]
    axes[0].plot(*point, "D", color="C1" if name == "AMIGAN" else "C0")
    axes[0].annotate(name, point, xytext=(0, 7), textcoords="offset points", ha="center", fontsize=9)
axes[0].set(title="Table VIII, Helen", ylabel="FID, lower is better", xlim=(24.6, 26.8), ylim=(116, 156))
for axis, metric in zip(axes[1:], ("fid", "lpips")):
    for i, (faces, values) in enumerate(MEASURED.items()):
        if metric in values:
            axis.plot(values["psnr"], values[metric], "-", color=f"C{i}", lw=1, label=faces)
            for kind, px, py in zip("soD", values["psnr"], values[metric]):
                axis.plot(px, py, kind, color=f"C{i}", ms=6)
    axis.set(title=f"ours: PSNR and {metric.upper()}", ylabel=f"{metric.upper()}, lower is better")
for kind, name in zip("soD", ("bicubic", "AMINet", "AMIGAN")):
    axes[1].plot([], [], kind, color="gray", label=name)
axes[1].legend(fontsize=9, handlelength=1)
for axis in axes:
    axis.set_xlabel("PSNR, dB")
plt.show()

# %% [markdown]
# In our records every metric gets better from bicubic (square) to AMINet (circle). From AMINet to AMIGAN (diamond) the line turns back: PSNR falls, LPIPS and FID improve. `identity`, the agreement of a face recogniser's features, falls, too: the sharper face is *less* like the person.
#
# ## Table VIII, the paper's numbers and ours
#
# This notebook can train every row of ours; by default one, for some seconds, to a number that means nothing. Compare our rows with each other, not with the paper's: the faces are others. Below Table VIII stands each GAN beside its own generator, at scale `mini`. So AMINet is another training here than above: seed 0 of the three whose mean stands in [chapter 12](12_comparisons.ipynb).
#
# <details><summary>How to train rows that count</summary>
#
# `mkdir -p runs && papermill notebooks/13_compared_gans.ipynb runs/13.ipynb --cwd notebooks -p rerun "spargan-*" -p scale smoke` trains SPARGAN, and its start `sparnet-hd` first. A GAN needs the weights of VGG19 and AlexNet; without them the default is FSRGAN's generator, FSRNet. At scale `mini` use the command line, with CelebA at hand ([how](../RESULTS.md)). `python -m aminet reproduce --list --scale mini` says how far each run is.
#
# </details>

# %% tags=["nbval-ignore-output"]
folders = [*os.environ.get("AMINET_WEIGHTS", "").split(os.pathsep), f"{torch.hub.get_dir()}/checkpoints"]
vgg = all(look_in([Path(folder) for folder in folders if folder], NETWORKS[name]) for name in ("vgg19", "alexnet"))
print(train_runs(rerun or ("fsrgan-smoke-0" if vgg else "fsrnet-smoke-0"), scale, budget, DATA.parent / "runs", RECORDS))

# %%
eight = paper_table(8, RECORDS)
rows, best, digits = {}, {}, {}
for cell in eight.cells:
    column = COLUMNS[cell.metric]
    row = rows.setdefault(cell.row, {"": cell.row})
    row[f"{column.name}: paper"] = float(cell.published)
    row[f"{column.name}: ours"] = cell.status if cell.ours is None else cell.ours
    for whose in ("paper", "ours"):
        digits[f"{column.name}: {whose}"] = column.digits
        if any(whose == "paper" or other.ours is not None for other in eight.cells if other.metric == cell.metric):
            best[f"{column.name}: {whose}"] = max if column.higher else min
table([list(row.values()) for row in rows.values()], list(rows["FSRGAN"]), best, digits)
said = [*eight.sources.values(), *dict.fromkeys(eight.trainings.values())]
display(Markdown(f"Ours: {'; '.join(said) or 'pending'}. {' '.join(f'*{note}*' for note in eight.notes)}"))

# %%
BEFORE_AFTER = {}  # by faces and GAN: the means before and after, by metric
for faces in ("celeba_test", "flickr_test"):
    rows = []
    for gan in START:
        paths = [RECORDS / f"{run_of(name)}-mini-0-{faces}-paper.json" for name in (START[gan], gan)]
        if not all(path.exists() for path in paths):
            rows.append([f"{START[gan]} → {gan}", *["pending"] * 6])
            continue
        first, second = map(read_record, paths)
        row, means = [f"{START[gan]} → {gan}"], BEFORE_AFTER.setdefault(faces, {}).setdefault(gan, {})
        for metric in ("psnr", "lpips", "fid"):
            if metric in first["means"] and metric in second["means"]:
                means[metric] = [record["means"][metric]["mean"] for record in (first, second)]
                row.append(" → ".join(f"{mean:.{METRICS[metric][1]}f}" for mean in means[metric]))
                row.append(change(second, first, metric))
            else:
                row += ["not measured"] * 2
        rows.append(row)
    table(rows, [faces, "PSNR, dB", "change [95 %]", "LPIPS", "change [95 %]", "FID", "change [95 %]"])

for faces, trainings in BEFORE_AFTER.items():
    lower = {metric: sum(means[metric][1] < means[metric][0] for means in trainings.values() if metric in means)
             for metric in ("psnr", "lpips", "fid")}
    both = [means["fid"] for means in trainings.values() if "fid" in means]
    sentence = (f"{faces}: of {len(trainings)} adversarial trainings, PSNR is lower after {lower['psnr']}, "
                f"LPIPS after {lower['lpips']}")
    if both:
        sentence += f", FID after {lower['fid']} of {len(both)}"
    if len(both) > 2:
        sentence += f"; Kendall's tau of the FIDs before and after: {kendalltau(*zip(*both))[0]:+.1f}"
    print(sentence)

# %% [markdown]
# The counts say how often PSNR was paid for perception. The differences do not rank the GANs, for each starts from another generator.
#
# <details><summary>What else these differences contain</summary>
#
# Adversarial training also continues the training: its pictures come on top of those for pixels. No generator here was trained on for as long without a discriminator. Where Kendall's tau is printed, it compares the order of the FIDs before with the order after. At +1 the order was there before any discriminator, and is one of generators.
#
# </details>
#
# ## What can a FID of few faces tell?
#
# FID takes 2,048 features of each face, fits a Gaussian to each *set* of faces, and computes the distance of both:
#
# $$\|\mu_a - \mu_b\|^2 + \mathrm{tr}\big(\Sigma_a + \Sigma_b - 2(\Sigma_a\Sigma_b)^{1/2}\big)$$
#
# Means $\mu$ and covariances $\Sigma$ are estimated from $N$ faces: two million numbers. The paper does not state its $N$; earlier papers used 50 faces of Helen. We draw $N$ points twice from the *same* Gaussian. The true distance is 0, and what we measure is **bias**.

# %%
def frechet(a, b):
    """The formula for two samples (N, d); tr (S_a S_b)^(1/2) is a sum of singular values."""
    n, gap = len(a), np.square(a.mean(0) - b.mean(0)).sum()
    a, b = a - a.mean(0), b - b.mean(0)
    trace = (np.square(a).sum() + np.square(b).sum()) / (n - 1)
    if n > a.shape[1]:
        a, b = np.linalg.qr(a)[1], np.linalg.qr(b)[1]  # the same covariance from d rows
    return gap + trace - 2 * np.linalg.svd(a @ b.T, compute_uv=False).sum() / (n - 1)


rng = np.random.default_rng(seed)
FEW = (50, 100, 200, 500, 1000)
falling = 1 / np.sqrt(np.arange(1, 2049))  # standard deviations: the variances are 1, 1/2, 1/3, ...
SETTINGS = {"d = 64, equal": (np.ones(64), 0), "d = 2048, equal": (np.ones(2048), 0),
            "d = 2048, falling": (falling, 0), "correlation 0.5": (falling, 0.5), "correlation 0.9": (falling, 0.9)}
BIAS = {}
for label, (deviations, alike) in SETTINGS.items():
    BIAS[label] = []
    for n in FEW:
        a = rng.normal(size=(n, len(deviations))) * deviations
        other = rng.normal(size=(n, len(deviations))) * deviations
        b = alike * a + (1 - alike**2) ** 0.5 * other  # the same Gaussian, each point correlated with its partner
        BIAS[label].append(frechet(a, b) / np.square(deviations).sum())

METHODS = {"perfect": (1.0, 0.0), "shifted by 0.2": (1.0, 0.2), "too smooth by 30 %": (0.7, 0.0)}  # deviation, mean
MANY = (50, 100, 200, 500, 1000, 5000)
MEANS = {}
for name, (deviation, mean) in METHODS.items():
    MEANS[name] = []
    for n in MANY:
        draws = [frechet(rng.normal(size=(n, 64)), mean + deviation * rng.normal(size=(n, 64))) for _ in range(5)]
        MEANS[name].append(float(np.mean(draws)))
TRUE = {name: 64 * (mean**2 + (1 - deviation) ** 2) for name, (deviation, mean) in METHODS.items()}

# %% tags=["plot"]
figure, axes = plt.subplots(1, 3, figsize=(10.4, 3.5), layout="constrained")
labels = list(BIAS)
for label in labels[:3]:
    axes[0].plot(FEW, BIAS[label], ".-", label=label, color=f"C{labels.index(label)}")
for label in labels[2:]:
    words = label.replace("d = 2048, falling", "independent")
    axes[1].plot(FEW, BIAS[label], ".-", label=words, color=f"C{labels.index(label)}")
axes[0].set(title="two samples of one Gaussian", ylim=(0, 2.5), ylabel="distance / total variance (truth: 0)")
axes[1].set(title="pairs of faces, d = 2048, falling", ylim=(0, 1.4), ylabel="distance / total variance (truth: 0)")
for i, (name, values) in enumerate(MEANS.items()):
    axes[2].plot(MANY, values, ".-", label=name, color=f"C{i}")
    axes[2].plot(8000, max(TRUE[name], 0.35), "<", color=f"C{i}")
axes[2].set(yscale="log", title="three methods, d = 64", ylabel="distance (triangle: truth)")
for axis, ticks in zip(axes, (FEW, FEW, (50, 200, 1000, 5000))):
    axis.set(xscale="log", xlabel="N, points of each sample")
    axis.set_xticks(ticks, ticks)
    axis.minorticks_off()
    axis.legend(fontsize=9)
plt.show()

# %%
headers = ["distance at N =", *(f"{n:,}" for n in MANY), "truth"]
table([[name, *values, float(TRUE[name])] for name, values in MEANS.items()], headers,
      best=dict.fromkeys(headers[1:], min), digits=1)

# %%
rows = []
for path in sorted(RECORDS.glob("*-paper.json")):
    record = read_record(path)
    if "fid" in record["means"]:
        draws = np.array(record["draws"]["fid"])
        numbers = [record["means"]["fid"]["mean"], draws.mean(), draws.std()]
        rows.append([path.name.removesuffix("-paper.json"), f"{record['faces']['images']:,}",
                     *(f"{number:.1f}" for number in numbers)])
folded("Our FIDs, each with its number of faces; bootstrap draws repeat faces, and so lie higher",
       rows, ["record", "N", "FID", "mean of the draws", "their standard deviation"])

# %% [markdown]
# - **The bias is large** (left). Even 1,000 points do not end it in 2,048 dimensions.
# - **The bias differs between methods** (right, table). A method that is too smooth varies less and is biased less. With few points it beats a *perfect* one.
# - **Restored faces have less bias than invented ones** (middle). Each belongs to *its* original, so both sets share their chance variation. How much less, a FID does not tell.
#
# So state the number of faces with every FID, never compare FIDs of different $N$, and show LPIPS beside them.
#
# ## Faces side by side
#
# The two portraits, by every network of Table VIII whose weights are at hand:

# %%
SCORE = {name: psnr(images, hr, PROTOCOLS["paper"]) for name, images in RESULTS.items()}
names = [*RESULTS, "original"]
columns = ceil(len(names) / ceil(len(names) / 6))  # rows of equal length, at most 6
for i in range(mine + 2):
    faces = [target[i] if name == "original" else RESULTS[name][i] for name in names]
    words = [name if name == "original" else f"{name}\n{SCORE[name][i]:.2f} dB" for name in names]
    cuts = range(0, len(names), columns)
    show([faces[k:k + columns] for k in cuts], captions=[words[k:k + columns] for k in cuts])
    plt.show()

# %% [markdown]
# The portraits' eyes, enlarged; then AMIGAN's best and worst synthetic face, with the errors four times as bright:

# %%
pair = [name for name in ("AMINet", "AMIGAN") if name in RESULTS]
show([[*(eyes(RESULTS[name][i]) for name in ("Bicubic", *pair)), eyes(target[i])] for i in range(mine + 2)],
     ["Bicubic", *pair, "original"], scale=1.5)
plt.show()

drawn = np.arange(mine + 2, len(hr))
by_score = drawn[np.argsort(SCORE[pair[-1] if pair else "Bicubic"][drawn])]
rows, captions = [], []
for i in (*range(mine + 2), by_score[-1], by_score[0]):
    rows.append([degrade(hr[i:i + 1])[0], *(RESULTS[name][i] for name in pair), target[i],
                 *(error_map(RESULTS[name][i], target[i]) for name in pair)])
    captions.append(["", *(f"{SCORE[name][i]:.2f} dB" for name in pair)])
labels = [*(f"yours {i + 1}" for i in range(mine)), *map(str.title, portraits()), "best", "worst"]
show(rows, ["LR", *pair, "original", *(f"error of {name}" for name in pair)], labels, captions)
plt.show()

table([[name, *(float(f(SCORE[name][drawn])) for f in (np.mean, np.min, np.max)),
        float(variety(images[drawn], target[drawn]))] for name, images in RESULTS.items()],
      [f"{len(drawn)} synthetic faces", "PSNR, dB", "lowest", "highest", "variety"],
      best={"PSNR, dB": max, "lowest": max, "highest": max})

# %% [markdown]
# Adversarial training shows where L1 left nothing: at edges, hair, teeth and skin. (A `variety` near 1 means no collapse; FSRGAN's is the lowest.) The errors did not go away. To *recognise* somebody, trust neither face: at 16 pixels details are guesses.
#
# <details><summary>What the paper leaves open</summary>
#
# > "Our AMIGAN can reconstruct high-quality face images with clear facial components." (caption of Fig. 10)
#
# Fig. 10 shows faces of Helen; how they were chosen is not said. A few faces cannot show how often the claim holds.
#
# </details>
#
# ## What holds
#
# In the present records:

# %%
done = [cell for cell in eight.cells if cell.metric == "fid" and cell.ours is not None]
done.sort(key=lambda cell: cell.ours)
rows = []
for place, cell in enumerate(done, 1):
    gap = "" if cell.difference_low is None else (
        f"{cell.difference:+.1f} [{cell.difference_low:+.1f}, {cell.difference_high:+.1f}]".replace("-", "−"))
    rows.append([place, cell.row, cell.ours, cell.scale, len(cell.seeds), gap])
if rows:
    table(rows, ["place", "row of Table VIII", "FID, ours", "scale", "trainings", "to AMIGAN [95 %]"], digits=1)
pending = [cell.row.split()[0] for cell in eight.cells if cell.metric == "fid" and cell.ours is None]
print(f"{len(done)} of {len(PARENT)} rows are measured; pending: {', '.join(pending) or 'none'}")
for metric, words in (("fid", "FID"), ("lpips", "LPIPS"), ("psnr", "PSNR")):
    sets = [values[metric] for values in MEASURED.values() if metric in values]
    lower = sum(gan < net for _, net, gan in sets)
    print(f"AMIGAN against its own AMINet: {words} is lower on {lower} of {len(sets)} sets of faces")

# %% [markdown]
# **It holds**, as far as these counts say so, that the perceptual and the adversarial loss together trade PSNR for LPIPS and FID. Which of the two does it cannot be told: no training has one alone.
#
# **It cannot be told** whether AMIGAN's adversarial training is the best. Each GAN has its own generator, and AMINet leads Table VII before any discriminator. One generator against five discriminators would separate the two. And an order of single trainings may change with the next ones.
#
# ## Exercises
#
# ### Exercise 1: a gain or a trade?
#
# *Level 1, 10 minutes.* You get the 95 % intervals of two paired changes by adversarial training, after − before: `psnr_change` and `lpips_change`, each `(low, high)`. A metric has clearly changed if its interval does not contain 0; an interval that ends at 0 contains it. Write `reading(psnr_change, lpips_change)`, which returns
#
# - `"trade"`: one metric is clearly better, the other clearly worse;
# - `"better"` or `"worse"`: at least one clearly is, and the other is not clearly the opposite;
# - `"open"`: neither has clearly changed.

# %% tags=["exercise"]
def reading(psnr_change: tuple[float, float], lpips_change: tuple[float, float]) -> str:
    """Return "better", "worse", "trade" or "open"."""
    ...  # your turn


passed = check("13.1", reading)

# %% tags=["solution"]
def direction(low, high):
    """1: clearly higher, -1: clearly lower, 0: open."""
    if low > 0:
        return 1
    return -1 if high < 0 else 0


def reading(psnr_change, lpips_change):
    directions = {direction(*psnr_change), -direction(*lpips_change)}  # a lower LPIPS is better
    if directions == {1, -1}:
        return "trade"
    if 1 in directions:
        return "better"
    return "worse" if -1 in directions else "open"


passed = check("13.1", reading)

# %% [markdown]
# ### Exercise 2: feature matching
#
# *Level 2, 15 minutes.* Write SPARGAN's feature matching, `matching(fake, real)`. Both have one entry for each discriminator: the list of its layers' maps, of which the last holds the logits. Take the mean absolute difference of each layer's maps, without the logits. Sum over a discriminator's layers, and average over the discriminators. The check compares value 0, the loss, and value 1, its slope for each map of `fake`: a loss must train.

# %% tags=["exercise"]
def matching(fake: list[list[torch.Tensor]], real: list[list[torch.Tensor]]) -> torch.Tensor:
    """Return the feature matching loss, one number."""
    ...  # your turn


passed = check("13.2", matching)

# %% tags=["solution"]
def matching(fake, real):
    of_each = []
    for fake_maps, real_maps in zip(fake, real):
        gaps = [F.l1_loss(a, b) for a, b in zip(fake_maps[:-1], real_maps[:-1])]
        of_each.append(sum(gaps))
    return sum(of_each) / len(of_each)


passed = check("13.2", matching)

# %% [markdown]
# ### Exercise 3: the Fréchet distance on a line
#
# *Level 2, 15 minutes.* Take FID's formula for one feature instead of 2,048, so that $\Sigma = \sigma^2$. Simplify it, and write `line(mean_a, deviation_a, mean_b, deviation_b)`. Then think: does FID notice a generator with the right mean and a smaller $\sigma$? And one that always draws the same perfect face?

# %% tags=["exercise"]
def line(mean_a: float, deviation_a: float, mean_b: float, deviation_b: float) -> float:
    """Return the Fréchet distance of two Gaussians on a line."""
    ...  # your turn


passed = check("13.3", line)

# %% tags=["solution"]
def line(mean_a, deviation_a, mean_b, deviation_b):
    return (mean_a - mean_b) ** 2 + (deviation_a - deviation_b) ** 2


passed = check("13.3", line)

# %% [markdown]
# <details><summary>Answer to the last two questions</summary>
#
# FID notices the smaller $\sigma$, of faces that are all a little too smooth, by the second term alone. The same face again and again has $\sigma = 0$. If it is the mean face, its distance to the real faces is their $\sigma^2$: FID counts missing variety.
#
# </details>
#
# ## What to remember
#
# 1. A discriminator can teach only what it sees. Compare losses by their pull, not by their weights.
# 2. PSNR is highest for an average, and an average does not look real. Show both kinds of metrics, before and after, with paired intervals.
# 3. A FID belongs to its number of faces. With few it is largely bias, and even the order can be wrong.
#
# To read on: M. Heusel et al., [GANs Trained by a Two Time-Scale Update Rule](https://arxiv.org/abs/1706.08500) (2017), for FID; M. Chong and D. Forsyth, [Effectively Unbiased FID](https://arxiv.org/abs/1911.07023) (2020); R. Zhang et al., [The Unreasonable Effectiveness of Deep Features](https://arxiv.org/abs/1801.03924) (2018), for LPIPS; Y. Blau and T. Michaeli, [The Perception-Distortion Tradeoff](https://arxiv.org/abs/1711.06077) (2018).
#
# Next: [14 · Faces at work](14_faces_at_work.ipynb)
