"""SPARNet: C. Chen et al., "Learning Spatial Attention for Face Super-Resolution", IEEE TIP 2021.

An hourglass of residual units (FAUs), each of which draws a map of where the face needs work and multiplies its
feature by it. No prior, no skip between encoder and decoder, and no global skip: the net draws the whole face.

As described: widths 32, 64, 128, 128 at 128, 64, 32, 16 pixels; three FAUs down with attention hourglasses of depth
4, 3, 2, ten at 16x16 of depth 2, three up of depth 3, 4, 5; pre-activation batch norm; nearest-neighbour enlargement.
As in the authors' public code: an FAU shrinks in its second convolution and enlarges in its first; all convolutions of
an hourglass but the last are normalised, and one more lies at its bottom; shortcuts are not. A bias only where no norm
follows; LeakyReLU 0.2, reflection padding. `hd` is their SPARNetHD by their rule for a face of 128 pixels: widths 128,
256, 512, 512; instance norm with a learnt scale and shift; the same hourglasses.
Chosen by us: PyTorch's initial weights; hourglasses 2C wide, 64 as theirs at C = 32, so that `channels` scales all of
it. `hd` has no spectral norm in training: averaged weights would have averaged singular vectors, and were worse.

Counts at 128x128: 10,518,867 parameters and 7.130 G MACs; the authors' network has 10.519 M and 7.13 G. (AMINet's paper
prints 10.6 M in its Table VI, 16.6 M and 7.1 G in its Table X.) With `edff` 12,154,437 parameters, of which the
paper prints 12.1 M, and 10.960 G MACs. With `hd` 83,355,795 parameters, as theirs, and 70.845 G MACs.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import nn

from ..config import Config, added_later, bounded
from ..edff import EDFF

Norm = Callable[[int], nn.Module]  # of so many channels


@dataclass(frozen=True)
class SPARNetConfig(Config):
    """channels: C, the width at 128x128. edff: Table VI's variant, an EDFF at each of three levels. hd: SPARNetHD, four
    times as wide, with instance norm."""

    network: ClassVar[str] = "sparnet"
    multiple: ClassVar[int] = 32  # five halvings: the last hourglass, or three FAUs and the hourglass there
    smallest: ClassVar[int] = 64  # at 32 the smallest feature is one pixel, which has nothing to reflect

    channels: int = bounded(32, 1, 1024)
    edff: bool = False
    hd: bool = added_later(False)

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Channels at 128, 64, 32 and 16 pixels."""
        c = (4 if self.hd else 1) * self.channels
        return c, 2 * c, 4 * c, 4 * c


def conv(before: int, after: int, scale: str = "", bias: bool = True) -> nn.Sequential:
    """3x3 with reflection padding that keeps, halves (`down`) or doubles (`up`) the image."""
    layers = [nn.Upsample(scale_factor=2, mode="nearest")] if scale == "up" else []
    stride = 2 if scale == "down" else 1
    return nn.Sequential(*layers, nn.Conv2d(before, after, 3, stride, padding=1, padding_mode="reflect", bias=bias))


def conv_norm(before: int, after: int, norm: Norm, scale: str = "") -> nn.Sequential:
    """`conv` and its norm, whose shift makes a bias useless."""
    return nn.Sequential(*conv(before, after, scale, bias=False), norm(after))


def conv_norm_act(before: int, after: int, norm: Norm, scale: str = "") -> nn.Sequential:
    return nn.Sequential(*conv_norm(before, after, norm, scale), nn.LeakyReLU(0.2))


def instance_norm(channels: int) -> nn.InstanceNorm2d:
    """SPARNetHD's norm: over each image alone, then a learnt scale and shift."""
    return nn.InstanceNorm2d(channels, affine=True)


class Hourglass(nn.Module):
    """A small U-net of `middle` channels and `depth` halvings, whose skips are sums.

    Args: unit: makes a layer of the channels before and after, and of a scale, as `conv`.
    Shape: (B, channels, H, W) -> (B, middle, H, W); H and W are multiples of 2**depth.
    """

    def __init__(self, channels: int, middle: int, depth: int, unit: Callable[..., nn.Module]):
        super().__init__()
        entering = [channels] + [middle] * (depth - 1)
        self.skip = nn.ModuleList(unit(n, middle) for n in entering)
        self.down = nn.ModuleList(unit(n, middle, scale="down") for n in entering)
        self.bottom = unit(middle, middle)
        self.up = nn.ModuleList(unit(middle, middle, scale="up") for _ in entering)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for skip, down in zip(self.skip, self.down):
            skips.append(skip(x))
            x = down(x)
        x = self.bottom(x)
        for skip, up in zip(reversed(skips), self.up):
            x = skip + up(x)
        return x


class SpatialAttention(Hourglass):
    """The hourglass of an FAU: x * sigmoid(conv(M(x))), with M a `Hourglass`.

    Shape: (B, C, H, W) -> (B, C, H, W); the map is (B, 1, H, W). H and W are multiples of 2**depth.
    """

    def __init__(self, channels: int, middle: int, depth: int, norm: Norm = nn.BatchNorm2d):
        super().__init__(channels, middle, depth, partial(conv_norm_act, norm=norm))
        self.to_map = conv(middle, 1)

    def attention(self, x: torch.Tensor) -> torch.Tensor:
        """The map (B, 1, H, W) in (0, 1)."""
        return self.to_map(super().forward(x)).sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.attention(x)


class FAU(nn.Module):
    """Face attention unit: y = shortcut(x) + F(x) * A(F(x)), F two convolutions behind a norm and an activation.

    Args:
        before, after: channels. middle, depth: of the attention hourglass. scale: ``, `down` or `up`. norm: of
            every convolution but the shortcut's and the map's.

    Shape: (B, before, H, W) -> (B, after, H, W), (B, after, H/2, W/2) or (B, after, 2H, 2W).
    """

    def __init__(self, before: int, after: int, middle: int, depth: int, scale: str = "",
                 norm: Norm = nn.BatchNorm2d):
        super().__init__()
        self.shortcut = conv(before, after, scale) if scale else nn.Identity()
        self.body = nn.Sequential(
            norm(before), nn.LeakyReLU(0.2),
            conv_norm_act(before, after, norm, scale if scale == "up" else ""),
            conv_norm(after, after, norm, scale if scale == "down" else ""),
        )
        self.attention = SpatialAttention(after, middle, depth, norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shortcut(x) + self.attention(self.body(x))


class SPARNet(nn.Module):
    """The whole network. The input is the LR face, already enlarged bicubically.

    Shape: (B, 3, H, W) in [-1, 1] -> (B, 3, H, W); H and W are multiples of 32 from 64 on, else BadInput.
    """

    def __init__(self, config: SPARNetConfig = SPARNetConfig()):
        super().__init__()
        self.config = config
        w, middle = config.widths, 2 * config.channels
        norm = instance_norm if config.hd else nn.BatchNorm2d
        self.head = conv(3, w[0])
        self.encoders = nn.ModuleList(
            FAU(w[level], w[level + 1], middle, depth, "down", norm) for level, depth in enumerate((4, 3, 2)))
        self.bottleneck = nn.Sequential(*[FAU(w[3], w[3], middle, 2, norm=norm) for _ in range(10)])
        self.decoders = nn.ModuleList(
            FAU(w[level + 1], w[level], middle, depth, "up", norm) for level, depth in enumerate((5, 4, 3)))
        self.edffs = nn.ModuleList(EDFF(w[level]) for level in range(3)) if config.edff else None
        self.tail = conv(w[0], 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.config.check_input(image)
        x, skips = self.head(image), []
        for encoder in self.encoders:
            skips.append(x)
            x = encoder(x)
        x = self.bottleneck(x)
        for level in (2, 1, 0):
            x = self.decoders[level](x)
            if self.edffs is not None:
                x = self.edffs[level](skips[level], x)
        return self.config.finish(self.tail(x), image)
