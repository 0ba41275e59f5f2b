"""SCTANet: Q. Bao et al., "SCTANet: A Spatial Attention-Guided CNN-Transformer Aggregation Network for Deep Face Image
Super-Resolution", IEEE TMM 2023.

Two branches in each block of a chain on the LR face: attention in windows, guided by a mask of where the face needs
work, and convolutions with channel attention. MLPs that look along rows and columns enlarge the face.

As described: 180 channels; four groups of six blocks and a 3x3, and a long shortcut; in a block thirds of the channels
pass depthwise 3x3, 5x5 and 7x7, each with 1x1, batch norm and Hardswish, then a norm and attention in windows of 8x8,
shifted in every second block, its values multiplied by the mask; an RCAB on the block's input; a 1x1 joins both, and
an MLP of twice the width follows, each with a shortcut; three CycleMLP blocks of 180 -> 720 channels, each before a
PixelShuffle of 2; a 3x3 to RGB, added to the bicubic face.
Read off the published size: the mask is m + m * sigmoid(depthwise5(conv1(m))) with m a 1x1 of the feature; a 3x3 ends
the chain of groups; a decoder's MLP goes 180 -> 720 -> 720; position biases in 6 heads.
Chosen by us: mask and values come from the same normed feature; no bias where a batch norm follows; RCAB reduces to a
sixteenth, 8 at least; CycleMLP (Chen et al., ICLR 2022) with the steps of its released code, 1x3 and 3x1 beside a 1x1,
weighed per channel by a softmax over the three; no shortcut around the decoder's MLP, which widens; as many heads as
divide `channels`, 6 at most; Swin's initial weights in the 1x1s that join and in the MLPs, zeros in the last 3x3, else
PyTorch's (with these everywhere our short training learnt nothing).

Counts at 128x128, from 16x16: 27,937,482 parameters and 10.873 G MACs, 0.142 G of them in the products of attention;
the authors' network has 27.94 M and 10.87 G. AMINet's paper prints 27.7 M and 10.4 G, which are thop's: it overlooks
those products, the position biases and, to judge by the difference, the authors' 1x3 and 3x1 (0.2 M and 0.35 G).
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..config import Config, bounded
from ..transformer import LayerNorm
from .swinir import WINDOW, WindowAttention, conv, linear, mlp

STEPS = 3  # how many pixels a CycleFC sees


@dataclass(frozen=True)
class SCTANetConfig(Config):
    """channels: C, the width everywhere. groups: residual groups. blocks: blocks in each."""

    network: ClassVar[str] = "sctanet"
    multiple: ClassVar[int] = WINDOW
    enlarged: ClassVar[bool] = False
    adds: ClassVar[str] = "bicubic"

    channels: int = bounded(180, 8, 1024)
    groups: int = bounded(4, 1, 20)
    blocks: int = bounded(6, 1, 20)


class MultiScale(nn.Module):
    """Thirds of the channels, each seen at its own scale. Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.scales = nn.ModuleList(nn.Sequential(
            nn.Conv2d(n, n, kernel, padding=kernel // 2, groups=n, bias=False), nn.Conv2d(n, n, 1, bias=False),
            nn.BatchNorm2d(n), nn.Hardswish(),
        ) for n, kernel in zip(((channels + 2) // 3, (channels + 1) // 3, channels // 3), (3, 5, 7)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([scale(part) for scale, part in zip(self.scales, x.tensor_split(3, dim=1))], dim=1)


class Mask(nn.Module):
    """Where the face needs work: m + m * sigmoid(D(m)), m a 1x1 of the feature. Shape: (B, C, H, W) -> the same."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 1)
        self.gate = nn.Sequential(nn.Conv2d(channels, channels, 1),
                                  nn.Conv2d(channels, channels, 5, padding=2, groups=channels), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        m = self.first(x)
        return m + m * self.gate(m)


class RCAB(nn.Module):
    """RCAN's block: x + y * sigmoid(MLP(mean of y)), y = conv(relu(conv(x))). Shape: (B, C, H, W) -> the same."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(8, channels // 16)
        self.body = nn.Sequential(conv(channels, channels), nn.ReLU(), conv(channels, channels))
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, hidden, 1), nn.ReLU(),
                                  nn.Conv2d(hidden, channels, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        return x + y * self.gate(y)


class Block(nn.Module):
    """Attention guided by a mask beside an RCAB, then an MLP. Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, shift: bool):
        super().__init__()
        self.scales = nn.Sequential(MultiScale(channels), LayerNorm(channels))
        self.mask, self.attention = Mask(channels), WindowAttention(channels, shift)
        self.local = RCAB(channels)
        self.mix = linear(2 * channels, channels)
        self.mlp = nn.Sequential(LayerNorm(channels), mlp(channels, 2 * channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.scales(x)
        x = x + self.mix(torch.cat([self.attention(y, self.mask(y)), self.local(x)], dim=1))
        return x + self.mlp(x)


class Group(nn.Module):
    """Blocks, windows shifted in every second, and a 3x3 around a shortcut. Shape: (B, C, H, W) -> the same."""

    def __init__(self, channels: int, blocks: int):
        super().__init__()
        self.body = nn.Sequential(*[Block(channels, i % 2 == 1) for i in range(blocks)], conv(channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class CycleFC(nn.Module):
    """A 1x1 whose channels look at different pixels: every third channel at the same of three neighbours.

    along: 2 for three pixels of a column, 3 of a row. Shape: (B, C, H, W) -> (B, C, H, W), zeros beyond the border.
    """

    def __init__(self, channels: int, along: int):
        super().__init__()
        self.along = along
        self.mix = linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, half = x.shape[self.along], STEPS // 2
        padded = F.pad(x, (0, 0, half, half) if self.along == 2 else (half, half))
        # Channels are regrouped by their step, which only renames the inputs of the 1x1.
        return self.mix(torch.cat([padded[:, step::STEPS].narrow(self.along, step, n) for step in range(STEPS)], dim=1))


class CycleMLP(nn.Module):
    """Column, row and pixel, weighed per channel by a softmax over the three. Shape: (B, C, H, W) -> the same."""

    def __init__(self, channels: int):
        super().__init__()
        self.looks = nn.ModuleList(
            [CycleFC(channels, 2), CycleFC(channels, 3), linear(channels, channels, bias=False)])
        self.weigh = mlp(channels, channels // 4, 3 * channels)
        self.project = linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        looks = torch.stack([look(x) for look in self.looks], dim=1)  # (B, 3, C, H, W)
        weights = self.weigh(looks.sum(dim=1).mean((2, 3), keepdim=True))
        weights = weights.unflatten(1, (3, x.shape[1])).softmax(dim=1)  # (B, 3, C, 1, 1)
        return self.project((looks * weights).sum(dim=1))


class Double(nn.Module):
    """The decoder's step: x + CycleMLP(norm(x)), then norm, an MLP to 4C and PixelShuffle.

    Shape: (B, C, H, W) -> (B, C, 2H, 2W).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.look = nn.Sequential(LayerNorm(channels), CycleMLP(channels))
        self.widen = nn.Sequential(LayerNorm(channels), mlp(channels, 4 * channels, 4 * channels), nn.PixelShuffle(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.widen(x + self.look(x))


class SCTANet(nn.Module):
    """The whole network. The input is the LR face itself; enlarged bicubically it is added at the end.

    Shape: (B, 3, H, W) in [-1, 1] -> (B, 3, 8H, 8W); H and W are multiples of 8, else BadInput.
    """

    def __init__(self, config: SCTANetConfig = SCTANetConfig()):
        super().__init__()
        self.config = config
        c = config.channels
        self.head = conv(3, c)
        self.body = nn.Sequential(*[Group(c, config.blocks) for _ in range(config.groups)], conv(c, c))
        self.tail = nn.Sequential(*[Double(c) for _ in range(3)], conv(c, 3))
        nn.init.zeros_(self.tail[-1].weight)
        nn.init.zeros_(self.tail[-1].bias)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.config.check_input(image)
        x = self.head(image)
        return self.config.finish(self.tail(x + self.body(x)), image)
