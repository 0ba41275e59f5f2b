"""SPADNet: C. Wang et al., "SPADNet: Structure Prior-Aware Dynamic Network for Face Super-Resolution", IEEE TBIOM 2024.

One branch draws the face, another beside it draws heatmaps of its components. What the second one knows decides, for
every pixel, which neighbours a convolution of the first one listens to, and for the whole face, which channels matter.

From the description: the abstract and the layout of the authors' network are known, their kernels' details are not.
Known: the enlarged face, its 8x8 squares turned into channels, a convolution to 64 at 16x16; two branches of three
stages, each six RCABs (residual blocks with channel attention) and a PixelShuffle that doubles; between two RCABs of
the image a block (HAB) with a local structure-adaptive convolution, which is pixel-adaptive with a Gaussian kernel on
the heatmap feature, and a global structure-aware one, whose channels the pooled heatmap feature gates; both are joined
by convolutions and added; after each doubling the first feature, enlarged bicubically, is added; the image, and from
68 landmarks five heatmaps (eyes, nose, mouth, contour), which are needed in training alone.
Read off the published size: reduction 16 in an RCAB. Of a HAB's seven times 64 x 64 x 3 x 3 weights thop overlooks one,
so this is the pixel-adaptive convolution, and the MACs lack another, so this one works on a pooled feature: here the
gate, a 3x3 on 3x3 means. The others: a 3x3 on the heatmap feature as the kernel's guide, a 3x3 before the gate, and
two that join, 2C -> C -> C.
Chosen by us: the Gaussian takes the mean, not the sum, of squared differences over channels, which would vanish for 64
of them; LeakyReLU 0.2; the first feature is added in the image's branch alone; no global skip; initial weights that
keep the size of a feature, or make a tenth of it where a branch ends; L1 on the image plus the mean squared error of
the heatmaps, whose Gaussians have a sigma of 2 pixels.

Counts at 128x128: 7,557,720 parameters and 12.392 G MACs; the authors' network has 7.56 M and 12.4 G, 7.00 M and 11.4 G
by thop. The heatmaps are drawn with the image: their branch's last block, doubling and 3x3 are 0.953 G of these.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..config import HR, Config, bounded
from ..faces.priors import COMPONENTS, components, heatmaps
from .laat import ChannelGate

SIGMA = 2.0  # of a landmark's Gaussian, in pixels of 128x128
HEATMAP = 1.0  # weight of their error


@dataclass(frozen=True)
class SPADNetConfig(Config):
    """channels: C, the width of both branches. blocks: RCABs in a stage of either."""

    network: ClassVar[str] = "spadnet"
    multiple: ClassVar[int] = 8
    priors: ClassVar[tuple[str, ...]] = ("landmarks",)

    channels: int = bounded(64, 1, 1024)
    blocks: int = bounded(6, 1, 100)


def conv(before: int, after: int, gain: float = 1.0) -> nn.Conv2d:
    """3x3, whose untrained output is `gain` times as large as its input, on average."""
    layer = nn.Conv2d(before, after, 3, padding=1)
    nn.init.normal_(layer.weight, std=gain / (9 * before) ** 0.5)
    nn.init.zeros_(layer.bias)
    return layer


def double(channels: int) -> nn.Sequential:
    """Double the image. (B, C, H, W) -> (B, C, 2H, 2W)."""
    return nn.Sequential(conv(channels, 4 * channels), nn.PixelShuffle(2))


class RCAB(nn.Module):
    """Two 3x3 and channel attention around a shortcut. Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(conv(channels, channels), nn.LeakyReLU(0.2), conv(channels, channels, 0.1),
                                  ChannelGate(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


def neighbours(x: torch.Tensor) -> torch.Tensor:
    """The 3x3 pixels around each, row by row; zero outside. (B, C, H, W) -> (B, C, 9, H, W)."""
    b, c, height, width = x.shape
    return F.unfold(x, 3, padding=1).reshape(b, c, 9, height, width)


class PixelAdaptiveConv(nn.Module):
    """y_i = b + sum_j K(g_i, g_j) W_{j-i} x_j over the 3x3 neighbours j of i, with K = exp(-mean((g_i - g_j)^2) / 2).

    A 3x3 that hears a neighbour the less, the more the guide g differs there. Shape: two of (B, C, H, W) -> the same.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.project = nn.Conv2d(9 * channels, channels, 1)

    @staticmethod
    def kernel(guide: torch.Tensor) -> torch.Tensor:
        """K: (B, C, H, W) -> (B, 9, H, W) in (0, 1], 1 for the pixel itself."""
        return torch.exp(-(neighbours(guide) - guide[:, :, None]).square().mean(1) / 2)

    def forward(self, x: torch.Tensor, guide: torch.Tensor) -> torch.Tensor:
        return self.project((neighbours(x) * self.kernel(guide)[:, None]).flatten(1, 2))


class HAB(nn.Module):
    """Heatmap attention block: x + join([LSAC(x, h), GSAC(x, h)]), h the heatmap branch's feature.

    LSAC is a pixel-adaptive convolution with conv(h) as its guide, GSAC is conv(x) * sigmoid(conv(3x3 means of h)).
    Shape: two of (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.guide, self.local = conv(channels, channels), PixelAdaptiveConv(channels)
        self.everywhere = conv(channels, channels)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Conv2d(channels, channels, 3), nn.Sigmoid())
        self.join = nn.Sequential(conv(2 * channels, channels), nn.LeakyReLU(0.2),
                                  conv(channels, channels, 0.1))

    def forward(self, x: torch.Tensor, heat: torch.Tensor) -> torch.Tensor:
        near, far = self.local(x, self.guide(heat)), self.everywhere(x) * self.gate(heat)
        return x + self.join(torch.cat([near, far], dim=1))


class Stage(nn.Module):
    """RCABs of both branches, a HAB between two of the image, and both doubled. Two (B, C, H, W) -> (B, C, 2H, 2W)."""

    def __init__(self, channels: int, blocks: int):
        super().__init__()
        self.image, self.heat = (nn.ModuleList(RCAB(channels) for _ in range(blocks)) for _ in range(2))
        self.attention = nn.ModuleList(HAB(channels) for _ in range(blocks - 1))
        self.enlarge_image, self.enlarge_heat = double(channels), double(channels)

    def forward(self, x: torch.Tensor, heat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for i, (of_image, of_heat) in enumerate(zip(self.image, self.heat)):
            x, heat = of_image(x), of_heat(heat)
            if i < len(self.attention):
                x = self.attention[i](x, heat)
        return self.enlarge_image(x), self.enlarge_heat(heat)


class SPADNet(nn.Module):
    """The whole network. The input is the LR face, already enlarged bicubically.

    Shape: (B, 3, H, W) in [-1, 1] -> (B, 3, H, W); H and W are multiples of 8, else BadInput.
    """

    def __init__(self, config: SPADNetConfig = SPADNetConfig()):
        super().__init__()
        self.config = config
        c = config.channels
        self.head = nn.Sequential(nn.PixelUnshuffle(8), conv(3 * 8**2, c))
        self.stages = nn.ModuleList(Stage(c, config.blocks) for _ in range(3))
        self.tail, self.heat_tail = conv(c, 3), conv(c, len(COMPONENTS))

    def both(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The face (B, 3, H, W) and its components' heatmaps (B, 5, H, W)."""
        self.config.check_input(image)
        first = x = heat = self.head(image)
        for stage in self.stages:
            x, heat = stage(x, heat)
            x = x + F.interpolate(first, size=x.shape[2:], mode="bicubic")
        return self.config.finish(self.tail(x), image), self.heat_tail(heat)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.both(image)[0]

    def loss(self, image: torch.Tensor, target: torch.Tensor,
             landmarks: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """L1 of the image and the heatmaps' error. target: (B, 3, 128, 128); landmarks: (B, 68, 2), in pixels."""
        face, heat = self.both(image)
        pixel = (face - target).abs().mean()
        error = (heat - components(heatmaps(landmarks, HR, SIGMA))).square().mean()
        return pixel + HEATMAP * error, {"pixel": pixel, "heatmaps": error}
