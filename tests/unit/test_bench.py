"""`bench`: its counts are right by hand, its ratios are of one sitting, and what cannot run is left out and named."""
import json
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from aminet import PRESETS, AMINet
from aminet.baselines.registry import preset
from aminet.deploy.bench import (
    BARS,
    Case,
    Sitting,
    as_if_trained,
    bench_all,
    compiled,
    elements,
    fill_zeros,
    flops,
    format_speeds,
    inference,
    outermost,
    peak_memory,
    plot,
    race,
    training,
    verdicts,
)
from aminet.errors import BadInput
from aminet.ledger import bill
from aminet.paper.records import read_record
from aminet.paper.runs import runs

SMALL = replace(PRESETS["pocket"], channels=4, depths=(1, 1, 1, 1))  # every kind of module


def test_a_race_runs_in_turns():
    order = []
    taken = race({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=4, seconds=60)
    assert order == ["a", "b"] + ["a", "b"] * 4  # once to warm up
    assert [len(times) for times in taken.values()] == [4, 4]
    assert len(race({"a": lambda: None}, rounds=50, seconds=0)["a"]) == 3  # however slow


def test_flops_are_two_per_mac_and_the_parts_are_the_whole():
    work = flops(SMALL)
    assert work[""] == 2 * bill(SMALL)[""].macs
    assert set(work) == {"", "SA", "RDFE", "SKAF", "others"}
    assert sum(v for k, v in work.items() if k) == work[""] and min(work.values()) > 0


def test_bytes_are_inputs_outputs_and_weights():
    """Twice the batch: twice the features, the same weights."""
    once, twice = elements(SMALL, 1), elements(SMALL, 2)
    weights = sum(p.numel() for module in AMINet(SMALL).modules() if not list(module.children())
                  for p in module.parameters(recurse=False))
    assert twice[""] - once[""] == once[""] - weights
    assert sum(v for k, v in once.items() if k) == once[""]


def test_every_leaf_is_counted_once():
    model = AMINet(SMALL)
    names = [name for group in outermost(model).values() for name in group]
    assert len(names) == len(set(names))
    leaves = [name for name, module in model.named_modules() if not list(module.children())]
    assert all(sum(f"{leaf}.".startswith(f"{name}.") for name in names) == 1 for leaf in leaves)


def test_the_ways_compute_the_same():
    x = torch.rand(2, 3, 128, 128) * 2 - 1
    model = as_if_trained(SMALL)
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
    def broken():
        raise NotImplementedError("no compiler here")

    sitting = Sitting("cpu", rounds=3, seconds=1)
    cases = [Case("inference", name, 1, "fp32", 1.0, 1.0, run) for name, run in (("good", lambda: 1), ("bad", broken))]
    rows, beside = sitting.measure(cases, {"copy": lambda: 1})
    assert [row["name"] for row in rows] == ["good"] and set(beside) == {"copy"}
    assert sitting.left_out == {"inference, bad, batch 1": "NotImplementedError"}


def test_a_bar_is_the_best_way_over_eager_and_can_be_missed():
    rows = [{"task": "inference", "name": "eager", "batch": 1, "ratio": 1.0, "images_per_second": 5},
            {"task": "inference", "name": "faster", "batch": 1, "ratio": 1.9, "images_per_second": 9},
            {"task": "training", "name": "eager", "batch": 4, "ratio": 1.0, "images_per_second": 10}]
    inference_bar, data = verdicts(rows, "cpu", data=99.0)
    assert (inference_bar["value"], inference_bar["bar"], inference_bar["met"]) == (1.9, 2.0, False)
    assert data["value"] == 9.9 and not data["met"]
    rows[1]["ratio"] = 2.0
    assert verdicts(rows, "cpu", data=100.0)[0]["met"] and verdicts(rows, "cpu", data=100.0)[1]["met"]
    assert BARS["cuda"] == {"inference, batch 64": 4.0, "training": 3.0}


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
        assert row["seconds"] >= row["fastest"] > 0 and row["memory"] > 0 and 0 < row["of_peak"] < 2
        assert row["of_peak"] == pytest.approx(
            row["flops"] / row["seconds"] / record["limits"][row["precision"]])
        if "ratio" in row and row["task"] == "inference":
            assert row["ratio"] == pytest.approx(eager["seconds"] / row["seconds"])
    assert (tmp_path / "roof.png").read_bytes().startswith(b"\x89PNG")
    assert "training, batch 2" in done.stdout and "data pipeline" in done.stdout
    text = (tmp_path / "records" / "bench-pocket-s-cpu.json").read_text()
    changed = json.loads(text)
    changed["rows"][0]["seconds"] /= 2
    (tmp_path / "edited.json").write_text(json.dumps(changed))
    with pytest.raises(BadInput, match="was edited"):
        read_record(tmp_path / "edited.json")
    plot(record, tmp_path / "again.png")
    refuses("ends in .png", "bench", "pocket", "--plot", "roof.jpg")
    refuses("unknown preset", "bench", "huge")


def test_a_device_that_is_not_there(refuses):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    refuses("device 'cuda' is not here", "bench", "pocket", "--device", "cuda")


def test_every_network_in_one_sitting(tmp_path, aminet):
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
    class Same:
        """Returns what it takes; without an input, what it is compiled to."""

        def __init__(self, compiled):
            self.compiled = compiled

        def __call__(self, *x):
            return x[0] if x else self.compiled

    def broken(x):
        raise NotImplementedError("no compiler here")

    x, wrong = torch.ones(1), {"good": lambda x: x + 1e-5, "bad": broken, "other": lambda x: x + 0.1,
                                 "nan": lambda x: x * torch.nan}
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: network())
    fast, left_out = compiled({name: partial(Same(run), x) for name, run in wrong.items()})
    assert list(fast) == ["good"] and fast["good"]() == x + 1e-5
    assert left_out == {"bad": "NotImplementedError", "other": "its result differs by 1.0e-01",
                        "nan": "its result differs by nan"}


def test_every_network_of_a_class_is_compiled(monkeypatch):
    """They share the code of `forward`, of which torch compiles eight variants and then silently runs it as it is."""
    class Chain(nn.Module):
        def __init__(self, length):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(length))

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    graphs, real = [], torch.compile  # traced, but without a compiler's minutes
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: real(
        network, dynamic=dynamic, backend=lambda graph, inputs: graphs.append(graph) or graph.forward))
    with torch.no_grad():
        fast, left_out = compiled({f"{n} layers": partial(Chain(n), torch.ones(1, 2)) for n in range(1, 13)})
    assert len(fast) == len(graphs) == 12 and not left_out


def test_no_network_ends_in_zeros_when_results_are_compared():
    model, x = AMINet(SMALL).eval(), torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        assert (model(x) == x).all()  # whatever a compiler makes of the features
        fill_zeros(model)
        assert (model(x) != x).any()


def test_ablations_are_not_compiled(monkeypatch, refuses):
    few = [spec for spec in runs("paper") if spec.network in ("aminet", "without-sa", "sparnet")]
    monkeypatch.setattr("aminet.paper.runs.runs", lambda scale: few)
    monkeypatch.setattr("aminet.deploy.bench.compiled", lambda turns: (turns, {}))
    record = bench_all("pocket", quick=True, fused=True)
    rows = {row["network"]: row for row in record["rows"]}
    assert {name for name, row in rows.items() if "compiled_seconds" in row} == {"aminet", "sparnet"}
    assert set(rows) == {"aminet", "without-sa", "sparnet"} and rows["aminet"]["compiled_ratio"] == 1
    assert rows["sparnet"]["compiled_ratio"] == pytest.approx(
        rows["sparnet"]["compiled_seconds"] / rows["aminet"]["compiled_seconds"])
    lengths = [len(line) for line in format_speeds(record).splitlines()[2:]]
    assert lengths[0] == lengths[2] > lengths[1]
    refuses("belongs to --all", "bench", "pocket", "--quick", "--compiled")
