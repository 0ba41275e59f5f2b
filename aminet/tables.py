"""The paper's ten tables beside our own measurements: printed digits from data/published, ours from sealed records.

`table(1)` is Table I as data, one `Cell` for each row and metric; `format_table` makes it readable. A cell that no
record stands behind is "pending". One whose record was changed by hand is "edited", and one whose weights were chosen
after the first look at the test faces is "unproven": neither shows a number.
"""
from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass, field, fields
from decimal import Decimal
from functools import cache
from pathlib import Path
from textwrap import wrap

import numpy as np

from .errors import BadInput
from .evaluate import digest
from .protocol import PROTOCOLS, paired_difference, summary
from .reproduce import RunSpec, find_run, runs

DATA = Path(__file__).resolve().parent.parent / "data"
SCALES = ("mini", "pocket", "gpu", "short", "paper")  # rising; `smoke` measures nothing
LAST_ABLATION = 6  # Tables I to VI
FAILED = 0.2  # dB on bicubic: what gains less has hardly been trained (chosen by us, with the records of mini in view)
SEEDS = {"mini": 3, "pocket": 3, "gpu": 3, "short": 2, "paper": 1}  # behind a row of an ablation, at least
BICUBIC = "Bicubic"  # the row of Table VII that every record can fill

# Captions (arXiv 2409.00591), faces, and the row of the paper's own method, with which the others are compared.
TABLES = {
    1: ("Verify the effectiveness of LGFI (CelebA, x8)", "CelebA", "LGFI"),
    2: ("Quantitative comparison between LGFI and traditional Transformer (CelebA, x8)", "CelebA", "LGFI"),
    3: ("Performance and computational cost comparison between RDFE and FFN (CelebA, x8)", "CelebA", "RDFE"),
    4: ("Ablation study of our RDFE (CelebA, x8)", "CelebA", "RDFE"),
    5: ("Ablation study of our SKAF (CelebA, x8)", "CelebA", "5x5 7x7 avg max"),
    6: ("Ablation study of our EDFF (CelebA, x8)", "CelebA", "{} + EDFF"),
    7: ("Quantitative comparisons of ours and existing FSR methods for x8 FSR on CelebA and Helen test sets",
        "", "AMINet"),
    8: ("Quantitative comparison of ours with other GAN-based methods (Helen, x8)", "Helen", "AMIGAN (Ours)"),
    9: ("Comparisons of cosine similarity on x8 SCface", "SCface", "AMINet"),
    10: ("Comparisons of model complexity on x8 CelebA", "CelebA", "AMINet"),
}
ROMAN = dict(zip(TABLES, "I II III IV V VI VII VIII IX X".split()))
# What the paper measured on, and the sources of records that may stand beside it, best first, with what they are.
FACES = {
    "CelebA": ("1,000 CelebA faces, drawn by the authors (list unpublished)",
               {"celeba_test": "CelebA faces", "celeba:test": "CelebA faces", "celeba-identity:test": "CelebA faces"}),
    "Helen": ("Helen test faces (how many is not stated; 50 in its lineage)",
              {"helen:test": "Helen faces", "flickr_test": "Flickr portraits, not Helen"}),
    "SCface": ("SCface, surveillance cameras (the four cases are not explained)", {}),
}


@dataclass(frozen=True)
class Metric:
    """What a column holds. digits: after the point, for ours. higher: is better. count: of a network, without faces."""

    name: str
    digits: int
    higher: bool = True
    count: bool = False


METRICS = {
    "psnr": Metric("PSNR, dB", 2), "ssim": Metric("SSIM", 4), "vif": Metric("VIF", 4),
    "lpips": Metric("LPIPS", 4, higher=False), "fid": Metric("FID", 2, higher=False),
    **{f"cosine_case{i}": Metric(f"case {i}", 4) for i in (1, 2, 3, 4)},
    "params_m": Metric("params, M", 3, higher=False, count=True),
    "macs_g": Metric("MACs, G", 2, higher=False, count=True),
    "speed_ms": Metric("speed, ms", 0, higher=False, count=True),
}


@dataclass(frozen=True)
class Cell:
    """One number of a table: the paper's and ours.

    row, column: as in data/published. metric: a key of METRICS. faces: a key of FACES, "" for a count.
    published: the digits as printed.
    status: `measured` (over faces and seeds), `counted` (exactly, by aminet.ledger), `pending`, `edited`, `unproven`.
    ours, low, high: our number and its 95 % interval over faces, and seeds if there are several; a count has none.
    minus_published: ours - published. No test: other faces, another training. None where ours is a stand-in.
    reference: the row of the paper's own method, "" in that row. The three differences are this row - reference:
    as printed, and ours with its paired 95 % interval.
    on, scale, seeds: what ours was measured on, in words, and the runs behind it. records: their files.
    """

    row: str
    column: str
    metric: str
    faces: str
    published: str
    status: str
    on: str = ""
    scale: str = ""
    ours: float | None = None
    low: float | None = None
    high: float | None = None
    minus_published: float | None = None
    reference: str = ""
    published_difference: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    seeds: tuple[int, ...] = ()
    records: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    cells: row by row, as printed. sources, trainings: by the paper's faces, what ours are measured on, and how the
    networks were trained, in words. notes: what a reader must know of the records. runs: those that would fill pending
    cells, as `reproduce` calls them.
    """

    number: int
    caption: str
    protocol: str
    cells: list[Cell]
    sources: dict[str, str]
    trainings: dict[str, str]
    notes: list[str]
    runs: list[str]


def published(number: int) -> list[dict[str, str]]:
    """The rows of a published table, {"table", "row", column: digits as printed}; BadInput for no such table."""
    if number not in TABLES:
        raise BadInput(f"the paper has no Table {number}: choose 1 to {len(TABLES)}")
    with open(DATA / "published" / f"table_{number:02d}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def place(number: int, column: str) -> tuple[str, str]:
    """A column's metric, and the faces that it was measured on, "" for a count."""
    for prefix, faces in (("celeba_", "CelebA"), ("helen_", "Helen")):
        if column.startswith(prefix):
            return column.removeprefix(prefix), faces
    return column, "" if METRICS[column].count else TABLES[number][1]


def reference(number: int, row: str) -> str:
    """The row that a row is compared with: the paper's own method, "" for that row itself."""
    own = TABLES[number][2].format(row.removesuffix(" + EDFF"))
    return "" if row == own else own


# Samples: a metric's values, and what can be said of them.


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


# Looks: what the records tell.


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


# Evidence: the looks that may stand in the columns of one set of faces.


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


def planned(number: int, row: str) -> RunSpec | None:
    """The run of a row's network at the paper's size; None for Bicubic."""
    return next((spec for spec in runs("paper") if (number, row) in spec.rows), None)


def timed(number: int, row: str, times: dict[str, float]) -> float | None:
    """Milliseconds of a row's network, of `speeds`."""
    spec = planned(number, row)
    return times.get(json.dumps(spec.config.to_dict())) if spec else None


@cache
def count(number: int, row: str, metric: str) -> float | None:
    """A row's network at the paper's size: its parameters in millions, or its MACs in billions by thop, which the paper
    counted with. None for Bicubic."""
    if (spec := planned(number, row)) is None:
        return None
    import torch

    from .ledger import thop_counted
    from .networks import build

    with torch.device("meta"):  # shapes without values: nothing is computed
        network = build(spec.config)
    if metric == "params_m":
        return sum(weight.numel() for weight in network.parameters()) / 1e6
    return thop_counted(network)[1] / 1e9


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


def table(number: int, records: str | Path = DATA / "records", protocol: str = "paper") -> Table:
    """A table of the paper, with what the records in a folder can say to it.

    The columns of one set of faces hold one scale and the same faces (see `gather`). A row of an ablation needs the
    trainings that SEEDS asks for, else it is pending. protocol: that of our numbers. Raises BadInput for no such table,
    protocol or folder. A broken record costs its own cells, and is noted.
    """
    printed = {row["row"]: row for row in published(number)}
    if protocol not in PROTOCOLS:
        raise BadInput(f"unknown protocol {protocol!r}: choose one of {', '.join(PROTOCOLS)}")
    every, notes = read(records)
    gone = read(folder)[0] if (folder := Path(records) / "withdrawn").is_dir() else []
    columns = {column: place(number, column) for column in list(next(iter(printed.values())))[2:]}
    evidence, doubts, sound, (times, where, sitting) = {}, {}, {}, speeds(records)
    for faces in dict.fromkeys(faces for _, faces in columns.values() if faces):
        kinds = FACES[faces][1]
        looks = [look for look in every if kind(look.source) in kinds and look.protocol == protocol]
        doubts[faces] = [(look, *why) for look in looks if (why := doubt(look, every))[0]]
        sound[faces] = [look for look in looks if look not in [doubtful for doubtful, *_ in doubts[faces]]]
        whole = [look for look in looks if not look.edited]
        evidence[faces] = gather(number, list(printed), whole, sound[faces], kinds)
        notes += [why for look, _, why in doubts[faces]
                  if not look.spec or any(look.serves(number, row) for row in printed)]
        notes += few(number, list(printed), sound[faces])
        if group := evidence[faces]:
            notes += failed(group, sound[faces]) + changed(group, gone)
        if smoke := [look.file for look in sound[faces] if look.spec and look.spec.scale == "smoke"
                     and any((number, row) in look.spec.rows for row in printed)]:
            notes.append(f"Of scale smoke, whose numbers mean nothing, and not shown: {', '.join(smoke)}.")

    def ours(row: str, column: str) -> Sample | None:
        metric, faces = columns[column]
        if not faces:
            value = timed(number, row, times) if metric == "speed_ms" else count(number, row, metric)
            return None if value is None else Sample(value)
        return evidence[faces].measure(row, metric) if evidence[faces] else None

    samples = {(row, column): ours(row, column) for row in printed for column in columns}
    cells = []
    for (row, column), value in samples.items():
        metric, faces = columns[column]
        digits, own, group = printed[row][column], reference(number, row), evidence.get(faces)
        about = dict(row=row, column=column, metric=metric, faces=faces, published=digits, reference=own)
        if own:
            about["published_difference"] = float(Decimal(digits) - Decimal(printed[own][column]))
        if value is None:
            status = next((status for look, status, _ in doubts.get(faces, [])
                           if look.serves(number, row) and metric in look.samples), "pending")
            cells.append(Cell(**about, status=status))
            continue
        about |= dict(status="counted", ours=value.mean, low=value.low, high=value.high)
        if group or metric == "speed_ms":
            about["status"] = "measured"
        if metric == "speed_ms":  # another machine
            about |= dict(on=where, records=(sitting,))
        elif not group or group.label == next(iter(FACES[faces][1].values())):
            about["minus_published"] = value.mean - float(digits)
        if own and (other := samples[own, column]):
            gap = difference(value, other, group.behind(row, metric)[0].people if group else None)
            about |= dict(difference=gap.mean, difference_low=gap.low, difference_high=gap.high)
        if group:
            looks = group.behind(row, metric)
            about |= dict(on=group.label, scale=group.scale, records=tuple(look.file for look in looks),
                          seeds=tuple(look.spec.seed for look in looks if row != BICUBIC))
        cells.append(Cell(**about))
    found = {faces: group for faces, group in evidence.items() if group}
    missing, lacking = wanted(number, cells, found, sound)
    return Table(
        number, TABLES[number][0], protocol, cells, {faces: group.source() for faces, group in found.items()},
        {faces: text for faces, group in found.items() if (text := group.training())}, notes + lacking, missing)


def speeds(folder: str | Path) -> tuple[dict[str, float], str, str]:
    """Milliseconds of one face, by configuration as JSON, as `bench --all` recorded them at the paper's size in one
    sitting, the machine in words, and the file; a GPU's before a CPU's, the newest."""
    found = []
    for path in Path(folder).glob("speeds-*.json"):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["sha256"] == digest(record) and record["preset"] == "aminet":
                host = record["machine"]
                where = f"{host.get('gpu', host['cpu'])}, {host['threads']} threads"
                found.append((record["device"] == "cuda", record["created"], path.name, where, {
                    json.dumps(row["config"]): 1e3 * row["seconds"] for row in record["rows"]}))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a broken record costs its own cells
    if not found:
        return {}, "", ""
    *_, file, where, times = max(found, key=lambda each: each[:2])
    return times, where, file


def wanted(number: int, cells: list[Cell], evidence: dict[str, Evidence],
           sound: dict[str, list[Look]]) -> tuple[list[str], list[str]]:
    """The runs that would fill pending cells, at the scale of the others (without others, `mini` for an ablation, else
    `pocket`), without those that have a look at these faces; and a line for every record that lacks a metric."""
    names, lacking = {}, {}
    for cell in cells:
        if cell.status != "pending" or not cell.faces or not FACES[cell.faces][1]:
            continue
        group = evidence.get(cell.faces)
        if group and cell.row in group.rows:
            lacking.setdefault(group.rows[cell.row][0].file, {})[cell.metric] = None
        else:
            scale = group.scale if group and group.scale else "mini" if number <= LAST_ABLATION else "pocket"
            found = [spec for spec in runs(scale) if (number, cell.row) in spec.rows][:asked(number, scale)]
            known = [look.spec for look in sound[cell.faces]]
            names |= dict.fromkeys(spec.name for spec in found if spec not in known)
    return list(names), [
        f"{file} has no {', '.join(metrics)}: its own command with --metrics {' '.join(metrics)} adds it."
        for file, metrics in lacking.items()]


def csv_table(table: Table) -> str:
    """The cells as CSV, one line each; seeds and records are separated by spaces."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["table", *(column.name for column in fields(Cell))], lineterminator="\n")
    writer.writeheader()
    for cell in table.cells:
        several = {name: " ".join(map(str, getattr(cell, name))) for name in ("seeds", "records")}
        writer.writerow({"table": table.number} | asdict(cell) | several)
    return text.getvalue()


# For people.


def format_table(table: Table, width: int = 120) -> str:
    """The table as printed with ours beside every number, then each of ours with its interval, then what is missing."""
    lines = [f"Table {ROMAN[table.number]}. {table.caption}."]
    for faces in dict.fromkeys(cell.faces for cell in table.cells if cell.faces):
        ours = f"ours on {table.sources[faces]}" if faces in table.sources else "ours pending"
        lines.append(f"The paper's on {FACES[faces][0]}; {ours}.")
    lines += [f"Ours: {text}." for text in dict.fromkeys(table.trainings.values())]
    if table.sources:
        smaller = ", a smaller network" if any(cell.scale in ("mini", "pocket") for cell in table.cells) else ""
        lines.append(f"Ours has other faces{smaller} and another training: ours - paper is a distance, not a test.")
    lines = [part for line in lines for part in wrap(line, width)]
    blocks: dict[str, list[Cell]] = {}
    for cell in table.cells:
        blocks.setdefault(cell.faces if cell.metric != cell.column else "", []).append(cell)
    for faces, cells in blocks.items():
        on = next((cell.on for cell in cells if cell.on), "pending")
        lines += ["", *([f"Paper: {faces}. Ours: {on}."] if faces else []), *side_by_side(cells, width)]
    for cells in blocks.values():
        if any(cell.ours is not None for cell in cells):
            lines += ["", *in_detail(table.number, cells)]
    return "\n".join([*lines, "", *legend(table, width)])


def side_by_side(cells: list[Cell], width: int) -> list[str]:
    """The paper's and ours, a line for each row; metrics that do not fit beside the others go below them."""
    parts = [left(["", "", *dict.fromkeys(cell.row for cell in cells)])]
    for column in dict.fromkeys(cell.column for cell in cells):
        own = [cell for cell in cells if cell.column == column]
        printed = right(["paper", *(cell.published for cell in own)])
        ours = right(["ours", *(cell.status if cell.ours is None else number(cell, cell.ours) for cell in own)])
        parts.append(right([METRICS[own[0].metric].name, *map("  ".join, zip(printed, ours))]))
    names, lines = parts.pop(0), []
    while parts:
        taken = [names, parts.pop(0)]
        while parts and sum(len(part[0]) + 3 for part in (*taken, parts[0])) - 3 <= width:
            taken.append(parts.pop(0))
        lines += [*([""] if lines else []), *("   ".join(line).rstrip() for line in zip(*taken))]
    return lines


def in_detail(number_: int, cells: list[Cell]) -> list[str]:
    """Every number of ours with its interval, and its difference to the reference row, the paper's and ours."""
    shown = [cell for column in dict.fromkeys(cell.column for cell in cells) for cell in cells
             if cell.column == column and cell.ours is not None]
    on = ", ".join(dict.fromkeys(cell.on for cell in shown if cell.on))
    own = {5: "last row", 6: "EDFF"}.get(number_, TABLES[number_][2])

    def signed(cell: Cell, value: float | None) -> str:
        return "" if value is None else number(cell, value, "+")

    columns = [
        left(["", *(METRICS[cell.metric].name for cell in shown)]),
        left(["", *(cell.row for cell in shown)]),
        right(["ours", *(number(cell, cell.ours) for cell in shown)]),
        left(["[95 %]", *(interval(cell, cell.low, cell.high) for cell in shown)]),
        right(["ours - paper", *(signed(cell, cell.minus_published) for cell in shown)]),
        right([f"minus {own}: paper", *(signed(cell, cell.published_difference) for cell in shown)]),
        right(["ours", *(signed(cell, cell.difference) for cell in shown)]),
        left(["[95 %, paired]", *(interval(cell, cell.difference_low, cell.difference_high, "+") for cell in shown)])]
    if len({cell.seeds for cell in shown}) > 1:  # else the line on the training names them
        columns.append(left(["seeds", *(" ".join(map(str, cell.seeds)) for cell in shown)]))
    return [f"Ours{' on ' + on if on else ''}, in detail:", *("  ".join(line).rstrip() for line in zip(*columns))]


def legend(table: Table, width: int) -> list[str]:
    """Which way is better, what the words mean, and how to get what is missing."""
    used = {cell.metric: METRICS[cell.metric] for cell in table.cells}
    better = ["{} is better: {}".format(way, ", ".join(names)) for way, higher in (("Higher", True), ("lower", False))
              if (names := [metric.name.split(",")[0] for metric in used.values() if metric.higher == higher])]
    statuses = {cell.status for cell in table.cells}
    lines = [f"{'; '.join(better)}. Our protocol: {table.protocol}."]
    if "measured" in statuses:
        lines.append("Intervals: 95 %, bootstrap over people where they are known, else over faces; with several seeds "
                     "over seeds, too, and of few seeds too narrow. With one seed they say nothing of other trainings.")
        counts = {len(cell.seeds) for cell in table.cells if cell.seeds}
        if min(counts, default=1) == 1 < max(counts, default=1):
            lines.append("Where one of two rows was trained once, only the other's trainings are drawn: their paired "
                         "interval is far too narrow.")
    if "counted" in statuses:
        lines.append("Our params and MACs are of the network at the paper's size; MACs by thop, the paper's counter.")
    if any(cell.metric == "speed_ms" and cell.on for cell in table.cells):
        lines.append("Our speed: the network at the paper's size, one face, eager.")
    for status, meaning in (("pending", "no training stands behind it, or fewer than its scale asks for"),
                            ("edited", "its record was changed by hand"),
                            ("unproven", "the weights were chosen after a first look at the test faces")):
        if status in statuses:
            lines.append(f"{status}: {meaning}.")
    lines += [f"Note: {note}" for note in table.notes]
    if not all(FACES[cell.faces][1] for cell in table.cells if cell.faces):
        lines.append("Not built here: face recognition on SCface.")
    lines = [part for line in lines for part in wrap(line, width, subsequent_indent="  ")]
    if table.runs:
        lines += [*wrap(f"To be run: {', '.join(table.runs)}; for example", width, break_on_hyphens=False),
                  f"  python -m aminet reproduce --scale {table.runs[0].split('-')[-2]} --only {table.runs[0]}"]
    return lines


def number(cell: Cell, value: float, sign: str = "") -> str:
    """A value with the digits of its metric."""
    return f"{value:{sign}.{METRICS[cell.metric].digits}f}"


def interval(cell: Cell, low: float | None, high: float | None, sign: str = "") -> str:
    return "" if low is None or high is None else f"[{number(cell, low, sign)}, {number(cell, high, sign)}]"


def left(cells: list[str]) -> list[str]:
    width = max(map(len, cells))
    return [cell.ljust(width) for cell in cells]


def right(cells: list[str]) -> list[str]:
    width = max(map(len, cells))
    return [cell.rjust(width) for cell in cells]
