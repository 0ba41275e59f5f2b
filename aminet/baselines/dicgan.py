"""DICGAN: C. Ma et al., "Deep Face Super-Resolution with Iterative Collaboration between Attentive Recovery and
Landmark Estimation", CVPR 2020.

DICNet, trained on against a discriminator that judges the whole face.

As described: L1, a perceptual loss and an adversarial loss; DICNet is trained before.
As in the authors' public code: the discriminator is a LightCNN-9 with one logit, the one that SFMGAN has. Both players
have the vanilla loss, and the discriminator minimises the sum for real and restored faces. The weights are 1, 0.1 and
0.005 (for CelebA; for Helen L1 weighs 2), the step sizes 1e-4. The last step's face alone is judged.
Chosen by us: the caller's perceptual features, VGG19's, as the weights of the authors' LightCNN features are not at
hand. L1 counts once; the authors' loop counts the last face's once for each of the four steps. No landmarks here; the
authors go on with them (weight 0.1) at fixed weights of the hourglass, and here those learn on. Colours are in [-1, 1],
where theirs span 1.
"""
from __future__ import annotations

from torch import Tensor

from ..amigan import Adversary
from .sfmgan import LightCNN


class DICGAN(Adversary):
    """The adversarial side of DICGAN. width: of its discriminator, 64 for LightCNN-9's."""

    generator = "dicnet"
    WEIGHTS = {"pixel": 1.0, "perceptual": 0.1, "adversarial": 0.005}
    LR, D_LR = 1e-4, 1e-4

    def __init__(self, width: int = 64, **options):
        super().__init__(width, **options)
        self.discriminator = LightCNN(3, (128, 128), width)

    def judge(self, image: Tensor, x: Tensor) -> list[Tensor]:
        """One logit for every face, (B,)."""
        return [self.discriminator(image).float()]
