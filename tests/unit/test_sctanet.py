"""SCTANet: its size, the branches of a block, and the decoder's CycleMLP."""
from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

from aminet import BadInput
from aminet.baselines.sctanet import Block, CycleFC, CycleMLP, Mask, MultiScale, SCTANet, SCTANetConfig
from aminet.ledger import Cost, counted, thop_counted


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_the_size_is_the_published():
    with torch.device("meta"):
        model = SCTANet()
    cost = counted(model)[""]
    assert cost == Cost(27_937_482, 10_731_256_560, 141_557_760)
    assert cost.params == pytest.approx(27.94e6, rel=0.001) and cost.macs == pytest.approx(10.87e9, rel=0.001)


def test_thop_overlooks_what_the_paper_leaves_out():
    with torch.device("meta"):
        model = SCTANet()
    params, macs = thop_counted(model)
    cycles = 3 * 2 * (180 * 180 + 180), 2 * 180 * 180 * (16**2 + 32**2 + 64**2)
    assert params - cycles[0] == pytest.approx(27.7e6, rel=0.001)  # Table X
    assert macs - cycles[1] == pytest.approx(10.4e9, rel=0.002)


def test_thirds_have_their_own_scale():
    module, x = MultiScale(8).eval(), torch.randn(1, 8, 16, 16)
    assert [scale[0].weight.shape for scale in module.scales] == [(3, 1, 3, 3), (3, 1, 5, 5), (2, 1, 7, 7)]
    changed = x.clone()
    changed[:, :, 8, 8] += 1
    with torch.no_grad():
        moved = (module(changed) != module(x)).any(dim=3)[0]  # (C, H)
    assert [part.any(0).sum().item() for part in moved.tensor_split(3)] == [3, 5, 7]


def test_the_mask_guides_the_values():
    mask, x = Mask(8), torch.randn(1, 8, 8, 8)
    m = mask.first(x)
    torch.testing.assert_close(mask(x), m * (1 + mask.gate(m)))
    block = Block(8, shift=True).eval()
    for p in block.mask.first.parameters():
        torch.nn.init.zeros_(p)
    with torch.no_grad():
        y = block.scales(x)
        assert torch.equal(block.attention(y, block.mask(y)), block.attention.project(torch.zeros_like(y)))


@pytest.mark.parametrize("along", [2, 3])
def test_cycle_by_a_deformable_convolution(along):
    module, x = CycleFC(16, along), torch.randn(2, 16, 5, 9)
    order = torch.cat([torch.arange(step, 16, 3) for step in range(3)])
    weight = torch.empty_like(module.mix.weight)
    weight[:, order] = module.mix.weight.detach()
    offset = torch.zeros(2, 16, 2, 5, 9)  # of every channel: down and right
    offset[:, :, along - 2] = (torch.arange(16) % 3 - 1.0)[:, None, None]
    expected = deform_conv2d(x, offset.flatten(1, 2), weight, module.mix.bias)
    torch.testing.assert_close(module(x), expected, atol=1e-5, rtol=1e-4)


def test_three_looks_are_weighed():
    module, x = CycleMLP(8), torch.randn(2, 8, 6, 6)
    for p in module.weigh[-1].parameters():
        torch.nn.init.zeros_(p)
    torch.testing.assert_close(module(x), module.project(sum(look(x) for look in module.looks) / 3))


def test_the_bicubic_face_is_added():
    model, x = SCTANet(SCTANetConfig(channels=8, groups=1, blocks=2)).eval(), torch.rand(1, 3, 8, 16) * 2 - 1
    with torch.no_grad():
        assert model(x).shape == (1, 3, 64, 128)
        for p in model.tail[-1].parameters():
            p.zero_()
        torch.testing.assert_close(model(x), F.interpolate(x, size=(64, 128), mode="bicubic"))
    with pytest.raises(BadInput, match="multiples of 8"):
        model(torch.zeros(1, 3, 12, 16))
