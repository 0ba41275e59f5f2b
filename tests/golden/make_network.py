"""Writes network.json: what AMINet says of one public-domain portrait, untrained by presets and trained by weights.

Run it from the repository root only when the network changes on purpose: python tests/golden/make_network.py
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from aminet.config import PRESETS
from aminet.degrade import network_input
from aminet.faces.portraits import portraits
from aminet.model import AMINet
from aminet.training.weights import load_weights

TRAINED = ("pocket", "pocket-s", "pocket-gan")


def untrained(preset: str) -> nn.Module:
    """A preset's network with the weights of seed 0, the tail's too: at zero it would hide the others."""
    torch.manual_seed(0)
    return AMINet(replace(PRESETS[preset], zero_tail=False)).eval()


def trained(weights: str) -> nn.Module:
    """A network with committed weights."""
    return load_weights(weights)[0].eval()


@torch.inference_mode()
def answer(network: nn.Module) -> dict[str, list[float]]:
    """What the network adds to the middle of Collins' bicubic face (NASA): mean, deviation, 16 pixels of green."""
    image = network_input(portraits()["collins"][None])[..., 32:96, 32:96]
    added = (network(image) - image)[0].double()
    pixels = added[1, 7::16, 7::16].flatten()
    row = {"mean": [added.mean().item()], "std": [added.std().item()], "pixels": pixels.tolist()}
    return {name: [round(value, 7) for value in values] for name, values in row.items()}


def networks() -> dict[str, Callable[[], nn.Module]]:
    """What makes each network, by the name of its row in network.json."""
    return {**{f"untrained {preset}": partial(untrained, preset) for preset in PRESETS},
            **{f"trained {weights}": partial(trained, weights) for weights in TRAINED}}


if __name__ == "__main__":
    path = Path(__file__).with_name("network.json")
    rows = {name: answer(make()) for name, make in networks().items()}
    lines = [f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(path.read_text())
