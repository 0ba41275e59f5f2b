"""SPARGAN, as AMINet's Table VIII calls SPARNetHD: C. Chen et al., "Learning Spatial Attention for Face
Super-Resolution", IEEE TIP 2021.

SPARNet, trained on against three patch discriminators, which see the face at full, half and quarter size. Their
features are a second yardstick: those of the restored face shall match those of the real one.

As described: 100 L1 + VGG19's perceptual loss + 10 feature matching + hinge, the last two as means over the sizes;
spectral norm; step sizes 1e-4 and 4e-4.
Chosen by us: three strided convolutions instead of the authors' four, as their faces have 512 pixels and at a quarter
of 128 a fourth leaves nothing to judge; no instance norm beside the spectral one; feature matching as the mean over a
discriminator's layers, its logits left out; SPARNet itself as the generator, not the wider SPARNetHD.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..amigan import Adversary, adversarial_loss


def patches(width: int) -> nn.ModuleList:
    """A patch discriminator's layers: width, 2, 4 and 8 times width, one logit. (B, 3, H, W) -> (B, 1, H/8 - 2, ...)"""
    bound = nn.utils.parametrizations.spectral_norm
    layers, channels = [], 3
    for multiple, stride in ((1, 2), (2, 2), (4, 2), (8, 1)):
        layers.append(nn.Sequential(bound(nn.Conv2d(channels, multiple * width, 4, stride, 1)), nn.LeakyReLU(0.2)))
        channels = multiple * width
    return nn.ModuleList([*layers, bound(nn.Conv2d(channels, 1, 4, 1, 1))])


class SPARGAN(Adversary):
    """The adversarial side of SPARGAN. width: channels of the discriminators' first convolutions."""

    generator = "sparnet"
    WEIGHTS = {"pixel": 100.0, "perceptual": 1.0, "matching": 10.0, "adversarial": 1.0}
    LOSS = "hinge"
    LR, D_LR = 1e-4, 4e-4

    def __init__(self, width: int = 64, **options):
        super().__init__(width, **options)
        self.discriminators: list[nn.ModuleList] = nn.ModuleList(  # type: ignore[assignment]
            patches(width) for _ in range(3))

    def features(self, image: Tensor) -> list[list[Tensor]]:
        """What every layer makes of the face at full, half and quarter size; the last of each list are the logits."""
        scales = []
        for layers in self.discriminators:
            maps, y = [], image
            for layer in layers:
                y = layer(y)
                maps.append(y.float())
            scales.append(maps)
            image = F.avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False)
        return scales

    def judge(self, image: Tensor, x: Tensor) -> list[Tensor]:
        """One logit for every patch: (B, 1, 14, 14), (B, 1, 6, 6) and (B, 1, 2, 2)."""
        return [maps[-1] for maps in self.features(image)]

    def parts(self, sr: Tensor, target: Tensor, x: Tensor) -> dict[str, Tensor]:
        """With feature matching: the distance of the layers' features to those of the real face."""
        with torch.no_grad():
            real = self.features(target)
        fake = self.features(sr)
        matching = [F.l1_loss(a, b) for mine, theirs in zip(fake, real) for a, b in zip(mine[:-1], theirs[:-1])]
        judged = [adversarial_loss(maps[-1], self.kind) for maps in fake]
        return {"pixel": F.l1_loss(sr, target), "matching": torch.stack(matching).mean(),
                "adversarial": torch.stack(judged).mean()}
