"""RCAN: Y. Zhang et al., "Image Super-Resolution Using Very Deep Residual Channel Attention Networks", ECCV 2018.

A network of general super-resolution: 400 convolutions on the LR face itself, with shortcuts around blocks, groups and
the whole, so that depth goes to what is new; in each block a gate per channel, from the channel's mean.

As described: 64 channels; ten groups of twenty blocks (3x3, ReLU, 3x3, channel attention with reduction 16, shortcut)
and a 3x3; a long shortcut; PixelShuffle three times two; a 3x3 to RGB.
Chosen by us: no shift by the data set's mean colour, as our faces lie in [-1, 1]; PyTorch's initial weights; at least
four channels between the two 1x1 of a gate, the 64 / 16 of the full width, since one alone is dead as often as not.

Counts at 128x128, from 16x16: 15,740,067 parameters and 4.700 G MACs; the authors' network has 15.74 M and 4.70 G, as
thop counts it too.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from ..config import Config, bounded


@dataclass(frozen=True)
class RCANConfig(Config):
    """channels: C. groups: residual groups; blocks: residual blocks in each."""

    network: ClassVar[str] = "rcan"
    enlarged: ClassVar[bool] = False

    channels: int = bounded(64, 1, 1024)
    groups: int = bounded(10, 1, 20)
    blocks: int = bounded(20, 1, 20)


def conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)


def enlarge(channels: int) -> nn.Sequential:
    """Eight times as large, then RGB. (B, C, H, W) -> (B, 3, 8H, 8W)."""
    steps = [layer for _ in range(3) for layer in (conv(channels, 4 * channels), nn.PixelShuffle(2))]
    return nn.Sequential(*steps, conv(channels, 3))


class ChannelAttention(nn.Module):
    """x * sigmoid(W2 relu(W1 mean(x))): a gate for each channel. Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        middle = max(4, channels // 16)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, middle, 1), nn.ReLU(),
                                  nn.Conv2d(middle, channels, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gate(x)


class RCAB(nn.Module):
    """Residual channel attention block. Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(conv(channels, channels), nn.ReLU(), conv(channels, channels),
                                  ChannelAttention(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class ResidualGroup(nn.Module):
    """RCABs and a 3x3 around a shortcut. Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, blocks: int):
        super().__init__()
        self.body = nn.Sequential(*[RCAB(channels) for _ in range(blocks)], conv(channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class RCAN(nn.Module):
    """The whole network. Shape: (B, 3, H, W) in [-1, 1], LR faces -> (B, 3, 8H, 8W)."""

    def __init__(self, config: RCANConfig = RCANConfig()):
        super().__init__()
        self.config, c = config, config.channels
        self.head = conv(3, c)
        self.groups = nn.Sequential(*[ResidualGroup(c, config.blocks) for _ in range(config.groups)])
        self.last = conv(c, c)
        self.tail = enlarge(c)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.config.check_input(image)
        x = self.head(image)
        return self.config.finish(self.tail(x + self.last(self.groups(x))), image)
