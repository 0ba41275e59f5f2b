"""The limits (Sec. V), measured: what becomes of a restored face when the picture gets harder, level by level.

The same faces stand at every level, so differences are paired, and bicubic interpolation gets the network's input.
Where the truth changes with the picture (a darker one has smaller errors), compare gains over bicubic, not PSNRs.
"""
from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from tabulate import tabulate
from torch import Tensor
from tqdm.auto import tqdm

from ..degrade import degrade, jpeg, upsample
from ..errors import BadInput, printable
from ..faces.sources import Source, open_faces
from ..faces.synthetic import faces as draw
from ..metrics.landmarks import find_landmarks, head_pose
from ..metrics.pretrained import locate
from ..metrics.statistics import paired_difference
from ..protocol import PROTOCOLS, to_uint8
from ..train import restore
from ..training.weights import find_weights, load_weights
from .evaluate import LIBRARIES, PACKAGES, describe_weights, networks_of, results, to_measure, versions_of
from .records import sealed

USUAL = ("psnr", "lpips", "identity")
RULE = PROTOCOLS["paper"]
FALL = 0.1  # in identity: the loss that `breaks` looks for
FEW = 5  # faces: with fewer, a bin of `turn` has no mean
LEVELLED = ("identity", "iou", "nme", "pose")  # their networks know upright faces alone: of pictures brought `back`


def exposed(images: Tensor, stops: float) -> Tensor:
    """Return pictures taken with 2**stops times the light (display gamma 2.2), clipped as a sensor clips."""
    return (images * 2 ** (stops / 2.2)).round().clamp(0, 255).to(torch.uint8)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Return pictures blurred by a Gaussian of `sigma` pixels."""
    return torch.from_numpy(gaussian_filter(images.numpy().astype(np.float32), (0, 0, sigma, sigma))).round().byte()


def noisy(images: Tensor, sigma: float) -> Tensor:
    """Return pictures with Gaussian noise of `sigma` levels of 255; every call has the same noise."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    return (images + sigma * noise).round().clamp(0, 255).to(torch.uint8)


def compressed(images: Tensor, lost: float) -> Tensor:
    """Return pictures after a JPEG of quality 100 - `lost`; at 0 they are not compressed."""
    return torch.stack([jpeg(image, round(100 - lost)) for image in images]) if lost else images


def moved(images: Tensor, shift: float = 0, roll: float = 0, scale: float = 1) -> Tensor:
    """Return pictures moved to the right by `shift` pixels, and about the middle turned counter-clockwise by `roll`
    degrees and enlarged by `scale`. What comes in at the borders is mirrored."""
    height, width = images.shape[-2:]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), roll, scale)
    matrix[0, 2] += shift
    turned = [cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
              for image in images.permute(0, 2, 3, 1).contiguous().numpy()]
    return torch.from_numpy(np.stack(turned)).permute(0, 3, 1, 2).contiguous()


class Stress(NamedTuple):
    """One way in which a picture gets harder.

    words: what a user meets. unit, levels: the first level is no stress, or the easiest one.
    on: what changes. `scene`: a drawn face, so the truth, too. `frame`: the picture of 128x128, and the truth with it.
    `photo`: this picture, not the truth. `input`: the picture of 16x16, not the truth. `choice`: which faces are taken.
    act: of `scene`, the controls of `FaceParams` at a level; of the others, pictures (N, 3, S, S). back: its reverse.
    """

    words: str
    unit: str
    levels: tuple[float, ...]
    on: str
    act: Callable
    back: Callable | None = None


STRESSES = {
    "yaw": Stress("The head is turned to the side.", "degrees", (0, 7, 14, 21, 28, 35), "scene",
                  lambda level: {"yaw": level}),
    "light": Stress("A hard lamp stands in front (0) or at the side (1).", "side", (0, 0.25, 0.5, 0.75, 1), "scene",
                    lambda level: {"light": level, "strength": 0.9}),
    "strength": Stress("The light is even (0) or comes from one lamp (1).", "strength", (0, 0.5, 1), "scene",
                       lambda level: {"strength": level}),
    "skin": Stress("The same people have light (0) to dark (1) skin.", "tone", (0, 0.25, 0.5, 0.75, 1), "scene",
                   lambda level: {"skin": level}),
    "dark": Stress("The photo is too dark; so is the truth.", "stops", (0, 1, 2, 3, 4), "frame",
                   lambda images, level: exposed(images, -level)),
    "bright": Stress("The photo is too bright; so is the truth.", "stops", (0, 1, 2), "frame", exposed),
    "blur": Stress("The lens is out of focus, before the face is reduced.", "pixels of 128", (0, 2, 4, 6, 8), "photo",
                   blurred),
    "noise": Stress("The sensor had little light, and its noise lies on the small face.", "levels of 255",
                    (0, 2, 5, 10, 20), "input", noisy),
    "jpeg": Stress("The photo with the small face in it was saved as JPEG.", "100 - quality", (0, 10, 25, 50, 75),
                   "input", compressed),
    "shift": Stress("The face stands beside the middle of the crop.", "pixels of 128", (0, 8, 16, 24, 32), "frame",
                    lambda images, level: moved(images, shift=level)),
    "roll": Stress("The face was not levelled before it was cropped.", "degrees", (0, 10, 20, 45, 90), "frame",
                   lambda images, level: moved(images, roll=level), lambda images, level: moved(images, roll=-level)),
    "smaller": Stress("The crop is too wide.", "scale", (1, 0.9, 0.8, 0.7), "frame",
                      lambda images, level: moved(images, scale=level)),
    "larger": Stress("The crop is too tight.", "scale", (1, 1.25, 1.5, 2), "frame",
                     lambda images, level: moved(images, scale=level)),
    "turn": Stress("The head is turned to the side, as `head_pose` reads its yaw; other faces at each level.",
                   "degrees, from", (0, 10, 20, 30, 45, 60), "choice", lambda images, level: images),
}


def measure_limits(weights: str | Path, sources: Sequence[str] = ("synthetic:8:2",),
                   stresses: Sequence[str] | None = None, metrics: Sequence[str] = USUAL, images: int | None = None,
                   progress: bool = True) -> dict:
    """Measure a network and bicubic interpolation on the same faces, level by level of each stress (Sec. V).

    weights: a file, or weights of the course by name. sources: as in `open_faces`. stresses: names of STRESSES; without
    them all but `turn`, and without drawn faces all but those of the scene. metrics: of an image.
    images: take so many of the faces, by a fixed seed; for `turn`, so many at each level.

    Returns a sealed record of kind "limits". Its `stresses` have `rows`, one a level: `means` with 95 % intervals over
    people (`bicubic_...` of the baseline), `gain` over bicubic, and how both changed since the first level, `change`
    and `gain_change`, paired. `undefined` counts faces without a value. Raises BadInput before it measures.
    """
    source = Source.parse(sources[0])
    drawn = source if source.kind == "synthetic" else None
    chosen = asked(stresses, metrics, drawn, images)
    path = find_weights(weights)
    model, header = load_weights(path)
    hr, about = open_faces(sources, progress=progress)
    people = np.array(about.pop("people", range(len(hr))))
    everybody, turned = some(np.arange(len(hr)), images), by_yaw(hr, images) if "turn" in chosen else {}
    rows: dict[str, list[dict]] = {name: [] for name in chosen}
    plain: dict = {}  # of the faces as they are, from which most stresses begin
    steps = [(name, level) for name in chosen for level in STRESSES[name].levels]
    for name, level in tqdm(steps, "limits", disable=not progress, dynamic_ncols=True):
        stress, index = STRESSES[name], turned[level] if name == "turn" else everybody
        begins = stress.on in ("frame", "photo", "input") and level == stress.levels[0]
        if begins and plain:
            found = plain
        elif name == "turn" and len(index) < FEW:
            found = {"means": {}}
        else:
            truth, lr = under(stress, level, hr[index], drawn)
            found = measured(model, stress, level, truth, lr, metrics, people[index])
        plain = found if begins else plain
        rows[name].append({"level": level, "images": len(index)} | found)
    packages = (*LIBRARIES, "opencv-python-headless", *(each for name in metrics for each in PACKAGES.get(name, ())))
    return sealed(
        "limits", preset=header.get("preset", ""), config=header["config"], weights=describe_weights(path, header),
        faces=about | {"measured": len(everybody)}, protocol=asdict(RULE), describe=RULE.describe(),
        versions={"python": platform.python_version(), **versions_of(packages)},
        networks=networks_of(metrics, *(["landmarks"] if "turn" in chosen else [])), metrics=list(metrics),
        stresses={name: {"words": STRESSES[name].words, "unit": STRESSES[name].unit, "on": STRESSES[name].on,
                         "rows": since_first(rows[name], metrics, None if name == "turn" else people[everybody])}
                  for name in chosen})


def asked(stresses: Sequence[str] | None, metrics: Sequence[str], drawn: Source | None,
          images: int | None) -> list[str]:
    """Return which stresses to measure; BadInput if something that is asked for does not exist or fit the faces."""
    possible = [name for name, stress in STRESSES.items() if drawn or stress.on != "scene"]
    chosen = list(dict.fromkeys(stresses or [name for name in possible if name != "turn"]))
    for name in chosen:
        if name not in STRESSES:
            raise BadInput(f"unknown stress {name!r}: choose from {', '.join(STRESSES)}")
        if name not in possible:
            raise BadInput(f"{name} needs drawn faces, whose scene can be changed: give --faces synthetic:100")
    if "psnr" not in metrics or "fid" in metrics:
        raise BadInput("the limits need psnr, and no fid, which is of a set: for example --metrics psnr lpips identity")
    to_measure(metrics, None, 1)  # all of them can be
    if "turn" in chosen:
        locate("landmarks")
    if images is not None and (drawn or images < 1):
        raise BadInput("--images takes some faces of files, 1 or more; of drawn faces write synthetic:N")
    return chosen


def some(index: np.ndarray, n: int | None) -> np.ndarray:
    """Return n of the indices, always the same, in their order; all of them if there are no more, or n is None."""
    return np.sort(np.random.default_rng(0).permutation(index)[:n])


def by_yaw(hr: Tensor, n: int | None) -> dict[float, np.ndarray]:
    """Return by each level of `turn` which faces are turned so far, to either side, but not to the next level: at most
    n of them."""
    yaw, levels = np.abs(head_pose(find_landmarks(hr))[:, 0]), STRESSES["turn"].levels
    return {low: some(np.flatnonzero((low <= yaw) & (yaw < high)), n) for low, high in pairwise((*levels, 90.1))}


def under(stress: Stress, level: float, hr: Tensor, drawn: Source | None = None) -> tuple[Tensor, Tensor]:
    """Return the truth and the input of faces at a level: uint8 (N, 3, 128, 128) and (N, 3, 16, 16).

    hr: the faces, uint8 (N, 3, 128, 128). drawn: where they come from, for a stress of the scene.
    """
    if stress.on == "scene" and drawn:
        truth = draw(drawn.n, drawn.seed, **stress.act(level))
        return truth, degrade(truth)
    if stress.on == "input":
        return hr, stress.act(degrade(hr), level)
    changed = stress.act(hr, level)
    return hr if stress.on == "photo" else changed, degrade(changed)


def measured(model: torch.nn.Module, stress: Stress, level: float, truth: Tensor, lr: Tensor, metrics: Sequence[str],
             people: np.ndarray) -> dict[str, dict]:
    """Return the `results` of a network and of bicubic interpolation; those LEVELLED are of pictures brought `back`."""
    sr = to_uint8(restore(model.to(memory_format=torch.channels_last), lr, batch=16), RULE.sr_rounding)
    pictures, found = [sr, truth, upsample(lr)], {}
    back = [stress.back(images, level) for images in pictures] if stress.back else pictures
    for same, (result, original, bicubic) in ((False, pictures), (True, back)):
        names = [name for name in metrics if (name in LEVELLED) == same]
        more = results(result, original, RULE, names, people.tolist(), bicubic)
        found = {part: found.get(part, {}) | {key: value for key, value in more[part].items()
                                              if key.removeprefix("bicubic_") in names} for part in more}
    return found


def since_first(rows: list[dict], metrics: Sequence[str], people: np.ndarray | None) -> list[dict]:
    """Return rows without their values, but with the paired changes since the first one; without, if people is None."""
    done = []
    for row in rows:
        kept = {key: row[key] for key in ("level", "images", "means", "gain", "undefined") if key in row}
        if people is not None:
            now, first = ({key: np.array(found) for key, found in each["values"].items()} for each in (row, rows[0]))
            kept["change"] = {name: paired_difference(now[name], first[name], people) for name in metrics}
            with np.errstate(invalid="ignore"):  # two infinite PSNRs have no difference
                kept["gain_change"] = {name: paired_difference(now[name] - now[f"bicubic_{name}"],
                                                               first[name] - first[f"bicubic_{name}"], people)
                                       for name in metrics}
        done.append(kept)
    return done


def breaks(record: dict) -> list[dict]:
    """Return where each stress of a record breaks the network, one row a stress.

    first, last: the gain in PSNR over bicubic, dB, at the first and the last level. halved, gone: the level at which
    half of the first gain is lost, and all of it. other: the level at which identity has fallen by FALL since the
    first. Levels are interpolated between the measured ones; None: not within them, or not measured.
    """
    table = []
    for name, stress in record["stresses"].items():
        rows = [row for row in stress["rows"] if row["means"]]
        gains = [(row["level"], x) for row in rows if (x := row["gain"]["psnr"]["mean"]) is not None] or [(0, np.nan)]
        alike = [(row["level"], mean) for row in rows if (mean := row["means"].get("identity", {}).get("mean"))]
        table.append({"stress": name, "unit": stress["unit"], "first": gains[0][1], "last": gains[-1][1],
                      "halved": crossing(gains, gains[0][1] / 2), "gone": crossing(gains, 0),
                      "other": crossing(alike, alike[0][1] - FALL) if alike else None})
    return table


def crossing(curve: Sequence[tuple[float, float]], bound: float) -> float | None:
    """Return the level at which a curve of (level, value) first falls to a bound, by straight lines; None if never."""
    if curve[0][1] <= bound:
        return curve[0][0]
    for (before, high), (after, low) in pairwise(curve):
        if low <= bound:
            return before + (after - before) * (high - bound) / (high - low)
    return None


def format_limits(record: dict) -> str:
    """Return a record as a table for people, and below it what breaks where."""
    cells = []
    for name, stress in record["stresses"].items():
        for row in stress["rows"]:
            means = [row["means"].get(prefix + metric, {}).get("mean") for metric in record["metrics"]
                     for prefix in ("", "bicubic_")]
            mean, low, high = (row.get("gain", {}).get("psnr", {}).get(part) for part in ("mean", "low", "high"))
            gain = None if None in (mean, low, high) else f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"
            cells.append([name, row["level"], row["images"], *means, gain])
    headers = ["stress", "level", "faces", *(word for metric in record["metrics"] for word in (metric, "bicubic")),
               "gain of PSNR, dB"]
    title = f"{record['weights']['name']} on {', '.join(record['faces']['sources'])}, {record['describe']}"
    broken = tabulate([list(row.values()) for row in breaks(record)],
                      ["stress", "unit", "gain, dB", "at the end", "halved at", "gone at", f"identity -{FALL} at"],
                      floatfmt=("", "", "+.2f", "+.2f", ".3g", ".3g", ".3g"), missingval="-")
    return "\n".join([printable(title), tabulate(cells, headers, floatfmt=".4g"), "", broken])
