"""SFMNet: C. Wang et al., "Spatial-Frequency Mutual Learning for Face Super-Resolution", CVPR 2023.

Two U-nets side by side on the enlarged face. The spatial branch convolves pixels and sees little at a time. The
frequency branch convolves amplitude and phase of the Fourier transform, where a 3x3 touches the whole image.

As described: 64 channels everywhere, at 128, 64, 32 and 16 pixels. A frequency block is a 1x1, the transform, a
residual of two 3x3 on amplitude and on phase, the inverse transform, a 1x1 and a shortcut. A fusion joins both
features by cross channel attention either way and by gates. The loss is L1 of both branches' faces, and L1 of
amplitude and phase of the frequency branch's.
As in the authors' public code: seven stages (three down, the bottleneck, three up) of twice a frequency block, a
residual group and a fusion. A fusion's result goes on in the spatial branch alone. A residual block is a 3x3, ReLU,
a 3x3, its shortcut and ReLU. A group is two of them, a 3x3, PReLU, and a shortcut with a learnt scale. Down is a 3x3,
space-to-depth and a 1x1; up is a 1x1, PixelShuffle and PReLU. PReLU also follows a branch's first and last
convolution, and the input is added to both outputs. A frequency block takes the absolute value of its inverse
transform; LeakyReLU has 0.1. A fusion has a 3x3 on either feature, 8 heads, q and k of unit norm. Its gates are two
3x3, 2C -> C -> 2C, nothing between them, and a sigmoid. One attention serves both directions: the spatial feature asks
the other, which then asks the result. A second attention lies idle in each fusion, 0.25 M in all. Four skips a branch,
at 128, 64, 32 and 16 pixels, start before a stage's last fusion and are added before that of the stage opposite. The
loss is of faces in [0, 1], transformed without a norm; both spectral terms have the weight 0.01.
Chosen by us: an orthonormal transform in the blocks, so that a spectrum has the scale of its feature; amplitudes near
zero (see `spectrum`). A fusion's first two 3x3 start near the identity; other initial weights are PyTorch's. With
`edff` the skip at 16 pixels stays a sum, for the paper's count has three levels a branch.

Counts at 128x128, transforms not counted: 8,799,622 parameters, as the authors' network has, and 30.657 G MACs, 0.111 G
of them in the products of attention (the frequency output is 0.028 G more); the authors' has 30.7 G. AMINet's paper
prints 8.6 M and 30.6 G, which are thop's: it overlooks those products and what is never called. With `edff` 10,669,738
parameters, of which the paper prints 10.7 M, and 44.054 G MACs.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..config import Config, bounded
from ..edff import EDFF

HEADS = 8
SILENT = 1e-4  # amplitudes below have no phase; those of a feature of order 1 are of order 1
SPECTRAL = 0.01  # weight of the amplitude's and of the phase's L1


@dataclass(frozen=True)
class SFMNetConfig(Config):
    """channels: C, the width at all levels. edff: Table VI's variant, an EDFF in place of six of the eight skips."""

    network: ClassVar[str] = "sfmnet"
    multiple: ClassVar[int] = 8
    to_rgb: ClassVar[tuple[str, ...]] = ("spatial.tail", "frequency.tail")

    channels: int = bounded(64, HEADS, 1024, multiple=HEADS)
    edff: bool = False


def conv(before: int, after: int, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, bias=bias)


def pair(channels: int) -> nn.Sequential:
    """3x3, LeakyReLU, 3x3: the residual on an amplitude or on a phase."""
    return nn.Sequential(conv(channels, channels), nn.LeakyReLU(0.1), conv(channels, channels))


def down(channels: int) -> nn.Sequential:
    """Halve the image. (B, C, H, W) -> (B, C, H/2, W/2)."""
    return nn.Sequential(
        conv(channels, channels, bias=False), nn.PixelUnshuffle(2), nn.Conv2d(4 * channels, channels, 1, bias=False))


def up(channels: int) -> nn.Sequential:
    """Double the image. (B, C, H, W) -> (B, C, 2H, 2W)."""
    return nn.Sequential(nn.Conv2d(channels, 4 * channels, 1), nn.PixelShuffle(2), nn.PReLU())


def spectrum(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Amplitude and phase of the real orthonormal transform, each (B, C, H, W/2 + 1), float32 at least.

    Below SILENT the phase is rounding noise, and its slope 1 / amplitude explodes: there it is 0, and constant.
    """
    z = torch.fft.rfft2(x.to(torch.promote_types(x.dtype, torch.float32)), norm="ortho")
    amplitude = z.abs()  # its slope at zero is zero in PyTorch
    heard = amplitude > SILENT
    # + 0.0 turns -0 into 0: a real negative bin would have the phase pi here and -pi there.
    phase = torch.atan2(torch.where(heard, z.imag, 0.0) + 0.0, torch.where(heard, z.real, 1.0))
    return amplitude, phase


class FrequencyBlock(nn.Module):
    """y = x + conv1(|iFFT(A + R_A(A), P + R_P(P))|) with A, P the amplitude and phase of conv1(x).

    Shape: (B, C, H, W) -> (B, C, H, W). Under autocast the convolutions may be in half precision, the rest is not.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 1)
        self.amplitude, self.phase = pair(channels), pair(channels)
        self.last = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        u = self.first(x)
        a, p = spectrum(u)
        a = a + self.amplitude(a.to(u.dtype))
        p = p + self.phase(p.to(u.dtype))
        # Not torch.polar: its gradient takes the amplitude for positive, and a residual may make it negative.
        v = torch.fft.irfft2(torch.complex(a * p.cos(), a * p.sin()), s=x.shape[2:], norm="ortho")
        return x + self.last(v.abs().to(u.dtype))


class ResidualBlock(nn.Module):
    """y = ReLU(x + conv(ReLU(conv(x)))). Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.first, self.last = conv(channels, channels, bias=False), conv(channels, channels, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + self.last(self.first(x).relu())).relu()


class ResidualGroup(nn.Module):
    """y = a x + PReLU(conv(two residual blocks of x)), a learnt. Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            ResidualBlock(channels), ResidualBlock(channels), conv(channels, channels, bias=False), nn.PReLU())
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * x + self.body(x)


class CrossAttention(nn.Module):
    """Channel attention with the queries of one feature and the keys and values of the other.

    softmax(t q k^T) v in each head, q and k of unit norm over the pixels. Shape: two of (B, C, H, W) -> the same.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.query, self.key_value = [nn.Sequential(
            nn.Conv2d(channels, n, 1, bias=False), nn.Conv2d(n, n, 3, padding=1, groups=n, bias=False),
        ) for n in (channels, 2 * channels)]
        self.temperature = nn.Parameter(torch.ones(HEADS, 1, 1))
        self.project = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        b, c, height, width = x.shape
        q = self.query(x).reshape(b, HEADS, c // HEADS, height * width)
        k, v = self.key_value(other).reshape(b, 2, HEADS, c // HEADS, height * width).unbind(1)
        logits = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1) * self.temperature
        return self.project((logits.softmax(dim=-1) @ v).reshape(x.shape))


class Fusion(nn.Module):
    """FSIB, the frequency-spatial interaction block: y = s' * g_s + f' * g_f.

    Behind a 3x3 each, s' = s + attention(s to f) and f' = f + attention(f to s'); g_s, g_f = sigmoid(convs([s', f'])).
    Shape: two of (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.spatial, self.frequency = conv(channels, channels), conv(channels, channels)
        self.attention, self.idle = CrossAttention(channels), CrossAttention(channels)  # the second is never called
        self.gates = nn.Sequential(conv(2 * channels, channels), conv(channels, 2 * channels))
        for layer in (self.spatial, self.frequency):  # else a chain of 14 fusions would fade in the first steps
            with torch.no_grad():
                layer.weight[:, :, 1, 1] += torch.eye(channels)

    def forward(self, spatial: torch.Tensor, frequency: torch.Tensor) -> torch.Tensor:
        s, f = self.spatial(spatial), self.frequency(frequency)
        s = s + self.attention(s, f)
        f = f + self.attention(f, s)
        g_s, g_f = self.gates(torch.cat([s, f], dim=1)).sigmoid().chunk(2, dim=1)
        return s * g_s + f * g_f


class Stage(nn.Module):
    """Both branches at one size: twice a frequency block, a residual group and their fusion, the last left open.

    Returns what the second blocks give, for a skip to begin or to end here; `last` then fuses it.
    Shape: spatial and frequency feature, each (B, C, H, W) -> the same two.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.frequency = nn.ModuleList(FrequencyBlock(channels) for _ in range(2))
        self.spatial = nn.ModuleList(ResidualGroup(channels) for _ in range(2))
        self.first, self.last = Fusion(channels), Fusion(channels)

    def forward(self, s: torch.Tensor, f: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        f = self.frequency[0](f)
        s = self.first(self.spatial[0](s), f)
        return self.spatial[1](s), self.frequency[1](f)


class Ends(nn.Module):
    """What one branch has to itself: its first and last convolution, its ways down and up, its skips.

    Shape: the last feature (B, C, H, W) and the input (B, 3, H, W) -> the branch's image (B, 3, H, W).
    """

    def __init__(self, channels: int, edff: bool):
        super().__init__()
        self.head = nn.Sequential(conv(3, channels, bias=False), nn.PReLU())
        self.downs = nn.ModuleList(down(channels) for _ in range(3))
        self.ups = nn.ModuleList(up(channels) for _ in range(3))
        self.skips = nn.ModuleList(EDFF(channels, skaf=edff and level < 3) for level in range(4))
        self.tail, self.bend = conv(channels, 3, bias=False), nn.PReLU()

    def forward(self, feature: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        return self.bend(self.tail(feature)) + image


class SFMNet(nn.Module):
    """The whole network. The input is the LR face, already enlarged bicubically, and is added at the end.

    Shape: (B, 3, H, W) in [-1, 1] -> (B, 3, H, W); H and W are multiples of 8, else BadInput. `both` returns the
    frequency branch's image as well, from which the loss teaches that branch.
    """

    def __init__(self, config: SFMNetConfig = SFMNetConfig()):
        super().__init__()
        self.config = config
        c = config.channels
        self.spatial, self.frequency = Ends(c, config.edff), Ends(c, config.edff)
        self.encoders = nn.ModuleList(Stage(c) for _ in range(3))
        self.decoders = nn.ModuleList(Stage(c) for _ in range(4))  # the last is the bottleneck, the first to run

    def features(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the two tails see: the spatial and the frequency feature, each (B, C, H, W)."""
        self.config.check_input(image)
        s, f = skip = self.spatial.head(image), self.frequency.head(image)
        skips = [skip]
        for level, stage in enumerate(self.encoders):
            s, f = skip = stage(self.spatial.downs[level](s), self.frequency.downs[level](f))
            skips.append(skip)
            s = stage.last(s, f)
        for level in (3, 2, 1, 0):
            if level < 3:
                s, f = self.spatial.ups[level](s), self.frequency.ups[level](f)
            stage, (skip_s, skip_f) = self.decoders[level], skips[level]
            s, f = stage(s, f)
            s, f = self.spatial.skips[level](skip_s, s), self.frequency.skips[level](skip_f, f)
            s = stage.last(s, f)
        return s, f

    def both(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The face of the spatial branch and that of the frequency branch, each (B, 3, H, W)."""
        s, f = self.features(image)
        return self.spatial(s, image), self.frequency(f, image)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.spatial(self.features(image)[0], image)

    def loss(self, image: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """L1 of both faces in [0, 1], and of amplitude and phase of the frequency branch's. target: (B, 3, H, W).

        `pixel` and `frequency` are the L1 in [-1, 1] of the one face and of the other.
        """
        face, drawn = self.both(image)
        pixel, frequency = ((y - target).abs().mean() for y in (face, drawn))
        (a, p), (b, q) = (spectrum((y + 1) / 2) for y in (drawn, target))
        amplitude = (a - b).abs().mean() * math.sqrt(target[0, 0].numel())  # as of a transform without a norm
        phase = (p - q).abs().mean()
        total = (pixel + frequency) / 2 + SPECTRAL * (amplitude + phase)
        return total, {"pixel": pixel, "frequency": frequency, "amplitude": amplitude, "phase": phase}
