"""FSRNet: Y. Chen et al., "FSRNet: End-to-End Learning Face Super-Resolution with Facial Priors", CVPR 2018.

A first net draws a coarse face, from which it is easier to see where the parts of a face lie than from the input. Two
more look at that: one for its features, one for its landmarks and its parsing map, and a decoder draws the face anew.

As described: residual blocks of 64 channels, 3 for the coarse face at 128x128, 12 in the encoder at 64x64 and 3 in the
decoder at 128x128, with a strided convolution and a deconvolution between; the prior net starts with a 7x7 of stride 2
and stacks two hourglasses; both priors share its feature, and the decoder takes this feature, not the maps drawn from
it; batch norm; tanh for both images; squared errors with equal weights, of the coarse and the final face and the maps.
Read off the published size: the prior net is 128 wide; the block that widens it and all of its hourglasses, of depth
3, are bottlenecks 128 -> 64 -> 64 -> 128, but two blocks between are not; nothing lies behind an hourglass but the 1x1
that draws all the maps.
Chosen by us: 68 landmarks as Gaussians with a sigma of 1 pixel at 64x64; a parsing map of 11 classes, those of Helen,
to which the 19 of CelebAMask-HQ are mapped, and which is left out for faces without one; pre-activation in the prior
net; a 4x4 deconvolution; PyTorch's initial weights. The errors of all maps are summed and related to the number of
values in an image, as in the paper's sums. With `from_bicubic` the final face starts as the enlarged one, the coarse
face does not.

Counts at 128x128: 3,283,733 parameters and 15.382 G MACs; the public network, which is not the authors', has 3.29 M and
15.4 G. (AMINet's Table X prints 27.5 M and 40.7 G: the authors' own network, which nobody can see.)
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..config import HR, Config, bounded
from ..faces.priors import heatmaps

LANDMARKS = 68
PARTS = ("background", "skin", "l_brow", "r_brow", "l_eye", "r_eye", "nose", "u_lip", "mouth", "l_lip", "hair")
# Which of these each of `aminet.faces.synthetic.CLASSES` is. Glasses are skin; ears, neck, cloth, hat are background.
PART_OF = (0, 1, 2, 3, 4, 5, 1, 0, 0, 0, 6, 8, 7, 9, 0, 0, 0, 10, 0)


@dataclass(frozen=True)
class FSRNetConfig(Config):
    """channels: C, the width of all but the prior net, which is 2C wide."""

    network: ClassVar[str] = "fsrnet"
    multiple: ClassVar[int] = 16  # one halving, then three in an hourglass
    priors: ClassVar[tuple[str, ...]] = ("landmarks", "parsing")
    to_rgb: ClassVar[tuple[str, ...]] = ("decoder",)

    channels: int = bounded(64, 1, 1024)


def parts(parsing: torch.Tensor) -> torch.Tensor:
    """The map of each of PARTS at half the size. int64 (B, H, W), of 19 classes -> float32 (B, 11, H/2, W/2)."""
    index = torch.tensor(PART_OF, device=parsing.device)[parsing]
    return F.avg_pool2d(F.one_hot(index, len(PARTS)).permute(0, 3, 1, 2).float(), 2)


def conv_norm_act(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm and ReLU; a stride divides the image."""
    return nn.Sequential(nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False),
                         nn.BatchNorm2d(after), nn.ReLU())


class Residual(nn.Module):
    """Two normalised 3x3 around a shortcut. Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(*conv_norm_act(channels, channels),
                                  nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class Bottleneck(nn.Module):
    """1x1 to half the channels, 3x3, 1x1 back, each behind a norm. Shape: (B, before, H, W) -> (B, after, H, W)."""

    def __init__(self, before: int, after: int):
        super().__init__()
        layers, width = [], before
        for n, kernel in ((after // 2, 1), (after // 2, 3), (after, 1)):
            layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, n, kernel, padding=kernel // 2, bias=False)]
            width = n
        self.body = nn.Sequential(*layers)
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shortcut(x) + self.body(x)


class Hourglass(nn.Module):
    """One block at full size, and `depth` halvings with blocks beside it. Shape: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, depth: int):
        super().__init__()
        self.skip, self.down, self.up = (Bottleneck(channels, channels) for _ in range(3))
        self.inner = Hourglass(channels, depth - 1) if depth > 1 else Bottleneck(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low = self.up(self.inner(self.down(F.max_pool2d(x, 2))))
        return self.skip(x) + F.interpolate(low, scale_factor=2.0, mode="nearest")


class FSRNet(nn.Module):
    """The whole network. The input is the LR face, already enlarged bicubically.

    Shape: (B, 3, H, W) in [-1, 1] -> (B, 3, H, W); H and W are multiples of 16, else BadInput.
    """

    def __init__(self, config: FSRNetConfig = FSRNetConfig()):
        super().__init__()
        self.config = config
        c, p = config.channels, 2 * config.channels
        self.coarse = nn.Sequential(conv_norm_act(3, c), *[Residual(c) for _ in range(3)],
                                    nn.Conv2d(c, 3, 3, padding=1), nn.Tanh())
        self.encoder = nn.Sequential(conv_norm_act(3, c, stride=2), *[Residual(c) for _ in range(12)],
                                     conv_norm_act(c, c))
        self.prior = nn.Sequential(
            conv_norm_act(3, c, 7, stride=2), Bottleneck(c, p), Residual(p), Residual(p), nn.ReLU(),
            Hourglass(p, 3), Hourglass(p, 3), conv_norm_act(p, p, 1))
        self.maps = nn.Conv2d(p, LANDMARKS + len(PARTS), 1)
        self.decoder = nn.Sequential(
            conv_norm_act(c + p, c), nn.ConvTranspose2d(c, c, 3, 2, padding=1, output_padding=1, bias=False),
            nn.BatchNorm2d(c), nn.ReLU(), *[Residual(c) for _ in range(3)], nn.Conv2d(c, 3, 3, padding=1), nn.Tanh())

    def everything(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The face and the coarse face, each (B, 3, H, W), and the maps (B, 68 + 11, H/2, W/2)."""
        self.config.check_input(image)
        coarse = self.coarse(image)
        prior = self.prior(coarse)
        face = self.decoder(torch.cat([self.encoder(coarse), prior], dim=1))
        return self.config.finish(face, image), coarse, self.maps(prior)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.everything(image)[0]

    def loss(self, image: torch.Tensor, target: torch.Tensor, landmarks: torch.Tensor,
             parsing: torch.Tensor | None = None) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Squared errors of both faces and of the maps that are known.

        target: (B, 3, 128, 128); landmarks: (B, 68, 2), in pixels; parsing: (B, 128, 128), of 19 classes.
        """
        face, coarse, maps = self.everything(image)
        known = {"landmarks": heatmaps(landmarks, HR // 2)}
        if parsing is not None:
            known["parsing"] = parts(parsing)
        drawn = dict(zip(("landmarks", "parsing"), maps.float().split([LANDMARKS, len(PARTS)], dim=1)))
        values = {"mse": F.mse_loss(face.float(), target), "coarse": F.mse_loss(coarse.float(), target)}
        for name, truth in known.items():
            values[name] = (drawn[name] - truth).square().sum() / target.numel()
        return sum(values.values()), {"pixel": (face - target).abs().mean()} | values
