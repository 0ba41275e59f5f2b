"""Records of any bytes, and sealed ones of any values."""
import itertools
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hostile import mutated, replaced, rewrite, survives
from hypothesis import given, settings

from aminet.metrics.statistics import summary
from aminet.paper import published
from aminet.paper.records import add_record, earlier, read_record, read_records, seal
from aminet.paper.runs import runs
from aminet.paper.tables import table
from aminet.paper.text import csv_table, format_table, markdown_table

FOLDER, TICK = Path(tempfile.mkdtemp()), itertools.count(10**18)
SPEC = next(spec for spec in runs("pocket") if spec.name == "aminet-pocket-0")


def record(seed: int) -> dict:
    values = {name: np.random.default_rng(seed).normal(25, 1, 6).round(5).tolist() for name in ("psnr", "bicubic_psnr")}
    means = {name: summary(found) for name, found in values.items()} | {"fid": {"mean": 20.5}}
    return {"kind": "evaluation", "config": SPEC.config.to_dict(), "protocol": {"name": "paper"}, "describe": "paper",
            "weights": {"sha256": "0", "name": "best.safetensors", "images": SPEC.images, "val_psnr": 25.5,
                        "chosen": "2030-01-01T00:00:00Z", "recipe": SPEC.settings,
                        "data": {"train": {"sources": ["train.zip"], "images": 100}}},
            "faces": {"sources": ["celeba_test.zip"], "images": 6, "fingerprint": "f", "people": [0, 0, 1, 1, 2, 2]},
            "created": "2030-01-02T00:00:00Z", "command": "", "device": "cpu", "measured": [{"metrics": []}],
            "versions": {}, "networks": {}, "gain": {}, "undefined": {}, "means": means, "values": values,
            "draws": {"fid": [20.5, 20.75, 21.0]}}


SPEEDS = {"kind": "speeds", "preset": "aminet", "device": "cpu", "created": "2030-01-02T00:00:00Z",
          "machine": {"cpu": "x", "threads": 2}, "rows": [{"config": SPEC.config.to_dict(), "seconds": 0.1}]}
GOOD = seal(record(0))
(FOLDER / "good.json").write_text(json.dumps(GOOD))


@pytest.fixture(autouse=True, scope="module")
def one_training_is_enough():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "SEEDS", dict.fromkeys(published.SEEDS, 1))
        patch.setattr(os, "fsync", lambda handle: None)
        yield


def put(name: str, data: bytes) -> Path:
    """Write a file with a time of its own, as readings are cached."""
    path, tick = FOLDER / name, next(TICK)
    rewrite(path, data)
    os.utime(path, ns=(tick, tick))
    return path


def read(data: bytes) -> None:
    path = put("odd.json", data)
    found, problems = read_records(FOLDER)
    assert 1 <= len(found) <= 2 and len(problems) <= 1 and all(line.isprintable() for line in problems)
    survives(read_record, path)
    survives(earlier, path, "pocket", {"fingerprint": "f"})
    survives(add_record, GOOD, path)


HALF = settings(max_examples=settings.default.max_examples // 2)


@HALF
@given(mutated([json.dumps(GOOD).encode(), json.dumps(seal(SPEEDS)).encode(), b"[" * 100_000, b'{"a":' * 100_000]))
def test_bytes(data):
    read(data)


@HALF
@given(replaced(record(1)))
def test_sealed(content):
    read(json.dumps(seal(content) if isinstance(content, dict) else content).encode())


@settings(max_examples=settings.default.max_examples // 25)  # a table takes a while
@given(replaced(record(1)), replaced(SPEEDS))
def test_tables(content, speeds):
    put("odd.json", json.dumps(seal(content) if isinstance(content, dict) else content).encode())
    put("speeds-odd.json", json.dumps(seal(speeds) if isinstance(speeds, dict) else speeds).encode())
    found = table(7, FOLDER)
    for text in (format_table(found), csv_table(found), markdown_table(found)):
        assert all(line.isprintable() for line in text.splitlines())
