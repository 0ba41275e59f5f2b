# %% [markdown]
# # 01 · The problem
#
# A face of 128×128 pixels is reduced to 16×16: what is lost, how exactly, and why no network can simply invert it.
#
# *90 minutes to study, about 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/01_the_problem.ipynb) · previous: [00 a first face](00_a_first_face.ipynb) · next: [02 measuring a face](02_measuring_a_face.ipynb)
#
# Before this: [00 a first face](00_a_first_face.ipynb), Python with PyTorch tensors, and the matrix product.
#
# **You will be able to**
#
# * **compute** the degradation of the paper, bit for bit, as two matrix products;
# * **explain** with the spectrum what 16×16 pixels can and cannot hold, and what antialiasing prevents;
# * **construct** different faces with the same small picture, and say what a network that must choose between them does.

# %% tags=["parameters"]
SEED = 1  # of the flips and zooms in the section "Augmentation"
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
# ## The task
#
# Face super-resolution makes a large, sharp face from a small one. In the paper's words:
#
# > "Face super-resolution (FSR), also known as face hallucination, aims at restoring high-resolution (HR) face images from low-resolution (LR) face images [1]. In contrast to standard image super-resolution, the primary objective of FSR is to reconstruct as many facial structural features as possible (i.e. the shape and contour of facial components)." (Sec. I)
#
# > "We center-crop the aligned faces and resize them to 128×128 pixels to obtain HR images. These HR images are then downsampled to 16×16 pixels using bicubic interpolation, producing the corresponding LR images." (Sec. IV-A)
#
# Three pictures belong to every face of this course ([words](A_symbols_and_shapes.ipynb#Words)). **HR** is the original, **LR** is what is left of it, and **bicubic** is LR enlarged again without any learning.
# Bicubic is the network's input and the first row of every table.

# %% tags=["imports"]
import matplotlib.pyplot as plt
import numpy as np
import torch

from aminet import degrade as package
from aminet.errors import BadInput
from aminet.faces.portraits import portraits
from aminet.faces.synthetic import faces
from exercises import check
from page import explore, show, table

people = torch.stack(list(portraits().values()))  # (2, 3, 128, 128) uint8
pool = torch.cat([people, faces(8)])              # and eight synthetic faces, of nobody
small = package.degrade(pool)
large = package.upsample(small)
for name, x in (("HR", pool), ("LR", small), ("bicubic", large)):
    print(f"{name:8s}{tuple(x.shape)}  {x[0].numel():,} numbers a face")
print(f"the eyes: 38 px apart in HR, {38 / 8:.2f} px in LR; one eye: about 9 px wide, {9 / 8:.1f} px in LR")
figure = show([[pool[i], small[i], large[i]] for i in (0, 1, 4)], scale=1.5,
              titles=["HR 128×128", "LR 16×16", "bicubic 128×128"], labels=["Hopper", "Collins", "synthetic"])
figure.set_label("Three faces, each as HR, as LR and enlarged bicubically: LR has 16 by 16 squares, bicubic is a blur")

# %% [markdown]
# The two portraits are in the public domain: Commodore Grace M. Hopper, 1984 (James S. Davis, U.S. Navy) and astronaut Eileen M. Collins (NASA).
#
# ## What 16×16 pixels hold
#
# One number in 64 is left, and an eye is about one pixel wide. Which part of the face is that?
# The **spectrum** answers this. The Fourier transform writes a picture as a sum of waves. A wave with few cycles per picture is a soft shading; one with many cycles is fine detail.
# With $\hat x(u, v)$ the Fourier transform of one channel, the energy at $r$ cycles per picture is
#
# $$E(r) = \sum_{r - \frac12 \le \sqrt{u^2 + v^2} < r + \frac12} |\hat x(u, v)|^2 .$$
#
# One cycle needs at least two pixels. So a grid of 16 samples can hold at most 8 cycles in each direction, its **Nyquist frequency**.
# Higher frequencies are strongly damped when a face becomes LR. What remains of them is folded to lower frequencies, where it looks like any other low frequency.
# `spectrum` measures $E$. `kept` measures how much of a single wave's contrast LR keeps.

# %%
def spectrum(images):
    """Mean energy at every whole number of cycles per picture. uint8 (N, 3, 128, 128) -> (92,)"""
    x = images.double() - images.double().mean((-2, -1), keepdim=True)   # without its mean: contrast only
    energy = torch.fft.fft2(x).abs().square() / 128**4                   # Parseval: sums to the variance
    k = torch.fft.fftfreq(128, 1 / 128)                                  # cycles: 0 .. 63, -64 .. -1
    radius = (k[:, None] ** 2 + k**2).sqrt().round().long().flatten()    # (16384,)
    return torch.zeros(92, dtype=torch.double).index_add(0, radius, energy.mean((0, 1)).flatten())


def kept(across, down=0):
    """The part of a wave's contrast that LR keeps, mean over eight phases. Cycles per picture in each direction."""
    x = (torch.arange(128).double() + 0.5) / 128
    shrink = package.resize_matrix(128, 16)  # (16, 128): its weights are the subject of a later section
    parts = []
    for phase in torch.arange(0, 1, 0.125):
        wave = torch.cos(2 * torch.pi * (across * x + down * x[:, None] + phase))  # (128, 128)
        parts.append((shrink @ wave @ shrink.T).std() / wave.std())
    return float(torch.stack(parts).mean())


before, after = spectrum(pool), spectrum(large)
share = 100 * before.cumsum(0) / before.sum()
print(f"{share[8]:.1f} % of the variance lies at 8 cycles or below, {100 - share[8]:.1f} % above")
cycles = (2, 4, 7, 8, 9, 10, 12)
table([["contrast that LR keeps", *(kept(n) for n in cycles), kept(7, 7)]],
      ["cycles per picture", *map(str, cycles), "7 in both directions"])

# %% tags=["plot"]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
left.loglog(range(1, 65), before[1:65], label="HR")
left.loglog(range(1, 65), after[1:65], label="bicubic")
left.set(title="Contrast at each frequency, mean of ten faces", xlabel="cycles per picture", ylabel="energy (levels²)")
right.semilogx(range(1, 65), share[1:65], color="C2")
right.set(title="Contrast of HR up to a frequency", xlabel="cycles per picture",
          ylabel="% of the variance", ylim=(0, 102))
for axis in (left, right):
    axis.axvline(8, color="0.3", linestyle="--", linewidth=1)
    axis.set_xticks([1, 2, 4, 8, 16, 32, 64], [1, 2, 4, 8, 16, 32, 64])
left.text(8.6, left.get_ylim()[1] / 6, "8 cycles in one\ndirection: Nyquist", fontsize=9)
left.legend(loc="lower left")
plt.show()

# %% [markdown]
# Read the figure from left to right. Up to about 4 cycles the two curves coincide: LR keeps soft shading. Near the dashed line the orange curve falls, for the damping has begun.
# The line is no wall. At 9 cycles LR keeps 0.37 of a wave's contrast. A wave with 7 cycles in both directions has the radius $7\sqrt2 = 9.9$, and LR keeps 0.42 of it.
# To the right of the line, most of the orange curve is the interpolation's own imperfection. What lies to the left determines it, so it is hardly information about the face.
#
# In sum, 84 % of the *contrast* lies at 8 cycles or below, and yet nobody would recognise the person. The lost part is small in energy and large in meaning:
# the edge of the eyelid, the line between the lips, the rim of the glasses. Here it is by itself.

# %%
def rest(hr, up):
    """What is lost, on grey: HR minus bicubic."""
    return ((hr.int() - up.int()) + 128).clamp(0, 255).to(torch.uint8)


def psnr_rgb(a, b):
    """dB over all three channels. Notebook 02 explains this measure. (N, 3, H, W) twice -> (N,)"""
    return 10 * torch.log10(255**2 / (a.double() - b.double()).square().mean((1, 2, 3)))


figure = show([[pool[i], large[i], rest(pool[i], large[i])] for i in (0, 1)], labels=["Hopper", "Collins"],
              titles=["HR", "= what LR holds", "+ what is lost"], scale=1.5)
print("bicubic, dB over RGB:", np.round(psnr_rgb(large, pool).numpy(), 1))

# %% [markdown]
# The **PSNR** in the last line measures how near bicubic is to HR, in decibels: a larger number is a smaller error. [Notebook 02](02_measuring_a_face.ipynb) derives it.
#
# ### Exercise 1: which face is hardest?
#
# *Level 2, 15 minutes.* Put faces in the order of their bicubic PSNR, the worst first, **without** degrading them. All you get is the spectra of HR.
# Write `hardest_first(spectra)`. Row $i$ is what `spectrum` gives for face $i$ alone: its energy at 0 to 91 cycles. Return a list of the N positions.

# %% tags=["exercise"]
def hardest_first(spectra):
    """Positions of the faces, the lowest bicubic PSNR first. double (N, 92) -> list of N whole numbers."""
    ...  # your turn


passed = check("01.1", hardest_first)

# %% tags=["solution"]
def hardest_first(spectra):
    lost = spectra[:, 9:].sum(1)  # energy above 8 cycles
    return lost.argsort(descending=True).tolist()


passed = check("01.1", hardest_first)

# %% [markdown]
# ## Bicubic, exactly
#
# "Bicubic" is not one operation. Every library takes a weighted mean of neighbouring pixels, with weights from a curve, the **kernel**. But libraries place that kernel differently, and their results differ.
# This course uses the bicubic of PIL, as the training code of SPARNet, CTCNet and WFEN does.
# Its kernel is that of Keys with $a = -\frac12$:
#
# $$k(t) = \begin{cases} \frac32 |t|^3 - \frac52 |t|^2 + 1 & |t| < 1 \\ -\frac12 |t|^3 + \frac52 |t|^2 - 4 |t| + 2 & 1 \le |t| < 2 \\ 0 & \text{else.} \end{cases}$$
#
# Let $n$ pixels become $m$. Sample $i$ of the result lies at $c_i = (i + \frac12) \frac{n}{m}$, and its weights are
#
# $$D_{ij} = \frac{k\big((j + \frac12 - c_i) / s\big)}{\sum_l k\big((l + \frac12 - c_i) / s\big)}, \qquad s = \max\left(\frac nm, 1\right).$$
#
# The stretch $s$ is the **antialiasing**. When a picture shrinks 8 times, the kernel becomes 8 times as wide, so that every pixel of HR contributes.

# %%
from functools import lru_cache


def cubic(x: torch.Tensor) -> torch.Tensor:
    """Keys' cubic kernel with a = -0.5, as in PIL."""
    x = x.abs()
    inner = (1.5 * x - 2.5) * x * x + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, inner, torch.where(x < 2, outer, 0.0))


@lru_cache(maxsize=16)
def resize_matrix(before: int, after: int, device: torch.device | str = "cpu",
                  dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """PIL's bicubic weights as an (after, before) matrix, rows summing to one up to PIL's 22-bit rounding."""
    stretch = max(before / after, 1.0)  # antialiasing widens the kernel when shrinking
    centre = (torch.arange(after, dtype=torch.float64) + 0.5) * before / after
    pixel = torch.arange(before, dtype=torch.float64) + 0.5
    weights = cubic((pixel - centre[:, None]) / stretch)
    weights = weights / weights.sum(1, keepdim=True)
    return (torch.round(weights * 2**22) / 2**22).to(device, dtype)  # made once, then it stays on the device

# %%
D = resize_matrix(128, 16)   # (16, 128)
U = resize_matrix(16, 128)   # (128, 16)
print("D", tuple(D.shape), " U", tuple(U.shape), " a row sums to", round(float(D[8].sum()), 4))

# %% tags=["plot"]
pixel = torch.arange(128) + 0.5
narrow = cubic(pixel - 8.5 * 8)  # the same kernel without the stretch
figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.2), layout="constrained", width_ratios=[1, 1.3])
left.plot(pixel, D[8], ".-", markersize=4, linewidth=1, label="antialiased: 32 pixels")
left.plot(pixel, narrow / narrow.sum(), ".-", markersize=4, linewidth=1, label="not antialiased: 4 pixels")
left.axvspan(64, 72, color="0.9")
left.set(title="Weights of LR pixel 8 (grey: where it lies)", xlabel="HR pixel", ylabel="weight",
         xlim=(44, 92), ylim=(-0.1, 0.85))
left.legend(fontsize=9, loc="upper left")
shown = right.imshow(D, cmap="RdBu_r", vmin=-0.15, vmax=0.15, aspect="auto", extent=(0, 128, 16, 0))
right.set(title="D: all 16 rows of weights", xlabel="HR pixel", ylabel="LR pixel", yticks=range(0, 17, 4))
right.grid(False)
figure.colorbar(shown, ax=right, label="weight")
plt.show()

# %% [markdown]
# One row of pixels becomes $D x$. A picture has two directions, so each channel becomes
#
# $$y = D \, x \, D^\top, \qquad \text{and enlarged again} \qquad \tilde x = U \, y \, U^\top .$$
#
# PIL works on bytes. It computes $x D^\top$ and **rounds to bytes**, then multiplies by $D$ from the left and rounds again.
# With the same two roundings, two matrix products give PIL's picture, on any device and for a whole batch at once.
# `resize` refuses any type but bytes. Floats from −1 to 1 would all be rounded to zero.

# %%
def resize(images: torch.Tensor, size: int) -> torch.Tensor:
    """PIL's `resize((size, size), BICUBIC)` for a batch. uint8 (N, 3, H, W) -> uint8 (N, 3, size, size).

    BadInput for other types: floats in [-1, 1] would all be rounded to zero.
    """
    if images.dtype != torch.uint8:
        raise BadInput(f"faces are uint8 from 0 to 255, not {images.dtype}: see `protocol.to_uint8`")
    # Sums of 22-bit weights times bytes are exact in float64; MPS has none and may differ by one level.
    dtype = torch.float32 if images.device.type == "mps" else torch.float64
    x = images.to(dtype)
    columns, rows = (resize_matrix(n, size, x.device, dtype) for n in (images.shape[-1], images.shape[-2]))
    x = torch.floor(x @ columns.T + 0.5).clamp(0, 255)  # PIL rounds to bytes between its two passes
    return torch.floor(rows @ x + 0.5).clamp(0, 255).to(torch.uint8)


def degrade(hr: torch.Tensor) -> torch.Tensor:
    """HR -> LR. uint8 (N, 3, 128, 128) -> uint8 (N, 3, 16, 16)."""
    return resize(hr, LR)


def upsample(lr: torch.Tensor) -> torch.Tensor:
    """LR -> the bicubic face, which is the network's input and the baseline of every table. (N, 3, 128, 128) uint8."""
    return resize(lr, HR)


def pil_degrade(hr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The reference, by PIL itself, for one face: uint8 (3, H, W) -> LR (3, 16, 16) and bicubic (3, 128, 128)."""
    import numpy as np
    from PIL import Image

    lr = Image.fromarray(hr.permute(1, 2, 0).numpy()).resize((LR, LR), Image.Resampling.BICUBIC)
    up = lr.resize((HR, HR), Image.Resampling.BICUBIC)
    lr, up = (torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in (lr, up))
    return lr, up

# %%
LR, HR = 16, 128
pil_pairs = [pil_degrade(face) for face in pool]         # PIL takes one face at a time
pil_lr = torch.stack([lr for lr, up in pil_pairs])
pil_up = torch.stack([up for lr, up in pil_pairs])
ours_lr, ours_up = degrade(pool), upsample(degrade(pool))  # the batch at once
print("LR:      bytes that differ from PIL's:", int((ours_lr != pil_lr).sum()), "of", ours_lr.numel())
print("bicubic: bytes that differ from PIL's:", int((ours_up != pil_up).sum()), "of", ours_up.numel())

once = torch.floor(D @ pool.double() @ D.T + 0.5).clamp(0, 255)  # without the rounding in between
differ = 100 * float((once != pil_lr).double().mean())
print(f"with one rounding instead of two, {differ:.1f} % of the LR bytes differ")
try:
    degrade(package.to_float(pool))                      # the network's range, by mistake
except BadInput as error:
    print("BadInput:", error)

# %% [markdown]
# ## What happens without antialiasing
#
# `torch.nn.functional.interpolate(mode="bicubic")` does **not** antialias unless asked. When shrinking 8 times, it uses 4 of every 8 pixels in each direction and skips the others.
# Frequencies above 8 cycles are then not damped. They fold back at full strength and appear as low frequencies that are not in the face: this is **aliasing**.
# The test picture is a *zone plate*, whose frequency grows from the middle outwards.

# %%
import torch.nn.functional as F


def aliased(hr, size=16):
    """torch's bicubic as it comes: no antialiasing. uint8 (N, 3, H, W) -> uint8 (N, 3, size, size)"""
    x = F.interpolate(hr.double(), size=size, mode="bicubic", align_corners=False)
    return x.round().clamp(0, 255).to(torch.uint8)


r2 = (torch.arange(128) - 63.5).square()
plate = 127.5 + 127.5 * torch.cos(torch.pi * (r2[:, None] + r2) * 0.2 / 64)  # finer with the radius
plate = plate.round().to(torch.uint8).expand(1, 3, 128, 128)
figure = show([[x[0], degrade(x)[0], upsample(degrade(x))[0], aliased(x)[0], upsample(aliased(x))[0]]
               for x in (plate, pool[:1])], labels=["zone plate", "Hopper"],
              titles=["HR", "LR, antialiased", "enlarged", "LR, aliased", "enlarged"])

# %% [markdown]
# With antialiasing, the fine rings become a nearly even grey. The detail is gone, and the picture shows that it is gone. Without antialiasing, the fine rings become coarse rings that HR does not have.
# In the portrait, the same error makes jagged steps, and single pixels of the glasses decide the colour of a whole LR pixel. The next cell measures what this costs the baseline.

# %%
gain = psnr_rgb(upsample(degrade(pool)), pool) - psnr_rgb(upsample(aliased(pool)), pool)
for name, shrink in (("antialiased", degrade), ("aliased", aliased)):
    print(f"bicubic baseline, {name}: {float(psnr_rgb(upsample(shrink(pool)), pool).mean()):.2f} dB, mean of ten faces")
asked = F.interpolate(pool.double(), size=16, mode="bicubic", align_corners=False, antialias=True)
gap = (asked.round().clamp(0, 255) - pil_lr.double()).abs()
differ = 100 * float((gap > 0).double().mean())
print(f"torch with antialias=True against PIL: {differ:.1f} % of the LR bytes differ, by {int(gap.max())} at most")

# %% tags=["plot"]
figure, axis = plt.subplots(figsize=(8, 2.5), layout="constrained")
axis.bar(["Hopper", "Collins", *(f"synth. {i}" for i in range(8))], gain, color="C1")
axis.axhline(float(gain.mean()), color="0.3", linestyle="--", linewidth=1)
axis.set(title=f"What aliasing costs the bicubic baseline: {float(gain.mean()):.1f} dB on average",
         ylabel="dB lost")
axis.tick_params(axis="x", labelsize=9)
plt.show()

# %% [markdown]
# So the degradation matters for every comparison. A method that was trained on antialiased LR pictures has never seen aliased ones. And an aliased baseline, over one dB lower, makes every network look that much better.
#
# <details><summary>What the paper leaves open</summary>
#
# The paper says "bicubic interpolation" and no more. The code of SPARNet, CTCNet and WFEN uses PIL in training and in testing, and so does this course.
#
# </details>
#
# ## Many faces, one small picture
#
# Can a network undo the degradation? It cannot, and the number of equations says why: $y = D x D^\top$ has $3 \cdot 16^2 = 768$ equations for $3 \cdot 128^2 = 49\,152$ unknowns.
# Many faces therefore have the same LR picture. A picture whose LR is zero lies in the **null space** of the degradation; adding it to a face does not change LR.
# The pseudo-inverse $D^+$ of $D$ makes the smallest $x$ with $D x = y$ from $y$. With it, any picture $z$ splits into two parts:
#
# $$z = \underbrace{D^+ D \, z \, D^\top {D^+}^\top}_{\text{what LR sees}} + \underbrace{z - D^+ D \, z \, D^\top {D^+}^\top}_{\text{in the null space: LR sees zero}} .$$
#
# So take the second part from *any* face, and the first from the LR picture at hand. The sum is a face with exactly this LR picture.
# `explain` does so several times over, because pixels must also be whole numbers from 0 to 255.

# %%
from dataclasses import replace

from aminet.faces.synthetic import FaceParams, render

P = torch.linalg.pinv(D)  # (128, 16)


def explain(face, lr, steps=40):
    """A picture near `face` whose LR is `lr`, byte for byte. (3, 128, 128), (3, 16, 16) -> (3, 128, 128) uint8"""
    x, wanted = face.double(), lr.double()
    for _ in range(steps):
        x = (x + P @ (wanted - D @ x @ D.T) @ P.T).clamp(0, 255)
        found = degrade(x.round().to(torch.uint8)[None])[0]
        if torch.equal(found, lr):
            break
        wanted += 0.5 * (lr.double() - found.double())
    return x.round().to(torch.uint8)

# %%
someone = FaceParams(identity=4, skin=0.2, hair=3, tone=0.35, light=0.4, strength=0.4, expression=-0.4)
serious = render(someone).image
y = degrade(serious[None])[0]
laughing = explain(render(replace(someone, identity=17, expression=0.7, glasses=True)).image, y)
stripes = 45 * torch.sign(torch.sin(torch.arange(128) * 2 * torch.pi * 20 / 128))  # 20 cycles
striped = explain(people[1].double() + stripes, degrade(people[1:])[0])
pairs = [(serious, laughing), (people[1], striped)]
figure = show([[a, degrade(a[None])[0], degrade(b[None])[0], b] for a, b in pairs], scale=1.5,
              titles=["one face", "its LR", "its LR", "another face"], labels=["synthetic", "Collins"])
for a, b in pairs:
    print(f"the two faces: {float(psnr_rgb(a[None], b[None])):.1f} dB apart, "
          f"LR bytes that differ: {int((degrade(a[None]) != degrade(b[None])).sum())}")

# %% [markdown]
# Is this person serious, or laughing behind glasses? The LR picture does not say. This is what **ill-posed** means: the input does not determine the answer. The rest has to come from knowledge of faces.
# The striped portrait has the same LR picture as Collins. Only the knowledge that faces have no stripes excludes it.
#
# ### Exercise 2: how large is the freedom?
#
# *Level 2, 10 minutes.* Write `free(n, m, channels)`: the number of dimensions of the null space of $x \mapsto D x D^\top$, for pictures of $n \times n$ pixels reduced to $m \times m$.
# The check computes the rank of the whole degradation for small pictures.

# %% tags=["exercise"]
def free(n, m, channels):
    """Dimensions of the null space. Three whole numbers -> a whole number."""
    ...  # your turn


passed = check("01.2", free)

# %% tags=["solution"]
def free(n, m, channels):
    return channels * (n**2 - m**2)


passed = check("01.2", free)

# %% [markdown]
# For the faces of this course, 48,384 of 49,152 dimensions are free: 98.4 %.
#
# ## The mean of all plausible faces
#
# A network must give *one* answer. Which one does it give? To find out, take many different synthetic faces and keep the twelve whose LR pictures are nearest to $y$.
# Then correct them with `explain` until their LR pictures **are** $y$. Each of the twelve could be the original.

# %%
rng = np.random.default_rng(0)
crowd = [render(replace(someone, identity=i, expression=rng.uniform(-0.4, 0.7), yaw=rng.uniform(-5, 5),
                        glasses=bool(rng.random() < 0.3))).image for i in range(100, 124)]
distance = (degrade(torch.stack(crowd)).double() - y.double()).square().mean((1, 2, 3))
plausible = torch.stack([explain(crowd[i], y) for i in distance.argsort()[:12]])  # (12, 3, 128, 128)
print("LR bytes that differ from y, all twelve faces:", int((degrade(plausible) != y).sum()))
figure = show([plausible[:6], plausible[6:]])
figure.set_label("Twelve different faces with one LR picture: some with glasses, some smiling")

# %% [markdown]
# Suppose that one of the twelve is the original, and compare two answers: another one of the twelve, drawn at random, and the mean of the other eleven.

# %%
def mse(a, b):
    """Mean squared error of each pair of pictures. (..., 3, H, W) twice -> (...)"""
    return (a.double() - b.double()).square().mean((-3, -2, -1))


n, total = len(plausible), plausible.double().sum(0)
others = (total - plausible.double()) / (n - 1)  # for each face, the mean of the other eleven
pairs = [mse(plausible[i], plausible[j]) for i in range(n) for j in range(n) if i != j]
one_db = 10 * float(torch.log10(255**2 / torch.stack(pairs).mean()))
mean_db = 10 * float(torch.log10(255**2 / mse(plausible, others).mean()))
mean = (total / n).round().to(torch.uint8)
figure = show([[plausible[0], mean, upsample(y[None])[0]]], scale=2, titles=["one of them", "the mean", "bicubic"],
              captions=[[f"{one_db:.1f} dB to another one", f"{mean_db:.1f} dB to a face outside it"]])
print(f"the mean of the other eleven wins by {mean_db - one_db:.2f} dB; "
      f"theory says 10 log10(2 (n - 1) / n) = {10 * np.log10(2 * (n - 1) / n):.2f} dB")

# %% [markdown]
# The mean is sharp where all twelve agree, at the outline of the head. It is blurred where they differ: at the brows, the mouth, the half-visible glasses. Nobody looks like it, and yet it has the **best PSNR** of all answers.
# The reason is short. Let $m$ be the mean and $V$ the mean squared distance to it. Two faces drawn at random are $2V$ apart, a face and the mean only $V$. That is up to $10 \log_{10} 2 = 3$ dB.
#
# AMINet minimises the mean absolute error (Eq. 17) and so tends to a blurred compromise as well. AMIGAN adds losses that ask for *one* plausible face, which costs PSNR ([notebook 10](10_train_amigan.ipynb)). Eq. 17 is
#
# $$\mathcal L(\Theta) = \frac1N \sum_{i=1}^N \left\| F_{AMINet}(I_{LR}^i, \Theta) - I_{HR}^i \right\|_1 .$$
#
#
# ### Exercise 3: the best single answer
#
# *Level 2, 10 minutes.* The original is one of the faces in a stack (n, 3, H, W), each equally likely, with an odd n. Write `best(stack, loss)`: the picture (3, H, W), in double precision, with the smallest expected loss.
# `loss` is "l1", the mean absolute error, or "l2", the mean squared error.

# %% tags=["exercise"]
def best(stack, loss):
    """The answer with the smallest expected loss. uint8 (n, 3, H, W), "l1" or "l2" -> double (3, H, W)."""
    ...  # your turn


passed = check("01.3", best)

# %% tags=["solution"]
def best(stack, loss):
    return stack.double().mean(0) if loss == "l2" else stack.double().median(0).values


passed = check("01.3", best)

# %% [markdown]
# <details><summary>After exercise 3: how much the two answers differ</summary>
#
# On the first eleven of the twelve faces, the mean has an l1 of 6.838 and an l2 of 159.1. The median has an l1 of 6.396 and an l2 of 177.8. Each answer is the best one for its own loss, and the worse one for the other.
#
# </details>
#
# ## The faces of this course
#
# Everything here runs without any data set. Besides the two portraits there is a generator. It shades and paints a head in three dimensions, and every number of it is known. No face of it belongs to a person.
# A face is a function of ten parameters (`FaceParams`), and `faces(n, seed)` draws them at random. Here are three of the ten.

# %%
start = FaceParams(identity=12, skin=0.35, hair=9, tone=0.5, strength=0.9, background=3)
knobs = {"yaw": (-30, -15, 0, 15, 30), "light": (-1, -0.5, 0, 0.5, 1), "expression": (-0.8, -0.2, 0.2, 0.6, 1)}
rows = [[render(replace(start, **{knob: value})).image for value in values] for knob, values in knobs.items()]
figure = show(rows, labels=[f"{knob}\n{values[0]} to {values[-1]}" for knob, values in knobs.items()])
figure.set_label("One synthetic face, turned from left to right, lit from left to right, and from sad to laughing")

# %% [markdown]
# Each picture comes with its 68 landmarks and with a mask of 19 classes, in the order of the data set CelebAMask-HQ. A real data set has them by hand or from another network. Here they are exact, and they say *where* on a face a method helps.
# In a live notebook the next cell has controls.

# %%
from aminet.faces.synthetic import CLASSES

PALETTE = torch.tensor(np.vstack([[0.35, 0.35, 0.35, 1], plt.get_cmap("tab20")(np.arange(18))])[:, :3] * 255)


def face_with(yaw=20, light=-0.6, expression=0.5, glasses=True):
    face = render(replace(start, yaw=yaw, light=light, expression=expression, glasses=glasses))
    overlay = 0.35 * face.image.permute(1, 2, 0) + 0.65 * PALETTE[face.mask.long()]  # (128, 128, 3)
    tiny = degrade(face.image[None])
    figure = show([[face.image, face.image, overlay.permute(2, 0, 1).to(torch.uint8), tiny[0], upsample(tiny)[0]]],
                  titles=["HR", "68 landmarks", "class mask", "LR", "bicubic"])
    figure.axes[1].scatter(*(face.landmarks.T - 0.5), s=5, color="white", edgecolor="black", linewidth=0.3)
    for k in face.mask.unique().tolist():
        figure.axes[2].plot([], [], "s", color=(PALETTE[k] / 255).tolist(), label=CLASSES[k])
    figure.legend(loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=5, fontsize=9)
    plt.show()


explore(face_with, yaw=(-35, 35), light=(-1.0, 1.0), expression=(-1.0, 1.0))

# %% [markdown]
# ## Real data sets
#
# The paper trains and tests on photographs:
#
# > "We utilize the CelebA [4] dataset for training and evaluation on CelebA [4], Helen [40], and SCface [41] datasets, respectively. […] In our experiments, we randomly chose 18,000 CelebA images for training and 1,000 for testing. In addition, we also utilize the SCface test set as a real evaluation dataset." (Sec. IV-A)
#
# The data sets have their own licences; get them from their makers. The package loads them as they are published:
#
# | set | call | what the folder holds |
# | --- | --- | --- |
# | any faces | `Faces(path, ...)` | pictures in folders, or zips of them |
# | CelebA | `celeba(root)` | `img_align_celeba/` or `.zip`, `list_eval_partition.txt`, `identity_CelebA.txt` |
# | Helen | `helen(root)` | `helen_1` to `helen_5`, `annotation/*.txt`, `testnames.txt` |
# | SCface | `scface(root)` | `mugshot_frontal_cropped_all/`, `surveillance_cameras_distance_1` to `_3` |
#
# On the command line, the variable `AMINET_FACES` names the folder where your sets lie:
#
# ```
# export AMINET_FACES=~/faces
# python -m aminet data check celeba_train.zip celeba_test.zip
# python -m aminet evaluate pocket --faces celeba_test.zip
# ```
#
# A random choice of *images* puts the same *person* into training and test, because CelebA has about 20 pictures of each. `celeba(root, split="random")` draws as the paper's numbers suggest; `split="identity"` keeps every person on one side.
# They are two different tests and must not share a row.
#
# <details><summary>What the paper leaves open</summary>
#
# The paper does not give the lists of the 18,000 and the 1,000 images, nor the side of the centre crop. It does not say which Helen images were used and how they were cropped.
# CelebA's crop is 178 here, the full width of its aligned pictures. Another side gives another task, because the face then fills more or less of the 16 pixels.
#
# </details>

# %%
from tempfile import TemporaryDirectory

from PIL import Image

from aminet.faces.dataset import Faces

with TemporaryDirectory() as folder:
    for i, x in enumerate(pool[2:]):
        Image.fromarray(x.permute(1, 2, 0).numpy()).save(f"{folder}/{i:03d}.png")
    found = Faces(folder)
    print(len(found), "faces of", tuple(found[0].shape), found[0].dtype, "· the first:", found.names[0].split(":")[1])
    print("loaded unchanged:", torch.equal(found.load(progress=False), pool[2:]))
try:
    Faces("no_such_folder")
except BadInput as error:
    print("BadInput:", error)

# %% [markdown]
# ## Augmentation
#
# Augmentation makes new training faces from old ones. SPARNet, CTCNet and WFEN flip each training face at random and enlarge it by 1.0 to 1.3. Then they cut 128×128 pixels out at a random place.
# This is done to HR, **before** the degradation, so that the eyes do not always fall on the same LR pixels. Enlarging is again a matrix from each side, and a flip is the same matrix with its rows in reverse.
#
# Each face needs four random numbers: its scale, the first row, the first column, and whether it is mirrored. `moves` draws them from a generator on the CPU, so a batch depends on its seed and not on the device.
# `send` copies these $4 \times B$ numbers to the device where the faces are. Nothing else is copied, for the matrices are made there.
#
# <details><summary>What the paper leaves open</summary>
#
# The paper does not mention augmentation. The scheme above is that of SPARNet, CTCNet and WFEN.
#
# </details>

# %%
def zoom_matrix(scale: torch.Tensor, offset: torch.Tensor, size: int) -> torch.Tensor:
    """Bicubic enlargement by `scale` >= 1, cropped to `size` pixels from `offset`. (B,), (B,) -> (B, size, size)."""
    pixel = torch.arange(size, device=scale.device)
    centre = (pixel + 0.5 + offset[:, None]) / scale[:, None] - 0.5
    weights = cubic(centre[:, :, None] - pixel)
    return weights / weights.sum(-1, keepdim=True)


def send(numbers: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A copy on the device; a GPU fetches it by itself, and the host does not wait."""
    return numbers.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else numbers.to(device)


def moves(b: int, generator: torch.Generator, device: torch.device | str = "cpu", size: int = HR,
          largest: float = 1.3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draw how each of b faces moves: its scale from 1.0 to `largest`, the first row and the first column in pixels of
    the enlarged face, and whether it is mirrored. Four of shape (B,).

    All random numbers come from `generator` (on the CPU), so a batch depends on its seed and not on the device.
    """
    draw = send(torch.rand(4, b, generator=generator), torch.device(device))
    scale = 1 + draw[0] * (largest - 1)
    room = (scale - 1) * size
    return scale, draw[1] * room, draw[2] * room, draw[3] < 0.5


def augment(hr: torch.Tensor, generator: torch.Generator, largest: float = 1.3) -> torch.Tensor:
    """Random horizontal flip and scale-crop by 1.0 to `largest` (see `moves`). uint8 (B, 3, S, S) -> the same."""
    size = hr.shape[-1]
    scale, top, left, mirrored = moves(len(hr), generator, hr.device, size, largest)
    rows, columns = zoom_matrix(scale, top, size), zoom_matrix(scale, left, size)
    columns = torch.where(mirrored[:, None, None], columns.flip(1), columns)
    zoomed = rows[:, None] @ hr.float() @ columns[:, None].transpose(-2, -1)
    return zoomed.round().clamp(0, 255).to(torch.uint8)

# %% [markdown]
# Two functions finish a training pair. `network_input` makes what the network gets, and `to_float` brings bytes to its range from −1 to 1.

# %%
def to_float(images: torch.Tensor) -> torch.Tensor:
    """uint8 0..255 -> float32 in [-1, 1], the network's range."""
    return images.float() / 127.5 - 1


def network_input(hr: torch.Tensor, enlarged: bool = True) -> torch.Tensor:
    """What a network takes for these faces: uint8 (N, 3, 128, 128) -> float32 in [-1, 1], (N, 3, 128, 128) `enlarged`
    bicubically, or the LR faces (N, 3, 16, 16) themselves."""
    lr = degrade(hr)
    return to_float(upsample(lr) if enlarged else lr)


batch = augment(people[1:].expand(6, -1, -1, -1), torch.Generator().manual_seed(SEED))  # (6, 3, 128, 128)
again = package.augment(people[1:].expand(6, -1, -1, -1), torch.Generator().manual_seed(SEED))
print("equal to the package's:", torch.equal(batch, again))
for name, x in (("input", network_input(batch)), ("target", to_float(batch))):
    print(f"{name:7s}{tuple(x.shape)} {x.dtype}, from {x.min():.2f} to {x.max():.2f}")
figure = show([batch, upsample(degrade(batch))], labels=["HR", "bicubic"])
figure.set_label("One portrait, six training pairs: flipped, enlarged and shifted at random, as HR and bicubic")

# %% [markdown]
# ### Exercise 4: zoom by cutting
#
# *Level 1, 10 minutes.* You can zoom with what you already have: cut a square out and resize it. Write `zoom(hr, side, top, left)`, for `hr` of uint8 (N, 3, 128, 128).
# The square has `side` pixels, and its upper left corner is at row `top` and column `left`. It is enlarged to 128×128.

# %% tags=["exercise"]
def zoom(hr, side, top, left):
    """A square of the faces, enlarged by `resize`. uint8 (N, 3, 128, 128) -> uint8 (N, 3, 128, 128)."""
    ...  # your turn


passed = check("01.4", zoom)

# %% tags=["solution"]
def zoom(hr, side, top, left):
    return resize(hr[..., top:top + side, left:left + side], 128)


passed = check("01.4", zoom)

# %% [markdown]
# ## What to remember
#
# * Degradation is $y = D x D^\top$ with PIL's antialiased bicubic weights, rounded to bytes twice. Without antialiasing, the baseline is over one dB lower.
# * 98.4 % of the dimensions of a face are free once its LR picture is given. What fills them is knowledge of faces, not of the picture.
# * The mean of all plausible faces is blurred and has the best PSNR. A higher PSNR alone does not show a better face.
#
# To read on: S. Baker and T. Kanade, [Limits on Super-Resolution and How to Break Them](https://doi.org/10.1109/TPAMI.2002.1033210) (2002); S. Menon et al., [PULSE](https://arxiv.org/abs/2003.03808) (2020), many faces for one small picture.
#
# Next: [02 measuring a face](02_measuring_a_face.ipynb), on what the numbers of the tables mean.
