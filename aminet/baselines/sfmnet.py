"""SFMNet: C. Wang et al., "Spatial-Frequency Mutual Learning for Face Super-Resolution", CVPR 2023.

Two U-nets side by side on the enlarged face. The spatial branch convolves pixels and sees little at a time. The
frequency branch convolves amplitude and phase of the Fourier transform, where a 3x3 touches the whole image.

As described: 64 channels everywhere, at 128, 64, 32 and 16 pixels; frequency blocks of 1x1, transform, a residual of
two 3x3 on amplitude and on phase, inverse transform, absolute value, 1x1, shortcut; residual groups of two residual
blocks and a 3x3; down by 3x3, space-to-depth and 1x1; up by 1x1, PixelShuffle and PReLU; 14 fusions: a 3x3 on either
feature, cross channel attention both ways in 8 heads, two convolutions, a sigmoid and a gated sum; skips are added, and
the input is added to the spatial output.
Read off the published size: seven stages (three down, the bottleneck, three up) of twice a frequency block, a residual
group and a fusion; a fusion's two convolutions are 3x3, 2C -> C -> 2C, so each branch has a gate per channel; either
direction has an attention of its own. The size is met when the fusions and the way down have no biases.
Chosen by us: a fusion's result goes on in the spatial branch alone, and the frequency branch takes nothing from it;
attention is added to the feature, and q and k are normalised as in Restormer; LeakyReLU 0.1; the input is not added
to the frequency output; PyTorch's initial weights; an orthonormal transform, so that a spectrum has the scale of its
feature; amplitudes near zero (see `spectrum`).

Counts at 128x128, transforms not counted: 8,799,724 parameters and 30.657 G MACs, 0.111 G of them in the products of
attention (the frequency output is 0.028 G more); the authors' network has 8.800 M and 30.7 G. AMINet's paper prints
8.6 M and 30.6 G, which are thop's: it overlooks those products, and since the authors' network uses one attention for
both directions, 14 others (0.25 M, just the difference) would lie idle in it, unseen by thop. With `edff` 10,669,840
parameters, of which the paper prints 10.7 M, and 44.054 G MACs.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..config import Config, bounded
from ..edff import EDFF

HEADS = 8
SILENT = 1e-4  # amplitudes below have no phase; those of a feature of order 1 are of order 1


@dataclass(frozen=True)
class SFMNetConfig(Config):
    """channels: C, the width at all levels. edff: Table VI's variant, an EDFF in place of each of the six skips."""

    network: ClassVar[str] = "sfmnet"
    multiple: ClassVar[int] = 8

    channels: int = bounded(64, HEADS, 1024, multiple=HEADS)
    edff: bool = False


def conv(before: int, after: int, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, bias=bias)


def pair(channels: int) -> nn.Sequential:
    """3x3, LeakyReLU, 3x3: the residual on an amplitude, on a phase, and of a residual block."""
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


class ResidualGroup(nn.Module):
    """Two residual blocks and a 3x3 around a shortcut. Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.blocks = nn.ModuleList(pair(channels) for _ in range(2))
        self.last = conv(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for block in self.blocks:
            y = y + block(y)
        return x + self.last(y)


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

    s' = s + attention(s to f), f' = f + attention(f to s), both behind a 3x3, and g_s, g_f = sigmoid(convs([s', f'])).
    Shape: two of (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.spatial, self.frequency = conv(channels, channels, bias=False), conv(channels, channels, bias=False)
        self.to_frequency, self.to_spatial = CrossAttention(channels), CrossAttention(channels)
        self.gates = nn.Sequential(
            conv(2 * channels, channels, bias=False), nn.LeakyReLU(0.1), conv(channels, 2 * channels, bias=False))

    def forward(self, spatial: torch.Tensor, frequency: torch.Tensor) -> torch.Tensor:
        s, f = self.spatial(spatial), self.frequency(frequency)
        # The shortcuts start before the 3x3s: a chain of 14 fusions would otherwise fade in the first steps.
        s, f = spatial + self.to_frequency(s, f), frequency + self.to_spatial(f, s)
        g_s, g_f = self.gates(torch.cat([s, f], dim=1)).sigmoid().chunk(2, dim=1)
        return s * g_s + f * g_f


class Stage(nn.Module):
    """Both branches at one size: twice a frequency block, a residual group and their fusion.

    Shape: spatial and frequency feature, each (B, C, H, W) -> the same two.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.frequency = nn.ModuleList(FrequencyBlock(channels) for _ in range(2))
        self.spatial = nn.ModuleList(ResidualGroup(channels) for _ in range(2))
        self.fusions = nn.ModuleList(Fusion(channels) for _ in range(2))

    def forward(self, s: torch.Tensor, f: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for spatial, frequency, fuse in zip(self.spatial, self.frequency, self.fusions):
            f = frequency(f)
            s = fuse(spatial(s), f)
        return s, f


class Ends(nn.Module):
    """What one branch has to itself: its first and last convolution, its ways down and up, its skips."""

    def __init__(self, channels: int, edff: bool):
        super().__init__()
        self.head = conv(3, channels)
        self.downs = nn.ModuleList(down(channels) for _ in range(3))
        self.ups = nn.ModuleList(up(channels) for _ in range(3))
        self.skips = nn.ModuleList(EDFF(channels, skaf=edff) for _ in range(3))
        self.tail = conv(channels, 3)


class SFMNet(nn.Module):
    """The whole network. The input is the LR face, already enlarged bicubically, and is added at the end.

    Shape: (B, 3, H, W) in [-1, 1] -> (B, 3, H, W); H and W are multiples of 8, else BadInput. `both` returns the
    frequency branch's image as well, for a loss of its own; without one `frequency.tail` is never trained.
    """

    def __init__(self, config: SFMNetConfig = SFMNetConfig()):
        super().__init__()
        self.config = config
        c = config.channels
        self.spatial, self.frequency = Ends(c, config.edff), Ends(c, config.edff)
        self.encoders = nn.ModuleList(Stage(c) for _ in range(3))
        self.bottleneck = Stage(c)
        self.decoders = nn.ModuleList(Stage(c) for _ in range(3))

    def features(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the two tails see: the spatial and the frequency feature, each (B, C, H, W)."""
        self.config.check_input(image)
        s, f, skips = self.spatial.head(image), self.frequency.head(image), []
        for level, encoder in enumerate(self.encoders):
            skips.append((s, f))
            s, f = encoder(self.spatial.downs[level](s), self.frequency.downs[level](f))
        s, f = self.bottleneck(s, f)
        for level in (2, 1, 0):
            skip_s, skip_f = skips[level]
            s = self.spatial.skips[level](skip_s, self.spatial.ups[level](s))
            f = self.frequency.skips[level](skip_f, self.frequency.ups[level](f))
            s, f = self.decoders[level](s, f)
        return s, f

    def both(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The face of the spatial branch and that of the frequency branch, each (B, 3, H, W)."""
        s, f = self.features(image)
        return self.spatial.tail(s) + image, self.frequency.tail(f)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.spatial.tail(self.features(image)[0]) + image
