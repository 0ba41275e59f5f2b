"""The degradation (Sec. IV-A): HR 128x128 -> LR 16x16 -> network input 128x128, all bicubic with antialiasing.

PIL is the reference. Its 8-bit resampling is two matrix products with a rounding after each, so the batched torch
twin repeats it on any device; `augment` is the flip and scale-crop of the SPARNet lineage in the same form.
"""
from __future__ import annotations

from functools import lru_cache

import torch

from .pictures import HR, LR


def cubic(x: torch.Tensor) -> torch.Tensor:
    """Keys' cubic kernel with a = -0.5, as in PIL."""
    x = x.abs()
    inner = (1.5 * x - 2.5) * x * x + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, inner, torch.where(x < 2, outer, 0.0))


@lru_cache(maxsize=16)
def resize_matrix(before: int, after: int) -> torch.Tensor:
    """PIL's bicubic weights as an (after, before) float64 matrix, rows summing to one up to PIL's 22-bit rounding."""
    stretch = max(before / after, 1.0)  # antialiasing widens the kernel when shrinking
    centre = (torch.arange(after, dtype=torch.float64) + 0.5) * before / after
    pixel = torch.arange(before, dtype=torch.float64) + 0.5
    weights = cubic((pixel - centre[:, None]) / stretch)
    weights = weights / weights.sum(1, keepdim=True)
    return torch.round(weights * 2**22) / 2**22


def resize(images: torch.Tensor, size: int) -> torch.Tensor:
    """PIL's `resize((size, size), BICUBIC)` for a batch. uint8 (N, 3, H, W) -> uint8 (N, 3, size, size)."""
    # Sums of 22-bit weights times bytes are exact in float64; MPS has none and may differ by one level.
    dtype = torch.float32 if images.device.type == "mps" else torch.float64
    x = images.to(dtype)
    columns, rows = (resize_matrix(n, size).to(images.device, dtype) for n in (images.shape[-1], images.shape[-2]))
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
    return tuple(torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in (lr, up))


def to_float(images: torch.Tensor) -> torch.Tensor:
    """uint8 0..255 -> float32 in [-1, 1], the network's range."""
    return images.float() / 127.5 - 1


def network_input(hr: torch.Tensor, enlarged: bool = True) -> torch.Tensor:
    """What a network takes for these faces: uint8 (N, 3, 128, 128) -> float32 in [-1, 1], (N, 3, 128, 128) `enlarged`
    bicubically, or the LR faces (N, 3, 16, 16) themselves."""
    lr = degrade(hr)
    return to_float(upsample(lr) if enlarged else lr)


def zoom_matrix(scale: torch.Tensor, offset: torch.Tensor, size: int) -> torch.Tensor:
    """Bicubic enlargement by `scale` >= 1, cropped to `size` pixels from `offset`. (B,), (B,) -> (B, size, size)."""
    pixel = torch.arange(size, device=scale.device)
    centre = (pixel + 0.5 + offset[:, None]) / scale[:, None] - 0.5
    weights = cubic(centre[:, :, None] - pixel)
    return weights / weights.sum(-1, keepdim=True)


def augment(hr: torch.Tensor, generator: torch.Generator, largest: float = 1.3) -> torch.Tensor:
    """Random horizontal flip and scale-crop by 1.0 to `largest`. uint8 (B, 3, S, S) -> uint8 (B, 3, S, S).

    All random numbers come from `generator` (on the CPU), so a batch depends on its seed and not on the device.
    """
    b, size = hr.shape[0], hr.shape[-1]
    draw = torch.rand(4, b, generator=generator)
    scale = 1 + draw[0] * (largest - 1)
    room = (scale - 1) * size
    rows = zoom_matrix(scale, draw[1] * room, size)
    columns = zoom_matrix(scale, draw[2] * room, size)
    columns = torch.where((draw[3] < 0.5)[:, None, None], columns.flip(1), columns)
    rows, columns = (m.unsqueeze(1).to(hr.device) for m in (rows, columns))
    zoomed = rows @ hr.float() @ columns.transpose(-2, -1)
    return zoomed.round().clamp(0, 255).to(torch.uint8)
