"""Means with their 95 % intervals: by bootstrap over people and trainings, and by Student's t over trainings."""
from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache

import numpy as np

from ..errors import BadInput

DRAWS = 2000  # of a bootstrap, always of one seed


def summary(values: np.ndarray, people=None) -> dict[str, float]:
    """Return the mean of per-image values with its 95 % interval from bootstrap draws: {"mean", "low", "high"}.

    values: (N,), or (S, N) of S trainings on the same images: then trainings are drawn as well as people.
    people: (N,), who is on each image. Images of one person resemble each other, so whole people are drawn. Without it
        every image counts as a person of its own, and the interval is too narrow if that is not so.

    Images without a value (nan) do not count; if none has one, all three are nan.
    The interval is for other people of the same kind, and with S > 1 for other trainings. Of few trainings it is too
    narrow (see `student_interval`), and one training says nothing of others.
    """
    return _bootstrap([_by_training(values)], people)


def paired_difference(a: np.ndarray, b: np.ndarray, people=None) -> dict[str, float]:
    """Return the `summary` of a - b, image by image. It is narrower than those of a and b: the images' spread cancels.

    a, b: (N,) or (S, N), of the same images, else BadInput. Equal numbers of trainings are pairs of equal seeds, and
    are drawn as pairs. Of unequal numbers each side's are drawn by themselves, and a single one not at all.
    undefined: how many images are infinite on both sides, if any are: their difference is no number and does not count.
    """
    a, b = _by_training(a), _by_training(b)
    if a.shape[1] != b.shape[1]:
        raise BadInput(f"a paired difference needs the same images: {a.shape[1]} against {b.shape[1]} values")
    given = ~(np.isnan(a).any(0) | np.isnan(b).any(0))
    with np.errstate(invalid="ignore"):
        undefined = int(np.isnan(a.sum(0) - b.sum(0))[given].sum())
        found = _bootstrap([a - b] if len(a) == len(b) else [a, -b], people)
    return found | {"undefined": undefined} if undefined else found


def student_interval(values, confidence: float = 0.95) -> dict[str, float]:
    """Return the mean of a few numbers, one of each training, with Student's interval: {"mean", "low", "high"}.

    It says where the mean of very many trainings lies, if their luck is normally distributed. With three trainings the
    spread itself is hardly known: the half-width is 4.3 standard errors, not 1.96. The images' own noise is left out.
    values: (S,), at least one, else BadInput. A single training tells of no other: its interval is infinite.
    """
    from scipy.stats import t  # slow to import, and most callers draw bootstraps alone

    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise BadInput(f"expected one value per training, at least one; got an array of shape {values.shape}")
    half = np.inf
    if len(values) > 1:
        half = t.ppf((1 + confidence) / 2, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    mean = values.mean()
    return {"mean": float(mean), "low": float(mean - half), "high": float(mean + half)}


def holm(p: Sequence[float]) -> list[float]:
    """Return the p-values of a pool of tests, each corrected for the pool by Holm's method, in the same order.

    Below 0.05 none of them is a false alarm, with a probability of 95 %, however the tests depend on each other.
    """
    corrected, largest = [0.0] * len(p), 0.0
    for rank, index in enumerate(np.argsort(p)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        corrected[index] = largest
    return corrected


def _bootstrap(sides: list[np.ndarray], people) -> dict[str, float]:
    """`summary` of the sum of several sides, each (S, N) of its own trainings on the same images."""
    images = sides[0].shape[1]
    person = np.arange(images) if people is None else np.asarray(people)
    if len(person) != images:
        raise BadInput(f"{len(person)} people given for {images} images")
    defined = ~np.isnan(sum(values.sum(0) for values in sides))
    if not defined.any():
        return dict.fromkeys(("mean", "low", "high"), float("nan"))
    person = np.unique(person[defined], return_inverse=True)[1]
    images_of = np.bincount(person)
    times, rng = _draw_people(len(images_of))
    rng, drawn_means = deepcopy(rng), np.zeros(DRAWS)
    for values in sides:
        trainings = len(values)
        total = np.stack([np.bincount(person, row) for row in values[:, defined]])  # (S, people)
        means = _drawn_sums(total, times) / _drawn_sums(images_of[None], times)  # (S, n)
        if trainings > 1:
            means = means[rng.integers(trainings, size=(trainings, DRAWS)), np.arange(DRAWS)]
        drawn_means = drawn_means + means.mean(0)
    # inverted_cdf picks one of the means and never mixes two, so an infinite PSNR stays inf, not nan.
    low, high = np.quantile(drawn_means, (0.025, 0.975), method="inverted_cdf")
    mean = sum(values[:, defined].mean() for values in sides)
    return {"mean": float(mean), "low": float(low), "high": float(high)}


@lru_cache(maxsize=2)
def _draw_people(people: int) -> tuple[np.ndarray, np.random.Generator]:
    """Return how often each person is in each draw, (DRAWS, people), and the generator after them.

    They are kept for the next call: a table draws the same people for each of its cells.
    """
    rng, times = np.random.default_rng(0), np.empty((DRAWS, people))
    for row, drawn in zip(times, rng.integers(people, size=(DRAWS, people))):
        row[:] = np.bincount(drawn, minlength=people)
    return times, rng


def _drawn_sums(total: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the sums of (S, people) over draws, (S, n). An infinite number counts only where it was drawn."""
    if np.isfinite(total).all():
        return np.einsum("sp,np->sn", total, times)  # not @, which would start threads for so little
    return np.stack([np.multiply(times, row, out=np.zeros_like(times), where=times > 0).sum(1) for row in total])


def _by_training(values: np.ndarray) -> np.ndarray:
    """Values as (S, N): one training or several."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim not in (1, 2) or not values.size:
        raise BadInput(f"expected one value per image, at least one; got an array of shape {values.shape}")
    return np.atleast_2d(values)
