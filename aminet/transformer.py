"""The serial Transformer that the paper compares LGFI with (Fig. 6, Tables II and III), after Restormer."""
from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .sa import SelfAttention


class LayerNorm(nn.Module):
    """Layer normalisation over the channels of every pixel. Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 2, 3, 1)  # a view, and a contiguous one in channels_last
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias).permute(0, 3, 1, 2)


class FeedForward(nn.Module):
    """Restormer's gated feed-forward: 1x1, depthwise 3x3, GELU(a) * b, 1x1. Shape: (B, C, H, W) -> the same."""

    def __init__(self, channels: int, expansion: float = 2.66):
        super().__init__()
        hidden = int(channels * expansion)
        self.expand = nn.Conv2d(channels, 2 * hidden, 1, bias=False)
        self.depthwise = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.project = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = self.depthwise(self.expand(x)).chunk(2, dim=1)
        return self.project(F.gelu(a) * b)


class TransformerBlock(nn.Module):
    """Attention, then feed-forward, each with its LayerNorm and shortcut. Shape: (B, C, H, W) -> the same."""

    def __init__(self, channels: int, heads: int, scale: str = "temperature", expansion: float = 2.66):
        super().__init__()
        self.norm1, self.norm2 = LayerNorm(channels), LayerNorm(channels)
        self.sa = SelfAttention(channels, heads, scale)
        self.ffn = FeedForward(channels, expansion)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.sa(self.norm1(x))
        return x + self.ffn(self.norm2(x))
