"""FACN: its size, its capsules, and what they are drawn from."""
from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from aminet import BadInput
from aminet.baselines.facn import FACN, Capsules, FACNConfig, squash
from aminet.ledger import Cost, counted, thop_counted


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def tiny() -> FACN:
    return FACN(FACNConfig(channels=16, blocks=1))


def test_the_size_is_the_one_chosen():
    with torch.device("meta"):
        model = FACN()
    assert counted(model)[""] == Cost(4_176_491, 4_832_281_216, 0)  # nothing is published
    assert thop_counted(model) == (4_176_491, 4_832_281_216)


def test_squash_keeps_the_direction_and_bounds_the_length():
    s = torch.tensor([3.0, 4.0, 0.0]).reshape(1, 1, 3, 1, 1).requires_grad_()
    torch.testing.assert_close(squash(s).flatten(), torch.tensor([0.6, 0.8, 0.0]) * 25 / 26)
    s = torch.zeros(1, 1, 3, 1, 1, requires_grad=True)
    squash(s).sum().backward()
    assert s.grad.isfinite().all()


@torch.no_grad()
def test_a_capsule_is_its_two_halves_times_the_probability_of_its_attribute():
    module, x = Capsules(16, 2).eval(), torch.randn(2, 16, 4, 6)
    capsules, logits, mean, spread = module(x)
    assert capsules.shape == (2, 40, 4, 4, 6) and logits.shape == (2, 40)
    assert mean.shape == spread.shape == (2, 40, 2, 4, 6)
    halves = torch.cat([squash(module.semantic(x).reshape(2, 40, 2, 4, 6)), mean], dim=2)
    torch.testing.assert_close(capsules, halves * logits.sigmoid()[:, :, None, None, None])
    by_hand = halves[1, 7].mean((1, 2)) @ module.attribute.weight[7, :, 0] + module.attribute.bias[7]
    torch.testing.assert_close(logits[1, 7], by_hand)


@torch.no_grad()
def test_only_training_draws_the_probabilistic_half():
    module, x = Capsules(16, 2), torch.randn(1, 16, 8, 8)
    module.attribute.weight.zero_()  # so that all probabilities are alike
    expected, _, mean, spread = module.eval()(x)
    assert torch.equal(module(x)[0], expected)
    module.train()
    drawn = torch.stack([module(x)[0] for _ in range(50)]) - expected
    assert not drawn[:, :, :, :2].any()
    z = drawn[:, :, :, 2:] / module.attribute.bias.sigmoid()[:, None, None, None] / (spread / 2).exp()
    assert abs(z.mean()) < 0.01 and z.std() == pytest.approx(1, abs=0.01)


def test_the_face_is_drawn_from_the_capsules_alone():
    model, x = tiny().eval(), torch.rand(2, 3, 16, 12) * 2 - 1
    with torch.inference_mode():
        capsules = model.generate(x)[0]
        y = model(x)
        assert y.shape == (2, 3, 128, 96) and torch.equal(y, model.draw(capsules))
        assert torch.equal(*model.draw(torch.zeros_like(capsules)))  # the same for both


@torch.no_grad()
def test_the_loss_with_and_without_attributes():
    model, x, target = tiny().eval(), torch.rand(2, 3, 16, 16) * 2 - 1, torch.rand(2, 3, 128, 128) * 2 - 1
    _, logits, mean, spread = model.generate(x)
    loss, values = model.loss(x, target)
    torch.testing.assert_close(values["pixel"], (model(x) - target).abs().mean())
    divergence = kl_divergence(Normal(mean, (spread / 2).exp()), Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(values["divergence"], divergence)
    assert set(values) == {"pixel", "divergence"}
    torch.testing.assert_close(loss, values["pixel"] + 1e-3 * divergence)
    attributes = torch.randint(2, (2, 40)).float()
    more, values = model.loss(x, target, attributes)
    wrong = F.softplus(torch.where(attributes > 0, -logits, logits)).mean()
    torch.testing.assert_close(values["attributes"], wrong)
    torch.testing.assert_close(more, loss + 1e-2 * wrong)


def test_every_parameter_learns_without_attributes():
    model = tiny()
    model.loss(torch.rand(2, 3, 16, 16), torch.rand(2, 3, 128, 128))[0].backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in model.parameters())


def test_the_untrained_capsules_are_sure():
    spread = tiny().generate(torch.rand(1, 3, 16, 16) * 2 - 1)[3]
    assert (spread / 2).exp().mean().item() == pytest.approx(math.exp(-2), rel=0.3)


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 1, 16, 16), (1, 3, 0, 16)])
def test_bad_shapes(shape):
    with pytest.raises(BadInput, match="multiples of 1"):
        tiny()(torch.zeros(shape))
