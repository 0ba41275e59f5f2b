"""FSRGAN: Y. Chen et al., "FSRNet: End-to-End Learning Face Super-Resolution with Facial Priors", CVPR 2018.

FSRNet, trained on against a conditional discriminator: it sees the face beside the input that it was made from, and
judges patches instead of the whole.

As described: FSRNet's squared error, a perceptual loss with the weight 0.1 and a conditional adversarial loss with
0.001; FSRNet's step size 2.5e-4. (These three numbers were not compared with the paper's text again.)
Chosen by us: pix2pix's discriminator of 70x70 patches; the caller's perceptual features in place of VGG16's; the
generator's step size for the discriminator; no landmarks or parsing maps here, which FSRNet has learnt from before.
"""
from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..amigan import adversarial_loss, discriminator_loss


class FSRGAN(nn.Module):
    """The adversarial side of FSRGAN. width: channels of the first convolution, 8 times as many in the last but one.

    Images are (B, 3, H, W) in [-1, 1]; x is the generator's input, the enlarged face, and has their shape.
    """

    generator = "fsrnet"
    LOSS = "vanilla"
    LR, D_LR = 2.5e-4, 2.5e-4
    PIXEL, PERCEPTUAL, ADVERSARIAL = 1.0, 0.1, 1e-3

    def __init__(self, width: int = 64):
        super().__init__()
        layers, channels = [], 6
        for multiple, stride in ((1, 2), (2, 2), (4, 2), (8, 1)):
            normed = channels != 6
            layers.append(nn.Conv2d(channels, width * multiple, 4, stride, 1, bias=not normed))
            channels = width * multiple
            layers += [nn.BatchNorm2d(channels)] * normed + [nn.LeakyReLU(0.2)]
        self.discriminator = nn.Sequential(*layers, nn.Conv2d(channels, 1, 4, 1, 1))

    def judge(self, image: Tensor, x: Tensor) -> list[Tensor]:
        """One logit for every patch of 70x70 pixels, (B, 1, H/8 - 2, W/8 - 2)."""
        return [self.discriminator(torch.cat([image, x], dim=1)).float()]

    def generator_loss(self, sr: Tensor, target: Tensor, x: Tensor,
                       perceptual: Callable[[Tensor, Tensor], Tensor] | None) -> tuple[Tensor, dict[str, Tensor]]:
        """What the generator minimises, and its parts without their weights; `pixel` is the L1, for the record only."""
        self.requires_grad_(False)  # the discriminator learns from its own loss alone
        fake, = self.judge(sr, x)
        self.requires_grad_(True)
        parts = {"mse": F.mse_loss(sr, target),
                 "perceptual": perceptual(sr, target) if perceptual else sr.new_zeros(()),
                 "adversarial": adversarial_loss(fake)}
        loss = (self.PIXEL * parts["mse"] + self.PERCEPTUAL * parts["perceptual"]
                + self.ADVERSARIAL * parts["adversarial"])
        return loss, {"pixel": F.l1_loss(sr.detach(), target)} | parts

    def discriminator_loss(self, sr_detached: Tensor, target: Tensor, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What the discriminator minimises, and the mean probabilities that it gives real and restored patches."""
        (real,), (fake,) = self.judge(target, x), self.judge(sr_detached, x)
        return discriminator_loss(real, fake), {"real": real.sigmoid().mean(), "fake": fake.sigmoid().mean()}
