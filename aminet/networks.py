"""All networks by name: AMINet's presets with their rows, and the compared methods of aminet/baselines.

A new method is a file there, with the class NAME and its NAMEConfig, and a line in METHODS.
"""
from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from .config import ABLATIONS, AMINET, PRESETS, READINGS, AMINetConfig, Config
from .config import preset as of_aminet
from .errors import BadInput

if TYPE_CHECKING:  # a configuration can be read where there is no torch
    from torch import nn

METHODS = {  # file in aminet/baselines: class
    "sparnet": "SPARNet",
    "sfmnet": "SFMNet",
}
ROWS = {  # of the paper's tables: method and its switches
    "SPARNet": ("sparnet", {}),
    "SPARNet + EDFF": ("sparnet", {"edff": True}),
    "SFMNet": ("sfmnet", {}),
    "SFMNet + EDFF": ("sfmnet", {"edff": True}),
}


def find(network: str, suffix: str = "") -> type:
    """The class of a method, or with the suffix `Config` that of its configuration; BadInput for an unknown method."""
    if network not in METHODS:
        raise BadInput(f"unknown network {network!r}: choose one of {', '.join(METHODS)}")
    return getattr(import_module(f".baselines.{network}", __package__), METHODS[network] + suffix)


def preset(name: str) -> Config:
    """The configuration of a preset, or of a row at its size as `PRESET/ROW`: `pocket/w/o SA`, `pocket/SPARNet`.

    A method is made narrower as the preset is narrower than `aminet`, to a multiple of 8 channels. BadInput for others.
    """
    base, _, row = name.partition("/")
    if row not in ROWS or base not in PRESETS:
        if row and row not in (*ABLATIONS, *READINGS, "8C"):
            raise BadInput(f"unknown row {row!r}: choose one of {', '.join([*ABLATIONS, *READINGS, '8C', *ROWS])}")
        return of_aminet(name)
    network, switches = ROWS[row]
    config, share = find(network, "Config")(**switches), PRESETS[base].channels / AMINET.channels
    return replace(config, channels=8 * max(1, round(config.channels * share / 8)))


def read_config(values: dict) -> Config:
    """The configuration that `Config.to_dict` noted; BadInput for anything else."""
    if not isinstance(values, dict):
        raise BadInput("the configuration is no set of names and values")
    cls = find(values["network"], "Config") if "network" in values else AMINetConfig
    return cls.from_dict({key: value for key, value in values.items() if key != "network"})


def build(config: Config) -> nn.Module:
    """The network of a configuration, AMINet or a compared method, with random weights."""
    if config.network:
        return find(config.network)(config)
    from .model import AMINet

    return AMINet(config)
