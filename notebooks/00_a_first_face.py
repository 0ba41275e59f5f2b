# %% [markdown]
# # 00 · A first face
#
# You turn a face of 16×16 pixels into one of 128×128, measure the result, and find out where it fails.
#
# *60 minutes to study, about 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/00_a_first_face.ipynb) · previous: none, it starts here · next: [01 the problem](01_the_problem.ipynb)
#
# Before this: Python with PyTorch tensors. Words of the field are explained in the [glossary](A_symbols_and_shapes.ipynb#Words).
#
# **You will be able to**
#
# * **restore** a small face with the course's network and read its two scores, PSNR and SSIM;
# * **see** what the network adds to plain enlargement, and where on the face it does so;
# * **break** it, and say which pictures it was not made for.

# %% tags=["parameters"]
picture = ""  # path of a picture of yours: a 16x16 face, or a photograph with a face
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

# %% [markdown]
# ## The result
#
# A face that is far from a camera covers only a few pixels. *Face super-resolution* computes a larger picture from it.
#
# The next cell takes portraits of 128×128 pixels and reduces each to 16×16: 64 pixels become one.
# It then enlarges the small picture in two ways: by plain interpolation, called [bicubic](A_symbols_and_shapes.ipynb#Words), and with a network, AMINet. Neither way uses the original.
#
# Two of the faces are people: Commodore Grace M. Hopper and astronaut Eileen M. Collins. The others are drawn by a program and show nobody.

# %% tags=["imports"]
import matplotlib.pyplot as plt
import torch

from aminet.degrade import degrade, to_float, upsample
from aminet.faces.portraits import CREDITS, portraits
from aminet.faces.synthetic import faces
from aminet.protocol import PROTOCOLS, psnr, ssim
from aminet.training.weights import load_weights
from exercises import check
from page import explore, eyes, show, table, your_picture

model, header = load_weights("pocket")  # the network of this course, already trained
paper = PROTOCOLS["paper"]              # how scores are computed: chapter 02


@torch.inference_mode()
def restored(bicubic):
    """The network's faces. uint8 (N, 3, 128, 128) -> float (N, 3, 128, 128) in [-1, 1]"""
    return model(to_float(bicubic))


def scores(x, original):
    """PSNR and SSIM of one face, as text."""
    return f"{psnr(x[None], original[None], paper)[0]:.1f} dB · {ssim(x[None], original[None], paper)[0]:.2f}"


names = ["Hopper", "Collins", *(f"synthetic {i}" for i in range(6))]
hr = torch.cat([torch.stack(list(portraits().values())), faces(6)])  # (8, 3, 128, 128) uint8, the originals
lr = degrade(hr)                                                     # (8, 3, 16, 16)
bicubic = upsample(lr)                                               # (8, 3, 128, 128), enlarged again
sr = restored(bicubic)                                               # (8, 3, 128, 128), the network's faces
figure = show([[lr[i], bicubic[i], sr[i], hr[i]] for i in (0, 1, 5)], labels=[names[i] for i in (0, 1, 5)],
              titles=["LR 16×16", "bicubic", "AMINet, pocket size", "original"],
              captions=[["", scores(bicubic[i], hr[i]), scores(sr[i], hr[i])] for i in (0, 1, 5)], scale=1.5)

# %%
for line in CREDITS.values():
    print(line)

# %% [markdown]
# Look at the four columns for a minute before you read on.
#
# * **LR** (low resolution) is all that the network gets: 768 numbers for a whole face.
# * **bicubic** is the same picture on a finer grid. It is smooth because nothing was added. It is the network's *input*, and the baseline that every method must beat.
# * **AMINet** returns an **SR** face (super-resolution) with edges, eyes and a mouth. They are likely, but they are *guesses*. Compare Hopper's glasses and her mouth with the original.
# * **original** is **HR** (high resolution). It serves only to compute the two numbers under each picture.
#
# The two numbers are PSNR in decibels and SSIM. For both, more is better.
#
# > "Face super-resolution (FSR), also known as face hallucination, aims at restoring high-resolution (HR) face images from low-resolution (LR) face images [1]." (Sec. I)
#
# The older name, *hallucination*, says what happens. 768 numbers cannot fix 49 152 numbers, so the rest comes from knowledge of other faces.
#
# ## Which network this is
#
# Weights come with a header that says how they were made. Read the header before you trust a picture.

# %%
from aminet.config import PRESETS
from aminet.ledger import bill

table([[name, PRESETS[name].channels, bill(PRESETS[name])[""].params / 1e6] for name in ("pocket", "aminet")],
      ["preset", "channels C", "parameters (millions)"])
recipe, data = header["recipe"], header["data"]
table([["preset", header["preset"]],
       ["trained on", f"one {header['device'].upper()}, seed {recipe['seed']}"],
       ["training faces", f"{data['train']['images']:,} of CelebA's training part"],
       ["faces seen", f"{header['images']:,}, so each one {header['images'] / data['train']['images']:.1f} times"],
       ["selected on", f"{data['val']['images']} validation faces, at {header['val_psnr']:.2f} dB"],
       ["optimiser", f"Adam at {recipe['lr']}, {recipe['schedule']} schedule, {recipe['batch']} faces a batch"]],
      ["these weights", ""])

# %% [markdown]
# **This is not the paper's model.** It has the paper's architecture with fewer channels and a twelfth of the parameters. It was trained on a CPU, on the number of faces in the table.
# The paper trains the wide network of 12.62 M parameters on an RTX 3090.
#
# So do not compare the numbers of this page with the paper's. Compare rows that were measured here: the same faces, the same protocol, bicubic against network.
#
# <details><summary>What the paper leaves open</summary>
#
# The authors have published neither weights nor code. Their lists of images are not public either:
#
# > "In our experiments, we randomly chose 18,000 CelebA images for training and 1,000 for testing." (Sec. IV-A)
#
# Our split of CelebA is therefore not the paper's split.
#
# </details>

# %% [markdown]
# ## Two numbers for a face
#
# A score replaces "looks better" by a number that anyone can check. Both scores use brightness only, the channel $Y$ ([luma](A_symbols_and_shapes.ipynb#Words)). With $N = 128 \cdot 128$ pixels,
#
# $$\text{MSE} = \frac1N \sum_{p} \big(Y^{SR}_p - Y^{HR}_p\big)^2, \qquad \text{PSNR} = 10 \log_{10} \frac{255^2}{\text{MSE}} \;\text{dB}.$$
#
# PSNR rises by 3 dB when the squared error halves. SSIM compares brightness, contrast and pattern in small windows; 1 is a perfect match.
#
# Rounding, cropping and the definition of $Y$ all change the result. A *protocol* fixes these choices, and `paper` is the name of ours.

# %%
print(paper.describe())
before, after = psnr(bicubic, hr, paper), psnr(sr, hr, paper)  # one number per face, dB
gain = after - before
ssim_before, ssim_after = ssim(bicubic, hr, paper), ssim(sr, hr, paper)
rows = [[names[i], float(before[i]), float(after[i]), f"{gain[i]:+.2f}", float(ssim_before[i]), float(ssim_after[i])]
        for i in range(len(names))]
rows.append(["mean", float(before.mean()), float(after.mean()), f"{gain.mean():+.2f}", float(ssim_before.mean()),
             float(ssim_after.mean())])
table(rows, ["face", "PSNR of bicubic (dB)", "of AMINet", "gain", "SSIM of bicubic", "of AMINet"])

# %% [markdown]
# The table shows two things.
#
# * Faces differ from each other by more than the methods do. Hopper's cap and glasses are hard for both.
# * The network also helps the synthetic faces, although it was never trained on such pictures. Much of its work is therefore not about people.
#
# ### Exercise 1: PSNR by hand
#
# *Level 1, 5 minutes.* `luma_of(x)` below gives the brightness of one face as a uint8 tensor of shape (128, 128). Write `decibels(a, b)`: the PSNR of two of those.

# %% tags=["exercise"]
from aminet.protocol import luma, to_uint8


def luma_of(x):
    """(3, 128, 128) uint8, or float from the network -> (128, 128) uint8"""
    x = to_uint8(x) if x.is_floating_point() else x
    return torch.from_numpy(luma(x[None].numpy())[0])


def decibels(a, b):
    """PSNR of two pictures of brightness, uint8 (H, W), in dB."""
    ...  # your turn


passed = check("00.1", decibels)

# %% tags=["solution"]
def decibels(a, b):
    """PSNR of two pictures of brightness, uint8 (H, W), in dB."""
    mse = (a.double() - b.double()).square().mean()
    return 10 * torch.log10(255**2 / mse)


passed = check("00.1", decibels)

# %% [markdown]
# ## Where the errors are
#
# One number per face hides where the face is wrong. A map shows it: $|Y^{SR}_p - Y^{HR}_p|$ at every pixel.
# The last column is the difference of two such maps. Blue: the network is nearer to the original than bicubic. Red: it is *farther* from it.

# %%
def error(x, original):
    """Absolute error of brightness at every pixel, (128, 128)."""
    return (luma_of(x).int() - luma_of(original).int()).abs()


maps, captions = [], []
for i in (0, 1):
    bicubic_error, network_error = error(bicubic[i], hr[i]), error(sr[i], hr[i])
    nearer, farther = (network_error < bicubic_error).float().mean(), (network_error > bicubic_error).float().mean()
    maps.append([bicubic_error, network_error, bicubic_error - network_error])
    captions.append(["", "", f"nearer: {100 * nearer:.0f} %\nfarther: {100 * farther:.0f} %"])

# %% tags=["plot"]
figure = show(maps, titles=["error of bicubic", "error of AMINet", "bicubic − AMINet"], labels=names[:2], captions=captions)
for i, axis in enumerate(figure.axes):
    if i % 3 < 2:
        axis.images[0].set(clim=(0, 80))
    else:
        axis.images[0].set(clim=(-60, 60), cmap="RdBu")
for axis, left, width, text in ((figure.axes[0], 0.2, 0.34, "levels of 255"),
                                (figure.axes[2], 0.72, 0.25, "red: worse, blue: better")):
    place = figure.add_axes([left, -0.04, width, 0.025])
    figure.colorbar(axis.images[0], cax=place, orientation="horizontal", label=text)
plt.show()

# %% [markdown]
# The bright lines are edges: the rim of the cap, the hairline, the collar, the eyelids. Bicubic blurs all of them, and the network gains most there.
#
# The red lines beside the blue ones are edges that the network drew a pixel or two off. A sharp line in the wrong place costs *more* than a blurred one.
# A network that is trained for small errors therefore draws a line only where it is rather sure.
#
# ## What the network adds
#
# AMINet does not draw a face from nothing. It computes a *correction* to the bicubic face. Such a sum of input and correction is called a [residual connection](A_symbols_and_shapes.ipynb#Words).
#
# > "Finally, through a convolution with reduced channel dimensions plus a residual connection, we get the HR output face image" (Sec. III-A)
#
# $$I_{SR} = \underbrace{I_{LR}}_{\text{the bicubic face}} + \underbrace{F_{conv3}(F_7)}_{\text{the tail: what is added}}$$
#
# The last convolution is `model.tail`. A hook, a function that PyTorch calls when a module has run, keeps its output. The next cell checks the sum.

# %%
caught = {}
hook = model.tail.register_forward_hook(lambda module, inputs, output: caught.update(tail=output))
again = restored(bicubic)
hook.remove()
tail = caught["tail"]                                       # (8, 3, 128, 128)
torch.testing.assert_close(again, to_float(bicubic) + tail)
print("input", tuple(bicubic.shape), "+ tail", tuple(tail.shape), "= output", tuple(again.shape))
missing = to_float(hr) - to_float(bicubic)                  # what a perfect network would add
figure = show([[bicubic[1], 1.5 * tail[1], 1.5 * missing[1], sr[1]]],
              titles=["bicubic", "added (tail)", "should be added", "bicubic + tail"], scale=1.5)

# %% [markdown]
# Grey means zero. The second column is what the network adds, the third is what it should add; both are shown 1.5 times as strong.
# They agree on the outlines. They differ in the fine grain of hair, lashes and teeth: 16×16 pixels do not say how one hair lies.
#
# What share of the missing part does the network find? Compare squared lengths, over all pixels and colours:
#
# $$\text{share} = 1 - \frac{\|\text{missing} - \text{added}\|^2}{\|\text{missing}\|^2}.$$

# %%
share = 1 - (missing - tail).square().sum((1, 2, 3)) / missing.square().sum((1, 2, 3))
figure, axis = plt.subplots(figsize=(8.5, 2.6), layout="constrained")
bars = axis.bar(names, 100 * share)
axis.bar_label(bars, fmt="%.0f %%", padding=2)
axis.set(title="How much of bicubic's squared error the network removes", ylabel="% removed", ylim=(0, 100))
axis.grid(False, axis="x")
plt.show()

# %% [markdown]
# ### Exercise 2: from decibels to a share
#
# *Level 2, 10 minutes.* Papers report gains in decibels. What share of the squared error is gone when the PSNR rises by `gain` dB? Write `removed(gain)`, a number from 0 to 1.

# %% tags=["exercise"]
def removed(gain):
    """The share of the squared error that a gain of PSNR, in dB, removes."""
    ...  # your turn


passed = check("00.2", removed)

# %% tags=["solution"]
def removed(gain):
    """The share of the squared error that a gain of PSNR, in dB, removes."""
    return 1 - 10 ** (-gain / 10)


passed = check("00.2", removed)

# %% [markdown]
# A gain of 3 dB removes 50 % of the squared error, 1 dB removes 21 %, and 0.1 dB removes 2.3 %.
# The rows of the paper's [ablation](A_symbols_and_shapes.ipynb#Words) tables, which measure the network with one part removed, are often 0.1 dB apart.
#
# ## The eyes
#
# We look at the eyes first. An eye is about nine pixels wide in HR, so one pixel in LR. Below is the band of the eyes, enlarged three times, with its own PSNR.

# %%
def eyes_psnr(x, original):
    """PSNR of the band of the eyes, as text."""
    return f"{psnr(eyes(x)[None], eyes(original)[None], paper)[0]:.1f} dB"


figure = show([[eyes(bicubic[i]), eyes(sr[i]), eyes(hr[i])] for i in (0, 1, 5)], labels=["Hopper", "Collins", names[5]],
              titles=["bicubic", "AMINet", "original"],
              captions=[[eyes_psnr(bicubic[i], hr[i]), eyes_psnr(sr[i], hr[i])] for i in (0, 1, 5)], scale=1.5)

# %% [markdown]
# At this size you see the guess. LR says nothing about the direction of a gaze, an iris or the rim of a lens. On Hopper's eyes, behind glasses, the network is worse than bicubic: 18.2 against 18.7 dB.
#
# Where LR says nothing, the network draws an average, because of its [L1 loss](A_symbols_and_shapes.ipynb#Words). It is trained to minimise
#
# $$\mathcal L(\Theta) = \frac1N \sum_i \|F_{AMINet}(I^i_{LR}, \Theta) - I^i_{HR}\|_1 \quad \text{(Eq. 17)}.$$
#
# When many faces are possible, the answer with the smallest expected error lies in the middle of them. [Chapter 01](01_the_problem.ipynb) makes this exact.
#
# ## Nearer, or sharper?
#
# A loss that rewards sharp pictures gives another face. Two more networks come with the course:
#
# * **AMINet-S** is the paper's small version, without the module SKAF;
# * **AMIGAN** is AMINet, trained further with two more losses. One compares textures. The other comes from a [discriminator](A_symbols_and_shapes.ipynb#Words), a second network that learns to tell restored faces from real ones.
#
# Predict before you look: which of the three has the highest PSNR, and which looks most like a photograph?

# %%
with torch.inference_mode():
    small = load_weights("pocket-s")[0](to_float(bicubic))
    gan = load_weights("pocket-gan")[0](to_float(bicubic))
rows = [[sr[i], small[i], gan[i]] for i in (0, 1)]
captions = [[scores(x, hr[i]) for x in rows[i]] for i in (0, 1)]
rows.append([eyes(x) for x in rows[1]])
figure = show(rows, titles=["AMINet", "AMINet-S", "AMIGAN"], labels=["Hopper", "Collins", "her eyes"],
              captions=[*captions, []], scale=2)

# %% [markdown]
# AMIGAN's edges are sharper, but its PSNR is lower. Its details are no more *true* than before: a sharp guess replaces a blurred one.
# Scores that compare textures, LPIPS and FID, rank the two the other way round, as the table near the end of this page shows. [Chapter 10](10_train_amigan.ipynb) trains AMIGAN. The rest of this page uses AMINet.
#
# ## Where it fails: the place of the face
#
# Training used aligned faces only, with the eyes always on about the same rows. Does the network need the same alignment from you? The paper is careful about its limits:
#
# > "The model's robustness to extreme poses at very low resolutions, such as side profiles, and its ability to handle challenging lighting conditions, including low-light and overexposed environments, require further improvement." (Sec. V)
#
# Test it: cut the portraits from their photographs again, with the face in the wrong place on purpose. Below, both faces are 20 pixels too far right. A live notebook shows two sliders.

# %%
from math import cos, radians, sin

import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image
from skimage.data import astronaut

from aminet.faces.dataset import to_tensor
from aminet.faces.pictures import align
from aminet.faces.portraits import EYES

with get_sample_data("grace_hopper.jpg") as file:
    photos = {"hopper": Image.open(file).convert("RGB"), "collins": Image.fromarray(astronaut())}


def cut(name, shift=0, angle=0):
    """A portrait with its face `shift` pixels too far right and turned by `angle` degrees. uint8 (3, 128, 128)"""
    left, right = np.array(EYES[name])                         # the pupils in the photograph, (x, y) each
    step = (right - left) / 38                                 # 38 px between the eyes of an aligned face
    middle = (left + right) / 2 - shift * step
    c, s = cos(radians(angle)), sin(radians(angle))
    half = np.array([[c, s], [-s, c]]) @ (right - left) / 2    # from the middle to an eye, turned
    return to_tensor(align(photos[name], tuple(middle - half), tuple(middle + half)))


def move(shift=20, angle=0):
    """Both portraits, moved: bicubic, AMINet, original."""
    moved = torch.stack([cut("hopper", shift, angle), cut("collins", shift, angle)])
    up = upsample(degrade(moved))
    out = restored(up)
    show([[up[i], out[i], moved[i]] for i in (0, 1)], labels=names[:2], titles=["bicubic", "AMINet", "original"])


assert torch.equal(cut("hopper"), hr[0]) and torch.equal(cut("collins"), hr[1])  # no shift: the portraits themselves
explore(move, shift=(-24, 24), angle=(-180, 180, 15))

# %% [markdown]
# To measure fairly, the window of measurement moves with the face: always the same 72×72 pixels of it.
# Bicubic knows nothing of faces, so its curve shows the effect of the shift alone. The *gain* over bicubic is what counts.

# %%
shifts = list(range(-24, 25, 4))


def on_face(x, original, shift):
    """PSNR of one portrait, in the window that follows the face."""
    window = (..., slice(34, 106), slice(28 + shift, 100 + shift))  # rows, columns
    return float(psnr(x[window][None], original[window][None], paper)[0])


curves, rows = {}, []
for name in photos:
    moved = torch.stack([cut(name, shift) for shift in shifts])    # (13, 3, 128, 128)
    up = upsample(degrade(moved))
    out = restored(up)
    before = np.array([on_face(up[i], moved[i], shifts[i]) for i in range(len(shifts))])
    after = np.array([on_face(out[i], moved[i], shifts[i]) for i in range(len(shifts))])
    curves[name.title()] = before, after
    gains = after - before
    rows.append([name.title(), f"{gains[5:8].mean():+.2f}", f"{gains[[0, 1, -2, -1]].mean():+.2f}"])
table(rows, ["face", "gain within 4 px of its place (dB)", "gain at 20 px and more (dB)"])

# %% tags=["plot"]
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.2), layout="constrained", sharex=True)
for name, colour in (("Hopper", "C0"), ("Collins", "C1")):
    before, after = curves[name]
    left.plot(shifts, after, ".-", color=colour, label=f"{name}, AMINet")
    left.plot(shifts, before, ".:", color=colour, label=f"{name}, bicubic")
    right.plot(shifts, after - before, ".-", color=colour, label=name)
left.set(title="PSNR of the face against its shift", xlabel="pixels to the right", ylabel="dB, 72×72 px of the face",
         xticks=shifts[::2])
left.set_ylim(top=left.get_ylim()[1] + 2.2)
left.legend(fontsize=9, ncols=2, loc="upper center")
right.set(title="Gain over bicubic", xlabel="pixels to the right", ylabel="dB")
right.set_ylim(0, right.get_ylim()[1] * 1.2)
right.legend(fontsize=9, ncols=2, loc="upper center")
plt.show()

# %% [markdown]
# The gain hardly changes with the place of the face. There are three reasons. A convolution does the same at every place. SA, the network's attention, compares channels and not places. Training also zooms each face by up to 1.3 and crops it at random.
#
# So much of what the network has learned is "this is how an edge was blurred", not "this is where an eye belongs".
#
# Two details. The zigzag has a period of 8 pixels: after 8 pixels the face lies on the grid of LR pixels as before. Hopper gains less here than on the whole picture, because her cap lies outside the window.
#
# ## Where it fails: the blur
#
# Every LR picture in training was made in one way: reduced by bicubic interpolation, with [antialiasing](A_symbols_and_shapes.ipynb#Words), and without noise. What happens when the same faces are reduced in other ways?

# %%
import io


def as_jpeg(x, quality=30):
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
    "JPEG": torch.stack([as_jpeg(x) for x in degrade(four)]),
    "noise 20": noisy(degrade(four), 20),
}
columns, gains = [], {}
for name, small_faces in ways.items():
    up = upsample(small_faces)
    out = restored(up)
    gains[name] = psnr(out, four, paper) - psnr(up, four, paper)
    columns.append([up[1], out[1]])
figure = show([[column[0] for column in columns], [column[1] for column in columns]], titles=list(ways),
              labels=["bicubic", "AMINet"], captions=[[], [f"gain {gains[name][1]:+.1f} dB" for name in ways]])

# %%
sigmas = [0, 2, 5, 10, 15, 20]
curve = []
for sigma in sigmas:
    up = upsample(noisy(degrade(four), sigma))
    curve.append(float((psnr(restored(up), four, paper) - psnr(up, four, paper)).mean()))
means = [float(values.mean()) for values in gains.values()]

# %% tags=["plot"]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3), layout="constrained", sharey=True, width_ratios=(1.3, 1))
bars = left.bar([name.replace(" ", "\n", 1) for name in ways], means, color=["C0" if mean > 0 else "C1" for mean in means])
left.bar_label(bars, fmt="%+.2f", padding=2)
left.set(ylim=(-3, 3), title="Gain for five ways to make 16×16", ylabel="dB over bicubic, mean of 4 faces")
right.plot(sigmas, curve, ".-")
right.set(title="Gain against noise in the LR picture", xlabel="standard deviation, levels of 255", xticks=sigmas)
for axis in (left, right):
    axis.axhline(0, color="0.2", linewidth=1)
plt.show()

# %% [markdown]
# Here it breaks. Below zero the network is **worse than bicubic**. It takes the steps of a badly reduced picture, or its noise, for edges of a face, and sharpens them.
# It has learned the inverse of *one* [degradation](A_symbols_and_shapes.ipynb#Words) on *one* kind of picture. A surveillance camera reduces in none of these ways; the paper's SCface experiment (Table IX) is about that.
#
# ## Where it fails: light, glasses, pose
#
# The last six pictures are the conditions that the paper names, and two of ours.

# %%
from aminet.faces.synthetic import FaceParams, render


def someone(**changes):
    """One synthetic face, with or without changes. uint8 (3, 128, 128)"""
    return render(FaceParams(identity=5, skin=0.3, hair=7, background=3, **changes)).image


cases = {
    "turned by 45°": cut("collins", angle=45),
    "low light": (0.15 * hr[1].float()).to(torch.uint8),
    "overexposed": (2.2 * hr[1].float()).clamp(0, 255).to(torch.uint8),
    "synthetic": someone(),
    "glasses": someone(glasses=True),
    "yaw of 35°": someone(yaw=35.0),
}
odd = torch.stack(list(cases.values()))
up = upsample(degrade(odd))
out = restored(up)
plain, network = psnr(up, odd, paper), psnr(out, odd, paper)
captions = [[f"{p:.1f} dB" for p in plain], [f"{p:.1f} dB ({p - q:+.1f})" for p, q in zip(network, plain)], []]
figure = show([up, out, odd], titles=list(cases), labels=["bicubic", "AMINet", "original"], captions=captions)

# %% [markdown]
# Notice three things.
#
# * **Low light has the highest PSNR of all, and this is no success.** A dark picture has small differences, so its errors are small. Compare PSNRs only on the same pictures.
# * **Glasses** lower the gain on the same face from 2.4 to 1.8 dB. Look at the rims: thinner than an LR pixel, they become a smudge.
# * **A failure comes without a warning.** The output is a plausible face every time. So an SR face must never decide who somebody is.
#
# ### Exercise 3: upside down
#
# *Level 2, 10 minutes.* Predict first: the network gets the same faces upside down. Does its gain over bicubic fall to zero, shrink, or stay?
#
# Then write `gain_upside_down(images)`. It takes upright faces, uint8 (N, 3, 128, 128). It returns the mean gain in dB, by the protocol `paper` as above, when the *input of the whole chain* is upside down. `x.flip(-2)` turns pictures over.

# %% tags=["exercise"]
def gain_upside_down(images):
    """AMINet's mean gain over bicubic, in dB, on faces that are turned upside down before everything else."""
    ...  # your turn


passed = check("00.3", gain_upside_down)

# %% tags=["solution"]
def gain_upside_down(images):
    """AMINet's mean gain over bicubic, in dB, on faces that are turned upside down before everything else."""
    images = images.flip(-2)
    up = upsample(degrade(images))
    return float((psnr(restored(up), images, paper) - psnr(up, images, paper)).mean())


passed = check("00.3", gain_upside_down)

# %% [markdown]
# The same for all eight faces. The figure turns the restored faces back, so that you can compare them.

# %%
over = hr.flip(-2)
up = upsample(degrade(over))
out = restored(up)
gain_over = psnr(out, over, paper) - psnr(up, over, paper)
print(f"mean gain: upright {gain.mean():+.2f} dB, upside down {gain_over.mean():+.2f} dB")
back = out.flip(-2)
figure = show([[sr[1], back[1], hr[1]]], titles=["restored upright", "restored upside down", "original"], scale=2)

# %% [markdown]
# Most people predict that the gain collapses. It shrinks by 0.3 dB. PSNR sums over all pixels, and most pixels are cheek, hair and background, which look alike either way. The eyes show the difference.
#
# A part of this difference is what the network knows about *faces*. It is no clean measure, because turning a picture also turns its light, hair and collar.
#
# ## Your own picture
#
# If you run this notebook yourself (JupyterLab, VS Code, Colab), a button appears below: choose a picture. Or set `picture` in the first code cell to a path.
# A 16×16 picture is used as it is. In a photograph, the faces are found, aligned as above and reduced.
# The picture stays on the machine that runs this notebook, and nothing is written. To paste the faces back into the photograph: `python -m aminet upscale IN.jpg OUT.png --demo`.

# %%
from aminet.deploy.upscale import open_network, restore_faces


def mine(image):
    """Show each face of a picture: its 16x16 pixels, bicubic, what the network draws, and the face itself."""
    found = restore_faces(image, open_network(), demo=True)[1]
    print(*(face.text for face in found), sep="\n")
    rows = [[to_tensor(part) for part in face.parts] for face in found if face.parts]
    if rows:
        show(rows, titles=["LR", "bicubic", "AMINet", "aligned original"][:len(rows[0])], scale=1.5)
        plt.show()


your_picture(mine, picture)

# %% [markdown]
# ## A score you can trust
#
# Eight faces are examples, not evidence. The score that counts is measured once, on a test set that was used for no choice. A *record*, a file, keeps the value of every face. Its checksum shows later editing.
# Every expensive number of this course is read from such a record, with the command that made it.

# %%
from aminet.files import DATA
from aminet.paper.records import read_record

METRICS = {"psnr": "PSNR (dB)", "ssim": "SSIM", "vif": "VIF", "lpips": "LPIPS", "fid": "FID", "identity": "identity"}
records = {name: read_record(DATA / f"records/{weights}-celeba_test-paper.json")
           for name, weights in (("AMINet", "pocket"), ("AMINet-S", "pocket-s"), ("AMIGAN", "pocket-gan"))}
record = records["AMINet"]
rows = [["bicubic", *(record["means"]["bicubic_" + metric]["mean"] for metric in METRICS)]]
for name, measured in records.items():
    rows.append([name, *(measured["means"][metric]["mean"] for metric in METRICS)])
table(rows, ["method", *METRICS.values()], digits=3, best={
    "PSNR (dB)": max, "SSIM": max, "VIF": max, "LPIPS": min, "FID": min, "identity": max})
print(f"{record['faces']['images']} test faces of CelebA; {record['describe']}")
interval = record["gain"]["psnr"]
print(f"AMINet over bicubic: {interval['mean']:+.2f} dB, 95 % interval {interval['low']:+.2f} to {interval['high']:+.2f}")
for look in record["measured"]:
    print("made by:", look["command"], f"({look['when'][:10]})")

# %% [markdown]
# PSNR, SSIM and VIF compare pixels; more is better. LPIPS and FID compare features of networks that were trained on other pictures; **less** is better.
# Identity says how alike a face recogniser finds the restored and the real face, with 1 for the same picture. [Chapter 02](02_measuring_a_face.ipynb) explains the first three, [chapter 10](10_train_amigan.ipynb) needs the others.
#
# <details><summary>What the paper reports</summary>
#
# Table VII, on the paper's own 1,000 test faces of CelebA: bicubic 23.61 dB / 0.6779, AMINet 28.26 dB / 0.8091.
#
# These numbers are **not comparable** with the table above: other faces, another crop, the full network.
# The gain over one's own bicubic face comes nearest to a common scale, and even that only roughly.
#
# </details>
#
# ## The map of the network
#
# The chapters build this network from its parts.

# %%
from diagrams import draw

figure = draw("AMINet")

# %% [markdown]
# * **What goes in**: the LR face, enlarged to 128×128 pixels by bicubic interpolation.
# * **What the [U](A_symbols_and_shapes.ipynb#Words) does**: it halves the picture three times and doubles it three times; eight LGFIs compute features, and three EDFFs join its two sides.
# * **What comes out**: a correction, which is added to the input and gives the SR face.
#
# $C$ is the number of channels at full size: 8 in this page's network, 28 in the paper's. An LGFI consists of SA, RDFE and SKAF (chapters 03 to 05); an EDFF contains a SKAF, too.
#
# ## The road from here
#
# | chapter | question | minutes to study |
# |---|---|---|
# | **00 a first face** | what does it do? | 60 |
# | [01 the problem](01_the_problem.ipynb) | what exactly is lost between 128×128 and 16×16? | 90 |
# | [02 measuring a face](02_measuring_a_face.ipynb) | what do PSNR, SSIM and VIF say, and how do protocols change them? | 90 |
# | [03 SA](03_sa.ipynb) | how does attention between channels see the whole face? | 90 |
# | [04 RDFE](04_rdfe.ipynb) | how do three kernels and an hourglass see its parts? | 120 |
# | [05 SKAF](05_skaf.ipynb) | how does the network choose between the two, pixel by pixel? | 90 |
# | [06 LGFI](06_lgfi.ipynb) | how do the three become the block that is used eight times? | 90 |
# | [07 EDFF](07_edff.ipynb) | how do early and late features meet? | 75 |
# | [08 AMINet and its bill](08_aminet_and_its_bill.ipynb) | how many parameters and operations, and does the paper's count agree? | 120 |
# | [09 train AMINet](09_train_aminet.ipynb) | how were the weights of this page made? | 90 |
# | [10 train AMIGAN](10_train_amigan.ipynb) | what does a second network teach the first, and what does it cost? | 120 |
# | [11 ablations](11_ablations.ipynb) | which part improves the result, and how large is chance? | 90 |
# | [12 comparisons](12_comparisons.ipynb) | what is the idea of each compared method, and what is a ranking worth? | 90 |
# | [13 the GANs compared](13_compared_gans.ipynb) | what do five discriminators see, and what does FID hide? | 75 |
# | [14 faces at work](14_faces_at_work.ipynb) | how does a face get out of a photograph and back, and is it recognised? | 75 |
# | [15 where it fails](15_where_it_fails.ipynb) | what breaks the network first, and whom does it serve worse? | 90 |
# | [A symbols and shapes](A_symbols_and_shapes.ipynb) | what does this symbol mean? The page to keep open beside all others | 30 |
#
# **The short route**, 90 minutes without exercises:
#
# | minutes | read |
# |---|---|
# | 25 | this page: "The result", "Two numbers for a face", "What the network adds", "Nearer, or sharper?", "The map of the network" |
# | 15 | [01](01_the_problem.ipynb): "Many faces, one small picture", "The mean of all plausible faces" |
# | 15 | [03](03_sa.ipynb): "Query, key, value", and Eqs. 1 to 5 |
# | 10 | [04](04_rdfe.ipynb): "Why three kernel sizes", "RDFE in six steps" |
# | 10 | [05](05_skaf.ipynb): "SKAF in one picture", "The module" |
# | 10 | [08](08_aminet_and_its_bill.ipynb): "Assembling" |
# | 5 | [09](09_train_aminet.ipynb): "The loop" |
#
# **The long route**, 25 hours with all exercises: chapters 00 to 10 in this order, then 11 to 15 in any order. In chapters 03 to 09 you write the network yourself, module by module, and train it.
#
# ## What to remember
#
# * AMINet returns the bicubic face plus a correction. The correction is a good guess from other faces, not information from this one.
# * A score belongs to its pictures, its protocol and its weights. Only gains on the same faces compare.
# * The network has learned to undo one way of reducing a face. For another way, or noise, it can be worse than bicubic, and it never says so.
#
# To read on: J. Jiang et al., [Deep Learning-based Face Super-Resolution: A Survey](https://arxiv.org/abs/2101.03749) (2021); the paper of this course, [AMINet](https://arxiv.org/abs/2409.00591) (2024).
#
# Next: [01 the problem](01_the_problem.ipynb), on what is lost and why no network can simply invert it.
