"""Verdicts: which differences between networks are beyond chance, by their trainings with several seeds."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from ..config import READINGS
from ..metrics.statistics import holm, student_interval
from .published import LAST_ABLATION
from .records import evaluation_at
from .runs import runs, scale_of
from .tables import RECORDS, table

TESTED = ("psnr", "ssim", "vif", "lpips")
CHANCE = 0.05


@dataclass(frozen=True)
class Verdict:
    """A network minus another in a metric, over their trainings on the same faces.

    number, row, reference: of the table, 0 and the names for a reading. published: the paper's difference, if any.
    each: ours, training by training, those of equal seeds. mean, half: with half of Student's 95 % interval.
    paired, welch: p by Student's test of `each`, and by Welch's test of the trainings unpaired.
    holm: the larger of both p, as a verdict needs both tests, corrected for all that were made with it.
    scale, records: of the first network.
    """

    number: int
    row: str
    reference: str
    metric: str
    published: float | None
    each: tuple[float, ...]
    mean: float
    half: float
    paired: float
    welch: float
    scale: str = ""
    records: tuple[str, ...] = ()
    holm: float = 1.0

    @property
    def support(self) -> str:
        """Which tests find a difference: `both`, `paired` or `Welch` alone, or `none`."""
        found = [name for name, p in (("paired", self.paired), ("Welch", self.welch)) if p < CHANCE]
        return "both" if len(found) == 2 else found[0] if found else "none"

    @property
    def word(self) -> str:
        """What it says of the published difference: `holds`, `reversed`, or `cannot be told` without both tests."""
        if self.support != "both" or not self.published:
            return "cannot be told"
        return "holds" if self.mean * self.published > 0 else "reversed"


def by_trainings(ours: Sequence[float], others: Sequence[float]) -> dict:
    """Return the numbers of a Verdict: `each`, `mean`, `half`, `paired`, `welch`, of one mean for each training."""
    from scipy.stats import ttest_1samp, ttest_ind

    each = np.subtract(ours, others)
    interval = student_interval(each)
    paired, welch = (float(np.asarray(found)[1]) for found in (
        ttest_1samp(each, 0), ttest_ind(ours, others, equal_var=False)))
    return {"each": tuple(map(float, each)), "mean": interval["mean"], "half": interval["high"] - interval["mean"],
            "paired": paired, "welch": welch}


@cache
def verdicts(records: Path = RECORDS) -> tuple[Verdict, ...]:
    """Return a verdict on every measured row of Tables I to VI in every metric, against the row of the paper's own."""
    found = []
    for number in range(1, LAST_ABLATION + 1):
        by_place = {(cell.row, cell.metric): cell for cell in table(number, records).cells if len(cell.seeds) > 1}
        for cell in by_place.values():
            if cell.metric in TESTED and (own := by_place.get((cell.reference, cell.metric))):
                found.append(Verdict(number, cell.row, cell.reference, cell.metric, cell.published_difference,
                                     **by_trainings(*(means(one.records, cell.metric, records) for one in (cell, own))),
                                     scale=cell.scale, records=cell.records))
    return corrected(found)


@cache
def readings(records: Path = RECORDS, scale: str = "mini") -> tuple[Verdict, ...]:
    """Return a verdict on every measured reading of what the paper leaves open, against our default."""
    seeds, found = scale_of(scale)["seeds"], []
    for spec in runs(scale):
        reading = spec.preset.partition("/")[2]
        files, default = ([f"{name}-{scale}-{seed}-celeba_test-paper.json" for seed in seeds]
                          for name in (spec.network, "aminet"))
        if reading in (*READINGS, "8C") and spec.seed == seeds[0]:
            sound = [evaluation_at(records / file).get("means", {}) for file in (*files, *default)]
            found += [Verdict(0, reading, "default", metric, None, **by_trainings(
                means(files, metric, records), means(default, metric, records)), scale=scale, records=tuple(files))
                for metric in TESTED if all(isinstance(each.get(metric, {}).get("mean"), float) for each in sound)]
    return corrected(found)


def corrected(found: list[Verdict]) -> tuple[Verdict, ...]:
    """Return verdicts with Holm's correction for all of them."""
    return tuple(replace(one, holm=p) for one, p in zip(found, holm([max(one.paired, one.welch) for one in found])))


def means(files: Sequence[str], metric: str, records: Path) -> list[float]:
    """Return the mean of a metric in each of several records."""
    return [evaluation_at(records / file)["means"][metric]["mean"] for file in files]
