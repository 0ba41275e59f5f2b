"""Evaluation protocols: PSNR, SSIM and VIF as named objects: the same images give other numbers under each.

One image pair can move by 2 dB with the channel, the crop, the rounding and the averaging. So every number
carries the name of its protocol, and numbers of two protocols never share a table.

* ``paper``: the SPARNet, CTCNet and WFEN lineage, the likeliest for AMINet. The result is truncated to uint8,
  Y is truncated to uint8, nothing is cropped.
* ``dic``: the DIC, SFMNet and SPADNet lineage. Result and Y are rounded, and 8 pixels go from every border.
* ``rgb``: PSNR over all three channels and the mean SSIM of the three, on the rounded image, nothing cropped.

Images are uint8 RGB of shape (N, 3, H, W) or (3, H, W). A result may also be float in [-1, 1], straight from
the network; the protocol then turns it into uint8. Per-image results are NumPy float64 arrays of shape (N,).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .errors import BadInput

ROUNDINGS = ("truncate", "round")
CHANNELS = ("y", "rgb")
WINDOWS = ("gaussian", "uniform")
AVERAGING = ("images", "mse")
METRICS = ("psnr", "ssim", "vif", "vifp", "lpips", "identity", "fid")  # fid is of a set, the others are of an image


@dataclass(frozen=True)
class Protocol:
    """How a pair of images becomes a number.

    name: what a table row is called.
    channel: "y" is BT.601 luma in studio swing, 16 to 235; "rgb" is all three channels.
    sr_rounding: a float result to uint8, "truncate" or "round". A uint8 result is left alone.
    y_rounding: luma to uint8, "truncate" or "round". Unused with channel "rgb".
    crop: pixels taken from every border, before PSNR and before SSIM.
    ssim_window: "gaussian" is 11x11, sigma 1.5, averaged over the region where the window fits. scikit-image
        and the MATLAB code agree on it, so both lineages use it. "uniform" is scikit-image's default 7x7 box.
    averaging: the PSNR of a set. "images" is the mean of the decibels; "mse" averages squared errors first.

    Raises BadInput when a field is not one of these.
    """

    name: str
    channel: str = "y"
    sr_rounding: str = "truncate"
    y_rounding: str = "truncate"
    crop: int = 0
    ssim_window: str = "gaussian"
    averaging: str = "images"

    def __post_init__(self) -> None:
        for field, allowed in (("channel", CHANNELS), ("sr_rounding", ROUNDINGS), ("y_rounding", ROUNDINGS),
                               ("ssim_window", WINDOWS), ("averaging", AVERAGING)):
            value = getattr(self, field)
            if value not in allowed:
                raise BadInput(f"protocol {field} is {value!r}; use one of {', '.join(allowed)}")
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


PROTOCOLS = {
    "paper": Protocol("paper"),
    "dic": Protocol("dic", sr_rounding="round", y_rounding="round", crop=8),
    "rgb": Protocol("rgb", channel="rgb", sr_rounding="round"),
}


def to_uint8(x: Tensor, rounding: str = "truncate") -> Tensor:
    """(..., 3, H, W) float in [-1, 1] to uint8: (x + 1) / 2 * 255, clipped, then truncated or rounded.

    Truncation is not the inverse of x = u / 127.5 - 1: in float32 it lowers 63 of the 256 levels by one. Hand
    uint8 images over as they are. Raises BadInput when x is not float, or holds NaN or infinity.
    """
    if rounding not in ROUNDINGS:
        raise BadInput(f"rounding is {rounding!r}; use one of {', '.join(ROUNDINGS)}")
    if not x.is_floating_point():
        raise BadInput(f"to_uint8 takes float in [-1, 1], not {x.dtype}; a uint8 image needs no conversion")
    if not torch.isfinite(x).all():
        raise BadInput("the result holds NaN or infinity; check the weights or the training run")
    x = ((x.float() + 1) / 2 * 255).clamp(0, 255)
    return (x.round() if rounding == "round" else x).to(torch.uint8)


def luma(x: np.ndarray, rounding: str = "truncate") -> np.ndarray:
    """(N, 3, H, W) uint8 RGB to (N, H, W) uint8 studio-swing luma.

    Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255, from 16 to 235. Whole numbers keep it exact:
    floating point is one level off for about 24 of the 16.7 million colours.
    """
    r, g, b = np.moveaxis(x.astype(np.int32), 1, 0)
    half = 127500 if rounding == "round" else 0
    return (16 + (65481 * r + 128553 * g + 24966 * b + half) // 255000).astype(np.uint8)


def gray(x: np.ndarray) -> np.ndarray:
    """(N, 3, H, W) uint8 RGB to (N, H, W) uint8 full-range luma, PIL's "L": 0.299 R + 0.587 G + 0.114 B."""
    r, g, b = np.moveaxis(x.astype(np.int32), 1, 0)
    return ((19595 * r + 38470 * g + 7471 * b + 32768) >> 16).astype(np.uint8)


def prepare(x: Tensor, protocol: Protocol) -> np.ndarray:
    """What PSNR and SSIM see of uint8 RGB images: uint8, cropped, (N, H', W') luma or (N, 3, H', W') RGB."""
    x = _images(x, "the image")
    if min(x.shape[-2:]) <= 2 * protocol.crop:
        raise BadInput(f"{x.shape[-1]}x{x.shape[-2]} pixels are too few for a crop of {protocol.crop}")
    x = luma(x, protocol.y_rounding) if protocol.channel == "y" else x
    rows, columns = (slice(protocol.crop, side - protocol.crop) for side in x.shape[-2:])
    return x[..., rows, columns]


def psnr(sr: Tensor, hr: Tensor, protocol: Protocol) -> np.ndarray:
    """PSNR per image in dB, 10 log10(255^2 / MSE). Identical images give inf, and inf stays inf in a mean.

    sr: (N, 3, H, W) uint8, or float in [-1, 1]; hr: uint8. Raises BadInput when shapes or types do not fit.
    """
    sr, hr = (prepare(x, protocol) for x in pair(sr, hr, protocol.sr_rounding))
    squared = np.square(sr.astype(np.int32) - hr.astype(np.int32))
    return _decibels(squared.reshape(len(sr), -1).mean(1))


def ssim(sr: Tensor, hr: Tensor, protocol: Protocol) -> np.ndarray:
    """SSIM per image by scikit-image, range 255; for "rgb" the channels' mean. Arguments as for `psnr`."""
    from skimage.metrics import structural_similarity

    sr, hr = (prepare(x, protocol) for x in pair(sr, hr, protocol.sr_rounding))
    side = 11 if protocol.ssim_window == "gaussian" else 7
    if min(sr.shape[-2:]) < side:
        raise BadInput(f"SSIM needs {side}x{side} pixels after the crop, not {sr.shape[-1]}x{sr.shape[-2]}")
    options = {"data_range": 255, "channel_axis": 0 if protocol.channel == "rgb" else None}
    if protocol.ssim_window == "gaussian":
        options |= {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return np.array([structural_similarity(a, b, **options) for a, b in zip(sr, hr)])


def mean_psnr(values: np.ndarray, protocol: Protocol) -> float:
    """The PSNR of a set, from `psnr` per image: the mean in dB, or that of the squared errors in dB."""
    values = _values(values)
    if protocol.averaging == "images":
        return float(values.mean())
    return float(_decibels(255**2 * np.mean(10 ** (-values / 10))))


def vif(sr: Tensor, hr: Tensor, rounding: str = "truncate") -> np.ndarray:
    """Wavelet-domain VIF per image (Sheikh & Bovik, "Image information and visual quality", 2006).

    The information a viewer gets from sr over what hr itself gives, in a steerable pyramid: 1 for equal
    images, 0 when all detail is gone, above 1 for more contrast. On full-range luma; height 4, order 5, two
    orientations a level, 3x3 blocks, neural noise 0.1, equal weight for every subband, as the common Python
    code has it. The 2006 release has noise 0.4 and equal weight for every coefficient: bicubic x8 faces then
    score about 0.11 and not 0.27.

    sr and hr as in `psnr`; `rounding` is for a float sr. Sides of 72 pixels or more, else BadInput. A flat hr
    holds no information: nan.
    """
    sr, hr = (gray(x) for x in pair(sr, hr, rounding))
    if min(hr.shape[-2:]) < 72:  # the smallest for four levels of 9x9 filters
        raise BadInput(f"VIF needs 72x72 pixels or more; these are {hr.shape[-1]}x{hr.shape[-2]}")
    return np.array([_vif(a, b) for a, b in zip(sr, hr)])


def vifp(sr: Tensor, hr: Tensor, rounding: str = "truncate") -> np.ndarray:
    """Pixel-domain VIFp per image by torchmetrics, on full-range luma. Not `vif`: another metric and column.

    torchmetrics' noise of 2 is meant for values 0 to 255. Fed 0 to 1, the noise drowns the image and the
    score is wrong without looking wrong: 0.28 for 0.16 on a bicubic portrait.
    Arguments as for `vif`; sides of 41 pixels or more.
    """
    from torchmetrics.functional.image import visual_information_fidelity

    sr, hr = (torch.from_numpy(gray(x)).double()[:, None] for x in pair(sr, hr, rounding))
    if min(hr.shape[-2:]) < 41:
        raise BadInput(f"VIFp needs 41x41 pixels or more; these are {hr.shape[-1]}x{hr.shape[-2]}")
    return np.array([float(visual_information_fidelity(a[None], b[None])) for a, b in zip(sr, hr)])


def measure(sr: Tensor, hr: Tensor, protocol: Protocol,
            metrics: tuple[str, ...] = ("psnr", "ssim")) -> dict[str, np.ndarray]:
    """Metrics per image, {name: (N,) array}: all of METRICS but fid, which is of a set. Arguments as for `psnr`."""
    from . import perceptual

    functions = {"psnr": lambda: psnr(sr, hr, protocol), "ssim": lambda: ssim(sr, hr, protocol),
                 "vif": lambda: vif(sr, hr), "vifp": lambda: vifp(sr, hr),
                 "lpips": lambda: perceptual.lpips(sr, hr), "identity": lambda: perceptual.identity(sr, hr)}
    for name in metrics:
        if name not in functions:
            raise BadInput(f"no metric of an image is called {name!r}; use one of {', '.join(functions)}")
    sr = torch.as_tensor(sr)
    sr = to_uint8(sr, protocol.sr_rounding) if sr.is_floating_point() else sr
    return {name: functions[name]() for name in metrics}


def summary(values: np.ndarray, seed: int = 0, n: int = 2000, people=None) -> dict[str, float]:
    """Mean of per-image values with its 95% interval from n bootstrap draws: {"mean", "low", "high"}.

    values: (N,), or (S, N) of S trainings on the same images: then trainings are drawn as well as people.
    people: who is on each image. Images of one person resemble each other, so whole people are drawn; without it
        every image counts as a person of its own, and the interval is too narrow if that is not so.

    Images without a value (nan) do not count; if none has one, all three are nan.
    The interval is for other people of the same kind, and with S > 1 for other trainings: of few trainings it is too
    narrow. One training says nothing of others.
    """
    return _bootstrap([_values(values)], seed, n, people)


def paired_difference(a: np.ndarray, b: np.ndarray, seed: int = 0, n: int = 2000, people=None) -> dict[str, float]:
    """`summary` of a - b, image by image. Narrower than those of a and b: the images' spread cancels.

    a, b: (N,) or (S, N), of the same images. As many trainings on both sides are pairs, of equal seeds, and drawn as
    such; of unequal numbers each side's are drawn by themselves, and a single one not at all.
    """
    a, b = _values(a), _values(b)
    if a.shape[1] != b.shape[1]:
        raise BadInput(f"a paired difference needs the same images: {a.shape[1]} against {b.shape[1]} values")
    return _bootstrap([a - b] if len(a) == len(b) else [a, -b], seed, n, people)


def _bootstrap(sides: list[np.ndarray], seed: int, n: int, people) -> dict[str, float]:
    """`summary` of the sum of several sides, each (S, N) of its own trainings on the same images."""
    images = sides[0].shape[1]
    person = np.arange(images) if people is None else np.asarray(people)
    if len(person) != images:
        raise BadInput(f"{len(person)} people given for {images} images")
    known = ~np.isnan(sum(values.sum(0) for values in sides))
    if not known.any():
        return dict.fromkeys(("mean", "low", "high"), float("nan"))
    person = np.unique(person[known], return_inverse=True)[1]
    count, rng = np.bincount(person), np.random.default_rng(seed)
    draws = rng.integers(len(count), size=(n, len(count)))
    means = np.zeros(n)
    for values in sides:
        total, trainings = np.stack([np.bincount(person, row) for row in values[:, known]]), len(values)
        each = total[:, draws].sum(-1) / count[draws].sum(1)  # (S, n)
        if trainings > 1:
            each = each[rng.integers(trainings, size=(trainings, n)), np.arange(n)]
        means = means + each.mean(0)
    # inverted_cdf picks one of the means and never mixes two, so an infinite PSNR stays inf, not nan.
    low, high = np.quantile(means, (0.025, 0.975), method="inverted_cdf")
    return {"mean": float(sum(values[:, known].mean() for values in sides)), "low": float(low), "high": float(high)}


def protocol_table(sr: Tensor, hr: Tensor) -> list[dict[str, str | float]]:
    """The same images under every protocol, and under `paper` with one switch moved.

    Rows of {"protocol", "psnr", "ssim", "description"}. Arguments as for `psnr`. The rounding of SR shows
    only with a float sr, the order of averaging with two images or more.
    """
    paper = PROTOCOLS["paper"]
    switches = [("SR rounded", {"sr_rounding": "round"}), ("Y rounded", {"y_rounding": "round"}),
                ("8 px cropped", {"crop": 8}), ("RGB", {"channel": "rgb"}),
                ("7x7 SSIM", {"ssim_window": "uniform"}), ("MSE averaged", {"averaging": "mse"})]
    variants = [replace(paper, name=f"paper, {name}", **switch) for name, switch in switches]
    rows = []
    for protocol in (*PROTOCOLS.values(), *variants):
        values = measure(sr, hr, protocol)
        rows.append({"protocol": protocol.name, "psnr": mean_psnr(values["psnr"], protocol),
                     "ssim": float(values["ssim"].mean()), "description": protocol.describe()})
    return rows


def _images(x: Tensor, what: str) -> np.ndarray:
    """uint8 RGB as a NumPy array (N, 3, H, W)."""
    x = torch.as_tensor(x).detach()
    x = x[None] if x.ndim == 3 else x
    if x.dtype != torch.uint8 or x.ndim != 4 or x.shape[1] != 3 or not len(x):
        raise BadInput(f"{what} must be uint8 of shape (N, 3, H, W), not {x.dtype} of {tuple(x.shape)}")
    return x.cpu().numpy()


def pair(sr: Tensor, hr: Tensor, rounding: str) -> tuple[np.ndarray, np.ndarray]:
    """Both images as uint8 NumPy arrays of one shape; a float sr is rounded or truncated first."""
    sr = torch.as_tensor(sr)
    sr = _images(to_uint8(sr, rounding) if sr.is_floating_point() else sr, "the result")
    hr = _images(hr, "the ground truth")
    if sr.shape != hr.shape:
        raise BadInput(f"result {sr.shape} and ground truth {hr.shape} differ in shape; use one size")
    return sr, hr


def _values(values: np.ndarray) -> np.ndarray:
    """As (S, N): one training or several."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim not in (1, 2) or not values.size:
        raise BadInput(f"expected one value per image, at least one; got an array of shape {values.shape}")
    return np.atleast_2d(values)


def _decibels(mse: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255**2 / mse)


def _vif(sr: np.ndarray, hr: np.ndarray) -> float:
    """VIF of two gray images (H, W)."""
    from pyrtools.pyramids import SteerablePyramidSpace

    sr, hr = (SteerablePyramidSpace(x.astype(np.float64), height=4, order=5, edge_type="reflect1").pyr_coeffs
              for x in (sr, hr))
    # The window covers about 20 pixels of the image on every level: 17, 9, 5, 3 coefficients, fine to coarse.
    bands = [_band_information(sr[level, orientation], hr[level, orientation], window=2 ** (4 - level) + 1)
             for level in range(4) for orientation in (0, 3)]
    kept, held = np.sum(bands, axis=0)
    return kept / held if held > 1e-6 else float("nan")


def _band_information(sr: np.ndarray, hr: np.ndarray, window: int, block: int = 3, noise: float = 0.1,
                      tiny: float = 1e-15) -> tuple[float, float]:
    """Information per block that a viewer gets of hr from sr, and from hr itself, in one subband (in nats).

    hr's blocks are C = s U: U gaussian with covariance K, s a field of scales. sr is g C + V: a gain and
    white noise. The viewer adds neural noise N to both. For one block, over the eigenvalues k of K:
    I(C; E) = sum log(1 + s^2 k / N) / 2 and I(C; F) = sum log(1 + g^2 s^2 k / (V + N)) / 2.
    """
    from scipy.ndimage import uniform_filter

    height, width = (side // block * block for side in hr.shape)
    sr, hr = sr[:height, :width], hr[:height, :width]

    # K from all overlapping blocks; s^2 = c' K^-1 c / 9, its maximum-likelihood estimate, block by block.
    blocks = np.lib.stride_tricks.sliding_window_view(hr, (block, block)).reshape(
        height - block + 1, width - block + 1, block * block)
    eigenvalues, basis = np.linalg.eigh(np.cov(blocks.reshape(-1, block * block), rowvar=False))
    eigenvalues = np.maximum(eigenvalues, tiny)
    scale = np.mean((blocks[::block, ::block] @ basis) ** 2 / eigenvalues, axis=-1)

    # g and V by linear regression of sr on hr in a window around each block, away from the border.
    def local(x: np.ndarray) -> np.ndarray:
        return uniform_filter(x, window)[block // 2::block, block // 2::block]

    mean_sr, mean_hr = local(sr), local(hr)
    var_sr = np.maximum(local(sr * sr) - mean_sr**2, 0)
    var_hr = np.maximum(local(hr * hr) - mean_hr**2, 0)
    covariance = local(sr * hr) - mean_sr * mean_hr
    # A negative gain is no signal: then all of sr is noise.
    gain = np.where((var_hr > tiny) & (var_sr > tiny), np.maximum(covariance / (var_hr + tiny), 0), 0)
    distortion = np.maximum(var_sr - gain * covariance, tiny)

    border = -(-(window // 2) // block)
    inner = (slice(border, -border), slice(border, -border))
    signal = scale[inner][..., None] * eigenvalues
    gain, distortion = gain[inner][..., None], distortion[inner][..., None]
    kept = np.log1p(gain**2 * signal / (distortion + noise)).sum(-1).mean() / 2
    held = np.log1p(signal / noise).sum(-1).mean() / 2
    return kept, held
