"""The tables for people, as text and as Markdown, and as CSV."""
from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from textwrap import fill

from tabulate import DataRow, TableFormat, tabulate

from .published import BICUBIC, COLUMNS, FACES, ROMAN, TABLES
from .tables import Cell, Table

INTERVALS = (
    "Intervals: 95 %. With three seeds or more they are Student's over the trainings. With fewer they are a bootstrap "
    "over people where they are known, else over faces, and say little or nothing of other trainings.")
ONE_TRAINING = ("Where one of two rows was trained once, only the other's trainings are drawn: their paired interval "
                "is far too narrow.")
TABLE_IX = (
    "Ours: the cosine of ArcFace's embeddings (MobileFaceNet; the paper's network is unpublished) of a restored probe "
    "and of the same person's picture in the gallery. Case 1 to 4: the number in the probe's name, of SCface its "
    "distance.",
    "Not of the paper: the columns from `all cases` on, and the rows Bicubic and Original, the probe as it came. "
    "Other people: the mean cosine to them. Rank-1: the nearest picture of the gallery is the same person's. "
    "Verified: at 1 % false accepts.",
    "To measure other weights: python -m aminet evaluate WEIGHTS --faces scface:ROOT:probe "
    "--gallery scface:ROOT:gallery")
STATUSES = {"pending": "no training stands behind it, or fewer than its scale asks for",
            "edited": "its record was changed by hand",
            "unproven": "the weights were chosen after a first look at the test faces"}
DETAIL = ("left", "left", "right", "left", "right", "right", "right", "left", "left")  # the alignment of its columns


def csv_table(table: Table) -> str:
    """Return the cells as CSV, one line each; seeds and records are separated by spaces."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["table", *(column.name for column in fields(Cell))], lineterminator="\n")
    writer.writeheader()
    for cell in (*table.cells, *table.from_bicubic):
        several = {name: " ".join(map(str, getattr(cell, name))) for name in ("seeds", "records")}
        writer.writerow({"table": table.number} | asdict(cell) | several)
    return text.getvalue()


def format_table(table: Table, width: int = 120) -> str:
    """Return the table as printed with ours beside every number, then each of ours with its interval, then a legend."""
    parts = ["\n".join(fill(sentence, width) for sentence in heading(table))]
    parts += ["\n".join(filter(None, [title, side_by_side(cells, table.from_bicubic, 3 if table.from_bicubic else 6)]))
              for title, cells in blocks(table.cells)]
    parts += [f"{title}\n{aligned(rows, DETAIL)}" for title, rows in details(table)]
    parts += ["\n".join(fill(item, width, subsequent_indent="  ", break_on_hyphens=False) for item in legend(table))]
    return "\n\n".join(parts)


def markdown_table(table: Table) -> str:
    """Return the same as Markdown for GitHub, with pipes between the columns."""
    title, *sentences = heading(table)
    parts = [f"**{title}**", *sentences]
    for title, cells in blocks(table.cells):
        columns = [numbers(column, table.from_bicubic) for column in columns_of(cells)]
        names = [name if index else f"{COLUMNS[column[0].metric].name}: {name}"
                 for column, (header, *_) in zip(columns_of(cells), columns) for index, name in enumerate(header)]
        rows = [[cells[0].row, *(text for row in rows for text in row)]
                for cells, rows in zip(zip(*columns_of(cells)), zip(*(column[1:] for column in columns)))]
        parts += [title, piped([["", *names], *rows], ["left", *len(names) * ["right"]])]
    for title, rows in details(table):
        parts += [title, piped(rows, DETAIL)]
    return "\n\n".join(filter(None, [*parts, "\n".join(f"- {item}" for item in legend(table))]))


def heading(table: Table) -> list[str]:
    """Return sentences on what the table is, and what the paper's numbers and ours were measured on."""
    sentences = [f"Table {ROMAN[table.number]}. {table.caption}."]
    for faces in dict.fromkeys(cell.faces for cell in table.cells if cell.faces):
        ours = f"ours on {table.sources[faces]}" if faces in table.sources else "ours pending"
        sentences.append(f"The paper's on {FACES[faces][0]}; {ours}.")
    sentences += [f"Ours: {text}." for text in dict.fromkeys(table.trainings.values())]
    if table.sources:
        smaller = ", a smaller network" if any(cell.scale in ("mini", "pocket") for cell in table.cells) else ""
        sentences.append(f"Ours has other faces{smaller} and another training: ours - paper is a distance, not a test.")
    return sentences


def blocks(every: Sequence[Cell]) -> list[tuple[str, list[Cell]]]:
    """Return the cells that stand side by side, with a title if the table has several sets of faces."""
    on_faces: dict[str, list[Cell]] = {}
    for cell in every:
        on_faces.setdefault(cell.faces if cell.metric != cell.column else "", []).append(cell)
    measured_on = {faces: next((cell.on for cell in cells if cell.on), "pending") for faces, cells in on_faces.items()}
    return [(f"Paper: {faces}. Ours: {measured_on[faces]}." if faces else "", cells)
            for faces, cells in on_faces.items()]


def columns_of(cells: list[Cell]) -> list[list[Cell]]:
    """Return the cells column by column."""
    names = dict.fromkeys(cell.column for cell in cells)
    return [[cell for cell in cells if cell.column == name] for name in names]


def numbers(column: list[Cell], from_bicubic: Sequence[Cell]) -> list[tuple[str, ...]]:
    """Return a column row by row, names first: the paper's number, ours, and ours from bicubic if it has such cells."""
    second = {(cell.row, cell.column): cell for cell in from_bicubic}
    if not any(cell.published for cell in column):
        return [("ours",), *((ours(cell),) for cell in column)]
    rows = [("paper", "ours"), *((cell.published, ours(cell)) for cell in column)]
    if (column[-1].row, column[-1].column) not in second:
        return rows
    texts = ["" if cell.row == BICUBIC else ours(second[cell.row, cell.column]) for cell in column]
    return [(*row, text) for row, text in zip(rows, ["from bicubic", *texts])]


def side_by_side(cells: list[Cell], from_bicubic: Sequence[Cell] = (), metrics: int = 6) -> str:
    """Return lines with the paper's numbers and ours, one for each row, with so many metrics beside each other."""
    names = ["", "", *dict.fromkeys(cell.row for cell in cells)]
    columns = ((column[0].metric, numbers(column, from_bicubic)) for column in columns_of(cells))
    pairs = [[COLUMNS[metric].name, *aligned(rows, ["right"] * len(rows[0])).splitlines()] for metric, rows in columns]
    groups = (pairs[i:i + metrics] for i in range(0, len(pairs), metrics))
    return "\n\n".join(aligned(zip(names, *group), ["left", *len(group) * ["right"]], gap="   ") for group in groups)


def details(table: Table) -> list[tuple[str, list[Sequence[str]]]]:
    """Return a title and rows for each set of faces: names, then each of ours with its interval and differences."""
    own_method = {5: "last row", 6: "EDFF"}.get(table.number, TABLES[table.number][2])
    names = ("", "", "ours", "[95 %]", "ours - paper", f"minus {own_method}: paper", "ours", "[95 %, paired]", "seeds")
    tables = []
    for block, cells in [("", cells) for _, cells in blocks(table.cells)] + [
            (", from bicubic,", cells) for _, cells in blocks(table.from_bicubic)]:
        known = [cell for column in columns_of(cells) for cell in column if cell.ours is not None]
        width = len(names) if len({cell.seeds for cell in known}) > 1 else -1  # the heading names equal seeds
        on = ", ".join(dict.fromkeys(cell.on for cell in known if cell.on))
        if known:
            rows = [row[:width] for row in (names, *map(detail, known))]
            tables.append((f"Ours{block}{' on ' + on if on else ''}, in detail:", rows))
    return tables


def detail(cell: Cell) -> tuple[str, ...]:
    """Return what is known of a number of ours."""
    return (COLUMNS[cell.metric].name, cell.row, format_value(cell, cell.ours),
            format_value(cell, cell.low, cell.high), format_value(cell, cell.minus_published, sign="+"),
            format_value(cell, cell.published_difference, sign="+"), format_value(cell, cell.difference, sign="+"),
            format_value(cell, cell.difference_low, cell.difference_high, sign="+"), " ".join(map(str, cell.seeds)))


def legend(table: Table) -> list[str]:
    """Return sentences on which way is better, what the words mean, and what a reader must know of the records."""
    cells = [*table.cells, *table.from_bicubic]
    metrics = {cell.metric: COLUMNS[cell.metric] for cell in cells}.values()
    better = [f"{way} is better: {', '.join(names)}" for way, higher in (("Higher", True), ("lower", False))
              if (names := [metric.name.split(",")[0] for metric in metrics if metric.higher == higher])]
    statuses = {cell.status for cell in cells}
    trainings = {len(cell.seeds) for cell in cells if cell.seeds}
    sentences = {
        f"{'; '.join(better)}. Our protocol: {table.protocol}.": True,
        INTERVALS: "measured" in statuses, ONE_TRAINING: len(trainings) > 1 and min(trainings) == 1,
        "Our params and MACs are of the network at the paper's size; MACs by thop, the paper's counter.":
            "counted" in statuses,
        "Our speed: the network at the paper's size, one face, eager.":
            any(cell.metric == "speed_ms" and cell.on for cell in table.cells),
        **{f"{status}: {meaning}.": status in statuses for status, meaning in STATUSES.items()},
        **{f"Note: {note}": True for note in table.notes},
        **{sentence: table.number == 9 for sentence in TABLE_IX}}
    for first in table.runs[:1]:
        sentences |= {f"To be run: {', '.join(table.runs)}; for example": True,
                      f"  python -m aminet reproduce --scale {first.split('-')[-2]} --only {first}": True}
    return [sentence for sentence, applies in sentences.items() if applies]


def ours(cell: Cell) -> str:
    """Return our number, or why there is none."""
    return format_value(cell, cell.ours) or cell.status


def format_value(cell: Cell, *values: float | None, sign: str = "") -> str:
    """Return a value, or an interval, with the digits of its metric; "" for none."""
    if None in values:
        return ""
    words = [f"{value:{sign}.{COLUMNS[cell.metric].digits}f}" for value in values]
    return f"[{', '.join(words)}]" if len(words) > 1 else words[0]


def aligned(rows: Iterable[Sequence[str]], alignment: Sequence[str], gap: str = "  ") -> str:
    """Return rows as lines whose columns are aligned."""
    line = DataRow("", gap, "")
    return tabulate(list(rows), tablefmt=TableFormat(None, None, None, None, line, line, 0, None), colalign=alignment,
                    disable_numparse=True)


def piped(rows: Sequence[Sequence[str]], alignment: Sequence[str]) -> str:
    """Return rows, of which the first has the columns' names, as a table in Markdown."""
    return tabulate(rows[1:], rows[0], "pipe", colalign=alignment[:len(rows[0])], disable_numparse=True)
