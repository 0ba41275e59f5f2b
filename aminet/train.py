"""Training (Secs. III-D and IV-B): the recipe, the batches and the loop.

Batch k depends on the seed and k alone, not on the number of processes or earlier stops, so a resumed run sees the
numbers of an uninterrupted one (another device may round a few bytes of an augmented face differently).
`aminet.training` keeps a run of this loop in a folder: validation, weights, log, resume, several GPUs.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor

from .config import Config, bounded, check_fields, one_of
from .degrade import augment, camera_input, network_input, send, to_float
from .errors import BadInput


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are the paper's where it says (Sec. IV-B), else its lineage's.

    images, minutes: the length, in images to see or in minutes; neither for no end. BadInput for both.
    batch: over all processes. lr: Adam's step size.
    schedule: `constant` (the lineage's), or `cosine` down to zero at the end.
    warmup: the part of the length in which the step size first rises, from a tenth.
    robust: learn from poor cameras, too: blur, noise and JPEG at random (`degrade.cameras`). The paper does not.
    ema: decay of the averaged weights that are validated and saved; 0 for none.
    val_every: images between two validations; a run in minutes is validated at each quarter, if that costs little.
    seed: of the initial weights, the order and the augmentation.
    BadInput for a value out of its range, for less than one batch, and for a schedule without an end.
    """

    images: int | None = bounded(None, 1, 10**9, kind=int)
    batch: int = bounded(32, 1, 4096)
    lr: float = bounded(2e-4, high=1, above=0)
    schedule: str = one_of("constant", "cosine")
    ema: float = bounded(0.0, 0, below=1)
    val_every: int = bounded(5000, 1)
    seed: int = bounded(0, 0, 2**40)  # `draw` multiplies it by a million
    minutes: float | None = bounded(None, above=0, high=10**6, kind=float)
    warmup: float = bounded(0.0, 0, below=1)
    robust: bool = False

    def __post_init__(self):
        check_fields(self)
        if self.images is not None and self.images < self.batch:
            raise BadInput(f"images={self.images} is less than one batch of {self.batch}: give --batch {self.images}")
        if self.images is not None and self.minutes is not None:
            raise BadInput("the length of a run is in images or in minutes, not in both")
        if self.images is None and self.minutes is None and (self.schedule == "cosine" or self.warmup):
            raise BadInput("the cosine schedule and the warm-up need an end: give --images or --minutes")

    def factor(self, progress: float) -> float:
        """What Adam's step size is multiplied by when this part of the length is over, 0 to 1."""
        rise = min(1.0, 0.1 + 0.9 * progress / self.warmup) if self.warmup else 1.0
        return rise * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))) if self.schedule == "cosine" else rise

    def complete(self, seen: int) -> bool:
        """Whether no further batch fits into its images once so many are seen; False for a length in minutes."""
        return self.images is not None and seen + self.batch > self.images

    @classmethod
    def read(cls, noted: Any) -> Recipe:
        """The recipe that the header of a file notes; BadInput if it is none of this class.

        What an earlier version did not note has its default, with which that version trained.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(noted, dict) or not {"batch", "lr"} <= noted.keys() <= names:
            raise BadInput("the recipe is not one of this version")
        return cls(**noted)


@lru_cache(maxsize=4)
def order(n: int, epoch: int, seed: int) -> Tensor:
    """The order of n faces in an epoch: a permutation of its own, (n,)."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))


def draw(n: int, step: int, recipe: Recipe) -> tuple[Tensor, torch.Generator]:
    """Which of n faces are in batch number `step`, (B,), and the generator of its augmentation.

    Batches run on across the borders of epochs.
    """
    first = step * recipe.batch
    epochs = range(first // n, (first + recipe.batch - 1) // n + 1)
    faces = torch.cat([order(n, epoch, recipe.seed) for epoch in epochs])
    start = first - epochs[0] * n
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + 500_000 + step)
    return faces[start:start + recipe.batch], generator


def batch_of(faces: Tensor, step: int, recipe: Recipe, enlarged: bool = True) -> tuple[Tensor, Tensor]:
    """Batch number `step` of faces, uint8 (N, 3, 128, 128): input and target, float32 in [-1, 1], where `faces` are.

    The target is (B, 3, 128, 128), and so is the input if it is `enlarged`; else it is (B, 3, 16, 16).
    """
    index, generator = draw(len(faces), step, recipe)
    hr = augment(faces[send(index, faces.device)], generator)
    x = camera_input(hr, generator, enlarged) if recipe.robust else network_input(hr, enlarged)
    return x, to_float(hr)


class Game(Protocol):
    """What is trained: one network or several, each with its Adam, and the loss of a batch (aminet.training.games)."""

    @property
    def loss(self) -> Callable[..., tuple[Tensor, dict[str, Tensor]]]:
        """What to minimise in a batch, and what to log of it."""
        ...

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The optimiser of each network, by name."""
        ...


def gradients(game: Game, *batch: Any) -> dict[str, Tensor]:
    """Add the gradients of a batch's loss to those of the weights; returns what to log, not yet synchronised."""
    loss, values = game.loss(*batch)
    loss.backward()
    return values


def fit(game: Game, batches: Iterable[tuple], rate: Callable[[], float], on_step: Callable[[dict[str, Tensor]], bool],
        gradients: Callable[..., dict[str, Tensor]] = gradients) -> None:
    """Train (Sec. IV-B): for every batch the gradients, one step of Adam for each network, one call of `on_step`.

    game: its networks are in training mode. batches: the arguments of `game.loss`, batch by batch. rate: what each
    optimiser's own step size is multiplied by now. on_step: gets the batch's losses; true ends the training.
    gradients: another way to set them, for example in parts or over several GPUs.
    """
    optimizers = game.optimizers().values()
    for batch in batches:
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        values, factor = gradients(game, *batch), rate()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = optimizer.defaults["lr"] * factor
            optimizer.step()
        if on_step(values):
            break


@torch.inference_mode()
def restore(model: torch.nn.Module, hr: Tensor, batch: int = 32) -> Tensor:
    """Degrade faces and restore them. uint8 (N, 3, 128, 128) -> float32 (N, 3, 128, 128) in about [-1, 1]."""
    device, enlarged = next(model.parameters()).device, getattr(model, "config", Config).enlarged
    model.eval()
    return torch.cat([model(network_input(part.to(device), enlarged)).float().cpu() for part in hr.split(batch)])
