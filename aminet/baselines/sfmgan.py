"""SFMGAN: C. Wang et al., "Spatial-Frequency Mutual Learning for Face Super-Resolution", CVPR 2023.

SFMNet, trained on against two discriminators: one judges the face, the other its Fourier spectrum.

As described: both are LightCNN-9 with one logit, five steps of convolutions whose activation is the larger of two
halves of the channels (max-feature-map); the spectrum's takes the amplitude and phase of the three colours, 6 channels.
As in the authors' released settings: weights 1 for L1, 0.1 for the perceptual loss, 0.0005 for the face's and 0.1 for
the spectrum's adversarial loss, step sizes 1e-4. The released loop detaches the perceptual features from the face and
the spectrum's judgement of it from the discriminator, so neither teaches there; here both do.
As in the released loop, only the spatial face is judged. That loop keeps SFMNet's losses on the frequency branch's
face. Here they end with SFMNet's own training, and the game has none.
Chosen by us: the orthonormal half spectrum that SFMNet takes here; the spectrum's own loss with weight 1, Adam is blind
to it.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..amigan import Adversary, adversarial_loss
from .sfmnet import spectrum


class MaxFeatureMap(nn.Module):
    """The larger of a layer's two halves, channel by channel: the layer gives twice the channels that come out."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.layer(x).chunk(2, dim=1)
        return torch.maximum(a, b)


def conv(before: int, after: int, kernel: int) -> MaxFeatureMap:
    return MaxFeatureMap(nn.Conv2d(before, 2 * after, kernel, padding=kernel // 2))


class LightCNN(nn.Module):
    """LightCNN-9 with one logit. before: channels of the image. size: its height and width, halved four times.

    width: 64 for the channels of LightCNN-9, which are 48, 96, 192, 128 and 128, then 256 values.
    Shape: (B, before, *size) -> (B,).
    """

    def __init__(self, before: int, size: tuple[int, int], width: int = 64):
        super().__init__()
        layers, channels = [], max(1, 3 * width // 4)
        layers.append(conv(before, channels, 5))
        for after in (2 * channels, 4 * channels, 2 * width):
            layers += [nn.MaxPool2d(2, ceil_mode=True), conv(channels, channels, 1), conv(channels, after, 3)]
            channels = after
        layers += [conv(channels, channels, 1), conv(channels, channels, 3), nn.MaxPool2d(2, ceil_mode=True)]
        self.features = nn.Sequential(*layers)
        pixels = -(-size[0] // 16) * -(-size[1] // 16)  # rounded up
        self.judge = nn.Sequential(nn.Flatten(), MaxFeatureMap(nn.Linear(pixels * channels, 8 * width)),
                                   nn.LeakyReLU(0.2), nn.Linear(4 * width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.judge(self.features(x))[:, 0]


class SFMGAN(Adversary):
    """The adversarial side of SFMGAN. width: of both discriminators, 64 for LightCNN-9's."""

    generator = "sfmnet"
    WEIGHTS = {"pixel": 1.0, "perceptual": 0.1, "adversarial": 5e-4, "spectrum": 0.1}
    LR, D_LR = 1e-4, 1e-4
    MEAN = False

    def __init__(self, width: int = 64, **options):
        super().__init__(width, **options)
        self.of_face = LightCNN(3, (128, 128), width)
        self.of_spectrum = LightCNN(6, (128, 65), width)

    def judge(self, image: Tensor, x: Tensor) -> list[Tensor]:
        """The logit for the face and that for its spectrum, each (B,)."""
        return [self.of_face(image).float(), self.of_spectrum(torch.cat(spectrum(image), dim=1)).float()]

    def parts(self, sr: Tensor, target: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Each discriminator's loss has a weight of its own."""
        face, spectral = (adversarial_loss(fake, self.kind) for fake in self.judge(sr, x))
        return {"pixel": F.l1_loss(sr, target), "adversarial": face, "spectrum": spectral}
