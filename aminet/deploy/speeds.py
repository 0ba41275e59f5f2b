"""Every network of the paper's tables in one race: `python -m aminet bench --all`."""
from __future__ import annotations

import warnings
from functools import partial

import torch
from tabulate import tabulate
from torch._dynamo import config as dynamo
from tqdm.auto import tqdm

from ..baselines.registry import build, preset
from ..config import Config
from ..degrade import network_input
from ..faces.synthetic import faces
from ..ledger import counted, thop_if_there
from ..paper.records import sealed
from ..paper.runs import runs
from ..training.device import usable
from .timing import fill_zeros, machine, machine_words, race


def networks(size: str) -> tuple[dict[str, Config], set[str]]:
    """Configurations of the networks of runs.yaml at the size of a preset, each once, and those of Tables VII and X."""
    configs: dict[str, Config] = {}
    compared = set()
    for spec in runs("paper"):
        _, slash, row = spec.preset.partition("/")
        config = preset(size + slash + row)
        if spec.start is None and config not in configs.values():
            configs[spec.network] = config
            if any(table in (7, 10) for table, _ in spec.rows):
                compared.add(spec.network)
    return configs, compared


def counts(config: Config) -> dict[str, int | None]:
    """Parameters and MACs of a network, exactly and as papers print them (by thop; None without it)."""
    with torch.device("meta"):
        model = build(config)
    cost, (thop_params, thop_macs) = counted(model)[""], thop_if_there(model)
    return {"params": cost.params, "macs": cost.macs, "thop_params": thop_params, "thop_macs": thop_macs}


def compiled(turns: dict[str, partial]) -> tuple[dict[str, partial], dict[str, str]]:
    """Compile the network of every `partial(network, input)`.

    Returns the compiled ones, and a line on each that does not compile, or that gives another result: by more than a
    thousandth of the largest value.
    """
    fast, left_out = {}, {}
    # Networks of one class share the code of `forward`, and beyond a limit (8) it silently runs eager.
    limit = {"cache_size_limit": 64, "fail_on_cache_limit_hit": True}
    for name, turn in tqdm(turns.items(), "compiling", leave=False, dynamic_ncols=True, disable=not turns):
        run = partial(torch.compile(turn.func, dynamic=False), *turn.args)
        try:
            expected = turn()
            with dynamo.patch(limit), warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # of torch's own code
                result = run()
            apart = (result - expected).abs().max().item() / max(1.0, expected.abs().max().item())
        except Exception as error:  # compilers raise many kinds
            left_out[name] = type(getattr(error, "inner_exception", error)).__name__  # what inductor wraps says more
            continue
        if apart <= 1e-3:
            fast[name] = run
        else:  # or NaN
            left_out[name] = f"its result differs by {apart:.1e}"
    return fast, left_out


@torch.no_grad()
def bench_all(size: str = "aminet", device: str = "cpu", quick: bool = False) -> dict:
    """Time every network of runs.yaml, at the size of a preset, on one face: a sealed record of kind `speeds`.

    fp32, channels_last, random weights; those of Tables VII and X also compiled, and `left_out` says which are not,
    and why. quick: few rounds, and nothing is compiled. `ratio`: to AMINet's time in the same way, above 1 is slower.
    """
    usable(device)
    configs, compared = networks(size)
    hr, turns = faces(1, seed=3), {}
    for name, config in configs.items():
        model = fill_zeros(build(config)).eval().to(device).to(memory_format=torch.channels_last)
        x = network_input(hr, config.enlarged).to(device, memory_format=torch.channels_last)
        turns[name] = partial(model, x)
    fast, left_out = compiled({name: turns[name] for name in turns if name in compared and not quick})
    host = machine(device)  # its load before the race
    taken, medians = race(turns | {f"{name}, compiled": run for name, run in fast.items()},
                          *((3, 5.0) if quick else (25, 300.0)), device)
    rows = []
    for name, config in configs.items():
        row = {"network": name, "config": config.to_dict(), **counts(config), "seconds": medians[name],
               "fastest": min(taken[name]), "ratio": medians[name] / medians["aminet"]}
        if name in fast:
            row["compiled_seconds"] = medians[f"{name}, compiled"]
            if "aminet" in fast:
                row["compiled_ratio"] = row["compiled_seconds"] / medians["aminet, compiled"]
        rows.append(row)
    return sealed("speeds", preset=size, device=device, machine=host, rows=rows, left_out=left_out,
                  rounds=len(taken["aminet"]))


def format_speeds(record: dict) -> str:
    """A record of `bench_all` as a table for people."""
    headers = ["", "params, M", "MACs, G", "thop", "ms", "/ AMINet", "compiled, ms", "/ AMINet"]
    cells = [[row["network"], row["params"] / 1e6, row["macs"] / 1e9, row["thop_macs"] and row["thop_macs"] / 1e9,
              1e3 * row["seconds"], row["ratio"], 1e3 * row.get("compiled_seconds", 0) or None,
              row.get("compiled_ratio")]
             for row in record["rows"]]
    return "\n".join([
        f"one face, size {record['preset']}, on {machine_words(record)}; medians of {record['rounds']} rounds",
        tabulate(cells, headers, floatfmt=("", ".2f", ".2f", ".2f", ".1f", ".2f", ".1f", ".2f")),
        *(f"not compiled: {name}, {why}" for name, why in record["left_out"].items())])
