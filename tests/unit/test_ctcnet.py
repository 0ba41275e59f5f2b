"""CTCNet: its size, the distillation, the map, the two frequencies, and the fusion of all levels."""
from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from aminet import BadInput
from aminet.baselines import ctcnet
from aminet.baselines.ctcnet import AFDU, FRM, LGCM, ChannelAttention, CTCNet, CTCNetConfig, MFFUs, SpatialAttention
from aminet.ledger import Cost, counted, thop_counted


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_the_size_is_the_published():
    with torch.device("meta"):
        model = CTCNet()
    cost = counted(model)[""]
    assert cost == Cost(22_407_699, 29_405_063_296, 570_425_344)
    assert cost.params + 1_997_218 == pytest.approx(24.40e6, abs=5e3)  # with the authors' idle ones
    assert cost.macs == pytest.approx(29.98e9, abs=5e6)
    assert thop_counted(model) == (22_397_147, 47_230_517_600)  # as printed: 22.4 M, 47.2 G


def test_a_narrow_gate_starts_open_to_change():
    x = torch.rand(2, 8, 4, 4)
    for module in (ChannelAttention(8) for _ in range(20)):
        hidden = module.gate[:3](x)
        assert hidden.shape == (2, 2, 1, 1) and hidden.all()
    assert ChannelAttention(128).gate[1].out_channels == 8


def test_distillation_by_hand():
    module, x = AFDU(8), torch.randn(1, 8, 6, 6)
    with torch.no_grad():
        module.scalars.copy_(torch.arange(1.0, 9))
    a = x + 2 * module.first(x)
    b = 3 * a + 4 * module.second(a)
    mix, _, attention, last, _ = module.join
    u = mix(torch.cat([7 * a, 8 * b], dim=1)).relu()
    weighed = u * attention.gate(u.mean((2, 3), keepdim=True))
    torch.testing.assert_close(module(x), 5 * x + 6 * last(weighed).relu())
    assert [layer.out_channels for layer in module.first[::2]] == [4, 8]


@pytest.mark.parametrize("channels", [8, 16])
def test_the_attention_is_one_map(channels):
    module, x = SpatialAttention(channels, 16, 3), torch.randn(2, channels, 16, 24)
    weight = module.eval().attention(x)
    assert weight.shape == (2, 1, 16, 24) and 0 < weight.min() and weight.max() < 1
    torch.testing.assert_close(module(x), x * weight)
    assert (sum(p.numel() for p in module.shortcut.parameters()) == 0) == (channels == 16)


def test_an_lgcm_looks_for_parts_first():
    module, x = LGCM(8, 4, 2, 1).eval(), torch.randn(1, 8, 32, 32)
    torch.testing.assert_close(module(x), x + module.transformer(module.structure(x)))


def test_the_frequencies_add_up():
    x = torch.randn(2, 8, 8, 12)
    low, high = FRM.split(x)
    assert low.shape == (2, 8, 4, 6)
    torch.testing.assert_close(ctcnet.enlarge(low) + high, x)
    low, high = FRM.split(torch.full((1, 1, 4, 4), 3.0))
    assert (low == 3).all() and high.abs().max() < 1e-6


def test_refinement_by_hand():
    module, x = FRM(8).eval(), torch.randn(1, 8, 8, 8)
    with torch.no_grad():
        module.scalars.copy_(torch.tensor([2.0, 3]))

    def up(low):
        return F.interpolate(low, size=(8, 8), mode="bilinear", align_corners=True)

    u = module.structure(x)
    low, high = FRM.split(u)
    low, high = module.low(low), module.high(high)
    high = module.high(module.cross(torch.cat([2 * up(low), 3 * high], dim=1)))
    joined = module.join(torch.cat([3 * up(module.low(low)), 2 * high], dim=1))
    torch.testing.assert_close(module(x), x + module.structure[2](joined + u * module.gate(u)))


@pytest.mark.parametrize("level", range(3))
def test_every_level_sees_all_of_the_encoder(level):
    widths = 8, 16, 32
    module, skips = MFFUs(widths), [torch.randn(1, w, 128 // w, 128 // w) for w in widths]
    x = torch.randn_like(skips[level])
    y = module(x, skips, level)
    assert y.shape == x.shape
    for n in range(3):
        other = [skip + (n == i) for i, skip in enumerate(skips)]
        assert not torch.allclose(module(x, other, level), y)


def test_the_input_is_added():
    model, x = CTCNet(CTCNetConfig(channels=8)).eval(), torch.rand(1, 3, 128, 128) * 2 - 1
    with torch.no_grad():
        y = model(x)
        assert y.shape == x.shape and not torch.equal(y, x)
        for p in model.tail.parameters():
            p.zero_()
        assert torch.equal(model(x), x)


@pytest.mark.parametrize("shape", [(3, 128, 128), (1, 1, 128, 128), (1, 3, 128, 160), (1, 3, 0, 128), (1, 3, 64, 128)])
def test_bad_shapes(shape):
    with pytest.raises(BadInput, match="multiples of 64, 128 or more"):
        CTCNet(CTCNetConfig(channels=8))(torch.zeros(shape))


def test_odd_channels():
    with pytest.raises(BadInput, match="channels=9: expected a multiple of 2"):
        CTCNetConfig(channels=9)
