"""FACN: J. Xin et al., "Facial Attribute Capsules for Noise Face Super Resolution", AAAI 2020.

Between encoder and decoder the face is a group of capsules, one for each attribute such as "smiling" or "wearing a
hat". A capsule says what there is of its attribute by a feature, and how sure that is by a distribution.

From the description: there is no public code and no size, so nothing here could be compared with it.
Known: a group of facial attribute capsules (FACs) is generated from the LR face, which may be noisy, and the HR face is
drawn from this group; each FAC describes one attribute by two sub-capsules, a semantic (SC) and a probabilistic one
(PC), and they learn in three ways: from semantics, from a probability distribution and from the attributes.
Chosen by us: the LR face as input; a capsule of C/8 values in either sub-capsule at every pixel of 16x16, for 40
attributes, those of CelebA; an encoder of 16 residual blocks of 64 channels at 16x16, and as many in the decoder before
three doublings (3x3, PixelShuffle) with two blocks each; SCs squashed as in Sabour et al. 2017, so that their length is
in (0, 1), without routing; PCs as in a variational autoencoder: drawn in training, their mean otherwise; an attribute's
probability, from its capsule's mean over the face, multiplies the capsule; no skip around the capsules; LeakyReLU 0.2;
initial weights that keep the size of a feature, or make a tenth of it where a branch ends, and standard deviations that
start near exp(-2); L1 + 0.001 divergence of the PCs from the standard normal distribution + 0.01 cross entropy of the
attributes, which is left out for faces without any.

Counts at 128x128, from 16x16: 4,176,491 parameters and 4.832 G MACs; no size is published, so this one was chosen, of
the MACs of the other networks that take the LR face (RCAN has 4.7 G).
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..config import Config, bounded

ATTRIBUTES = 40
SPREAD = -4.0  # log variance of the untrained capsules
DIVERGENCE, ATTRIBUTE = 1e-3, 1e-2  # weights in the loss


@dataclass(frozen=True)
class FACNConfig(Config):
    """channels: C, the width of all features; a sub-capsule has C/8 values. blocks: residual blocks at 16x16, twice."""

    network: ClassVar[str] = "facn"
    enlarged: ClassVar[bool] = False
    priors: ClassVar[tuple[str, ...]] = ("attributes",)
    to_rgb: ClassVar[tuple[str, ...]] = ("decoder",)

    channels: int = bounded(64, 1, 1024)
    blocks: int = bounded(16, 1, 100)

    @property
    def values(self) -> int:
        """D, of a sub-capsule."""
        return max(1, self.channels // 8)


def conv(before: int, after: int, gain: float = 1.0) -> nn.Conv2d:
    """3x3, whose untrained output is `gain` times as large as its input, on average."""
    layer = nn.Conv2d(before, after, 3, padding=1)
    nn.init.normal_(layer.weight, std=gain / (9 * before) ** 0.5)
    nn.init.zeros_(layer.bias)
    return layer


class Residual(nn.Module):
    """Two 3x3 around a shortcut. Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(conv(channels, channels), nn.LeakyReLU(0.2), conv(channels, channels, 0.1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


def double(channels: int) -> nn.Sequential:
    """Double the image. (B, C, H, W) -> (B, C, 2H, 2W)."""
    return nn.Sequential(conv(channels, 4 * channels), nn.PixelShuffle(2), nn.LeakyReLU(0.2))


def squash(s: torch.Tensor) -> torch.Tensor:
    """s |s| / (1 + |s|^2): the direction of a capsule and a length in (0, 1). (B, A, D, H, W) -> the same."""
    square = s.square().sum(2, keepdim=True)
    return s * (square + 1e-12).sqrt() / (1 + square)  # a root has no slope at zero


class Capsules(nn.Module):
    """The FACs of a feature: for A = 40 attributes an SC and a PC of D values at every pixel.

    Shape: (B, C, H, W) -> the capsules (B, A, 2D, H, W), the attributes' logits (B, A), and the mean and log variance
    (B, A, D, H, W) of the PCs. In training a PC is drawn from its distribution, otherwise it is the mean.
    """

    def __init__(self, channels: int, values: int):
        super().__init__()
        self.semantic = conv(channels, ATTRIBUTES * values)
        self.mean, self.spread = conv(channels, ATTRIBUTES * values), conv(channels, ATTRIBUTES * values)
        nn.init.constant_(self.spread.bias, SPREAD)
        self.attribute = nn.Conv1d(2 * ATTRIBUTES * values, ATTRIBUTES, 1, groups=ATTRIBUTES)  # from its own capsule

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        sc, mean, spread = (layer(x).unflatten(1, (ATTRIBUTES, -1)) for layer in (
            self.semantic, self.mean, self.spread))
        pc = mean + torch.randn_like(mean) * (spread / 2).exp() if self.training else mean
        capsules = torch.cat([squash(sc), pc], dim=2)
        logits = self.attribute(capsules.mean((3, 4)).flatten(1)[:, :, None]).flatten(1)
        return capsules * logits.sigmoid()[:, :, None, None, None], logits, mean, spread


class FACN(nn.Module):
    """The whole network. The input is the LR face.

    Shape: (B, 3, H, W) in [-1, 1] -> (B, 3, 8H, 8W); any H and W but 0, which is BadInput.
    """

    def __init__(self, config: FACNConfig = FACNConfig()):
        super().__init__()
        self.config = config
        c = config.channels
        self.encoder = nn.Sequential(conv(3, c), *[Residual(c) for _ in range(config.blocks)])
        self.capsules = Capsules(c, config.values)
        doublings = [layer for _ in range(3) for layer in (double(c), Residual(c), Residual(c))]
        self.decoder = nn.Sequential(conv(2 * ATTRIBUTES * config.values, c),
                                     *[Residual(c) for _ in range(config.blocks)], *doublings, conv(c, 3))

    def generate(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """The capsules of a face, see `Capsules`. (B, 3, H, W) -> (B, 40, 2D, H, W) and the others."""
        self.config.check_input(image)
        return self.capsules(self.encoder(image))

    def draw(self, capsules: torch.Tensor) -> torch.Tensor:
        """The face of a group of capsules. (B, 40, 2D, H, W) -> (B, 3, 8H, 8W)."""
        return self.decoder(capsules.flatten(1, 2))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.config.finish(self.draw(self.generate(image)[0]), image)

    def loss(self, image: torch.Tensor, target: torch.Tensor,
             attributes: torch.Tensor | None = None) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """L1, divergence and, if they are known, attributes. target: (B, 3, 8H, 8W); attributes: (B, 40), 0 or 1."""
        capsules, logits, mean, spread = self.generate(image)
        pixel = (self.config.finish(self.draw(capsules), image) - target).abs().mean()
        mean, spread = mean.float(), spread.float()
        divergence = (mean.square() + spread.exp() - 1 - spread).mean() / 2
        total, values = pixel + DIVERGENCE * divergence, {"pixel": pixel, "divergence": divergence}
        if attributes is not None:
            values["attributes"] = F.binary_cross_entropy_with_logits(logits.float(), attributes)
            total = total + ATTRIBUTE * values["attributes"]
        return total, values
