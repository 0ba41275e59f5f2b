"""AD-GNN: Q. Bao et al., "Attention-Driven Graph Neural Network for Deep Face Super-Resolution", IEEE TIP 2022.

Patches of the feature are the nodes of a graph whose edges are drawn anew for every face, from each patch to those most
like it, wherever they lie. What these patches hold is summed and joined to the patch; a channel attention goes before.

From the description: there is no public code, so nothing here could be compared with it.
Known: a cross-scale dynamic graph block (CDG), which relates distant patches across scales and builds enhanced features
by two dynamic graphs; then a series of blocks (CASDG) of a channel-wise attention unit and a spatial-aware dynamic
graph unit (SDG), which finds similar patches of the feature and lets a dynamic graph convolution take from them.
Chosen by us: the LR face as input, as in the first author's SCTANet, and like there the bicubic face added at the end;
14 blocks of 184 channels around a long skip, three times (3x3, PixelShuffle 2) and two 3x3 at 128x128, to meet the
published size; a patch is 2x2 pixels, its neighbours are the 5 others of the largest cosine in a learned embedding less
its mean over the face, and the softmax of the cosines weighs them; a graph convolution is a 1x1 on the patch and the
weighted sum. CDG's first graph goes from a patch to patches of the halved feature, and takes what these were before,
twice as large; its second one is that of an SDG. The attention unit is two 3x3 and a gate of reduction 16. LeakyReLU
0.2; L1 alone; PyTorch's initial weights. Finding the neighbours has no gradient, weighing them does.

Counts at 128x128, from 16x16: 15,758,669 parameters and 14.654 G MACs, 0.028 G of them in the products of the graphs,
which thop overlooks (14.627 G); AMINet's Table X prints 15.8 M and 15.0 G for the authors' network: -0.3 % and -2.3 %.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..config import Config, bounded
from .laat import ChannelGate

NEIGHBOURS = 5
FAINT = 1e-3  # nodes nearer to the centre have no direction: those of a blank face are rounding noise
SHARPNESS = 10.0  # of the untrained softmax: the best of all neighbours outweighs one of a cosine 0.1 less by e


@dataclass(frozen=True)
class ADGNNConfig(Config):
    """channels: C, the width of the whole network. blocks: CASDG blocks."""

    network: ClassVar[str] = "ad_gnn"
    enlarged: ClassVar[bool] = False
    adds: ClassVar[str] = "bicubic"
    multiple: ClassVar[int] = 4  # halved, then patches of 2x2

    channels: int = bounded(184, 2, 1024, multiple=2)
    blocks: int = bounded(14, 1, 100)


def patches(x: torch.Tensor, size: int, stride: int) -> torch.Tensor:
    """The square patches of a feature, as nodes. (B, C, H, W) -> (B, nodes, C * size**2)."""
    return F.unfold(x, size, stride=stride).transpose(1, 2)


def picture(nodes: torch.Tensor, size: int, height: int, width: int) -> torch.Tensor:
    """Patches laid side by side, `height` rows of them. -> (B, C, size * height, size * width)."""
    b, _, values = nodes.shape
    return F.pixel_shuffle(nodes.transpose(1, 2).reshape(b, values, height, width), size)


class DynamicGraph(nn.Module):
    """Edges from each node to the NEIGHBOURS most like it, and the weighted sum of what lies at their ends.

    Args: itself: whether a node may be its own neighbour; in a graph between two features nodes have no "itself".
    Shape: queries (B, N, D), keys (B, M, D), values (B, M, V) -> (B, N, V).
    """

    def __init__(self, itself: bool):
        super().__init__()
        self.itself = itself
        self.sharpness = nn.Parameter(torch.tensor(SHARPNESS))

    def edges(self, queries: torch.Tensor, keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The neighbours' indices (B, N, K) and their weights (B, N, K), which sum to one over K."""
        centre = keys.mean(1, keepdim=True)  # what all patches share would make them all alike
        queries, keys = (F.normalize(nodes - centre, dim=-1, eps=FAINT) for nodes in (queries, keys))
        cosine = queries @ keys.transpose(1, 2)  # (B, N, M)
        if not self.itself:
            cosine = cosine.masked_fill(torch.eye(cosine.shape[1], dtype=torch.bool, device=cosine.device), -2.0)
        nearest = cosine.topk(min(NEIGHBOURS, cosine.shape[2] - (not self.itself)), dim=-1)
        return nearest.indices, (nearest.values * self.sharpness).softmax(dim=-1)

    def forward(self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        indices, weights = self.edges(queries, keys)
        b, n, k = indices.shape
        found = values.gather(1, indices.reshape(b, n * k, 1).expand(-1, -1, values.shape[2]))
        return (weights[:, :, None].to(values.dtype) @ found.reshape(b, n, k, -1)).squeeze(2)


class SDG(nn.Module):
    """Spatial-aware dynamic graph: y = mix([x, what similar patches of x hold]). Shape: (B, C, H, W) -> the same."""

    def __init__(self, channels: int):
        super().__init__()
        self.embed = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1)
        self.graph = DynamicGraph(itself=False)
        self.mix = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        nodes = patches(self.embed(x), 2, 2)
        gathered = self.graph(nodes, nodes, patches(self.value(x), 2, 2))
        return self.mix(torch.cat([x, picture(gathered, 2, x.shape[2] // 2, x.shape[3] // 2)], dim=1))


class CrossScale(nn.Module):
    """CDG's graph across scales. Each patch looks for its like in the halved feature and takes the undivided originals.

    A 2x2 patch of the halved feature was 4x4 before: laid side by side these make a feature of twice the size, with
    detail that the patch itself is too small to have, and a strided 2x2 brings it back. (B, C, H, W) -> the same.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.embed = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1)
        self.graph = DynamicGraph(itself=True)
        self.shrink = nn.Conv2d(channels, channels, 2, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        embedded = self.embed(x)
        keys = patches(F.avg_pool2d(embedded, 2), 2, 1)
        gathered = self.graph(patches(embedded, 2, 2), keys, patches(self.value(x), 4, 2))  # (B, HW/4, 16C)
        return self.shrink(picture(gathered, 4, x.shape[2] // 2, x.shape[3] // 2))


class CDG(nn.Module):
    """Cross-scale dynamic graph block: y = x + join([x, across scales, within x]). Shape: (B, C, H, W) -> the same."""

    def __init__(self, channels: int):
        super().__init__()
        self.across, self.within = CrossScale(channels), SDG(channels)
        self.join = nn.Conv2d(3 * channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.join(torch.cat([x, self.across(x), self.within(x)], dim=1))


class CASDG(nn.Module):
    """Channel attention, then an SDG, around a shortcut. Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(channels, channels, 3, padding=1), ChannelGate(channels), SDG(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class ADGNN(nn.Module):
    """The whole network. The input is the LR face; its bicubic enlargement is added at the end.

    Shape: (B, 3, H, W) in [-1, 1] -> (B, 3, 8H, 8W); H and W are multiples of 4, else BadInput.
    """

    def __init__(self, config: ADGNNConfig = ADGNNConfig()):
        super().__init__()
        self.config = config
        c = config.channels
        self.head = nn.Conv2d(3, c, 3, padding=1)
        self.cdg = CDG(c)
        self.blocks = nn.Sequential(*[CASDG(c) for _ in range(config.blocks)], nn.Conv2d(c, c, 3, padding=1))
        ups = [layer for _ in range(3) for layer in (nn.Conv2d(c, 4 * c, 3, padding=1), nn.PixelShuffle(2))]
        self.tail = nn.Sequential(
            *ups, nn.Conv2d(c, c, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(c, 3, 3, padding=1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.config.check_input(image)
        x = self.cdg(self.head(image))
        return self.config.finish(self.tail(x + self.blocks(x)), image)
