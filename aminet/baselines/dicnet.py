"""DICNet: C. Ma et al., "Deep Face Super-Resolution with Iterative Collaboration between Attentive Recovery and
Landmark Estimation", CVPR 2020.

Two recurrent nets take turns. One draws the face, the other finds its landmarks; from the second turn on the first one
knows where eyes, nose, mouth and contour lie, and has a share of its channels work on each.

As described: the LR face, a 3x3 and PixelShuffle to 48 channels at 32x32; a feedback block of six groups that project
up to 128x128 and back (8x8 of stride 4), each from all before it by a 1x1; a deconvolution and a 3x3 draw what is added
to the LR face, enlarged bilinearly; from the second of four steps a 1x1 joins the feature and the block's last output,
five branches of seven residual blocks (one grouped convolution) follow, and a softmax over five heatmaps weighs them;
a recurrent hourglass of 256 channels and four levels draws 68 heatmaps at 32x32 from every face; every step's face and
heatmaps are compared with the truth, L1 + 0.1 mean squared error, and the steps are summed.
Read off the published size: all steps share one feedback block; the hourglass has one residual block of two 3x3 on
either side of a halving, one beside it and one after all; three before it, 64 -> 128 at 64x64, 128 -> 128 -> 256 at
32x32.
Chosen by us: a component's heatmap is the largest of its landmarks', a Gaussian has a sigma of 1 pixel at 32x32; in the
first step the hourglass's feature stands for its last output; no norms; one PReLU slope for a layer of the feedback
block, ReLU elsewhere; heatmaps are not detached, so that the faces teach the hourglass too; initial weights that keep
the scale of a feature, with which a small one learns in half the steps that it takes with PyTorch's.

Counts at 128x128, from 16x16: 21,692,081 parameters and 44.756 G MACs; the authors' network has 21.80 M and 45.3 G.
thop counts 108.2 G: a transposed convolution of stride 4 sixteen times over. (AMINet's Table X prints 22.8 M and
35.5 G; with three of the four steps the authors' has 33.6 G.)
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..config import Config, bounded
from ..faces.priors import COMPONENTS, components, heatmaps
from ..transformer import LayerNorm

LANDMARKS = 68
GROUPS = 6  # projections up and back in the feedback block
FUSION = 7  # residual blocks in a component's branch
ALIGN = 0.1  # weight of the heatmaps' error


@dataclass(frozen=True)
class DICNetConfig(Config):
    """channels: C, the width of the net that draws the face; the hourglass is 16/3 C wide. steps: turns of both."""

    network: ClassVar[str] = "dicnet"
    multiple: ClassVar[int] = 8  # the hourglass halves four times, and starts at twice the size
    enlarged: ClassVar[bool] = False
    priors: ClassVar[tuple[str, ...]] = ("landmarks",)

    channels: int = bounded(48, 1, 1024)
    steps: int = bounded(4, 2, 20)

    @property
    def landmark_channels(self) -> int:
        """Width of the hourglass: 256 for 48 channels, a multiple of 8 for others."""
        return 8 * max(1, round(self.channels * 2 / 3))


def mix(before: int, after: int) -> nn.Sequential:
    """1x1 and PReLU."""
    return nn.Sequential(nn.Conv2d(before, after, 1), nn.PReLU())


def project_up(channels: int) -> nn.Sequential:
    """(B, C, H, W) -> (B, C, 4H, 4W)."""
    return nn.Sequential(nn.ConvTranspose2d(channels, channels, 8, 4, padding=2), nn.PReLU())


def project_down(channels: int) -> nn.Sequential:
    """(B, C, 4H, 4W) -> (B, C, H, W)."""
    return nn.Sequential(nn.Conv2d(channels, channels, 8, 4, padding=2), nn.PReLU())


class Residual(nn.Module):
    """Two 3x3 around a shortcut, in `groups`. Shape: (B, before, H, W) -> (B, after, H, W)."""

    def __init__(self, before: int, after: int, groups: int = 1):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(before, after, 3, padding=1, groups=groups), nn.ReLU(),
                                  nn.Conv2d(after, after, 3, padding=1, groups=groups))
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shortcut(x) + self.body(x)


class FeedbackBlock(nn.Module):
    """Groups of a projection up and one back, each from all small or all large features before it, joined by a 1x1.

    Shape: (B, C, H, W) -> (B, C, H, W); the large ones are (B, C, 4H, 4W).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.up = nn.ModuleList(project_up(channels) for _ in range(GROUPS))
        self.down = nn.ModuleList(project_down(channels) for _ in range(GROUPS))
        self.join_small, self.join_large = (nn.ModuleList(  # the first group has nothing to join
            mix(n * channels, channels) if n > 1 else nn.Identity() for n in range(1, GROUPS + 1)) for _ in range(2))
        self.last = mix(GROUPS * channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
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
        self.branches = nn.Sequential(nn.Conv2d(channels, k * channels, 1), *[
            Residual(k * channels, k * channels, groups=k) for _ in range(FUSION)])

    def forward(self, x: torch.Tensor, heat: torch.Tensor) -> torch.Tensor:
        branches = self.branches(x).unflatten(1, (heat.shape[1], -1))  # (B, K, C, H, W)
        return (heat.softmax(dim=1)[:, :, None] * branches).sum(1)


class Hourglass(nn.Module):
    """A block at full size, and `depth` halvings beside it with a block on either side. (B, C, H, W) -> the same."""

    def __init__(self, channels: int, depth: int):
        super().__init__()
        self.skip, self.before, self.after = (Residual(channels, channels) for _ in range(3))
        self.inner = Hourglass(channels, depth - 1) if depth > 1 else Residual(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low = self.after(self.inner(F.max_pool2d(self.before(x), 2)))
        return self.skip(x) + F.interpolate(low, scale_factor=2.0, mode="nearest")


class LandmarkNet(nn.Module):
    """The recurrent hourglass: a face and the last feature (none at first) -> 68 heatmaps and the new feature.

    Shape: (B, 3, 4H, 4W) and (B, C, H, W) -> (B, 68, H, W) and (B, C, H, W); H and W are multiples of 16.
    """

    def __init__(self, channels: int):
        super().__init__()
        c = channels
        self.head = nn.Sequential(nn.Conv2d(3, c // 4, 7, 2, padding=3), nn.ReLU(), Residual(c // 4, c // 2),
                                  nn.MaxPool2d(2), Residual(c // 2, c // 2), Residual(c // 2, c))
        self.norm, self.join = LayerNorm(c), nn.Conv2d(2 * c, c, 1)
        self.hourglass = nn.Sequential(Hourglass(c, 4), Residual(c, c))
        self.tail = nn.Sequential(nn.Conv2d(c, c, 1), nn.ReLU(), nn.Conv2d(c, LANDMARKS, 1))

    def forward(self, face: torch.Tensor, last: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.head(face)
        last = self.norm(x if last is None else last)
        x = self.hourglass(self.join(torch.cat([x, last], dim=1)))
        return self.tail(x), x


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
        self.head = nn.Sequential(nn.Conv2d(3, 4 * c, 3, padding=1), nn.PReLU(), nn.PixelShuffle(2))
        self.join = mix(2 * c, c)
        self.fusion = AttentiveFusion(c)
        self.feedback = FeedbackBlock(c)
        self.tail = nn.Sequential(project_up(c), nn.Conv2d(c, 3, 3, padding=1))
        self.landmarks = LandmarkNet(config.landmark_channels)
        keep_scale(self, (self.tail[-1], self.landmarks.tail[-1]))

    def every_step(self, image: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The faces (B, 3, 8H, 8W) and the heatmaps (B, 68, 2H, 2W) of all steps."""
        self.config.check_input(image)
        enlarged = F.interpolate(image, scale_factor=8.0, mode="bilinear")
        first = x = self.head(image)
        faces, maps, feature = [], [], None
        for step in range(self.config.steps):
            if step:
                x = self.fusion(self.join(torch.cat([first, x], dim=1)), components(maps[-1]))
            x = self.feedback(x)
            faces.append(enlarged + self.tail(x))
            heat, feature = self.landmarks(faces[-1], feature)
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
