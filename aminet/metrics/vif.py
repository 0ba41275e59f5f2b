"""VIF, the visual information that a restored face keeps: in the wavelet domain (VIF) and in pixels (VIFp)."""
from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import BadInput
from ..protocol import pair


def gray(x: np.ndarray) -> np.ndarray:
    """Turn (N, 3, H, W) uint8 RGB into (N, H, W) uint8 full-range luma, PIL's "L": 0.299 R + 0.587 G + 0.114 B."""
    r, g, b = np.moveaxis(x.astype(np.int32), 1, 0)
    return ((19595 * r + 38470 * g + 7471 * b + 32768) >> 16).astype(np.uint8)


def vif(sr: Tensor, hr: Tensor) -> np.ndarray:
    """Return the wavelet-domain VIF per image (Sheikh & Bovik, "Image information and visual quality", 2006).

    The information a viewer gets from sr over what hr itself gives, in a steerable pyramid: 1 for equal
    images, 0 when all detail is gone, above 1 for more contrast. On full-range luma; height 4, order 5, two
    orientations a level, 3x3 blocks, neural noise 0.1, equal weight for every subband, as the common Python
    code has it. The 2006 release has noise 0.4 and equal weight for every coefficient: bicubic x8 faces then
    score about 0.11 and not 0.27.

    sr and hr as in `psnr`; a float sr is truncated. Sides of 72 pixels or more, else BadInput. A flat hr holds no
    information: nan.
    """
    restored, original = (gray(x) for x in pair(sr, hr, "truncate"))
    if min(original.shape[-2:]) < 72:  # the smallest for four levels of 9x9 filters
        raise BadInput(f"VIF needs 72x72 pixels or more; these are {original.shape[-1]}x{original.shape[-2]}")
    return np.array([_vif(a, b) for a, b in zip(restored, original)])


def vifp(sr: Tensor, hr: Tensor) -> np.ndarray:
    """Return the pixel-domain VIFp per image by torchmetrics, on full-range luma. Not `vif`: another metric.

    torchmetrics' noise of 2 is meant for values 0 to 255. Fed 0 to 1, the noise drowns the image and the
    score is wrong without looking wrong: 0.28 for 0.16 on a bicubic portrait.
    Arguments as for `vif`; sides of 41 pixels or more.
    """
    from torchmetrics.functional.image import visual_information_fidelity

    sr, hr = (torch.from_numpy(gray(x)).double()[:, None] for x in pair(sr, hr, "truncate"))
    if min(hr.shape[-2:]) < 41:
        raise BadInput(f"VIFp needs 41x41 pixels or more; these are {hr.shape[-1]}x{hr.shape[-2]}")
    return np.array([float(visual_information_fidelity(a[None], b[None])) for a, b in zip(sr, hr)])


def _vif(sr: np.ndarray, hr: np.ndarray) -> float:
    """VIF of two gray images (H, W)."""
    from pyrtools.pyramids import SteerablePyramidSpace

    restored, original = (SteerablePyramidSpace(x.astype(np.float64), height=4,  # type: ignore[arg-type]
                                                order=5, edge_type="reflect1").pyr_coeffs for x in (sr, hr))
    # The window covers about 20 pixels of the image on every level: 17, 9, 5, 3 coefficients, fine to coarse.
    bands = [_band_information(restored[level, orientation], original[level, orientation], window=2 ** (4 - level) + 1)
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
