"""The speed bars, measured in one interleaved sitting: `make speed`.

Everything that is compared runs in turns, so a busy machine slows all alike; numbers are medians. Ratios of one
sitting mean something, milliseconds of two sittings do not.
"""
from __future__ import annotations

import copy
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from aminet.config import PRESETS
from aminet.fast import faster
from aminet.ledger import bill
from aminet.model import AMINet
from aminet.synthetic import faces
from aminet.train import Recipe, batch_of

FASTER_BAR, DATA_BAR = 1.7, 10.0
CHANNELS_LAST = torch.channels_last


def race(runners: dict[str, Callable], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Seconds of every runner in every round, in turns: at most `rounds`, about `seconds` in all, at least three."""
    for run in runners.values():
        run()
    taken, begin = {name: [] for name in runners}, time.perf_counter()
    for done in range(rounds):
        if done >= 3 and time.perf_counter() - begin > seconds:
            break
        for name, run in runners.items():
            start = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - start)
    return taken


def verdict(label: str, value: float, bar: float) -> None:
    print(f"{'MET   ' if value >= bar else 'MISSED'} {label}: {value:.2f}x, bar {bar:g}x")


def network() -> AMINet:
    """The preset `aminet` with random norms and a tail that is not zero, as if trained."""
    torch.manual_seed(0)
    model = AMINet(replace(PRESETS["aminet"], zero_tail=False)).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    return model


@torch.inference_mode()
def forward_speed() -> None:
    model, x = network(), torch.rand(1, 3, 128, 128) * 2 - 1
    last, fast = copy.deepcopy(model).to(memory_format=CHANNELS_LAST), faster(model)
    x_last = x.contiguous(memory_format=CHANNELS_LAST)

    def half() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return fast(x)

    n = 1024
    a, b = torch.randn(n, n), torch.randn(n, n)
    image, kernel = a.reshape(1, n, 32, 32).contiguous(memory_format=CHANNELS_LAST), b.reshape(n, n, 1, 1)
    a16, b16, image16, kernel16 = (t.bfloat16() for t in (a, b, image, kernel))
    runners = {
        "eager, contiguous fp32": lambda: model(x),
        "channels_last": lambda: last(x_last),
        "faster": lambda: fast(x),
        "faster + bf16 autocast": half,
    }
    peaks = {  # the same matrix product by BLAS, and by oneDNN as a 1x1 convolution
        "fp32": lambda: a @ b, "fp32 conv": lambda: F.conv2d(image, kernel),
        "bf16": lambda: a16 @ b16, "bf16 conv": lambda: F.conv2d(image16, kernel16),
    }
    taken = race(runners | peaks, rounds=25, seconds=75)
    middle = {name: statistics.median(values) for name, values in taken.items()}
    rate = {name: 2 * n**3 / middle[name] for name in peaks}
    peak = {kind: max(rate[kind], rate[f"{kind} conv"]) for kind in ("fp32", "bf16")}
    flops, expected = 2 * bill(PRESETS["aminet"])[""].macs, model(x)
    print(f"\nforward of aminet, batch 1, {flops / 2e9:.2f} GMACs, {len(taken['faster'])} rounds")
    print(f"{'':24}{'ms':>9}{'ratio':>8}{'max error':>12}{'GFLOP/s':>10}{'of peak':>9}")
    for name, run in runners.items():
        error, top = (run() - expected).abs().max(), peak["bf16" if "bf16" in name else "fp32"]
        print(f"{name:24}{1e3 * middle[name]:9.1f}{middle['eager, contiguous fp32'] / middle[name]:8.2f}{error:12.1e}"
              f"{flops / middle[name] / 1e9:10.0f}{flops / middle[name] / top:9.0%}")
    print(f"peak of a {n} x {n} matrix product, GFLOP/s, as a matmul and as a 1x1 convolution: "
          + ", ".join(f"{kind} {rate[kind] / 1e9:.0f} and {rate[f'{kind} conv'] / 1e9:.0f}" for kind in peak))
    verdict("faster over eager", middle["eager, contiguous fp32"] / middle["faster"], FASTER_BAR)


def data_speed(batch: int = 8) -> None:
    pictures, recipe = faces(2 * batch), Recipe(batch=batch)
    model = AMINet(PRESETS["pocket"]).to(memory_format=CHANNELS_LAST)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.lr, betas=(0.9, 0.99))
    x, target = (t.contiguous(memory_format=CHANNELS_LAST) for t in batch_of(pictures, 0, recipe))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.l1_loss(model(x), target).backward()
        optimizer.step()

    taken = race({"data": lambda: batch_of(pictures, 1, recipe), "training": step}, rounds=15, seconds=50)
    rate = {name: batch / statistics.median(values) for name, values in taken.items()}
    print(f"\ndata pipeline {rate['data']:.0f} images/s; the pocket network trains on {rate['training']:.1f} images/s "
          f"(batch {batch}, data not counted, {len(taken['data'])} rounds)")
    verdict("data over training", rate["data"] / rate["training"], DATA_BAR)


if __name__ == "__main__":
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load {load:.1f}")
    if load > 0.5:
        print("Other programs are running: expect noise, and less gain from threads.")
    forward_speed()
    data_speed()
