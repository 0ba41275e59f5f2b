"""What all measurements of speed share: the race, networks to race, and the machine in words.

What is compared runs in turns, so a busy machine slows all alike. Ratios of one race mean something; milliseconds of
two races do not.
"""
from __future__ import annotations

import os
import platform
import re
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn
from tqdm.auto import tqdm


def race(runners: dict[str, Callable[[], object]], rounds: int, seconds: float, device: str = "cpu",
         ) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Time every runner in every round: at most `rounds`, about `seconds` in all, at least three rounds.

    Returns the seconds of each runner's calls, and their medians.
    """
    def timed(run: Callable[[], object]) -> float:
        start = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    for run in runners.values():  # to warm up
        timed(run)
    taken: dict[str, list[float]] = {name: [] for name in runners}
    begin = time.perf_counter()
    for done in tqdm(range(rounds), "rounds", leave=False, dynamic_ncols=True):
        if done >= 3 and time.perf_counter() - begin > seconds:
            break
        for name, run in runners.items():
            taken[name].append(timed(run))
    return taken, {name: statistics.median(times) for name, times in taken.items()}


def fill_zeros(model: nn.Module) -> nn.Module:
    """Give random numbers to weights that start at zero: a tail of zeros would hide what goes wrong before it."""
    with torch.no_grad():
        for weight in model.parameters():
            if not weight.any():
                weight.normal_(0, 0.02)
    return model


def machine(device: str) -> dict:
    """Describe what the numbers depend on: processor, threads, load, versions."""
    info = Path("/proc/cpuinfo")
    model = re.search(r"^model name\s*:\s*(.*\S)", info.read_text(), re.M) if info.exists() else None
    about = {"cpu": model[1] if model else platform.processor() or platform.machine(), "cores": os.cpu_count(),
             "threads": torch.get_num_threads(), "system": platform.system(),
             "versions": {"python": platform.python_version(), "torch": version("torch")}}
    if hasattr(os, "getloadavg"):
        about["load"] = round(os.getloadavg()[0], 2)  # of other programs too: above the threads, expect noise
    if device == "cuda":
        about |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda,
                  "tf32": torch.backends.cudnn.allow_tf32}  # PyTorch's default: "fp32" convolutions multiply in TF32
    return about


def machine_words(record: dict) -> str:
    """The machine of a record in words."""
    host = record["machine"]
    load = f", load {host['load']}" if "load" in host else ""
    return f"{host.get('gpu', host['cpu'])}, torch {host['versions']['torch']}, {host['threads']} threads{load}"
