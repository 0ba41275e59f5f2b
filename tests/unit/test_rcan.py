"""RCAN: its size, its gates, and that depth costs nothing while it adds nothing."""
from __future__ import annotations

import pytest
import torch

from aminet.baselines.rcan import RCAB, RCAN, ChannelAttention, RCANConfig, ResidualGroup
from aminet.ledger import Cost, counted

TINY = RCANConfig(channels=8, groups=2, blocks=2)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_the_size_is_the_published():
    with torch.device("meta"):
        cost = counted(RCAN())[""]
    assert cost == Cost(15_740_067, 4_700_262_400, 0)
    assert cost.params == pytest.approx(15.74e6, rel=0.001) and cost.macs == pytest.approx(4.70e9, rel=0.001)


def test_channel_attention_by_hand():
    module, x = ChannelAttention(32), torch.randn(2, 32, 5, 7)
    _, down, _, up, _ = module.gate
    hidden = (x.mean((2, 3)) @ down.weight[:, :, 0, 0].T + down.bias).relu()
    gate = (hidden @ up.weight[:, :, 0, 0].T + up.bias).sigmoid()
    torch.testing.assert_close(module(x), x * gate[:, :, None, None])


@pytest.mark.parametrize("channels, middle", [(8, 4), (64, 4), (96, 6), (128, 8)])
def test_the_reduction_is_16_and_leaves_four_channels(channels, middle):
    assert ChannelAttention(channels).gate[1].out_channels == middle


@pytest.mark.parametrize("module", [RCAB(8), ResidualGroup(8, 3)])
def test_shortcuts(module):
    x = torch.randn(1, 8, 6, 6)
    for p in module.parameters():
        torch.nn.init.zeros_(p)
    assert torch.equal(module(x), x)


def test_the_long_shortcut_passes_the_head_by_all_groups():
    model, x = RCAN(TINY), torch.rand(1, 3, 6, 10) * 2 - 1
    for p in model.last.parameters():
        torch.nn.init.zeros_(p)
    y = model(x)
    assert y.shape == (1, 3, 48, 80)
    torch.testing.assert_close(y, model.tail(model.head(x)))
