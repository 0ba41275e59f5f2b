"""Games: what a `Trainer` trains, and on which loss. One network on L1 (Eq. 17) or its own loss, or a GAN (Eq. 22).

A game builds its networks on the CPU, with the recipe's seed; the trainer moves them to the device.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..amigan import Adversary, Collapse, PerceptualLoss, variety
from ..baselines.registry import adversary_class, build, read_config
from ..config import Config, bounded, one_of
from ..degrade import degrade, upsample
from ..errors import BadInput
from ..faces.priors import check_priors
from ..files import sha256
from ..metrics.pretrained import missing_network, missing_package, vgg19
from ..protocol import PROTOCOLS, psnr
from ..train import Recipe
from .weights import find_weights, load_weights, read_network

Losses = tuple[Tensor, dict[str, Tensor]]  # what to minimise, and what to log of it


class BaseGame(nn.Module):
    """What `Trainer` takes: a network that learns, its Adam (0.9, 0.99) and its score. Subclasses add the loss.

    config: of the network that restores faces. recipe: how to train. notes: for the header of the run's files.
    call: what is called in training, see `use`. fp16: whether 16-bit floats are safe for it.
    """

    fp16 = True
    call: Callable

    def __init__(self, config: Config, recipe: Recipe, preset: str = "", start: str | Path | None = None):
        super().__init__()
        torch.manual_seed(recipe.seed)
        self.config, self.recipe, self.network = config, recipe, build(config)
        self.notes: dict[str, Any] = {"preset": preset, "config": config.to_dict()}
        if start:
            given, self.notes["start"] = start_weights(start, config)
            self.network.load_state_dict(given)
        self.use(self.network)

    def use(self, call: Callable) -> None:
        """Call this in training: the network, its own loss, or a compiled one of them."""
        self.__dict__["call"] = call  # an attribute, not a part of its own

    def networks(self) -> dict[str, nn.Module]:
        """All that is trained, saved and resumed, by name; `model` is the one that restores faces."""
        return {"model": self.network}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The Adam of each network. They are made at the first call, on the device where the networks are."""
        return self._adams

    @cached_property
    def _adams(self) -> dict[str, torch.optim.Optimizer]:
        rates = {"model": self.recipe.lr, "discriminator": getattr(self.recipe, "d_lr", 0.0)}
        fused = next(self.network.parameters()).is_cuda or None
        return {name: torch.optim.Adam(network.parameters(), lr=rates[name], betas=(0.9, 0.99), fused=fused)
                for name, network in self.networks().items()}

    def loss(self, x: Tensor, target: Tensor, priors: dict[str, Tensor] | None = None) -> Losses:
        """Return what to minimise, and what to log of it.

        x: (B, 3, 128, 128), or (B, 3, 16, 16) for a network that takes the LR face; target: (B, 3, 128, 128); both
        float32 in [-1, 1]. priors: of the batch, for an own loss.
        """
        raise NotImplementedError

    def score(self, sr: Tensor, hr: Tensor) -> tuple[float, dict[str, float]]:
        """Return the score that chooses the weights, higher is better, and what to note with it.

        sr: float32 (N, 3, 128, 128) in [-1, 1], hr: uint8, the validation faces.
        """
        value = float(psnr(sr, hr, PROTOCOLS["paper"]).mean())
        return value, {"val_psnr": round(value, 4)}

    def check(self, means: dict[str, float], batches: int) -> str | None:
        """Say why the training must end now; None to go on.

        means: the mean losses of the last `batches` batches, or what a validation noted (and 0 batches).
        """
        return None


def start_weights(start: str | Path, config: Config | None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights that a training starts from, and what to note of them.

    start: a file, a run's folder, or ours by name. BadInput if they are of another configuration; None: of any.
    """
    given, header = load_weights(start)
    if config and read_config(header["config"]) != config:
        raise BadInput(f"--start {start} is another network: {type(given).__name__} {header['config']}")
    path = find_weights(start)
    return given.state_dict(), {"name": path.name, "sha256": sha256(path), **{
        key: header[key] for key in ("preset", "images", "val_psnr") if key in header}}


class L1Game(BaseGame):
    """Train a network on L1 (Eq. 17), or on its own loss if it has one, as some compared methods do.

    preset: what to call the configuration. start: weights to start from (`start_weights`). priors: the names of those
    at hand; BadInput if the network's loss needs another.
    """

    def __init__(self, config: Config, recipe: Recipe, preset: str = "", start: str | Path | None = None,
                 priors: Iterable[str] = ()):
        super().__init__(config, recipe, preset, start)
        check_priors(self.network, priors)
        own_loss = getattr(self.network, "loss", None)
        self.has_own_loss = own_loss is not None
        self.use(own_loss or self.network)

    def loss(self, x: Tensor, target: Tensor, priors: dict[str, Tensor] | None = None) -> Losses:
        if self.has_own_loss:
            objective, values = self.call(x, target, **(priors or {}))
            return objective, {"loss": objective} | values
        loss = F.l1_loss(self.call(x).float(), target)
        return loss, {"loss": loss}


@dataclass(frozen=True)
class GANRecipe(Recipe):
    """How to train AMIGAN or a compared GAN of Table VIII. What is left out is the GAN's own.

    gan: `amigan` or one of COMPARED. lr, d_lr: Adam's step sizes of generator and discriminator.
    pixel, perceptual, adversarial: weights of the losses (Eq. 22 for AMIGAN); perceptual 0 needs no VGG19.
    loss: `vanilla` as printed (Eqs. 20, 21) or `hinge`. r1: weight of R1, 0: none.
    width: of the discriminator. norm: of AMIGAN's discriminator.
    choose: what picks the weights on validation, `lpips` or `psnr`. PSNR would pick the start: it only falls.
    """

    lr: float = bounded(None, high=1, above=0, kind=float)
    gan: str = "amigan"
    d_lr: float = bounded(None, high=1, above=0, kind=float)
    pixel: float = bounded(None, 0, kind=float)
    perceptual: float = bounded(None, 0, kind=float)
    adversarial: float = bounded(None, 0, kind=float)
    loss: str = one_of("vanilla", "hinge", default="")
    width: int = bounded(64, 1, 256)
    norm: str = one_of("batch", "spectral", "none")
    r1: float = bounded(0.0, 0)
    choose: str = one_of("lpips", "psnr")

    def __post_init__(self):
        own = adversary_class(self.gan)
        values = {"lr": own.LR, "d_lr": own.D_LR, "loss": own.LOSS}
        values |= {name: own.WEIGHTS.get(name, 0.0) for name in ("pixel", "perceptual", "adversarial")}
        for name, value in values.items():
            if getattr(self, name) in (None, ""):
                object.__setattr__(self, name, value)
        super().__post_init__()
        if self.pixel and "pixel" not in own.WEIGHTS:
            raise BadInput(f"pixel={self.pixel}: {self.gan} has no L1 loss: its squared error has the weight 1")
        if self.gan != "amigan" and self.norm != "batch":
            raise BadInput(f"norm={self.norm!r} is AMIGAN's: the discriminators of {self.gan} have their own")

    def adversary(self) -> Adversary:
        """The discriminators with these weights and losses, with random initial values."""
        own = {"norm": self.norm} if self.gan == "amigan" else {}
        weights = {"pixel": self.pixel, "perceptual": self.perceptual, "adversarial": self.adversarial}
        return adversary_class(self.gan)(self.width, weights=weights, loss=self.loss, r1=self.r1, **own)


def missing_networks(recipe: GANRecipe) -> None:
    """Raise BadInput, naming each, if pretrained networks or packages that the recipe needs are not to be had."""
    problems = []
    if recipe.perceptual:
        problems += [missing_network("vgg19"), missing_package("torchvision")]
    if recipe.choose == "lpips":
        problems += [missing_network("alexnet"), missing_package("torchvision"), missing_package("lpips")]
    if lines := list(dict.fromkeys(filter(None, problems))):
        raise BadInput("; ".join([*lines, "or go without: --perceptual 0 --choose psnr, which is not the paper's"]))


class GANGame(BaseGame):
    """Train a network on against a discriminator: AMIGAN, or a compared GAN of Table VIII.

    Both players move at once, on the gradients of the same batch. start: the trained generator (`start_weights`). The
    losses on its priors are left out: it has learnt from them before. val: the validation faces, uint8 (N, 3, 128,
    128): a generator that falls 2 dB below both its start and bicubic there has left the faces.
    """

    fp16 = False  # small gradients of a discriminator vanish in it
    recipe: GANRecipe

    def __init__(self, start: str | Path, recipe: GANRecipe, val: Tensor):
        missing_networks(recipe)
        super().__init__(read_network(start)[1], recipe, recipe.gan, start)
        self.adversary, self.perceptual = recipe.adversary(), None
        if recipe.perceptual:
            features, self.notes["vgg19"] = vgg19()
            self.perceptual = PerceptualLoss(features)
        self.collapse = Collapse(sure=0.73 if recipe.loss == "hinge" else 0.99)  # hinge teaches to a logit of one
        self.bicubic = float(psnr(upsample(degrade(val)), val, PROTOCOLS["paper"]).mean())  # in dB
        self.floor = min(self.bicubic, self.notes["start"].get("val_psnr", self.bicubic)) - 2

    def networks(self) -> dict[str, nn.Module]:
        return {"model": self.network, "discriminator": self.adversary}

    def loss(self, x: Tensor, target: Tensor, priors: dict[str, Tensor] | None = None) -> Losses:
        """Return Eq. 22 for the generator plus Eq. 20 for the discriminator: neither reaches the other's weights. The
        logged `loss` is the generator's."""
        sr = self.call(x).float()
        generator, parts = self.adversary.generator_loss(sr, target, x, self.perceptual)
        discriminator, judged = self.adversary.discriminator_loss(sr, target, x)
        return generator + discriminator, {"loss": generator, **parts, "discriminator": discriminator, **judged,
                                           "variety": variety(sr, target)}

    def score(self, sr: Tensor, hr: Tensor) -> tuple[float, dict[str, float]]:
        value, notes = super().score(sr, hr)
        if self.recipe.choose == "psnr":
            return value, notes
        from ..metrics.perceptual import lpips

        distance = float(lpips(sr, hr).mean())
        return -distance, notes | {"val_lpips": round(distance, 4)}

    def check(self, means: dict[str, float], batches: int) -> str | None:
        problem = self.collapse(means["real"], means["fake"], means["variety"], batches) if batches else None
        if means.get("val_psnr", self.floor) < self.floor:
            problem = (f"the generator has left the faces: {means['val_psnr']:.2f} dB on validation, bicubic has "
                       f"{self.bicubic:.2f}")
        return problem and f"collapse: {problem}. Start again with --r1 10, --loss hinge, or a smaller --d-lr"
