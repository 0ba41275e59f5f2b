"""The folder of a run: its state and its log, of any bytes and of any values."""
import json
import os
import tempfile
from pathlib import Path

import pytest
from hostile import ODD, mutated, replaced, rewrite, survives
from hypothesis import given, settings
from hypothesis import strategies as st

from aminet.baselines.rcan import RCANConfig
from aminet.faces.synthetic import faces
from aminet.train import Recipe
from aminet.training.folder import check_run
from aminet.training.games import L1Game
from aminet.training.trainer import Trainer
from aminet.training.weights import read_tensors, save_tensors

OUT = Path(tempfile.mkdtemp())
TRAINER = Trainer(L1Game(RCANConfig(channels=4, groups=1, blocks=1), Recipe(images=4, batch=2, ema=0.9)), faces(2, 0),
                  faces(1, 1), OUT, device="cpu")
TRAINER.train(bar=False)
STATE, LOG = ((OUT / name).read_bytes() for name in ("state.safetensors", "log.jsonl"))
TENSORS, HEADER = read_tensors(OUT / "state.safetensors")
TENSORS = {key: value.clone() for key, value in TENSORS.items()}  # they lie in the file, which is overwritten


@pytest.fixture(autouse=True, scope="module")
def without_waiting_for_the_disk():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


def resume() -> None:
    survives(check_run, OUT, True)
    survives(TRAINER.load)
    assert isinstance(TRAINER.seen, int) and TRAINER.seen >= 0 and isinstance(TRAINER.chosen, dict)


THIRD = settings(max_examples=settings.default.max_examples // 3)  # 5,000 in all


@THIRD
@given(mutated([STATE]))
def test_state(data):
    rewrite(OUT / "state.safetensors", data)
    resume()


@THIRD
@given(replaced(HEADER))
def test_header(header):
    save_tensors(OUT / "state.safetensors", TENSORS, header if isinstance(header, dict) else {"header": header})
    resume()


@THIRD
@given(mutated([LOG]), st.lists(st.builds(json.dumps, st.sampled_from(ODD) | replaced({"images": 4, "val_psnr": 20.5})),
                                max_size=3))
def test_log(data, lines):
    rewrite(OUT / "log.jsonl", data + "\n".join(["", *lines]).encode())
    TRAINER.folder.trim(4, 4)
    for line in (OUT / "log.jsonl").read_bytes().splitlines():
        assert json.loads(line)["images"] <= 4
