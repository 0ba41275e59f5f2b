"""Records as measurements, and which of them may be compared: the same faces, one scale, the same training faces."""
from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadInput, printable
from ..files import check_shape, read_json
from ..metrics.statistics import paired_difference, student_interval, summary
from .published import FACES, PREFIX, SCALES, reference, source_name, trainings_needed
from .records import FIRST_LOOK, SHAPES, digest
from .runs import RunSpec, find_run, runs

UNLISTED = RunSpec("", "", "", 0, (), "", {"images": 0})  # the run of a measurement that belongs to none of the list
STUDENT = 3  # trainings: of fewer the spread is not known, and Student's interval is infinite or wider than the table
FAILED = 0.2  # dB on bicubic: what gains less has hardly been trained (chosen by us, with the records of mini in view)


@dataclass(frozen=True)
class Sample:
    """A metric on one set of faces: its mean with the 95 % interval, and what a difference is paired by.

    The interval of STUDENT or more trainings is Student's over them; of fewer it is the bootstrap's over people and
    trainings. values: (S, N) of S trainings on N images. draws: of the bootstrap, for FID. They are biased, so that
    only differences have an interval.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    values: Any = None
    draws: Any = None


def average(samples: list[Sample], people=None) -> Sample:
    """Return the average of several trainings on the same faces; FID is averaged draw by draw."""
    if len(samples) == 1:
        return samples[0]
    if all(sample.values is not None for sample in samples):
        values = np.concatenate([sample.values for sample in samples])
        return Sample(**over_trainings(values) or summary(values, people=people), values=values)
    shapes = {None if sample.draws is None else sample.draws.shape for sample in samples}
    draws = np.mean([sample.draws for sample in samples], axis=0) if None not in shapes and len(shapes) == 1 else None
    return Sample(float(np.mean([sample.mean for sample in samples])), draws=draws)


def over_trainings(values: np.ndarray) -> dict[str, float] | None:
    """Return the mean of (S, N) values with Student's interval over the trainings; None for fewer than STUDENT, and if
    an image has no finite value."""
    return student_interval(values.mean(axis=1)) if len(values) >= STUDENT and np.isfinite(values).all() else None


def gap_of(a: Sample, b: Sample, people=None) -> Sample:
    """Return a - b on the same faces, with its paired 95 % interval if both have values or draws; see `Sample`."""
    if a.values is not None and b.values is not None:
        paired = len(a.values) == len(b.values)  # equal seeds see the same pictures in the same order
        gap = paired and over_trainings(a.values - b.values) or paired_difference(a.values, b.values, people=people)
        return Sample(gap["mean"], gap["low"], gap["high"])
    if a.draws is None or b.draws is None or a.draws.shape != b.draws.shape:
        return Sample(a.mean - b.mean)
    low, high = np.quantile(a.draws - b.draws, (0.025, 0.975))
    return Sample(a.mean - b.mean, float(low), float(high))


@dataclass(frozen=True, eq=False)
class Measurement:
    """A record: one network on one set of faces under one protocol.

    spec: the run that it belongs to, or UNLISTED. faces: the fingerprint and number of `size` faces, of these people.
    created: when it first looked at them. chosen: when validation chose the weights, after `seen` pictures of what they
    `learnt` from. samples: the sealed numbers by the record's metric, `bicubic_psnr` among them.
    """

    file: str
    record: dict = field(repr=False)
    spec: RunSpec
    source: str
    faces: str
    size: int
    people: list[int] | None
    protocol: str
    created: str
    chosen: str
    seen: int
    learnt: str
    samples: dict[str, Sample]

    @cached_property
    def edited(self) -> bool:
        """Whether it was changed by hand, so that its seal is broken. Checked when asked for: it takes a while."""
        return self.record.get("sha256") != digest(self.record)

    def row(self, number: int) -> str:
        """Return the row of a table that its run stands behind, "" if none."""
        return dict(self.spec.rows).get(number, "") if self.spec.scale in SCALES else ""


def load_measurements(folder: str | Path) -> tuple[list[Measurement], list[str]]:
    """Return the measurements that the records in a folder hold, first ones first, and a note on each broken file.

    Records of another kind are passed over. Raises BadInput when there is no such folder.
    """
    if not Path(folder).is_dir():
        raise BadInput(f"no folder {folder}: give the one that holds the records with --records")
    measurements, notes = [], []
    for path in sorted(Path(folder).glob("*.json")):
        try:
            measurements.append(read_measurement(path, path.stat().st_mtime_ns))
        except (BadInput, OSError) as error:
            notes.append(f"{printable(path.name)} is no whole record and is left out: {error}.")
    return sorted(filter(None, measurements), key=lambda measurement: measurement.created), notes


@cache
def read_measurement(path: Path, mtime: int) -> Measurement | None:
    """Return a record as a measurement, None for one of another kind; BadInput when it is not whole."""
    record = read_json(path)
    evaluated = isinstance(record, dict) and record.get("kind", "evaluation") == "evaluation"
    return parse_record(path.name, record) if evaluated else None


def samples_of(record: dict) -> dict[str, Sample]:
    """Return a record's numbers by metric; ValueError, TypeError or OverflowError if parts do not fit."""
    check_shape(record, SHAPES["evaluation"], "it")
    faces, draws, samples = record["faces"], record.get("draws", {}), {}
    if "people" in faces and len(faces["people"]) != faces["images"]:
        raise ValueError(f"{len(faces['people'])} people for {faces['images']} images")
    for name, sealed in record["means"].items():
        mean, *ends = (np.nan if sealed[part] is None else float(sealed[part])
                       for part in ("mean", "low", "high") if part in sealed)
        values = np.array([record["values"][name]], float) if name in record["values"] else None
        if values is not None and values.shape != (1, faces["images"]):
            raise ValueError(f"{values.size} values of {name} for {faces['images']} images")
        if values is not None and np.isfinite(mean) and not abs(np.mean(values[~np.isnan(values)]) - mean) < 1e-3:
            raise ValueError(f"the mean of {name} is not that of its values")
        drawn = np.array(draws[name], float) if name in draws else None
        if drawn is not None and (drawn.ndim != 1 or not drawn.size):
            raise ValueError(f"the draws of {name} are no list of numbers")
        samples[name] = Sample(mean, *ends, values=values, draws=drawn)
    return samples


def parse_record(file: str, record: dict) -> Measurement:
    """Return a record as a measurement; BadInput when it is not whole. Of an edited one as much as possible is kept:
    its first look still counts."""
    check_shape(record, FIRST_LOOK, "it")
    faces, weights = record["faces"], record["weights"]
    try:
        samples = samples_of(record)
    except (ValueError, TypeError, OverflowError) as error:
        if record.get("sha256") == digest(record):
            raise BadInput(str(error)) from error
        samples = {}
    seen, learnt = weights.get("images", 0), weights.get("data", {}).get("train", {})
    spec = find_run(weights | {"config": record["config"]}) or UNLISTED
    return Measurement(
        file, record, spec if seen <= spec.images else UNLISTED, printable("+".join(faces["sources"])),
        f"{faces['fingerprint']} {faces['images']}", faces["images"], faces.get("people"), record["protocol"]["name"],
        record["created"], weights.get("chosen", ""), seen,
        printable(f"{learnt.get('images', 0):,} faces ({', '.join(learnt.get('sources', []))})"), samples)


def reason_to_exclude(one: Measurement, measurements: list[Measurement]) -> tuple[str, str]:
    """Return why a measurement must not be used, a status and a sentence; ("", "") if it may.

    `unproven`: the weights were chosen after weights of the same run had met these faces, in any of `measurements`.
    """
    if one.edited:
        return "edited", f"{one.file} was edited after it was written: its seal does not fit, so it is not shown."
    first = min(other.created for other in measurements
                if other is one or other.spec == one.spec and other.faces == one.faces)  # edited ones, too
    if one.spec != UNLISTED and not "" < one.chosen <= first:
        when = f"chosen at {one.chosen}" if one.chosen else "chosen at an unknown time"
        return "unproven", f"{one.file}: its weights were {when}, the first look at these faces was at {first}."
    return "", ""


@dataclass
class Comparison:
    """Measurements on the same faces, of networks of one scale that learnt from the same faces.

    number: of the table. label: what the faces are. rows: each with its measurements, first ones first; those of
    PREFIX are all on these faces. sound: the measurements that may be used, at any scale. excluded: the others, each
    with a status and a sentence.
    """

    number: int
    label: str = ""
    scale: str = ""
    rows: dict[str, list[Measurement]] = field(default_factory=dict)
    sound: list[Measurement] = field(default_factory=list)
    excluded: list[tuple[Measurement, str, str]] = field(default_factory=list)

    def behind(self, row: str, metric: str) -> list[tuple[Measurement, Sample]]:
        """Return the measurements behind a cell, of every seed the first, since a test set is looked at once."""
        name = PREFIX.get(row, "") + metric
        first: dict[int, Measurement] = {}
        for one in self.rows.get(row, []):
            seed = 0 if row in PREFIX else one.spec.seed
            if seed not in first and name in one.samples and not one.edited:
                first[seed] = one
        return [(one, one.samples[name]) for _, one in sorted(first.items())]

    def networks(self) -> list[tuple[str, Measurement]]:
        """Return the measurements behind the cells of PSNR, each with its row; without Bicubic's."""
        return [(row, one) for row in self.rows if row not in PREFIX for one, _ in self.behind(row, "psnr")]

    def status(self, row: str, metric: str) -> str:
        """Return why a cell has no number of ours."""
        for one, status, _ in self.excluded:
            names = one.samples or one.record.get("means")
            if one.row(self.number) == row and (not isinstance(names, dict) or metric in names):
                return status
        return "pending"

    def source(self) -> str:
        """Return the faces in words."""
        one = next(one for one in next(iter(self.rows.values())) if not one.edited)
        people = f" of {len(set(one.people)):,} people" if one.people else ""
        return f"{one.source}, {one.size:,} {self.label}{people}"

    def training(self) -> str:
        """Return the networks' training in words; "" without networks."""
        trained = [one for row, measurements in self.rows.items() if row not in PREFIX for one in measurements]
        if not trained:
            return ""
        spec, budget = trained[0].spec, f"{max(one.spec.images for one in trained):,}"
        numbers = [one.seen for one in trained]
        seen = " to ".join(dict.fromkeys(f"{number:,}" for number in (min(numbers), max(numbers))))
        game = " in the game, after the generator's own training" if spec.start else ""
        chosen = f" (weights chosen after {seen})" if seen != budget else ""
        if spec.block:
            steps = ", ".join(f"{lr:g}" for lr in spec.lrs)
            game = f", from bicubic, each with the best on validation of the step sizes {steps}"
        seeds = sorted(({one.spec.seed for one in rows} for row, rows in self.rows.items() if row not in PREFIX),
                       key=len)
        more = " (of some rows more)" * (len(seeds[-1]) > len(seeds[0]))
        return (f"scale {self.scale} (size {spec.preset.partition('/')[0]}), {budget} pictures of {trained[0].learnt} "
                f"seen{game}{chosen}, seed{'s' * (len(seeds[0]) > 1)} {', '.join(map(str, sorted(seeds[0])))}{more}")


def best_comparison(number: int, rows: list[str], faces: str, measurements: list[Measurement], protocol: str,
                    block: str = "") -> Comparison:
    """Return the comparison that says most on a table's columns of one set of faces; without rows if there is none.

    The paper's own kind of faces goes before a stand-in, then comes the scale at which a row and its reference are
    there, then the most rows, then the largest scale. A row without the trainings that it needs does not count.
    block: as in `RunSpec`.
    """
    labels = FACES[faces][1]
    here = [one for one in measurements if source_name(one.source) in labels and one.protocol == protocol]
    served = [spec for spec in runs() if number in dict(spec.rows) and spec.block == block]
    names = {UNLISTED.name, *(name for spec in served for name in (spec.name, spec.start))}  # others need no check
    reasons = [(one, *reason_to_exclude(one, measurements)) for one in here if one.spec.name in names]
    sound = [one for one, status, _ in reasons if not status]
    best = max(comparisons(number, sound, labels), key=lambda candidate: rank(candidate, labels),
               default=Comparison(number))
    best.sound, best.excluded = sound, [reason for reason in reasons if reason[1]]
    if baselines := [row for row in rows if row in PREFIX]:
        add_baselines(best, here, labels, baselines)
    return best


def rank(comparison: Comparison, labels: dict[str, str]) -> tuple[int, bool, int, int]:
    """Return how much a comparison says, to be compared with others."""
    has_pair = any(reference(comparison.number, row) in comparison.rows for row in comparison.rows)
    return (-list(labels.values()).index(comparison.label), has_pair, len(comparison.rows),
            SCALES.index(comparison.scale))


def comparisons(number: int, sound: list[Measurement], labels: dict[str, str]) -> list[Comparison]:
    """Return every comparison of a table's rows."""
    groups: dict[tuple[str, ...], Comparison] = {}
    for one in sound:
        if row := one.row(number):
            key = labels[source_name(one.source)], one.spec.scale, one.faces, one.learnt
            groups.setdefault(key, Comparison(number, *key[:2])).rows.setdefault(row, []).append(one)
    for group in groups.values():
        group.rows = {row: trained for row, trained in group.rows.items()
                      if len({one.spec.seed for one in trained}) >= trainings_needed(number, group.scale)}
    return [group for group in groups.values() if group.rows]


def add_baselines(comparison: Comparison, here: list[Measurement], labels: dict[str, str], rows: list[str]) -> None:
    """Add rows that are in every record: on the networks' faces, else on the paper's kind if there."""
    candidates = next(iter(comparison.rows.values()), None) or [one for one in here if not one.edited]
    if candidates:
        first = min(candidates, key=lambda one: list(labels.values()).index(labels[source_name(one.source)]))
        comparison.label = labels[source_name(first.source)]
        comparison.rows |= dict.fromkeys(rows, [one for one in here if one.faces == first.faces])


def notes_on(comparison: Comparison, rows: list[str], withdrawn: list[Measurement]) -> list[str]:
    """Return what a reader of a table's columns must know of the measurements.

    withdrawn: measurements whose networks were changed later, and whose records were taken out.
    """
    number = comparison.number
    notes = [sentence for one, _, sentence in comparison.excluded if one.spec == UNLISTED or one.row(number)]
    notes += missing_trainings(comparison, rows)
    if failed := failed_trainings(comparison):
        notes.append(f"Worse than bicubic in PSNR on these {comparison.label}, or better by less than {FAILED} dB, so "
                     "that the training failed or was far too short, and the place says nothing of the method: "
                     f"{', '.join(failed)}.")
    earlier = [f"{row} {old.samples['psnr'].mean:.2f} dB" for row, one in comparison.networks() for old in withdrawn
               if (old.spec, old.faces, old.protocol) == (one.spec, one.faces, one.protocol)
               and not old.edited and "psnr" in old.samples]
    if earlier:
        block = ", from bicubic" * bool(comparison.networks()[0][1].spec.block)
        notes.append(f"Second looks at these {comparison.label}{block}, after a change to the network; at the first "
                     f"one {', '.join(earlier)}.")
    if smoke := [one.file for one in comparison.sound if one.spec.scale == "smoke" and number in dict(one.spec.rows)]:
        notes.append(f"Of scale smoke, whose numbers mean nothing, and not shown: {', '.join(smoke)}.")
    return notes


def failed_trainings(comparison: Comparison) -> list[str]:
    """Return the networks, or generators of games, that hardly improve on bicubic in PSNR, the worst first."""
    gains: dict[str, float] = {}
    for row, one in comparison.networks():
        name = f"the generator of {row}" if one.spec.start else row
        if one.spec.start:
            one = next((other for other in comparison.sound
                        if (other.spec.name, other.faces) == (one.spec.start, one.faces)), None)
        if one and {"psnr", "bicubic_psnr"} <= one.samples.keys():
            gain = one.samples["psnr"].mean - one.samples["bicubic_psnr"].mean
            gains[name] = min(gain, gains.get(name, gain))
    return [f"{name} {gains[name]:+.2f}" for name in sorted(gains, key=gains.__getitem__) if gains[name] < FAILED]


def missing_trainings(comparison: Comparison, rows: list[str]) -> list[str]:
    """Return a line on every row that has trainings, but not enough of them at any scale."""
    lines = []
    for row in rows:
        seeds: dict[str, set[int]] = {}
        for one in comparison.sound:
            if one.row(comparison.number) == row:
                seeds.setdefault(one.spec.scale, set()).add(one.spec.seed)
        counts = [f"{len(trained)} of {needed} trainings at scale {scale}" for scale, trained in seeds.items()
                  if len(trained) < (needed := trainings_needed(comparison.number, scale))]
        if seeds and len(counts) == len(seeds):
            lines.append(f"{row} is pending: {', '.join(counts)}.")
    return lines
