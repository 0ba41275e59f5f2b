# ---
# jupyter:
#   jupytext:
#     formats: notebooks///ipynb,notebooks///py:percent
#     notebook_metadata_filter: kernelspec,-all
#     cell_metadata_filter: tags,-all
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 13 · The GANs compared
#
# FSRGAN, DICGAN, SPARGAN, SFMGAN and AMIGAN: five generators that were trained for PSNR first, and five judges that made them sharp. What does each judge see? Then Table VIII and Fig. 10, and what a FID of 122 means.
#
# *About 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/13_compared_gans.ipynb) · previous: [12 · Comparisons](12_comparisons.ipynb) · next: [A · Symbols and shapes](A_symbols_and_shapes.ipynb)
#
# You will be able to
#
# - **say** what a discriminator judges: a face, a patch, a face at three sizes, a spectrum; and measure it;
# - **weigh** a GAN's losses against each other, by their gradients and not by their factors;
# - **doubt** a FID: its bias with the number of faces, its spread, and what it cannot see.

# %% tags=["parameters"]
records = ""  # folder of records; empty: the course's own
own = ""  # your faces, folders and zips, also looked for in $AMINET_FACES; empty: none
synthetic = 16  # synthetic faces to restore, beside the two portraits
steps = 24  # of the live game
seed = 0
PARAMETERS = {*globals(), "PARAMETERS"}

# %% tags=["setup"]
import os
import sys
from pathlib import Path

if not Path("../aminet").exists():  # on Colab: fetch the course and what its image lacks
    get_ipython().system("git clone -q https://github.com/aminet-course/aminet /content/aminet")
    get_ipython().system("pip install -q -r /content/aminet/notebooks/colab.txt")
    os.chdir("/content/aminet/notebooks")
sys.path.insert(0, "..")
from aminet.notebook import begin, grade, show

begin(globals(), PARAMETERS)

# %%
import inspect
from textwrap import dedent, fill

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Markdown, display
from matplotlib.patches import FancyBboxPatch
from scipy.linalg import sqrtm
from scipy.stats import kendalltau
from torch.nn import functional as F

from aminet.amigan import GANRecipe
from aminet.baselines.dicgan import DICGAN
from aminet.baselines.fsrgan import FSRGAN
from aminet.baselines.sfmgan import SFMGAN
from aminet.baselines.spargan import SPARGAN
from aminet.degrade import degrade, to_float, upsample
from aminet.evaluate import read_record
from aminet.inputs import open_faces
from aminet.notebook import ROOT
from aminet.portraits import portraits
from aminet.protocol import PROTOCOLS, paired_difference, psnr
from aminet.synthetic import faces as draw_faces
from aminet.tables import SCALES, published, side_by_side, table
from aminet.train import restore
from aminet.weights import PRETRAINED, load_weights

RECORDS = Path(records or ROOT / "data" / "records")

# %% [markdown]
# ## First your prediction
#
# Each generator of Table VIII has a row in Table VII, too, on the same Helen faces, before it met its judge. So the price of the game is printed: PSNR lost. How many decibels does each lose? And does the one with the best FID pay the most?

# %%
PARENT = {"FSRGAN": "FSRNet", "DICGAN": "DICNet", "SPARGAN": "SPARNet", "SFMGAN": "SFMNet", "AMIGAN (Ours)": "AMINet"}
prediction = {"FSRGAN": 0.5, "DICGAN": 0.5, "SPARGAN": 0.5, "SFMGAN": 0.5, "AMIGAN (Ours)": 0.5}  # dB lost: edit me

before = {row["row"]: row for row in published(7)}
after = {row["row"]: row for row in published(8)}
LOST = {name: float(before[parent]["helen_psnr"]) - float(after[name]["psnr"]) for name, parent in PARENT.items()}
print(f"{'':14s}{'you':>6s}{'lost, dB':>10s}{'FID':>8s}{'VIF':>8s}{'VIF before':>12s}")
for name, parent in PARENT.items():
    print(f"{name:14s}{prediction[name]:6.1f}{LOST[name]:10.2f}{after[name]['fid']:>8s}{after[name]['vif']:>8s}"
          f"{before[parent]['helen_vif']:>12s}")
fids = [float(after[name]["fid"]) for name in PARENT]
tau, p = kendalltau(list(LOST.values()), fids)
print(f"\nlost PSNR against FID: tau {tau:.2f} (p = {p:.2f}); PSNR against FID: tau "
      f"{kendalltau([float(after[name]['psnr']) for name in PARENT], fids)[0]:.2f}")

# %% [markdown]
# All five lose between 0.4 and 0.9 dB: sharp guesses are wrong more often than blurred ones. In theory there is a trade: at a limit, a better distribution costs distortion. In this table there is none to be seen; the order by PSNR is almost the order by FID, AMIGAN has the best of both. That is what one sees when the *generators* differ more than the games do. And no FID of the five networks *before* their game is printed, so the table does not show what the game gained. Ours below does.
#
# ## Five judges
#
# A discriminator is a question. DICGAN and AMIGAN ask: is this face real? FSRGAN: is this patch real, *given the blurred face it was made from*? SPARGAN: are the patches of this face real, at three sizes? SFMGAN: is this face real, and is its spectrum?

# %%
JUDGES = {"FSRGAN": FSRGAN, "DICGAN": DICGAN, "SPARGAN": SPARGAN, "SFMGAN": SFMGAN}
SEEN = {  # what goes in, and what comes out, drawn one below the other
    "FSRGAN": ([("SR face", 1.0), ("its input", 1.0)], "patches of 70 x 70"),
    "DICGAN": ([("SR face", 1.0)], "the whole face"),
    "SPARGAN": ([("SR face", 1.0), ("half", 0.6), ("a quarter", 0.36)], "patches, three judges"),
    "SFMGAN": ([("SR face", 1.0), ("its spectrum", 0.8)], "the whole, two judges"),
    "AMIGAN": ([("SR face", 1.0)], "the whole face"),
}


def boxes(axis, x, inputs, verdict, colours):
    """One judge: its inputs in a column, and an arrow to its verdict."""
    top = 3.4
    for (text, side), colour in zip(inputs, colours):
        axis.add_patch(FancyBboxPatch((x - side / 2, top - side), side, side, boxstyle="round,pad=0.02", fc=colour, ec="black", lw=0.8))
        axis.text(x, top - side / 2, text, ha="center", va="center", fontsize=7)
        top -= side + 0.18
    axis.annotate("", (x, 0.45), (x, top + 0.12), arrowprops=dict(arrowstyle="->", lw=1))
    axis.text(x, 0.25, verdict, ha="center", va="top", fontsize=7.5)


figure, axis = plt.subplots(figsize=(8.4, 3.2), layout="constrained")
for i, (name, (inputs, verdict)) in enumerate(SEEN.items()):
    boxes(axis, 1.7 * i, inputs, verdict, ["#cfe0f5", "#f5dccb", "#d6ecd9"])
    axis.text(1.7 * i, 3.75, name, ha="center", weight="bold", fontsize=9)
axis.set(xlim=(-0.95, 7.75), ylim=(-0.15, 4.0), aspect="equal")
axis.axis("off")
plt.show()

hr = torch.cat([torch.stack(list(portraits().values())), draw_faces(synthetic, seed + 300)])       # (B, 3, 128, 128) uint8
if own:
    hr = torch.cat([open_faces(own.split(), progress=False)[0][:2], hr])
target, x = to_float(hr), to_float(upsample(degrade(hr)))
print(f"{'':9s}{'parameters':>12s}   logits for two faces")
for name, Judge in JUDGES.items():
    judge = Judge().eval()
    with torch.no_grad():
        logits = judge.judge(target[:2], x[:2])
    print(f"{name:9s}{sum(p.numel() for p in judge.parameters()):12,d}   " + ", ".join(str(tuple(v.shape)) for v in logits))

# %% [markdown]
# Now what makes each what it is, from [`aminet/baselines`](../aminet/baselines/README.md), each with what its file says of it. A loss is a sum, and its factors are part of the method: the table below them has all. (AMIGAN's own losses and judge are [notebook 10](10_train_amigan.ipynb)'s subject.)

# %%
def own_lines(name, *pieces):
    """What a GAN's file says of it, and the source of some of its functions, without their docstrings."""
    who, what, facts = inspect.getdoc(sys.modules[f"aminet.baselines.{name.lower()}"]).split("\n\n")[:3]
    code = []
    for piece in pieces:
        head, _, rest = dedent(inspect.getsource(piece)).partition('"""')
        code.append(head.rstrip() + rest.partition('"""')[2])
    display(Markdown(f"**{name}.** {what}\n\n*{facts}*\n\n```python\n" + "\n".join(code) + "```"))


own_lines("FSRGAN", FSRGAN.judge)
own_lines("DICGAN", DICGAN.judge, DICGAN.discriminator_loss)
own_lines("SPARGAN", SPARGAN.features, SPARGAN.judge)
own_lines("SFMGAN", SFMGAN.judge)

recipe = GANRecipe(images=1, batch=1)
print(f"{'':9s}{'loss':>9s}{'pixel':>8s}{'perceptual':>12s}{'adversarial':>13s}{'other':>18s}{'steps G':>10s}{'D':>9s}")
for name, Judge in JUDGES.items():
    other = f"matching {Judge.MATCHING:g}" if hasattr(Judge, "MATCHING") else f"spectrum {Judge.SPECTRUM:g}" if hasattr(Judge, "SPECTRUM") else ""
    print(f"{name:9s}{Judge.LOSS:>9s}{Judge.PIXEL:8g}{Judge.PERCEPTUAL:12g}{Judge.ADVERSARIAL:13g}{other:>18s}{Judge.LR:10g}{Judge.D_LR:9g}")
print(f"{'AMIGAN':9s}{recipe.loss:>9s}{recipe.pixel:8g}{recipe.perceptual:12g}{recipe.adversarial:13g}{'':18s}{recipe.lr:10g}{recipe.d_lr:9g}")

# %% [markdown]
# ### How far does a logit see?
#
# "A patch discriminator of 70x70" is a claim that can be measured: which pixels have a gradient from one logit? And is the whole square equally important? Below, the mean absolute gradient of one logit (for the two that judge the whole face, of the only one) with respect to the face, on noise, with random weights, on a logarithmic scale.

# %%
def field(judge, which=-1, tries=6):
    """Mean |d logit / d image| of the middle logit of one of a judge's outputs, and the side of the square it reaches."""
    heat = torch.zeros(128, 128)
    for attempt in range(tries):
        image = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(attempt)).requires_grad_()
        logits = judge.judge(image, torch.zeros(1, 3, 128, 128))[which]
        middle = logits if logits.dim() == 1 else logits[..., logits.shape[-2] // 2, logits.shape[-1] // 2]
        heat += torch.autograd.grad(middle.sum(), image)[0].abs().sum((0, 1))
    rows = (heat.sum(1) > 0).nonzero()
    return heat / heat.max(), int(rows.max() - rows.min() + 1)


torch.manual_seed(seed)
looks = {"FSRGAN": (FSRGAN, 0), "SPARGAN, full": (SPARGAN, 0), "SPARGAN, half": (SPARGAN, 1), "SPARGAN, quarter": (SPARGAN, 2),
         "DICGAN": (DICGAN, 0), "SFMGAN, face": (SFMGAN, 0), "SFMGAN, spectrum": (SFMGAN, 1)}
figure, axes = plt.subplots(1, len(looks), figsize=(8.8, 1.75), layout="constrained")
for axis, (name, (Judge, which)) in zip(axes, looks.items()):
    heat, side = field(Judge(width=16).eval(), which)
    axis.imshow(heat.clamp(min=1e-3).log10(), cmap="magma", vmin=-3, vmax=0)
    axis.set(xticks=[], yticks=[], title=f"{name.replace(', ', chr(10))}\n{side} px")
    axis.title.set_fontsize(7.5)
    axis.grid(False)
plt.show()

# %% [markdown]
# 70 pixels, as the name says; of the half-size face the same 70 pixels are 140 and more of the original, so that SPARGAN's second and third judges see the whole face, coarsely. And the spectrum's judge sees everything from the first layer on: each Fourier coefficient is a sum over all pixels.
#
# ## What a spectrum gives away
#
# SFMGAN's second judge exists because of this picture: the power of a face at each spatial frequency, averaged over all directions. 16 pixels can carry up to 8 cycles per face. What a network draws beyond that it has invented; a network trained for L1 dares not.

# %% tags=["nbval-ignore-output"]
def radial_power(images):
    """Mean power at 1, 2, ... 63 cycles per face. float (B, 3, 128, 128) -> (63,)."""
    power = torch.fft.fft2(images.mean(1)).abs().square().mean(0)                                # (128, 128)
    cycles = torch.fft.fftfreq(128, 1 / 128)
    radius = (cycles[:, None] ** 2 + cycles[None] ** 2).sqrt().round().long()
    total = torch.zeros(100).index_add_(0, radius.flatten(), power.flatten())
    return (total / torch.bincount(radius.flatten(), minlength=100))[1:64]


def trained(parent, gan):
    """The names of a generator and of its GAN whose weights are both here, at the largest scale; None if there are none."""
    pairs = [(f"{parent}-{scale}-0", f"{gan}-{scale}-0") for scale in reversed(SCALES)]
    if gan == "amigan":
        pairs.insert(-1, ("pocket", "pocket-gan"))                                                # the course's own
    return next((pair for pair in pairs if all((PRETRAINED / f"{name}.safetensors").exists() for name in pair)), None)


PAIRS = {name.split()[0]: (parent, trained(parent.lower(), name.split()[0].lower())) for name, parent in PARENT.items()}
RESULTS = {"Bicubic": x}
for gan, (parent, pair) in PAIRS.items():
    if pair:
        RESULTS |= {name: restore(load_weights(weights)[0], hr) for name, weights in zip((parent, gan), pair)}
print("weights: " + "; ".join(f"{gan} {pair[1]}, before its game {pair[0]}" for gan, (_, pair) in PAIRS.items() if pair))
print("pending: " + (", ".join(gan for gan, (_, pair) in PAIRS.items() if not pair) or "none"))

truth = radial_power(target)
figure, axis = plt.subplots(figsize=(7.4, 3), layout="constrained")
for i, (name, images) in enumerate(RESULTS.items()):
    axis.plot(range(1, 64), radial_power(images) / truth, label=name, color="gray" if name == "Bicubic" else f"C{i // 2}",
              ls="--" if name in PARENT.values() else "-")
axis.axvline(8, color="black", lw=0.8, ls=":")
axis.axhline(1, color="black", lw=0.8)
axis.set(yscale="log", xlabel="cycles per face", ylabel="power / the originals'", ylim=(1e-3, 3), title="dashed: before the game")
axis.legend(fontsize=8, ncols=2)
plt.show()
for name, images in RESULTS.items():
    print(f"{name:10s} power above 8 cycles: {100 * (radial_power(images)[8:].sum() / truth[8:].sum()):5.1f} % of the originals'")

# %% [markdown]
# Up to eight cycles all are nearly right. Beyond, bicubic enlargement has next to nothing, and the network trained for L1 a part of it, where it can be sure. The game adds power. Whether it adds it in the right *places* a radial spectrum does not say, and neither does a FID. PSNR does, in its own strict way.
#
# ## A game, live
#
# SPARGAN's judge, narrow, against a generator that already knows something: `pocket-s`, which is neither SPARNet nor trained for this. Synthetic faces, half a minute, both players at once. What matters here is the balance: printed is how large the *gradient* of each term is at the generator's output, which says more than the factors 100, 10 and 1.

# %% tags=["nbval-ignore-output"]
torch.manual_seed(seed)
generator, judge = load_weights("pocket-s")[0].train(), SPARGAN(width=12)
players = [torch.optim.Adam(generator.parameters(), lr=SPARGAN.LR, betas=(0.9, 0.99)),
           torch.optim.Adam(judge.parameters(), lr=SPARGAN.D_LR, betas=(0.9, 0.99))]
pool = draw_faces(16, seed + 7)
pool_x, pool_y = to_float(upsample(degrade(pool))), to_float(pool)
history, pull = [], {}
for step in range(steps):
    who = torch.randperm(len(pool))[:4]
    sr = generator(pool_x[who])
    loss, parts = judge.generator_loss(sr, pool_y[who], pool_x[who], None)                        # no VGG19 here
    against, judged = judge.discriminator_loss(sr.detach(), pool_y[who], pool_x[who])
    if step in (0, steps - 1):
        factors = {"pixel": SPARGAN.PIXEL, "matching": SPARGAN.MATCHING, "adversarial": SPARGAN.ADVERSARIAL}
        pull[step] = {name: factor * torch.autograd.grad(parts[name], sr, retain_graph=True)[0].norm().item()
                      for name, factor in factors.items()}
    for player in players:
        player.zero_grad()
    (loss + against).backward()
    for player in players:
        player.step()
    history.append([parts["pixel"].item(), parts["matching"].item(), parts["adversarial"].item(), against.item(),
                    judged["real"].item(), judged["fake"].item()])
curves = np.array(history).T
figure, axes = plt.subplots(1, 3, figsize=(8.6, 2.5), layout="constrained")
for axis, rows, names in ((axes[0], (0, 1), ("pixel", "matching")), (axes[1], (2, 3), ("generator, hinge", "judges, hinge")),
                          (axes[2], (4, 5), ("real", "restored"))):
    for row, name in zip(rows, names):
        axis.plot(curves[row], label=name)
    axis.set(xlabel="step")
    axis.legend(fontsize=8)
axes[2].set(title="mean probability of being real", ylim=(0, 1))
plt.show()
for step, norms in pull.items():
    total = sum(norms.values())
    print(f"step {step:3d}: share of the pull at the generator's output: " + ", ".join(f"{name} {100 * v / total:.0f} %" for name, v in norms.items()))

# %% [markdown]
# At the factor 100 the pixel term still outweighs the adversarial one, so SPARGAN stays near its parent. In AMIGAN (1 to 0.01) the ratio of the *factors* is the same, and VGG19's features are summed over sixteen layers. Factors of two papers cannot be compared; the pull at the output can.
#
# ## Table VIII, the paper's and ours
#
# > "Results on the Helen dataset (Table VIII) show that AMIGAN consistently outperforms prior methods." (Sec. IV-D3)
#
# Ours stands in with Flickr portraits, never to be called Helen. A GAN's row needs its generator first, then the game.

# %% tags=["nbval-ignore-output"]
eight = table(8, RECORDS)
print(f"Table VIII. {eight.caption}.")
for line in [f"ours on {text}" for text in eight.sources.values()] + [f"ours: {text}" for text in eight.trainings.values()]:
    print(fill(line, 105, initial_indent="   ", subsequent_indent="      "))
print("\n".join(side_by_side(eight.cells, 105)))
for note in eight.notes:
    print("   note:", note)
print("\nTo fill what is pending (a generator takes hours on a CPU, its game some more):\n"
      "   python -m aminet reproduce --scale pocket --only '*gan-pocket-0'\n"
      "   python -m aminet reproduce --list --scale pocket --only '*gan-pocket-0'    (how long on this machine)")

# %% [markdown]
# ### What our game gained, and what it cost
#
# The pair that is trained here at the same scale, before and after its game, on the same faces: with paired intervals over people where the faces have names, and over faces where not. FID is of the whole set; its interval comes from the bootstrap draws in the record.

# %% tags=["nbval-ignore-output"]
measured = {}
for faces in ("celeba_test", "flickr_test", "london"):
    paths = [RECORDS / f"{name}-{faces}-paper.json" for name in ("pocket", "pocket-gan")]
    if not all(path.exists() for path in paths):
        print(f"pending: {faces}")
        continue
    a, b = map(read_record, paths)
    print(f"{faces}, {a['faces']['images']:,} faces{'':10s}bicubic    AMINet    AMIGAN   AMIGAN - AMINet")
    for metric in ("psnr", "ssim", "vif", "lpips", "identity", "fid"):
        if metric not in a["means"] or metric not in b["means"]:
            continue
        if metric == "fid":
            draws = np.array(b["draws"]["fid"]) - np.array(a["draws"]["fid"])
            low, high = np.quantile(draws, (0.025, 0.975))
            gap = {"mean": b["means"]["fid"]["mean"] - a["means"]["fid"]["mean"], "low": low, "high": high}
        else:
            gap = paired_difference(np.array(b["values"][metric], float), np.array(a["values"][metric], float), people=a["faces"].get("people"))
        digits = 1 if metric == "fid" else 2 if metric == "psnr" else 3
        values = [a["means"][f"bicubic_{metric}"]["mean"], a["means"][metric]["mean"], b["means"][metric]["mean"]]
        print(f"   {metric:24s}" + "".join(f"{v:10.{digits}f}" for v in values)
              + f"   {gap['mean']:+.{digits}f} [{gap['low']:+.{digits}f}, {gap['high']:+.{digits}f}]")
        measured.setdefault(faces, {})[metric] = values

figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3), layout="constrained")
for name in PARENT:
    row = after[name]
    left.plot(float(row["psnr"]), float(row["fid"]), "o", color="C1" if "AMI" in name else "C0")
    left.annotate(name.split()[0], (float(row["psnr"]), float(row["fid"])), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
left.set(xlabel="PSNR, dB", ylabel="FID (lower is better)", title="Table VIII, Helen", xlim=(24.8, 26.6), ylim=(118, 155))
for i, (faces, values) in enumerate(measured.items()):
    if "fid" in values:
        right.plot(values["psnr"], values["fid"], "o-", color=f"C{i}", label=faces)
        for text, p, f in zip(("bicubic", "AMINet", "AMIGAN"), values["psnr"], values["fid"]):
            right.annotate(text, (p, f), xytext=(5, 4), textcoords="offset points", fontsize=7)
right.set(xlabel="PSNR, dB", ylabel="FID", title="ours, scale pocket")
right.margins(0.18)
right.legend(fontsize=8)
plt.show()

# %% [markdown]
# This is the trade that Table VIII does not show: from bicubic to AMINet both get better, and from AMINet to AMIGAN one is paid for the other. A small network and a short game: it says in which direction, not how far it goes at the paper's size.
#
# ### A FID of how many faces?
#
# FID fits a Gaussian to the features of each set and takes the distance of the two Gaussians. From $N$ faces one estimates 2,048 means and two million covariances. So even two samples of *the same* distribution have a large FID when $N$ is small, and Helen's test set in this lineage has 50 faces (the paper does not say how many it used). Here is the effect without any network: two samples of one Gaussian in 64 dimensions; its distance to itself is zero.

# %%
def frechet(a, b):
    """|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) of two samples (N, d)."""
    ma, mb, sa, sb = a.mean(0), b.mean(0), np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    return float(((ma - mb) ** 2).sum() + np.trace(sa + sb) - 2 * np.trace(sqrtm(sa @ sb)).real)


rng = np.random.default_rng(seed)
NS, d = (50, 100, 200, 500, 1000, 5000), 64
bias, spread = {}, {}
for n in NS:
    values = [frechet(rng.normal(size=(n, d)), rng.normal(size=(n, d))) for _ in range(5)]
    bias[n], spread[n] = np.mean(values), np.std(values)
figure, axis = plt.subplots(figsize=(6.4, 2.6), layout="constrained")
axis.errorbar(NS, list(bias.values()), list(spread.values()), fmt="o-", capsize=3)
axis.set(xscale="log", yscale="log", xlabel="N of each sample", ylabel="distance; truth: 0", title=f"one Gaussian against itself, d = {d}",
         xticks=NS, xticklabels=NS)
axis.minorticks_off()
plt.show()
print("   ".join(f"N = {n}: {bias[n]:.2f}" for n in NS))
print(f"from 50 to 5,000 the bias falls {bias[50] / bias[5000]:.0f} times; with 2,048 dimensions and N < 2,048 it is far larger")

# %% [markdown]
# A FID is an order among methods measured on the *same* $N$ faces against the *same* reference, and nothing more. A FID of 122 on 50 faces and one of 74 on 1,000 cannot be compared. In records of this course the number of faces stands beside every FID.
#
# ## Figure 10: faces side by side
#
# > "Our AMIGAN can reconstruct high-quality face images with clear facial components." (caption of Fig. 10)
#
# Fig. 10 shows Helen's. Here are the portraits, and by a rule the synthetic face on which the game cost the most PSNR, and the one on which it cost least. Every GAN whose weights are at hand beside its own generator.

# %% tags=["nbval-ignore-output"]
SCORE = {name: psnr(images, hr, PROTOCOLS["paper"]) for name, images in RESULTS.items()}
yours = len(hr) - 2 - synthetic
cost = SCORE["AMINet"] - SCORE["AMIGAN"]
drawn = np.arange(yours + 2, len(hr))
picked = [*range(yours + 2), drawn[cost[drawn].argmax()], drawn[cost[drawn].argmin()]]
labels = [*(f"yours {i + 1}" for i in range(yours)), *portraits(), "dearest", "cheapest"]
for start in range(0, len(RESULTS), 7):
    part = list(RESULTS)[start:start + 7]
    grid, names = [], []
    for i, label in zip(picked, labels):
        grid += [[*(RESULTS[name][i] for name in part), target[i]],
                 [*((RESULTS[name][i] - target[i]).abs() * 4 - 1 for name in part), None]]
        names += [label, "error x 4"]
    figure = show(grid, [*part, "original"], names, height=1.05)
    axes = np.array(figure.axes).reshape(len(grid), -1)
    for line, i in zip(axes[::2], picked):
        for axis, name in zip(line, part):
            axis.set_xlabel(f"{SCORE[name][i]:.2f} dB", fontsize=8, labelpad=1)
    for axis in axes[:, 0]:
        axis.yaxis.label.set_fontsize(8)
    plt.show()
print(f"the game's price over {len(drawn)} synthetic faces: {cost[drawn].mean():.2f} dB on average, "
      f"from {cost[drawn].min():.2f} to {cost[drawn].max():.2f}")

# %% [markdown]
# The judge's signature is texture where L1 leaves none: in the hair, on the skin, along the teeth. Look at the error maps: the errors of the GAN are not smaller, they are finer. A viewer who does not know the original prefers the right-hand pictures; somebody who must *recognise* a person should prefer none of these: at 16 pixels the details are guesses, whoever makes them.
#
# ## AMIGAN's rank, in our setting

# %% tags=["nbval-ignore-output"]
ranked = [cell for cell in eight.cells if cell.metric == "fid" and cell.ours is not None]
print(f"Table VIII: {len(ranked)} of 5 rows measured; pending: "
      + (", ".join(cell.row.split()[0] for cell in eight.cells if cell.metric == "fid" and cell.ours is None) or "none"))
if len(ranked) > 1:
    for place, cell in enumerate(sorted(ranked, key=lambda cell: cell.ours), 1):
        print(f"   {place}. {cell.row}: FID {cell.ours:.1f} ({cell.scale})")
else:
    print("so nothing can be said yet on AMIGAN's rank among the five; what can be said is its gain over AMINet, above")

# %% [markdown]
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
print("AMIGAN's ten layers before the linear one:", solution_1([(3, 1), (4, 2)] * 5), "pixels")

# %% [markdown]
# ### Exercise 2: feature matching
#
# SPARGAN's generator is also asked to give the judge the same *features* as the real face does: the mean absolute difference of each layer's maps, averaged over the layers, and the logits left out. `fake` and `real` are lists of maps whose last entry is the logits. Write `matching(fake, real)`.

# %% tags=["exercise"]
def truth_2(fake, real):
    gaps = [(a - b).abs().mean() for a, b in zip(fake[:-1], real[:-1])]
    return float(sum(gaps) / len(gaps))


torch.manual_seed(seed)
CASES_2 = []
for sizes in ((8, 4, 2), (16, 8, 4, 2)):
    fake, real = ([torch.randn(2, 3, n, n) for n in sizes] for _ in "ab")
    CASES_2.append(((fake, real), truth_2(fake, real)))


def matching(fake, real):
    ...  # your turn


passed = grade(matching, CASES_2, "one mean for each layer, then the mean over the layers, so that a small map counts as much as a large one")

# %% tags=["solution"]
# one plausible wrong answer, then the solution
def wrong_2(fake, real):
    gaps = torch.cat([(a - b).abs().flatten() for a, b in zip(fake[:-1], real[:-1])])
    return gaps.mean()                                            # the large maps outvote the small ones


def solution_2(fake, real):
    gaps = [F.l1_loss(a, b) for a, b in zip(fake[:-1], real[:-1])]
    return sum(gaps) / len(gaps)


passed = grade(wrong_2, CASES_2, "one mean for each layer, then the mean over the layers, so that a small map counts as much as a large one")
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
# 1. A judge is a question: of a face, of its patches, of its spectrum, of features. A generator becomes sharp only where it is asked.
# 2. Sharpness is paid for in PSNR. Show a network before and after its game, on the same faces, with intervals; Table VIII shows only the after.
# 3. A FID belongs to its number of faces. On 50 it is mostly bias, and only the order on the same faces means something.
#
# Next: [A · Symbols and shapes](A_symbols_and_shapes.ipynb)
