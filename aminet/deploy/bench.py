"""How fast one AMINet is, and how near to the limits of the machine: `python -m aminet bench`.

What is compared runs in turns; numbers are medians. Work: two FLOPs per MAC of `ledger.bill`; a training step is three
forwards (the features, their gradients, the weights' gradients). Bytes and limits: see `roofline`.
"""
from __future__ import annotations

import copy
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, groupby
from typing import NamedTuple

import torch
from tabulate import tabulate
from torch import Tensor, nn
from torch.nn import functional as F

from ..baselines.registry import preset
from ..config import AMINetConfig
from ..degrade import network_input
from ..errors import BadInput
from ..faces.synthetic import faces
from ..ledger import bill
from ..model import AMINet
from ..paper.records import sealed
from ..protocol import PROTOCOLS, psnr
from ..rdfe import RDFE
from ..sa import SelfAttention
from ..skaf import SKAF
from ..train import Recipe, batch_of
from ..training.device import usable
from ..training.weights import load_weights
from ..transformer import FeedForward
from .fast import faster
from .roofline import BYTES, add_shares, elements, limits, probes
from .timing import fill_zeros, machine, machine_words, race

LAST = torch.channels_last
BATCHES = {"cpu": (1,), "cuda": (1, 64)}  # of inference
MODULES = {"cpu": 1, "cuda": 16}  # faces that go through single modules
KINDS = {SelfAttention: "SA", RDFE: "RDFE", SKAF: "SKAF", FeedForward: "feed-forward"}


class Case(NamedTuple):
    """Something to measure, and what its row says beforehand. flops, elements: what one call computes and moves."""

    task: str
    name: str
    batch: int
    precision: str
    flops: float
    elements: float
    run: Callable[[], object]


@dataclass
class Sitting:
    """Measurements in turns on one device. left_out: what did not run, for want of a compiler or memory, and why."""

    device: str
    rounds: int
    seconds: float
    left_out: dict[str, str] = field(default_factory=dict)

    def measure(self, cases: list[Case], beside: dict[str, Callable[[], object]]) -> tuple[list[dict], dict]:
        """Return a row for each case that runs, and the median seconds of what runs beside them.

        `ratio`: how many times as fast as the case `eager`, if there is one.
        """
        running = {}
        for case in cases:
            name = f"{case.task}, {case.name}, batch {case.batch}"
            try:
                case.run()
                running[name] = case
            except BadInput:
                raise
            except Exception as error:  # compilers and GPUs raise many kinds
                self.left_out[name] = type(error).__name__
        turns = {name: case.run for name, case in running.items()} | beside
        taken, medians = race(turns, self.rounds, self.seconds, self.device)
        rows = [{"task": case.task, "name": case.name, "batch": case.batch, "precision": case.precision,
                 "seconds": medians[name], "fastest": min(taken[name]),
                 "images_per_second": case.batch / medians[name], "flops": case.flops,
                 "bytes": case.elements * BYTES[case.precision], "memory": peak_memory(case.run, self.device)}
                for name, case in running.items()]
        eager = next((row["seconds"] for row in rows if row["name"] == "eager"), None)
        for row in rows if eager else ():
            row["ratio"] = eager / row["seconds"]
        return rows, {name: medians[name] for name in beside}


def peak_memory(run: Callable[[], object], device: str) -> int:
    """Count the bytes of tensors that one call holds at its peak, beside those that were there before."""
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler greets on stderr
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = profiler.profiler.kineto_results.events()
    return max(accumulate((event.nbytes() for event in events if event.name() == "[memory]"), initial=0))


def inference(model: AMINet, device: str, compiled: bool) -> dict[str, tuple[str, Callable[[Tensor], Tensor]]]:
    """List the ways to restore faces: name -> precision and a function of float32 (B, 3, 128, 128)."""
    model = copy.deepcopy(model).to(device)
    last = copy.deepcopy(model).to(memory_format=LAST)
    ways = {"eager": ("fp32", model), "channels_last": ("fp32", lambda x: last(x.contiguous(memory_format=LAST))),
            "faster": ("fp32", faster(model)), "faster, bf16": ("bf16", faster(model, bf16=True))}
    if compiled:
        ways["faster, compiled"] = "fp32", faster(model, compiled=True)
        ways["faster, bf16, compiled"] = "bf16", faster(model, bf16=True, compiled=True)
    return ways


def training_step(config: AMINetConfig, device: str, x: Tensor, target: Tensor, layout: torch.memory_format = LAST,
                  bf16: bool = False, compiled: bool = False) -> Callable[[], None]:
    """Make a function that does one step of training: forward, L1, backward, Adam."""
    torch.manual_seed(0)
    network = AMINet(config).to(device).to(memory_format=layout)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.9, 0.99))
    run, x = torch.compile(network) if compiled else network, x.contiguous(memory_format=layout)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            y = run(x)
        F.l1_loss(y.float(), target).backward()
        optimizer.step()
    return step


def training(config: AMINetConfig, device: str, x: Tensor, target: Tensor, compiled: bool,
             ) -> dict[str, tuple[str, Callable[[], None]]]:
    """List the ways to train: name -> precision and one step."""
    step = partial(training_step, config, device, x, target)
    ways = {"eager": ("fp32", step(torch.contiguous_format)), "channels_last": ("fp32", step()),
            "bf16": ("bf16", step(bf16=True))}
    if compiled and device == "cuda":
        ways["bf16, compiled"] = "bf16", step(bf16=True, compiled=True)
    elif compiled:
        ways["compiled"] = "fp32", step(compiled=True)
    return ways


def module_cases(model: AMINet, device: str, x: Tensor) -> list[Case]:
    """A case for each kind of module: all of them in a row, eager in channels_last, each on its own input.

    No kind contains another one, so that no hook runs when they are measured.
    """
    network, given, costs = copy.deepcopy(model).to(device).to(memory_format=LAST), {}, bill(model.config)
    moved = elements(model.config, len(x))
    kinds: dict[str, dict[str, nn.Module]] = {}

    def keep(module: nn.Module, arguments: tuple) -> None:
        given[module] = arguments

    def run_all(modules: dict[str, nn.Module]) -> None:
        for module in modules.values():
            module.forward(*given[module])  # without the hook

    for name, module in network.named_modules():
        if kind := KINDS.get(type(module)):
            kinds.setdefault(kind, {})[name] = module
            module.register_forward_pre_hook(keep)
    network(x.to(device, memory_format=LAST))
    return [Case("modules", kind, len(x), "fp32", 2.0 * len(x) * sum(costs[name].macs for name in modules),
                 sum(moved[name] for name in modules), partial(run_all, modules)) for kind, modules in kinds.items()]


def add_accuracy(rows: list[dict], ways: dict, x: Tensor, hr: Tensor, trained: bool) -> None:
    """Add to each row the largest difference to `eager`, and in dB what it costs (positive: worse)."""
    restored = {row["name"]: torch.cat([ways[row["name"]][1](part).float().cpu() for part in x.split(row["batch"])])
                for row in rows}
    if "eager" not in restored:
        return
    for row in rows:
        row["max_error"] = float((restored[row["name"]] - restored["eager"]).abs().max())
        if trained:
            eager, this = (psnr(restored[way], hr, PROTOCOLS["paper"]).mean() for way in ("eager", row["name"]))
            row["psnr_cost"] = float(eager - this)


def bench(name: str = "aminet", device: str = "cpu", batch: int | None = None, quick: bool = False) -> dict:
    """Measure inference, its modules and training of a preset: a sealed record of kind `bench`.

    name: a preset; its weights are used where the course has some (then `psnr_cost` is known). batch: of training, 4
    on a CPU and 32 on a GPU. quick: few rounds, and nothing is compiled. Seconds, bytes and FLOPs of one call.
    """
    usable(device)
    config, recipe = preset(name), Recipe(batch=batch or (32 if device == "cuda" else 4))
    if not isinstance(config, AMINetConfig):
        raise BadInput(f"bench takes AMINet apart, not {name}; bench --all times every network")
    try:
        model, trained = load_weights(name)[0], True
    except BadInput:
        model, trained = fill_zeros(AMINet(config)).eval(), False
    sitting = Sitting(device, *((3, 5.0) if quick else (25, 60.0)))
    calls, flops = probes(device), 2.0 * bill(config)[""].macs
    rows, probe_seconds = [], {}
    with torch.no_grad():
        for size in BATCHES[device]:
            hr = faces(max(size, MODULES[device], 16 if trained and not quick else 1), seed=3)
            x, ways = network_input(hr).to(device), inference(model, device, compiled=not quick)
            moved = elements(config, size)[""]
            cases = [Case("inference", way, size, precision, size * flops, moved, partial(run, x[:size]))
                     for way, (precision, run) in ways.items()]
            measured, probe_seconds = sitting.measure(cases, {name: call for name, (call, _) in calls.items()})
            add_accuracy(measured, ways, x, hr, trained)
            rows += measured
        rows += sitting.measure(module_cases(model, device, x[:MODULES[device]]), {})[0]
    batch = recipe.batch
    pictures = faces(2 * batch).to(device)
    steps = training(config, device, *batch_of(pictures, 0, recipe), not quick)
    moved = elements(config, batch)[""]
    cases = [Case("training", way, batch, precision, 3 * batch * flops, 3 * moved, run)
             for way, (precision, run) in steps.items()]
    measured, beside = sitting.measure(cases, {"data": partial(batch_of, pictures, 1, recipe)})
    rows += measured
    top = limits(calls, probe_seconds)
    add_shares(rows, top)
    return sealed("bench", preset=name, config=config.to_dict(), device=device, machine=machine(device),
                  weights="the course's" if trained else "random", rounds=sitting.rounds, limits=top, rows=rows,
                  left_out=sitting.left_out, data_images_per_second=batch / beside["data"])


def format_bench(record: dict) -> str:
    """A record of `bench` as tables for people."""
    top, tf32 = record["limits"], " (convolutions in TF32)" if record["machine"].get("tf32") else ""
    lines = [f"{record['preset']} on {machine_words(record)}",
             f"limits: {top['fp32'] / 1e9:.0f} GFLOP/s in fp32{tf32}, {top['bf16'] / 1e9:.0f} in bf16, "
             f"{top['bandwidth'] / 1e9:.1f} GB/s"]
    for (task, batch), rows in groupby(record["rows"], lambda row: (row["task"], row["batch"])):
        cells = [[row["name"], 1e3 * row["seconds"], row["images_per_second"], row.get("ratio"), row["of_peak"],
                  row["of_bandwidth"], row["memory"] / 1e6, row.get("max_error"), row.get("psnr_cost")] for row in rows]
        headers = [f"{task}, batch {batch}", "ms", "images/s", "ratio", "of peak", "of copy", "MB", "max error",
                   "PSNR cost, dB"]
        lines += ["", tabulate(cells, headers, floatfmt=("", ".1f", ".1f", ".2f", ".0%", ".0%", ".0f", ".1e", ".4f"))]
    lines += [f"left out: {what} ({why})" for what, why in record["left_out"].items()]
    return "\n".join([*lines, "", f"data pipeline: {record['data_images_per_second']:.0f} images/s"])
