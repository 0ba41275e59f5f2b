"""Measurements that may be compared: the same faces, one scale, the same training faces."""
from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from ..errors import BadInput
from ..metrics.statistics import paired_difference, summary
from .published import BICUBIC, LAST_ABLATION, SCALES, SEEDS, reference
from .records import digest
from .runs import RunSpec, find_run

FAILED = 0.2  # dB on bicubic: what gains less has hardly been trained (chosen by us, with the records of mini in view)


@dataclass(frozen=True)
class Sample:
    """A metric on one set of faces: the mean with its 95 % interval, and what a difference is paired by: values (S, N)
    of S trainings on N images, or bootstrap draws. FID has only draws, which are biased: no interval of its own."""

    mean: float
    low: float | None = None
    high: float | None = None
    values: np.ndarray | None = None
    draws: np.ndarray | None = None


def average(samples: list[Sample], people=None) -> Sample:
    """Several seeds on the same faces; FID is averaged draw by draw."""
    if len(samples) == 1:
        return samples[0]
    if all(s.values is not None for s in samples):
        values = np.concatenate([s.values for s in samples])
        return Sample(**summary(values, people=people), values=values)
    mean, draws = float(np.mean([s.mean for s in samples])), [s.draws for s in samples]
    known = all(d is not None and d.shape == draws[0].shape for d in draws)
    return Sample(mean, draws=np.mean(draws, axis=0) if known else None)


def difference(a: Sample, b: Sample, people=None) -> Sample:
    """a - b on the same faces, with its paired 95 % interval if both have values or draws."""
    if a.values is not None and b.values is not None:
        return Sample(**paired_difference(a.values, b.values, people=people))
    if a.draws is None or b.draws is None or a.draws.shape != b.draws.shape:
        return Sample(a.mean - b.mean)
    low, high = np.quantile(a.draws - b.draws, (0.025, 0.975))
    return Sample(a.mean - b.mean, float(low), float(high))


@dataclass(frozen=True, eq=False)
class Look:
    """A record: one network's look at one set of faces under one protocol.

    spec: the run that it belongs to, None if none is listed. faces: the fingerprint; only looks at the same faces are
    compared. created: when it was; chosen: when validation chose the weights, which had seen so many pictures of what
    they `learnt` from. samples: by the record's metric, "bicubic_..." among them.
    """

    file: str
    spec: RunSpec | None
    source: str
    faces: str
    size: int
    people: tuple[int, ...] | None
    protocol: str
    created: str
    chosen: str
    seen: int
    learnt: str
    edited: bool
    samples: dict[str, Sample]

    def serves(self, number: int, row: str) -> bool:
        """Whether it is of a run that stands behind a row."""
        return self.spec is not None and self.spec.scale in SCALES and (number, row) in self.spec.rows


def read(folder: str | Path) -> tuple[list[Look], list[str]]:
    """The looks that the records of a folder tell of, first ones first, and a note on every file that tells none.

    Records of another kind are passed over. Raises BadInput when there is no such folder.
    """
    if not Path(folder).is_dir():
        raise BadInput(f"no folder {folder}: give the one that holds the records with --records")
    looks, notes = [], []
    for path in sorted(Path(folder).glob("*.json")):
        try:
            if found := look_at(path, path.stat().st_mtime_ns):
                looks.append(found)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            notes.append(f"{path.name} is no whole record and is left out ({type(error).__name__}: {error}).")
    return sorted(looks, key=lambda look: look.created), notes


@cache
def look_at(path: Path, mtime: int) -> Look | None:
    """The look that a record file tells of, as of this time; None for a record of another kind."""
    record = json.loads(path.read_text(encoding="utf-8"))
    evaluation = isinstance(record, dict) and record.get("kind", "evaluation") == "evaluation"
    return look(path.name, record) if evaluation else None


def look(file: str, record: dict) -> Look:
    """A record as a look. Of one whose seal is broken the numbers are not read."""
    about, weights = record["faces"], record["weights"]
    seen, learnt = int(weights.get("images", 0)), weights.get("data", {}).get("train", {})
    header = {"config": record["config"], "recipe": weights.get("recipe")}
    edited, spec = record.get("sha256") != digest(record), find_run(header)
    return Look(
        file=file, spec=spec if spec and seen <= spec.recipe.images else None,
        source="+".join(about["sources"]), faces=str(about["fingerprint"]), size=int(about["images"]),
        people=tuple(about["people"]) if about.get("people") else None, protocol=str(record["protocol"]["name"]),
        created=str(record["created"]), chosen=str(weights.get("chosen", "")), seen=seen, edited=edited,
        learnt=f"{int(learnt.get('images', 0)):,} faces ({', '.join(learnt.get('sources', []))})",
        samples={name: Sample(np.nan) if edited else sample(record, name) for name in record["means"]})


def sample(record: dict, name: str) -> Sample:
    """What a sealed record says of a metric; ValueError when it contradicts itself."""
    if name not in record["values"]:
        draws = record.get("draws", {}).get(name)
        return Sample(float(record["means"][name]["mean"]), draws=None if draws is None else np.array(draws, float))
    values = np.array(record["values"][name], dtype=float)
    if len(values) != record["faces"]["images"]:
        raise ValueError(f"{len(values)} values of {name} for {record['faces']['images']} images")
    return Sample(**summary(values, people=record["faces"].get("people")), values=values[None])


def doubt(look: Look, looks: list[Look]) -> tuple[str, str]:
    """Why a look must not be used: a status and a sentence; ("", "") if it may.

    `unproven`: the weights were chosen after weights of the same run had met these faces.
    """
    if look.edited:
        return "edited", f"{look.file} was edited after it was written: its seal does not fit, so it is not shown."
    first = min(other.created for other in looks
                if other is look or other.spec == look.spec and other.faces == look.faces)  # edited ones, too
    if look.spec and not "" < look.chosen <= first:
        when = f"chosen at {look.chosen}" if look.chosen else "chosen at an unknown time"
        return "unproven", f"{look.file}: its weights were {when}, the first look at these faces was at {first}."
    return "", ""


@dataclass(frozen=True)
class Evidence:
    """Looks at the same faces, by networks of one scale that learnt from the same faces.

    label: what the faces are. rows: row -> its looks, first ones first. Bicubic's are all looks at these faces.
    """

    label: str
    scale: str
    rows: dict[str, list[Look]] = field(default_factory=dict)

    def behind(self, row: str, metric: str) -> list[Look]:
        """The looks behind a cell: of every seed the first that has the metric, since a test set is looked at once."""
        looks = [look for look in self.rows.get(row, []) if named(row, metric) in look.samples]
        if row == BICUBIC:
            return looks[:1]
        first = {look.spec.seed: look for look in reversed(looks)}
        return [first[seed] for seed in sorted(first)]

    def networks(self) -> list[tuple[str, Look]]:
        """The looks behind the cells of PSNR, each with its row; without Bicubic's."""
        return [(row, look) for row in self.rows if row != BICUBIC for look in self.behind(row, "psnr")]

    def measure(self, row: str, metric: str) -> Sample | None:
        """The mean over faces and seeds; None when no record has it, or no image a value."""
        looks = self.behind(row, metric)
        if not looks:
            return None
        result = average([look.samples[named(row, metric)] for look in looks], looks[0].people)
        return None if np.isnan(result.mean) else result

    @property
    def trained(self) -> list[Look]:
        """The looks of networks."""
        return [look for row, looks in self.rows.items() for look in looks if row != BICUBIC]

    def source(self) -> str:
        """The faces in words."""
        one = next(iter(self.rows.values()))[0]
        people = f" of {len(set(one.people)):,} people" if one.people else ""
        return f"{one.source}, {one.size:,} {self.label}{people}"

    def training(self) -> str:
        """The networks' training in words."""
        if not (looks := self.trained):
            return ""
        budget = max(look.spec.recipe.images for look in looks)
        seen = " to ".join(f"{n:,}" for n in sorted({f([look.seen for look in looks]) for f in (min, max)}))
        chosen = f" (weights chosen after {seen})" if seen != f"{budget:,}" else ""
        seeds = sorted({look.spec.seed for look in looks})
        size = looks[0].spec.preset.partition("/")[0]
        game = " in the game, after the generator's own training" if looks[0].spec.start else ""
        return f"scale {self.scale} (size {size}), {budget:,} pictures of {looks[0].learnt} seen{game}{chosen}, " \
               f"{'seeds' if len(seeds) > 1 else 'seed'} {', '.join(map(str, seeds))}"


def named(row: str, metric: str) -> str:
    """A metric's name in a record."""
    return f"bicubic_{metric}" if row == BICUBIC else metric


def gather(number: int, rows: list[str], looks: list[Look], sound: list[Look],
           kinds: dict[str, str]) -> Evidence | None:
    """The best evidence for a table at faces of `kinds`: the paper's own kind before a stand-in, then the scale at
    which a row and its reference are there, then the most rows, then the largest scale. None if there is none.

    sound: the looks that may fill rows. Bicubic is the same in all `looks`.
    """
    labels = list(dict.fromkeys(kinds.values()))
    groups: dict[tuple[str, ...], Evidence] = {}
    for found in looks:
        served = [row for row in rows if found in sound and found.serves(number, row)]
        label, scale, learnt = kinds[kind(found.source)], *((found.spec.scale, found.learnt) if served else ("", ""))
        group = groups.setdefault((found.faces, label, scale, learnt), Evidence(label, scale))
        for row in served:
            group.rows.setdefault(row, []).append(found)
    for group in groups.values():
        for row in [row for row, looks in group.rows.items() if not enough(number, group.scale, looks)]:
            del group.rows[row]

    def worth(item: tuple[tuple[str, ...], Evidence]):
        group = item[1]
        return (bool(group.rows), -labels.index(group.label),
                any(reference(number, row) in group.rows for row in group.rows),
                len(group.rows), SCALES.index(group.scale) if group.scale else -1)

    if not groups:
        return None
    (faces, *_), best = max(groups.items(), key=worth)
    if BICUBIC in rows:
        best.rows[BICUBIC] = [found for found in looks if found.faces == faces]
    return best if best.rows else None


def enough(number: int, scale: str, looks: list[Look]) -> bool:
    """Whether a row has the trainings that its table asks for: differences between ablations are small."""
    return len({look.spec.seed for look in looks}) >= asked(number, scale)


def asked(number: int, scale: str) -> int:
    """How many trainings a row of a table needs."""
    return SEEDS[scale] if number <= LAST_ABLATION else 1


def kind(source: str) -> str:
    """A source as FACES names it: a file or folder without its suffix."""
    return source if ":" in source else Path(source).stem


def failed(group: Evidence, looks: list[Look]) -> list[str]:
    """A line on the networks, or generators of games, that hardly improve on bicubic: their places say nothing."""
    gains: dict[str, float] = {}
    for row, first in group.networks():
        name = row
        if first.spec.start:
            name = f"the generator of {row}"
            first = next((look for look in looks if look.spec and look.spec.name == first.spec.start
                          and look.faces == first.faces), None)
        if first and {"psnr", "bicubic_psnr"} <= first.samples.keys():
            gain = first.samples["psnr"].mean - first.samples["bicubic_psnr"].mean
            gains[name] = min(gain, gains.get(name, gain))
    worst = [f"{name} {gain:+.2f}" for name, gain in sorted(gains.items(), key=lambda item: item[1]) if gain < FAILED]
    return [f"Worse than bicubic in PSNR on these {group.label}, or better by less than {FAILED} dB, so that the "
            "training failed or was far too short, and the place says nothing of the method: "
            f"{', '.join(worst)}."] if worst else []


def changed(group: Evidence, gone: list[Look]) -> list[str]:
    """A line on the networks that were changed after a first look at these faces, and measured again. gone: the looks
    at them before, whose records were withdrawn."""
    found = [f"{row} {old.samples['psnr'].mean:.2f} dB" for row, look in group.networks() for old in gone
             if (old.spec, old.faces, old.protocol) == (look.spec, look.faces, look.protocol)]
    return [f"Second looks at these {group.label}, after a change to the network; at the first one "
            f"{', '.join(found)}."] if found else []


def few(number: int, rows: list[str], looks: list[Look]) -> list[str]:
    """A line on every row that has trainings, but not enough of them at any scale."""
    lines = []
    for row in rows:
        seeds: dict[str, set[int]] = {}
        for look in looks:
            if look.serves(number, row):
                seeds.setdefault(look.spec.scale, set()).add(look.spec.seed)
        if seeds and all(len(found) < asked(number, scale) for scale, found in seeds.items()):
            counts = ", ".join(f"{len(found)} of {asked(number, scale)} trainings at scale {scale}"
                               for scale, found in seeds.items())
            lines.append(f"{row} is pending: {counts}.")
    return lines
