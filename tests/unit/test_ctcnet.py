"""CTCNet: its size, the distillation, the map, the two frequencies, and the fusion of all levels."""
from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from aminet import BadInput
from aminet.baselines.ctcnet import AFDU, FRM, LGCM, MFFU, CTCNet, CTCNetConfig, SpatialAttention, enlarge
from aminet.ledger import Cost, counted, thop_counted


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_the_size_is_near_the_published():
    with torch.device("meta"):
        model = CTCNet()
    cost = counted(model)[""]
    assert cost == Cost(24_276_555, 29_821_722_240, 570_425_344)
    assert cost.params == pytest.approx(24.40e6, rel=0.01) and cost.macs == pytest.approx(29.98e9, rel=0.02)
    assert thop_counted(model) == (24_266_091, 48_000_134_752)


def test_distillation_by_hand():
    module, x = AFDU(8), torch.randn(1, 8, 6, 6)
    with torch.no_grad():
        module.scalars.copy_(torch.tensor([1.0, 2, 3, 4, 5, 6]))
    a = x + 2 * module.first(x)
    b = 3 * a + 4 * module.second(a)
    mix, attention, last = module.join
    u = mix(torch.cat([a, b], dim=1))
    weighed = u * attention.gate(u.mean((2, 3), keepdim=True))
    torch.testing.assert_close(module(x), 5 * x + 6 * last(weighed))
    assert [layer[0].out_channels for layer in module.first] == [4, 8]


def test_the_attention_is_one_map():
    module, x = SpatialAttention(8, 3, units=1), torch.randn(2, 8, 16, 24)
    weight = module.attention(x)
    assert weight.shape == (2, 1, 16, 24) and 0 < weight.min() and weight.max() < 1
    torch.testing.assert_close(module(x), x * weight)


def test_an_lgcm_looks_for_parts_first():
    module, x = LGCM(8, 2, 1), torch.randn(1, 8, 16, 16)
    torch.testing.assert_close(module(x), x + module.transformer(module.structure(x)))


def test_the_frequencies_add_up():
    x = torch.randn(2, 8, 8, 12)
    low, high = FRM.split(x)
    assert low.shape == (2, 8, 4, 6)
    torch.testing.assert_close(enlarge(low) + high, x)
    low, high = FRM.split(torch.full((1, 1, 4, 4), 3.0))
    assert (low == 3).all() and not high.any()


def test_refinement_by_hand():
    module, x = FRM(8), torch.randn(1, 8, 8, 8)
    low, high = FRM.split(module.structure(x))
    low, high = F.interpolate(module.shared(low), size=(8, 8), mode="bilinear"), module.shared(high)
    a, b = module.cross[0](torch.cat([low, high], dim=1)), module.cross[1](torch.cat([high, low], dim=1))
    gated = torch.cat([a * module.gates[0](a), b * module.gates[1](b)], dim=1)
    torch.testing.assert_close(module(x), x + module.join(gated))


@pytest.mark.parametrize("level, kernels", [(0, [[], [6], [8, 6]]), (1, [[3], [], [6]]), (2, [[3, 3], [3], []])])
def test_every_level_sees_all_of_the_encoder(level, kernels):
    module, skips = MFFU((8, 16, 32), level), [torch.randn(1, 8 * 2**i, 16 // 2**i, 16 // 2**i) for i in range(3)]
    assert [[step[0].kernel_size[0] for step in steps] for steps in module.resample] == kernels
    x = torch.randn_like(skips[level])
    y = module(x, skips)
    assert y.shape == x.shape
    for n in range(3):
        other = [skip + (n == i) for i, skip in enumerate(skips)]
        assert not torch.allclose(module(x, other), y)


def test_the_input_is_added():
    model, x = CTCNet(CTCNetConfig(channels=8)).eval(), torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        y = model(x)
        assert y.shape == x.shape and 0 < (y - x).abs().mean() < 0.3  # and the untrained net changes little
        for p in model.tail.parameters():
            p.zero_()
        assert torch.equal(model(x), x)


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 64, 96), (1, 3, 0, 64)])
def test_bad_shapes(shape):
    with pytest.raises(BadInput, match="multiples of 64"):
        CTCNet(CTCNetConfig(channels=8))(torch.zeros(shape))


def test_odd_channels():
    with pytest.raises(BadInput, match="channels=9: expected a multiple of 2"):
        CTCNetConfig(channels=9)
