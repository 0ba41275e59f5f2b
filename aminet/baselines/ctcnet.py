"""CTCNet: G. Gao et al., "CTCNet: A CNN-Transformer Cooperation Network for Face Image Super-Resolution",
IEEE TIP 2023.

A U-net on the enlarged face whose levels first look for the parts of the face, with convolutions and a map of where
they are, then relate everything by Transformer blocks. Before each level of the decoder all of the encoder is fused.

As described: C, 2C, 4C and 4C channels at 128, 64, 32 and 16 pixels, C = 32. An LGCM is an FSAU (AFDU, attention
hourglass of depth 4, AFDU) and 4, 6 or 6 blocks of `aminet.transformer` with 1, 2 or 4 heads, around a shortcut. Four
FRMs at 16x16 refine low and high frequencies apart. An MFFU is a 3x3 on a concatenation and channel attention (r = 16).
The input is added to the output.
As in the authors' public code: the formulas of AFDU, FRM and of the map. An hourglass is SPARNet's, 2C wide at every
level, with PReLU; an FRM's has depth 2. An FRM uses three of its AFDUs twice. Down is a stride of 2 and a 3x3, up a
transposed 6x6 and a 3x3, with LeakyReLU 0.2 behind each. What an MFFU resamples keeps its channels and meets no
activation. One strided 3x3 serves every halving of a feature. A transposed 8x8 doubles; a 6x6, used twice, enlarges 4x.
Chosen by us: hourglasses 2C wide, the authors' constant 64, so that `channels` scales all of it. Channel attention has
two hidden channels or more, whose biases start at 1: ReLU might silence both. Other weights start as PyTorch's.

Counts at 128x128: 22,407,699 parameters and 29.975 G MACs, 0.570 G of them in the products of attention. The authors'
network has 24.40 M and 29.98 G: 1,997,218 of its parameters lie idle, most of them in FRMs. thop sees none of them
and counts the 22.4 M and 47.2 G that AMINet's paper prints; it takes a doubling transposed convolution four times over.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..config import Config, bounded
from ..transformer import TransformerBlock
from .sparnet import Hourglass
from .sparnet import conv as reflecting

BLOCKS = (4, 6, 6)  # Transformer blocks of an LGCM at 128, 64 and 32 pixels
HEADS = (1, 2, 4)


@dataclass(frozen=True)
class CTCNetConfig(Config):
    """channels: C, the width at 128x128 and of every head; widths are C, 2C, 4C and 4C at 128, 64, 32 and 16 pixels."""

    network: ClassVar[str] = "ctcnet"
    multiple: ClassVar[int] = 64  # two halvings, then an hourglass of four
    smallest: ClassVar[int] = 128  # at 64 its smallest feature is one pixel, which has nothing to reflect

    channels: int = bounded(32, 2, 1024, multiple=2)


def conv(before: int, after: int, kernel: int = 3, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=bias)


def double(before: int, after: int, kernel: int, bias: bool = True) -> nn.ConvTranspose2d:
    """(B, before, H, W) -> (B, after, 2H, 2W)."""
    return nn.ConvTranspose2d(before, after, kernel, stride=2, padding=kernel // 2 - 1, bias=bias)


def change(first: nn.Module, channels: int) -> nn.Sequential:
    """`first`, which halves or doubles the image, and a 3x3."""
    return nn.Sequential(first, nn.LeakyReLU(0.2), conv(channels, channels, bias=False), nn.LeakyReLU(0.2))


class ChannelAttention(nn.Module):
    """x * sigmoid(W2 relu(W1 mean(x))), a weight for every channel. Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(2, channels // 16)
        squeeze = conv(channels, hidden, 1)
        nn.init.ones_(squeeze.bias)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), squeeze, nn.ReLU(), conv(hidden, channels, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gate(x)


class AFDU(nn.Module):
    """Adaptive feature distillation unit: what two bottlenecks in a row distil, joined, weighed and added.

    a = s0 x + s1 f(x), b = s2 a + s3 g(a), y = s4 x + s5 relu(conv(CA(relu(conv1([s6 a, s7 b]))))), with learned
    scalars s; f and g are two 3x3 with C/2 channels and PReLU between them. Shape: (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int):
        super().__init__()
        half = channels // 2
        self.first, self.second = (
            nn.Sequential(conv(channels, half), nn.PReLU(half), conv(half, channels)) for _ in range(2))
        self.join = nn.Sequential(conv(2 * channels, channels, 1, bias=False), nn.ReLU(), ChannelAttention(channels),
                                  conv(channels, channels, bias=False), nn.ReLU())
        self.scalars = nn.Parameter(torch.ones(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        s = self.scalars
        a = s[0] * x + s[1] * self.first(x)
        b = s[2] * a + s[3] * self.second(a)
        return s[4] * x + s[5] * self.join(torch.cat([s[6] * a, s[7] * b], dim=1))


class SpatialAttention(Hourglass):
    """x * sigmoid(conv(CA(M(x)) + conv1(x))), with M a `Hourglass`; where `middle` channels enter there is no conv1.

    Shape: (B, C, H, W) -> (B, C, H, W); the map is (B, 1, H, W). H and W are multiples of 2**depth, and larger.
    """

    def __init__(self, channels: int, middle: int, depth: int):
        def unit(before: int, after: int, scale: str = "") -> nn.Sequential:
            return nn.Sequential(*reflecting(before, after, scale, bias=False), nn.BatchNorm2d(after), nn.PReLU(after))

        super().__init__(channels, middle, depth, unit)
        self.weigh = ChannelAttention(middle)
        self.shortcut = nn.Identity() if channels == middle else conv(channels, middle, 1)
        self.to_map = reflecting(middle, 1)

    def attention(self, x: torch.Tensor) -> torch.Tensor:
        """The map (B, 1, H, W) in (0, 1)."""
        return self.to_map(self.weigh(super().forward(x)) + self.shortcut(x)).sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.attention(x)


class FSAU(nn.Sequential):
    """Facial structure attention unit: where the face has its parts, between two AFDUs. (B, C, H, W) -> the same."""

    def __init__(self, channels: int, middle: int, depth: int):
        super().__init__(AFDU(channels), SpatialAttention(channels, middle, depth), AFDU(channels))


class LGCM(nn.Module):
    """Local-global feature cooperation: an FSAU, then Transformer blocks, around a shortcut. (B, C, H, W) -> the same.

    H and W are multiples of 16 from 32 on.
    """

    def __init__(self, channels: int, middle: int, heads: int, blocks: int):
        super().__init__()
        self.structure = FSAU(channels, middle, depth=4)
        self.transformer = nn.Sequential(*[TransformerBlock(channels, heads) for _ in range(blocks)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.transformer(self.structure(x))


def enlarge(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class FRM(nn.Module):
    """Feature refinement at 16x16: low and high frequencies apart, then the high ones in sight of the low.

    u = FSAU(x) is split into a low part L, half as large, and what it lacks, H. Two AFDUs refine L and H, then again L
    and conv1([s0 L, s1 H]). y = x + AFDU(relu(conv1([s1 L, s0 H])) + u * conv1(u)), with L enlarged, learned scalars s
    and the last AFDU that of FSAU. Shape: (B, C, H, W) -> (B, C, H, W); H and W are multiples of 4 from 8 on.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.structure = FSAU(channels, channels // 2, depth=2)
        self.low, self.high = AFDU(channels), AFDU(channels)
        self.cross, self.gate = conv(2 * channels, channels, 1), conv(channels, channels, 1)
        self.join = nn.Sequential(conv(2 * channels, channels, 1, bias=False), nn.ReLU())
        self.scalars = nn.Parameter(torch.full((2,), 0.5))

    @staticmethod
    def split(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Low (B, C, H/2, W/2) and high (B, C, H, W) frequencies: x = enlarge(low) + high."""
        low = F.avg_pool2d(x, 2)
        return low, x - enlarge(low)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        s, u = self.scalars, self.structure(x)
        low, high = self.split(u)
        low, high = self.low(low), self.high(high)
        mixed = self.cross(torch.cat([s[0] * enlarge(low), s[1] * high], dim=1))
        low, high = self.low(low), self.high(mixed)
        refined = self.join(torch.cat([s[1] * enlarge(low), s[0] * high], dim=1))
        return x + self.structure[-1](refined + u * self.gate(u))


class MFFUs(nn.Module):
    """Multi-scale feature fusion, three units that share convolutions: the decoder's feature and all three of the
    encoder at the size of one level.

    Args: widths: of the three levels.
    Shape: (B, widths[level], H, W), the encoder's [(B, C, ...), (B, 2C, ...), (B, 4C, ...)] and a level, 0, 1, 2 at
    128, 64, 32 pixels -> as the first.
    """

    def __init__(self, widths: tuple[int, int, int]):
        super().__init__()
        self.halvings = nn.ModuleList(conv(width, width, stride=2) for width in widths[:2])
        self.doublings = nn.ModuleList(double(width, width, 8) for width in widths[1:])
        self.enlarging = double(widths[2], widths[2], 6)
        self.join = nn.ModuleList(
            nn.Sequential(conv(width + sum(widths), width), ChannelAttention(width)) for width in widths)

    def forward(self, x: torch.Tensor, skips: list[torch.Tensor], level: int) -> torch.Tensor:
        a, b, c = skips
        if level == 2:
            a, b = self.halvings[0](self.halvings[0](a)), self.halvings[1](b)
        elif level == 1:
            a, c = self.halvings[0](a), self.doublings[1](c)
        else:
            b, c = self.doublings[0](b), self.enlarging(self.enlarging(c))
        return self.join[level](torch.cat([x, a, b, c], dim=1))


class CTCNet(nn.Module):
    """The whole network. The input is the LR face, already enlarged bicubically, and is added at the end.

    Shape: (B, 3, H, W) in [-1, 1] -> (B, 3, H, W); H and W are multiples of 64 from 128 on, else BadInput.
    """

    def __init__(self, config: CTCNetConfig = CTCNetConfig()):
        super().__init__()
        self.config = config
        c = config.channels
        widths = c, 2 * c, 4 * c
        pairs = [(c, 2 * c), (2 * c, 4 * c), (4 * c, 4 * c)]  # a level's width and that of the next

        def cooperate() -> nn.ModuleList:
            return nn.ModuleList(LGCM(width, 2 * c, *numbers) for width, *numbers in zip(widths, HEADS, BLOCKS))

        self.head = conv(3, c)
        self.encoders = cooperate()
        self.downs = nn.ModuleList(change(conv(a, b, stride=2, bias=False), b) for a, b in pairs)
        self.bottleneck = nn.Sequential(*[FRM(4 * c) for _ in range(4)])
        self.ups = nn.ModuleList(change(double(b, a, 6, bias=False), a) for a, b in pairs)
        self.fusion = MFFUs(widths)
        self.decoders = cooperate()
        self.tail = conv(c, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.config.check_input(image)
        x, skips = self.head(image), []
        for encoder, down in zip(self.encoders, self.downs):
            x = encoder(x)
            skips.append(x)  # (B, C, H, W), (B, 2C, H/2, W/2), (B, 4C, H/4, W/4)
            x = down(x)
        x = self.bottleneck(x)  # (B, 4C, H/8, W/8)
        for level in (2, 1, 0):
            x = self.decoders[level](self.fusion(self.ups[level](x), skips, level))
        return self.tail(x) + image
