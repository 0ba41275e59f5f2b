"""The ten tables as the paper prints them, and what each column and row stands for."""
from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInput
from ..files import DATA

SEEDS = {"mini": 3, "pocket": 3, "gpu": 3, "short": 2, "paper": 1}  # trainings behind a row of an ablation, at least
SCALES = tuple(SEEDS)  # rising; `smoke` measures nothing
LAST_ABLATION = 6  # Tables I to VI
BICUBIC, ORIGINAL = "Bicubic", "Original"
PREFIX = {BICUBIC: "bicubic_", ORIGINAL: "original_"}  # rows that every record can fill: how its names for them begin
# What Table IX is read against, beside what the paper prints: rows, and columns.
BESIDE = {9: ((BICUBIC, ORIGINAL), ("cosine", "impostors", "rank1", "verified"))}
PROTOCOL_NAMES = ("paper", "dic", "rgb")  # of aminet.protocol, which needs torch; a test compares


def read_csv(name: str) -> list[dict[str, str]]:
    """Return the rows of a file of data/published."""
    with open(DATA / "published" / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# Captions (arXiv 2409.00591), faces, and the row of the paper's own method, with which the others are compared.
TABLES = {int(row["table"]): (row["caption"], row["faces"], row["own_method"]) for row in read_csv("tables.csv")}
ROMAN = dict(zip(TABLES, "I II III IV V VI VII VIII IX X".split()))
# What the paper measured on, and the sources of records that may stand beside it, best first, with what they are.
FACES = {
    "CelebA": ("1,000 CelebA faces, drawn by the authors (list unpublished)",
               {"celeba_test": "CelebA faces", "celeba:test": "CelebA faces", "celeba-identity:test": "CelebA faces"}),
    "Helen": ("Helen test faces (how many is not stated; 50 in its lineage)",
              {"helen:test": "Helen faces", "flickr_test": "Flickr portraits, not Helen"}),
    "SCface": ("SCface, surveillance cameras (the four cases are not explained)",
               {"scface:probe": "SCface faces", "video_probe": "low-quality video faces (not SCface)"}),
}


@dataclass(frozen=True)
class Column:
    """What a column holds. digits: after the point, for ours. higher: is better. of_network: known without faces."""

    name: str
    digits: int
    higher: bool = True
    of_network: bool = False


COLUMNS = {
    "psnr": Column("PSNR, dB", 2), "ssim": Column("SSIM", 4), "vif": Column("VIF", 4),
    "lpips": Column("LPIPS", 4, higher=False), "fid": Column("FID", 2, higher=False),
    **{f"cosine_case{i}": Column(f"case {i}", 4) for i in (1, 2, 3, 4)},
    "cosine": Column("all cases", 4), "impostors": Column("other people", 4, higher=False),
    "rank1": Column("rank-1, %", 1), "verified": Column("verified, %", 1),
    "params_m": Column("params, M", 3, higher=False, of_network=True),
    "macs_g": Column("MACs, G", 2, higher=False, of_network=True),
    "speed_ms": Column("speed, ms", 0, higher=False, of_network=True),
}


def published(number: int) -> list[dict[str, str]]:
    """Return the rows of a published table, {"table", "row", column: digits as printed}; BadInput for no such table."""
    if number not in TABLES:
        raise BadInput(f"the paper has no Table {number}: choose 1 to {len(TABLES)}")
    return read_csv(f"table_{number:02d}.csv")


def metric_and_faces(number: int, column: str) -> tuple[str, str]:
    """Return a column's metric, and the faces that it was measured on, "" for what is of the network alone."""
    for prefix, faces in (("celeba_", "CelebA"), ("helen_", "Helen")):
        if column.startswith(prefix):
            return column.removeprefix(prefix), faces
    return column, "" if COLUMNS[column].of_network else TABLES[number][1]


def reference(number: int, row: str) -> str:
    """Return the row that a row is compared with: the paper's own method, "" for that row itself."""
    own_method = TABLES[number][2].format(row.removesuffix(" + EDFF"))
    return "" if row == own_method else own_method


def trainings_needed(number: int, scale: str) -> int:
    """Return how many trainings a row of a table needs: several for an ablation, whose differences are small."""
    return SEEDS[scale] if number <= LAST_ABLATION else 1


def source_name(source: str) -> str:
    """Return a source of faces as FACES names it: a file or folder without its suffix."""
    return source if ":" in source else Path(source).stem
