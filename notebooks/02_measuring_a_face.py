# %% [markdown]
# # 02 · Measuring a face
#
# One pair of pictures has many PSNRs: what each number means, what it does not see, and how sure it is.
#
# *About 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/02_measuring_a_face.ipynb) · previous: [01 the problem](01_the_problem.ipynb) · next: [03 SA](03_sa.ipynb)
#
# **You will be able to**
#
# * **compute** PSNR and SSIM from their definitions, under the protocol of a given line of papers;
# * **predict** which switch of a protocol moves a number, and by how much;
# * **judge** a difference between two methods with a paired interval, and a published row with care.

# %% tags=["parameters"]
WIDGETS = False  # True in a live notebook: sliders
FACES = 32       # synthetic faces for the sets
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
# ## PSNR from the definition
#
# > "To measure the quality of FSR results, we use PSNR [42], SSIM [42], LPIPS [43], VIF [44], and FID [45]." (Sec. IV-A)
#
# That sentence is all that the paper says about its measures. This notebook takes PSNR, SSIM and VIF; LPIPS and FID compare features of trained networks and wait for [notebook 10](10_train_amigan.ipynb).
#
# Peak signal-to-noise ratio is the mean squared error on a logarithmic scale, against the largest value that a byte can have:
#
# $$\mathrm{MSE} = \frac{1}{n} \sum_{p} (x_p - y_p)^2, \qquad \mathrm{PSNR} = 10 \log_{10} \frac{255^2}{\mathrm{MSE}} \ \text{dB}.$$

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch

from aminet import protocol as package
from aminet.degrade import degrade, resize_matrix, to_float, upsample
from aminet.faces.portraits import portraits
from aminet.metrics.vif import gray, vif, vifp
from aminet.protocol import PROTOCOLS


def psnr_of_mse(mse: np.ndarray | np.floating) -> np.ndarray:
    """10 log10(255^2 / MSE), inf where the error is zero."""
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255**2 / mse)


def psnr_of_levels(x, y):
    """PSNR in dB of two arrays of levels 0..255, all of their numbers alike."""
    return psnr_of_mse(np.mean((np.asarray(x, float) - np.asarray(y, float)) ** 2))


hr = torch.stack(list(portraits().values()))  # (2, 3, 128, 128) uint8: Hopper, Collins
sr = upsample(degrade(hr))                    # the result to be measured: bicubic
error = (sr.double() - hr.double()).square().mean(1).sqrt()  # (2, 128, 128)
figure = show([[hr[i], sr[i], error[i]] for i in (0, 1)], labels=["Hopper", "Collins"], height=1.7,
              titles=["truth", "result", "error (bright: large)"])
print("PSNR over all three channels:", [f"{psnr_of_levels(a, b):.2f} dB" for a, b in zip(sr, hr)])

# %% [markdown]
# A decibel is a ratio. One dB more is an error smaller by 11 %, three dB are half the squared error, six dB half the error.
# The two published numbers in the figure are the first and the last row of Table VII, CelebA.

# %%
level = np.linspace(3, 40, 200)  # root mean squared error
figure, axis = plt.subplots(figsize=(6.5, 2.8), layout="constrained")
axis.plot(level, 20 * np.log10(255 / level))
for name, value in (("Bicubic, Table VII: 23.61 dB", 23.61), ("AMINet, Table VII: 28.26 dB", 28.26)):
    at = 255 / 10 ** (value / 20)
    axis.plot(at, value, "o", color="C1")
    axis.annotate(f"{name}\n{at:.1f} levels", (at, value), (at + 2, value + 1.5), fontsize=9)
axis.set(title="What a decibel is", xlabel="root mean squared error (levels of 255)", ylabel="PSNR (dB)")
plt.show()

# %% [markdown]
# ## Which channel?
#
# The papers of this field measure on luma only. Theirs is the **studio swing** of video: black is 16, white is 235 (ITU-R BT.601),
#
# $$Y = 16 + \frac{65.481\, R + 128.553\, G + 24.966\, B}{255} .$$
#
# Three things follow. Errors of colour do not count. Opposite errors of two channels cancel. And all differences are smaller by $219/255$,
# while the formula still divides by $255^2$: that alone is a gift of $20 \log_{10}(255/219)$ dB.

# %%
def luma(x: np.ndarray, rounding: str = "truncate") -> np.ndarray:
    """(N, 3, H, W) uint8 RGB to (N, H, W) uint8 studio-swing luma, 16 to 235. Whole numbers keep it exact."""
    r, g, b = np.moveaxis(x.astype(np.int32), 1, 0)
    half = 127500 if rounding == "round" else 0
    return (16 + (65481 * r + 128553 * g + 24966 * b + half) // 255000).astype(np.uint8)


# %%
same = luma(hr.numpy()) == package.luma(hr.numpy())
print("luma", luma(hr.numpy()).shape, "· equal to the package's:", bool(same.all()))
bw = np.array([[0, 0, 0], [255, 255, 255]], np.uint8)[:, :, None, None]
print("black and white become", luma(bw).ravel(), f"· the gift: {20 * np.log10(255 / 219):.2f} dB")
views = {"RGB": np.asarray, "gray, 0 to 255": gray, "Y, 16 to 235": luma}
table = {name: [psnr_of_levels(view(a[None].numpy()), view(b[None].numpy())) for a, b in zip(sr, hr)]
         for name, view in views.items()}
figure, axis = plt.subplots(figsize=(6.5, 2.2), layout="constrained")
for k, (name, values) in enumerate(table.items()):
    bars = axis.barh(np.arange(2) + 0.27 * (k - 1), values, 0.25, label=name)
    axis.bar_label(bars, fmt="%.2f", fontsize=8, padding=2)
axis.set(title="The same pictures on three channels", xlabel="PSNR (dB)", yticks=[0, 1], xlim=(15, 24))
axis.set_yticklabels(["Hopper", "Collins"])
axis.invert_yaxis()
axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# ## Truncated or rounded?
#
# A network answers in floating point, a picture has bytes. The scripts of SPARNet, CTCNet and WFEN compute $(x + 1)/2 \cdot 255$ and **truncate**; others round.
# Truncation is no harmless detail: the result becomes darker by half a level on average, and the truth does not.

# %%
from torch import Tensor

from aminet.errors import BadInput
from aminet.protocol import ROUNDINGS


def to_uint8(x: Tensor, rounding: str = "truncate") -> Tensor:
    """(..., 3, H, W) float in [-1, 1] to uint8: (x + 1) / 2 * 255, clipped, then truncated or rounded."""
    if rounding not in ROUNDINGS:
        raise BadInput(f"rounding is {rounding!r}; use one of {', '.join(ROUNDINGS)}")
    if not x.is_floating_point():
        raise BadInput(f"to_uint8 takes float in [-1, 1], not {x.dtype}; a uint8 image needs no conversion")
    if not torch.isfinite(x).all():
        raise BadInput("the result holds NaN or infinity; check the weights or the training run")
    x = ((x.float() + 1) / 2 * 255).clamp(0, 255)
    return (x.round() if rounding == "round" else x).to(torch.uint8)


# %% [markdown]
# Channel and rounding are two switches of a **protocol**; a third, the crop, follows below. With them PSNR is complete. `prepare` brings both pictures to what is measured: bytes, then the channel, then without the border.
# `pair` is the package's check: both must be bytes of one shape, and a result in floating point becomes bytes by `to_uint8`. One number comes out per face.

# %%
from aminet.protocol import Protocol, pair


def prepare(sr: Tensor, hr: Tensor, protocol: Protocol) -> list[np.ndarray]:
    """What PSNR and SSIM see of a result and its ground truth, each uint8 and cropped.

    sr: (N, 3, H, W) uint8, or float in [-1, 1]; hr: uint8. Both become (N, H', W') luma, or (N, 3, H', W') RGB.
    """
    images, crop = pair(sr, hr, protocol.sr_rounding), protocol.crop
    height, width = images[0].shape[-2:]
    if min(height, width) <= 2 * crop:
        raise BadInput(f"{width}x{height} pixels are too few for a crop of {crop}")
    views = [luma(x, protocol.y_rounding) for x in images] if protocol.channel == "y" else images
    return [x[..., crop:height - crop, crop:width - crop] for x in views]


def psnr(sr: Tensor, hr: Tensor, protocol: Protocol) -> np.ndarray:
    """PSNR per image in dB: (N,). Identical images give inf, and inf stays inf in a mean."""
    sr_view, hr_view = prepare(sr, hr, protocol)
    error = sr_view.astype(float) - hr_view.astype(float)
    return psnr_of_mse(np.mean(error**2, axis=tuple(range(1, error.ndim))))  # over all axes but the images'


# %%
every = torch.arange(256, dtype=torch.uint8)
for rounding in ROUNDINGS:
    changed = int((to_uint8(to_float(every), rounding) != every).sum())
    print(f"bytes -> [-1, 1] -> bytes, {rounding}: {changed} of 256 levels change")

paper = PROTOCOLS["paper"]
noise = torch.randn(hr.shape, generator=torch.Generator().manual_seed(0))
truncated, rounded = [], []
for sigma in (0.8, 1.2, 2, 3, 5, 8, 12, 18, 28):
    x = to_float(hr) + sigma / 127.5 * noise  # a result whose error is known
    truncated.append(psnr(x, hr, paper).mean())
    rounded.append(psnr(x, hr, replace(paper, sr_rounding="round")).mean())
figure, axis = plt.subplots(figsize=(6.5, 2.6), layout="constrained")
axis.plot(rounded, np.subtract(rounded, truncated), "o-")
axis.axvspan(22, 29, color="0.92")
axis.text(25.5, 1, "faces ×8", ha="center", fontsize=9)
axis.set(title="What truncation costs", xlabel="PSNR when rounded (dB)", ylabel="dB lost")
plt.show()

# %% [markdown]
# At the level of eightfold faces the difference drowns in the error itself. In a task near 40 dB, such as twofold super-resolution, it is already a tenth of a dB, and rankings are decided by less. A switch that does not matter here may matter elsewhere: so it is written down.
#
# ## Cropped or not?
#
# Some papers cut 8 pixels from every border before they measure. Bicubic has no neighbours to look at there, and a face set has its hair, collar and background there: the error at the border is larger, and a crop makes it vanish.

# %%
y_hr, y_sr = luma(hr.numpy()).astype(float), luma(sr.numpy()).astype(float)
squared = (y_sr - y_hr) ** 2                                          # (2, 128, 128)
steps = np.arange(128)
border = np.minimum(steps, 127 - steps)
depth = np.minimum(border[:, None], border)                           # distance to the nearest border
profile = [np.sqrt(squared[:, depth == k].mean(1)) for k in range(40)]
figure, (left, right) = plt.subplots(1, 2, figsize=(7.5, 2.7), layout="constrained", width_ratios=[1, 1.7])
left.imshow(np.sqrt(squared[0]))
left.add_patch(plt.Rectangle((7.5, 7.5), 112, 112, fill=False, color="white", linewidth=1.5))
left.set(title="Hopper: error, crop of 8 px", xticks=[], yticks=[])
right.plot(profile, label=["Hopper", "Collins"])
right.axvspan(-0.5, 7.5, color="0.92")
right.set(title="Error against the distance to the border", xlabel="pixels from the border (grey: cropped)",
          ylabel="rms error (levels of Y)")
right.legend()
plt.show()
for name, k in (("not cropped", 0), ("8 px cropped", 8)):
    print(f"{name:13s}", [f"{value:.2f} dB" for value in psnr(sr, hr, replace(paper, crop=k))])

# %% [markdown]
# ## The mean of what?
#
# A table prints one number for a thousand faces. Either the decibels of the faces are averaged, or the squared errors are averaged and then become decibels.
# The logarithm is concave, so the first is never smaller than the second:
#
# $$\frac1N \sum_i 10 \log_{10} \frac{255^2}{\mathrm{MSE}_i} \ \ge\ 10 \log_{10} \frac{255^2}{\frac1N \sum_i \mathrm{MSE}_i} .$$

# %%
from aminet.faces.synthetic import faces
from aminet.protocol import mean_psnr

hrs = faces(FACES, seed=2)                      # (32, 3, 128, 128) uint8
bicubic = upsample(degrade(hrs))
values = psnr(bicubic, hrs, paper)              # (32,) dB
means = {how: mean_psnr(values, replace(paper, averaging=how)) for how in ("images", "mse")}
figure, axis = plt.subplots(figsize=(6.5, 2.4), layout="constrained")
axis.hist(values, bins=np.arange(20, 31, 1), color="0.8")
for what, value, color in zip(("decibels", "squared errors"), means.values(), ("C0", "C1")):
    axis.axvline(value, color=color, label=f"mean of the {what}: {value:.2f} dB")
axis.set(title=f"Bicubic on {FACES} synthetic faces", xlabel="PSNR (dB)", ylabel="faces")
axis.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
plt.show()
print(f"the order of averaging alone: {means['images'] - means['mse']:.2f} dB")

# %% [markdown]
# ### Exercise 1: one number from many
#
# Given the PSNRs of single images, write `of_the_set(psnrs)`: the PSNR, in dB, of the mean squared error of the whole set.

# %% tags=["exercise"]
CASES_1 = [((v,), 10 * np.log10(255**2 / np.mean([255**2 / 10 ** (x / 10) for x in v])))
           for v in (np.array([20.0, 30.0]), values)]


def of_the_set(psnrs):
    ...  # your turn


passed = grade(of_the_set, CASES_1, "undo the logarithm, take the mean, and take the logarithm again.")

# %% tags=["solution"]
# one plausible wrong answer, then the solution
def mean_of_ratios(psnrs):
    return 10 * np.log10(np.mean(10 ** (psnrs / 10)))


def of_the_set(psnrs):
    return -10 * np.log10(np.mean(10 ** (-psnrs / 10)))


hint = "the squared error is proportional to 10^(-dB/10), with a minus: average the errors, not their inverses."
passed = grade(mean_of_ratios, CASES_1, hint)
passed = grade(of_the_set, CASES_1, hint)

# %%
def mean_psnr(values: np.ndarray, protocol: Protocol) -> float:
    """The PSNR of a set, from `psnr` per image: the averaging is one more switch of the protocol."""
    if protocol.averaging == "mse":
        return float(psnr_of_mse(np.mean(255**2 / 10 ** (values / 10))))
    return float(values.mean())


print(f"yours: {of_the_set(values):.4f} dB, ours: {mean_psnr(values, replace(paper, averaging='mse')):.4f} dB")

# %% [markdown]
# ## SSIM: what a small window sees
#
# SSIM compares two pictures in a window around every pixel, by brightness $\mu$, contrast $\sigma^2$ and how they go together $\sigma_{xy}$:
#
# $$\mathrm{SSIM}(p) = \frac{(2 \mu_x \mu_y + C_1)(2 \sigma_{xy} + C_2)}{(\mu_x^2 + \mu_y^2 + C_1)(\sigma_x^2 + \sigma_y^2 + C_2)}, \qquad C_1 = (0.01 \cdot 255)^2,\ C_2 = (0.03 \cdot 255)^2 .$$
#
# The score is the mean over all $p$. The definition leaves the window open. The usual one is a Gaussian of 11×11 pixels with $\sigma = 1.5$. scikit-image gives it with
# `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`; its *default* is a flat box of 7×7, and the score is another one.
# So the window is a switch of the protocol, too. First by hand, then `ssim` as the course uses it, with scikit-image behind the same `prepare`.

# %%
from scipy.ndimage import gaussian_filter


def ssim_map(x, y):
    """SSIM at every pixel, Gaussian window. (H, W) twice, levels 0..255 -> (H, W)"""
    def mean(z):
        return gaussian_filter(z, 1.5, truncate=3.5)  # 11x11

    x, y = x.astype(float), y.astype(float)
    mx, my = mean(x), mean(y)
    vx, vy = mean(x * x) - mx**2, mean(y * y) - my**2
    cov = mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))


maps = [ssim_map(a, b) for a, b in zip(y_sr, y_hr)]
by_hand = np.array([m[5:-5, 5:-5].mean() for m in maps])  # where the whole window fits

# %%
from aminet.protocol import WINDOWS

for name, options in WINDOWS.items():
    print(f"{name:10s}", options)


def ssim(sr: Tensor, hr: Tensor, protocol: Protocol) -> np.ndarray:
    """SSIM per image by scikit-image, range 255: (N,). For "rgb" the channels' mean."""
    from skimage.metrics import structural_similarity

    sr_view, hr_view = prepare(sr, hr, protocol)
    window, (height, width) = WINDOWS[protocol.ssim_window], hr_view.shape[-2:]
    if min(height, width) < (side := window["win_size"]):
        raise BadInput(f"SSIM needs {side}x{side} pixels after the crop, not {width}x{height}")
    channels = 0 if protocol.channel == "rgb" else None
    return np.array([structural_similarity(a, b, data_range=255, channel_axis=channels, **window)
                     for a, b in zip(sr_view, hr_view)])


np.testing.assert_allclose(by_hand, ssim(sr, hr, paper), atol=1e-6)
print("by hand:      ", by_hand.round(4))
print("scikit-image: ", ssim(sr, hr, paper).round(4))
print("its default:  ", ssim(sr, hr, replace(paper, ssim_window="uniform")).round(4), "(7x7 box)")

# %%
figure, axes = plt.subplots(2, 4, figsize=(8.8, 4.3), layout="constrained")
for i, row in enumerate(axes):
    row[0].imshow(y_hr[i], cmap="gray", vmin=16, vmax=235)
    row[1].imshow(y_sr[i], cmap="gray", vmin=16, vmax=235)
    row[2].imshow(np.sqrt(squared[i]), vmin=0)
    shown = row[3].imshow(maps[i], vmin=-0.2, vmax=1)
    figure.colorbar(shown, ax=row[3], label="SSIM")
    row[0].add_patch(plt.Rectangle((19.5, 59.5), 11, 11, fill=False, color="C1", linewidth=1.5))
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
titles = ("truth (box: the window)", "result", "error: where PSNR looks", "SSIM: where it looks")
for axis, title in zip(axes[0], titles):
    axis.set_title(title)
plt.show()

# %% [markdown]
# The error is large at strong edges. SSIM is low wherever *texture* is gone, even where the error is small: in the hair and on the wrinkled skin. The constant $C_2$ keeps it high on flat ground.
# The two measures ask different questions, and a method can win one and lose the other.
#
# ## One pair, every protocol
#
# A `Protocol` is a name for the position of all these switches (`SWITCHES` lists the positions each may take). Three are ready: `paper`, the lineage of SPARNet, CTCNet and WFEN and by far the likeliest for AMINet;
# `dic`, that of DIC, SFMNet and SPADNet; and `rgb`. The paper does not say which one it used. Rows of two protocols never share a table in this course.

# %%
from dataclasses import dataclass

from aminet.protocol import SWITCHES


@dataclass(frozen=True)
class Protocol:
    name: str
    channel: str = "y"
    sr_rounding: str = "truncate"
    y_rounding: str = "truncate"
    crop: int = 0
    ssim_window: str = "gaussian"
    averaging: str = "images"

    def __post_init__(self) -> None:
        for switch, positions in SWITCHES.items():
            position = getattr(self, switch)
            if position not in positions:
                raise BadInput(f"protocol {switch} is {position!r}; use one of {', '.join(positions)}")
        if not self.name:
            raise BadInput("a protocol needs a name")
        if type(self.crop) is not int or self.crop < 0:
            raise BadInput(f"protocol crop is {self.crop!r}; use a whole number of pixels, 0 or more")

    def describe(self) -> str:
        """The protocol in one line."""
        past = {"truncate": "truncated", "round": "rounded"}
        channel = "RGB" if self.channel == "rgb" else f"Y of BT.601 (16 to 235) {past[self.y_rounding]}"
        crop = f"{self.crop} px border cropped" if self.crop else "no crop"
        window = "11x11 gaussian" if self.ssim_window == "gaussian" else "7x7 uniform"
        mean = "mean over images" if self.averaging == "images" else "squared errors averaged before the log"
        return f"{self.name}: SR {past[self.sr_rounding]} to uint8, {channel}, {crop}, SSIM {window}, {mean}"

# %% [markdown]
# The result below is the same bicubic face, this time in floating point as a network would hand it over.

# %%
def protocol_table(sr: Tensor, hr: Tensor) -> list[dict[str, str | float]]:
    """The same images under every protocol, and under `paper` with one switch moved."""
    paper = PROTOCOLS["paper"]
    moved = [replace(paper, name="paper, SR rounded", sr_rounding="round"),
             replace(paper, name="paper, Y rounded", y_rounding="round"),
             replace(paper, name="paper, 8 px cropped", crop=8),
             replace(paper, name="paper, RGB", channel="rgb"),
             replace(paper, name="paper, 7x7 SSIM", ssim_window="uniform"),
             replace(paper, name="paper, MSE averaged", averaging="mse")]
    return [{"protocol": protocol.name, "psnr": mean_psnr(psnr(sr, hr, protocol), protocol),
             "ssim": float(ssim(sr, hr, protocol).mean()), "description": protocol.describe()}
            for protocol in (*PROTOCOLS.values(), *moved)]


U = resize_matrix(16, 128)                                            # (128, 16)
as_float = (U @ degrade(hr).double() @ U.T / 127.5 - 1).clamp(-1, 1)  # bicubic, not yet bytes
rows = protocol_table(as_float, hr)
print("equal to the package's:", rows == package.protocol_table(as_float, hr), end="\n\n")
for row in rows:
    print(f"{row['protocol']:22s}{row['psnr']:7.2f} dB   SSIM {row['ssim']:.4f}")
print("\n" + "\n".join(row["description"] for row in rows[:3]))

# %%
base, moved = rows[0], rows[1:]
figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained", sharey=True)
for axis, key, unit in zip(axes, ("psnr", "ssim"), ("dB", "SSIM")):
    change = [row[key] - base[key] for row in moved]
    bars = axis.barh(range(len(moved)), change, color=["C0" if c >= 0 else "C1" for c in change])
    digits = 2 if key == "psnr" else 3
    axis.bar_label(bars, [f"{round(c, digits) + 0.0:+.{digits}f}" for c in change], fontsize=8, padding=3)
    axis.set(title=f"{key.upper()}: change from `paper`, {base[key]:.{digits}f}", xlabel=unit)
    axis.margins(x=0.25)
    axis.axvline(0, color="0.3", linewidth=1)
axes[0].set_yticks(range(len(moved)), [row["protocol"] for row in moved])
axes[0].invert_yaxis()
plt.show()

# %% [markdown]
# Channel, crop and averaging each move the number by more than most pairs of neighbouring rows of Table VII differ. With `WIDGETS = True` every switch is yours:

# %%
def explore(channel="y", sr_rounding="truncate", y_rounding="truncate", crop=8, ssim_window="gaussian", face=0):
    protocol = Protocol("mine", channel, sr_rounding, y_rounding, crop, ssim_window)
    views = prepare(as_float[face], hr[face], protocol)
    scores = (psnr(as_float[face], hr[face], protocol)[0], ssim(as_float[face], hr[face], protocol)[0])
    pictures = [torch.from_numpy(x[0]).expand(3, -1, -1) for x in views]  # luma as gray, RGB as it is
    figure = show([pictures], titles=["the result, as the protocol sees it", "the truth"], height=2.4)
    figure.suptitle(f"PSNR {scores[0]:.2f} dB   SSIM {scores[1]:.4f}")
    plt.show()


explore()
if WIDGETS:
    from ipywidgets import interact
    positions = {name: SWITCHES[name] for name in ("channel", "sr_rounding", "y_rounding", "ssim_window")}
    interact(explore, crop=(0, 16), face=[("Hopper", 0), ("Collins", 1)], **positions)

# %% [markdown]
# ### Exercise 2: the other lineage
#
# Write `psnr_dic(sr, hr)` for two uint8 arrays of shape (3, H, W): Y **rounded** to whole numbers, 8 pixels cut from **every** border, then PSNR. Use `luma` and `psnr_of_levels` from above.

# %% tags=["exercise"]
CASES_2 = [((a.numpy(), b.numpy()), psnr(a, b, PROTOCOLS["dic"])[0]) for a, b in zip(sr, hr)]


def psnr_dic(sr, hr):
    ...  # your turn


passed = grade(psnr_dic, CASES_2, "luma wants (N, 3, H, W): add an axis. Python's slice 8:-8 cuts at both ends.")

# %% tags=["solution"]
# one plausible wrong answer, then the solution
def two_borders(sr, hr):
    return psnr_of_levels(*(luma(x[None], "round")[..., 8:, 8:] for x in (sr, hr)))


def psnr_dic(sr, hr):
    return psnr_of_levels(*(luma(x[None], "round")[..., 8:-8, 8:-8] for x in (sr, hr)))


hint = "a picture has four borders: 8:-8 in both directions."
passed = grade(two_borders, CASES_2, hint)
passed = grade(psnr_dic, CASES_2, hint)

# %% [markdown]
# ## Two measures called VIF
#
# Visual information fidelity (Sheikh and Bovik) asks how much of the information in the truth a viewer could still get from the result: 1 for the truth itself, 0 when no detail is left, above 1 when contrast is gained.
# The original works on a steerable pyramid of wavelets. A short relative, **VIFp**, works on pixels. Papers print both as "VIF". They are two scales, like Celsius and Fahrenheit.
#
# There is a trap besides. torchmetrics' VIFp has a fixed noise of 2 that is meant for values from 0 to 255. Feed it 0 to 1, as most libraries like their pictures, and it answers with a number that looks perfectly good.

# %%
from torchmetrics.functional.image import visual_information_fidelity

def fed_0_to_1(a, b):
    a, b = (torch.from_numpy(gray(x[None].numpy())).double()[:, None] / 255 for x in (a, b))
    return float(visual_information_fidelity(a, b))


def blurred(x, sigma):
    smooth = gaussian_filter(x.numpy().astype(float), (*(0,) * (x.ndim - 2), sigma, sigma))
    return torch.from_numpy(smooth.round().astype(np.uint8))


truth = hr[1]  # Collins
grainy = (truth + 12 * noise[1]).round().clamp(0, 255).to(torch.uint8)
dull = (0.7 * truth + 38).round().to(torch.uint8)
tries = {"bicubic x8": (sr[1], truth), "blurred, sigma 1.5": (blurred(truth, 1.5), truth),
         "noise of 12 levels": (grainy, truth), "more contrast than the truth": (truth, dull)}
print(f"{'':30s}    VIF   VIFp   VIFp fed 0 to 1 (wrong)")
for name, (a, b) in tries.items():
    print(f"{name:30s}{vif(a, b)[0]:7.3f}{vifp(a, b)[0]:7.3f}{fed_0_to_1(a, b):7.3f}")

# %% [markdown]
# VIF and VIFp of one picture are two different numbers. The wrong column looks no worse than either, and calls the noisy face nearly perfect. So this course reports VIF and VIFp under two names, and feeds them bytes.
# Table VII says 0.1821 for Bicubic on CelebA and does not say which VIF; so does every row below it.
#
# ## What PSNR does not see
#
# Shift a face by one pixel: nobody would notice. Then blur the same face, add noise, or make it brighter, until each has **the same PSNR** as the shifted one.

# %%
def tune(distort, target, low=0.1, high=80.0):
    """The strength at which `distort` has the target PSNR: bisection, since more strength is less PSNR."""
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (middle, high) if psnr(distort(middle), truth, paper)[0] > target else (low, middle)
    return distort(middle)


def to_bytes(x):
    return x.round().clamp(0, 255).to(torch.uint8)


shifted = truth.roll(1, -1)
target = psnr(shifted, truth, paper)[0]
kinds = {"shifted by 1 px": shifted,
         "brighter": tune(lambda s: to_bytes(truth.float() + s), target),
         "noisy": tune(lambda s: to_bytes(truth + s * noise[1]), target),
         "blurred": tune(lambda s: blurred(truth, s), target, high=20)}
scores = {name: (psnr(x, truth, paper)[0], ssim(x, truth, paper)[0], vif(x, truth)[0]) for name, x in kinds.items()}
figure = show([[truth, *kinds.values()]], height=2.2,
              titles=["truth", *(f"{n}\n{p:.1f} dB\nSSIM {s:.2f}\nVIF {v:.2f}" for n, (p, s, v) in scores.items())])

# %%
stronger = blurred(truth, 2)
for name, x in (("shifted by 1 px", shifted), ("blurred, sigma 2", stronger)):
    print(f"{name:18s}{psnr(x, truth, paper)[0]:6.2f} dB   SSIM {ssim(x, truth, paper)[0]:.3f}")


def forgiving(x, reach=1):
    """The best PSNR over shifts of up to `reach` pixels, on the pixels that all shifts share."""
    inner = (slice(None), slice(reach, -reach), slice(reach, -reach))
    moves = [(dy, dx) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1)]
    errors = [(x.roll(m, (-2, -1))[inner].double() - truth[inner].double()).square().mean() for m in moves]
    return 10 * float(torch.log10(255**2 / (min(errors) + 1e-10)))


print("if a shift is forgiven, over RGB: shifted", "equal to the truth" if forgiving(shifted) > 100 else "different",
      f"· blurred {forgiving(stronger):.2f} dB")

# %% [markdown]
# PSNR prefers the blurred face, in which no eyelash is left, to the shifted one, in which all are. It counts pixels, not features. (VIF is no kinder to the shift; SSIM is.) This is the other side of notebook 01:
# the blurred mean of all plausible faces has the best PSNR. It is why the paper adds LPIPS and FID, and why AMIGAN exists although its PSNR is lower.
#
# ## How sure is a mean?
#
# Two methods, 32 faces: bicubic, and bicubic **sharpened** a little. The interval comes from the bootstrap: draw 32 of the 32 faces with replacement, take the mean, repeat 2000 times, and keep the middle 95 %.

# %%
from aminet.metrics.statistics import paired_difference, summary


def sharpen(x, amount=0.6, sigma=4):
    smooth = torch.from_numpy(gaussian_filter(x.numpy().astype(float), (0, 0, sigma, sigma)))
    return to_bytes(x + amount * (x - smooth))


a, b = psnr(sharpen(bicubic), hrs, paper), psnr(bicubic, hrs, paper)  # (32,), (32,)
results = {"bicubic": summary(b), "sharpened": summary(a), "difference, face by face": paired_difference(a, b)}
for name, r in results.items():
    print(f"{name:26s}{r['mean']:6.2f} dB   95 %: {r['low']:.2f} to {r['high']:.2f}")
figure, (left, right, pairs) = plt.subplots(1, 3, figsize=(10, 2.6), layout="constrained", width_ratios=[1, 1, 0.7])
for k, r in enumerate(results.values()):
    axis = left if k < 2 else right
    axis.plot([r["low"], r["high"]], [k % 2, k % 2], color=f"C{k}", linewidth=5, alpha=0.4, solid_capstyle="butt")
    axis.plot(r["mean"], k % 2, "o", color=f"C{k}")
left.set(title="Two means: intervals overlap", xlabel="PSNR (dB)", yticks=[0, 1], ylim=(1.6, -0.6))
left.set_yticklabels(["bicubic", "sharpened"])
right.plot(a - b, np.linspace(-0.4, 0.4, len(a)), ".", color="0.7", label="one face each")
right.axvline(0, color="0.3", linewidth=1)
right.set(title="One difference: not zero", xlabel="sharpened minus bicubic (dB)", yticks=[], ylim=(-0.6, 0.6))
right.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0.05, 1))
ends = [b.min() - 0.5, b.max() + 0.5]
pairs.plot(ends, ends, color="0.3", linewidth=1)
pairs.plot(b, a, ".", color="C2")
pairs.set(title="Why: hard faces are hard for both", xlabel="bicubic (dB)", ylabel="sharpened (dB)")
plt.show()
print(f"standard deviation over faces: bicubic {b.std(ddof=1):.2f} dB, sharpened {a.std(ddof=1):.2f} dB, "
      f"difference {(a - b).std(ddof=1):.3f} dB; correlation {np.corrcoef(a, b)[0, 1]:.3f}")

# %% [markdown]
# The same pictures, two conclusions. The plot on the left asks: *do the means differ, if each method had met faces of its own?* But both met the same faces, and a hard face is hard for both:
#
# $$\mathrm{Var}(a - b) = \mathrm{Var}(a) + \mathrm{Var}(b) - 2\, \mathrm{Cov}(a, b) .$$
#
# The spread of the faces is in both terms and cancels. Any comparison on one test set should be paired.
#
# The interval speaks of *other faces of the same kind*. It says nothing about another training run of the same network, which would differ too: for that one needs more runs, not more faces.
#
# ### Exercise 3: how many faces?
#
# The half width of a 95 % interval is about $1.96\, s / \sqrt n$, with $s$ the standard deviation of the values (`ddof=1`). Write `needed(values, half)`: the smallest number of faces that brings the half width to `half` dB or less.

# %% tags=["exercise"]
def by_trial(values, half):
    n = 1
    while 1.96 * values.std(ddof=1) / np.sqrt(n) > half:
        n += 1
    return n


CASES_3 = [((v, half), by_trial(v, half)) for v, half in ((b, 0.1), (a - b, 0.02), (a - b, 0.005))]


def needed(values, half):
    ...  # your turn


passed = grade(needed, CASES_3, "solve 1.96 s / sqrt(n) = half for n, and round up.")

# %% tags=["solution"]
# one plausible wrong answer, then the solution
def without_the_square(values, half):
    return int(np.ceil(1.96 * values.std(ddof=1) / half))


def needed(values, half):
    return int(np.ceil((1.96 * values.std(ddof=1) / half) ** 2))


hint = "the square root of n stands below: half the width takes four times the faces."
passed = grade(without_the_square, CASES_3, hint)
passed = grade(needed, CASES_3, hint)
print(f"for 0.05 dB: {needed(b, 0.05)} faces to know bicubic, {needed(a - b, 0.05)} to know the difference")

# %% [markdown]
# ## Reading published rows
#
# Four cautions, before the tables of the paper are used for anything.
#
# * **The protocol is not printed.** It is inferred from the scripts of the same authors. Every number of ours carries its protocol by name.
# * **The Bicubic row is no calibration.** It looks like one: no training, no luck. But where our PIL bicubic has a PSNR like the printed one, its SSIM and VIF do not follow: Table VII prints 23.61 dB, 0.6779 and 0.1821, and our records of three test sets (`data/records/`, the `bicubic_` columns) have VIF near 0.27. One of crop, resize, window or library is different, and the row does not say which.
# * **A maximum is not a score.** Code of this lineage scores every checkpoint on the test set and keeps the largest number (CTCNet's public log lists 396 of them). The paper does not say how AMINet's checkpoint was chosen.
# * **Neighbours are close.** In Table VII (CelebA), SISN has 27.91 dB, LAAT 27.91, Restormer-M 27.94, SFMNet 27.96.
#
# How much does choosing on the test set give? Suppose 396 checkpoints of *exactly equal* quality that disagree by 0.5 dB on a single face, at random. (The 0.5 is our assumption, and so is their independence: real neighbours resemble each other, so this is an upper bound.)

# %%
rng = np.random.default_rng(0)
sizes = (50, 200, 1000)
gift, honest = [], []
for n in sizes:  # 60 repetitions, scores of 396 checkpoints
    test = 0.5 * rng.standard_normal((60, 396, n), dtype=np.float32).mean(-1)
    validation = 0.5 * rng.standard_normal((60, 396)) / np.sqrt(500)           # means over 500 other faces
    gift.append(test.max(1))
    honest.append(test[np.arange(60), validation.argmax(1)])
figure, axis = plt.subplots(figsize=(6.5, 2.6), layout="constrained")
labels = ("best of 396 on the test set", "chosen on validation, tested once")
for k, (scores, label) in enumerate(zip((gift, honest), labels)):
    for i, score in enumerate(scores):
        axis.plot(i + 0.2 * k - 0.1 + np.linspace(-0.05, 0.05, 60), score, ".", color=f"C{1 - k}",
                  markersize=3, label=label if i == 0 else None)
axis.axhline(0, color="0.3", linewidth=1)
axis.set(title="Equal checkpoints: reported score minus true score", xlabel="faces in the test set", ylabel="dB")
axis.set_xticks(range(3), sizes)
axis.legend(fontsize=9, loc="upper right")
plt.show()
print("mean gift, dB:  ", {n: round(float(g.mean()), 2) for n, g in zip(sizes, gift)})
print("chosen honestly:", {n: round(float(h.mean()), 2) + 0.0 for n, h in zip(sizes, honest)})

# %% [markdown]
# The maximum is always too good; the honest score is sometimes too high and sometimes too low, and right on average. The rule of this course: checkpoints are chosen on validation faces, and the test set is scored once.
#
# ## What to remember
#
# * A PSNR without its protocol is not a number: channel and crop each move it by a decibel or more, the order of averaging by a quarter and more.
# * PSNR does not know what a face is: it prefers a blur to a shift of one pixel. SSIM and VIF ask other questions, and there are two VIFs.
# * Compare two methods face by face, with a paired interval; choose on validation, and report the test once.
#
# Next: [03 SA](03_sa.ipynb), the first module of the network.
