"""All networks by name: AMINet's presets with their rows, and the compared methods of aminet/baselines.

A new method is a file there, with a class and its configuration (RCAN and RCANConfig), and a line in runs.yaml.
"""
from __future__ import annotations

from dataclasses import fields, replace
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from ..config import ABLATIONS, AMINET, PRESETS, READINGS, AMINetConfig, Config
from ..config import preset as of_aminet
from ..errors import BadInput

if TYPE_CHECKING:  # a configuration can be read where there is no torch
    from torch import nn

    from ..amigan import Adversary

COMPARED = ("fsrgan", "dicgan", "spargan", "sfmgan")  # the GANs of Table VIII


def config_class(network: str) -> type[Config] | None:
    """The configuration's class in aminet/baselines/NETWORK.py, None for a file without one (a GAN's)."""
    module = import_module(f".{network}", __package__)
    return next((value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Config)
                 and value.network == network), None)


def methods() -> list[str]:
    """The compared methods, by file."""
    from .. import baselines

    return [file.name for file in iter_modules(baselines.__path__) if config_class(file.name)]


def find(network: str, suffix: str = "") -> type:
    """The class of a method, or with the suffix `Config` that of its configuration; BadInput for an unknown method."""
    from .. import baselines

    files = [file.name for file in iter_modules(baselines.__path__)]
    cls = config_class(network) if network in files else None
    if cls is None:
        raise BadInput(f"unknown network {network!r}: choose one of {', '.join(methods())}")
    return cls if suffix else getattr(import_module(cls.__module__), cls.__name__.removesuffix("Config"))


def preset(name: str) -> Config:
    """The configuration of a preset, or of a row or method at its size as `PRESET/ROW`: `pocket/w/o SA`, `pocket/rcan`.

    A method is made narrower as the preset is narrower than `aminet`, to a multiple of 8 channels; `sparnet+edff` has a
    switch set. BadInput for others.
    """
    base, _, row = name.partition("/")
    if not row and base not in PRESETS and base.partition("+")[0] in methods():
        raise BadInput(f"{name} has no size: pocket/{name} is small, aminet/{name} has its authors' size")
    if not row or base not in PRESETS or row in (*ABLATIONS, *READINGS, "8C"):
        return of_aminet(name)
    network, _, switch = row.partition("+")
    try:
        cls = find(network, "Config")
    except BadInput:
        raise BadInput(f"unknown row {row!r}: choose one of "
                       f"{', '.join([*ABLATIONS, *READINGS, '8C', *methods()])}") from None
    if switch and switch not in {field.name for field in fields(cls) if field.default is False}:
        raise BadInput(f"{network} has no switch {switch!r}")
    config, share = cls(**({switch: True} if switch else {})), PRESETS[base].channels / AMINET.channels
    return replace(config, channels=8 * max(1, round(config.channels * share / 8))) if share != 1 else config


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
    from ..model import AMINet

    return AMINet(config)


def adversary_class(gan: str) -> type[Adversary]:
    """AMIGAN, or the adversarial side of a compared GAN, in aminet/baselines/GAN.py; BadInput for another name."""
    if gan == "amigan":
        from ..amigan import AMIGAN

        return AMIGAN
    if gan not in COMPARED:
        raise BadInput(f"unknown GAN {gan!r}: choose one of amigan, {', '.join(COMPARED)}")
    return getattr(import_module(f".{gan}", __package__), gan.upper())
