"""All networks by name: AMINet's presets with their rows, and the compared methods of aminet/baselines.

A new method is a file there, with a class and its configuration (RCAN and RCANConfig), and a line in runs.yaml.
"""
from __future__ import annotations

from dataclasses import fields, replace
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from ..config import ABLATIONS, AMINET, HR, LR, PRESETS, READINGS, AMINetConfig, Config, aminet_preset
from ..errors import BadInput

if TYPE_CHECKING:  # a configuration can be read where there is no torch
    from torch import nn

    from ..amigan import Adversary

COMPARED = ("fsrgan", "dicgan", "spargan", "sfmgan")  # the GANs of Table VIII


@cache
def methods() -> dict[str, type[Config]]:
    """Return the compared methods: the name of each file in this folder, and the class of its configuration."""
    from . import __path__

    modules = {file.name: import_module(f".{file.name}", __package__) for file in iter_modules(__path__)}
    return {name: value for name, module in modules.items() for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, Config) and value.network == name}


def config_class(network: str) -> type[Config]:
    """Return the class of a method's configuration; BadInput for an unknown method."""
    if network not in list(methods()):  # a list, for what a file's header notes may be unhashable
        raise BadInput(f"unknown network {network!r}: choose one of {', '.join(methods())}")
    return methods()[network]


def network_class(network: str) -> type[nn.Module]:
    """Return the class of a method's network: RCAN of RCANConfig; BadInput for an unknown method."""
    config = config_class(network)
    return getattr(import_module(config.__module__), config.__name__.removesuffix("Config"))


def preset(name: str) -> Config:
    """Return the configuration of a preset, or of a row or method at its size as `PRESET/ROW`: `pocket/rcan`.

    A method is made narrower as the preset is narrower than `aminet`, to a multiple of 8 channels; `sparnet+edff` has a
    switch set, `sparnet+from_bicubic` another (see `Config`). BadInput for others.
    """
    base, _, row = name.partition("/")
    if not row and base not in PRESETS and base.partition("+")[0] in methods():
        raise BadInput(f"{name} has no size: pocket/{name} is small, aminet/{name} has its authors' size")
    if not row or base not in PRESETS or row in (*ABLATIONS, *READINGS, "8C"):
        return aminet_preset(name)
    network, *switches = row.split("+")
    if network not in methods():
        names = [*methods(), *ABLATIONS, *READINGS, "8C"]
        near = "".join(f"did you mean {name!r}? " for name in get_close_matches(network, names, 1, 0.7))
        raise BadInput(f"unknown method or row {network!r}: {near}Methods: {', '.join(methods())}. Rows: "
                       f"{'; '.join(names[len(methods()):])}")
    cls: type[Any] = methods()[network]
    known = {field.name for field in fields(cls) if field.default is False}
    if unknown := [switch for switch in switches if switch not in known]:
        raise BadInput(f"{network} has no switch {unknown[0]!r}: choose one of {', '.join(sorted(known))}")
    config, share = cls(**dict.fromkeys(switches, True)), PRESETS[base].channels / AMINET.channels
    return replace(config, channels=8 * max(1, round(config.channels * share / 8))) if share != 1 else config


def read_config(values: dict) -> Config:
    """Return the configuration that `Config.to_dict` noted; BadInput for anything else."""
    if not isinstance(values, dict):
        raise BadInput("the configuration is no set of names and values")
    cls = config_class(values["network"]) if "network" in values else AMINetConfig
    return cls.from_dict({key: value for key, value in values.items() if key != "network"})


def build(config: Config) -> nn.Module:
    """Return the network of a configuration, AMINet or a compared method, with random weights.

    `from_bicubic` sets the last convolution to zero here, for any method; its own `finish` adds the face.
    """
    if isinstance(config, AMINetConfig):
        from ..model import AMINet

        return AMINet(config)
    network = network_class(config.network)(config)
    for name in config.to_rgb if config.from_bicubic else ():
        zero_last(network.get_submodule(name))
    return network


def adds_face(config: Config) -> bool:
    """Return whether a network's output adds the enlarged LR face, so that a face is left if its last layer is zero."""
    import torch

    network = build(config).eval()
    for name in config.to_rgb:
        zero_last(network.get_submodule(name))
    side = HR if config.enlarged else LR
    with torch.no_grad():
        return bool(network(torch.linspace(-1, 1, 3 * side**2).reshape(1, 3, side, side)).std() > 0.01)


def zero_last(module: nn.Module) -> None:
    """Set the last convolution of a module to zero."""
    from torch import nn

    *_, last = (layer for layer in module.modules() if isinstance(layer, nn.Conv2d))
    for parameter in last.parameters():
        nn.init.zeros_(parameter)


def adversary_class(gan: str) -> type[Adversary]:
    """Return AMIGAN, or the adversarial side of a compared GAN, in its file here; BadInput for another name."""
    if gan == "amigan":
        from ..amigan import AMIGAN

        return AMIGAN
    if gan not in COMPARED:
        raise BadInput(f"unknown GAN {gan!r}: choose one of amigan, {', '.join(COMPARED)}")
    return getattr(import_module(f".{gan}", __package__), gan.upper())
