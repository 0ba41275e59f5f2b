"""`bench`: its counts are right by hand, its ratios are of one sitting, and what cannot run is left out and named."""
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from aminet import PRESETS, AMINet
from aminet.baselines.registry import preset
from aminet.deploy.bench import Case, Sitting, inference, module_cases, peak_memory, training
from aminet.deploy.roofline import add_shares, elements, limits
from aminet.deploy.speeds import bench_all, compiled, counts, format_speeds
from aminet.deploy.timing import fill_zeros, race
from aminet.ledger import bill
from aminet.paper.records import read_record
from aminet.paper.runs import runs
from aminet.skaf import SKAF

SMALL = replace(PRESETS["pocket"], channels=4, depths=(1, 1, 1, 1))  # every kind of module


def broken(*_):
    raise NotImplementedError("no compiler here")


def test_a_race_runs_in_turns():
    order = []
    taken, medians = race({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=4, seconds=60)
    assert order == ["a", "b"] + ["a", "b"] * 4  # once to warm up
    assert [len(times) for times in taken.values()] == [4, 4] and medians["a"] == np.median(taken["a"])
    assert len(race({"a": lambda: None}, rounds=50, seconds=0)[0]["a"]) == 3  # however slow


def test_the_modules_of_a_kind_run_on_their_own_inputs(monkeypatch):
    """Every one of them, with two FLOPs per MAC."""
    model, calls = fill_zeros(AMINet(SMALL)).eval(), []
    with torch.no_grad():
        cases = {case.name: case for case in module_cases(model, "cpu", torch.rand(3, 3, 128, 128))}
    assert set(cases) == {"SA", "RDFE", "SKAF"} and {case.batch for case in cases.values()} == {3}
    skafs = [cost for name, cost in bill(SMALL).items() if name.endswith(".skaf")]
    assert cases["SKAF"].flops == 3 * 2 * sum(cost.macs for cost in skafs) > 0
    assert sum(case.flops for case in cases.values()) < 3 * 2 * bill(SMALL)[""].macs  # no part is counted twice
    moved = elements(SMALL, 3)
    assert cases["SKAF"].elements == sum(count for name, count in moved.items() if name.endswith(".skaf")) > 0
    assert sum(case.elements for case in cases.values()) < moved[""]
    forward = SKAF.forward
    monkeypatch.setattr(SKAF, "forward", lambda self, *given: calls.append(len(given[0])) or forward(self, *given))
    with torch.no_grad():
        cases["SKAF"].run()
    assert calls == [3] * len(skafs)


def test_bytes_are_inputs_outputs_and_weights():
    """Twice the batch: twice the features, the same weights. A convolution counts as one does by hand."""
    once, twice = elements(SMALL, 1), elements(SMALL, 2)
    leaves = {name: module for name, module in AMINet(SMALL).named_modules() if not list(module.children())}
    weights = sum(p.numel() for module in leaves.values() for p in module.parameters())
    assert twice[""] - once[""] == once[""] - weights
    assert once[""] == sum(once[name] for name in leaves)  # each of them once
    name, first = next((name, module) for name, module in leaves.items() if isinstance(module, nn.Conv2d))
    assert (first.in_channels, first.out_channels, first.kernel_size, first.bias is None) == (3, 4, (3, 3), False)
    assert once[name] == (3 + 4) * 128 * 128 + 3 * 4 * 9 + 4


def test_limits_are_the_faster_product_and_the_copy():
    calls = dict.fromkeys(("fp32 matmul", "fp32 conv", "bf16 matmul", "bf16 conv"), (int, 8.0)) | {"copy": (int, 6.0)}
    seconds = {"fp32 matmul": 4.0, "fp32 conv": 2.0, "bf16 matmul": 1.0, "bf16 conv": 2.0, "copy": 3.0}
    top = limits(calls, seconds)
    assert (top["fp32"], top["bf16"], top["bandwidth"], top["fp32 matmul"]) == (4, 8, 2, 2)
    rows: list[dict] = [{"precision": "bf16", "flops": 8.0, "bytes": 1.0, "seconds": 2.0}]
    add_shares(rows, top)
    assert (rows[0]["of_peak"], rows[0]["of_bandwidth"]) == (0.5, 0.25)


def test_the_ways_compute_the_same():
    x = torch.rand(2, 3, 128, 128) * 2 - 1
    model = fill_zeros(AMINet(SMALL)).eval()
    with torch.no_grad():
        ways = {name: run(x) for name, (_, run) in inference(model, "cpu", compiled=False).items()}
    assert set(ways) == {"eager", "channels_last", "faster", "faster, bf16"}
    for name, y in ways.items():
        assert (y - ways["eager"]).abs().max() < (0.1 if "bf16" in name else 1e-4), name
    assert (ways["eager"] - x).std() > 1e-2  # the network does something


def test_a_training_way_trains():
    x = torch.rand(2, 3, 128, 128) * 2 - 1
    target = x + 0.1  # out of reach of a tail of zeros, until it learns
    for name, (_, step) in training(SMALL, "cpu", x, target, compiled=False).items():
        network = next(cell.cell_contents for cell in step.__closure__ if isinstance(cell.cell_contents, nn.Module))
        before = [p.clone() for p in network.parameters()]
        step()
        assert any((a != b).any() for a, b in zip(before, network.parameters())), name


def test_peak_memory_counts_what_is_held_at_once():
    def run():
        a = torch.ones(1_000_000)
        b = a * 2
        del a
        return b + 1

    assert peak_memory(run, "cpu") == pytest.approx(8e6, rel=0.01)


def test_what_does_not_run_is_left_out_and_named():
    sitting = Sitting("cpu", rounds=3, seconds=1)
    cases = [Case("inference", name, 1, "fp32", 1.0, 1.0, run) for name, run in (("good", lambda: 1), ("bad", broken))]
    rows, beside = sitting.measure(cases, {"copy": lambda: 1})
    assert [row["name"] for row in rows] == ["good"] and set(beside) == {"copy"}
    assert sitting.left_out == {"inference, bad, batch 1": "NotImplementedError"}


def test_bench_from_the_command_line(tmp_path, aminet, refuses):
    done = aminet("bench", "pocket-s", "--quick", "--batch", "2", "--plot", "roof.png", "--records", "records")
    assert done.returncode == 0, done.stderr
    record = read_record(tmp_path / "records" / "bench-pocket-s-cpu.json")  # the seal fits
    rows = record["rows"]
    assert {row["task"] for row in rows} == {"inference", "modules", "training"}
    assert {row["batch"] for row in rows if row["task"] == "training"} == {2}
    eager = next(row for row in rows if (row["task"], row["name"]) == ("inference", "eager"))
    assert eager["ratio"] == 1 and eager["max_error"] == 0
    for row in rows:
        assert row["seconds"] >= row["fastest"] > 0 and min(row["memory"], row["bytes"]) > 0 and 0 < row["of_peak"] < 2
        assert row["of_peak"] == pytest.approx(row["flops"] / row["seconds"] / record["limits"][row["precision"]])
        assert row["of_bandwidth"] == pytest.approx(row["bytes"] / row["seconds"] / record["limits"]["bandwidth"])
        if "ratio" in row and row["task"] == "inference":
            assert row["ratio"] == pytest.approx(eager["seconds"] / row["seconds"])
    assert (tmp_path / "roof.png").read_bytes().startswith(b"\x89PNG")
    assert "training, batch 2" in done.stdout and "data pipeline" in done.stdout
    line = next(line.split() for line in done.stdout.splitlines() if line.startswith("eager"))
    assert line == ["eager", f"{1e3 * eager['seconds']:.1f}", f"{eager['images_per_second']:.1f}", "1.00",
                    f"{eager['of_peak']:.0%}", f"{eager['of_bandwidth']:.0%}", f"{eager['memory'] / 1e6:.0f}",
                    "0.0e+00", "0.0000"]
    refuses("ends in .png", "bench", "pocket", "--plot", "roof.jpg")
    refuses("not allowed with", "bench", "pocket", "--plot", "roof.png", "--all")
    refuses("unknown preset", "bench", "huge")
    refuses("batch=1000000000: expected", "bench", "pocket", "--quick", "--batch", "1000000000")  # before any work
    refuses("takes AMINet apart, not pocket/rcan", "bench", "pocket/rcan")


def test_every_network_in_one_sitting(tmp_path, aminet, monkeypatch):
    monkeypatch.setattr("aminet.deploy.speeds.counts", lambda config: {"params": 1, "macs": 2, "thop_macs": 3})
    done = aminet("bench", "pocket", "--all", "--quick", "--records", "records")
    assert done.returncode == 0, done.stderr
    record = read_record(tmp_path / "records" / "speeds-pocket-cpu.json")
    rows = {row["network"]: row for row in record["rows"]}
    networks = {spec.network for spec in runs("paper") if spec.start is None}
    assert networks - set(rows) <= {"amigan"} and rows["aminet"]["ratio"] == 1
    assert rows["sfmnet"]["config"] == json.loads(json.dumps(preset("pocket/sfmnet").to_dict()))
    assert all(row["seconds"] >= row["fastest"] > 0 for row in rows.values())
    assert record["kind"] == "speeds" and "sparnet-edff" in done.stdout
    assert record["left_out"] == {} and not any("compiled_seconds" in row for row in rows.values())  # it was quick


def test_what_does_not_compile_or_differs_is_left_out_and_named(monkeypatch):
    x, made = torch.ones(1), {"good": lambda x: x + 1e-5, "bad": broken, "other": lambda x: x + 0.1,
                              "nan": lambda x: x * torch.nan}
    results = iter(made.values())
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: next(results))
    fast, left_out = compiled(dict.fromkeys(made, partial(nn.Identity(), x)))
    assert list(fast) == ["good"] and fast["good"]() == x + 1e-5
    assert left_out == {"bad": "NotImplementedError", "other": "its result differs by 1.0e-01",
                        "nan": "its result differs by nan"}


def test_every_network_of_a_class_is_compiled(monkeypatch):
    """They share the code of `forward`, of which torch compiles eight variants and then silently runs it as it is."""
    class Chain(nn.Sequential):
        def forward(self, x):
            for layer in self:
                x = layer(x)
            return x

    graphs, real = [], torch.compile  # traced, but without a compiler's minutes
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: real(
        network, dynamic=dynamic, backend=lambda graph, inputs: graphs.append(graph) or graph.forward))
    with torch.no_grad():
        fast, left_out = compiled({f"{n} layers": partial(Chain(*(nn.Linear(2, 2) for _ in range(n))), torch.ones(1, 2))
                                   for n in range(1, 13)})
    assert len(fast) == len(graphs) == 12 and not left_out


def test_no_network_ends_in_zeros_when_results_are_compared():
    model, x = AMINet(SMALL).eval(), torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        assert (model(x) == x).all()  # whatever a compiler makes of the features
        fill_zeros(model)
        assert (model(x) != x).any()


def test_ablations_are_not_compiled(monkeypatch):
    few = [spec for spec in runs("paper") if spec.network in ("aminet", "without-sa", "sparnet")]
    monkeypatch.setattr("aminet.deploy.speeds.runs", lambda scale: few)
    monkeypatch.setattr("aminet.deploy.speeds.compiled", lambda turns: (turns, {}))
    monkeypatch.setattr("aminet.deploy.speeds.race", lambda turns, *limits: (
        dict.fromkeys(turns, [1.0, 9.0]), {name: 2.0 + i for i, name in enumerate(turns)}))
    record = bench_all("pocket")
    rows = {row["network"]: row for row in record["rows"]}
    assert list(rows) == ["aminet", "without-sa", "sparnet"]
    assert [row["seconds"] for row in rows.values()] == [2, 3, 4] and rows["sparnet"]["ratio"] == 2
    assert [rows[name]["compiled_ratio"] for name in ("aminet", "sparnet")] == [1, 6 / 5]
    assert "compiled_seconds" not in rows["without-sa"]
    *_, aminet, without, sparnet = format_speeds(record).splitlines()
    assert without.split()[-2:] == ["3000.0", "1.50"] and sparnet.split()[-4:] == ["4000.0", "2.00", "6000.0", "1.20"]


def test_counts_without_thop(monkeypatch):
    monkeypatch.setattr("aminet.deploy.speeds.thop_if_there", lambda model: (None, None))
    assert counts(SMALL) == {"params": bill(SMALL)[""].params, "macs": bill(SMALL)[""].macs, "thop_params": None,
                             "thop_macs": None}
