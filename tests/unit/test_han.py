"""HAN: its size, its two attentions, and that it starts without them."""
from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from aminet.baselines.han import HAN, ChannelSpatialAttention, HANConfig, LayerAttention
from aminet.ledger import Cost, counted


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_the_size_is_the_published():
    with torch.device("meta"):
        cost = counted(HAN())[""]
    assert cost == Cost(16_219_457, 4_823_388_160, 3_964_928)
    assert cost.params == pytest.approx(16.22e6, rel=0.001) and cost.macs == pytest.approx(4.83e9, rel=0.001)


def test_both_attentions_start_as_nothing():
    x = torch.randn(2, 3, 4, 5, 6)
    assert torch.equal(LayerAttention()(x), x.flatten(1, 2))
    assert torch.equal(ChannelSpatialAttention()(x[0]), x[0])


def test_layer_attention_prefers_what_is_unlike():
    module, x = LayerAttention(), torch.eye(3)[None, :, :, None, None].contiguous()  # three layers, each orthogonal
    e = torch.tensor(1.0).exp()
    weights = (torch.full((3, 3), 1.0) - torch.eye(3) * (1 - 1 / e)) / (2 + 1 / e)
    torch.testing.assert_close(module.weights(x.flatten(2)), weights[None])
    torch.nn.init.constant_(module.gamma, 0.5)
    torch.testing.assert_close(module(x), (torch.eye(3) + 0.5 * weights).reshape(1, 9, 1, 1))


def test_correlations_stay_in_float32_under_autocast():
    """100 and 100.1 are one number in bfloat16, and a difference of ten in a correlation."""
    x = torch.stack([torch.full((64,), 100.0), torch.full((64,), 100.1)])[None]
    exact = LayerAttention().weights(x)
    with torch.autocast("cpu", torch.bfloat16):
        again = LayerAttention().weights(x)
    assert again.dtype == torch.float32 and torch.equal(again, exact) and exact[0, 0, 0] > 0.99


def test_the_gate_is_a_convolution_of_the_volume():
    module, x = ChannelSpatialAttention(), torch.randn(2, 8, 5, 6)
    weight = module.volume.weight[None]  # (1, 1, 3, 3, 3): channels, rows, columns
    gate = F.conv3d(x[:, None], weight, module.volume.bias, padding=1)[:, 0].sigmoid()
    torch.testing.assert_close(module.gate(x), gate)
    torch.nn.init.constant_(module.gamma, 0.5)
    torch.testing.assert_close(module(x), x * (1 + 0.5 * gate))


def test_the_3x3_behind_the_groups_is_a_layer_too():
    model = HAN(HANConfig(channels=8, groups=3, blocks=1))
    assert model.join_layers.in_channels == 4 * 8
    assert model(torch.zeros(1, 3, 6, 10)).shape == (1, 3, 48, 80)


def test_volume_learns_once_its_factor_has_moved():
    model, x = HAN(HANConfig(channels=8, groups=1, blocks=1)), torch.rand(1, 3, 8, 8)
    model(x).abs().mean().backward()
    silent = {name for name, p in model.named_parameters() if not p.grad.any()}
    assert silent == {"channel_spatial.volume.weight", "channel_spatial.volume.bias"}
    torch.nn.init.constant_(model.channel_spatial.gamma, 0.1)
    model(x).abs().mean().backward()
    assert all(p.grad.any() for p in model.parameters())
