"""Verdicts on the ablations: the tests behind them, and that the committed records give what was found."""
from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from aminet.paper.verdicts import Verdict, by_trainings, corrected, readings, verdicts


def verdict(ours, others, published=-0.1) -> Verdict:
    return Verdict(1, "row", "own", "psnr", published, **by_trainings(ours, others))


def test_paired_and_unpaired_tests_by_hand():
    ours, others = np.array([25.0, 25.2, 25.1]), np.array([25.4, 25.8, 25.6])
    found, gaps = verdict(ours, others), np.array([-0.4, -0.6, -0.5])
    error = gaps.std(ddof=1) / 3**0.5
    assert found.each == pytest.approx(gaps) and found.mean == pytest.approx(-0.5)
    assert found.half == pytest.approx(t.ppf(0.975, 2) * error)
    assert found.paired == pytest.approx(2 * t.sf(0.5 / error, 2))
    variances = ours.var(ddof=1) / 3, others.var(ddof=1) / 3
    freedom = sum(variances) ** 2 / sum(v**2 / 2 for v in variances)
    assert found.welch == pytest.approx(2 * t.sf(0.5 / sum(variances) ** 0.5, freedom))
    assert (found.support, found.word) == ("both", "holds")


def test_what_a_verdict_says():
    apart = [25.0, 25.01, 25.02], [26.0, 26.01, 26.03]
    assert verdict(*apart).word == "holds" and verdict(*apart, published=0.1).word == "reversed"
    assert verdict(*apart, published=None).word == "cannot be told"  # there is nothing to hold
    drift = verdict([25.0, 26.0, 27.0], [25.1, 26.11, 27.09])  # found only when seeds are paired
    assert (drift.support, drift.word) == ("paired", "cannot be told")
    assert verdict([25.0, 25.1, 25.2], [25.1, 25.0, 25.2]).support == "none"


def test_the_pool_corrects_every_test():
    found = corrected([verdict([25.0, 25.1, 25.2 + i], [25.3, 25.2, 25.2]) for i in range(3)])
    assert len(found) == 3 and all(one.holm >= max(one.paired, one.welch) for one in found)
    assert max(one.holm for one in found) <= 1


def test_the_committed_trainings():
    """Recomputed for one row; a claim that one test alone supports is no verdict."""
    by_row = {(one.row, one.metric): one for one in verdicts()}
    removed = by_row["RDFE w/o FRM", "psnr"]
    assert removed.word == "holds" and len(removed.records) == 3
    least = min(by_row.values(), key=lambda one: one.holm)  # 0.051: with all rows trained, nothing is beyond chance
    assert least == by_row["RDFE w/o FRM", "ssim"] and 0.05 < least.holm < removed.holm < 0.1
    assert least.holm == pytest.approx(max(least.paired, least.welch) * len(by_row))
    assert by_row["LGFI w/o RDFE", "psnr"].support == "paired"
    assert by_row["RDFE w/o AU", "ssim"].welch > 0.1 > by_row["RDFE w/o AU", "ssim"].paired
    assert {one.row for one in readings()} >= {"w/o norm", "SKAF gates features", "8C"}
