"""SISN: its size, and split attention within a block and between the two paths of a group."""
from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from aminet import BadInput
from aminet.baselines.sisn import ESAG, ISAB, SISN, SISNConfig, SplitAttention
from aminet.ledger import Cost, counted


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_the_size_is_the_published():
    with torch.device("meta"):
        cost = counted(SISN())[""]
    assert cost == Cost(8_297_411, 2_224_185_344, 0)
    idle, biases = 110 * 64 * 64, 110 * 64  # of the authors' network
    assert cost.params + idle + biases == pytest.approx(8.76e6, rel=0.001)
    assert cost.macs == pytest.approx(2.22e9, rel=0.002)


def test_split_attention_by_hand():
    module, x = SplitAttention(8).eval(), torch.randn(2, 8, 4, 6)
    splits = [F.relu(F.batch_norm(F.conv2d(x[:, 2 * s:2 * s + 2], module.splits[0].weight[8 * s:8 * s + 8], padding=1),
                                  torch.zeros(8), torch.ones(8))) for s in range(4)]
    mean = sum(splits).mean(dim=(2, 3), keepdim=True)
    hidden = F.relu(F.batch_norm(module.gate[1](mean), torch.zeros(8), torch.ones(8)))
    weights = torch.softmax(torch.stack(module.gate[4](hidden).chunk(4, dim=1)), dim=0)
    torch.testing.assert_close(module(x), sum(w * s for w, s in zip(weights, splits)))


def test_equal_logits_take_the_mean():
    module, x = SplitAttention(4).eval(), torch.randn(1, 4, 4, 4)
    for p in module.gate[4].parameters():
        torch.nn.init.zeros_(p)
    torch.testing.assert_close(module(x), module.splits(x).reshape(1, 4, 4, 4, 4).mean(dim=1))


def test_a_group_is_a_deep_path_beside_a_block():
    module, x = ESAG(8, blocks=2).eval(), torch.randn(1, 8, 4, 4)
    assert [type(m) for m in module.deep] == [ISAB, ISAB, torch.nn.Conv2d]
    for p in module.deep[2].parameters():
        torch.nn.init.zeros_(p)
    y = module(x)
    assert torch.equal(y, F.relu(x + module.structure.body(x))) and y.min() >= 0


def test_a_block_starts_as_a_shortcut():
    module, x = ISAB(8).train(), torch.randn(2, 8, 4, 4)
    assert torch.equal(module(x), F.relu(x))
    module(x).sum().backward()
    assert module.body[-1].weight.grad.abs().min() > 0  # and leaves it


def test_the_untrained_network_has_no_global_skip():
    model = SISN(SISNConfig(channels=8, groups=1, blocks=1)).eval()
    for p in model.tail[-1].parameters():
        torch.nn.init.zeros_(p)
    with torch.no_grad():
        assert not model(torch.rand(1, 3, 16, 24)).any()


def test_bad_input():
    with pytest.raises(BadInput, match="multiple of 4"):
        SISNConfig(channels=6)
    with pytest.raises(BadInput, match="multiples of 8"):
        SISN(SISNConfig(channels=8, groups=1, blocks=1))(torch.zeros(1, 3, 12, 16))
