"""Evaluation: one network, one set of faces, one protocol -> one record with every image's value."""
from __future__ import annotations

import hashlib
import json
import platform
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from .degrade import degrade, upsample
from .errors import BadInput
from .protocol import PROTOCOLS, measure, paired_difference, summary
from .train import restore
from .weights import find_weights, load_weights, sha256, write_atomically

METRICS = ("psnr", "ssim", "vif", "vifp")


def label(weights: str | Path) -> str:
    """How a record calls its weights: their file's name, and for a run's `best` the run's."""
    path = find_weights(weights)
    return path.resolve().parent.name if path.stem == "best" else path.stem


def evaluate(weights: str | Path, faces: Tensor, about: dict, protocol: str = "paper", metrics=("psnr", "ssim"),
             device: str = "cpu", command: str = "", batch: int = 16) -> dict:
    """Measure a network and the bicubic baseline on the same faces.

    weights: a file, or weights of the course by name. faces: uint8 (N, 3, 128, 128). about: what they are.
    Returns a record: `values` per image, `means` with 95 % bootstrap intervals, `gain` as paired differences to
    bicubic, and all that is needed to repeat it. PSNR in dB. Intervals draw whole people where `about` knows them.
    """
    if protocol not in PROTOCOLS:
        raise BadInput(f"unknown protocol {protocol!r}: choose one of {', '.join(PROTOCOLS)}")
    if unknown := set(metrics) - set(METRICS):
        raise BadInput(f"unknown metric {', '.join(sorted(unknown))}: choose from {', '.join(METRICS)}")
    model, header = load_weights(weights, device)
    sr = restore(model.to(memory_format=torch.channels_last), faces, batch)
    rule, people = PROTOCOLS[protocol], about.get("people")
    values = measure(sr, faces, rule, metrics)
    values |= {f"bicubic_{k}": v for k, v in measure(upsample(degrade(faces)), faces, rule, metrics).items()}
    return seal({
        "kind": "evaluation",
        "preset": header.get("preset", ""),
        "config": header["config"],
        "weights": {"name": find_weights(weights).name, "sha256": sha256(find_weights(weights)),
                    **{k: header[k] for k in ("images", "val_psnr", "chosen", "recipe", "data") if k in header}},
        "faces": about,
        "protocol": asdict(rule),
        "describe": rule.describe(),
        "created": time.strftime("%FT%TZ", time.gmtime()),
        "command": command,
        "device": device,
        "versions": {"python": platform.python_version(),
                     **{name: version(name) for name in ("torch", "numpy", "pillow", "scipy", "scikit-image",
                                                         "pyrtools", "torchmetrics")}},
        "means": {name: summary(v, people=people) for name, v in values.items()},
        "gain": {name: paired_difference(values[name], values[f"bicubic_{name}"], people=people) for name in metrics},
        "values": {name: [round(float(v), 5) for v in per_image] for name, per_image in values.items()},
    })


def digest(record: dict) -> str:
    """sha256 of a record without its own seal."""
    content = {key: value for key, value in record.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def seal(record: dict) -> dict:
    """Add the checksum that shows later whether a record was edited by hand (by accident, not by intent)."""
    record = json.loads(json.dumps(record))  # what a reader of the file will see
    return record | {"sha256": digest(record)}


def earlier(path: Path, weights: str | Path, about: dict, metrics) -> dict | None:
    """The record at `path` if it is of these weights, faces and metrics: a test set is measured once. None if there
    is none yet; BadInput if it is of others."""
    if not path.exists():
        return None
    record = read_record(path)
    if record["weights"]["sha256"] != sha256(find_weights(weights)) or (
            record["faces"]["fingerprint"] != about["fingerprint"]) or not set(metrics) <= set(record["values"]):
        raise BadInput(f"{path} is the record of other weights, faces or metrics: give another folder with --records, "
                       "or replace it with --overwrite")
    return record


def write_record(record: dict, path: str | Path) -> Path:
    """Write a record as JSON."""
    path = Path(path)
    write_atomically(path, (json.dumps(record, indent=None, separators=(",", ":")).replace('],"', '],\n"')
                            .replace('},"', '},\n"') + "\n").encode())
    return path


def read_record(path: str | Path) -> dict:
    """A record; BadInput when it is none, or when its seal is broken."""
    try:
        record = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is no record: {error}") from error
    if not isinstance(record, dict) or record.get("sha256") != digest(record):
        raise BadInput(f"{path} was edited after it was written: its seal does not fit")
    return record
