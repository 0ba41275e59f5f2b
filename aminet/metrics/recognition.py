"""Is a restored face recognised? Probes against a gallery, by ArcFace's embeddings (Sec. IV-D4, Table IX, Fig. 11).

A mean cosine alone says little: it is read against that of other people, and against the probe as it was. So every
probe also has its rank, and whether it is verified where one false accept in a hundred is allowed.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor
from tqdm.auto import tqdm

from ..errors import BadInput
from .perceptual import embedding
from .yunet import detect

CASES = (1, 2, 3, 4)  # Table IX's columns
FALSE_ACCEPTS = 0.01
SCORES = ("cosine", *(f"cosine_case{case}" for case in CASES), "impostors", "rank1", "verified")


class Gallery(NamedTuple):
    """Pictures of known people, to recognise probes by.

    faces: uint8 (G, 3, 128, 128). people: who is on each, in the numbers of the probes' people; below 0 somebody else.
    cases: Table IX's case of each probe, 0 for none. about: what a record notes.
    """

    faces: Tensor
    people: list[int]
    cases: list[int]
    about: dict


def recognise(pictures: Mapping[str, Tensor], probes: Tensor, people: Sequence[int],
              gallery: Gallery) -> dict[str, np.ndarray]:
    """Return SCORES of each kind of picture of the probes: {prefix + column: (N,)}.

    pictures: by prefix, uint8 (N, 3, H, W). probes: as they came; YuNet finds the landmarks in these, for all kinds, so
    that only the pixels count (see `perceptual.identity`). people: who is on each, in the gallery's numbers.

    cosine: to the gallery's picture of the same person (the mean, if there are several). cosine_caseK: the same for
    probes of that case, nan for others. impostors: the mean cosine to all other people. rank1: 100 where the nearest
    picture of the gallery is of the same person, else 0. verified: 100 where `cosine` exceeds what FALSE_ACCEPTS of all
    pairs of different people exceed, else 0. nan where no face is found, or the person is not in the gallery.
    Raises BadInput if nobody is in both, or the gallery shows one person alone.
    """
    found = [faces[0] if (faces := detect(face)) else None for face in probes.numpy()]
    known = [faces[0] if (faces := detect(face)) else None for face in gallery.faces.numpy()]
    person = np.array([number for number, points in zip(gallery.people, known) if points is not None])
    own = np.array([points is not None for points in found])[:, None] & (np.array(people)[:, None] == person)
    if not own.any() or len(set(person)) < 2:
        raise BadInput("recognition needs a gallery with a face of the probes' people, and of two people or more")
    reference = np.stack([unit(face, points) for face, points in zip(gallery.faces.numpy(), known)
                          if points is not None])
    others, values = ~own & own.any(1, keepdims=True), {}
    for prefix, images in pictures.items():
        title, rows = f"recognition {prefix.rstrip('_')}".strip(), list(zip(images.numpy(), found))
        cosines = np.stack([np.full(len(person), np.nan) if points is None else reference @ unit(image, points)
                            for image, points in tqdm(rows, title, leave=False)])
        accepted = np.quantile(cosines[others], 1 - FALSE_ACCEPTS)
        columns = {"cosine": mean_where(own, cosines), "impostors": mean_where(others, cosines)}
        columns |= {f"cosine_case{case}": np.where(np.array(gallery.cases) == case, columns["cosine"], np.nan)
                    for case in CASES}
        defined = own.any(1)
        nearest = own[np.arange(len(own)), np.where(defined[:, None], cosines, 0).argmax(1)]
        columns |= {"rank1": np.where(defined, 100.0 * nearest, np.nan),
                    "verified": np.where(defined, 100.0 * (columns["cosine"] > accepted), np.nan)}
        values |= {prefix + column: columns[column] for column in SCORES}
    return values


def unit(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return `perceptual.embedding` with length 1."""
    features = embedding(image, points)
    return features / np.linalg.norm(features)


def mean_where(chosen: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the mean of each row's chosen values, (N, G) -> (N,); nan where none is."""
    count = chosen.sum(1)
    with np.errstate(invalid="ignore"):
        return np.where(chosen, values, 0).sum(1) / np.where(count, count, np.nan)
