"""Means with their 95 % intervals: bootstrap over people and trainings."""

from __future__ import annotations

import numpy as np

from ..errors import BadInput


def summary(values: np.ndarray, seed: int = 0, n: int = 2000, people=None) -> dict[str, float]:
    """Mean of per-image values with its 95% interval from n bootstrap draws: {"mean", "low", "high"}.

    values: (N,), or (S, N) of S trainings on the same images: then trainings are drawn as well as people.
    people: who is on each image. Images of one person resemble each other, so whole people are drawn; without it
        every image counts as a person of its own, and the interval is too narrow if that is not so.

    Images without a value (nan) do not count; if none has one, all three are nan.
    The interval is for other people of the same kind, and with S > 1 for other trainings: of few trainings it is too
    narrow. One training says nothing of others.
    """
    return _bootstrap([_values(values)], seed, n, people)


def paired_difference(a: np.ndarray, b: np.ndarray, seed: int = 0, n: int = 2000, people=None) -> dict[str, float]:
    """`summary` of a - b, image by image. Narrower than those of a and b: the images' spread cancels.

    a, b: (N,) or (S, N), of the same images. As many trainings on both sides are pairs, of equal seeds, and drawn as
    such; of unequal numbers each side's are drawn by themselves, and a single one not at all.
    """
    a, b = _values(a), _values(b)
    if a.shape[1] != b.shape[1]:
        raise BadInput(f"a paired difference needs the same images: {a.shape[1]} against {b.shape[1]} values")
    return _bootstrap([a - b] if len(a) == len(b) else [a, -b], seed, n, people)


def _bootstrap(sides: list[np.ndarray], seed: int, n: int, people) -> dict[str, float]:
    """`summary` of the sum of several sides, each (S, N) of its own trainings on the same images."""
    images = sides[0].shape[1]
    person = np.arange(images) if people is None else np.asarray(people)
    if len(person) != images:
        raise BadInput(f"{len(person)} people given for {images} images")
    known = ~np.isnan(sum(values.sum(0) for values in sides))
    if not known.any():
        return dict.fromkeys(("mean", "low", "high"), float("nan"))
    person = np.unique(person[known], return_inverse=True)[1]
    count, rng = np.bincount(person), np.random.default_rng(seed)
    draws = rng.integers(len(count), size=(n, len(count)))
    means = np.zeros(n)
    for values in sides:
        total, trainings = np.stack([np.bincount(person, row) for row in values[:, known]]), len(values)
        each = total[:, draws].sum(-1) / count[draws].sum(1)  # (S, n)
        if trainings > 1:
            each = each[rng.integers(trainings, size=(trainings, n)), np.arange(n)]
        means = means + each.mean(0)
    # inverted_cdf picks one of the means and never mixes two, so an infinite PSNR stays inf, not nan.
    low, high = np.quantile(means, (0.025, 0.975), method="inverted_cdf")
    return {"mean": float(sum(values[:, known].mean() for values in sides)), "low": float(low), "high": float(high)}


def _values(values: np.ndarray) -> np.ndarray:
    """As (S, N): one training or several."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim not in (1, 2) or not values.size:
        raise BadInput(f"expected one value per image, at least one; got an array of shape {values.shape}")
    return np.atleast_2d(values)
