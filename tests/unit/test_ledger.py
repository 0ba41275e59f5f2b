"""The bill: the hand formulas equal torch's count in every module, thop gives the published digits."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from aminet import ABLATIONS, PRESETS, SKAF, AMINet, AMINetConfig, BadInput, Hourglass, SelfAttention, preset
from aminet import ledger as L

AMINET = PRESETS["aminet"]
SWITCHES = {  # what no preset and no ablation touches
    "no norm": dict(norm=False, residual=False),
    "sqrt": dict(scale="sqrt"),
    "instance": dict(frm_norm="instance", gate="features"),
    "no frm norm": dict(frm_norm="none", attention_unit=False),
    "dilated 5x5": dict(dilated=True, kernels=(5,), pools=()),
    "transformer, no skaf": dict(block="transformer", blocks=2, skaf="none", scale="sqrt"),
    "ffn, no sa": dict(local="ffn", ffn_expansion=2.66, sa=False),
    "two paths": dict(paths=(5, 3), heads=(1, 1, 2, 8), depths=(4, 2, 1, 1)),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def assert_equal(config: AMINetConfig, size: int) -> None:
    with torch.device("meta"):
        model = AMINet(config)
    hand, by_torch = L.bill(config, size), L.counted(model, size)
    assert {name: cost for name, cost in hand.items() if by_torch[name] != cost} == {}
    # The rows "head", "encoders.0", ... share out the whole and leave no module unlisted.
    tops = [f"{kind}.{i}" for kind in ("encoders", "downs", "ups", "edffs", "decoders") for i in range(3)]
    assert sum((hand[name] for name in ["head", "tail", "bottleneck", *tops]), L.Cost()) == hand[""]
    unlisted = [name for name, cost in by_torch.items() if name not in hand and cost != L.Cost()
                and not any(name.startswith(f"{row}.") for row in hand if row)]
    assert unlisted == []


# Presets and ablations by config, so that equal ones are counted once.
NAMES = {preset(name): name for name in [*(f"aminet/{row}" for row in ABLATIONS), *PRESETS]}


@pytest.mark.parametrize("config", NAMES, ids=NAMES.values())
def test_hand_equals_torch_for_every_preset_and_every_ablation(config):
    assert_equal(config, 128)


@pytest.mark.parametrize("switch", SWITCHES)
def test_hand_equals_torch_for_every_other_switch(switch):
    assert_equal(AMINetConfig(channels=8, **SWITCHES[switch]), 64)


def test_the_totals_of_the_default():
    rows = L.bill()
    assert rows[""] == L.Cost(12_623_547, 15_518_562_304, 93_126_656)
    assert rows[""].macs == 15_611_688_960
    assert [name for name in rows if "." not in name] == ["", "head", "bottleneck", "tail"]
    sums = {part: sum(cost.params for name, cost in rows.items() if name.endswith(f".{part}"))
            for part in ("sa", "local", "norm")}
    assert sums == {"sa": 248_718, "local": 5_387_488, "norm": 1_232}


def test_formulas_as_written_on_paper():
    c, h, size = 12, 3, 16
    assert L.self_attention(c, size, size, h).params == 4 * c**2 + 27 * c + h
    assert L.self_attention(c, size, size, h).matmul == 2 * size**2 * c**2 // h
    assert L.skaf(c, size, size).params == 74 * c**2 + 2 * c + 198
    # A rectangle, which the square network never shows.
    for module, cost in ((SelfAttention(c, h), L.self_attention(c, 8, 24, h)), (SKAF(c), L.skaf(c, 8, 24)),
                         (Hourglass(c, 3), L.hourglass(c, 8, 24, 3))):
        assert cost.params == sum(p.numel() for p in module.parameters())
        with torch.no_grad(), L.FlopCounterMode(display=False) as counter:
            module.eval()(torch.zeros(1, c, 8, 24))
        assert 2 * cost.macs == counter.get_total_flops()


def test_an_hourglass_of_any_depth_costs_less_than_three_convolutions():
    full = 9 * 28 * 28 * 128**2
    costs = [L.hourglass(28, 128, 128, depth).conv - 9 * 28 * 128**2 for depth in range(1, 8)]
    assert costs == sorted(costs) and 2.5 * full == costs[0] and costs[-1] < 3 * full


def test_bill_refuses_a_size_the_network_refuses():
    with pytest.raises(BadInput, match="multiple of 32"):
        L.bill(size=48)
    with pytest.raises(BadInput):
        L.bill(size=0)


def test_counting_leaves_the_model_alone():
    model = AMINet(replace(PRESETS["pocket"], channels=4)).train()
    names, before = list(model.state_dict()), {k: v.clone() for k, v in model.state_dict().items()}
    L.counted(model, 32), L.thop_counted(model, 32)
    assert list(model.state_dict()) == names and all(m.training for m in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_thop_is_conv_macs_plus_four_per_batch_norm_value_plus_one_per_prelu_value():
    model, extra = AMINet(AMINetConfig(channels=4)).eval(), []
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.PReLU)):
            each = 4 if isinstance(module, nn.BatchNorm2d) else 1
            module.register_forward_hook(lambda m, i, out, each=each: extra.append(each * out.numel()))
    with torch.no_grad():
        model(torch.zeros(1, 3, 32, 32))
    params, macs = L.thop_counted(AMINet(AMINetConfig(channels=4)), 32)
    hand = L.bill(AMINetConfig(channels=4), 32)
    assert macs == hand[""].conv + sum(extra) and len(extra) > 100
    bare = sum(cost.params for name, cost in hand.items() if name.endswith(".norm")) + sum((1, 2, 4, 4)) * 2
    assert params == hand[""].params - bare


def test_thop_missing_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "thop", None)
    with pytest.raises(BadInput, match="pip install thop"):
        L.thop_counted(AMINet(AMINetConfig(channels=4)), 32)


def test_match_says_how():
    assert L.match(12_623_547, "12.62M") == "both"
    assert L.match(12_374_829, "12.3M") == "truncates"
    assert L.match(12_109_103, "12.11M") == "rounds"
    assert L.match(15_566_394_368, "15.6G") == "rounds"
    assert L.match(9_212_406_784, "9.4G") is False
    assert L.value_of("12.62M") == 12_620_000 and L.value_of("9.4G") == 9.4e9


# How ours meets the published parameters of Tables I, II, III and X.
MEETS = {"aminet": "both", "aminet-s": "both", "aminet-8c": "both", "w/o SA": "truncates", "w/o RDFE": "both",
         "w/o SKAF": "both", "LGFI->Transformer": "rounds", "RDFE->FFN": "rounds"}


def test_published_parameters_are_met():
    for name, how in MEETS.items():
        config = PRESETS.get(name) or preset(f"aminet/{name}")
        assert L.match(L.bill(config)[""].params, L.PUBLISHED[name][0]) == how, name


@pytest.fixture(scope="module")
def rows():
    return [L.entry("aminet", AMINET), L.entry("aminet-s", PRESETS["aminet-s"]),
            L.entry("w/o SA", replace(AMINET, sa=False))]


def test_entries_hold_three_counts_and_the_published_one(rows):
    assert all(row["params"] == row["torch_params"] and row["macs"] == row["torch_macs"] for row in rows)
    aminet, small, without = rows
    assert (aminet["thop_params"], aminet["thop_macs"]) == (12_622_293, 15_566_394_368)
    assert [(row["params_match"], row["macs_match"]) for row in rows] == [
        ("both", "rounds"), ("both", False), ("truncates", None)]
    assert small["macs_deviation"] == pytest.approx(-0.02, abs=1e-3)
    assert without["published_macs"] is None and without["printed_params"] == "12.3M"


def test_format(rows):
    json.dumps(rows)
    table, legend = L.format_ledger(rows).split("\n\n")
    assert legend == L.LEGEND
    lines = table.splitlines()
    assert len(lines) == 2 + len(rows) and max(map(len, lines)) <= 120
    assert len({re.search(r"[\d,]{9,}", line).end() for line in lines[2:]}) == 1  # columns
    aminet, small, without = lines[2:]
    assert aminet.split() == "aminet 12,623,547 12.62M +0.03% both 15.612 15.566 15.6G -0.22% rounds".split()
    assert small.split()[-5:] == "9.258 9.212 9.4G -2.00% no".split() and "!" not in table
    assert without.split()[-4:] == "truncates 15.140 15.188 -".split()
    broken = L.format_ledger([rows[0] | {"torch_macs": 1}])
    assert "15.612!" in broken


def test_ledger_has_every_preset_and_every_ablation_of_the_full_size(monkeypatch):
    monkeypatch.setattr(L, "entry", lambda name, config: (name, config))
    pairs = dict(L.ledger())
    assert list(pairs) == [*PRESETS, *ABLATIONS]
    assert [name for name, _ in L.ledger(["w/o SA", "aminet"])] == ["w/o SA", "aminet"]
    with pytest.raises(BadInput, match="no 'AMINet': choose from aminet, "):
        L.ledger(["AMINet"])
    assert pairs["pocket"] == PRESETS["pocket"] and pairs["w/o SA"] == replace(AMINET, sa=False)
    assert set(L.PUBLISHED) >= {"aminet", "aminet-s", "w/o SA", "w/o RDFE", "w/o SKAF", "LGFI->Transformer"}
