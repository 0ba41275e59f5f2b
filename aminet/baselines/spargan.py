"""SPARGAN, as AMINet's Table VIII calls SPARNetHD: C. Chen et al., "Learning Spatial Attention for Face
Super-Resolution", IEEE TIP 2021.

SPARNetHD (`hd` in sparnet.py), trained on against three patch discriminators, which see the face at full, half and
quarter size. Their features are a second yardstick: those of the restored face shall match those of the real one.

As described: 100 L1 + VGG19's perceptual loss + 10 feature matching + hinge, the last two as means over the sizes;
spectral norm; step sizes 1e-4 and 4e-4.
As in the authors' public code: a discriminator is a 3x3 to 64 channels, four 3x3 that halve the image, to 128, 256, 512
and 512, and a 3x3 for the logits. All but the last pad by reflection; instance norm follows the four, beside the
spectral one; LeakyReLU 0.2. The image is halved bicubically. Feature matching sums the layers' mean differences, the
logits left out.
Chosen by us: three halvings at quarter size, as a fourth would leave 2x2 values, too few for a 3x3; PyTorch's initial
weights. The perceptual loss takes AMIGAN's 16 layers of the face itself; theirs takes five, of the face at 224 pixels.
The generator has learnt by L1 before; theirs starts at random. Adam averages gradients by 0.9; theirs by 0.5. Weights
are averaged only where the recipe says so; theirs always are, by 0.999.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..amigan import Adversary, adversarial_loss
from .sparnet import conv, conv_norm_act, instance_norm


def patches(width: int, halvings: int) -> nn.ModuleList:
    """A patch discriminator's layers: width channels, twice as many after each halving up to 8 width, one logit.

    Shape: (B, 3, H, W) -> (B, 1, H / 2**halvings - 2, W / 2**halvings - 2).
    """
    layers: list[nn.Module] = [nn.Sequential(*conv(3, width), nn.LeakyReLU(0.2))]
    channels = width
    for _ in range(halvings):
        after = min(2 * channels, 8 * width)
        layers.append(conv_norm_act(channels, after, instance_norm, "down"))
        channels = after
    layers.append(nn.Conv2d(channels, 1, 3))
    for convolution in [part for layer in layers for part in layer.modules() if isinstance(part, nn.Conv2d)]:
        nn.utils.parametrizations.spectral_norm(convolution)
    return nn.ModuleList(layers)


class SPARGAN(Adversary):
    """The adversarial side of SPARGAN. width: channels of the discriminators' first convolutions."""

    generator = "sparnet"
    WEIGHTS = {"pixel": 100.0, "perceptual": 1.0, "matching": 10.0, "adversarial": 1.0}
    LOSS = "hinge"
    LR, D_LR = 1e-4, 4e-4

    def __init__(self, width: int = 64, **options):
        super().__init__(width, **options)
        self.discriminators: list[nn.ModuleList] = nn.ModuleList(  # type: ignore[assignment]
            patches(width, halvings) for halvings in (4, 4, 3))

    def features(self, image: Tensor) -> list[list[Tensor]]:
        """What every layer makes of the face at full, half and quarter size; the last of each list are the logits."""
        scales = []
        for layers in self.discriminators:
            maps, y = [], image
            for layer in layers:
                y = layer(y)
                maps.append(y.float())
            scales.append(maps)
            image = F.interpolate(image, scale_factor=0.5, mode="bicubic")
        return scales

    def judge(self, image: Tensor, x: Tensor) -> list[Tensor]:
        """One logit for every patch: (B, 1, 6, 6), (B, 1, 2, 2) and (B, 1, 2, 2)."""
        return [maps[-1] for maps in self.features(image)]

    def parts(self, sr: Tensor, target: Tensor, x: Tensor) -> dict[str, Tensor]:
        """With feature matching: the distance of the layers' features to those of the real face."""
        with torch.no_grad():
            real = self.features(target)
        fake = self.features(sr)
        matching = [F.l1_loss(a, b) for mine, theirs in zip(fake, real) for a, b in zip(mine[:-1], theirs[:-1])]
        judged = [adversarial_loss(maps[-1], self.kind) for maps in fake]
        return {"pixel": F.l1_loss(sr, target), "matching": torch.stack(matching).sum() / len(fake),
                "adversarial": torch.stack(judged).mean()}
