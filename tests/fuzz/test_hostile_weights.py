"""Files of weights, of any bytes and of any header."""
import json
import tempfile
from pathlib import Path

import torch
from hostile import mutated, replaced, rewrite, survives
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from aminet.baselines.rcan import RCANConfig
from aminet.baselines.registry import build
from aminet.training.weights import load_weights

CONFIG = RCANConfig(channels=4, groups=1, blocks=1)
HEADER = {"preset": "rcan", "config": CONFIG.to_dict(), "images": 8, "chosen": "2030-01-01T00:00:00Z", "val_psnr": 20.5,
          "recipe": {"batch": 4, "lr": 1e-3}, "trials": [{"lr": 1e-3, "images": 8}], "start": {"name": "a"},
          "data": {"train": {"sources": ["a.zip"], "images": 8}}}
WEIGHTS = build(CONFIG).state_dict()
FILE = Path(tempfile.mkdtemp()) / "net.safetensors"


def load(data: bytes) -> None:
    rewrite(FILE, data)
    network = survives(load_weights, FILE)
    if isinstance(network, tuple):
        assert all(value.isfinite().all() for value in network[0].state_dict().values())


def file(header, weights=WEIGHTS) -> bytes:
    return save(weights, metadata={"aminet": json.dumps(header)})


MOST, FEW = (settings(max_examples=settings.default.max_examples // part) for part in (2, 4))  # 5,000 in all


@MOST
@given(mutated([file(HEADER), file(HEADER, {key: value.half() for key, value in WEIGHTS.items()})]))
def test_bytes(data):
    load(data)


@FEW
@given(replaced(HEADER))
def test_headers(header):
    load(file(header))


@FEW
@given(st.dictionaries(st.sampled_from([*WEIGHTS, "other"]), st.sampled_from([
    None, torch.ones(()), torch.ones(0), torch.ones(4), torch.full((4,), torch.nan), torch.ones(4, dtype=torch.bool),
    torch.full((4,), 1e300, dtype=torch.float64), torch.ones(4, 4, 3, 3), torch.ones(4, 4, 3, 3, dtype=torch.int32)])))
def test_tensors(changes):
    weights = {key: value for key, value in (WEIGHTS | changes).items() if value is not None}
    load(file(HEADER, {key: value.clone() for key, value in weights.items()}))
