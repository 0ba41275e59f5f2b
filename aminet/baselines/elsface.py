"""ELSFace: H. Qi et al., "An Efficient Latent Style Guided Transformer-CNN Framework for Face Super-Resolution", IEEE
TMM 2023.

Two streams share the work: convolutions restore texture, a Swin Transformer followed by high-frequency blocks restores
contours. Before they part, a vector drawn from the face, its latent style, scales the channels of either.

As described: a convolution and three residual blocks, 120 channels, on the LR face; a style encoder beside them;
features doubled bilinearly and halved by channels, each half scaled by its style. The CNN stream runs its one module
twice, the Transformer stream its one RSTB three times, with the same weights. A HFEB keeps what averaging over 2x2 and
PixelShuffle cannot bring back. The streams are summed and enlarged. Loss: L1 + 0.05 sharp loss, no prior.
As in the authors' released network, which is x4: 3x3 and two residual blocks of 5x5 in the CNN stream; one Swin block
of window 8, 6 heads and an MLP 2x wide in the RSTB, LayerNorm before and after the three runs, a 3x3; four times a HFEB
of two 5x5 and five residual blocks of 5x5 inside a shortcut; the style encoder's pairs of 3x3 with LeakyReLU 0.2 at
every size down to 4x4, one more and a linear layer; ReLU elsewhere. No norm, no global skip. The sharp loss is the L1
between both images sharpened by an unsharp mask, y + 0.5 (y - blur(y)), blur a Gaussian of 51x51, sigma 8.
Read off the published size: two steps of 3x3 and PixelShuffle 2 on 32x32 for x8; the style encoder starts at 16x16.
Chosen by us: a face that is not 16x16 has its style feature averaged to 4x4; as many heads as divide the channels, 6 at
most; PyTorch's initial weights, Swin's in the RSTB, but styles start near 1, so that they do not silence the streams.

Counts at 128x128, from 16x16: 6,685,653 parameters and 6.509 G MACs, 0.024 G of them in the products of attention; the
authors' network has 6.69 M and 6.51 G, thop counts 6.68 M and 6.49 G for either. AMINet's Table X prints 6.8 M and
10.6 G.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..config import Config, bounded
from ..transformer import LayerNorm
from .swinir import Group

BLUR, SIGMA = 51, 8.0  # of the unsharp mask, in pixels
SHARP = 0.05  # weight of the sharp loss


@dataclass(frozen=True)
class ELSFaceConfig(Config):
    """channels: of the LR feature; either stream has half of them."""

    network: ClassVar[str] = "elsface"
    enlarged: ClassVar[bool] = False
    multiple: ClassVar[int] = 4  # doubled, then windows of 8

    channels: int = bounded(120, 2, 1024, multiple=2)


def conv(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel, stride, padding=kernel // 2)


def pair(channels: int, kernel: int) -> nn.Sequential:
    """Convolution, ReLU, convolution. (B, C, H, W) -> the same."""
    return nn.Sequential(conv(channels, channels, kernel), nn.ReLU(), conv(channels, channels, kernel))


def double(channels: int) -> nn.Sequential:
    """(B, C, H, W) -> (B, C, 2H, 2W)."""
    return nn.Sequential(conv(channels, 4 * channels), nn.PixelShuffle(2))


class Residual(nn.Module):
    """x + body(x)."""

    def __init__(self, *body: nn.Module):
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class StyleEncoder(nn.Module):
    """A scale for every channel of either stream. (B, 3, H, W) -> two of (B, C, 1, 1)."""

    def __init__(self, channels: int):
        super().__init__()
        strides = 1, 1, 2, 1, 2, 1, 1  # 16x16 -> 4x4
        layers = [layer for i, stride in enumerate(strides)
                  for layer in (conv(channels if i else 3, channels, 3, stride), nn.LeakyReLU(0.2))]
        self.layers = nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * channels, 2 * channels))
        nn.init.ones_(self.layers[-1].bias)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.layers(image)[:, :, None, None].chunk(2, dim=1)


class HFEB(nn.Module):
    """High-frequency enhancement: y - up(mean over 2x2 of y), y = F(x). Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.body, self.up = pair(channels, 5), double(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        return y - self.up(F.avg_pool2d(y, 2))


def blurring(n: int, device: torch.device) -> torch.Tensor:
    """A Gaussian over BLUR pixels, reflected at the ends, as a matrix. (n, n), columns summing to one; n above 25."""
    reach = BLUR // 2
    weights = (-(torch.arange(-reach, reach + 1, device=device) ** 2) / (2 * SIGMA**2)).softmax(dim=0)
    pixels = F.pad(torch.eye(n, device=device)[None], (reach, reach), mode="reflect")[0]
    return (pixels.unfold(1, BLUR, 1) * weights).sum(-1)


def blur(image: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) -> the same. Two products: a convolution of this size is slow in half precision on a CPU."""
    rows, columns = (blurring(n, image.device) for n in image.shape[2:])
    return rows.T @ image @ columns


def sharpened(image: torch.Tensor) -> torch.Tensor:
    """An image and half of what a blur takes from it: the unsharp mask. Linear. (B, C, H, W) -> the same."""
    return image + 0.5 * (image - blur(image))


class ELSFace(nn.Module):
    """The whole network. The input is the LR face.

    Shape: (B, 3, H, W) in [-1, 1] -> (B, 3, 8H, 8W); H and W are multiples of 4, else BadInput.
    """

    def __init__(self, config: ELSFaceConfig = ELSFaceConfig()):
        super().__init__()
        self.config = config
        c, half = config.channels, config.channels // 2
        self.head = nn.Sequential(conv(3, c), *[Residual(pair(c, 3)) for _ in range(3)])
        self.styles = StyleEncoder(half)
        self.cnn = nn.Sequential(conv(half, half), *[Residual(pair(half, 5)) for _ in range(2)])
        self.norm1, self.rstb, self.norm2 = LayerNorm(half), Group(half, 1), LayerNorm(half)
        self.after = conv(half, half)
        self.details = nn.Sequential(*[layer for _ in range(4) for layer in (
            HFEB(half), Residual(*[Residual(pair(half, 5)) for _ in range(5)]))])
        self.tail = nn.Sequential(double(half), double(half), conv(half, 3))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.config.check_input(image)
        x = F.interpolate(self.head(image), scale_factor=2, mode="bilinear")
        texture, contour = (half * style for half, style in zip(x.chunk(2, dim=1), self.styles(image)))
        for _ in range(2):
            texture = self.cnn(texture)
        contour = self.norm1(contour)
        for _ in range(3):
            contour = self.rstb(contour)
        contour = self.details(self.after(self.norm2(contour)))
        return self.config.finish(self.tail(texture + contour), image)

    def loss(self, image: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """L1 + 0.05 sharp loss, and both alone. target: (B, 3, 8H, 8W) in [-1, 1]."""
        error = self(image) - target
        pixel, sharp = error.abs().mean(), sharpened(error).abs().mean()  # sharpened(y) - sharpened(target)
        return pixel + SHARP * sharp, {"pixel": pixel, "sharp": sharp}
