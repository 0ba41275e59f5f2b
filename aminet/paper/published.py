"""The ten tables as the paper prints them, and what each column and row stands for."""
from __future__ import annotations

import csv
from dataclasses import dataclass

from ..errors import BadInput
from ..files import DATA

SCALES = ("mini", "pocket", "gpu", "short", "paper")  # rising; `smoke` measures nothing
LAST_ABLATION = 6  # Tables I to VI
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
