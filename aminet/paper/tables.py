"""The paper's ten tables beside our own measurements: printed digits from data/published, ours from sealed records.

`table(1)` is Table I as data, one `Cell` for each row and metric. A cell that no record stands behind is "pending". One
whose record was changed by hand is "edited", and one whose weights were chosen after the first look at the test faces
is "unproven": neither shows a number.
"""
from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from math import isnan
from pathlib import Path

from ..errors import BadInput
from ..files import DATA, IN_CLONE
from . import published as paper
from .comparison import Comparison, Measurement, Sample, average, best_comparison, gap_of, load_measurements, notes_on
from .records import read_record
from .runs import COMPARISONS, FROM_BICUBIC, RunSpec, runs

RECORDS = DATA / "records"


@dataclass(frozen=True)
class Cell:
    """One number of a table: the paper's and ours.

    row, column: as in data/published. metric: a key of COLUMNS. faces: a key of FACES, "" for a count.
    published: the digits as printed; "" in what stands BESIDE the paper's.
    status: `measured` (over faces and seeds), `counted` (exactly, by aminet.ledger), `pending`, `edited`, `unproven`.
    ours, low, high: our number and its 95 % interval over faces, and seeds if there are several; a count has none.
    minus_published: ours - published. No test: other faces, another training. None where ours is a stand-in.
    reference: the row of the paper's own method, "" in that row. The three differences are this row - reference:
    as printed, and ours with its paired 95 % interval.
    on, scale, seeds: what ours was measured on, in words, and the runs behind it. records: their files.
    block: "", with the methods' own start, or FROM_BICUBIC: the same methods from the bicubic face (see `RunSpec`).
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
    block: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    cells: row by row, as printed. sources: by the paper's faces, what ours are measured on, in words. trainings: by
    faces and block, how the networks were trained. notes: what a reader must know of the records. runs: those that
    would fill pending cells, as `reproduce` calls them. from_bicubic: the cells on faces again, of the second block;
    of the tables of COMPARISONS alone.
    """

    number: int
    caption: str
    protocol: str
    cells: list[Cell]
    sources: dict[str, str]
    trainings: dict[str, str]
    notes: list[str]
    runs: list[str]
    from_bicubic: list[Cell] = field(default_factory=list)


def planned(number: int, row: str) -> RunSpec | None:
    """Return the run of a row's network at the paper's size; None for Bicubic."""
    return next((spec for spec in runs("paper") if (number, row) in spec.rows), None)


def timed(number: int, row: str, milliseconds: dict[str, float]) -> float | None:
    """Return the milliseconds of a row's network, of `speeds`; None if it was not measured."""
    spec = planned(number, row)
    return milliseconds.get(json.dumps(spec.config.to_dict())) if spec else None


def speeds(folder: str | Path) -> tuple[dict[str, float], str, str]:
    """Return the milliseconds of one face, by configuration as JSON, the machine in words, and the record's file.

    They are of one sitting of `bench --all` at the paper's size: a GPU's before a CPU's, the newest. Without a sound
    record they are empty.
    """
    sittings = []
    for path in Path(folder).glob("speeds-*.json"):
        with suppress(BadInput):  # a broken record costs its own cells
            record = read_record(path, "speeds")
            if record["preset"] == "aminet":
                milliseconds = {json.dumps(row["config"]): 1e3 * row["seconds"] for row in record["rows"]}
                machine = record["machine"]
                words = f"{machine.get('gpu', machine['cpu'])}, {machine['threads']} threads"
                sittings.append((record["device"] == "cuda", record["created"], path.name, words, milliseconds))
    *_, file, words, milliseconds = max(sittings, key=lambda sitting: sitting[:2], default=("", "", {}))
    return milliseconds, words, file


@cache
def count(number: int, row: str, metric: str) -> float | None:
    """Return the parameters of a row's network at the paper's size in millions, or its MACs in billions by thop, the
    paper's counter; None for Bicubic."""
    if (spec := planned(number, row)) is None:
        return None
    import torch

    from ..baselines.registry import build
    from ..ledger import thop_counted

    with torch.device("meta"):  # shapes without values: nothing is computed
        network = build(spec.config)
    weights = sum(weight.numel() for weight in network.parameters())
    return weights / 1e6 if metric == "params_m" else thop_counted(network)[1] / 1e9


def table(number: int, records: str | Path = RECORDS, protocol: str = "paper") -> Table:
    """Return a table of the paper, with what the records in a folder can say to it.

    The columns of one set of faces hold one scale and the same faces (see `best_comparison`). A row of an ablation
    needs several trainings, else it is pending. protocol: that of our numbers. Raises BadInput for no such table,
    protocol or folder. A broken record costs its own cells, and is noted.
    """
    paper.published(number)
    if protocol not in paper.PROTOCOL_NAMES:
        raise BadInput(f"unknown protocol {protocol!r}: choose one of {', '.join(paper.PROTOCOL_NAMES)}")
    if IN_CLONE or Path(records) != RECORDS:
        measurements, notes = load_measurements(records)
    else:
        measurements, notes = [], ["Our numbers are in the records, which are not installed: they need a clone."]
    folder = Path(records) / "withdrawn"
    withdrawn = load_measurements(folder)[0] if folder.is_dir() else []
    if number == 10:
        notes += [f"{row['method']}: {row['table_x']}" for row in paper.read_csv("authors.csv") if row["table_x"]]
    sitting = speeds(records)
    cells, comparisons, said, missing = fill(number, "", measurements, withdrawn, protocol, sitting)
    trainings = {faces: comparison.training() for faces, comparison in comparisons.items()}
    notes, second = notes + said, []
    if number in COMPARISONS:
        second, others, said, more = fill(number, FROM_BICUBIC, measurements, withdrawn, protocol, sitting)
        trainings |= {f"{faces} {FROM_BICUBIC}": comparison.training() for faces, comparison in others.items()}
        notes, missing = list(dict.fromkeys(notes + said)), missing + more
    return Table(
        number, paper.TABLES[number][0], protocol, cells,
        {faces: comparison.source() for faces, comparison in comparisons.items() if comparison.rows},
        {key: training for key, training in trainings.items() if training}, notes, missing, second)


def fill(number: int, block: str, measurements: list[Measurement], withdrawn: list[Measurement],
         protocol: str, sitting: tuple[dict[str, float], str, str],
         ) -> tuple[list[Cell], dict[str, Comparison], list[str], list[str]]:
    """Return a block's cells with what the records say, the comparisons behind them, notes, and the missing runs."""
    cells = [replace(cell, block=block) for cell in printed_cells(number)
             if not block or cell.faces and cell.row != paper.BICUBIC]
    rows = list(dict.fromkeys(cell.row for cell in cells))
    comparisons = {faces: best_comparison(number, rows, faces, measurements, protocol, block)
                   for faces in dict.fromkeys(cell.faces for cell in cells) if faces}
    notes = [note for comparison in comparisons.values() for note in notes_on(comparison, rows, withdrawn)]
    filled = [on_faces(cell, comparisons[cell.faces]) if cell.faces else of_network(cell, number, *sitting)
              for cell in cells]
    samples = {(cell.row, cell.column): sample for cell, sample in filled}
    cells = [with_difference(cell, samples, comparisons.get(cell.faces)) for cell, _ in filled]
    missing, lacking = what_is_missing(number, cells, comparisons)
    return cells, comparisons, notes + lacking, missing


def printed_cells(number: int) -> list[Cell]:
    """Return the cells of a table with what the paper prints, and BESIDE it, row by row; BadInput for no such table."""
    printed, cells = {row["row"]: row for row in paper.published(number)}, []
    more_rows, more_columns = paper.BESIDE.get(number, ((), ()))
    printed |= {row: dict.fromkeys(next(iter(printed.values())), "") for row in more_rows}
    for row, digits in printed.items():
        own_method = paper.reference(number, row)
        for column in (*digits, *more_columns):
            if column not in ("table", "row"):
                text, own = digits.get(column, ""), printed.get(own_method, {}).get(column, "")
                gap = float(Decimal(text) - Decimal(own)) if text and own else None
                cells.append(Cell(row, column, *paper.metric_and_faces(number, column), text, "pending",
                                  reference=own_method, published_difference=gap))
    return cells


def on_faces(cell: Cell, comparison: Comparison) -> tuple[Cell, Sample | None]:
    """Return a cell with our mean over faces and seeds, and its sample; if there is none, with why there is none."""
    behind = comparison.behind(cell.row, cell.metric)
    sample = average([sample for _, sample in behind], behind[0][0].people) if behind else None
    if sample is None or isnan(sample.mean):  # no image has a value
        return replace(cell, status=comparison.status(cell.row, cell.metric)), None
    is_stand_in = comparison.label != next(iter(paper.FACES[cell.faces][1].values()))
    return replace(
        cell, status="measured", on=comparison.label, scale=comparison.scale, ours=sample.mean, low=sample.low,
        high=sample.high,
        minus_published=None if is_stand_in or not cell.published else sample.mean - float(cell.published),
        seeds=() if cell.row in paper.PREFIX else tuple(one.spec.seed for one, _ in behind),
        records=tuple(one.file for one, _ in behind)), sample


def of_network(cell: Cell, number: int, milliseconds: dict[str, float], machine: str,
               file: str) -> tuple[Cell, Sample | None]:
    """Return a cell with what is known of a network at the paper's size, a speed or a count, and its sample."""
    if cell.metric == "speed_ms":
        value = timed(number, cell.row, milliseconds)
        origin = {"status": "measured", "on": machine, "records": (file,)}
    elif value := count(number, cell.row, cell.metric):
        origin = {"status": "counted", "minus_published": value - float(cell.published)}
    return (cell, None) if value is None else (replace(cell, ours=value, **origin), Sample(value))


def with_difference(cell: Cell, samples: dict[tuple[str, str], Sample | None], comparison: Comparison | None) -> Cell:
    """Return a cell with our difference to the paper's own method, if both are there."""
    sample, own_method = (samples.get((row, cell.column)) for row in (cell.row, cell.reference))
    if sample is None or own_method is None:
        return cell
    people = comparison.behind(cell.row, cell.metric)[0][0].people if comparison else None
    gap = gap_of(sample, own_method, people)
    return replace(cell, difference=gap.mean, difference_low=gap.low, difference_high=gap.high)


def what_is_missing(number: int, cells: list[Cell], comparisons: dict[str, Comparison]) -> tuple[list[str], list[str]]:
    """Return the runs that would fill pending cells, and a line on every record that lacks a metric.

    The runs are of the scale of the others, without others of `mini` for an ablation and of `pocket` else.
    """
    names, lacking = {}, {}
    for cell in cells:
        if cell.status != "pending" or not cell.faces or not paper.FACES[cell.faces][1]:
            continue
        comparison = comparisons[cell.faces]
        if measured := comparison.rows.get(cell.row):
            lacking.setdefault(measured[0].file, {})[cell.metric] = None
        else:
            scale = comparison.scale or ("mini" if number <= paper.LAST_ABLATION else "pocket")
            done = [one.spec.name for one in comparison.sound]
            row = [spec.name for spec in runs(scale) if (number, cell.row) in spec.rows and spec.block == cell.block]
            names |= dict.fromkeys(run for run in row[:paper.trainings_needed(number, scale)] if run not in done)
    return list(names), [
        f"{file} has no {', '.join(metrics)}: its own command with --metrics {' '.join(metrics)} adds it."
        for file, metrics in lacking.items()]
