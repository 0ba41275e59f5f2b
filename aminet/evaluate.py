"""Evaluation: one network, one set of faces, one protocol -> one record with every image's value.

A test set is looked at once: a second call adds the metrics that the record lacks, and touches nothing else in it.
"""
from __future__ import annotations

import hashlib
import json
import math
import platform
import time
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import pretrained
from .degrade import degrade, upsample
from .errors import BadInput
from .perceptual import NEEDS, fid, fid_draws, inception_features
from .pretrained import locate, missing_package
from .protocol import METRICS, PROTOCOLS, Protocol, measure, paired_difference, summary, to_uint8
from .train import restore
from .training.device import exact, tf32
from .weights import find_weights, load_weights, sha256, write_atomically, writing

# What a record keeps of the weights' header.
KEPT = ("images", "minutes", "device", "tf32", "val_psnr", "val_lpips", "chosen", "recipe", "data", "start", "vgg19")
LIBRARIES = ("torch", "numpy", "pillow", "scipy", "scikit-image", "pyrtools", "torchmetrics")  # of every record
# What a metric imports, by the name of the package to install.
PACKAGES = {"vif": {"pyrtools": "pyrtools"}, "vifp": {"torchmetrics": "torchmetrics"},
            "lpips": {"lpips": "lpips", "torchvision": "torchvision"},
            "identity": {"onnxruntime": "onnxruntime", "opencv-python-headless": "cv2"},
            "fid": {"torch-fidelity": "torch_fidelity", "torchvision": "torchvision"}}


def label(weights: str | Path) -> str:
    """How a record calls its weights: their file's name, and for a run's `best` the run's."""
    path = find_weights(weights)
    return path.resolve().parent.name if path.stem == "best" else path.stem


def check_metrics(metrics) -> None:
    """BadInput for a name that is not in METRICS."""
    if unknown := set(metrics) - set(METRICS):
        raise BadInput(f"unknown metric {', '.join(sorted(unknown))}: choose from {', '.join(METRICS)}")


def why_not(metric: str) -> str | None:
    """Say what a metric lacks here, a package or a pretrained network; None if it can be measured."""
    for package, module in PACKAGES.get(metric, {}).items():
        if problem := missing_package(package, module):
            return problem
    try:
        for network in NEEDS.get(metric, ()):
            locate(network)
    except BadInput as error:
        return str(error)
    return None


def available_metrics(wanted) -> tuple[tuple[str, ...], list[str]]:
    """Return those of `wanted` that can be measured here, and a line on each that cannot."""
    check_metrics(wanted)
    problems = {metric: why_not(metric) for metric in dict.fromkeys(wanted)}
    return (tuple(metric for metric, problem in problems.items() if not problem),
            [f"{metric} is left out: {problem}" for metric, problem in problems.items() if problem])


def versions_of(packages) -> dict[str, str]:
    """Return the versions of those packages that are installed, by name."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # no metric asked for it
            pass
    return found


def evaluate(weights: str | Path, faces: Tensor, about: dict, protocol: str = "paper", metrics=("psnr", "ssim"),
             device: str = "cpu", command: str = "", batch: int = 16, record: dict | None = None,
             replaces: dict | None = None) -> dict:
    """Measure a network and the bicubic baseline on the same faces.

    weights: a file, or weights of the course by name. faces: uint8 (N, 3, 128, 128). about: what they are.
    metrics: some of METRICS. record: an `earlier` one of these weights and faces; what it lacks is measured and added.
    replaces: one to measure again instead. If it is of the same run and faces, the time of its first look still counts.

    Returns a record: what `results` found; `measured`, each look at the faces, of which `created` is the first; and all
    that is needed to repeat it. A GPU measures without TF32, and the record says so. Raises BadInput before anything is
    measured if a package or a pretrained network is missing, or if the weights were chosen after the first look.
    """
    rule = rule_of(protocol, record)
    metrics = to_measure(metrics, record, len(faces))
    if not metrics and record:
        return record
    networks = {name: locate(name) for metric in metrics for name in NEEDS.get(metric, ())}
    model, header = load_weights(weights, device)
    now = time.strftime("%FT%TZ", time.gmtime())
    if replaces and not same_run(replaces, header, about):
        replaces = None
    known = record or replaces
    if header.get("chosen", "") > (known or {"created": now})["created"]:
        raise BadInput(f"the weights were chosen at {header['chosen']}, after the first look at these faces: "
                       "a test set must not choose (or is the clock wrong?)")
    versions = {"python": platform.python_version(), **versions_of(
        (*LIBRARIES, *(library for metric in metrics for library in PACKAGES.get(metric, ()))))}
    look = {"when": now, "metrics": metrics, "command": command, **tf32(torch.device(device), on=False)}
    looks = [*looks_of(known), look | {"device": device, "versions": versions}] if known else [look]
    if not record:
        record = {
            "kind": "evaluation",
            "preset": header.get("preset", ""),
            "config": header["config"],
            "weights": {"name": find_weights(weights).name, "sha256": sha256(find_weights(weights)),
                        **{k: header[k] for k in KEPT if k in header},
                        **({} if "chosen" in header else {"note": "the weights do not say when they were chosen"})},
            "faces": about,
            "protocol": asdict(rule),
            "describe": rule.describe(),
            "created": looks[0]["when"],
            "command": command,
            "device": device,
        }
    with exact():
        sr = to_uint8(restore(model.to(memory_format=torch.channels_last), faces, batch), rule.sr_rounding)
    used = {name: {"file": path.name, "sha256": pretrained.sha256(path)} for name, path in networks.items()}
    new = {"versions": versions, "networks": used, **results(sr, faces, rule, metrics, about.get("people"))}
    return seal(record | {"measured": looks} | joined(record, new))


def rule_of(protocol: str, record: dict | None) -> Protocol:
    """The protocol of that name; BadInput for an unknown one, or for another than a record's."""
    if protocol not in PROTOCOLS:
        raise BadInput(f"unknown protocol {protocol!r}: choose one of {', '.join(PROTOCOLS)}")
    if record and record["protocol"] != asdict(PROTOCOLS[protocol]):
        raise BadInput(f"the record is of protocol {record['protocol']['name']}: write that of {protocol} elsewhere")
    return PROTOCOLS[protocol]


def to_measure(metrics, record: dict | None, faces: int) -> list[str]:
    """Those of `metrics` that a record lacks; BadInput if one is unknown or cannot be measured here."""
    check_metrics(metrics)
    metrics = [name for name in dict.fromkeys(metrics) if not record or name not in record["means"]]
    if not metrics and not record:
        raise BadInput(f"no metric to measure: choose from {', '.join(METRICS)}")
    if "fid" in metrics and faces < 2:
        raise BadInput("FID is of a set: give two faces or more")
    for metric in metrics:
        if problem := why_not(metric):
            raise BadInput(f"{metric} cannot be measured: {problem}")
    return metrics


def looks_of(record: dict) -> list[dict]:
    """The looks at the faces behind a record; an old one tells of its first only."""
    first = {"when": record["created"], "command": record["command"],
             "metrics": [name for name in record["means"] if not name.startswith("bicubic_")]}
    return record.get("measured", [first])


def joined(record: dict, new: dict) -> dict[str, dict]:
    """The parts of a record with those of a new look: what the record has stays as it is, whatever the look found."""
    return {part: record.get(part, {}) | {k: v for k, v in found.items() if k not in record.get(part, {})}
            for part, found in new.items() if found}


def results(sr: Tensor, hr: Tensor, protocol: Protocol, metrics: list[str], people=None) -> dict[str, dict]:
    """What a record says of restored faces and of the bicubic baseline (`bicubic_...`), by metric.

    sr, hr: uint8 (N, 3, 128, 128). people: who is on each; intervals draw whole people.
    values: per image, PSNR in dB. means: with 95 % bootstrap intervals. gain: paired differences to bicubic, with
    theirs. undefined: how many images have no value, if any. FID is of the set: no values, and a mean without an
    interval, but `draws`, whose differences are paired.
    """
    bicubic = upsample(degrade(hr))
    of_images = [name for name in metrics if name != "fid"]
    values = measure(sr, hr, protocol, of_images)
    values |= {f"bicubic_{name}": v for name, v in measure(bicubic, hr, protocol, of_images).items()}
    means = {name: summary(v, people=people) for name, v in values.items()}
    gain = {name: paired_difference(values[name], values[f"bicubic_{name}"], people=people) for name in of_images}
    draws = {}
    if "fid" in metrics:
        real = inception_features(hr)
        for name, images in (("fid", sr), ("bicubic_fid", bicubic)):
            features = inception_features(images)
            means[name] = {"mean": fid(features, real)}
            draws[name] = fid_draws(features, real, people)
        low, high = np.quantile(draws["fid"] - draws["bicubic_fid"], (0.025, 0.975))
        gain["fid"] = {"mean": means["fid"]["mean"] - means["bicubic_fid"]["mean"], "low": low, "high": high}
    return {"means": means, "gain": gain,
            "undefined": {name: int(missing) for name, v in values.items() if (missing := np.isnan(v).sum())},
            "values": {name: [round(float(v), 5) for v in per_image] for name, per_image in values.items()},
            "draws": {name: [round(float(v), 3) for v in drawn] for name, drawn in draws.items()}}


def digest(record: dict) -> str:
    """sha256 of a record without its own seal."""
    content = {key: value for key, value in record.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def seal(record: dict) -> dict:
    """Add the checksum that shows later whether a record was edited by hand (by accident, not by intent).

    Returns what a reader of the file will see. A value that is undefined (nan) is written as null.
    """
    constants = {"NaN": None, "Infinity": math.inf, "-Infinity": -math.inf}
    record = json.loads(json.dumps(record), parse_constant=constants.get)
    return record | {"sha256": digest(record)}


def earlier(path: Path, weights: str | Path, about: dict) -> dict | None:
    """The record at `path`, which must be of these weights and faces (BadInput if not). None if there is none yet."""
    if not path.exists():
        return None
    record = read_record(path)
    if not same_look(record, sha256(find_weights(weights)), about):
        raise BadInput(f"{path} is the record of other weights or faces: give another folder with --records, "
                       "or replace it with --overwrite")
    return record


def same_look(record: dict, weights: str, about: dict) -> bool:
    """Whether a record is of the weights with this sha256 and of these faces."""
    return record["weights"]["sha256"] == weights and record["faces"]["fingerprint"] == about["fingerprint"]


def same_run(record: dict, header: dict, about: dict) -> bool:
    """Whether a record is of the training that a header tells of, at whatever point of it, and of the same faces."""
    ours = json.loads(json.dumps([header.get("config"), header.get("recipe"), header.get("data")]))
    theirs = [record["config"], record["weights"].get("recipe"), record["weights"].get("data")]
    return ours == theirs and record["faces"]["fingerprint"] == about["fingerprint"]


def add_record(record: dict, path: str | Path) -> Path:
    """Write the record of a look at faces. What another process has measured since, of the same weights and faces, is
    kept: its values as they are, its look in `measured`. BadInput if `path` is the record of others."""
    from filelock import FileLock

    path = Path(path)
    with writing(path), FileLock(path.parent / ".lock"):
        if path.exists() and (now := read_record(path)) != record:
            if not same_look(now, record["weights"]["sha256"], record["faces"]):
                raise BadInput(f"{path} has become the record of other weights or faces: give another folder")
            looks = [look for look in looks_of(record) if look not in looks_of(now)]
            parts = ("means", "gain", "undefined", "values", "draws", "networks", "versions")
            record = seal(now | joined(now, {part: record.get(part, {}) for part in parts})
                          | {"measured": [*looks_of(now), *looks]})
        return write_record(record, path)


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
