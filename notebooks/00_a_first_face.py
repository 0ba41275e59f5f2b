# %% [markdown]
# # 00 · A first face
#
# The result first: a face of 16×16 pixels becomes one of 128×128, measured, explained and, in the end, made to fail.
#
# *About 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/00_a_first_face.ipynb) · previous: none, it starts here · next: [01 the problem](01_the_problem.ipynb)
#
# **You will be able to**
#
# * **restore** a small face with the course's network and read its two scores, PSNR and SSIM;
# * **see** what the network adds to plain enlargement, and where on the face it does so;
# * **break** it, and say which pictures it was not made for.

# %% tags=["parameters"]
picture = ""     # path of a picture of yours: a 16x16 face, or a photograph with a face
WIDGETS = False  # True in a live notebook: sliders
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

# %% [markdown]
# ## The result
#
# The next cell takes portraits of 128×128 pixels and reduces each to 16×16: 64 pixels become one.
# It enlarges that tiny picture again, once by plain interpolation ("bicubic") and once more with a network, AMINet.
# Neither has seen the original. The two people are Commodore Grace M. Hopper and astronaut Eileen M. Collins; the other two are drawn by a program and are nobody.

# %%
import matplotlib.pyplot as plt
import torch

from aminet.degrade import degrade, to_float, upsample
from aminet.faces.portraits import CREDITS, portraits
from aminet.protocol import PROTOCOLS, psnr, ssim
from aminet.faces.synthetic import faces
from aminet.training.weights import load_weights

model, header = load_weights("pocket")                      # the network of this course, already trained
paper = PROTOCOLS["paper"]                                  # how scores are computed: notebook 02


@torch.inference_mode()
def restored(bicubic):
    """The network's faces. uint8 (N, 3, 128, 128) -> float (N, 3, 128, 128) in [-1, 1]"""
    return model(to_float(bicubic))


names = ["Hopper", "Collins", *(f"synthetic {i}" for i in range(6))]
hr = torch.cat([torch.stack(list(portraits().values())), faces(6)])  # (8, 3, 128, 128) uint8, the originals
lr = degrade(hr)                                                     # (8, 3, 16, 16)
bicubic = upsample(lr)                                               # (8, 3, 128, 128), enlarged again
sr = restored(bicubic)                                                # (8, 3, 128, 128), the network's answer
shown = (0, 1, 5, 7)
figure = show([[lr[i], bicubic[i], sr[i], hr[i]] for i in shown], height=1.8, labels=[names[i] for i in shown],
              titles=["LR 16×16", "bicubic", "AMINet, pocket size", "original"])
for row, i in enumerate(shown):
    for column, x in ((1, bicubic[i]), (2, sr[i])):
        scores = f"{psnr(x[None], hr[i:i + 1], paper)[0]:.1f} dB · {ssim(x[None], hr[i:i + 1], paper)[0]:.2f}"
        figure.axes[4 * row + column].set_xlabel(scores)

# %%
for line in CREDITS.values():
    print(line)

# %% [markdown]
# Look at the four columns for a minute before you read on.
#
# * **LR** (low resolution) is all that the network is told: 768 numbers for a whole face.
# * **bicubic** is the same picture on a finer grid. It is smooth because nothing was added. It is also the network's *input*, and the baseline that every method must beat.
# * **AMINet** returns an **SR** face (super-resolution): edges, eyes, a mouth. They are likely, and they are *guesses*. Compare Hopper's glasses and her mouth with the original.
# * **original** is **HR** (high resolution). It is used only to compute the two numbers under each picture.
#
# Those are PSNR in decibels and SSIM, of which more is better. Both come from the pixels, live, in this notebook.
#
# > "Face super-resolution (FSR), also known as face hallucination, aims at restoring high-resolution (HR) face images from low-resolution (LR) face images [1]." (Sec. I)
#
# The old name is the honest one: *hallucination*. 768 numbers cannot fix 49 152; the rest is knowledge of other faces.
#
# ## Which network this is, and which it is not
#
# Weights travel with a header that says how they were made. Read it before you believe a picture.

# %%
from aminet.config import PRESETS
from aminet.ledger import bill

for preset in ("pocket", "aminet"):
    total = bill(PRESETS[preset])[""]
    print(f"preset {preset:7s}: C = {PRESETS[preset].channels:2d} channels, {total.params / 1e6:5.2f} M parameters")
print()
recipe, learnt = header["recipe"], header["data"]["train"]
print(f"these weights   : preset {header['preset']}, trained on the {header['device'].upper()}, seed {recipe['seed']}")
print(f"faces to learn  : {learnt['images']} from CelebA's training part")
print(f"faces seen      : {header['images']} in all, so each one {header['images'] / learnt['images']:.1f} times")
print(f"chosen on       : {header['data']['val']['images']} validation faces, at {header['val_psnr']:.2f} dB")
print(f"batch and step  : {recipe['batch']} faces, Adam at {recipe['lr']}, {recipe['schedule']}")

# %% [markdown]
# Say it plainly. **This is not the paper's model.** It has the paper's architecture with fewer channels: a twelfth of the parameters, trained on a CPU on the number of faces that the header says.
# The paper trains the wide network of 12.62 M parameters on an RTX 3090. No weights and no code of its authors are public, and its lists of images are not either:
#
# > "In our experiments, we randomly chose 18,000 CelebA images for training and 1,000 for testing." (Sec. IV-A)
#
# So our split is not the paper's split, and no number here may stand in one table with the paper's. What can be compared are our own rows: same faces, same protocol, bicubic against network.

# %% [markdown]
# ## Two numbers for a face
#
# Both scores look at brightness only, at the channel $Y$. With $N = 128 \cdot 128$ pixels,
#
# $$\text{MSE} = \frac1N \sum_{p} \big(Y^{SR}_p - Y^{HR}_p\big)^2, \qquad \text{PSNR} = 10 \log_{10} \frac{255^2}{\text{MSE}} \;\text{dB}.$$
#
# PSNR grows by 3 dB when the squared error halves. SSIM compares brightness, contrast and pattern in small windows; 1 is a perfect match.
# Even so, rounding, cropping and the kind of $Y$ all move the result. One name, `paper`, stands for one full set of such choices.

# %%
print(paper.describe(), end="\n\n")
score = {name: (psnr(x, hr, paper), ssim(x, hr, paper)) for name, x in (("bicubic", bicubic), ("AMINet", sr))}
print(f"{'':13s}{'PSNR (dB)':^26s}{'SSIM':^18s}")
print(f"{'':13s}{'bicubic':>8s}{'AMINet':>9s}{'gain':>8s} {'bicubic':>10s}{'AMINet':>8s}")
for i, name in enumerate(names):
    (p0, s0), (p1, s1) = ((p[i], s[i]) for p, s in score.values())
    print(f"{name:13s}{p0:8.2f}{p1:9.2f}{p1 - p0:+8.2f} {s0:10.3f}{s1:8.3f}")
gain = score["AMINet"][0] - score["bicubic"][0]
print(f"{'mean':13s}{score['bicubic'][0].mean():8.2f}{score['AMINet'][0].mean():9.2f}{gain.mean():+8.2f}")

# %% [markdown]
# Two lessons are hidden in the table. Faces differ from each other by more than the methods do: Hopper's cap and glasses are hard for all.
# And the synthetic faces are another kind of picture, which the network has never been trained on; that it helps them too says that much of its work is not about people.
#
# ### Exercise 1: PSNR by hand
#
# `luma_of(x)` below gives the brightness of one face as a uint8 tensor of shape (128, 128). Write `decibels(a, b)` for two of those.

# %% tags=["exercise"]
from aminet.protocol import luma, to_uint8


def luma_of(x):
    """(3, 128, 128) uint8, or float from the network -> (128, 128) uint8"""
    x = to_uint8(x) if x.is_floating_point() else x
    return torch.from_numpy(luma(x[None].numpy())[0])


CASES_1 = [((luma_of(x[i]), luma_of(hr[i])), float(psnr(x[i:i + 1], hr[i:i + 1], paper)[0]))
           for x in (bicubic, sr) for i in (0, 1)]


def decibels(a, b):
    ...  # your turn


passed = grade(decibels, CASES_1, "mean of the squared differences first, then 10 log10(255^2 / mean).")

# %% tags=["solution"]
# one plausible wrong answer, then the solution
def decibels_of_bytes(a, b):
    mse = (a - b).square().double().mean()  # bytes: 3 - 5 is 254
    return 10 * torch.log10(255**2 / mse)


def decibels(a, b):
    mse = (a.double() - b.double()).square().mean()
    return 10 * torch.log10(255**2 / mse)


hint = "the formula is right; what is 3 - 5 in uint8?"
passed = grade(decibels_of_bytes, CASES_1, hint)
passed = grade(decibels, CASES_1, hint)

# %% [markdown]
# ## Where the errors are
#
# One number per face hides where the face is wrong. The maps show $|Y^{SR}_p - Y^{HR}_p|$, and on the right the difference of the two:
# blue where the network is nearer to the truth than bicubic, red where it is *farther*.

# %%
def error(x, i):
    """Absolute error of brightness at every pixel, (128, 128)."""
    return (luma_of(x).int() - luma_of(hr[i]).int()).abs()


figure, axes = plt.subplots(2, 4, figsize=(7.3, 4.5), layout="constrained")
for i, row in enumerate(axes):
    before, after = error(bicubic[i], i), error(sr[i], i)
    row[0].imshow(hr[i].permute(1, 2, 0))
    size = [axis.imshow(e, vmin=0, vmax=80) for axis, e in zip(row[1:], (before, after))][0]
    change = row[3].imshow(before - after, cmap="RdBu", vmin=-60, vmax=60)
    row[0].set_ylabel(names[i])
    row[3].set_xlabel(f"nearer at {100 * float((after < before).float().mean()):.0f} %, "
                      f"farther at {100 * float((after > before).float().mean()):.0f} %", fontsize=8)
for axis, title in zip(axes[0], ("original", "error of bicubic", "error of AMINet", "bicubic − AMINet")):
    axis.set_title(title)
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    axis.grid(False)
options = {"location": "bottom", "aspect": 30, "shrink": 0.9}
figure.colorbar(size, ax=axes[:, 1:3], label="levels of 255", **options)
figure.colorbar(change, ax=axes[:, 3], label="red worse, blue better", **(options | {"aspect": 15}))
plt.show()

# %% [markdown]
# The bright lines are edges: the rim of the cap, the hairline, the collar, the eyelids. Bicubic smears each of them, and there the network wins most.
# The red threads beside the blue ones are edges that it drew a pixel or two off. A sharp line in the wrong place costs *more* than a blurred one,
# and so a network trained for small errors draws a line only where it is rather sure.
#
# ## What the network adds
#
# AMINet does not paint a face. It paints a *correction*.
#
# > "Finally, through a convolution with reduced channel dimensions plus a residual connection, we get the HR output face image" (Sec. III-A)
#
# $$I_{SR} = \underbrace{I_{LR}}_{\text{the bicubic face}} + \underbrace{F_{conv3}(F_7)}_{\text{the tail: what is added}}$$
#
# A hook catches what leaves the last convolution, `model.tail`, and the sum is checked.

# %%
caught = {}
hook = model.tail.register_forward_hook(lambda module, inputs, output: caught.update(tail=output))
again = restored(bicubic)
hook.remove()
tail = caught["tail"]                                       # (8, 3, 128, 128)
torch.testing.assert_close(again, to_float(bicubic) + tail)
print("input", tuple(bicubic.shape), "+ tail", tuple(tail.shape), "= output", tuple(again.shape))
missing = to_float(hr) - to_float(bicubic)                  # what a perfect network would add
figure = show([[bicubic[i], 1.5 * tail[i], 1.5 * missing[i], sr[i], hr[i]] for i in (1, 5)], height=1.75,
              labels=[names[i] for i in (1, 5)],
              titles=["bicubic", "+ added (tail)", "should be added", "= AMINet", "original"])

# %% [markdown]
# Grey is zero. The second column is all that the network contributes, the third is what it should contribute; both are shown 1.5 times as strong.
# They agree on the outlines. In the fine grain, hair and lashes and teeth, the third is full and the second is empty: nothing in 16×16 pixels says how a single hair lies.
#
# How much of the missing part did it find? Compare squared lengths, over all pixels and colours:
#
# $$\text{share} = 1 - \frac{\lVert \text{missing} - \text{added} \rVert^2}{\lVert \text{missing} \rVert^2}.$$

# %%
share = 1 - (missing - tail).square().sum((1, 2, 3)) / missing.square().sum((1, 2, 3))
figure, axis = plt.subplots(figsize=(8, 2.4), layout="constrained")
axis.bar(names, 100 * share)
for i, value in enumerate(share):
    axis.text(i, 100 * float(value) + 1.5, f"{100 * float(value):.0f} %", ha="center", fontsize=9)
axis.set(title="How much of bicubic's squared error the network removes", ylabel="% removed", ylim=(0, 100))
axis.tick_params(axis="x", labelsize=8)
axis.grid(False, axis="x")
plt.show()

# %% [markdown]
# ### Exercise 2: from decibels to a share
#
# Papers write gains in decibels. What part of the squared error is gone when the PSNR rises by `gain` dB? Write `removed(gain)`, a number from 0 to 1.

# %% tags=["exercise"]
def squared(x, i):
    return (luma_of(x[i]).double() - luma_of(hr[i]).double()).square().sum()


CASES_2 = [((float(gain[i]),), 1 - squared(sr, i) / squared(bicubic, i)) for i in range(4)]


def removed(gain):
    ...  # your turn


passed = grade(removed, CASES_2, "write PSNR after minus PSNR before: 255^2 cancels and the ratio of two MSEs is left.")

# %% tags=["solution"]
# one plausible wrong answer, then the solution
def removed_amplitude(gain):
    return 1 - 10 ** (-gain / 20)


def removed(gain):
    return 1 - 10 ** (-gain / 10)


hint = "20 is for amplitudes; MSE is a power already."
passed = grade(removed_amplitude, CASES_2, hint)
passed = grade(removed, CASES_2, hint)

# %%
print(f"1 dB removes {100 * removed(1):.0f} %, 3 dB {100 * removed(3):.0f} %, 0.1 dB {100 * removed(0.1):.1f} %")

# %% [markdown]
# The last number is worth keeping: the rows of the paper's ablation tables are often 0.1 dB apart.
#
# ## The eyes
#
# Eyes are what we look at, and one of them is about nine pixels wide in HR, one pixel in LR. Here is the band of the eyes alone, with the PSNR of that band.

# %%
band = (slice(None), slice(34, 72), slice(26, 102))  # colours, rows, columns
figure = show([[x[i][band] for x in (bicubic, sr, hr)] for i in (0, 1, 5)], labels=[names[i] for i in (0, 1, 5)],
              titles=["bicubic", "AMINet", "original"], height=2)
figure.set_size_inches(7.2, 4.1)
for row, i in enumerate((0, 1, 5)):
    for column, x in enumerate((bicubic, sr)):
        value = psnr(x[i][band][None], hr[i][band][None], paper)[0]
        figure.axes[3 * row + column].set_xlabel(f"{value:.1f} dB")

# %% [markdown]
# At this size the guess shows. A gaze direction, an iris, the rim of a lens: the network puts an average where the LR picture is silent. It is trained to minimise
#
# $$\mathcal L(\Theta) = \frac1N \sum_i \big\lVert F_{AMINet}(I^i_{LR}, \Theta) - I^i_{HR} \big\rVert_1 \quad \text{(Eq. 17)},$$
#
# and when many faces are possible, the answer with the least expected error lies in the middle of them. [Notebook 01](01_the_problem.ipynb) makes this exact.
#
# ## Nearer, or sharper?
#
# Two more networks come with the course. **AMINet-S** is the paper's small version, without the module SKAF. **AMIGAN** is AMINet trained on with two more judges: a network that compares textures, and a second one that learns to tell restored faces from real ones. Predict before you look: which of the three has the highest PSNR, and which would you hang on a wall?

# %%
networks = {"AMINet": sr, "AMINet-S": load_weights("pocket-s")[0], "AMIGAN": load_weights("pocket-gan")[0]}
with torch.inference_mode():
    networks = {name: n if torch.is_tensor(n) else n(to_float(bicubic)) for name, n in networks.items()}
figure = show([[bicubic[i], *(x[i] for x in networks.values()), hr[i]] for i in (0, 1)], height=1.3,
              labels=[names[i] for i in (0, 1)], titles=["bicubic", *networks, "original"])
for row, i in enumerate((0, 1)):
    for column, x in enumerate(networks.values()):
        figure.axes[5 * row + column + 1].set_xlabel(f"{psnr(x[i:i + 1], hr[i:i + 1], paper)[0]:.1f} dB")

# %% [markdown]
# AMIGAN's edges are harder, and PSNR likes it less. Its details are no more *true* than before: a sharp guess replaces a blurred one. Scores that look at textures instead of pixels (LPIPS, FID) say the opposite of PSNR, as the table at the end of this page shows; [notebook 10](10_train_amigan.ipynb) plays the game that makes it so. The rest of this page stays with AMINet.
#
# ## Where it fails: two suspicions
#
# **First suspicion: the place of the face.** The network has seen aligned faces only, eyes always on about the same rows. One is often told that such a network expects the same alignment from you. The paper, too, is careful:
#
# > "The model's robustness to extreme poses at very low resolutions, such as side profiles, and its ability to handle challenging lighting conditions, including low-light and overexposed environments, require further improvement." (Sec. V)
#
# Do not believe it, test it. We cut the portraits anew from their photographs, with the face in the wrong place on purpose.

# %%
from cmath import exp
from math import radians

from matplotlib.cbook import get_sample_data
from PIL import Image
from skimage.data import astronaut

from aminet.faces.pictures import align
from aminet.faces.dataset import to_tensor
from aminet.faces.portraits import EYES

with get_sample_data("grace_hopper.jpg") as file:
    photos = {"hopper": Image.open(file).convert("RGB"), "collins": Image.fromarray(astronaut())}


def cut(name, shift=0, angle=0):
    """A portrait with its face `shift` pixels too far right and turned by `angle` degrees. uint8 (3, 128, 128)"""
    left, right = (complex(*eye) for eye in EYES[name])
    middle = (left + right) / 2 - shift * (right - left) / 38  # 38 px between the eyes of an aligned face
    half = (right - left) / 2 * exp(-1j * radians(angle))
    return to_tensor(align(photos[name], *((z.real, z.imag) for z in (middle - half, middle + half))))


def explore(shift=20, angle=0):
    """Both portraits, moved."""
    moved = torch.stack([cut(name, shift, angle) for name in photos])
    up = upsample(degrade(moved))
    rows = [[up[i], x, moved[i]] for i, x in enumerate(restored(up))]
    return show(rows, labels=["Hopper", "Collins"], titles=["bicubic", "AMINet", "original"], height=1.4)


assert torch.equal(cut("hopper"), hr[0]) and torch.equal(cut("collins"), hr[1])  # no shift: the portraits themselves
figure = explore()
if WIDGETS:
    from ipywidgets import interact
    interact(explore, shift=(-24, 24), angle=(-180, 180, 15))

# %% [markdown]
# Faces 20 pixels too far right. To measure fairly, the window of measurement moves with the face: always the same 72×72 pixels of it.
# Bicubic knows nothing of faces, so its curve shows what the shift itself does. What counts is the *gain* over it.

# %%
shifts = list(range(-24, 25, 4))


def on_face(x, y):
    """PSNR of one portrait at every shift, in the window that follows the face."""
    return [psnr(a[None, :, 34:106, 28 + k:100 + k], b[None, :, 34:106, 28 + k:100 + k], paper)[0]
            for k, a, b in zip(shifts, x, y)]


figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained", sharex=True)
for name, colour in zip(photos, ("C0", "C1")):
    moved = torch.stack([cut(name, k) for k in shifts])  # (13, 3, 128, 128)
    up = upsample(degrade(moved))
    before, after = (torch.tensor(on_face(x, moved)) for x in (up, restored(up)))
    left.plot(shifts, after, ".-", color=colour, label=f"{name.title()}, AMINet")
    left.plot(shifts, before, ".:", color=colour, label=f"{name.title()}, bicubic")
    right.plot(shifts, after - before, ".-", color=colour, label=name.title())
    centre, far = (float((after - before)[i].mean()) for i in ([5, 6, 7], [0, 1, -2, -1]))
    print(f"{name.title():8s} gain within 4 px of its place {centre:+.2f} dB, at 20 px and more {far:+.2f} dB")
left.set(title="PSNR of the face against its shift", xlabel="pixels to the right", ylabel="dB, 72×72 px of the face")
left.set_ylim(top=left.get_ylim()[1] + 2.2)
left.legend(fontsize=8, ncols=2, loc="upper center")
right.set(title="Gain over bicubic", xlabel="pixels to the right", ylabel="dB", xticks=shifts[::2])
right.set_ylim(0, right.get_ylim()[1] * 1.2)
right.legend(fontsize=8, ncols=2, loc="upper center")
plt.show()

# %% [markdown]
# (On these 72 pixels Hopper gains less than on the whole picture: her cap lies outside.) The gain changes little with the place. A small zigzag has a period of 8 pixels: that is not the network but the grid of LR pixels, which cuts the face anew with every shift.
# There are reasons. A convolution does the same at every place, attention between channels has no notion of place at all, and training zooms each face by up to 1.3 and crops it at random.
# Much of what the network does is not "this is where an eye belongs" but "this is how an edge was blurred".
#
# **Second suspicion, then: the blur.** Every LR picture in training was made in one way, by bicubic reduction with antialiasing, and was clean. Here are the same faces, reduced in other ways.

# %%
import io

import numpy as np


def jpeg(x, quality=30):
    """An LR picture saved as JPEG and read back. uint8 (3, 16, 16)"""
    file = io.BytesIO()
    Image.fromarray(x.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)


def noisy(x, sigma):
    """LR pictures with Gaussian noise of `sigma` levels. uint8 (N, 3, 16, 16)"""
    noise = sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return (x + noise).round().clamp(0, 255).to(torch.uint8)


four = hr[[0, 1, 5, 7]]
ways = {
    "as trained": degrade(four),
    "mean of 8×8": torch.nn.functional.avg_pool2d(four.float(), 8).round().to(torch.uint8),
    "every 8th pixel": four[..., 4::8, 4::8],
    "JPEG": torch.stack([jpeg(x) for x in degrade(four)]),
    "noise 20": noisy(degrade(four), 20),
}
before = {name: upsample(x) for name, x in ways.items()}
after = {name: restored(x) for name, x in before.items()}
gains = {name: psnr(after[name], four, paper) - psnr(before[name], four, paper) for name in ways}
figure = show([[x[1] for x in before.values()], [x[1] for x in after.values()]], titles=list(ways),
              labels=["bicubic", "AMINet"], height=1.5)
for axis, name in zip(figure.axes[5:], ways):
    axis.set_xlabel(f"gain {gains[name][1]:+.1f} dB")

# %%
sigmas = [0, 2, 5, 10, 15, 20]
curve = [gains["as trained"].mean()]
for sigma in sigmas[1:-1]:
    up = upsample(noisy(degrade(four), sigma))
    curve.append((psnr(restored(up), four, paper) - psnr(up, four, paper)).mean())
curve.append(gains["noise 20"].mean())
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.9), layout="constrained", sharey=True)
means = [g.mean() for g in gains.values()]
left.bar(list(ways), means, color=["C0" if m > 0 else "C1" for m in means])
left.tick_params(axis="x", labelsize=7.5)
left.set(title="Gain for five ways to make 16×16", ylabel="dB over bicubic, mean of 4 faces")
right.plot(sigmas, curve, ".-")
right.set(title="Gain against noise in the LR picture", xlabel="standard deviation, levels of 255", xticks=sigmas)
for axis in (left, right):
    axis.axhline(0, color="0.2", linewidth=1)
plt.show()
print("mean gain:", ", ".join(f"{name} {m:+.2f} dB" for name, m in zip(ways, means)))

# %% [markdown]
# This is where it breaks. Below zero the network is **worse than doing nothing**: it takes the steps of a badly reduced picture, or its noise, for edges of a face, and sharpens them.
# It has learned the inverse of *one* degradation on *one* kind of picture. A surveillance camera reduces in none of these ways, and the paper's SCface experiment (Table IX) is about just that.
#
# Last, the conditions that the paper names, and two of ours.

# %%
from aminet.faces.synthetic import FaceParams, render

someone = FaceParams(identity=5, skin=0.3, hair=7, background=3)
cases = {
    "turned by 45°": cut("collins", angle=45),
    "low light": (0.15 * hr[1].float()).to(torch.uint8),
    "overexposed": (2.2 * hr[1].float()).clamp(0, 255).to(torch.uint8),
    "synthetic": render(someone).image,
    "glasses": render(FaceParams(**vars(someone) | {"glasses": True})).image,
    "yaw of 35°": render(FaceParams(**vars(someone) | {"yaw": 35.0})).image,
}
odd = torch.stack(list(cases.values()))
up = upsample(degrade(odd))
out = restored(up)
figure = show([up, out, odd], titles=list(cases), labels=["bicubic", "AMINet", "original"], height=1.3)
for i, (p, q) in enumerate(zip(psnr(up, odd, paper), psnr(out, odd, paper))):
    figure.axes[i].set_xlabel(f"{p:.1f} dB")
    figure.axes[6 + i].set_xlabel(f"{q:.1f} ({q - p:+.1f})")

# %% [markdown]
# Three things to notice.
#
# * **Low light has the highest PSNR of all and is no success.** A dark picture has small differences, so its errors are small too. A PSNR can be compared only on the same pictures.
# * **Glasses**: compare the gain with that of the same face without them, and look at the rims. Thinner than an LR pixel, they become a smudge, and the PSNR hardly complains.
# * **No warning comes with a failure.** The answer is a plausible face every time. That is why SR faces must never decide who somebody is.
#
# ### Exercise 3: upside down
#
# Predict first: the network is given the same faces upside down. Does its gain over bicubic fall to zero, shrink, or stay?
# Then write `gain_upside_down(images)`: uint8 (N, 3, 128, 128) of upright faces in, the mean gain in dB out, when the *input of the whole chain* is upside down. `x.flip(-2)` turns pictures over.

# %% tags=["exercise"]
over = hr[:3].flip(-2)
CASES_3 = [((hr[:3],), float((psnr(restored(upsample(degrade(over))), over, paper)
                              - psnr(upsample(degrade(over)), over, paper)).mean()))]


def gain_upside_down(images):
    ...  # your turn


passed = grade(gain_upside_down, CASES_3, "flip the originals, then degrade, enlarge, restore and compare with the flipped.",
               tolerance=0.01)

# %% tags=["solution"]
# one plausible wrong answer, then the solution
def gain_of(images):
    up = upsample(degrade(images))
    return float((psnr(restored(up), images, paper) - psnr(up, images, paper)).mean())


def turned_at_the_end(images):
    up = upsample(degrade(images))
    return float((psnr(restored(up).flip(-2), images.flip(-2), paper) - psnr(up.flip(-2), images.flip(-2), paper)).mean())


def gain_upside_down(images):
    return gain_of(images.flip(-2))


hint = "turning both pictures at the end changes no score: the network itself must see the face upside down."
passed = grade(turned_at_the_end, CASES_3, hint, tolerance=0.01)
passed = grade(gain_upside_down, CASES_3, hint, tolerance=0.01)

# %%
print(f"eight faces: gain {gain.mean():+.2f} dB upright, {gain_upside_down(hr):+.2f} dB upside down")
turned = restored(upsample(degrade(hr[[1, 5]].flip(-2)))).flip(-2)  # turned back for us
figure = show([[sr[i], turned[j], hr[i]] for j, i in enumerate((1, 5))], height=1.7,
              labels=[names[1], names[5]], titles=["given upright", "upside down", "original"])

# %% [markdown]
# The difference between the two gains is a part of what the network knows about *faces*. It is no clean measure of it: turning a picture also turns its light, hair and collar. Most people predict a collapse.
# PSNR sums over all pixels, and most pixels are cheek, hair and background, which look alike either way. The eyes are where you see the difference.
#
# ## Your own picture
#
# Set `picture` in the first code cell to a path. A 16×16 picture is taken as it is; in a photograph the largest face is found, aligned as above and reduced.
# Nothing leaves your machine, and nothing is written. To keep the result: `python -m aminet upscale IN.jpg OUT.png`.

# %%
if picture:
    from tempfile import TemporaryDirectory

    from aminet.errors import BadInput
    from aminet.faces.pictures import open_image
    from aminet.deploy.upscale import upscale

    with TemporaryDirectory() as folder:
        try:
            result = upscale(picture, Path(folder) / "restored.png")
            beside = to_tensor(open_image(result.side_by_side)).split(128, dim=-1)
            figure = show([beside], titles=["LR", "bicubic", "AMINet", "aligned original"][:len(beside)], height=2)
        except BadInput as error:
            print("aminet:", error)
else:
    print("no picture given")

# %% [markdown]
# ## Scores you can trust more than eight pictures
#
# Eight faces show; they prove nothing. The score of record is measured once, on a test set that was used for no choice, and kept as a file with every face's value and a checksum that shows later editing.
# Every heavy number of this course is read from such a file, with the command that made it.

# %%
from aminet.paper.records import read_record

METRICS = {"psnr": "PSNR (dB)", "ssim": "SSIM", "vif": "VIF", "lpips": "LPIPS", "fid": "FID", "identity": "identity"}
records = {name: read_record(f"../data/records/{weights}-celeba_test-paper.json")
           for name, weights in (("AMINet", "pocket"), ("AMINet-S", "pocket-s"), ("AMIGAN", "pocket-gan"))}
record = records["AMINet"]
print(f"{record['faces']['images']} test faces of CelebA; {record['describe']}")
print(f"{'':10s}" + "".join(f"{label:>11s}" for label in METRICS.values()))
for name, source, prefix in (("bicubic", record, "bicubic_"), *((n, r, "") for n, r in records.items())):
    print(f"{name:10s}" + "".join(f"{source['means'][prefix + metric]['mean']:11.4g}" for metric in METRICS))
gain = record["gain"]["psnr"]
print(f"AMINet over bicubic: {gain['mean']:+.2f} dB, 95 % interval {gain['low']:+.2f} to {gain['high']:+.2f}")
for look in record["measured"]:
    print("made by:", look["command"], f"({look['when'][:10]})")

# %% [markdown]
# PSNR, SSIM and VIF compare pixels, and more is better. LPIPS and FID compare features of networks that were trained on other pictures, and **less** is better. Identity is how alike a face recogniser finds the restored and the real face, 1 for the same picture. Notebook 02 takes the first three apart; notebook 10 needs the others.
#
# For orientation only, the paper's Table VII (CelebA, its own 1,000 test faces): bicubic 23.61 dB / 0.6779, AMINet 28.26 dB / 0.8091.
# Other faces, other crop, the full network: **not comparable** with the lines above. The gain over one's own bicubic is the nearest thing to a common scale, and even that only roughly.
#
# ## The road from here
#
# | notebook | question |
# |---|---|
# | **00 a first face** | what does it do? |
# | [01 the problem](01_the_problem.ipynb) | what exactly is lost between 128×128 and 16×16? |
# | [02 measuring a face](02_measuring_a_face.ipynb) | what do PSNR, SSIM and VIF say, and how do protocols move them? |
# | [03 SA](03_sa.ipynb) | how does attention between channels see the whole face? |
# | [04 RDFE](04_rdfe.ipynb) | how do three kernels and an hourglass see its parts? |
# | [05 SKAF](05_skaf.ipynb) | how does the network choose between the two, pixel by pixel? |
# | [06 LGFI](06_lgfi.ipynb) | how do the three become the block that is used eight times? |
# | [07 EDFF](07_edff.ipynb) | how do early and late features meet? |
# | [08 AMINet and its bill](08_aminet_and_its_bill.ipynb) | how many parameters and operations, and does the paper's count agree? |
# | [09 train AMINet](09_train_aminet.ipynb) | how were the weights of this page made? |
# | [10 train AMIGAN](10_train_amigan.ipynb) | what does a second network teach the first, and what does it cost? |
# | [11 ablations](11_ablations.ipynb) | which part earns its place, and how large is chance? |
# | [12 comparisons](12_comparisons.ipynb) | what is the idea of each compared method, and what is a ranking worth? |
# | [13 the GANs compared](13_compared_gans.ipynb) | what do five discriminators see, and what does FID hide? |
# | [A symbols and shapes](A_symbols_and_shapes.ipynb) | what does this symbol mean? The page to keep open beside all others |
#
# ## What to remember
#
# * AMINet returns the bicubic face plus a correction; the correction is a good guess from other faces, not information from this one.
# * A score belongs to its pictures, its protocol and its weights: here a pocket network, our split, protocol `paper`. Only gains on the same faces compare.
# * It has learned to undo one way of shrinking a face. Given another, or noise, it can do worse than nothing, and never says so.
#
# Next: [01 the problem](01_the_problem.ipynb), on what is lost and why no network can simply invert it.
