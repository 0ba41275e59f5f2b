"""Evaluation: one network, one set of faces, one protocol -> one record with every image's value.

A test set is looked at once: a second call adds the metrics that the record lacks, and touches nothing else in it.
"""
from __future__ import annotations

import platform
import time
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..degrade import degrade, upsample
from ..errors import BadInput
from ..files import sha256
from ..metrics import pretrained
from ..metrics.measure import METRICS, measure
from ..metrics.perceptual import NEEDS, fid, fid_draws, inception_features
from ..metrics.pretrained import locate, missing_package
from ..metrics.statistics import paired_difference, summary
from ..protocol import PROTOCOLS, Protocol, to_uint8
from ..train import restore
from ..training.device import exact, tf32
from ..training.weights import find_weights, load_weights
from .records import joined, looks_of, same_run, seal

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
