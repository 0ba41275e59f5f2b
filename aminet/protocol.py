"""Evaluation protocols: PSNR and SSIM as named objects: the same images give other numbers under each.

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
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size:
        raise BadInput(f"expected one value per image, at least one; got an array of shape {values.shape}")
    if protocol.averaging == "images":
        return float(values.mean())
    return float(_decibels(255**2 * np.mean(10 ** (-values / 10))))


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
        rows.append({"protocol": protocol.name, "psnr": mean_psnr(psnr(sr, hr, protocol), protocol),
                     "ssim": float(ssim(sr, hr, protocol).mean()), "description": protocol.describe()})
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


def _decibels(mse: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255**2 / mse)
