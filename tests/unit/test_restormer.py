"""Restormer: its size, its levels, and its block by hand."""
from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from aminet import BadInput
from aminet.baselines.restormer import Restormer, RestormerConfig, down, up
from aminet.ledger import Cost, counted, thop_counted
from aminet.transformer import TransformerBlock


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_the_size_is_the_published():
    with torch.device("meta"):
        model = Restormer()
    cost = counted(model)[""]
    assert cost == Cost(11_739_916, 16_073_293_824, 1_543_503_872)
    assert cost.params == pytest.approx(11.74e6, rel=0.001) and cost.macs == pytest.approx(17.6e9, rel=0.002)
    assert thop_counted(model) == (11_719_800, 16_073_293_824)


def test_the_width_of_the_paper_is_the_paper_s_size():
    with torch.device("meta"):
        model = Restormer(RestormerConfig(channels=48))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(26.1e6, rel=0.002)


def test_blocks_widths_and_heads():
    model = Restormer(RestormerConfig(channels=8))
    stages = [*model.encoders, model.bottleneck, *reversed(model.decoders), model.refinement]
    assert [len(stage) for stage in stages] == [4, 6, 6, 8, 6, 6, 4, 4]
    assert [stage[0].sa.qkv.in_channels for stage in stages] == [8, 16, 32, 64, 32, 16, 16, 16]
    assert [stage[0].sa.heads for stage in stages] == [1, 2, 4, 8, 4, 2, 1, 1]
    assert not any(name.endswith("bias") and "norm" not in name for name, _ in model.named_parameters())


def test_a_block_by_hand():
    block, x = TransformerBlock(8, 2), torch.randn(1, 8, 4, 6)
    sa, ffn = block.sa, block.ffn
    normed = F.layer_norm(x.permute(0, 2, 3, 1), (8,)).permute(0, 3, 1, 2)
    q, k, v = sa.depthwise(sa.qkv(normed))[0].reshape(3, 2, 4, 24)
    weights = torch.softmax(F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT, dim=-1)
    y = x + sa.project((weights @ v).reshape(1, 8, 4, 6))
    normed = F.layer_norm(y.permute(0, 2, 3, 1), (8,)).permute(0, 3, 1, 2)
    a, b = ffn.depthwise(ffn.expand(normed)).split(21, dim=1)  # 2.66 * 8
    torch.testing.assert_close(block(x), y + ffn.project(F.gelu(a) * b))


def test_down_and_up():
    x = torch.randn(2, 8, 4, 6)
    assert down(8)(x).shape == (2, 16, 2, 3) and up(8)(x).shape == (2, 4, 8, 12)


def test_the_input_is_added():
    model, x = Restormer(RestormerConfig(channels=8)).eval(), torch.rand(1, 3, 16, 24) * 2 - 1
    with torch.no_grad():
        assert model(x).shape == x.shape and not torch.equal(model(x), x)
        model.tail.weight.zero_()
        assert torch.equal(model(x), x)


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 1, 16, 16), (1, 3, 16, 20), (1, 3, 0, 16)])
def test_bad_shapes(shape):
    with pytest.raises(BadInput, match="multiples of 8"):
        Restormer(RestormerConfig(channels=8))(torch.zeros(shape))


def test_odd_channels():
    with pytest.raises(BadInput, match="channels=9: expected a multiple of 2"):
        RestormerConfig(channels=9)
