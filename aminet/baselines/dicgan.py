"""DICGAN: C. Ma et al., "Deep Face Super-Resolution with Iterative Collaboration between Attentive Recovery and
Landmark Estimation", CVPR 2020.

DICNet, trained on against a discriminator that judges the whole face.

As described: L1, a perceptual loss and an adversarial loss with the weights 1, 0.1 and 0.005 (the authors' settings for
CelebA; for Helen L1 weighs 2); step sizes 1e-4 for both players.
Chosen by us: SRGAN's discriminator, the one AMIGAN has here, where the authors' settings name a LightCNN; the caller's
perceptual features in place of LightCNN's; no landmarks here, which DICNet has learnt from before and the authors go on
with (weight 0.1).
"""
from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from ..amigan import Discriminator, adversarial_loss, discriminator_loss


class DICGAN(nn.Module):
    """The adversarial side of DICGAN. width: channels of the discriminator at 128x128.

    Images are (B, 3, 128, 128) in [-1, 1]; x, the generator's input, is not looked at.
    """

    generator = "dicnet"
    LOSS = "vanilla"
    LR, D_LR = 1e-4, 1e-4
    PIXEL, PERCEPTUAL, ADVERSARIAL = 1.0, 0.1, 0.005

    def __init__(self, width: int = 64):
        super().__init__()
        self.discriminator = Discriminator(width, "batch")

    def judge(self, image: Tensor, x: Tensor) -> list[Tensor]:
        """One logit for every face, (B,)."""
        return [self.discriminator(image).float()]

    def generator_loss(self, sr: Tensor, target: Tensor, x: Tensor,
                       perceptual: Callable[[Tensor, Tensor], Tensor] | None) -> tuple[Tensor, dict[str, Tensor]]:
        """What the generator minimises, and its parts without their weights."""
        self.requires_grad_(False)  # the discriminator learns from its own loss alone
        fake, = self.judge(sr, x)
        self.requires_grad_(True)
        parts = {"pixel": F.l1_loss(sr, target),
                 "perceptual": perceptual(sr, target) if perceptual else sr.new_zeros(()),
                 "adversarial": adversarial_loss(fake)}
        loss = (self.PIXEL * parts["pixel"] + self.PERCEPTUAL * parts["perceptual"]
                + self.ADVERSARIAL * parts["adversarial"])
        return loss, parts

    def discriminator_loss(self, sr_detached: Tensor, target: Tensor, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What the discriminator minimises, and the mean probabilities that it gives real and restored faces."""
        (real,), (fake,) = self.judge(target, x), self.judge(sr_detached, x)
        return discriminator_loss(real, fake), {"real": real.sigmoid().mean(), "fake": fake.sigmoid().mean()}
