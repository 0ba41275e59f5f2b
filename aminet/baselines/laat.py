"""LAAT: G. Li et al., "Learning Attention from Attention: Efficient Self-Refinement Transformer for Face
Super-Resolution", IJCAI 2023.

A U-net of Transformers on the enlarged face. Attention between coarse regions draws the face roughly, its scores say
which regions matter, and a second attention refines these alone. Wavelet bands of the encoder skip to the decoder.

From the description: the authors announce code and have published a figure, so nothing here could be compared with it.
Known: a convolution and LeakyReLU to C channels; stages of two blocks (norm, RSA, sum, norm, MLP, sum) with C, 2C, 4C
and 8C channels at 128, 64, 32 and 16 pixels and with 8C at the bottleneck, which is joined to the encoder's last
feature; stages of 16C, 8C, 4C and 2C on the way up; a convolution and LeakyReLU to RGB, added to the input. Of an
encoder's Haar transform LL, LH and HL pass a 3x3 and meet the decoder's feature: half of it serves as their HH in the
inverse transform, the other half is enlarged, a 1x1 joins both. The FIM has a local and a channel branch.
Chosen by us: C = 32; a fine token is 4x4, 2x2, 1 and 1 pixels, a region 2x2 fine tokens; either attention has
projections of its own, and C channels in a head; a quarter of the regions is refined, those that receive the most
attention, all of their tokens with each other; the FIM beside RSA, in two branches (depthwise 3x3, then channel gate;
the same in the other order) that are summed; MLPs 2x wide; 2x2 strides down; bilinear enlargement; LeakyReLU 0.2;
PyTorch's initial weights, a fifth of them where a branch of a block ends.

Counts at 128x128: 23,505,771 parameters and 8.812 G MACs, 0.386 G of them in the products of attention, which thop
overlooks (8.439 G); AMINet's Table X prints 22.4 M and 8.9 G for the authors' network: +4.9 % and -1.0 %.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..config import Config, bounded
from ..transformer import LayerNorm

PATCHES = (4, 2, 1, 1)  # side of a fine token in pixels, at 128, 64, 32 and 16 pixels


@dataclass(frozen=True)
class LAATConfig(Config):
    """channels: C, the encoder's width at 128x128 and the width of every head."""

    network: ClassVar[str] = "laat"
    multiple: ClassVar[int] = 16  # three halvings, then regions of 2x2 tokens

    channels: int = bounded(32, 1, 1024)


def haar(bands: list[torch.Tensor]) -> list[torch.Tensor]:
    """The orthonormal Haar transform between the pixels of 2x2 squares and LL, LH, HL, HH: it is its own inverse."""
    a, b, c, d = bands
    return [(a + b + c + d) / 2, (a - b + c - d) / 2, (a + b - c - d) / 2, (a - b - c + d) / 2]


def split(x: torch.Tensor) -> list[torch.Tensor]:
    """The four pixels of every 2x2 square, row by row. (B, C, H, W) -> four of (B, C, H/2, W/2)."""
    b, c, height, width = x.shape
    return list(F.pixel_unshuffle(x, 2).reshape(b, c, 4, height // 2, width // 2).unbind(2))


def join(pixels: list[torch.Tensor]) -> torch.Tensor:
    """The image that `split` took apart. Four of (B, C, H, W) -> (B, C, 2H, 2W)."""
    return F.pixel_shuffle(torch.stack(pixels, dim=2).flatten(1, 2), 2)


def attend(qkv: torch.Tensor, heads: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention between N tokens. (B, 3C, N) -> (B, C, N) and its weights (B, heads, N, N), whose rows sum to one."""
    b, c, n = qkv.shape
    q, k, v = qkv.reshape(b, 3, heads, c // 3 // heads, n).unbind(1)
    weights = (q.transpose(-2, -1) @ k / q.shape[2] ** 0.5).softmax(dim=-1)
    return (v @ weights.transpose(-2, -1)).reshape(b, c // 3, n), weights


class RSA(nn.Module):
    """Region selection attention: all regions coarsely, then the fine tokens of the key regions with each other.

    The choice of regions has no gradient; the coarse attention learns from what it draws itself.
    Args: channels: C. heads: divides C. patch: side of a fine token in pixels.
    Shape: (B, C, H, W) -> (B, C, H, W); H and W are multiples of 2 * patch.
    """

    def __init__(self, channels: int, heads: int, patch: int):
        super().__init__()
        self.heads = heads
        self.embed = nn.Conv2d(channels, channels, patch, patch) if patch > 1 else nn.Identity()
        self.coarse = nn.Conv2d(channels, 3 * channels, 2, 2, bias=False)
        self.fine = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.project = nn.Sequential(nn.Conv2d(channels, patch**2 * channels, 1), nn.PixelShuffle(patch))

    @staticmethod
    def select(weights: torch.Tensor) -> torch.Tensor:
        """The quarter of the R regions that receives the most attention. (B, heads, R, R) -> indices (B, R/4)."""
        received = weights.float().mean((1, 2))
        return received.topk(max(1, received.shape[1] // 4)).indices

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(x)
        b, c, height, width = tokens.shape
        drawn, weights = attend(self.coarse(tokens).flatten(2), self.heads)  # (B, C, R)
        keys = self.select(weights)[:, None, None]  # (B, 1, 1, K)
        fine = F.pixel_unshuffle(self.fine(tokens), 2).reshape(b, 3 * c, 4, -1).gather(3, keys.expand(-1, 3 * c, 4, -1))
        refined, _ = attend(fine.flatten(2), self.heads)  # (B, C, 4K)
        y = drawn[:, :, None].expand(-1, -1, 4, -1)  # every token of a region starts from the same
        y = y.scatter_add(3, keys.expand(-1, c, 4, -1), refined.reshape(b, c, 4, -1))
        return self.project(F.pixel_shuffle(y.reshape(b, 4 * c, height // 2, width // 2), 2))


class ChannelGate(nn.Module):
    """x * sigmoid(MLP(mean of x)), a weight for every channel. Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(1, channels // 16)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, hidden, 1), nn.LeakyReLU(0.2),
                                  nn.Conv2d(hidden, channels, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gate(x)


class FIM(nn.Module):
    """Feature integration: neighbours then channels, channels then neighbours, summed. (B, C, H, W) -> the same."""

    def __init__(self, channels: int):
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3, padding=1, groups=channels) for _ in range(2))
        self.local_first = nn.Sequential(first, ChannelGate(channels))
        self.channel_first = nn.Sequential(ChannelGate(channels), second)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.project(self.local_first(x) + self.channel_first(x))


class Block(nn.Module):
    """RSA beside FIM, then an MLP, each with its LayerNorm and shortcut. Shape: (B, C, H, W) -> the same."""

    def __init__(self, channels: int, heads: int, patch: int):
        super().__init__()
        self.norm1, self.norm2 = LayerNorm(channels), LayerNorm(channels)
        self.rsa, self.fim = RSA(channels, heads, patch), FIM(channels)
        self.mlp = nn.Sequential(nn.Conv2d(channels, 2 * channels, 1), nn.GELU(), nn.Conv2d(2 * channels, channels, 1))
        with torch.no_grad():  # 18 blocks of three branches each would drown the face before the first step
            for last in (self.rsa.project[0], self.fim.project, self.mlp[-1]):
                last.weight.mul_(0.2)
                last.bias.mul_(0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = self.norm1(x)
        x = x + self.rsa(normed) + self.fim(normed)
        return x + self.mlp(self.norm2(x))


class WaveletFusion(nn.Module):
    """The decoder's feature, doubled with the help of an encoder's three low bands.

    channels: C of the encoder, whose feature is twice as large.
    Shape: (B, C, 2H, 2W) and (B, 4C, H, W) -> (B, 2C, 2H, 2W).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.bands = nn.ModuleList(nn.Conv2d(channels, 2 * channels, 3, padding=1) for _ in range(3))
        self.mix = nn.Conv2d(4 * channels, 2 * channels, 1)

    def forward(self, skip: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        detail, rest = x.chunk(2, dim=1)
        bands = [conv(band) for conv, band in zip(self.bands, haar(split(skip)))]  # HH stays behind
        enlarged = F.interpolate(rest, scale_factor=2, mode="bilinear")
        return self.mix(torch.cat([join(haar([*bands, detail])), enlarged], dim=1))


class LAAT(nn.Module):
    """The whole network. The input is the LR face, already enlarged bicubically, and is added at the end.

    Shape: (B, 3, H, W) in [-1, 1] -> (B, 3, H, W); H and W are multiples of 16, else BadInput.
    """

    def __init__(self, config: LAATConfig = LAATConfig()):
        super().__init__()
        self.config = config
        c = config.channels
        widths = c, 2 * c, 4 * c, 8 * c

        def stage(width: int, level: int) -> nn.Sequential:
            return nn.Sequential(*[Block(width, width // c, PATCHES[level]) for _ in range(2)])

        self.head = nn.Sequential(nn.Conv2d(3, c, 3, padding=1), nn.LeakyReLU(0.2))
        self.encoders = nn.ModuleList(stage(width, level) for level, width in enumerate(widths))
        self.downs = nn.ModuleList(nn.Conv2d(width, 2 * width, 2, 2) for width in widths[:3])
        self.bottleneck = stage(widths[3], 3)
        self.decoders = nn.ModuleList(stage(2 * width, level) for level, width in enumerate(widths))
        self.fusions = nn.ModuleList(WaveletFusion(width) for width in widths[:3])
        self.tail = nn.Sequential(nn.Conv2d(2 * c, 3, 3, padding=1), nn.LeakyReLU(0.2))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.config.check_input(image)
        x, skips = self.head(image), []
        for encoder, down in zip(self.encoders, self.downs):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.encoders[3](x)
        x = self.decoders[3](torch.cat([x, self.bottleneck(x)], dim=1))
        for level in (2, 1, 0):
            x = self.decoders[level](self.fusions[level](skips[level], x))
        return self.tail(x) + image
