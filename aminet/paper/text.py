"""The tables for people, and as CSV."""
from __future__ import annotations

import csv
import io
from dataclasses import asdict, fields
from textwrap import wrap

from .published import FACES, METRICS, ROMAN, TABLES
from .tables import Cell, Table


def csv_table(table: Table) -> str:
    """The cells as CSV, one line each; seeds and records are separated by spaces."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["table", *(column.name for column in fields(Cell))], lineterminator="\n")
    writer.writeheader()
    for cell in table.cells:
        several = {name: " ".join(map(str, getattr(cell, name))) for name in ("seeds", "records")}
        writer.writerow({"table": table.number} | asdict(cell) | several)
    return text.getvalue()


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
