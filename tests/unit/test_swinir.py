"""SwinIR: its size, the windows and their shift, and the attention within."""
from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from aminet import BadInput
from aminet.baselines.swinir import SwinIR, SwinIRConfig, WindowAttention, apart, merge, most_heads, partition
from aminet.ledger import Cost, counted


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_the_size_is_the_published():
    with torch.device("meta"):
        cost = counted(SwinIR())[""]
    assert cost == Cost(12_047_911, 3_760_155_648, 212_336_640)
    assert cost.params == pytest.approx(12.05e6, rel=0.001) and cost.macs == pytest.approx(3.97e9, rel=0.001)


def test_windows_and_back():
    x = torch.randn(2, 6, 16, 24)
    y = partition(x, 3)
    assert y.shape == (2, 6, 3, 64, 2)
    # the fifth window is at row 8, column 8; its pixel 11 is row 1, column 3 in it
    torch.testing.assert_close(y[:, 4, :, 11].flatten(1), x[:, :, 9, 11])
    torch.testing.assert_close(merge(y, 16, 24), x)


def test_biases_go_by_relative_position():
    module = WindowAttention(12, shift=False)
    bias = module.biases()
    for query, key in ((0, 0), (0, 63), (63, 0), (11, 50)):
        down, right = key // 8 - query // 8, key % 8 - query % 8
        assert torch.equal(bias[:, query, key], module.bias[:, 7 + down, 7 + right])


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("shift", [0, 4])
def test_attention_by_hand(shift, gated):
    module, x = WindowAttention(12, shift > 0), torch.randn(1, 12, 16, 16)
    gate = torch.rand_like(x) if gated else None
    q, k, v = module.qkv(x).chunk(3, dim=1)
    v = v * gate if gated else v
    expected = torch.zeros_like(x)
    edges = [(0, 4), (4, 12), (12, 16)] if shift else [(0, 8), (8, 16)]  # a shifted window ends at the border
    for top, bottom in edges:
        for left, right in edges:
            rows, columns = (torch.arange(*pair) for pair in ((top, bottom), (left, right)))
            i, j = (n.flatten() for n in torch.meshgrid(rows, columns, indexing="ij"))
            bias = module.bias[:, 7 + i[None] - i[:, None], 7 + j[None] - j[:, None]]
            heads = (part[0, :, i, j].reshape(6, 2, -1).transpose(1, 2) for part in (q, k, v))
            y = F.scaled_dot_product_attention(*heads, attn_mask=bias)
            expected[0, :, i, j] = y.transpose(1, 2).reshape(12, -1)
    torch.testing.assert_close(module(x, gate), module.project(expected))


def test_opposite_borders_do_not_meet():
    hidden = apart(16, 16, torch.device("cpu"))
    assert hidden.shape == (4, 64, 64) and not hidden[0].any()
    assert [window.sum().item() for window in hidden] == [0, 64 * 32, 64 * 32, 64 * 48]


def test_heads_divide_every_width():
    assert [most_heads(n) for n in (8, 16, 24, 40, 56, 180)] == [4, 4, 6, 5, 4, 6]
    assert [SwinIRConfig(channels=n).tail for n in (8, 16, 24, 180)] == [8, 8, 16, 64]


def test_enlarges_eightfold():
    model = SwinIR(SwinIRConfig(channels=8, groups=1, blocks=2))
    with torch.no_grad():
        assert model(torch.rand(1, 3, 8, 16)).shape == (1, 3, 64, 128)
    with pytest.raises(BadInput, match="multiples of 8"):
        model(torch.zeros(1, 3, 12, 16))
