"""SPADNet: its size, the pixel-adaptive convolution, the attention block and the heatmaps."""
from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from aminet import BadInput
from aminet.baselines.spadnet import HAB, PixelAdaptiveConv, SPADNet, SPADNetConfig
from aminet.ledger import Cost, counted


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def tiny() -> SPADNet:
    return SPADNet(SPADNetConfig(channels=8, blocks=2))


def test_the_size_is_the_published():
    with torch.device("meta"):
        model = SPADNet()
    cost = counted(model)[""]
    assert cost == Cost(7_557_720, 12_391_593_984, 0)
    assert cost.params == pytest.approx(7.56e6, abs=5e3) and cost.macs == pytest.approx(12.4e9, abs=5e7)
    adaptive = sum(part.params for name, part in counted(model).items() if name.endswith("local.project"))
    assert cost.params - adaptive == pytest.approx(7.00e6, abs=5e3)  # thop's, which overlooks the adaptive kernels


@pytest.mark.parametrize("guide", [torch.zeros(2, 4, 6, 5), torch.full((2, 4, 6, 5), 3.0)])
def test_a_flat_guide_leaves_a_plain_convolution(guide):
    module, x = PixelAdaptiveConv(4), torch.randn(2, 4, 6, 5)
    weight = module.project.weight.reshape(4, 4, 3, 3)
    torch.testing.assert_close(module(x, guide), F.conv2d(x, weight, module.project.bias, padding=1))


def test_the_adaptive_convolution_by_hand():
    module, x, guide = PixelAdaptiveConv(4), torch.randn(1, 4, 6, 5), torch.randn(1, 4, 6, 5)
    weight, y = module.project.weight.reshape(4, 4, 3, 3), module.project.bias.clone()
    i, j = 2, 3
    for k in (-1, 0, 1):
        for l in (-1, 0, 1):
            distance = (guide[0, :, i + k, j + l] - guide[0, :, i, j]).square().mean()
            y = y + torch.exp(-distance / 2) * weight[:, :, 1 + k, 1 + l] @ x[0, :, i + k, j + l]
    torch.testing.assert_close(module(x, guide)[0, :, i, j], y)


def test_nothing_crosses_an_edge_of_the_guide():
    module, x, guide = PixelAdaptiveConv(4), torch.randn(1, 4, 6, 6), torch.zeros(1, 4, 6, 6)
    guide[..., 3:] = 100
    other = x.clone()
    other[..., 3:] = 0
    torch.testing.assert_close(module(other, guide)[..., :3], module(x, guide)[..., :3])
    assert not torch.allclose(module(other, guide * 0)[..., :3], module(x, guide * 0)[..., :3])


def test_the_attention_block_joins_the_local_and_the_global():
    module, x, heat = HAB(8), torch.randn(2, 8, 16, 12), torch.randn(2, 8, 16, 12)
    gate = module.gate(heat)
    assert gate.shape == (2, 8, 1, 1) and 0 < gate.min() and gate.max() < 1
    parts = [module.local(x, module.guide(heat)), module.everywhere(x) * gate]
    torch.testing.assert_close(module(x, heat), x + module.join(torch.cat(parts, dim=1)))


def test_the_heatmaps_branch_runs_alone_and_steers_the_image():
    model, x = tiny().eval(), torch.rand(1, 3, 32, 48) * 2 - 1
    with torch.inference_mode():
        face, heat = model.both(x)
        assert face.shape == (1, 3, 32, 48) and heat.shape == (1, 5, 32, 48) and torch.equal(model(x), face)
        model.stages[0].image[0].body[0].weight.mul_(-1)
        other_face, same_heat = model.both(x)
        assert torch.equal(same_heat, heat) and not torch.equal(other_face, face)
        model.stages[0].heat[0].body[0].weight.mul_(-1)
        assert not torch.equal(model(x), other_face)


@torch.no_grad()
def test_the_loss_asks_for_the_components():
    model, x = tiny(), torch.rand(2, 3, 128, 128) * 2 - 1
    landmarks = torch.full((2, 68, 2), -1000.0)  # outside: no map at all
    loss, values = model.loss(x, x, landmarks)
    face, heat = model.both(x)
    torch.testing.assert_close(values["pixel"], (face - x).abs().mean())
    torch.testing.assert_close(values["heatmaps"], heat.square().mean())
    torch.testing.assert_close(loss, values["pixel"] + values["heatmaps"])
    landmarks[:, :17] = torch.tensor([40.0, 70.0])  # the whole contour, the last component, in one pixel
    pixel = torch.arange(128.0)
    heat[:, 4] -= torch.exp(-((pixel - 40) ** 2 + (pixel[:, None] - 70) ** 2) / 8)
    torch.testing.assert_close(model.loss(x, x, landmarks)[1]["heatmaps"], heat.square().mean())


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 3, 32, 36), (1, 3, 0, 32)])
def test_bad_shapes(shape):
    with pytest.raises(BadInput, match="multiples of 8"):
        tiny()(torch.zeros(shape))
