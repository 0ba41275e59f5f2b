"""Fixed outputs of whole networks: what no test of a part sees, such as an activation's slope, moves them."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden"
EXPECTED = json.loads((GOLDEN / "network.json").read_text())
MAKER = runpy.run_path(str(GOLDEN / "make_network.py"))
NETWORKS = MAKER["networks"]()


def test_every_preset_has_fixed_outputs():
    assert list(EXPECTED) == list(NETWORKS)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_network_answers_as_before(name):
    measured = MAKER["answer"](NETWORKS[name]())
    for statistic, values in EXPECTED[name].items():
        assert measured[statistic] == pytest.approx(values, abs=1e-4), statistic
