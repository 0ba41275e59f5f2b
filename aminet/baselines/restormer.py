"""Restormer: S. W. Zamir et al., "Restormer: Efficient Transformer for High-Resolution Image Restoration", CVPR 2022.

A U-net of Transformer blocks whose attention is between channels, so that its cost grows with the pixels and not with
their square. Depthwise convolutions in the attention and in the gated feed-forward see to the neighbourhood.

As described: blocks of `aminet.transformer` (LayerNorm, attention with normalised q and k and a temperature per head;
LayerNorm, feed-forward of 2.66), 4, 6, 6 and 8 of them with 1, 2, 4 and 8 heads at C, 2C, 4C and 8C channels and 128,
64, 32 and 16 pixels; down by 3x3 and space-to-depth, up by 3x3 and PixelShuffle; the encoder's feature is concatenated
and a 1x1 halves the channels, except at 128x128, where the decoder and four refinement blocks stay 2C wide; 3x3
convolutions at both ends, none with a bias, and the input is added to the output.
Read off the published size: C = 32. The paper restores with 48 (26.1 M); "Restormer-M", as tables of face
super-resolution name it, is defined nowhere, and 32 is what fits AMINet's budget.
Chosen by us: PyTorch's initial weights; trained on whole faces of one size, not on growing patches.

Counts at 128x128: 11,739,916 parameters and 17.617 G MACs, 1.544 G of them in the products of attention, which thop
overlooks (11.72 M, 16.07 G); the authors' network at this width has 11.74 M and 17.6 G (thop: 11.72 M, 16.1 G).
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from ..config import Config, bounded
from ..transformer import TransformerBlock

BLOCKS = (4, 6, 6, 8)  # at 128, 64, 32 and 16 pixels
HEADS = (1, 2, 4, 8)
REFINEMENT = 4


@dataclass(frozen=True)
class RestormerConfig(Config):
    """channels: C, the encoder's width at 128x128, and that of its heads."""

    network: ClassVar[str] = "restormer"
    multiple: ClassVar[int] = 8

    channels: int = bounded(32, 2, 1024, multiple=2)

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Channels of the encoder at 128, 64, 32 and 16 pixels."""
        c = self.channels
        return c, 2 * c, 4 * c, 8 * c


def conv(before: int, after: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)


def down(channels: int) -> nn.Sequential:
    """Halve the image. (B, C, H, W) -> (B, 2C, H/2, W/2)."""
    return nn.Sequential(conv(channels, channels // 2), nn.PixelUnshuffle(2))


def up(channels: int) -> nn.Sequential:
    """Double the image. (B, C, H, W) -> (B, C/2, 2H, 2W)."""
    return nn.Sequential(conv(channels, 2 * channels), nn.PixelShuffle(2))


def stage(channels: int, level: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*[TransformerBlock(channels, HEADS[level]) for _ in range(blocks)])


class Restormer(nn.Module):
    """The whole network. The input is the LR face, already enlarged bicubically, and is added at the end.

    Shape: (B, 3, H, W) in [-1, 1] -> (B, 3, H, W); H and W are multiples of 8, else BadInput.
    """

    def __init__(self, config: RestormerConfig = RestormerConfig()):
        super().__init__()
        self.config = config
        w = config.widths
        self.head = conv(3, w[0])
        self.encoders = nn.ModuleList(stage(w[level], level, BLOCKS[level]) for level in range(3))
        self.downs = nn.ModuleList(down(w[level]) for level in range(3))
        self.bottleneck = stage(w[3], 3, BLOCKS[3])
        self.ups = nn.ModuleList(up(w[level + 1]) for level in range(3))
        joined = 2 * w[0], w[1], w[2]  # the decoder's widths
        self.joins = nn.ModuleList([nn.Identity(), conv(2 * w[1], w[1], 1), conv(2 * w[2], w[2], 1)])
        self.decoders = nn.ModuleList(stage(joined[level], level, BLOCKS[level]) for level in range(3))
        self.refinement = stage(joined[0], 0, REFINEMENT)
        self.tail = conv(joined[0], 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.config.check_input(image)
        x, skips = self.head(image), []
        for encoder, shrink in zip(self.encoders, self.downs):
            x = encoder(x)
            skips.append(x)  # (B, C, H, W), (B, 2C, H/2, W/2), (B, 4C, H/4, W/4)
            x = shrink(x)
        x = self.bottleneck(x)  # (B, 8C, H/8, W/8)
        for level in (2, 1, 0):
            x = self.joins[level](torch.cat([self.ups[level](x), skips[level]], dim=1))
            x = self.decoders[level](x)
        return self.tail(self.refinement(x)) + image
