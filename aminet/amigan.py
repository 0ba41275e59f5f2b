"""AMIGAN (Sec. III-D, Eqs. 18 to 22): AMINet, trained on against a discriminator and VGG19's features.

The paper prints the losses, their weights and the two step sizes. Its discriminator, its start and its number of
images are not described. Ours: the discriminator of the works it cites [37, 38], and a start from AMINet's weights.
"""
from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Discriminator(nn.Module):
    """One logit per face: real (positive) or restored (negative). Five halvings to 4x4, as in SRGAN and ESRGAN.

    width: channels at 128x128; 8 times as many from 16x16 on. norm: `batch` (the cited works'), `spectral` (the
    largest singular value of every weight matrix is one), or `none`.
    Shape: (B, 3, 128, 128) -> (B,).
    """

    def __init__(self, width: int = 64, norm: str = "batch"):
        super().__init__()
        bound = nn.utils.parametrizations.spectral_norm if norm == "spectral" else lambda layer: layer
        layers, channels = [], 3
        for multiple in (1, 2, 4, 8, 8):
            for kernel, stride in ((3, 1), (4, 2)):
                normed = norm == "batch" and channels != 3
                layers.append(bound(nn.Conv2d(channels, width * multiple, kernel, stride, 1, bias=not normed)))
                channels = width * multiple
                if normed:
                    layers.append(nn.BatchNorm2d(channels))
                layers.append(nn.LeakyReLU(0.2))
        self.features = nn.Sequential(*layers)  # (B, 8 width, 4, 4)
        self.judge = nn.Sequential(nn.Flatten(), bound(nn.Linear(16 * channels, 100)), nn.LeakyReLU(0.2),
                                   bound(nn.Linear(100, 1)))

    def forward(self, image: Tensor) -> Tensor:
        return self.judge(self.features(image))[:, 0]


class PerceptualLoss(nn.Module):
    """Eq. 19: the sum, over VGG19's layers, of the mean absolute difference of SR's and HR's features.

    The paper counts "the total number of layers in VGG": here its 16 convolutions, each after its ReLU.
    features: the convolutional part of a VGG19 (torchvision's layout), for example `pretrained.vgg19()[0]`.
    Shape: two images (B, 3, H, W) in [-1, 1] -> ().
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, features: nn.Sequential):
        super().__init__()
        self.vgg = features.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        # [-1, 1] -> [0, 1] -> ImageNet's mean and deviation, in one step
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        self.register_buffer("scale", (0.5 / deviation).reshape(1, 3, 1, 1))
        self.register_buffer("shift", ((0.5 - mean) / deviation).reshape(1, 3, 1, 1))

    def layers(self, image: Tensor) -> list[Tensor]:
        """The 16 feature maps of an image, fine to coarse: from (B, 64, H, W) to (B, 512, H/16, W/16)."""
        x, maps = image * self.scale + self.shift, []
        for layer in self.vgg:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                maps.append(x)
        return maps

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        with torch.no_grad():
            real = self.layers(hr)
        return torch.stack([(a.float() - b.float()).abs().mean() for a, b in zip(self.layers(sr), real)]).sum()


def discriminator_loss(real: Tensor, fake: Tensor, kind: str = "vanilla") -> Tensor:
    """Eq. 20 for logits (B,): -log D(HR) - log(1 - D(SR)), or `hinge`: no gain beyond a margin of one."""
    if kind == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    return F.softplus(-real).mean() + F.softplus(fake).mean()  # softplus(-x) = -log sigmoid(x)


def adversarial_loss(fake: Tensor, kind: str = "vanilla") -> Tensor:
    """Eq. 21 for logits (B,): -log D(SR), or for `hinge` the negative logit."""
    return -fake.mean() if kind == "hinge" else F.softplus(-fake).mean()


def r1_penalty(real: Tensor, images: Tensor) -> Tensor:
    """R1 (Mescheder et al., 2018): half the squared gradient of the logits (B,) at the real images, mean over B."""
    gradient, = torch.autograd.grad(real.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean() / 2


class Adversary(nn.Module):
    """The other side of a GAN: its discriminators, and the losses of both players (Eqs. 20 to 22).

    A GAN names its `generator`, the WEIGHTS of the generator's loss, its LOSS (`vanilla` or `hinge`), the step sizes
    LR and D_LR, and whether the MEAN or the sum of several discriminators' losses counts. It gives `judge` and, where
    its generator's loss has other parts, `parts`. Images are (B, 3, 128, 128) in [-1, 1]; x is what the generator took.

    width: of the discriminators. weights, loss: instead of the GAN's own. r1: weight of the R1 penalty.
    """

    generator = "aminet"
    WEIGHTS = {"pixel": 1.0, "perceptual": 0.01, "adversarial": 0.01}
    LOSS = "vanilla"
    LR, D_LR = 1e-4, 4e-4
    MEAN = True

    def __init__(self, width: int = 64, weights: dict[str, float] | None = None, loss: str = "", r1: float = 0.0):
        super().__init__()
        self.weights, self.kind, self.r1 = self.WEIGHTS | (weights or {}), loss or self.LOSS, r1

    def judge(self, image: Tensor, x: Tensor) -> list[Tensor]:
        """The logits of each discriminator, float32."""
        raise NotImplementedError

    def parts(self, sr: Tensor, target: Tensor, x: Tensor) -> dict[str, Tensor]:
        """The parts of the generator's loss, without their weights; the perceptual one is added to them."""
        judged = torch.stack([adversarial_loss(fake, self.kind) for fake in self.judge(sr, x)])
        return {"pixel": F.l1_loss(sr, target), "adversarial": judged.mean()}

    def generator_loss(self, sr: Tensor, target: Tensor, x: Tensor,
                       perceptual: Callable[[Tensor, Tensor], Tensor] | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 22: what the generator minimises, and its parts. It reaches no weight of the discriminators."""
        self.requires_grad_(False)
        parts = self.parts(sr, target, x)
        self.requires_grad_(True)
        parts["perceptual"] = perceptual(sr, target) if perceptual else sr.new_zeros(())
        weighted = [weight * parts[name] for name, weight in self.weights.items() if name in parts]
        return torch.stack(weighted).sum(), parts

    def discriminator_loss(self, sr: Tensor, target: Tensor, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 20, and the mean probabilities that both kinds of faces get. It reaches no weight of the generator."""
        target = target.detach().requires_grad_(bool(self.r1))
        real, fake = self.judge(target, x), self.judge(sr.detach(), x)
        losses = torch.stack([discriminator_loss(a, b, self.kind) for a, b in zip(real, fake)])
        loss = losses.mean() if self.MEAN else losses.sum()
        values = {name: torch.stack([logits.sigmoid().mean() for logits in side]).mean()
                  for name, side in (("real", real), ("fake", fake))}
        if self.r1:
            penalties = [r1_penalty(logits.reshape(len(target), -1).mean(1), target) for logits in real]
            values["r1"] = torch.stack(penalties).sum()
            loss = loss + self.r1 * values["r1"]
        return loss, values


class AMIGAN(Adversary):
    """The adversarial side of AMIGAN. width, norm: of its discriminator, which does not look at x."""

    def __init__(self, width: int = 64, norm: str = "batch", **options):
        super().__init__(width, **options)
        self.discriminator = Discriminator(width, norm)

    def judge(self, image: Tensor, x: Tensor) -> list[Tensor]:
        """One logit for every face, (B,)."""
        return [self.discriminator(image).float()]


class Collapse:
    """Says when the game is over: one call per look, with the look's mean values; a sentence if it is, else None.

    real, fake: mean probabilities D(HR) and D(SR). variety: see `variety`. batches: what the look covers. A state
    counts once it has lasted `patience` batches. sure: the probability from which the discriminator has won.
    """

    def __init__(self, patience: int = 250, sure: float = 0.99):
        self.patience, self.sure = patience, sure
        self.lasted: dict[str, int] = {}  # batches since which each state holds

    def __call__(self, real: float, fake: float, variety: float, batches: int = 1) -> str | None:
        states = {
            "the discriminator has won: it knows every face, and its gradient no longer teaches":
                real > self.sure and fake < 1 - self.sure,
            "the discriminator has given up: it gives real and restored faces the same, so it teaches nothing":
                abs(real - fake) < 0.01,
            "the generator has collapsed: its faces differ from each other less than half as much as real ones":
                variety < 0.5}
        for state, holds in states.items():
            self.lasted[state] = self.lasted.get(state, 0) + batches if holds else 0
        return next((state for state, batches in self.lasted.items() if batches >= self.patience), None)


@torch.no_grad()
def variety(sr: Tensor, hr: Tensor) -> Tensor:
    """How much SR faces (B, 3, H, W) differ from each other, as a part of how much HR faces do. One says nothing."""
    return sr.std(0).mean() / hr.std(0).mean() if len(sr) > 1 else sr.new_ones(())
