"""DICNet: its size, its steps, the fusion by landmarks, and the losses by hand."""
from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from aminet import BadInput
from aminet.baselines.dicnet import (
    AttentiveFusion,
    DICNet,
    DICNetConfig,
    FeedbackBlock,
    LandmarkNet,
    merged,
    project_down,
    project_up,
)
from aminet.faces.priors import heatmaps
from aminet.ledger import Cost, counted


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def tiny(steps: int = 2) -> DICNet:
    return DICNet(DICNetConfig(channels=8, steps=steps))


@pytest.mark.parametrize("steps, macs, published", [(4, 45_336_510_464, 45.3e9), (3, 33_627_586_560, 33.6e9)])
def test_the_size_is_the_published(steps, macs, published):
    with torch.device("meta"):
        cost = counted(DICNet(DICNetConfig(steps=steps)))[""]
    assert cost == Cost(21_803_849, macs, 0)  # the steps after the first share their weights
    assert cost.params == pytest.approx(21.80e6, abs=5e3) and cost.macs == pytest.approx(published, abs=5e7)


@pytest.mark.parametrize("times", [4, 8])
def test_projections_change_the_size(times):
    x = torch.randn(1, 8, 2, 3)
    large = project_up(8, times)(x)
    assert large.shape == (1, 8, 2 * times, 3 * times) and project_down(8, times)(large).shape == x.shape


def test_a_feedback_block_is_the_same_in_training_where_it_is_computed_twice():
    block, x = FeedbackBlock(8), torch.randn(1, 8, 2, 3)
    gradients = []
    for training in (True, False):
        block.train(training).zero_grad()
        y = block(x)
        y.square().sum().backward()
        gradients.append([y, *(p.grad for p in block.parameters())])
    assert y.shape == x.shape
    torch.testing.assert_close(*gradients)


def test_components_are_sums_of_normalised_heatmaps():
    maps = torch.rand(2, 68, 4, 4)
    maps[:, 30] = -0.01  # a flat one counts as 0.05 high
    parts = merged(maps)
    largest = maps.amax((2, 3), keepdim=True)
    torch.testing.assert_close(parts[:, 1], (maps / largest)[:, 42:48].sum(1))
    torch.testing.assert_close(parts[:, 4], (maps / largest)[:, :27].sum(1))  # the brows too
    others = [27, 28, 29, 31, 32, 33, 34, 35]
    torch.testing.assert_close(parts[:, 2], (maps / largest)[:, others].sum(1) - 0.2)


def test_a_component_alone_is_its_branch():
    """Where one heatmap outweighs all others, the fusion is that component's branch, which sees no other's."""
    module, x, heat = AttentiveFusion(8), torch.randn(2, 8, 6, 6), torch.zeros(2, 5, 6, 6)
    heat[:, 3] = 100
    branches = module.branches(x)
    torch.testing.assert_close(module(x, heat), branches[:, 24:32])
    with torch.no_grad():
        for block in module.branches[2:]:
            block.body[0].weight[:24].zero_()  # of the branches before
    assert torch.equal(module.branches(x)[:, 24:32], branches[:, 24:32])
    torch.testing.assert_close(module(x, 0 * heat), module.branches(x).unflatten(1, (5, 8)).mean(1))


def test_the_landmark_net_remembers():
    net, face = LandmarkNet(16), torch.randn(1, 3, 64, 64)
    heat, memory = net(face, None)
    assert heat.shape == (1, 68, 16, 16) and memory.shape == (1, 16, 16, 16)
    again, _ = net(face, memory)
    assert not torch.allclose(again, heat)
    assert torch.equal(net(face, net.head(face))[0], heat)  # at first the face's own feature


def test_the_first_face_knows_no_landmarks_and_the_later_do():
    model, x = tiny(3), torch.rand(1, 3, 8, 16) * 2 - 1
    with torch.inference_mode():
        faces, maps = model.every_step(x)
        assert [tuple(face.shape) for face in faces] == 3 * [(1, 3, 64, 128)]
        assert [tuple(heat.shape) for heat in maps] == 3 * [(1, 68, 16, 32)] and torch.equal(model(x), faces[-1])
        model.landmarks.tail[-1].bias[36:42] += 1  # an eye everywhere
        others, _ = model.every_step(x)
    assert torch.equal(others[0], faces[0]) and not torch.equal(others[1], faces[1])


def test_a_new_net_shows_the_enlarged_face_and_its_features_keep_their_scale():
    model, x = DICNet(DICNetConfig(channels=16, steps=4)), torch.rand(2, 3, 16, 16) * 2 - 1
    sizes = []
    for block in (model.first, model.feedback):
        block.register_forward_hook(lambda module, inputs, output: sizes.append(output.std().item()))
    with torch.inference_mode():
        faces, _ = model.every_step(x)
    assert (faces[-1] - F.interpolate(x, scale_factor=8.0, mode="bilinear")).abs().mean() < 0.1
    assert len(sizes) == 4 and all(0.1 < later / before < 10 for before, later in zip(sizes, sizes[1:]))


@torch.no_grad()
def test_the_loss_sums_all_steps():
    model, x = tiny(), torch.rand(2, 3, 16, 16) * 2 - 1
    target, landmarks = torch.rand(2, 3, 128, 128) * 2 - 1, 128 * torch.rand(2, 68, 2)
    faces, maps = model.every_step(x)
    loss, values = model.loss(x, target, landmarks)
    pixels = [(face - target).abs().mean() for face in faces]
    errors = [(heat - heatmaps(landmarks, 32)).square().mean() for heat in maps]
    torch.testing.assert_close(loss, sum(pixels) + 0.1 * sum(errors))
    torch.testing.assert_close(values, {"pixel": pixels[-1], "heatmaps": errors[-1]})


@pytest.mark.parametrize("steps", [1, 21])
def test_bad_steps(steps):
    with pytest.raises(BadInput, match=f"steps={steps}: expected a whole number from 2 to 20"):
        DICNetConfig(steps=steps)


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 1, 16, 16), (1, 3, 16, 12), (1, 3, 0, 16)])
def test_bad_shapes(shape):
    with pytest.raises(BadInput, match="multiples of 8"):
        tiny()(torch.zeros(shape))
