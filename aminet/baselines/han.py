"""HAN: B. Niu et al., "Single Image Super-Resolution via a Holistic Attention Network", ECCV 2020.

RCAN, whose ten groups also look at each other: layer attention weighs the groups' outputs by how they resemble one
another, and channel-spatial attention gates the last one by a 3x3x3 convolution across channels and pixels.

As described: RCAN's groups; a correlation matrix of the flattened outputs, softmax over the groups; a 3x3x3 convolution
of one channel, sigmoid; both scaled by a learned factor that starts at zero, and added; PixelShuffle; a 3x3 to RGB.
As in the authors' released network: the 3x3 behind the groups counts as an eleventh of the layers; those that are least
alike weigh most; a 3x3 from 11 C to C joins the weighted layers, and one from 2 C to C these with the gated feature.
Chosen by us: correlations in float32, also under autocast, as they reach tens of thousands; the 3x3x3 written as a 3x3
on three neighbouring channels, the same sum, since channels_last knows no volumes; PyTorch's initial weights.

Counts at 128x128, from 16x16: 16,219,457 parameters and 4.827 G MACs, 0.004 G of them in the products of layer
attention; the authors' network has 16.22 M and 4.83 G, as thop counts it too.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from .rcan import RCANConfig, ResidualGroup, conv, enlarge


@dataclass(frozen=True)
class HANConfig(RCANConfig):
    """As RCAN's."""

    network: ClassVar[str] = "han"


class LayerAttention(nn.Module):
    """y = x + gamma softmax(-x x^T) x over the layers, x their flattened features.

    Shape: (B, L, C, H, W) -> (B, L C, H, W).
    """

    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def weights(self, x: torch.Tensor) -> torch.Tensor:
        """How much each layer takes of each: (B, L, N) -> float32 (B, L, L), rows that sum to 1."""
        with torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False):
            return (-(x.float() @ x.float().mT)).softmax(dim=-1)

    def forward(self, layers: torch.Tensor) -> torch.Tensor:
        x = layers.flatten(2)
        return (x + self.gamma * (self.weights(x).to(x.dtype) @ x)).reshape(layers.shape).flatten(1, 2)


class ChannelSpatialAttention(nn.Module):
    """y = x + gamma x sigmoid(V(x)), V a 3x3x3 over channels, rows and columns. (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self):
        super().__init__()
        self.volume = nn.Conv2d(3, 1, 3, padding=1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def gate(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) in (0, 1): each channel's from itself and its two neighbours, the same for all."""
        padded = F.pad(x, (0, 0, 0, 0, 1, 1))
        threes = torch.stack([padded[:, :-2], x, padded[:, 2:]], dim=2)  # (B, C, 3, H, W)
        return self.volume(threes.flatten(0, 1)).reshape(x.shape).sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.gamma * x * self.gate(x)


class HAN(nn.Module):
    """The whole network. Shape: (B, 3, H, W) in [-1, 1], LR faces -> (B, 3, 8H, 8W)."""

    def __init__(self, config: HANConfig = HANConfig()):
        super().__init__()
        self.config, c = config, config.channels
        self.head = conv(3, c)
        self.groups = nn.ModuleList(ResidualGroup(c, config.blocks) for _ in range(config.groups))
        self.last = conv(c, c)
        self.layer_attention, self.channel_spatial = LayerAttention(), ChannelSpatialAttention()
        self.join_layers, self.join = conv((config.groups + 1) * c, c), conv(2 * c, c)
        self.tail = enlarge(c)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.config.check_input(image)
        x = y = self.head(image)
        outputs = []
        for group in self.groups:
            y = group(y)
            outputs.append(y)
        y = self.last(y)
        weighed = self.join_layers(self.layer_attention(torch.stack([*outputs, y], dim=1)))
        return self.config.finish(self.tail(x + self.join(torch.cat([weighed, self.channel_spatial(y)], dim=1))), image)
