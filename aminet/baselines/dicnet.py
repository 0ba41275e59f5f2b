"""DICNet: C. Ma et al., "Deep Face Super-Resolution with Iterative Collaboration between Attentive Recovery and
Landmark Estimation", CVPR 2020.

Two recurrent nets take turns. One draws the face, the other finds its landmarks; from the second turn on the first one
knows where eyes, nose, mouth and contour lie, and has a share of its channels work on each.

As described: the LR face, a 3x3 and PixelShuffle to 48 channels at 32x32; a feedback block of six groups that project
up and back, each from all before it by a 1x1; a deconvolution and a 3x3 draw what is added to the LR face, enlarged
bilinearly. In each of three later steps a 1x1 joins the feature and the last block's output; five branches of seven
residual blocks (one grouped convolution) follow, and a softmax over five heatmaps weighs them. A recurrent hourglass of
four levels draws 68 heatmaps at 32x32 from every face. Every step's face and heatmaps are compared with the truth, L1 +
0.1 mean squared error, and the steps are summed.
As in the authors' public code: the first step has a feedback block of its own, after a 1x1; the others share one. The
blocks project to 256x256 (12x12 of stride 8), the tail to 128x128 (8x8 of stride 4). A layer has one PReLU slope, 0.2
at first; the fusion has LeakyReLU 0.2. A heatmap is divided by its largest value, 0.05 at least; a component is the sum
of its landmarks', and the contour has the brows. The hourglass is 512 wide, 256 from the face beside 256 remembered;
the first step takes those of the face twice. Its residual blocks are 1x1, ReLU, 3x3, 1x1, half as wide inside, and it
enlarges bilinearly, corner to corner. No layer is normalised, nothing is detached; sigma is 1 pixel of 32x32.
Chosen by us: initial weights that keep the scale of a feature from step to step. The hourglass learns from the start;
the authors' is trained before and rests at first. Colours are in [-1, 1] and theirs span 1, so heatmaps weigh half as
much here. Pixels have their centres at halves, so a Gaussian lies 3/8 pixel nearer the origin. In training the feedback
blocks are computed again on the way back, which saves memory.

Counts at 128x128, from 16x16: 21,803,849 parameters and 45.337 G MACs, the authors' numbers; with three of the four
steps 33.628 G. thop counts 568.2 G: a transposed convolution of stride 8 counts 64 times over. (AMINet's Table X prints
22.8 M and 35.5 G.)
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ..config import Config, bounded
from ..faces.priors import heatmaps

LANDMARKS = 68  # in the iBUG order
COMPONENTS = (36, 42), (42, 48), (27, 36), (48, 68), (0, 27)  # eye, eye, nose, mouth, contour: first and after the last
FLAT = 0.05  # a heatmap that is lower everywhere counts as this high
GROUPS = 6  # projections up and back in the feedback block
FUSION = 7  # residual blocks in a component's branch
ALIGN = 0.1  # weight of the heatmaps' error


@dataclass(frozen=True)
class DICNetConfig(Config):
    """channels: C, the width of the net that draws the face; the hourglass is 32/3 C wide. steps: turns of both."""

    network: ClassVar[str] = "dicnet"
    multiple: ClassVar[int] = 8  # the hourglass halves four times, and starts at twice the size
    enlarged: ClassVar[bool] = False
    adds: ClassVar[str] = "bilinear"
    priors: ClassVar[tuple[str, ...]] = ("landmarks",)

    channels: int = bounded(48, 1, 1024)
    steps: int = bounded(4, 2, 20)

    @property
    def landmark_channels(self) -> int:
        """Half the width of the hourglass: 256 for 48 channels, a multiple of 8 for others."""
        return 8 * max(1, round(self.channels * 2 / 3))


def mix(before: int, after: int) -> nn.Sequential:
    """1x1 and PReLU."""
    return nn.Sequential(nn.Conv2d(before, after, 1), nn.PReLU(init=0.2))


def project_up(channels: int, times: int) -> nn.Sequential:
    """(B, C, H, W) -> (B, C, times H, times W)."""
    return nn.Sequential(nn.ConvTranspose2d(channels, channels, times + 4, times, padding=2), nn.PReLU(init=0.2))


def project_down(channels: int, times: int) -> nn.Sequential:
    """(B, C, times H, times W) -> (B, C, H, W)."""
    return nn.Sequential(nn.Conv2d(channels, channels, times + 4, times, padding=2), nn.PReLU(init=0.2))


def merged(maps: torch.Tensor) -> torch.Tensor:
    """The five components' maps, sums of their landmarks' with 1 as the largest. (B, 68, H, W) -> (B, 5, H, W)."""
    maps = maps / maps.amax((2, 3), keepdim=True).clamp(min=FLAT)
    return torch.stack([maps[:, first:end].sum(1) for first, end in COMPONENTS], dim=1)


class Residual(nn.Module):
    """`body` around a shortcut, a 1x1 where the width changes. Shape: (B, before, H, W) -> (B, after, H, W)."""

    def __init__(self, before: int, after: int, *body: nn.Module):
        super().__init__()
        self.body = nn.Sequential(*body)
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shortcut(x) + self.body(x)


def grouped(channels: int, groups: int) -> Residual:
    """Two 3x3 in `groups`, at equal width."""
    first, second = (nn.Conv2d(channels, channels, 3, padding=1, groups=groups) for _ in range(2))
    return Residual(channels, channels, first, nn.LeakyReLU(0.2), second)


def bottleneck(before: int, after: int) -> Residual:
    """1x1 to half the width, 3x3, and 1x1 back."""
    half = after // 2
    return Residual(before, after, nn.Conv2d(before, half, 1), nn.ReLU(), nn.Conv2d(half, half, 3, padding=1),
                    nn.Conv2d(half, after, 1))


class FeedbackBlock(nn.Module):
    """Groups of a projection up and one back, each from all small or all large features before it, joined by a 1x1.

    Shape: (B, C, H, W) -> (B, C, H, W); the large ones are (B, C, 8H, 8W).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.up = nn.ModuleList(project_up(channels, 8) for _ in range(GROUPS))
        self.down = nn.ModuleList(project_down(channels, 8) for _ in range(GROUPS))
        self.join_small, self.join_large = (nn.ModuleList(  # the first group has nothing to join
            mix(n * channels, channels) if n > 1 else nn.Identity() for n in range(1, GROUPS + 1)) for _ in range(2))
        self.last = mix(GROUPS * channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(self.project, x, use_reentrant=False) if self.training else self.project(x)

    def project(self, x: torch.Tensor) -> torch.Tensor:
        small, large = [x], []
        for up, down, join_small, join_large in zip(self.up, self.down, self.join_small, self.join_large):
            large.append(up(join_small(torch.cat(small, dim=1))))
            small.append(down(join_large(torch.cat(large, dim=1))))
        return self.last(torch.cat(small[1:], dim=1))


class AttentiveFusion(nn.Module):
    """sum_k softmax_k(h)_k B_k(x): a branch of residual blocks for each of K components, weighed at every pixel.

    Shape: (B, C, H, W) and heatmaps h (B, K, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int):
        super().__init__()
        k = len(COMPONENTS)
        self.branches = nn.Sequential(nn.Conv2d(channels, k * channels, 1), nn.LeakyReLU(0.2),
                                      *[grouped(k * channels, k) for _ in range(FUSION)])

    def forward(self, x: torch.Tensor, heat: torch.Tensor) -> torch.Tensor:
        branches = self.branches(x).unflatten(1, (heat.shape[1], -1))  # (B, K, C, H, W)
        return (heat.softmax(dim=1)[:, :, None] * branches).sum(1)


class Hourglass(nn.Module):
    """A block at full size, and `depth` halvings beside it with a block on either side. (B, C, H, W) -> the same."""

    def __init__(self, channels: int, depth: int):
        super().__init__()
        self.skip, self.before, self.after = (bottleneck(channels, channels) for _ in range(3))
        self.inner = Hourglass(channels, depth - 1) if depth > 1 else bottleneck(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low = self.after(self.inner(self.before(F.max_pool2d(x, 2))))
        return self.skip(x) + F.interpolate(low, scale_factor=2.0, mode="bilinear", align_corners=True)


class LandmarkNet(nn.Module):
    """The recurrent hourglass: a face and what it remembers (nothing at first) -> 68 heatmaps and what to remember.

    Shape: (B, 3, 4H, 4W) and (B, C, H, W) -> (B, 68, H, W) and (B, C, H, W); H and W are multiples of 16.
    """

    def __init__(self, channels: int):
        super().__init__()
        c = channels
        self.head = nn.Sequential(nn.Conv2d(3, c // 4, 7, 2, padding=3), nn.ReLU(), bottleneck(c // 4, c // 2),
                                  nn.MaxPool2d(2), bottleneck(c // 2, c // 2), bottleneck(c // 2, c))
        self.hourglass = nn.Sequential(nn.Conv2d(2 * c, 2 * c, 1), Hourglass(2 * c, 4))
        self.tail = nn.Sequential(bottleneck(c, c), nn.Conv2d(c, c, 1), nn.ReLU(), nn.Conv2d(c, LANDMARKS, 1))

    def forward(self, face: torch.Tensor, memory: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.head(face)
        x, memory = self.hourglass(torch.cat([x, x if memory is None else memory], dim=1)).chunk(2, dim=1)
        return self.tail(x), memory


def keep_scale(network: nn.Module, tails: tuple[nn.Module, ...]) -> None:
    """Initial weights with which a layer's output is about as large as its input, and a residual a tenth of it."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            weight, transposed = module.weight, isinstance(module, nn.ConvTranspose2d)
            heard = weight[:, 0].numel() / module.stride[0] ** 2 if transposed else weight[0].numel()
            nn.init.normal_(weight, std=(2 / heard) ** 0.5)
            nn.init.zeros_(module.bias)
    with torch.no_grad():
        for last in [m.body[-1] for m in network.modules() if isinstance(m, Residual)] + [*tails]:
            last.weight.mul_(0.1)


class DICNet(nn.Module):
    """The whole network. The input is the LR face.

    Shape: (B, 3, H, W) in [-1, 1] -> (B, 3, 8H, 8W); H and W are multiples of 8, else BadInput.
    """

    def __init__(self, config: DICNetConfig = DICNetConfig()):
        super().__init__()
        self.config = config
        c = config.channels
        self.head = nn.Sequential(nn.Conv2d(3, 4 * c, 3, padding=1), nn.PReLU(init=0.2), nn.PixelShuffle(2))
        self.begin, self.join = mix(c, c), mix(2 * c, c)
        self.fusion = AttentiveFusion(c)
        self.first, self.feedback = FeedbackBlock(c), FeedbackBlock(c)
        self.tail = nn.Sequential(project_up(c, 4), nn.Conv2d(c, 3, 3, padding=1))
        self.landmarks = LandmarkNet(config.landmark_channels)
        keep_scale(self, (self.tail[-1], self.landmarks.hourglass[0], self.landmarks.tail[-1]))

    def every_step(self, image: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The faces (B, 3, 8H, 8W) and the heatmaps (B, 68, 2H, 2W) of all steps."""
        self.config.check_input(image)
        feature = self.head(image)
        x = self.first(self.begin(feature))
        faces, maps, memory = [], [], None
        for step in range(self.config.steps):
            if step:
                x = self.fusion(self.join(torch.cat([feature, x], dim=1)), merged(maps[-1]))
                x = self.feedback(x)
            faces.append(self.config.finish(self.tail(x), image))
            heat, memory = self.landmarks(faces[-1], memory)
            maps.append(heat)
        return faces, maps

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.every_step(image)[0][-1]

    def loss(self, image: torch.Tensor, target: torch.Tensor,
             landmarks: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """L1 and the heatmaps' error, summed over the steps; `pixel` and `heatmaps` are those of the last.

        target: (B, 3, 8H, 8W) of the LR face's (B, 3, H, W); landmarks: (B, 68, 2), in pixels of 128x128.
        """
        faces, maps = self.every_step(image)
        truth = heatmaps(landmarks, maps[-1].shape[-1])
        pixels = [(face - target).abs().mean() for face in faces]
        errors = [F.mse_loss(heat.float(), truth) for heat in maps]
        return sum(pixels) + ALIGN * sum(errors), {"pixel": pixels[-1], "heatmaps": errors[-1]}
