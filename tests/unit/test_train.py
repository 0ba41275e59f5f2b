"""Training: the recipe and its schedule, the batches, and the loop."""
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aminet import BadInput
from aminet.faces.synthetic import faces
from aminet.train import Recipe, batch_of, draw, fit
from aminet.training.games import GANRecipe


class Line:
    """The smallest game: one weight, drawn to the mean of what it is shown."""

    def __init__(self):
        self.weight = nn.Parameter(torch.zeros(()))
        self.adam = torch.optim.Adam([self.weight], lr=0.1)

    def optimizers(self):
        return {"model": self.adam}

    def loss(self, target):
        loss = F.mse_loss(self.weight.expand_as(target), target)
        return loss, {"loss": loss}


def test_batches_cover_every_face_once_an_epoch():
    marked = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 128, 128).contiguous() * 20
    recipe = Recipe(batch=5)
    epoch = torch.cat([batch_of(marked, step, recipe)[1] for step in (2, 3)])  # the second epoch
    assert sorted(((epoch.mean((1, 2, 3)) + 1) * 127.5 / 20).round().int().tolist()) == list(range(10))


def test_a_batch_depends_on_its_number_alone():
    a, b = (draw(17, 5, Recipe(batch=8, seed=3)) for _ in range(2))
    assert torch.equal(a[0], b[0]) and torch.equal(torch.rand(4, generator=a[1]), torch.rand(4, generator=b[1]))
    assert not torch.equal(a[0], draw(17, 5, Recipe(batch=8, seed=4))[0])


def test_a_robust_recipe_worsens_the_input_alone():
    hr = faces(6, 0)
    (x, target), (worse, same), (again, _) = (batch_of(hr, 2, Recipe(batch=6, robust=robust)) for robust in (
        False, True, True))
    assert torch.equal(target, same) and torch.equal(worse, again)
    assert (x != worse).flatten(1).any(1).sum() >= 3
    assert batch_of(hr, 0, Recipe(batch=6, robust=True), enlarged=False)[0].shape == (6, 3, 16, 16)


def test_fit_is_adam_by_hand():
    game, seen = Line(), []
    fit(game, [(torch.tensor([2.0]),)] * 5, lambda: 0.5, lambda values: seen.append(values["loss"].item()))
    weight, m, v = 0.0, 0.0, 0.0
    for t in range(1, 6):
        assert seen[t - 1] == pytest.approx((weight - 2) ** 2, rel=1e-5)
        g = 2 * (weight - 2)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        weight -= 0.5 * 0.1 * (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
    assert game.weight.item() == pytest.approx(weight, rel=1e-5)


def test_fit_ends_when_it_is_told_to():
    game, steps = Line(), []

    def on_step(values):
        steps.append(values)
        return len(steps) == 3

    fit(game, iter([(torch.ones(1),)] * 100), lambda: 1.0, on_step)
    assert len(steps) == 3


def test_cosine_ends_at_zero():
    recipe = Recipe(images=100, batch=4, schedule="cosine", lr=1.0)
    assert recipe.factor(0) == 1 and recipe.factor(0.5) == pytest.approx(0.5) and recipe.factor(1) < 1e-9
    assert recipe.factor(1.2) < 1e-9  # a last batch may reach beyond
    assert Recipe(images=100).factor(0.7) == 1


def test_the_warm_up_rises_in_a_line():
    recipe = Recipe(minutes=9, schedule="cosine", warmup=0.1)
    assert recipe.factor(0) == 0.1  # a first step of zero would be wasted
    assert recipe.factor(0.05) == pytest.approx(0.55 * 0.5 * (1 + math.cos(0.05 * math.pi)))
    assert recipe.factor(0.5) == pytest.approx(0.5)
    assert Recipe(images=100, warmup=0.5).factor(0.25) == 0.55


@pytest.mark.parametrize("options, words", [
    (dict(batch=0), "batch=0: expected a whole number from 1 to 4096"), (dict(batch=2.5), "batch=2.5"),
    (dict(batch=10**9), "from 1 to 4096"), (dict(batch=True), "batch=True"), (dict(batch=None), "batch=None"),
    (dict(images=3, batch=4), "less than one batch"), (dict(images="9"), "images='9'"),
    (dict(lr=math.nan), "lr=nan: expected a number above 0"), (dict(lr=math.inf), "lr=inf"), (dict(lr=0.0), "lr=0.0"),
    (dict(ema=1.0), "ema=1.0: expected a number from 0 to below 1"), (dict(ema=math.nan), "ema=nan"),
    (dict(val_every=0), "val_every=0"), (dict(seed=2**63), "from 0 to"), (dict(seed=-1), "seed=-1"),
    (dict(minutes=0), "minutes=0"), (dict(minutes=math.inf), "minutes=inf"),
    (dict(minutes=1e300), "above 0 to 1000000"), (dict(images=10**30), "from 1 to 1000000000"),
    (dict(warmup=1.5, images=64), "warmup=1.5"),
    (dict(warmup=0.1), "need an end"), (dict(schedule="cosine"), "--images or --minutes"),
    (dict(schedule="step", images=100), "schedule='step': expected one of constant, cosine"),
    (dict(images=64, minutes=1.0), "not in both"), (dict(robust=1), "robust=1: expected bool"),
])
def test_bad_recipes(options, words):
    with pytest.raises(BadInput, match=words):
        Recipe(**options)


def test_a_recipe_is_read_from_a_header():
    old = {"images": 100, "batch": 4, "lr": 1e-3, "schedule": "cosine", "ema": 0.9, "val_every": 50, "seed": 2}
    assert Recipe.read(old) == Recipe(100, 4, 1e-3, "cosine", 0.9, 50, 2)  # written before minutes and warm-up were
    for odd in (None, [], "recipe", {}, old | {"beta": 1}, {"batch": 4}):
        with pytest.raises(BadInput, match="not one of this version"):
            Recipe.read(odd)
    gan = {"images": 800, "batch": 8, "lr": 1e-4, "schedule": "constant", "ema": 0.99, "val_every": 400, "seed": 0,
           "gan": "spargan", "d_lr": 4e-4, "width": 16, "choose": "lpips"}
    assert GANRecipe.read(gan).pixel == 100 and GANRecipe.read(gan).loss == "hinge"
