"""Evaluation protocols: PSNR and SSIM as named objects: the same images give other numbers under each.

One image pair can move by 2 dB with the channel, the crop, the rounding and the averaging. So every number
carries the name of its protocol, and numbers of two protocols never share a table.

* `paper`: the SPARNet, CTCNet and WFEN lineage, the likeliest for AMINet. The result is truncated to uint8,
  Y is truncated to uint8, nothing is cropped.
* `dic`: the DIC, SFMNet and SPADNet lineage. Result and Y are rounded, and 8 pixels go from every border.
* `rgb`: PSNR over all three channels and the mean SSIM of the three, on the rounded image, nothing cropped.

Images are uint8 RGB of shape (N, 3, H, W) or (3, H, W). A result may also be float in [-1, 1], straight from
the network; the protocol then turns it into uint8. Per-image results are NumPy float64 arrays of shape (N,).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import BadInput

ROUNDINGS = ("truncate", "round")
WINDOWS: dict[str, dict[str, Any]] = {  # options of scikit-image's SSIM
    "gaussian": {"win_size": 11, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False},
    "uniform": {"win_size": 7},
}
SWITCHES = {"channel": ("y", "rgb"), "sr_rounding": ROUNDINGS, "y_rounding": ROUNDINGS,
            "ssim_window": tuple(WINDOWS), "averaging": ("images", "mse")}


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
        for switch, positions in SWITCHES.items():
            position = getattr(self, switch)
            if position not in positions:
                raise BadInput(f"protocol {switch} is {position!r}; use one of {', '.join(positions)}")
        if not self.name:
            raise BadInput("a protocol needs a name")
        if type(self.crop) is not int or self.crop < 0:
            raise BadInput(f"protocol crop is {self.crop!r}; use a whole number of pixels, 0 or more")

    def describe(self) -> str:
        """Return the protocol in one line."""
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
    """Turn (..., 3, H, W) float in [-1, 1] into uint8: (x + 1) / 2 * 255, clipped, then truncated or rounded.

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
    """Turn (N, 3, H, W) uint8 RGB into (N, H, W) uint8 studio-swing luma.

    Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255, from 16 to 235. Whole numbers keep it exact:
    floating point is one level off for about 24 of the 16.7 million colours.
    """
    r, g, b = np.moveaxis(x.astype(np.int32), 1, 0)
    half = 127500 if rounding == "round" else 0
    return (16 + (65481 * r + 128553 * g + 24966 * b + half) // 255000).astype(np.uint8)


def pair(sr: Tensor, hr: Tensor, rounding: str) -> tuple[np.ndarray, np.ndarray]:
    """Return both as uint8 arrays of one shape (N, 3, H, W); a float sr is rounded or truncated first.

    Raises BadInput when shapes or types do not fit.
    """
    sr = torch.as_tensor(sr)
    sr = to_uint8(sr, rounding) if sr.is_floating_point() else sr
    images = []
    for x, what in ((sr, "the result"), (hr, "the ground truth")):
        x = torch.as_tensor(x).detach()
        x = x[None] if x.ndim == 3 else x
        if x.dtype != torch.uint8 or x.ndim != 4 or x.shape[1] != 3 or not len(x):
            raise BadInput(f"{what} must be uint8 of shape (N, 3, H, W), not {x.dtype} of {tuple(x.shape)}")
        images.append(x.cpu().numpy())
    if images[0].shape != images[1].shape:
        raise BadInput(f"result {images[0].shape} and ground truth {images[1].shape} differ in shape; use one size")
    return images[0], images[1]


def prepare(sr: Tensor, hr: Tensor, protocol: Protocol) -> list[np.ndarray]:
    """Return what PSNR and SSIM see of a result and its ground truth, each uint8 and cropped.

    sr: (N, 3, H, W) uint8, or float in [-1, 1]; hr: uint8. Both become (N, H', W') luma, or (N, 3, H', W') RGB.
    Raises BadInput when shapes or types do not fit, or a crop leaves nothing.
    """
    images, crop = pair(sr, hr, protocol.sr_rounding), protocol.crop
    height, width = images[0].shape[-2:]
    if min(height, width) <= 2 * crop:
        raise BadInput(f"{width}x{height} pixels are too few for a crop of {crop}")
    views = [luma(x, protocol.y_rounding) for x in images] if protocol.channel == "y" else images
    return [x[..., crop:height - crop, crop:width - crop] for x in views]


def psnr_of_mse(mse: np.ndarray | np.floating) -> np.ndarray:
    """Return 10 log10(255^2 / MSE), inf where the error is zero."""
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255**2 / mse)


def psnr(sr: Tensor, hr: Tensor, protocol: Protocol) -> np.ndarray:
    """Return the PSNR per image in dB. Identical images give inf, and inf stays inf in a mean.

    Arguments and errors as for `prepare`.
    """
    sr_view, hr_view = prepare(sr, hr, protocol)
    error = sr_view.astype(float) - hr_view.astype(float)
    return psnr_of_mse(np.mean(error**2, axis=tuple(range(1, error.ndim))))  # over all axes but the images'


def ssim(sr: Tensor, hr: Tensor, protocol: Protocol) -> np.ndarray:
    """Return the SSIM per image by scikit-image, range 255; for "rgb" the channels' mean. Arguments as for `psnr`."""
    from skimage.metrics import structural_similarity

    sr_view, hr_view = prepare(sr, hr, protocol)
    window, (height, width) = WINDOWS[protocol.ssim_window], hr_view.shape[-2:]
    if min(height, width) < (side := window["win_size"]):
        raise BadInput(f"SSIM needs {side}x{side} pixels after the crop, not {width}x{height}")
    channels = 0 if protocol.channel == "rgb" else None
    return np.array([structural_similarity(a, b, data_range=255, channel_axis=channels, **window)
                     for a, b in zip(sr_view, hr_view)])


def mean_psnr(values: np.ndarray, protocol: Protocol) -> float:
    """Return the PSNR of a set, from `psnr` per image (N,): the mean in dB, or that of the squared errors in dB."""
    if protocol.averaging == "mse":
        return float(psnr_of_mse(np.mean(255**2 / 10 ** (values / 10))))
    return float(values.mean())


def protocol_table(sr: Tensor, hr: Tensor) -> list[dict[str, str | float]]:
    """Return the same images' numbers under every protocol, and under `paper` with one switch moved.

    Rows of {"protocol", "psnr", "ssim", "description"}. Arguments as for `psnr`. The rounding of SR shows
    only with a float sr, the order of averaging with two images or more.
    """
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
