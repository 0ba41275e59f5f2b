"""Fuzzing, by hypothesis: whatever the bytes, a reader returns or raises BadInput, in bounded time and memory.

`pytest tests/fuzz` tries the same inputs each time; by hand, `pytest tests/fuzz --hypothesis-profile=long` tries new
ones, ten times as many.
"""
import resource
import sys
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings

BOUND = 500 * 2**20  # bytes by which the peak of the process may grow
usual = dict(deadline=timedelta(seconds=5), suppress_health_check=list(HealthCheck), database=None)
settings.register_profile("ci", derandomize=True, max_examples=5000, **usual)
settings.register_profile("long", max_examples=50_000, **usual)
settings.load_profile("ci")


def peak() -> int:
    """The most bytes that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.fixture(autouse=True, scope="module")
def bounded_memory():
    before = peak()
    yield
    assert peak() - before < BOUND
