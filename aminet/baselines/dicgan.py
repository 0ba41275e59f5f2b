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

from ..amigan import AMIGAN


class DICGAN(AMIGAN):
    """The adversarial side of DICGAN, with AMIGAN's discriminator."""

    generator = "dicnet"
    WEIGHTS = {"pixel": 1.0, "perceptual": 0.1, "adversarial": 0.005}
    LR, D_LR = 1e-4, 1e-4
