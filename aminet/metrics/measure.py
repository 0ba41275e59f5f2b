"""Every metric of an image by its name."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import BadInput
from ..protocol import Protocol, psnr, ssim, to_uint8
from .vif import vif, vifp

METRICS = ("psnr", "ssim", "vif", "vifp", "lpips", "identity", "fid")  # fid is of a set, the others are of an image


def measure(sr: Tensor, hr: Tensor, protocol: Protocol,
            metrics: tuple[str, ...] = ("psnr", "ssim")) -> dict[str, np.ndarray]:
    """Return metrics per image, {name: (N,) array}: any of METRICS but fid, else BadInput. Arguments as for `psnr`."""
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
