"""Student's interval of a few trainings. The bootstrap's is tested with the protocols."""
from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from aminet.errors import BadInput
from aminet.metrics.statistics import holm, paired_difference, student_interval


@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_students_interval_is_that_of_the_t_test(confidence):
    values = np.random.default_rng(0).normal(26, 0.1, 5)
    expected = ttest_1samp(values, 0).confidence_interval(confidence)
    interval = student_interval(values, confidence)
    assert interval == pytest.approx({"mean": values.mean(), "low": expected.low, "high": expected.high})


def test_three_trainings_reach_further_than_a_normal_interval():
    interval = student_interval([-1, 0, 1])
    assert interval["high"] == pytest.approx(4.303 / 3**0.5, abs=1e-3) and interval["low"] == -interval["high"]


def test_one_training_tells_nothing_of_others():
    assert student_interval([26.0]) == {"mean": 26.0, "low": -np.inf, "high": np.inf}
    assert student_interval([26.0, 26.0]) == {"mean": 26.0, "low": 26.0, "high": 26.0}


@pytest.mark.parametrize("values", [[], [[1, 2], [3, 4]], 26.0])
def test_other_shapes_are_refused(values):
    with pytest.raises(BadInput, match="one value per training"):
        student_interval(values)


def test_holm():
    """Against the definition: of four tests the smallest p counts four times, and none falls below one before it."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0] and holm([]) == []


def test_what_is_infinite_on_both_sides_is_counted():
    found = paired_difference([1.0, np.inf, np.nan, np.inf], [0.5, np.inf, 1.0, 3.0])
    assert found["undefined"] == 1 and found["mean"] == np.inf
    assert "undefined" not in paired_difference([1.0, np.inf], [0.5, 2.0])
