"""AMIGAN (Sec. III-D, Eqs. 18 to 22): AMINet, trained on against a discriminator and VGG19's features.

The paper prints the losses, their weights and the two step sizes. Its discriminator, its start and its number of
images are not described. Ours: the discriminator of the works it cites [37, 38], and a start from AMINet's weights.
"""
from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .degrade import degrade, upsample
from .errors import BadInput
from .pretrained import locate
from .protocol import PROTOCOLS, psnr
from .train import Recipe, Run, restore
from .weights import find_weights, load_weights, sha256

COMPARED = ("fsrgan", "dicgan", "spargan", "sfmgan")  # Table VIII's, in aminet/baselines


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
                layers += [nn.BatchNorm2d(channels)] * normed + [nn.LeakyReLU(0.2)]
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
        return sum((a.float() - b.float()).abs().mean() for a, b in zip(self.layers(sr), real))


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


@dataclass(frozen=True)
class GANRecipe(Recipe):
    """How to train AMIGAN. The step sizes and weights are the paper's (Sec. IV-B); the rest is ours.

    lr, d_lr: Adam's step sizes of generator and discriminator.
    pixel, perceptual, adversarial: the weights of Eq. 22; perceptual 0 needs no VGG19.
    loss: `vanilla` as printed (Eqs. 20, 21) or `hinge`. width, norm: of the discriminator. r1: weight of R1, 0: none.
    choose: what picks the weights on validation, `lpips` or `psnr`. PSNR would pick the start: it only falls.
    """

    lr: float = 1e-4
    d_lr: float = 4e-4
    pixel: float = 1.0
    perceptual: float = 0.01
    adversarial: float = 0.01
    loss: str = "vanilla"
    width: int = 64
    norm: str = "batch"
    r1: float = 0.0
    choose: str = "lpips"

    def __post_init__(self):
        super().__post_init__()
        if not (self.d_lr > 0 and self.width >= 1 and min(self.pixel, self.perceptual, self.adversarial, self.r1) >= 0):
            raise BadInput("d_lr and width must be positive, and no weight of a loss below zero")
        for name, allowed in (("loss", ("vanilla", "hinge")), ("norm", ("spectral", "batch", "none")),
                              ("choose", ("lpips", "psnr"))):
            if getattr(self, name) not in allowed:
                raise BadInput(f"{name}={getattr(self, name)!r}: choose {', '.join(allowed)}")


class Collapse:
    """Says when the game is over: one call per look, with the look's mean values; a sentence if it is, else None.

    real, fake: mean probabilities D(HR) and D(SR). variety: how much the SR faces of a batch differ from each other,
    as a part of how much the HR faces do. batches: what the look covers. A state counts once it has
    lasted `patience` batches. sure: the probability from which the discriminator has won.
    """

    def __init__(self, patience: int = 250, sure: float = 0.99):
        self.patience, self.sure, self.won, self.lost, self.same = patience, sure, 0, 0, 0

    def __call__(self, real: float, fake: float, variety: float, batches: int = 1) -> str | None:
        self.won = self.won + batches if real > self.sure and fake < 1 - self.sure else 0
        self.lost = self.lost + batches if abs(real - fake) < 0.01 else 0
        self.same = self.same + batches if variety < 0.5 else 0
        if self.won >= self.patience:
            return "the discriminator has won: it knows every face, and its gradient no longer teaches"
        if self.lost >= self.patience:
            return "the discriminator has given up: it gives real and restored faces the same, so it teaches nothing"
        if self.same >= self.patience:
            return "the generator has collapsed: its faces differ from each other less than half as much as real ones"
        return None


def needs(recipe: GANRecipe) -> None:
    """BadInput, naming each, if pretrained networks that the recipe needs are neither here nor to be had."""
    problems = []
    for network, wanted in (("vgg19", recipe.perceptual), ("alexnet", recipe.choose == "lpips")):
        try:
            if wanted:
                locate(network)
        except BadInput as error:
            problems.append(str(error))
    if problems:
        raise BadInput("; ".join([*problems, "or go without: --perceptual 0 --choose psnr, which is not the paper's"]))


@torch.no_grad()
def variety(sr: Tensor, hr: Tensor) -> Tensor:
    """How much the SR faces of a batch differ from each other, as a part of how much the HR faces do. One says nothing.

    Shape: two of (B, 3, H, W) -> ().
    """
    return sr.std(0).mean() / hr.std(0).mean() if len(sr) > 1 else sr.new_ones(())


class AMIGANRun(Run):
    """One training run of AMIGAN in a folder. Both players move at once, on the gradients of the same batch.

    start: AMINet's weights, whose configuration the generator takes: a file, a run's folder, or ours by name.
    `best.safetensors` is the generator, an AMINet. Ends with BadInput when the game collapses. Else as `Run`.
    """

    def __init__(self, start: str | Path, recipe: GANRecipe, faces: Tensor, val: Tensor, out: str | Path,
                 preset: str = "amigan", **options):
        self.initial, header = load_weights(start)
        self.start = {"name": find_weights(start).name, "sha256": sha256(find_weights(start)),
                      **{k: header[k] for k in ("preset", "images", "val_psnr") if k in header}}
        self.collapse = Collapse(sure=0.73 if recipe.loss == "hinge" else 0.99)  # hinge teaches up to a logit of one
        super().__init__(self.initial.config, recipe, faces, val, out, preset=preset, **options)
        self.bicubic = float(psnr(upsample(degrade(val)), val, PROTOCOLS["paper"]).mean())  # in dB
        self.floor = min(self.bicubic, self.start.get("val_psnr", self.bicubic)) - 2  # a start may lie below bicubic

    def build(self) -> dict[str, tuple[nn.Module, torch.optim.Optimizer]]:
        recipe, device = self.recipe, self.accelerator.device
        self.header["start"] = self.start
        players = super().build()
        players["model"][0].load_state_dict(self.initial.state_dict())
        self.discriminator = self.opponent().to(device, memory_format=torch.channels_last)
        self.perceptual = None
        if recipe.perceptual:
            from .pretrained import vgg19

            features, self.header["vgg19"] = vgg19()
            self.perceptual = PerceptualLoss(features).to(device)
        adam = torch.optim.Adam(self.discriminator.parameters(), lr=recipe.d_lr, betas=(0.9, 0.99))
        return players | {"discriminator": (self.discriminator, adam)}

    def taught(self, network: nn.Module) -> nn.Module:
        return network  # its image, whatever loss it has learnt from before

    def opponent(self) -> nn.Module:
        """The other player."""
        return Discriminator(self.recipe.width, self.recipe.norm)

    def losses(self, x: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 22 for the generator plus Eq. 20 for the discriminator: neither reaches the other's weights."""
        recipe, none = self.recipe, x.new_zeros(())
        with self.accelerator.autocast():
            sr = self.model(x).float()
            self.discriminator.requires_grad_(False)
            adversarial = adversarial_loss(self.discriminator(sr).float(), recipe.loss)
            self.discriminator.requires_grad_(True)
            pixel = F.l1_loss(sr, target)
            perceptual = self.perceptual(sr, target) if self.perceptual else none
            target = target.detach().requires_grad_(bool(recipe.r1))
            real, fake = self.discriminator(target).float(), self.discriminator(sr.detach()).float()
            generator = recipe.pixel * pixel + recipe.perceptual * perceptual + recipe.adversarial * adversarial
            discriminator = discriminator_loss(real, fake, recipe.loss)
            penalty = r1_penalty(real, target) if recipe.r1 else none
        return generator + discriminator + recipe.r1 * penalty, {
            "loss": generator, "pixel": pixel, "perceptual": perceptual, "adversarial": adversarial,
            "discriminator": discriminator, "r1": penalty, "real": real.sigmoid().mean(),
            "fake": fake.sigmoid().mean(), "variety": variety(sr, target)}

    def gradients(self, *batch: Tensor) -> dict[str, Tensor] | None:
        means = super().gradients(*batch)
        if self.world > 1 and means is not None:  # Accelerate averages the generator's only
            for weight in self.discriminator.parameters():
                weight.grad = self.accelerator.reduce(weight.grad, "mean")
        return means

    def judge(self, sr: Tensor) -> tuple[float, dict[str, float]]:
        value, noted = super().judge(sr)
        if value < self.floor:
            self.stop(f"the generator has left the faces: {value:.2f} dB on validation, bicubic has {self.bicubic:.2f}")
        if self.recipe.choose == "psnr":
            return value, noted
        from .perceptual import lpips

        distance = float(lpips(sr, self.val).mean())
        return -distance, noted | {"val_lpips": round(distance, 4)}

    def watch(self, means: dict[str, float], batches: int) -> None:
        if problem := self.collapse(means["real"], means["fake"], means["variety"], batches):
            self.stop(problem)

    def stop(self, problem: str) -> None:
        self.log(collapse=problem)
        raise BadInput(f"collapse after {self.seen} images: {problem}; the last good state is in {self.state}. Start "
                       "again with --r1 10, --loss hinge, or a smaller --d-lr")

    def train(self, *arguments, **options) -> dict:
        if self.seen == 0 and self.accelerator.is_main_process:  # where the game starts from
            _, noted = self.judge(restore(self.plain, self.val))
            self.log(**noted)
        return super().train(*arguments, **options)


def compared(gan: str) -> type[nn.Module]:
    """The adversarial side of a compared GAN: the class in aminet/baselines/GAN.py; BadInput for another name."""
    if gan not in COMPARED:
        raise BadInput(f"unknown GAN {gan!r}: choose one of {', '.join(COMPARED)}")
    return getattr(import_module(f".baselines.{gan}", __package__), gan.upper())


@dataclass(frozen=True)
class ComparedRecipe(Recipe):
    """How to train a compared GAN of Table VIII. The weights of its losses are in its file.

    gan: one of COMPARED. lr, d_lr: Adam's step sizes of generator and discriminator. width: the discriminator's
    channels at 128x128. choose: what picks the weights on validation, `lpips` or `psnr`.
    """

    gan: str = "spargan"
    lr: float = 1e-4
    d_lr: float = 4e-4
    width: int = 64
    choose: str = "lpips"
    perceptual: ClassVar[bool] = True

    def __post_init__(self):
        super().__post_init__()
        if not (self.d_lr > 0 and self.width >= 1 and self.choose in ("lpips", "psnr")):
            raise BadInput("d_lr and width must be positive, and choose lpips or psnr")
        compared(self.gan)

    @property
    def loss(self) -> str:
        """Of the adversarial losses: `hinge` or `vanilla`."""
        return compared(self.gan).LOSS


class ComparedGANRun(AMIGANRun):
    """One training run of a compared GAN: AMIGAN's game with another opponent and other losses.

    start: the trained generator. The losses on its priors are left out: it has learnt from them before.
    """

    def opponent(self) -> nn.Module:
        return compared(self.recipe.gan)(self.recipe.width)

    def losses(self, x: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with self.accelerator.autocast():
            sr = self.model(x).float()
            generator, parts = self.discriminator.generator_loss(sr, target, x, self.perceptual)
            discriminator, judged = self.discriminator.discriminator_loss(sr.detach(), target, x)
        return generator + discriminator, {"loss": generator, **parts, "discriminator": discriminator, **judged,
                                           "variety": variety(sr, target)}
