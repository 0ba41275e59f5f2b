"""The paper's ten tables beside our own measurements: printed digits from data/published, ours from sealed records.

`table(1)` is Table I as data, one `Cell` for each row and metric; `format_table` makes it readable. A cell that no
record stands behind is "pending". One whose record was changed by hand is "edited", and one whose weights were chosen
after the first look at the test faces is "unproven": neither shows a number.
"""
from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

from ..errors import BadInput
from ..protocol import PROTOCOLS
from .comparison import Evidence, Look, Sample, asked, changed, difference, doubt, failed, few, gather, kind, read
from .published import BICUBIC, DATA, FACES, LAST_ABLATION, TABLES, place, published, reference
from .records import digest
from .runs import RunSpec, runs


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


# Samples: a metric's values, and what can be said of them.


# Looks: what the records tell.


# Evidence: the looks that may stand in the columns of one set of faces.


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

    from ..baselines.registry import build
    from ..ledger import thop_counted

    with torch.device("meta"):  # shapes without values: nothing is computed
        network = build(spec.config)
    if metric == "params_m":
        return sum(weight.numel() for weight in network.parameters()) / 1e6
    return thop_counted(network)[1] / 1e9


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


# For people.
