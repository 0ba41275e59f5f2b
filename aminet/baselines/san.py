"""SAN: T. Dai et al., "Second-Order Attention Network for Single Image Super-Resolution", CVPR 2019.

A network of general super-resolution, deep like RCAN: where that gates a channel by its mean, SAN gates it by how it
varies together with all others, from the square root of the covariance matrix of the feature.

As described: 64 channels; twenty groups of ten residual blocks (3x3, ReLU, 3x3, shortcut) around a shortcut, each with
a second-order channel attention at its end (covariance, divided by its trace, five Newton-Schulz steps to the square
root, the trace given back, mean of each row, two layers with reduction 16, sigmoid); the first feature is added behind
each group, times a learned factor that starts at zero; non-local attention within each quarter of the image before and
behind the groups; a long shortcut; PixelShuffle three times two; a 3x3 to RGB.
As in the authors' released network: a group's 3x3 follows its attention; all groups share one factor, both ends one
non-local module, C/8 wide and without a scale, whose last 1x1 starts at zero.
Chosen by us: no biases in its queries, keys and values, as a key's would change nothing; at least four channels between
the two layers of a gate; EPSILON beside the trace; no shift by the data set's mean colour; PyTorch's initial weights.

Counts for one 16x16 face: 15,970,132 parameters and 4.871 G MACs; the authors' network has 16.01 M and 4.89 G. 0.038 M
of theirs lie idle, unseen by thop (15.97 M): a 3x3 and a gate. They centre a feature by a product of matrices, 0.084 G
that their count has, while it seems to lack the 0.063 G of the square roots.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from ..config import bounded
from .rcan import RCANConfig, conv, enlarge

STEPS = 5  # of Newton-Schulz
EPSILON = 1e-6  # added to traces, so that a constant feature has finite slopes; those of faces are of order 1


@dataclass(frozen=True)
class SANConfig(RCANConfig):
    """channels: C. groups: residual groups; blocks: residual blocks in each."""

    network: ClassVar[str] = "san"
    multiple: ClassVar[int] = 2  # quarters of the image

    groups: int = bounded(20, 1, 20)
    blocks: int = bounded(10, 1, 20)


def square_root(matrix: torch.Tensor) -> torch.Tensor:
    """About the square root of symmetric matrices without negative eigenvalues, by Newton-Schulz.

    Y <- Y T and Z <- T Z with T = (3 - Z Y) / 2, from Y = M / tr M and Z = 1, lead to the roots of M / tr M and of its
    inverse; small eigenvalues come out too small, by 1.5 a step at most, so that all slopes are finite.
    Shape: (B, C, C) -> (B, C, C), float32 at least.
    """
    with torch.autocast("cpu" if matrix.is_meta else matrix.device.type, enabled=False):
        matrix = matrix.to(torch.promote_types(matrix.dtype, torch.float32))
        trace = matrix.diagonal(dim1=1, dim2=2).sum(dim=1)[:, None, None] + EPSILON
        y, three = matrix / trace, 3 * torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
        z = (three - y) / 2
        y = y @ z
        for _ in range(STEPS - 2):
            t = (three - z @ y) / 2
            y, z = y @ t, t @ z
        return y @ (three - z @ y) * (trace.sqrt() / 2)  # the last step, without its Z


def covariance(x: torch.Tensor) -> torch.Tensor:
    """Of the channels over the pixels. Shape: (B, C, H, W) -> (B, C, C), float32 at least."""
    with torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False):
        x = x.flatten(2).to(torch.promote_types(x.dtype, torch.float32))
        x = x - x.mean(dim=2, keepdim=True)
        return x @ x.mT / x.shape[2]


class SecondOrderAttention(nn.Module):
    """SOCA: x * sigmoid(W2 relu(W1 z)), z the mean of each row of the covariance's root.

    Shape: (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int):
        super().__init__()
        middle = max(4, channels // 16)
        self.gate = nn.Sequential(nn.Conv2d(channels, middle, 1), nn.ReLU(), nn.Conv2d(middle, channels, 1),
                                  nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = square_root(covariance(x)).mean(dim=2)[..., None, None]  # (B, C, 1, 1)
        return x * self.gate(rows.to(x.dtype))


class NonLocal(nn.Module):
    """y = x + W softmax(Q K^T) V over the pixels of each quarter of the image, C/8 channels wide.

    Shape: (B, C, H, W) -> (B, C, H, W), H and W even.
    """

    def __init__(self, channels: int):
        super().__init__()
        middle = max(1, channels // 8)
        self.qkv = nn.Conv2d(channels, 3 * middle, 1, bias=False)
        self.project = nn.Conv2d(middle, channels, 1)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, _, h, w = x.shape
        y = self.qkv(x).reshape(b, 3, -1, 2, h // 2, 2, w // 2).permute(1, 0, 3, 5, 4, 6, 2)
        q, k, v = y.reshape(3, b, 4, h * w // 4, -1)  # each (B, 4, H W / 4, C/8)
        y = (q @ k.mT).softmax(dim=-1) @ v
        y = y.reshape(b, 2, 2, h // 2, w // 2, -1).permute(0, 5, 1, 3, 2, 4).reshape(b, -1, h, w)
        return x + self.project(y)


class ResidualBlock(nn.Module):
    """y = x + F(x), F two 3x3 and a ReLU between them. Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(conv(channels, channels), nn.ReLU(), conv(channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class ResidualGroup(nn.Module):
    """LSRAG: residual blocks, attention and a 3x3 around a shortcut. Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, blocks: int):
        super().__init__()
        self.body = nn.Sequential(*[ResidualBlock(channels) for _ in range(blocks)],
                                  SecondOrderAttention(channels), conv(channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class SAN(nn.Module):
    """The whole network.

    Shape: (B, 3, H, W) in [-1, 1], LR faces -> (B, 3, 8H, 8W); H and W are multiples of 2, else BadInput.
    """

    def __init__(self, config: SANConfig = SANConfig()):
        super().__init__()
        self.config, c = config, config.channels
        self.head = conv(3, c)
        self.non_local = NonLocal(c)
        self.groups = nn.ModuleList(ResidualGroup(c, config.blocks) for _ in range(config.groups))
        self.gamma = nn.Parameter(torch.zeros(1))
        self.tail = enlarge(c)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.config.check_input(image)
        x = self.head(image)
        y = source = self.non_local(x)
        for group in self.groups:
            y = group(y) + self.gamma * source
        return self.config.finish(self.tail(x + self.non_local(y)), image)
