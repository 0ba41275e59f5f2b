"""CTCNet: G. Gao et al., "CTCNet: A CNN-Transformer Cooperation Network for Face Image Super-Resolution",
IEEE TIP 2023.

A U-net on the enlarged face whose levels first look for the parts of the face, with convolutions and a map of where
they are, then relate everything by Transformer blocks. Before each level of the decoder all of the encoder is fused.

As described: C, 2C, 4C and 4C channels at 128, 64, 32 and 16 pixels, C = 32; LGCMs of an FSAU (AFDU, attention
hourglass of depth 4 with channel attention and residuals, AFDU) and 4, 6 or 6 blocks of `aminet.transformer` with 1, 2
or 4 heads, around a shortcut; four FRMs at 16x16 (hourglasses of depth 2), which refine low and high frequencies with
shared weights and gate x * conv1(x); MFFUs of a 3x3 on the concatenation and channel attention (r = 16); down by a
stride of 2 and a 3x3, up by a transposed 6x6 and a 3x3, with LeakyReLU; the input is added to the output.
Read off the published size and MACs, though other choices meet them as well: an AFDU's bottlenecks are two 3x3, halving
the channels; an hourglass has a 3x3 down and a 3x3 up per level and sums for skips; two residual units precede it in an
LGCM, none in an FRM; what an MFFU resamples keeps its channels, 4x in two steps, a transposed 8x8 and a 6x6.
Chosen by us: the formulas of AFDU and FRM; LeakyReLU 0.2; Kaiming's initial weights outside the Transformer blocks, but
a tenth in the last convolution, AFDU's branches at 0.2, and an FRM's gates near 1: with PyTorch's a tiny one (C = 8)
does not learn two faces by heart in 50 steps.

Counts at 128x128: 24,276,555 parameters and 30.392 G MACs, 0.570 G of them in the products of attention; the authors'
network has 24.40 M and 29.98 G: -0.5 % and +1.4 %. AMINet's paper prints thop's 22.4 M and 47.2 G, which for this one
are 24.27 M and 48.00 G: thop counts a doubling transposed convolution four times over, and it does not see 2 M of the
authors' parameters, which may lie idle there. Here all are used.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..config import Config, bounded
from ..transformer import TransformerBlock

BLOCKS = (4, 6, 6)  # Transformer blocks of an LGCM at 128, 64 and 32 pixels
HEADS = (1, 2, 4)
SLOPE = 0.2  # of every LeakyReLU
KERNELS = (8, 6)  # of the transposed convolutions that enlarge 4x; the second alone doubles


@dataclass(frozen=True)
class CTCNetConfig(Config):
    """channels: C, the width at 128x128 and of every head; widths are C, 2C, 4C and 4C at 128, 64, 32 and 16 pixels."""

    network: ClassVar[str] = "ctcnet"
    multiple: ClassVar[int] = 64  # two halvings, then an hourglass of four

    channels: int = bounded(32, 2, 1024, multiple=2)


def conv(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2)
    nn.init.kaiming_normal_(layer.weight, SLOPE)
    nn.init.zeros_(layer.bias)
    return layer


def conv_act(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(conv(before, after, stride=stride), nn.LeakyReLU(SLOPE))


def double(channels: int, kernel: int) -> nn.Sequential:
    """Double the image. (B, C, H, W) -> (B, C, 2H, 2W)."""
    layer = nn.ConvTranspose2d(channels, channels, kernel, stride=2, padding=kernel // 2 - 1)
    taps = channels * (kernel // 2) ** 2  # a pixel sees a quarter of the kernel, where Kaiming counts all of it
    nn.init.normal_(layer.weight, std=nn.init.calculate_gain("leaky_relu", SLOPE) / taps**0.5)
    nn.init.zeros_(layer.bias)
    return nn.Sequential(layer, nn.LeakyReLU(SLOPE))


class ChannelAttention(nn.Module):
    """x * sigmoid(MLP(mean of x)), a weight for every channel. Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(1, channels // 16)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(channels, hidden, 1), nn.LeakyReLU(SLOPE),
                                  conv(hidden, channels, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gate(x)


class AFDU(nn.Module):
    """Adaptive feature distillation unit: what two bottlenecks in a row distil, joined, weighed and added.

    a = s0 x + s1 f(x), b = s2 a + s3 g(a), y = s4 x + s5 conv(CA(conv1([a, b]))), with learned scalars s.
    Shape: (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.first, self.second = (
            nn.Sequential(conv_act(channels, channels // 2), conv_act(channels // 2, channels)) for _ in range(2))
        self.join = nn.Sequential(conv(2 * channels, channels, 1), ChannelAttention(channels), conv(channels, channels))
        self.scalars = nn.Parameter(torch.tensor([1.0, 0.2] * 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        s = self.scalars
        a = s[0] * x + s[1] * self.first(x)
        b = s[2] * a + s[3] * self.second(a)
        return s[4] * x + s[5] * self.join(torch.cat([a, b], dim=1))


class ResidualUnit(nn.Module):
    """Two convolutions and channel attention around a shortcut. Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(conv_act(channels, channels), conv(channels, channels), ChannelAttention(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class SpatialAttention(nn.Module):
    """x * sigmoid(M(x)), with M some residual units and an hourglass of `depth` halvings, whose skips are sums.

    Shape: (B, C, H, W) -> (B, C, H, W); the map is (B, 1, H, W). H and W are multiples of 2**depth.
    """

    def __init__(self, channels: int, depth: int, units: int):
        super().__init__()
        self.units = nn.Sequential(*[ResidualUnit(channels) for _ in range(units)])
        self.down = nn.ModuleList(conv_act(channels, channels, stride=2) for _ in range(depth))
        self.up = nn.ModuleList(conv_act(channels, channels) for _ in range(depth))
        self.to_map = conv(channels, 1)

    def attention(self, x: torch.Tensor) -> torch.Tensor:
        """The map (B, 1, H, W) in (0, 1)."""
        x, skips = self.units(x), []
        for down in self.down:
            skips.append(x)
            x = down(x)
        for skip, up in zip(reversed(skips), self.up):
            x = skip + up(F.interpolate(x, scale_factor=2, mode="nearest"))
        return self.to_map(x).sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.attention(x)


class FSAU(nn.Sequential):
    """Facial structure attention unit: where the face has its parts, between two AFDUs. (B, C, H, W) -> the same."""

    def __init__(self, channels: int, depth: int, units: int):
        super().__init__(AFDU(channels), SpatialAttention(channels, depth, units), AFDU(channels))


class LGCM(nn.Module):
    """Local-global feature cooperation: an FSAU, then Transformer blocks, around a shortcut. (B, C, H, W) -> the same.

    H and W are multiples of 16.
    """

    def __init__(self, channels: int, heads: int, blocks: int):
        super().__init__()
        self.structure = FSAU(channels, depth=4, units=2)
        self.transformer = nn.Sequential(*[TransformerBlock(channels, heads) for _ in range(blocks)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.transformer(self.structure(x))


def enlarge(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear")


class FRM(nn.Module):
    """Feature refinement at 16x16: low and high frequencies apart, each refined in sight of the other.

    The low part L is half as large, H is what it lacks; one AFDU refines both. Then a = conv1([L, H]) and
    b = conv1([H, L]) are gated, a * conv1(a) and b * conv1(b), joined by a 1x1 and added to the input.
    Shape: (B, C, H, W) -> (B, C, H, W); H and W are multiples of 4.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.structure = FSAU(channels, depth=2, units=0)
        self.shared = AFDU(channels)
        self.cross = nn.ModuleList(conv(2 * channels, channels, 1) for _ in range(2))
        self.gates = nn.ModuleList(conv(channels, channels, 1) for _ in range(2))
        self.join = conv(2 * channels, channels, 1)
        with torch.no_grad():  # squares of features in a row of four would explode: a gate starts near 1
            for gate in self.gates:
                gate.weight.mul_(0.1)
                gate.bias.fill_(1)
            self.join.weight.mul_(0.2)

    @staticmethod
    def split(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Low (B, C, H/2, W/2) and high (B, C, H, W) frequencies: x = enlarge(low) + high."""
        low = F.avg_pool2d(x, 2)
        return low, x - enlarge(low)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low, high = self.split(self.structure(x))
        parts = [enlarge(self.shared(low)), self.shared(high)]
        mixed = [cross(torch.cat(pair, dim=1)) for cross, pair in zip(self.cross, (parts, parts[::-1]))]
        return x + self.join(torch.cat([m * gate(m) for m, gate in zip(mixed, self.gates)], dim=1))


class MFFU(nn.Module):
    """Multi-scale feature fusion: the decoder's feature and all three of the encoder at the size of one level.

    Args: widths: of the three levels. level: 0, 1, 2 at 128, 64, 32 pixels.
    Shape: (B, widths[level], H, W) and the encoder's [(B, C, ...), (B, 2C, ...), (B, 4C, ...)] -> as the first.
    """

    def __init__(self, widths: tuple[int, int, int], level: int):
        super().__init__()
        self.resample = nn.ModuleList()
        for origin, width in enumerate(widths):
            steps = [conv_act(width, width, stride=2) for _ in range(level - origin)]  # down to a coarser level, or
            steps += [double(width, kernel) for kernel in KERNELS[2 - max(0, origin - level):]]  # up to a finer one
            self.resample.append(nn.Sequential(*steps))
        self.join = nn.Sequential(conv(widths[level] + sum(widths), widths[level]), ChannelAttention(widths[level]))

    def forward(self, x: torch.Tensor, skips: list[torch.Tensor]) -> torch.Tensor:
        return self.join(torch.cat([x, *[step(skip) for step, skip in zip(self.resample, skips)]], dim=1))


class CTCNet(nn.Module):
    """The whole network. The input is the LR face, already enlarged bicubically, and is added at the end.

    Shape: (B, 3, H, W) in [-1, 1] -> (B, 3, H, W); H and W are multiples of 64, else BadInput.
    """

    def __init__(self, config: CTCNetConfig = CTCNetConfig()):
        super().__init__()
        self.config = config
        c = config.channels
        widths = c, 2 * c, 4 * c
        pairs = [(c, 2 * c), (2 * c, 4 * c), (4 * c, 4 * c)]  # a level's width and that of the next

        def cooperate() -> nn.ModuleList:
            return nn.ModuleList(LGCM(width, heads, blocks) for width, heads, blocks in zip(widths, HEADS, BLOCKS))

        self.head = conv(3, c)
        self.encoders = cooperate()
        self.downs = nn.ModuleList(nn.Sequential(conv_act(a, b, stride=2), conv_act(b, b)) for a, b in pairs)
        self.bottleneck = nn.Sequential(*[FRM(4 * c) for _ in range(4)])
        self.ups = nn.ModuleList(nn.Sequential(double(b, 6), conv_act(b, a)) for a, b in pairs)
        self.fusions = nn.ModuleList(MFFU(widths, level) for level in range(3))
        self.decoders = cooperate()
        self.tail = conv(c, 3)
        with torch.no_grad():
            self.tail.weight.mul_(0.1)  # the untrained net is near its bicubic input

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.config.check_input(image)
        x, skips = self.head(image), []
        for encoder, down in zip(self.encoders, self.downs):
            x = encoder(x)
            skips.append(x)  # (B, C, H, W), (B, 2C, H/2, W/2), (B, 4C, H/4, W/4)
            x = down(x)
        x = self.bottleneck(x)  # (B, 4C, H/8, W/8)
        for level in (2, 1, 0):
            x = self.decoders[level](self.fusions[level](self.ups[level](x), skips))
        return self.tail(x) + image
