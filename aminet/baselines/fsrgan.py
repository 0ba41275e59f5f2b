"""FSRGAN: Y. Chen et al., "FSRNet: End-to-End Learning Face Super-Resolution with Facial Priors", CVPR 2018.

FSRNet, trained on against a conditional discriminator: it sees the face beside the input that it was made from, and
judges patches instead of the whole.

As described: FSRNet's squared error, a perceptual loss with the weight 0.1 and a conditional adversarial loss with
0.001; FSRNet's step size 2.5e-4.
Chosen by us: pix2pix's discriminator of 70x70 patches; VGG19's perceptual features in place of VGG16's; the
generator's step size for the discriminator; no landmarks or parsing maps here, which FSRNet has learnt from before.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..amigan import Adversary


class FSRGAN(Adversary):
    """The adversarial side of FSRGAN. width: channels of the first convolution, 8 times as many in the last but one."""

    generator = "fsrnet"
    WEIGHTS = {"mse": 1.0, "perceptual": 0.1, "adversarial": 1e-3}
    LR, D_LR = 2.5e-4, 2.5e-4

    def __init__(self, width: int = 64, **options):
        super().__init__(width, **options)
        layers, channels = [], 6
        for multiple, stride in ((1, 2), (2, 2), (4, 2), (8, 1)):
            normed = channels != 6
            layers.append(nn.Conv2d(channels, width * multiple, 4, stride, 1, bias=not normed))
            channels = width * multiple
            layers += [nn.BatchNorm2d(channels)] * normed + [nn.LeakyReLU(0.2)]
        self.discriminator = nn.Sequential(*layers, nn.Conv2d(channels, 1, 4, 1, 1))

    def judge(self, image: Tensor, x: Tensor) -> list[Tensor]:
        """One logit for every patch of 70x70 pixels, (B, 1, H/8 - 2, W/8 - 2), of the face beside the input."""
        return [self.discriminator(torch.cat([image, x], dim=1)).float()]

    def parts(self, sr: Tensor, target: Tensor, x: Tensor) -> dict[str, Tensor]:
        """The squared error in place of L1; `pixel`, the L1, is for the record only."""
        parts = super().parts(sr, target, x)
        return parts | {"pixel": parts["pixel"].detach(), "mse": F.mse_loss(sr, target)}
