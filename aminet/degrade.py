"""The degradation (Sec. IV-A): HR 128x128 -> LR 16x16 -> network input 128x128, all bicubic with antialiasing.

PIL is the reference. Its 8-bit resampling is two matrix products with a rounding after each, so the batched torch
twin repeats it on any device; `augment` is the flip and scale-crop of the SPARNet lineage in the same form.
`worsen` adds what a poor camera does, which the paper's faces never have: blur, noise and JPEG.
"""
from __future__ import annotations

from functools import lru_cache
from io import BytesIO

import torch

from .config import HR, LR
from .errors import BadInput


def cubic(x: torch.Tensor) -> torch.Tensor:
    """Return Keys' cubic kernel with a = -0.5, as in PIL."""
    x = x.abs()
    inner = (1.5 * x - 2.5) * x * x + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, inner, torch.where(x < 2, outer, 0.0))


@lru_cache(maxsize=16)
def resize_matrix(before: int, after: int, device: torch.device | str = "cpu",
                  dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Return PIL's bicubic weights as an (after, before) matrix, rows summing to one up to PIL's 22-bit rounding."""
    stretch = max(before / after, 1.0)  # antialiasing widens the kernel when shrinking
    centre = (torch.arange(after, dtype=torch.float64) + 0.5) * before / after
    pixel = torch.arange(before, dtype=torch.float64) + 0.5
    weights = cubic((pixel - centre[:, None]) / stretch)
    weights = weights / weights.sum(1, keepdim=True)
    return (torch.round(weights * 2**22) / 2**22).to(device, dtype)  # made once, then it stays on the device


def resize(images: torch.Tensor, size: int) -> torch.Tensor:
    """Resize a batch as PIL's `resize((size, size), BICUBIC)` does. uint8 (N, 3, H, W) -> uint8 (N, 3, size, size).

    Raises BadInput for other types: floats in [-1, 1] would all be rounded to zero.
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
    """Reduce HR to LR. uint8 (N, 3, 128, 128) -> uint8 (N, 3, 16, 16)."""
    return resize(hr, LR)


def upsample(lr: torch.Tensor) -> torch.Tensor:
    """Enlarge LR to the bicubic face, the network's input and the baseline of every table. (N, 3, 128, 128) uint8."""
    return resize(lr, HR)


def pil_degrade(hr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Degrade one face by PIL itself, the reference: uint8 (3, H, W) -> LR (3, 16, 16) and bicubic (3, 128, 128)."""
    import numpy as np
    from PIL import Image

    lr = Image.fromarray(hr.permute(1, 2, 0).numpy()).resize((LR, LR), Image.Resampling.BICUBIC)
    up = lr.resize((HR, HR), Image.Resampling.BICUBIC)
    lr, up = (torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in (lr, up))
    return lr, up


def to_float(images: torch.Tensor) -> torch.Tensor:
    """Bring uint8 0..255 to float32 in [-1, 1], the network's range."""
    return images.float() / 127.5 - 1


def network_input(hr: torch.Tensor, enlarged: bool = True) -> torch.Tensor:
    """Return what a network takes for these faces, float32 in [-1, 1].

    uint8 (N, 3, 128, 128) -> (N, 3, 128, 128) `enlarged` bicubically, or the LR faces (N, 3, 16, 16) themselves.
    """
    lr = degrade(hr)
    return to_float(upsample(lr) if enlarged else lr)


def zoom_matrix(scale: torch.Tensor, offset: torch.Tensor, size: int) -> torch.Tensor:
    """Return bicubic matrices: enlarged by `scale` >= 1, `size` pixels from `offset`. (B,), (B,) -> (B, size, size)."""
    pixel = torch.arange(size, device=scale.device)
    centre = (pixel + 0.5 + offset[:, None]) / scale[:, None] - 0.5
    weights = cubic(centre[:, :, None] - pixel)
    return weights / weights.sum(-1, keepdim=True)


def send(numbers: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy numbers to the device; a GPU fetches them by itself, and the host does not wait."""
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
    """Flip and scale-crop at random, by 1.0 to `largest` (see `moves`). uint8 (B, 3, S, S) -> the same."""
    size = hr.shape[-1]
    scale, top, left, mirrored = moves(len(hr), generator, hr.device, size, largest)
    rows, columns = zoom_matrix(scale, top, size), zoom_matrix(scale, left, size)
    columns = torch.where(mirrored[:, None, None], columns.flip(1), columns)
    zoomed = rows[:, None] @ hr.float() @ columns[:, None].transpose(-2, -1)
    return zoomed.round().clamp(0, 255).to(torch.uint8)


def blur_matrix(sigma: torch.Tensor, size: int) -> torch.Tensor:
    """Return Gaussian matrices of `sigma` pixels, rows summing to one; 0 is the identity. (B,) -> (B, size, size)."""
    pixel = torch.arange(size, device=sigma.device)
    weights = torch.exp(-0.5 * ((pixel[:, None] - pixel) / sigma[:, None, None].clamp_min(1e-3)) ** 2)
    return weights / weights.sum(-1, keepdim=True)


def jpeg(image: torch.Tensor, quality: int) -> torch.Tensor:
    """Compress a face by PIL's JPEG and read it again. uint8 (3, H, W) -> the same; quality from 1 to 95."""
    import numpy as np
    from PIL import Image

    file = BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)


def worsen(hr: torch.Tensor, blur: torch.Tensor, noise: torch.Tensor, quality: torch.Tensor,
           generator: torch.Generator) -> torch.Tensor:
    """Reduce HR to LR as a poor camera does, each face in its own way. uint8 (B, 3, S, S) -> uint8 (B, 3, 16, 16).

    blur: sigma of a Gaussian on HR, in its pixels. noise: sigma of a Gaussian added to LR, in levels of 255; the same
    `generator` draws the same. quality: of JPEG on LR, 1 to 95, above: none. All (B,); of 0, 0 and 100 it is `degrade`.
    """
    spread = blur_matrix(send(blur, hr.device), hr.shape[-1])[:, None]
    lr = degrade((spread @ hr.float() @ spread.transpose(-2, -1)).round().to(torch.uint8)).cpu()
    lr = lr + torch.randn(lr.shape, generator=generator) * noise[:, None, None, None]
    lr = lr.round().clamp(0, 255).to(torch.uint8)
    return send(torch.stack([jpeg(x, int(q)) if q <= 95 else x for x, q in zip(lr, quality)]), hr.device)


def cameras(b: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draw how poor the camera of each of b faces is: blur, noise and quality of `worsen`, three of shape (B,).

    Each is off for half of the faces; else uniform, blur up to 6 pixels, noise up to 12 levels, quality 95 to 30.
    """
    share = torch.rand(3, b, generator=generator) * (torch.rand(3, b, generator=generator) < 0.5)
    return share[0] * 6, share[1] * 12, torch.where(share[2] > 0, 95 - share[2] * 65, 100)


def camera_input(hr: torch.Tensor, generator: torch.Generator, enlarged: bool = True) -> torch.Tensor:
    """Return `network_input` of these faces from `cameras` drawn by the generator."""
    lr = worsen(hr, *cameras(len(hr), generator), generator)
    return to_float(upsample(lr) if enlarged else lr)
