"""Evaluation: one network, one set of faces, one protocol -> one record with every image's value.

A test set is looked at once: a second call adds the metrics that the record lacks, and touches nothing else in it.
"""
from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..degrade import degrade, upsample
from ..errors import BadInput, printable
from ..files import sha256
from ..metrics.measure import METRICS, RECOGNITION, measure
from ..metrics.parsing import iou_of_parts
from ..metrics.perceptual import NEEDS, fid, fid_draws, inception_features
from ..metrics.pretrained import locate, missing_network, missing_package
from ..metrics.recognition import SCORES, Gallery, recognise
from ..metrics.statistics import paired_difference, summary
from ..protocol import PROTOCOLS, Protocol, to_uint8
from ..train import restore
from ..training.device import exact, tf32
from ..training.weights import find_weights, load_weights
from .records import made, merged

# What a record keeps of the weights' header.
KEPT = ("images", "minutes", "device", "tf32", "val_psnr", "val_lpips", "chosen", "recipe", "trials", "data", "start",
        "vgg19")
LIBRARIES = ("torch", "numpy", "pillow", "scipy", "scikit-image", "pyrtools", "torchmetrics")  # of every record
# What a metric imports, by the name of the package to install.
PACKAGES = {"vif": {"pyrtools": "pyrtools"}, "vifp": {"torchmetrics": "torchmetrics"},
            "lpips": {"lpips": "lpips", "torchvision": "torchvision"},
            **dict.fromkeys(("identity", RECOGNITION), {"onnxruntime": "onnxruntime", "opencv-python-headless": "cv2"}),
            **dict.fromkeys(("nme", "pose"), {"onnxruntime": "onnxruntime"}), "iou": {"torchvision": "torchvision"},
            "fid": {"torch-fidelity": "torch_fidelity", "torchvision": "torchvision"}}


def label(weights: str | Path) -> str:
    """Return how a record calls its weights: their file's name, and for a run's `best` the run's."""
    path = find_weights(weights)
    return path.resolve().parent.name if path.stem == "best" else path.stem


def obstacle(metric: str) -> str | None:
    """Say what a metric lacks here, a package or a pretrained network; None if it can be measured."""
    packages = (missing_package(package, module) for package, module in PACKAGES.get(metric, {}).items())
    networks = (missing_network(network) for network in NEEDS.get(metric, ()))
    return next(filter(None, chain(packages, networks)), None)


def available_metrics(wanted: Iterable[str]) -> tuple[tuple[str, ...], list[str]]:
    """Return those of `wanted` that can be measured here, and a line on each that cannot."""
    obstacles = {metric: obstacle(metric) for metric in known_metrics(wanted)}
    return (tuple(metric for metric, problem in obstacles.items() if not problem),
            [f"{metric} is left out: {problem}" for metric, problem in obstacles.items() if problem])


def known_metrics(names: Iterable[str]) -> list[str]:
    """Return the names, each once; BadInput for one that is neither in METRICS nor RECOGNITION."""
    names, known = list(dict.fromkeys(names)), (*METRICS, RECOGNITION)
    if unknown := set(names) - set(known):
        raise BadInput(f"unknown metric {', '.join(sorted(unknown))}: choose from {', '.join(known)}")
    return names


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed, by name."""
    versions = {}
    for name in packages:
        with suppress(PackageNotFoundError):  # no metric asked for it
            versions[name] = version(name)
    return versions


def evaluate(weights: str | Path, faces: Tensor, about: dict, protocol: str = "paper",
             metrics: Sequence[str] = ("psnr", "ssim"), device: str = "cpu", command: str = "",
             record: dict | None = None, replaces: dict | None = None, gallery: Gallery | None = None) -> dict:
    """Measure a network and the bicubic baseline on the same faces.

    weights: a file, or weights of the course by name. faces: uint8 (N, 3, 128, 128). about: what they are.
    metrics: some of METRICS, or RECOGNITION with a `gallery`. command: what the record names as its own, this process's
    if left out.
    record: an `earlier` one of these weights and faces; what it lacks is measured and added.
    replaces: one to measure again instead. If it is of the same run and faces, the time of its first look still counts.

    Returns a record: what `results` found; `measured`, each look at the faces, of which `created` is the first; and all
    that is needed to repeat it. A GPU measures without TF32, and the record says so. Raises BadInput before anything is
    measured if a package or a pretrained network is missing, or if the weights were chosen after the first look.
    """
    rule = protocol_of(protocol, record)
    metrics = to_measure(metrics, record, len(faces))
    if RECOGNITION in metrics and not (gallery and "people" in about):
        raise BadInput("cosine compares people with those of a gallery: give --gallery")
    if record and not metrics:
        return record
    model, header = load_weights(weights, device)
    look = made(command)
    before = record or (replaces if replaces and same_training(replaces, header, about) else None)
    created, measured = (before["created"], before["measured"]) if before else (look["created"], [])
    if header.get("chosen", "") > created:
        raise BadInput(f"the weights were chosen at {header['chosen']}, after the first look at these faces: "
                       "a test set must not choose (or is the clock wrong?)")
    packages = (package for metric in metrics for package in PACKAGES.get(metric, ()))
    versions = {"python": platform.python_version(), **versions_of((*LIBRARIES, *packages))}
    measurement = {"when": look["created"], "metrics": metrics, "command": look["command"],
                   **tf32(torch.device(device), on=False)}
    if before:  # of the first one, the record itself says these
        measurement |= {"device": device, "versions": versions}
    if gallery and RECOGNITION in metrics:
        measurement["gallery"] = gallery.about
    record = record or {
        "kind": "evaluation", "preset": header.get("preset", ""), "config": header["config"],
        "weights": describe_weights(find_weights(weights), header), "faces": about,
        "protocol": asdict(rule), "describe": rule.describe(),
        "created": created, "command": look["command"], "device": device, "measured": measured}
    with exact():
        sr = to_uint8(restore(model.to(memory_format=torch.channels_last), faces, batch=16), rule.sr_rounding)
    return merged(record, {"weights": {"sha256": sha256(find_weights(weights))}, "measured": [measurement],
                           "versions": versions, "networks": networks_of(metrics),
                           **results(sr, faces, rule, metrics, about.get("people"), gallery=gallery)})


def networks_of(metrics: Iterable[str], *more: str) -> dict[str, dict[str, str]]:
    """Return the pretrained networks of these metrics, and `more`, by name, each with its `file` and `sha256`."""
    paths = {name: locate(name) for name in (*chain(*(NEEDS.get(metric, ()) for metric in metrics)), *more)}
    return {name: {"file": path.name, "sha256": sha256(path)} for name, path in paths.items()}


def describe_weights(path: Path, header: dict) -> dict:
    """Return what a record says of its weights."""
    note = {} if "chosen" in header else {"note": "the weights do not say when they were chosen"}
    return {"name": path.name, "sha256": sha256(path), **{key: header[key] for key in KEPT if key in header}, **note}


def same_training(record: dict, header: dict, about: dict) -> bool:
    """Whether a record is of the training that a header tells of, at whatever point of it, and of the same faces."""
    ours = json.loads(json.dumps([header.get("config"), header.get("recipe"), header.get("data")]))
    theirs = [record["config"], record["weights"].get("recipe"), record["weights"].get("data")]
    return ours == theirs and record["faces"]["fingerprint"] == about["fingerprint"]


def protocol_of(name: str, record: dict | None) -> Protocol:
    """Return the protocol of that name; BadInput for an unknown one, or for another than a record's."""
    if name not in PROTOCOLS:
        raise BadInput(f"unknown protocol {name!r}: choose one of {', '.join(PROTOCOLS)}")
    if record and record["protocol"] != asdict(PROTOCOLS[name]):
        raise BadInput(f"the record is of protocol {record['protocol']['name']}: write that of {name} elsewhere")
    return PROTOCOLS[name]


def to_measure(metrics: Sequence[str], record: dict | None, faces: int) -> list[str]:
    """Return those of `metrics` that a record lacks; BadInput if one is unknown or cannot be measured here."""
    lacking = [name for name in known_metrics(metrics) if not record or name not in record["means"]]
    if not lacking and not record:
        raise BadInput(f"no metric to measure: choose from {', '.join(METRICS)}")
    if "fid" in lacking and faces < 2:
        raise BadInput("FID is of a set: give two faces or more")
    for metric in lacking:
        if problem := obstacle(metric):
            raise BadInput(f"{metric} cannot be measured: {problem}")
    return lacking


def results(sr: Tensor, hr: Tensor, protocol: Protocol, metrics: Sequence[str],
            people: Sequence[int] | None = None, bicubic: Tensor | None = None,
            gallery: Gallery | None = None) -> dict[str, dict]:
    """Return what a record says of restored faces and of the bicubic baseline (`bicubic_...`), by metric.

    sr, hr: uint8 (N, 3, 128, 128). people: who is on each; intervals draw whole people. bicubic: the baseline where it
    is not that of hr.
    values: per image, PSNR in dB. means: with 95 % bootstrap intervals. gain: paired differences to bicubic, with
    theirs. undefined: how many images have no value, if any. FID is of the set: no values, and a mean without an
    interval, but `draws`, whose differences are paired. The IoU comes with that of each part (`iou_nose`), without
    its values, which would be most of the record. With a `gallery`, what `recognise` returns, of the faces themselves
    (`original_...`), too.
    """
    pictures = {"": sr, "bicubic_": upsample(degrade(hr)) if bicubic is None else bicubic}
    of_images, values, parts = tuple(name for name in metrics if name not in ("fid", RECOGNITION)), {}, {}
    for prefix, images in pictures.items():
        values |= {prefix + name: found for name, found in measure(images, hr, protocol, of_images).items()}
        if "iou" in metrics:
            parts |= {prefix + name: found for name, found in iou_of_parts(images, hr).items()}
    if RECOGNITION in metrics and gallery:
        values |= recognise(pictures | {"original_": hr}, hr, people or [], gallery)
    every = values | parts
    means: dict[str, dict] = {name: summary(found, people=people) for name, found in every.items()}
    gain = {name: paired_difference(every[name], every[f"bicubic_{name}"], people=people)
            for name in every if f"bicubic_{name}" in every}
    draws = fid_of(pictures, hr, means, gain, people) if "fid" in metrics else {}
    missing = {name: int(np.isnan(found).sum()) for name, found in every.items()}
    undefined = {name: count for name, count in missing.items() if count and "_case" not in name}  # a case is a part
    return {"means": means, "gain": gain, "undefined": undefined,
            "values": rounded(values, 5), "draws": rounded(draws, 3)}


def rounded(values: dict[str, np.ndarray], digits: int) -> dict[str, list[float]]:
    """Return values with so many digits, as JSON has them."""
    return {name: [round(float(value), digits) for value in found] for name, found in values.items()}


def fid_of(pictures: dict[str, Tensor], hr: Tensor, means: dict, gain: dict,
           people: Sequence[int] | None) -> dict[str, np.ndarray]:
    """Add the FID of each kind of picture to means, and of the restored ones to gain; return the draws behind it."""
    real, draws = inception_features(hr), {}
    for prefix, images in pictures.items():
        features = inception_features(images)
        means[f"{prefix}fid"] = {"mean": fid(features, real)}
        draws[f"{prefix}fid"] = fid_draws(features, real, people)
    low, high = np.quantile(draws["fid"] - draws["bicubic_fid"], (0.025, 0.975))
    gain["fid"] = {"mean": means["fid"]["mean"] - means["bicubic_fid"]["mean"], "low": low, "high": high}
    return draws


def format_evaluation(record: dict, metrics: Sequence[str]) -> str:
    """Return a record's means with their intervals, the bicubic baseline's, and the gain on it, for people."""
    names = [name for metric in metrics for name in (SCORES if metric == RECOGNITION else (metric,))]
    width, lines = max(8, *map(len, names)), [f"{record['faces']['images']} faces, {printable(record['describe'])}"]

    def interval(found: dict, sign: str = "-") -> str:
        numbers = [found[part] for part in ("mean", "low", "high") if part in found]
        if None in numbers:
            return "undefined"
        mean, *ends = (format(number, f"{sign}.4f") for number in numbers)
        return f"{mean:>8s} [{', '.join(ends)}]" if ends else f"{mean:>8s}"

    for name in names:
        means = {kind: record["means"].get(f"{kind}_{name}") for kind in ("bicubic", "original")}
        beside = [f"{kind} {interval({'mean': found['mean']})}" for kind, found in means.items() if found]
        undefined = record.get("undefined", {}).get(name)
        lines.append("   ".join([f"{name:{width}s} {interval(record['means'][name])}", *beside[:1],
                                 f"gain {interval(record['gain'][name], '+')}", *beside[1:],
                                 *([f"undefined: {undefined}"] if undefined else [])]))
    return "\n".join(lines)
