"""How fast, and how near to the limits of the machine: `python -m aminet bench`.

What is compared runs in turns, so a busy machine slows all alike; numbers are medians. Ratios of one sitting mean
something, milliseconds of two sittings do not.

Work: two FLOPs per MAC of `ledger.bill`; a training step is three forwards (features, their gradients, the weights'
gradients). Bytes are a lower bound: the inputs, outputs and weights of every leaf module once, in the precision used;
functions between the modules are left out. Limits, in the same sitting: the fastest of a matrix product and the same
product as a 1x1 convolution, and the copy of a large tensor.
"""
from __future__ import annotations

import copy
import io
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..baselines.registry import build, preset
from ..config import AMINetConfig
from ..degrade import HR, degrade, network_input, to_float, upsample
from ..errors import BadInput
from ..faces.synthetic import faces
from ..files import write_atomically
from ..ledger import bill, counted, thop_if_there
from ..model import AMINet
from ..paper.records import seal
from ..protocol import PROTOCOLS, psnr
from ..rdfe import RDFE
from ..sa import SelfAttention
from ..skaf import SKAF
from ..train import Recipe, batch_of
from ..training.device import usable
from ..training.weights import load_weights
from ..transformer import FeedForward
from .fast import faster

LAST = torch.channels_last
BYTES = {"fp32": 4, "bf16": 2}
KINDS = {SelfAttention: "SA", RDFE: "RDFE", SKAF: "SKAF", FeedForward: "feed-forward"}
BATCHES = {"cpu": (1,), "cuda": (1, 64)}  # of inference
BARS = {"cpu": {"inference, batch 1": 2.0}, "cuda": {"inference, batch 64": 4.0, "training": 3.0}}
DATA_BAR = 10.0  # the data pipeline over training, in images


@dataclass
class Case:
    """Something to time. flops, elements: what one call computes, and reads and writes at least."""

    task: str
    name: str
    batch: int
    precision: str
    flops: float
    elements: float
    run: Callable


def race(runners: dict[str, Callable], rounds: int, seconds: float, device: str = "cpu") -> dict[str, list[float]]:
    """Seconds of every runner in every round, in turns: at most `rounds`, about `seconds` in all, at least three."""
    from tqdm.auto import tqdm

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    for run in runners.values():
        run()
    wait()
    taken, begin = {name: [] for name in runners}, time.perf_counter()
    for done in tqdm(range(rounds), "rounds", leave=False, dynamic_ncols=True):
        if done >= 3 and time.perf_counter() - begin > seconds:
            break
        for name, run in runners.items():
            start = time.perf_counter()
            run()
            wait()
            taken[name].append(time.perf_counter() - start)
    return taken


def as_if_trained(config: AMINetConfig) -> AMINet:
    """A network with random norms and a tail that is not zero, in eval mode."""
    torch.manual_seed(0)
    model = AMINet(replace(config, zero_tail=False)).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    return model


def outermost(model: nn.Module, name: str = "") -> dict[str, list[str]]:
    """The names of all SAs, RDFEs, SKAFs, and of the leaves beside them (`others`: convolutions and norms)."""
    kind, parts = KINDS.get(type(model)), list(model.named_children())
    if kind or not parts:
        return {kind or "others": [name]}
    found: dict[str, list[str]] = {}
    for part, child in parts:
        for key, names in outermost(child, f"{name}.{part}".lstrip(".")).items():
            found.setdefault(key, []).extend(names)
    return found


def elements(config: AMINetConfig, batch: int) -> dict[str, int]:
    """The least that a forward pass reads and writes, by kind of module, in numbers ("" is the whole)."""
    with torch.device("meta"):
        model, x = AMINet(config).eval(), torch.zeros(batch, 3, HR, HR)
    groups, total = outermost(model), {"": 0}
    homes = {name: kind for kind, names in groups.items() for name in names}

    def count(kind: str):
        def note(module, arguments, output):
            moved = sum(t.numel() for t in (*arguments, output, *module.parameters()))
            total[kind], total[""] = total.get(kind, 0) + moved, total[""] + moved
        return note

    for name, module in model.named_modules():
        if not list(module.children()):
            home = next(home for home in homes if f"{name}.".startswith(f"{home}."))
            module.register_forward_hook(count(homes[home]))
    with torch.no_grad():
        model(x)
    return total


def flops(config: AMINetConfig) -> dict[str, float]:
    """FLOPs of one forward pass on one face, by kind of module ("" is the whole)."""
    with torch.device("meta"):
        groups = outermost(AMINet(config))
    rows = bill(config)
    work = {kind: 2.0 * sum(rows[name].macs for name in names) for kind, names in groups.items() if kind != "others"}
    return {"": 2.0 * rows[""].macs, **work, "others": 2.0 * rows[""].macs - sum(work.values())}


def limits(device: str) -> dict[str, tuple[Callable, float]]:
    """Runners that reach for the machine's limits, and the FLOPs or bytes of one call."""
    n = 8192 if device == "cuda" else 1024
    large = torch.empty(2**28 if device == "cuda" else 2**26, device=device)
    other, found = torch.empty_like(large), {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        image, kernel = a.reshape(1, n, 32, n // 32).contiguous(memory_format=LAST), b.reshape(n, n, 1, 1)
        found[f"{name} matmul"] = (lambda a=a, b=b: a @ b), 2.0 * n**3
        found[f"{name} conv"] = (lambda x=image, w=kernel: F.conv2d(x, w)), 2.0 * n**3
    return found | {"copy": ((lambda: other.copy_(large)), 2.0 * 4 * large.numel())}


def inference(model: AMINet, device: str, compiled: bool) -> dict[str, tuple[str, Callable]]:
    """The ways to restore faces: name -> precision and a function of float32 (B, 3, 128, 128)."""
    model = copy.deepcopy(model).to(device)
    last = copy.deepcopy(model).to(memory_format=LAST)
    ways = {"eager": ("fp32", model), "channels_last": ("fp32", lambda x: last(x.contiguous(memory_format=LAST))),
            "faster": ("fp32", faster(model)), "faster, bf16": ("bf16", faster(model, bf16=True))}
    if compiled:
        ways["faster, compiled"] = "fp32", faster(model, compiled=True)
        ways["faster, bf16, compiled"] = "bf16", faster(model, bf16=True, compiled=True)
    return ways


def training(config: AMINetConfig, device: str, x: Tensor, target: Tensor, compiled: bool,
             ) -> dict[str, tuple[str, Callable]]:
    """The ways to train: name -> precision and one step (forward, L1, backward, Adam)."""
    def way(layout=torch.contiguous_format, bf16: bool = False, compiled: bool = False) -> Callable:
        torch.manual_seed(0)
        network = AMINet(config).to(device, memory_format=layout)
        optimizer = torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.9, 0.99))
        run, here, there = torch.compile(network) if compiled else network, x.contiguous(memory_format=layout), target

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device, torch.bfloat16, enabled=bf16):
                y = run(here)
            F.l1_loss(y.float(), there).backward()
            optimizer.step()
        return step

    ways = {"eager": ("fp32", way()), "channels_last": ("fp32", way(LAST)), "bf16": ("bf16", way(LAST, bf16=True))}
    if compiled:
        half = device == "cuda"
        ways["bf16, compiled" if half else "compiled"] = "bf16" if half else "fp32", way(LAST, half, compiled=True)
    return ways


def peak_memory(run: Callable, device: str) -> int:
    """Bytes of tensors that one call holds at its peak, beside those that were there before."""
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
    held = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


class Sitting:
    """Cases measured in turns on one device. `left_out` notes what did not run: no compiler, too little memory."""

    def __init__(self, device: str, rounds: int, seconds: float):
        self.device, self.rounds, self.seconds = device, rounds, seconds
        self.left_out: dict[str, str] = {}

    def runs(self, case: Case) -> bool:
        try:
            case.run()
        except BadInput:
            raise
        except Exception as error:  # compilers and GPUs raise many kinds
            self.left_out[f"{case.task}, {case.name}, batch {case.batch}"] = type(error).__name__
            return False
        return True

    def measure(self, cases: list[Case], beside: dict[str, Callable] | None = None) -> tuple[list[dict], dict]:
        """A row for each case that runs, and the median seconds of what runs beside them."""
        cases, beside = [case for case in cases if self.runs(case)], beside or {}
        turns = {f"case {i}": case.run for i, case in enumerate(cases)} | beside
        taken = race(turns, self.rounds, self.seconds, self.device)
        middle = {name: statistics.median(times) for name, times in taken.items()}
        rows = [{"task": case.task, "name": case.name, "batch": case.batch, "precision": case.precision,
                 "seconds": middle[f"case {i}"], "fastest": min(taken[f"case {i}"]),
                 "images_per_second": case.batch / middle[f"case {i}"], "flops": case.flops,
                 "bytes": case.elements * BYTES[case.precision], "memory": peak_memory(case.run, self.device)}
                for i, case in enumerate(cases)]
        return rows, {name: middle[name] for name in beside}


def accuracy(rows: list[dict], ways: dict, x: Tensor, hr: Tensor, trained: bool) -> None:
    """Add to each row the largest difference to `eager`, and in dB what it costs (positive: worse)."""
    restored = {row["name"]: torch.cat([ways[row["name"]][1](part).float().cpu() for part in x.split(row["batch"])])
                for row in rows}
    for row in rows if "eager" in restored else ():
        row["max_error"] = float((restored[row["name"]] - restored["eager"]).abs().max())
        if trained:
            eager, ours = (psnr(restored[name], hr, PROTOCOLS["paper"]).mean() for name in ("eager", row["name"]))
            row["psnr_cost"] = float(eager - ours)


def bench(name: str = "aminet", device: str = "cpu", batch: int | None = None, quick: bool = False,
          command: str = "") -> dict:
    """Measure inference, its modules and training of a preset: a sealed record of kind `bench`.

    name: a preset; its weights are used where the course has some (then `psnr_cost` is known). batch: of training, 4
    on a CPU and 32 on a GPU. quick: few rounds, and nothing is compiled. Seconds, bytes and FLOPs of one call.
    """
    usable(device)
    config, batch = preset(name), batch or (32 if device == "cuda" else 4)
    try:
        model, trained = load_weights(name)[0], True
    except BadInput:
        model, trained = as_if_trained(config), False
    sitting = Sitting(device, *((3, 5.0) if quick else (25, 60.0)))
    tops, work, rows, medians = limits(device), flops(config), [], {}
    with torch.no_grad():
        for size in BATCHES[device]:
            hr = faces(max(size, 16 if trained and not quick else 1), seed=3)
            x, moved = to_float(upsample(degrade(hr))).to(device), elements(config, size)[""]
            ways = inference(model, device, compiled=not quick)
            cases = [Case("inference", way, size, kind, size * work[""], moved, partial(run, x[:size]))
                     for way, (kind, run) in ways.items()]
            found, medians = sitting.measure(cases, {key: run for key, (run, _) in tops.items()})
            accuracy(found, ways, x, hr, trained)
            rows += found
        x = to_float(upsample(degrade(faces(16 if device == "cuda" else 1, seed=3)))).to(device)
        rows += sitting.measure(modules(model, config, device, x, work))[0]
    pictures, recipe = faces(2 * batch).to(device), Recipe(batch=batch)
    ways, moved = training(config, device, *batch_of(pictures, 0, recipe), not quick), elements(config, batch)[""]
    cases = [Case("training", way, batch, kind, 3 * batch * work[""], 3 * moved, run)
             for way, (kind, run) in ways.items()]
    found, beside = sitting.measure(cases, {"data": lambda: batch_of(pictures, 1, recipe)})
    rows, data = rows + found, batch / beside["data"]
    rate = {key: amount / medians[key] for key, (_, amount) in tops.items()}
    top = {kind: max(rate[f"{kind} matmul"], rate[f"{kind} conv"]) for kind in BYTES} | {"bandwidth": rate["copy"]}
    eager = {(row["task"], row["batch"]): row["seconds"] for row in rows if row["name"] == "eager"}
    for row in rows:
        if base := eager.get((row["task"], row["batch"])):
            row["ratio"] = base / row["seconds"]
        row["of_peak"] = row["flops"] / row["seconds"] / top[row["precision"]]
        row["of_bandwidth"] = row["bytes"] / row["seconds"] / top["bandwidth"]
    return seal({
        "kind": "bench", "preset": name, "config": config.to_dict(), "device": device, "machine": machine(device),
        "weights": "the course's" if trained else "random", "rounds": sitting.rounds, "limits": top | rate,
        "rows": rows, "left_out": sitting.left_out, "data_images_per_second": data,
        "bars": verdicts(rows, device, data),
        "created": time.strftime("%FT%TZ", time.gmtime()), "command": command,
    })


def bench_all(size: str = "aminet", device: str = "cpu", quick: bool = False, command: str = "",
              fused: bool | None = None) -> dict:
    """Every network of runs.yaml, at the size of a preset, on one face, in turns: a sealed record of kind
    `speeds`. fp32, channels_last, random weights; eager, and if `fused` (None: unless `quick`) those of Tables VII and
    X compiled as well. `ratio`: to AMINet's time in the same way, above 1 is slower. Parameters and MACs are exact;
    `thop_params`, `thop_macs` are the ones that papers print. `left_out`: what does not compile, and why."""
    from ..paper.runs import runs

    usable(device)
    fused = not quick if fused is None else fused
    hr, networks, turns, sizes, asked = faces(1, seed=3), {}, {}, {}, []
    for spec in runs("paper"):
        if spec.start is None:
            config = preset(size + spec.preset.removeprefix(spec.preset.partition("/")[0]))
            if config not in networks.values():
                networks[spec.network], model = config, build(config).eval().to(device, memory_format=LAST)
                fill_zeros(model)
                x = network_input(hr, config.enlarged).to(device, memory_format=LAST)
                turns[spec.network] = partial(model, x)
                asked += [spec.network] * any(table in (7, 10) for table, _ in spec.rows)
                with torch.device("meta"):
                    blank = build(config)
                cost = counted(blank)[""]
                thop_params, thop_macs = thop_if_there(blank)
                sizes[spec.network] = {"params": cost.params, "macs": cost.macs, "thop_params": thop_params,
                                       "thop_macs": thop_macs}
    with torch.no_grad():
        fast, left_out = compiled({name: turns[name] for name in asked} if fused else {})
        host = machine(device)  # its load before the race
        taken = race(turns | {f"{name}, compiled": run for name, run in fast.items()},
                     *((3, 5.0) if quick else (25, 300.0)), device)
    middle = {name: statistics.median(times) for name, times in taken.items()}

    def row(name: str) -> dict:
        found = {"network": name, "config": networks[name].to_dict(), **sizes[name], "seconds": middle[name],
                 "fastest": min(taken[name]), "ratio": middle[name] / middle["aminet"]}
        if name in fast:
            found["compiled_seconds"] = middle[f"{name}, compiled"]
            if "aminet" in fast:
                found["compiled_ratio"] = found["compiled_seconds"] / middle["aminet, compiled"]
        return found

    return seal({
        "kind": "speeds", "preset": size, "device": device, "machine": host, "rows": [row(name) for name in networks],
        "left_out": left_out, "rounds": len(taken["aminet"]), "created": time.strftime("%FT%TZ", time.gmtime()),
        "command": command,
    })


def fill_zeros(model: nn.Module) -> None:
    """Random numbers for weights that start at zero: a tail of zeros would hide what a compiler gets wrong."""
    with torch.no_grad():
        for weight in model.parameters():
            if not weight.any():
                weight.normal_(0, 0.02)


def compiled(turns: dict[str, partial]) -> tuple[dict[str, partial], dict[str, str]]:
    """Every `partial(network, input)` with the network compiled, and a line on each that does not compile, or that
    gives another result: by more than a thousandth of the largest value."""
    import warnings

    from torch._dynamo import config
    from tqdm.auto import tqdm

    fast, left_out = {}, {}
    # Networks of one class share the code of `forward`, and beyond a limit (8) it silently runs eager.
    limit = {"cache_size_limit": 64, "fail_on_cache_limit_hit": True}
    for name, turn in tqdm(turns.items(), "compiling", leave=False, dynamic_ncols=True, disable=not turns):
        run = partial(torch.compile(turn.func, dynamic=False), *turn.args)
        try:
            expected = turn()
            with config.patch(limit), warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # of torch's own code
                result = run()
            apart = (result - expected).abs().max().item() / max(1.0, expected.abs().max().item())
        except Exception as error:  # compilers raise many kinds
            left_out[name] = type(getattr(error, "inner_exception", error)).__name__  # what inductor wraps says more
            continue
        if not apart <= 1e-3:  # NaN is not
            left_out[name] = f"its result differs by {apart:.1e}"
        else:
            fast[name] = run
    return fast, left_out


def format_speeds(record: dict) -> str:
    """A record of `bench_all` as a table for people."""
    host = record["machine"]
    return "\n".join([
        f"one face, size {record['preset']}, on {host.get('gpu', host['cpu'])}, torch {host['versions']['torch']}, "
        f"{host['threads']} threads; medians of {record['rounds']} rounds",
        f"{'':24}{'params, M':>11}{'MACs, G':>9}{'thop':>9}{'ms':>9}{'/ AMINet':>10}{'compiled':>10}{'/ AMINet':>10}",
        *(f"{row['network']:24}{row['params'] / 1e6:11.2f}{row['macs'] / 1e9:9.2f}"
          f"{row['thop_macs'] / 1e9 if row['thop_macs'] else math.nan:9.2f}"
          f"{1e3 * row['seconds']:9.1f}{row['ratio']:10.2f}"
          + (f"{1e3 * row['compiled_seconds']:10.1f}" if "compiled_seconds" in row else "")
          + (f"{row['compiled_ratio']:10.2f}" if "compiled_ratio" in row else "") for row in record["rows"]),
        *(f"not compiled: {name}, {why}" for name, why in record["left_out"].items())])


def modules(model: AMINet, config: AMINetConfig, device: str, x: Tensor, work: dict[str, float]) -> list[Case]:
    """One case for each kind of module: all of them in a row, eager in channels_last, each on its own input."""
    network, batch, given = copy.deepcopy(model).to(device, memory_format=LAST), len(x), {}
    groups, moved = outermost(network), elements(config, batch)
    handles = [network.get_submodule(name).register_forward_pre_hook(
        lambda module, arguments, name=name: given.update({name: arguments}))
        for names in groups.values() for name in names]
    network(x.to(device, memory_format=LAST))
    for handle in handles:
        handle.remove()

    def every(names: list[str]) -> Callable:
        calls = [(network.get_submodule(name), given[name]) for name in names]
        return lambda: [module(*arguments) for module, arguments in calls] and None

    return [Case("modules", kind, batch, "fp32", work[kind] * batch, moved[kind], every(names))
            for kind, names in groups.items()]


def verdicts(rows: list[dict], device: str, data: float) -> list[dict]:
    """The bars, and what was measured: the best way over the eager one, in one sitting."""
    found = []
    for label, bar in BARS[device].items():
        task, _, size = label.partition(", batch ")
        ways = [row for row in rows if row["task"] == task and size in ("", str(row["batch"])) and "ratio" in row]
        if ways:
            best = max(ways, key=lambda row: row["ratio"])
            found.append({"what": f"{label}: {best['name']} over eager", "value": best["ratio"], "bar": bar})
    trained = [row["images_per_second"] for row in rows if row["task"] == "training"]
    if trained:
        found.append({"what": "data pipeline over training", "value": data / max(trained), "bar": DATA_BAR})
    return [row | {"met": row["value"] >= row["bar"]} for row in found]


def machine(device: str) -> dict:
    """What the numbers depend on: processor, threads, load, versions."""
    names = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")] if Path("/proc/cpuinfo").exists() else []
    found = {"cpu": names[0] if names else platform.processor() or platform.machine(), "cores": os.cpu_count(),
             "threads": torch.get_num_threads(), "system": platform.system(),
             "versions": {"python": platform.python_version(), "torch": version("torch")}}
    if hasattr(os, "getloadavg"):
        found["load"] = round(os.getloadavg()[0], 2)  # of other programs too: above the threads, expect noise
    if device == "cuda":
        found |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda,
                  "tf32": torch.backends.cudnn.allow_tf32}  # PyTorch's default: "fp32" convolutions multiply in TF32
    return found


def format_bench(record: dict) -> str:
    """A record as tables for people."""
    host, top = record["machine"], record["limits"]
    lines = [f"{record['preset']} on {host.get('gpu', host['cpu'])}, torch {host['versions']['torch']}, "
             f"{host['threads']} threads" + (f", load {host['load']}" if "load" in host else ""),
             f"limits: {top['fp32'] / 1e9:.0f} GFLOP/s in fp32{' (convolutions in TF32)' if host.get('tf32') else ''}, "
             f"{top['bf16'] / 1e9:.0f} in bf16, "
             f"{top['bandwidth'] / 1e9:.1f} GB/s"]
    task = None
    for row in record["rows"]:
        if (row["task"], row["batch"]) != task:
            task = row["task"], row["batch"]
            lines.append(f"\n{f'{task[0]}, batch {task[1]}':26}{'ms':>9}{'images/s':>10}{'ratio':>7}{'of peak':>9}"
                         f"{'of copy':>9}{'MB':>7}{'max error':>11}{'PSNR cost':>11}")
        lines.append(
            f"{row['name']:26}{1e3 * row['seconds']:9.1f}{row['images_per_second']:10.1f}"
            + (f"{row['ratio']:7.2f}" if "ratio" in row else f"{'':7}")
            + f"{row['of_peak']:9.0%}{row['of_bandwidth']:9.0%}{row['memory'] / 1e6:7.0f}"
            + (f"{row['max_error']:11.1e}" if "max_error" in row else "")
            + (f"{row['psnr_cost']:8.4f} dB" if "psnr_cost" in row else ""))
    lines += [f"left out: {what} ({why})" for what, why in record["left_out"].items()]
    lines.append(f"\ndata pipeline: {record['data_images_per_second']:.0f} images/s")
    lines += [f"{'MET   ' if bar['met'] else 'MISSED'} {bar['what']}: {bar['value']:.2f}x, bar {bar['bar']:g}x"
              for bar in record["bars"]]
    return "\n".join(lines)


def plot(record: dict, path: str | Path) -> None:
    """The roofline as a PNG: FLOP/s over FLOP per byte, the limits, and a point for every row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes, top = figure.add_subplot(), record["limits"]
    points = [(row["flops"] / row["bytes"], row["flops"] / row["seconds"] / 1e9, row) for row in record["rows"]]
    left, right = min(p[0] for p in points) / 3, max(p[0] for p in points) * 3
    for precision, style in (("fp32", "-"), ("bf16", "--")):
        knee = top[precision] / top["bandwidth"]
        xs = sorted((left, min(max(knee, left), right), right))
        axes.plot(xs, [min(top[precision], x * top["bandwidth"]) / 1e9 for x in xs], "k" + style, lw=1,
                  label=f"limit in {precision}: {top[precision] / 1e9:.0f} GFLOP/s, {top['bandwidth'] / 1e9:.0f} GB/s")
    markers = {"inference": "o", "modules": "s", "training": "^"}
    for x, y, row in points:
        axes.plot(x, y, markers[row["task"]], ms=7, label=f"{row['task']}, batch {row['batch']}: {row['name']}")
    axes.set(xscale="log", yscale="log", xlabel="FLOP per byte (lower bound of the bytes)", ylabel="GFLOP/s",
             title=f"{record['preset']} on {record['machine'].get('gpu', record['machine']['cpu'])}")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.grid(True, which="both", alpha=0.2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    write_atomically(path, buffer.getvalue())
