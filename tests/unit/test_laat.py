"""LAAT: its size, the two attentions of RSA, and the wavelet fusion."""
from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from aminet import BadInput
from aminet.baselines.laat import FIM, LAAT, RSA, LAATConfig, WaveletFusion, attend, haar, join, split
from aminet.ledger import Cost, counted, thop_counted


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_the_size_is_near_the_published():
    with torch.device("meta"):
        model = LAAT()
    cost = counted(model)[""]
    assert cost == Cost(23_505_771, 8_426_607_104, 385_875_968)
    assert cost.params == pytest.approx(22.4e6, rel=0.05) and cost.macs == pytest.approx(8.9e9, rel=0.01)  # Table X
    assert thop_counted(model)[1] == 8_438_672_512


def test_attention_by_hand():
    qkv = torch.randn(2, 24, 5)
    y, weights = attend(qkv, 2)
    q, k, v = (part.reshape(2, 2, 4, 5).mT for part in qkv.split(8, dim=1))
    torch.testing.assert_close(y, F.scaled_dot_product_attention(q, k, v).mT.reshape(2, 8, 5))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 5))


def test_the_regions_that_receive_the_most_attention_are_selected():
    weights = torch.full((1, 2, 8, 8), 0.05)
    weights[:, 0, :, 6] = weights[:, 1, 2, 3] = 0.6
    assert sorted(RSA.select(weights)[0].tolist()) == [3, 6]
    assert RSA.select(torch.ones(1, 1, 1, 1)).tolist() == [[0]]  # one region is better than none


@pytest.mark.parametrize("patch", [1, 2])
def test_only_the_key_regions_are_refined_and_by_each_other(patch):
    module, x = RSA(8, 2, patch), torch.randn(1, 8, 8 * patch, 8 * patch)  # 4x4 regions of 2x2 tokens
    tokens = module.embed(x)
    drawn, weights = attend(module.coarse(tokens).flatten(2), 2)
    keys = sorted(module.select(weights)[0].tolist())
    assert len(keys) == 4
    y = F.interpolate(drawn.reshape(1, 8, 4, 4), scale_factor=2)
    places = [(2 * (r // 4) + i, 2 * (r % 4) + j) for r in keys for i in (0, 1) for j in (0, 1)]
    fine = module.fine(tokens)
    refined, _ = attend(torch.stack([fine[:, :, i, j] for i, j in places], dim=2), 2)
    for n, (i, j) in enumerate(places):
        y[:, :, i, j] += refined[:, :, n]
    torch.testing.assert_close(module(x), module.project(y))


def test_fim_goes_both_ways():
    module, x = FIM(8), torch.randn(2, 8, 6, 6)
    (local, gate), (other_gate, other_local) = module.local_first, module.channel_first
    a, b = local(x), x * other_gate.gate(x)
    torch.testing.assert_close(module(x), module.project(a * gate.gate(a) + other_local(b)))
    assert gate.gate(x).shape == (2, 8, 1, 1)


def test_haar_by_hand_and_back():
    x = torch.tensor([[1.0, 2], [3, 6]]).reshape(1, 1, 2, 2)
    assert [band.item() for band in haar(split(x))] == [6, -2, -3, 1]  # mean * 2, columns, rows, diagonal
    x = torch.randn(2, 3, 8, 4)
    torch.testing.assert_close(join(haar(haar(split(x)))), x)
    assert sum(band.square().sum() for band in haar(split(x))) == pytest.approx(x.square().sum().item(), rel=1e-5)


def test_the_decoder_replaces_the_diagonal_band():
    module, skip, x = WaveletFusion(4), torch.randn(1, 4, 8, 8), torch.randn(1, 16, 4, 4)
    y = module(skip, x)
    assert y.shape == (1, 8, 8, 8)
    checkers = torch.tensor([[1.0, -1], [-1, 1]]).tile(4, 4)  # nothing but HH
    torch.testing.assert_close(module(skip + checkers, x), y)
    bands = [conv(band) for conv, band in zip(module.bands, haar(split(skip)))]
    joined = torch.cat([join(haar([*bands, x[:, :8]])), F.interpolate(x[:, 8:], scale_factor=2, mode="bilinear")], 1)
    torch.testing.assert_close(y, module.mix(joined))


def test_the_input_is_added():
    model, x = LAAT(LAATConfig(channels=8)).eval(), torch.rand(1, 3, 32, 48) * 2 - 1
    with torch.no_grad():
        assert model(x).shape == x.shape and not torch.equal(model(x), x)
        for p in model.tail.parameters():
            p.zero_()
        assert torch.equal(model(x), x)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 3, 32, 40), (1, 3, 0, 32)])
def test_bad_shapes(shape):
    with pytest.raises(BadInput, match="multiples of 16"):
        LAAT(LAATConfig(channels=8))(torch.zeros(shape))
