"""SISN: T. Lu et al., "Face Hallucination via Split-Attention in Split-Attention Network", ACM Multimedia 2021.

A residual network at 16x16 pixels whose blocks are ResNeSt's: four convolutions side by side, and for each channel a
softmax that decides how much of which to take. Whole groups of blocks are split in the same way, a deep path for
details and one block beside it for the structure of the face.

As described: 64 channels; ten groups (ESAG), each of ten blocks (ISAB) and a 3x3 beside one more block; a block is a
1x1, split attention, a 1x1, a shortcut and a ReLU; a long shortcut; a 3x3 to RGB; no global skip.
As in the authors' released network: the enlarged face is folded, 8x8 pixels into channels, before the first 3x3; a
split's 3x3 sees a quarter of the channels; batch norms behind all convolutions of a block but the one before the
softmax; a 3x3 behind the groups; PixelShuffle three times two.
Chosen by us: a bias only where no norm follows; the gate is C wide at every C; the face is enlarged bicubically instead
of by nearest neighbour; no shift by the data set's mean colour; PyTorch's initial weights, except that the last norm
of a block starts at zero (P. Goyal et al., 2017), so that the 110 blocks start as shortcuts. From bicubic, after 800
pictures, that gives 25.10 dB on validation (bicubic: 24.36); with all norms at one 23.77, and 24.49 with their
statistics measured anew.

Counts at 128x128: 8,297,411 parameters and 2.224 G MACs; the authors' network has 8.76 M and 2.22 G. 0.45 M of theirs
lie idle, unseen by thop (8.30 M): a 1x1 for the shortcut of each block, needed only where a width changes.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..config import bounded
from .rcan import RCANConfig, conv, enlarge

FOLD = 8  # pixels to a side that become channels
SPLITS = 4


@dataclass(frozen=True)
class SISNConfig(RCANConfig):
    """channels: C, a multiple of 4. groups: ESAGs; blocks: ISABs on the deep path of each."""

    network: ClassVar[str] = "sisn"
    multiple: ClassVar[int] = FOLD
    enlarged: ClassVar[bool] = True

    channels: int = bounded(64, SPLITS, 1024, multiple=SPLITS)
    groups: int = bounded(10, 1, 20)
    blocks: int = bounded(10, 1, 20)


def pointwise(before: int, after: int) -> tuple[nn.Module, nn.Module]:
    """1x1 and its batch norm, whose shift makes a bias useless."""
    return nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after)


class SplitAttention(nn.Module):
    """y = sum over s of softmax_s(W2 relu(norm(W1 mean(sum over s of x_s)))) * x_s, x_s the four splits.

    Shape: (B, C, H, W) -> (B, C, H, W). The norm inside the gate sees one value per image: train on two or more.
    """

    def __init__(self, channels: int):
        super().__init__()
        wide = SPLITS * channels
        self.splits = nn.Sequential(nn.Conv2d(channels, wide, 3, padding=1, groups=SPLITS, bias=False),
                                    nn.BatchNorm2d(wide), nn.ReLU())
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), *pointwise(channels, channels), nn.ReLU(),
                                  nn.Conv2d(channels, wide, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.stack(self.splits(x).chunk(SPLITS, dim=1), dim=1)  # (B, 4, C, H, W)
        logits = self.gate(x.sum(dim=1)).reshape(len(x), SPLITS, -1, 1, 1)
        return (logits.softmax(dim=1) * x).sum(dim=1)


class ISAB(nn.Module):
    """Internal-feature split attention block: y = relu(x + F(x)). Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(*pointwise(channels, channels), nn.ReLU(), SplitAttention(channels),
                                  *pointwise(channels, channels))
        nn.init.zeros_(self.body[-1].weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.body(x))


class ESAG(nn.Module):
    """External-internal split attention group: y = deep(x) + structure(x). Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, blocks: int):
        super().__init__()
        self.deep = nn.Sequential(*[ISAB(channels) for _ in range(blocks)], conv(channels, channels))
        self.structure = ISAB(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.deep(x) + self.structure(x)


class SISN(nn.Module):
    """The whole network. The input is the LR face, already enlarged bicubically.

    Shape: (B, 3, H, W) in [-1, 1] -> (B, 3, H, W); H and W are multiples of 8, else BadInput.
    """

    def __init__(self, config: SISNConfig = SISNConfig()):
        super().__init__()
        self.config, c = config, config.channels
        self.head = nn.Sequential(nn.PixelUnshuffle(FOLD), conv(3 * FOLD * FOLD, c))
        self.groups = nn.Sequential(*[ESAG(c, config.blocks) for _ in range(config.groups)])
        self.last = conv(c, c)
        self.tail = enlarge(c)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.config.check_input(image)
        x = self.head(image)
        return self.config.finish(self.tail(x + self.last(self.groups(x))), image)
