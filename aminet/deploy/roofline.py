"""The roofline: no call is faster than the machine computes, nor than it moves what the call reads and writes.

The limits are measured in the same sitting as the calls. FLOP/s: the fastest of a matrix product and the same product
as a 1x1 convolution. Bytes/s: the copy of a large tensor. The bytes of a call are a lower bound: inputs, outputs and
weights of every leaf module once, in the precision used. What happens between the modules is left out.
"""
from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import HR, AMINetConfig
from ..files import write_atomically
from ..model import AMINet

BYTES = {"fp32": 4, "bf16": 2}  # of one element
MARKERS = {"inference": "o", "modules": "s", "training": "^"}


def probes(device: str) -> dict[str, tuple[Callable[[], object], float]]:
    """Make the calls that show the limits: matrix products and 1x1 convolutions in fp32 and bf16, and a copy.

    Returns each of them by name, with its FLOPs or bytes.
    """
    n = 8192 if device == "cuda" else 1024
    calls = {}
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        image = a.reshape(1, n, 32, n // 32).contiguous(memory_format=torch.channels_last)
        calls[f"{precision} matmul"] = partial(torch.matmul, a, b), 2.0 * n**3
        calls[f"{precision} conv"] = partial(F.conv2d, image, b.reshape(n, n, 1, 1)), 2.0 * n**3
    source = torch.zeros(2**28 if device == "cuda" else 2**26, device=device)  # beyond any cache
    calls["copy"] = partial(torch.empty_like(source).copy_, source), 2.0 * source.nbytes  # read and written
    return calls


def limits(calls: dict[str, tuple[Callable[[], object], float]], seconds: dict[str, float]) -> dict[str, float]:
    """Return the peak of each precision in FLOP/s, `bandwidth` in bytes/s, and the rate of every probe."""
    rates = {name: amount / seconds[name] for name, (_, amount) in calls.items()}
    peaks = {precision: max(rates[f"{precision} matmul"], rates[f"{precision} conv"]) for precision in BYTES}
    return {**peaks, "bandwidth": rates["copy"], **rates}


def elements(config: AMINetConfig, batch: int) -> Counter[str]:
    """Count the elements that a forward pass reads and writes at least, by the name of the module; "" is the whole."""
    with torch.device("meta"):
        model, x = AMINet(config).eval(), torch.zeros(batch, 3, HR, HR)
    total: Counter[str] = Counter()

    def count(names: list[str], module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        moved = sum(tensor.numel() for tensor in (*arguments, output, *module.parameters()))
        total.update(dict.fromkeys(names, moved))

    for name, module in model.named_modules():
        if not list(module.children()):
            parts = name.split(".")
            modules_around = [".".join(parts[:depth]) for depth in range(len(parts) + 1)]  # from "" to the leaf
            module.register_forward_hook(partial(count, modules_around))
    with torch.no_grad():
        model(x)
    return total


def add_shares(rows: list[dict], top: dict[str, float]) -> None:
    """Add to each row `of_peak` and `of_bandwidth`: its FLOP/s and bytes/s over the limits of the machine."""
    for row in rows:
        row["of_peak"] = row["flops"] / row["seconds"] / top[row["precision"]]
        row["of_bandwidth"] = row["bytes"] / row["seconds"] / top["bandwidth"]


def plot(record: dict, path: str | Path) -> None:
    """Draw a record of `bench` as a PNG: FLOP/s over FLOPs per byte, a point for each row, below the limits."""
    figure, top, host = Figure(figsize=(8, 5), layout="constrained"), record["limits"], record["machine"]
    axes = figure.add_subplot()
    intensities = [row["flops"] / row["bytes"] for row in record["rows"]]
    span = np.geomspace(min([*intensities, top["fp32"] / top["bandwidth"]]) / 3, 3 * max(intensities), 500)
    for precision, style in (("fp32", "-"), ("bf16", "--")):
        roof = np.minimum(top[precision], span * top["bandwidth"])
        axes.plot(span, roof / 1e9, style, color="black", lw=1,
                  label=f"limit in {precision}: {top[precision] / 1e9:.0f} GFLOP/s, {top['bandwidth'] / 1e9:.0f} GB/s")
    for row, intensity in zip(record["rows"], intensities):
        axes.plot(intensity, row["flops"] / row["seconds"] / 1e9, MARKERS[row["task"]], ms=7,
                  label=f"{row['task']}, batch {row['batch']}: {row['name']}")
    axes.set(xscale="log", yscale="log", xlabel="FLOPs per byte (lower bound of the bytes)", ylabel="GFLOP/s",
             title=f"{record['preset']} on {host.get('gpu', host['cpu'])}")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.grid(True, which="both", alpha=0.2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    write_atomically(path, buffer.getvalue())
