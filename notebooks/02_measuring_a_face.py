# %% [markdown]
# # 02 · Measuring a face
#
# One pair of pictures has many PSNRs: what each number means, what it does not see, and how sure it is.
#
# *90 minutes to study, about 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/02_measuring_a_face.ipynb) · previous: [01 the problem](01_the_problem.ipynb) · next: [03 SA](03_sa.ipynb)
#
# Before this: [01 the problem](01_the_problem.ipynb) for the degradation, the logarithm, and the mean and the standard deviation of a sample.
#
# **You will be able to**
#
# * **compute** PSNR and SSIM from their definitions, under the protocol of a given group of papers;
# * **predict** which switch of a protocol moves a number, and by how much;
# * **judge** a difference between two methods with a paired interval, and a published row with care.

# %% tags=["parameters"]
FACES = 32  # synthetic faces for the sets
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
# ## PSNR from the definition
#
# Is one restored face nearer to the original than another? A table answers with numbers, and this notebook builds them.
#
# > "To measure the quality of FSR results, we use PSNR [42], SSIM [42], LPIPS [43], VIF [44], and FID [45]." (Sec. IV-A)
#
# PSNR, SSIM and VIF are the subject here. [LPIPS and FID](A_symbols_and_shapes.ipynb#Words) compare features of trained networks: [10](10_train_amigan.ipynb) uses them, [13](13_compared_gans.ipynb) explains FID.
#
# The **peak signal-to-noise ratio** (PSNR) is the mean squared error on a logarithmic scale, against the largest value that a byte can have:
#
# $$\mathrm{MSE} = \frac{1}{n} \sum_{p} (x_p - y_p)^2, \qquad \mathrm{PSNR} = 10 \log_{10} \frac{255^2}{\mathrm{MSE}} \ \text{dB}.$$

# %% tags=["imports"]
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch

from aminet import protocol as package
from aminet.degrade import degrade, resize_matrix, to_float, upsample
from aminet.faces.portraits import portraits
from aminet.metrics.vif import gray, vif, vifp
from aminet.protocol import PROTOCOLS
from exercises import check
from page import explore, eyes, show, table


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
figure = show([[hr[i], sr[i], error[i]] for i in (0, 1)], labels=["Hopper", "Collins"],
              titles=["original", "result", "error (bright: large)"], scale=1.5)
for i, name in enumerate(("Hopper", "Collins")):
    print(f"{name}: {psnr_of_levels(sr[i], hr[i]):.2f} dB over all three channels")

# %% [markdown]
# A decibel is a ratio. One dB more is a root mean squared error smaller by 11 %. Three dB more are half the squared error, and six dB more are half the root mean squared error.
# The two published numbers in the next figure are the first and the last row of Table VII, CelebA.

# %% tags=["plot"]
level = np.linspace(3, 40, 200)  # root mean squared error
figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
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
# The papers of this field do not measure red, green and blue. They measure the brightness alone, the **luma** Y. Theirs is the *studio swing* of video, where black is 16 and white is 235 (ITU-R BT.601):
#
# $$Y = 16 + \frac{65.481\, R + 128.553\, G + 24.966\, B}{255} .$$
#
# Three things follow. Errors of colour do not count. Opposite errors of two channels cancel.
# And all differences are smaller by $219/255$, while the formula still divides by $255^2$. That alone adds $20 \log_{10}(255/219) = 1.32$ dB.

# %%
def luma(x: np.ndarray, rounding: str = "truncate") -> np.ndarray:
    """(N, 3, H, W) uint8 RGB to (N, H, W) uint8 studio-swing luma, 16 to 235. Whole numbers keep it exact."""
    r, g, b = np.moveaxis(x.astype(np.int32), 1, 0)
    half = 127500 if rounding == "round" else 0
    return (16 + (65481 * r + 128553 * g + 24966 * b + half) // 255000).astype(np.uint8)


same = luma(hr.numpy()) == package.luma(hr.numpy())
print("luma", luma(hr.numpy()).shape, "· equal to the package's:", bool(same.all()))
black_and_white = np.array([[0, 0, 0], [255, 255, 255]], np.uint8)[:, :, None, None]
print("black and white become", luma(black_and_white).ravel())


def psnrs_on(view):
    """PSNR of the two portraits on what `view` makes of their bytes."""
    return [psnr_of_levels(view(sr[i:i + 1].numpy()), view(hr[i:i + 1].numpy())) for i in (0, 1)]


table([["RGB", *psnrs_on(np.asarray)], ["grey, 0 to 255", *psnrs_on(gray)], ["Y, 16 to 235", *psnrs_on(luma)]],
      ["channel", "Hopper (dB)", "Collins (dB)"])

# %% [markdown]
# The same pictures have three PSNRs. Between grey and Y lie the 1.32 dB of the studio swing.
#
# ## Truncated or rounded?
#
# A network answers in floating point, and a picture has bytes. The scripts of SPARNet, CTCNet and WFEN compute $(x + 1)/2 \cdot 255$ and **truncate**; others round.
# Truncation makes the result darker by half a level on average, but not the original. `to_uint8` can do both.

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
# Channel and rounding are two switches of a **protocol**: all choices behind a score. A third switch, the crop, follows below.
# `prepare` brings both pictures to what is measured: bytes, then the channel, then without the border. `psnr` gives one number per face.
# `pair` is the package's check that both are bytes of one shape. It turns a result in floating point into bytes by `to_uint8`.

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

# %% tags=["plot"]
figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
axis.plot(rounded, np.subtract(rounded, truncated), "o-")
axis.axvspan(22, 29, color="0.92")
axis.text(25.5, 1, "faces, ×8", ha="center", fontsize=9)
axis.set(title="What truncation costs", xlabel="PSNR when rounded (dB)", ylabel="dB lost")
plt.show()

# %% [markdown]
# Faces enlarged eight times lie in the grey band. There the difference is far smaller than the error itself.
# Near 40 dB, as in super-resolution by two, it is already a tenth of a dB, and methods differ by less. A switch that does not matter here may matter elsewhere, so write it down.
#
# ## Cropped or not?
#
# Some papers cut 8 pixels from every border before they measure. At the border, bicubic lacks neighbours on one side. Hair, collar and background lie there as well.
# So the error at the border may be larger, and a crop removes it from the score. Is it larger?

# %%
y_hr, y_sr = luma(hr.numpy()).astype(float), luma(sr.numpy()).astype(float)
squared = (y_sr - y_hr) ** 2                                          # (2, 128, 128)
steps = np.arange(128)
border = np.minimum(steps, 127 - steps)
depth = np.minimum(border[:, None], border)                           # distance to the nearest border
profile = [np.sqrt(squared[:, depth == k].mean(1)) for k in range(40)]
whole, cropped = psnr(sr, hr, paper), psnr(sr, hr, replace(paper, crop=8))
table([["not cropped", *whole], ["8 px cropped", *cropped]], ["", "Hopper (dB)", "Collins (dB)"])

# %% tags=["plot"]
figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.1), layout="constrained", width_ratios=[1, 1.7])
left.imshow(np.sqrt(squared[0]))
left.add_patch(plt.Rectangle((7.5, 7.5), 112, 112, fill=False, color="white", linewidth=1.5))
left.set(title="Hopper: error, crop of 8 px", xticks=[], yticks=[])
left.grid(False)
right.plot(profile, label=["Hopper", "Collins"])
right.axvspan(-0.5, 7.5, color="0.92")
right.set(title="Error against the distance to the border", xlabel="pixels from the border (grey: cropped)",
          ylabel="rms error (levels of Y)")
right.legend()
plt.show()

# %% [markdown]
# It is larger in the outermost pixels of both portraits. The crop raises both PSNRs by one dB or more, and no face has become better.
#
# ## The mean of what?
#
# A table prints one number for a thousand faces. There are two ways to it. One averages the decibels of the faces. The other averages their squared errors and then takes the logarithm.
# The logarithm is concave, so the first is never smaller than the second:
#
# $$\frac1N \sum_i 10 \log_{10} \frac{255^2}{\mathrm{MSE}_i} \ \ge\ 10 \log_{10} \frac{255^2}{\frac1N \sum_i \mathrm{MSE}_i} .$$

# %%
from aminet.faces.synthetic import faces

hrs = faces(FACES, seed=2)                      # (32, 3, 128, 128) uint8
bicubic = upsample(degrade(hrs))
values = psnr(bicubic, hrs, paper)              # (32,) dB
means = {how: package.mean_psnr(values, replace(paper, averaging=how)) for how in ("images", "mse")}
print(f"the order of averaging alone: {means['images'] - means['mse']:.2f} dB")

figure, axis = plt.subplots(figsize=(8, 2.6), layout="constrained")
axis.hist(values, bins=np.arange(20, 31, 1), color="0.8")
axis.axvline(means["images"], color="C0", label=f"mean of the decibels: {means['images']:.2f} dB")
axis.axvline(means["mse"], color="C1", linestyle="--", label=f"mean of the squared errors: {means['mse']:.2f} dB")
axis.set(title=f"Bicubic on {FACES} synthetic faces", xlabel="PSNR (dB)", ylabel="faces")
axis.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# ### Exercise 1: one number from many
#
# *Level 2, 10 minutes.* You have the PSNRs of single images, as a NumPy array. Write `of_the_set(psnrs)`: the PSNR, in dB, of the mean squared error of the whole set.
# The check joins the faces to one tall picture and measures that.

# %% tags=["exercise"]
def of_the_set(psnrs):
    """The PSNR of the mean squared error. (N,) dB -> dB."""
    ...  # your turn


passed = check("02.1", of_the_set)

# %% tags=["solution"]
def of_the_set(psnrs):
    return -10 * np.log10(np.mean(10 ** (-psnrs / 10)))


passed = check("02.1", of_the_set)

# %% [markdown]
# ## SSIM: what a small window sees
#
# PSNR takes every pixel by itself. **Structural similarity** (SSIM) compares two pictures in a window around every pixel.
# It uses three numbers of the window: the brightness $\mu$, the contrast $\sigma^2$, and $\sigma_{xy}$, which says how the two pictures vary together.
#
# $$\mathrm{SSIM}(p) = \frac{(2 \mu_x \mu_y + C_1)(2 \sigma_{xy} + C_2)}{(\mu_x^2 + \mu_y^2 + C_1)(\sigma_x^2 + \sigma_y^2 + C_2)}, \qquad C_1 = (0.01 \cdot 255)^2,\ C_2 = (0.03 \cdot 255)^2 .$$
#
# The score is the mean over all $p$; 1 is the original itself. The definition leaves the window open. The usual one is a Gaussian of 11×11 pixels with $\sigma = 1.5$.
# The next cell computes it by hand.
#
# `ssim` in the cell after it is what the course uses: scikit-image behind the same `prepare`. It gives the usual window with `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`.
# Its *default* is a flat box of 7×7, and the score is another one. So the window is a switch of the protocol, too.

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


maps = [ssim_map(y_sr[i], y_hr[i]) for i in (0, 1)]
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
table([["by hand", *by_hand], ["scikit-image, Gaussian 11×11", *ssim(sr, hr, paper)],
       ["scikit-image, its default, box 7×7", *ssim(sr, hr, replace(paper, ssim_window="uniform"))]],
      ["SSIM", "Hopper", "Collins"], digits=4)

# %%
def as_grey(y):
    """A map of levels as a grey picture. (H, W) -> (3, H, W) uint8"""
    return torch.from_numpy(y).to(torch.uint8).expand(3, -1, -1)


rows = [[as_grey(y_hr[i]), as_grey(y_sr[i]), torch.from_numpy(np.sqrt(squared[i])), torch.from_numpy(maps[i])]
        for i in (0, 1)]
figure = show(rows, labels=["Hopper", "Collins"], scale=1.5,
              titles=["original (box: the window)", "result", "error (bright: large)", "SSIM (black 0, bright 1)"])
for row in (0, 1):
    figure.axes[4 * row].add_patch(plt.Rectangle((19.5, 59.5), 11, 11, fill=False, color="C1", linewidth=1.5))
    figure.axes[4 * row + 3].images[0].set_clim(0, 1)

# %% [markdown]
# The error is large at strong edges. SSIM is low wherever *texture* is gone, even where the error is small: in the hair and on the wrinkled skin. The constant $C_2$ keeps it high in flat areas.
# The two measures ask different questions, and a method can win one and lose the other.
#
# ## One pair, every protocol
#
# A `Protocol` is a name for the position of all these switches. `SWITCHES` lists the positions that each may take. Three protocols are ready:
#
# * `paper`, that of SPARNet, CTCNet and WFEN;
# * `dic`, that of DIC, SFMNet and SPADNet;
# * `rgb`, all three channels.
#
# Rows of two protocols share a table in this section alone. Everywhere else in the course they never do.
#
# The second cell below measures one result under the three protocols, and under `paper` with one switch moved.
# The result is the same bicubic face, this time in floating point, as a network would return it. `mean_psnr` makes one number of a set.
#
# <details><summary>What the paper leaves open</summary>
#
# The sentence quoted at the top of this notebook is all that the paper says about its measures. It does not say which protocol it used. `paper` is by far the likeliest.
#
# </details>

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

# %%
def mean_psnr(values: np.ndarray, protocol: Protocol) -> float:
    """The PSNR of a set, from `psnr` per image: the averaging is one more switch of the protocol."""
    if protocol.averaging == "mse":
        return float(psnr_of_mse(np.mean(255**2 / 10 ** (values / 10))))
    return float(values.mean())


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
print("equal to the package's:", rows == package.protocol_table(as_float, hr), "\n")
print("\n".join(row["description"] for row in rows[:3]))
table([[row["protocol"], row["psnr"], row["ssim"]] for row in rows], ["protocol", "PSNR (dB)", "SSIM"], digits=4)

# %% tags=["plot"]
base, moved = rows[0], rows[1:]
figure, axes = plt.subplots(1, 2, figsize=(9.4, 3.3), layout="constrained", sharey=True)
for axis, key, unit, digits in ((axes[0], "psnr", "dB", 2), (axes[1], "ssim", "SSIM", 3)):
    change = [row[key] - base[key] for row in moved]
    bars = axis.barh(range(len(moved)), change, color=["C0" if c >= 0 else "C1" for c in change])
    axis.bar_label(bars, [f"{round(c, digits) + 0.0:+.{digits}f}" for c in change], fontsize=9, padding=3)
    axis.set(title=f"{key.upper()}: change from protocol paper, {base[key]:.{digits}f}", xlabel=unit)
    axis.margins(x=0.25)
    axis.axvline(0, color="0.3", linewidth=1)
axes[0].set_yticks(range(len(moved)), [row["protocol"] for row in moved])
axes[0].invert_yaxis()
plt.show()

# %% [markdown]
# The crop moves the PSNR by 1.10 dB, the channel by 1.44 dB, the averaging by 0.26 dB. Most neighbours in the ranking of Table VII differ by less.
# In a live notebook, the next cell gives you every switch:

# %%
def measured_with(channel="y", sr_rounding="truncate", y_rounding="truncate", crop=8, ssim_window="gaussian", face=0):
    protocol = Protocol("mine", channel, sr_rounding, y_rounding, crop, ssim_window)
    views = prepare(as_float[face], hr[face], protocol)
    scores = (psnr(as_float[face], hr[face], protocol)[0], ssim(as_float[face], hr[face], protocol)[0])
    pictures = [torch.from_numpy(x[0]).expand(3, -1, -1) for x in views]  # luma as grey, RGB as it is
    show([pictures], titles=["the result, as the protocol sees it", "the original"], scale=2,
         captions=[[f"PSNR {scores[0]:.2f} dB, SSIM {scores[1]:.4f}"]])
    plt.show()


positions = {name: SWITCHES[name] for name in ("channel", "sr_rounding", "y_rounding", "ssim_window")}
explore(measured_with, crop=(0, 16), face=[("Hopper", 0), ("Collins", 1)], **positions)

# %% [markdown]
# ### Exercise 2: the other protocol
#
# *Level 1, 10 minutes.* Write `psnr_dic(sr, hr)` for two uint8 arrays of shape (3, H, W). Y is **rounded** to whole numbers, 8 pixels are cut from **every** border, then comes PSNR. Use `luma` and `psnr_of_levels` from above.

# %% tags=["exercise"]
def psnr_dic(sr, hr):
    """PSNR by the protocol `dic`. uint8 (3, H, W) twice -> dB."""
    ...  # your turn


passed = check("02.2", psnr_dic)

# %% tags=["solution"]
def psnr_dic(sr, hr):
    sr_view, hr_view = (luma(x[None], "round")[..., 8:-8, 8:-8] for x in (sr, hr))
    return psnr_of_levels(sr_view, hr_view)


passed = check("02.2", psnr_dic)

# %% [markdown]
# ## Two measures called VIF
#
# **Visual information fidelity** (VIF, by Sheikh and Bovik) asks how much of the original's information a viewer could still get from the result. It is 1 for the original itself, 0 when no detail is left, and above 1 when contrast is gained.
# It works on a steerable pyramid of wavelets, which splits a picture by scale and direction. A short relative, **VIFp**, works on pixels. Papers print both as "VIF", but they are two scales, like Celsius and Fahrenheit.
#
# There is a trap besides. VIFp of torchmetrics has a fixed noise of 2, which is meant for values from 0 to 255. With values from 0 to 1 it raises no error and returns a wrong number.

# %%
from torchmetrics.functional.image import visual_information_fidelity


def fed_0_to_1(a, b):
    a, b = (torch.from_numpy(gray(x[None].numpy())).double()[:, None] / 255 for x in (a, b))
    return float(visual_information_fidelity(a, b))


def blurred(x, sigma):
    """A picture or several, blurred in the last two dimensions. uint8 (..., H, W) -> uint8 (..., H, W)"""
    sigmas = [0] * (x.ndim - 2) + [sigma, sigma]
    return torch.from_numpy(gaussian_filter(x.numpy().astype(float), sigmas).round().astype(np.uint8))


original = hr[1]  # Collins
grainy = (original + 12 * noise[1]).round().clamp(0, 255).to(torch.uint8)
dull = (0.7 * original + 38).round().to(torch.uint8)
tries = {"bicubic, ×8": (sr[1], original), "blurred, sigma 1.5": (blurred(original, 1.5), original),
         "noise of 12 levels": (grainy, original), "more contrast than its original": (original, dull)}
table([[name, vif(a, b)[0], vifp(a, b)[0], fed_0_to_1(a, b)] for name, (a, b) in tries.items()],
      ["result", "VIF", "VIFp", "VIFp fed 0 to 1 (wrong)"], digits=3)

# %% [markdown]
# VIF and VIFp of one picture are two different numbers. The wrong column looks as plausible as either, and it calls the noisy face nearly perfect (0.983). So this course reports VIF and VIFp under two names, and feeds them bytes.
#
# <details><summary>What the paper leaves open</summary>
#
# Table VII says 0.1821 for Bicubic on CelebA and does not say which VIF; neither does any row below it.
#
# </details>
#
# ## What PSNR does not see
#
# Shift a face by one pixel, and nobody would notice. Then blur the same face, add noise, or make it brighter, until each has **the same PSNR** as the shifted one. `tune` finds how strongly.

# %%
def tune(distort, target, low=0.1, high=80.0):
    """The picture from `distort` that has the target PSNR: bisection, since more strength is less PSNR."""
    for _ in range(14):
        middle = (low + high) / 2
        if psnr(distort(middle), original, paper)[0] > target:
            low = middle
        else:
            high = middle
    return distort(middle)


def to_bytes(x):
    return x.round().clamp(0, 255).to(torch.uint8)


shifted = original.roll(1, -1)
target = psnr(shifted, original, paper)[0]
kinds = {"shifted by 1 px": shifted,
         "brighter": tune(lambda s: to_bytes(original.float() + s), target),
         "noisy": tune(lambda s: to_bytes(original + s * noise[1]), target),
         "blurred": tune(lambda s: blurred(original, s), target, high=20)}
titles = ["original"]
for name, x in kinds.items():
    titles.append(f"{name}\n{psnr(x, original, paper)[0]:.1f} dB\nSSIM {ssim(x, original, paper)[0]:.2f}"
                  f"\nVIF {vif(x, original)[0]:.2f}")
pictures = [original, *kinds.values()]
figure = show([pictures, [eyes(x) for x in pictures]], titles=titles, scale=1.5)

# %% [markdown]
# The four results have one PSNR, about 24.8 dB, and look quite different. Now blur a little less: the blurred face then has the higher PSNR. The last line of the next cell forgives a shift: it takes the best PSNR over shifts of up to one pixel.

# %%
stronger = blurred(original, 2)
table([[name, psnr(x, original, paper)[0], ssim(x, original, paper)[0]]
       for name, x in (("shifted by 1 px", shifted), ("blurred, sigma 2", stronger))],
      ["result", "PSNR (dB)", "SSIM"], best={"PSNR (dB)": max, "SSIM": max}, digits=3)


def forgiving(x, reach=1):
    """The best PSNR over shifts of up to `reach` pixels, on the pixels that all shifts share."""
    inner = (slice(None), slice(reach, -reach), slice(reach, -reach))
    moves = [(dy, dx) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1)]
    errors = [(x.roll(m, (-2, -1))[inner].double() - original[inner].double()).square().mean() for m in moves]
    return 10 * float(torch.log10(255**2 / (min(errors) + 1e-10)))


verdict = "equal to the original" if forgiving(shifted) > 100 else "different"
print(f"if a shift is forgiven, over RGB: shifted {verdict} · blurred {forgiving(stronger):.2f} dB")

# %% [markdown]
# PSNR prefers the blurred face, in which no eyelash is left, to the shifted one, in which all are. It counts pixels, not features. VIF is no kinder to the shift; SSIM is.
# This is the other side of [notebook 01](01_the_problem.ipynb), where the blurred mean of all plausible faces has the best PSNR. It is why the paper adds LPIPS and FID, and why AMIGAN exists although its PSNR is lower.
#
# ## How sure is a mean?
#
# Two methods, 32 faces: bicubic, and bicubic **sharpened** a little. Is the second one better? Its mean is higher, but on other faces both means would differ.
# A 95 % interval says by how much, and the **bootstrap** makes one. It draws 32 of the 32 faces with replacement and takes the mean. It repeats this 2,000 times and keeps the middle 95 % of the means.

# %%
from aminet.metrics.statistics import paired_difference, summary


def sharpen(x, amount=0.6, sigma=4):
    return to_bytes(x + amount * (x.double() - blurred(x, sigma)))


a, b = psnr(sharpen(bicubic), hrs, paper), psnr(bicubic, hrs, paper)  # (32,), (32,)
results = {"bicubic": summary(b), "sharpened": summary(a), "difference, face by face": paired_difference(a, b)}
table([[name, r["mean"], r["low"], r["high"]] for name, r in results.items()],
      ["", "mean (dB)", "95 % from", "to"])
print(f"standard deviation over faces: bicubic {b.std(ddof=1):.2f} dB, sharpened {a.std(ddof=1):.2f} dB, "
      f"difference {(a - b).std(ddof=1):.3f} dB; correlation {np.corrcoef(a, b)[0, 1]:.3f}")

# %% tags=["plot"]
figure, (left, right, pairs) = plt.subplots(1, 3, figsize=(10.6, 3), layout="constrained", width_ratios=[1, 1, 0.8])
for k, r in enumerate(results.values()):
    axis = left if k < 2 else right
    axis.plot([r["low"], r["high"]], [k % 2, k % 2], color=f"C{k}", linewidth=5, alpha=0.4, solid_capstyle="butt")
    axis.plot(r["mean"], k % 2, "o", color=f"C{k}")
left.set(title="Two means: intervals overlap", xlabel="PSNR (dB)", yticks=[0, 1], ylim=(1.6, -0.6))
left.set_yticklabels(["bicubic", "sharpened"])
right.plot(a - b, np.linspace(-0.4, 0.4, len(a)), ".", color="0.7", label="one face each")
right.axvline(0, color="0.3", linewidth=1)
right.set(title="One difference: not zero", xlabel="sharpened minus bicubic (dB)", yticks=[], ylim=(-0.6, 0.6))
right.legend(fontsize=9, loc="upper left", bbox_to_anchor=(0.05, 1))
ends = [b.min() - 0.5, b.max() + 0.5]
pairs.plot(ends, ends, color="0.3", linewidth=1)
pairs.plot(b, a, ".", color="C2")
pairs.set(title="Hard for one, hard for both", xlabel="bicubic (dB)", ylabel="sharpened (dB)")
plt.show()

# %% [markdown]
# The same pictures lead to two conclusions. The plot on the left asks: *do the means differ, if each method is tested on faces of its own?* But both methods were tested on the same faces. A hard face is hard for both:
#
# $$\mathrm{Var}(a - b) = \mathrm{Var}(a) + \mathrm{Var}(b) - 2\, \mathrm{Cov}(a, b) .$$
#
# The spread of the faces is in both terms and cancels. So compare methods **face by face**, with a paired interval. Here it excludes zero: sharpening gains 0.27 to 0.31 dB.
# The interval speaks of *other faces of the same kind*. It says nothing about another training run of the same network, which would differ too. For that one needs more runs, not more faces.
#
# ### Exercise 3: how many faces?
#
# *Level 2, 10 minutes.* The half width of a 95 % interval is about $1.96\, s / \sqrt n$. Here $s$ is the standard deviation of the values (`ddof=1`). Write `needed(values, half)`: the smallest number of faces that brings the half width to `half` dB or less.

# %% tags=["exercise"]
def needed(values, half):
    """How many faces. (N,) dB, dB -> a whole number."""
    ...  # your turn


passed = check("02.3", needed)

# %% tags=["solution"]
def needed(values, half):
    return int(np.ceil((1.96 * values.std(ddof=1) / half) ** 2))


passed = check("02.3", needed)

# %% [markdown]
# For a half width of 0.05 dB, this needs 3,800 faces to know the mean of bicubic, and 7 to know the difference.
#
# ## Published numbers
#
# A published row has no interval. And it may be a maximum: some code scores every checkpoint on the test set and keeps the largest number. How much does that add?
#
# Suppose 396 checkpoints of *exactly equal* quality that disagree by 0.5 dB on a single face, at random. The 0.5 is our assumption, and so is their independence. Real neighbours resemble each other, so this is an upper bound.
# The other way is to choose the checkpoint on 500 validation faces, and to test it once.

# %%
rng = np.random.default_rng(0)
sizes = (50, 200, 1000)
best, chosen = [], []
for n in sizes:  # 60 repetitions, scores of 396 checkpoints
    test = 0.5 * rng.standard_normal((60, 396, n), dtype=np.float32).mean(-1)
    validation = 0.5 * rng.standard_normal((60, 396)) / np.sqrt(500)           # means over 500 other faces
    best.append(test.max(1))
    chosen.append(test[np.arange(60), validation.argmax(1)])
table([[n, float(best[i].mean()), float(chosen[i].mean())] for i, n in enumerate(sizes)],
      ["faces in the test set", "best on the test set: too high by (dB)", "chosen on validation: off by (dB)"], digits=3)

# %% tags=["plot"]
figure, axis = plt.subplots(figsize=(7.5, 3), layout="constrained")
for k, (scores, label) in enumerate(((best, "best of 396 on the test set"), (chosen, "chosen on validation, tested once"))):
    for i, score in enumerate(scores):
        axis.plot(i + 0.2 * k - 0.1 + np.linspace(-0.05, 0.05, 60), score, ".", color=f"C{1 - k}",
                  markersize=4, label=label if i == 0 else None)
axis.axhline(0, color="0.3", linewidth=1)
axis.set(title="Equal checkpoints: reported score minus true score", xlabel="faces in the test set", ylabel="dB")
axis.set_xticks(range(3), sizes)
axis.legend(fontsize=9, loc="upper right")
plt.show()

# %% [markdown]
# The maximum is always too high. The score of a checkpoint chosen on validation is sometimes too high and sometimes too low, and right on average.
# The rule of this course: checkpoints are chosen on validation faces, and the test set is scored once.
#
# <details><summary>What the paper leaves open: four cautions before its tables are used</summary>
#
# * **The protocol is not printed.** It is inferred from the scripts of the same authors. Every number of ours carries its protocol by name.
# * **The Bicubic row is no calibration.** It needs no training and depends on no chance, so it should be reproducible. Our PIL bicubic has a PSNR like the printed one, but its SSIM and VIF differ. Table VII prints 23.61 dB, 0.6779 and 0.1821. Our records of three test sets (`data/records/`, the `bicubic_` columns) have VIF near 0.27. Crop, resize, window or library is different, and the row does not say which.
# * **A maximum is not a score.** CTCNet's public log lists 396 checkpoints, each scored on the test set, and keeps the largest number. The paper does not say how AMINet's checkpoint was chosen.
# * **Neighbours are close.** In Table VII (CelebA), SISN has 27.91 dB, LAAT 27.91, Restormer-M 27.94, SFMNet 27.96.
#
# </details>
#
# ## What to remember
#
# * A PSNR without its protocol says little: channel and crop each move it by a decibel or more, the order of averaging by a quarter and more.
# * PSNR does not know what a face is: it prefers a blur to a shift of one pixel. SSIM and VIF ask other questions, and there are two VIFs.
# * Compare two methods face by face, with a paired interval. Choose on validation, and test once.
#
# To read on: Z. Wang et al., [Image Quality Assessment](https://doi.org/10.1109/TIP.2003.819861) (2004), for SSIM; H. Sheikh and A. Bovik, [Image Information and Visual Quality](https://doi.org/10.1109/TIP.2005.859378) (2006), for VIF.
#
# Next: [03 SA](03_sa.ipynb), the first module of the network.
