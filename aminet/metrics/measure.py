"""Every metric of an image by its name."""
from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..errors import BadInput
from ..protocol import Protocol, psnr, ssim, to_uint8
from . import landmarks, parsing, perceptual
from .vif import vif, vifp

# fid is of a set, the others are of an image
METRICS = ("psnr", "ssim", "vif", "vifp", "lpips", "identity", "iou", "nme", "pose", "fid")
RECOGNITION = "cosine"  # and what else `recognition` measures of probes, against a gallery


def measure(sr: Tensor, hr: Tensor, protocol: Protocol,
            metrics: tuple[str, ...] = ("psnr", "ssim")) -> dict[str, np.ndarray]:
    """Return metrics per image, {name: (N,) array}: any of METRICS but fid, else BadInput. Arguments as for `psnr`."""
    functions = {"psnr": partial(psnr, protocol=protocol), "ssim": partial(ssim, protocol=protocol), "vif": vif,
                 "vifp": vifp, "lpips": perceptual.lpips, "identity": perceptual.identity, "iou": parsing.iou,
                 "nme": landmarks.nme, "pose": landmarks.pose}
    if unknown := [name for name in metrics if name not in functions]:
        raise BadInput(f"no metric of an image is called {unknown[0]!r}; use one of {', '.join(functions)}")
    sr = torch.as_tensor(sr)
    sr = to_uint8(sr, protocol.sr_rounding) if sr.is_floating_point() else sr
    return {name: functions[name](sr, hr) for name in metrics}
