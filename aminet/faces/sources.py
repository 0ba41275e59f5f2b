"""What a command's `--faces` and `--val` mean: files, folders, parts of the official data sets, or synthetic faces."""
from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ..errors import BadInput
from ..files import find
from ..metrics.recognition import Gallery
from . import official
from .dataset import Faces, same_faces
from .synthetic import LAST_SEED, MOST
from .synthetic import faces as synthetic_faces

DATA_SETS = ("celeba", "celeba-identity", "helen", "scface")  # in their official layouts


class Source(NamedTuple):
    """One source of faces; `str` is what a record notes of it: no folder of this machine.

    kind: `path`, one of DATA_SETS, or `synthetic`. root: the path, or the data set's folder. part: of the data set.
    n, seed: how many synthetic faces, and of which seed.
    """

    kind: str
    root: str = ""
    part: str = ""
    n: int = 500
    seed: int = 0

    @classmethod
    def parse(cls, text: str | Path) -> Source:
        """Read `PATH`, `NAME:ROOT:PART` or `synthetic[:N[:SEED]]`; BadInput if a part or a number is wrong."""
        kind, *rest = str(text).split(":")
        if kind == "synthetic":
            numbers = [int(part) if re.fullmatch(r"\d{1,19}", part) else -1 for part in rest]
            n, seed, *more = numbers + [500, 0][len(rest):]
            if more or not (0 < n <= MOST and 0 <= seed <= LAST_SEED):
                raise BadInput(f"{text!r:.40}: write synthetic, synthetic:N or synthetic:N:SEED, as synthetic:500:1; "
                               f"N from 1 to {MOST} and SEED from 0 to {LAST_SEED}")
            return cls(kind, n=n, seed=seed)
        if kind in DATA_SETS and rest:
            root, part = ":".join(rest[:-1]), rest[-1]
            if not root:
                raise BadInput(f"{text!r:.40}: write {kind}:ROOT:PART, for example {kind}:/data/{kind}:test")
            return cls(kind, root, part)
        return cls("path", str(text))

    def __str__(self) -> str:
        if self.kind == "synthetic":
            return f"synthetic:{self.n}:{self.seed}"
        return Path(self.root).name if self.kind == "path" else f"{self.kind}:{self.part}"


def canonical(text: str | Path) -> str:
    """Return a source as records note it: `celeba:/data/celeba:test` as `celeba:test`."""
    return str(Source.parse(text))


def open_faces(sources: str | Path | Sequence[str], skip_bad: bool = False,
               progress: bool = True) -> tuple[Tensor, dict]:
    """Load faces, uint8 (N, 3, 128, 128), and say what they are: sources, count, fingerprint, the number of the person
    on each image (where a manifest.csv tells), and how many files were skipped.

    sources: as `Source.parse` reads them. Folders and zips, looked for here and in $AMINET_FACES; or one of another
        kind alone: a part of a data set in its official layout, or our synthetic faces.
    """
    texts = [sources] if isinstance(sources, (str, Path)) else sources
    first, *others = parse_all(texts)
    about: dict[str, Any] = {"sources": [str(source) for source in (first, *others)]}
    if first.kind == "synthetic":
        images = synthetic_faces(first.n, first.seed)
        digest = hashlib.sha256(images.numpy().tobytes()).hexdigest()
        return images, about | {"images": len(images), "fingerprint": digest}
    faces = face_set(texts, skip_bad)
    images = faces.load(progress=progress)
    about |= {"images": len(images), "fingerprint": faces.fingerprint}
    if faces.people:
        numbers = {person: number for number, person in enumerate(dict.fromkeys(faces.people))}
        about["people"] = [numbers[person] for person in faces.people]
    if faces.skipped:
        about["skipped"] = len(faces.skipped)
    return images, about


def parse_all(texts: Sequence[str]) -> list[Source]:
    """Read the sources of one set of faces; BadInput for none, and for kinds that do not go together."""
    if not texts or not isinstance(texts, (list, tuple)):
        raise BadInput("no faces given: name a folder, a zip, or synthetic:100")
    parsed = [Source.parse(text) for text in texts]
    if len(parsed) > 1 and any(source.kind != "path" for source in parsed):
        raise BadInput(f"{' '.join(map(str, texts))}: give folders and zips, or one set of another kind alone")
    return parsed


def face_set(texts: Sequence[str], skip_bad: bool = False) -> Faces:
    """Return the photographs of sources, not yet decoded; BadInput for synthetic faces, which are none."""
    first = parse_all(texts)[0]
    if first.kind == "synthetic":
        raise BadInput(f"{first}: these are drawn faces; give a folder, a zip or a part of a data set")
    return Faces(*map(find, texts), skip_bad=skip_bad) if first.kind == "path" else published_set(first)


def open_gallery(sources: Sequence[str], probes: Sequence[str], skip_bad: bool = False) -> Gallery:
    """Load a gallery for probes, both as `open_faces` reads them. A probe's case is the number after `case` at the end
    of its file's name, or SCface's distance; BadInput if people are not named in both (see `dataset.manifest`)."""
    gallery, faces = face_set(sources, skip_bad), face_set(probes, skip_bad)
    if gallery.people is None or faces.people is None:
        raise BadInput("recognition needs to know who is on each picture: give --faces and --gallery with a "
                       "manifest.csv beside them (archive, file, split, identity), or SCface in its own layout")
    numbers = {person: number for number, person in enumerate(dict.fromkeys(faces.people))}
    others = {person: -1 - index for index, person in enumerate(dict.fromkeys(gallery.people))}
    cases = [re.search(r"(?:case|_cam[1-7]_)([1-4])$", Path(name).stem) for name in faces.names]
    about = {"sources": [str(Source.parse(source)) for source in sources], "images": len(gallery),
             "fingerprint": gallery.fingerprint}
    return Gallery(gallery.load(progress=False), [numbers.get(person, others[person]) for person in gallery.people],
                   [int(case[1]) if case else 0 for case in cases], about)


def open_training_faces(train: Sequence[str], val: Sequence[str], skip_bad: bool = False,
                        progress: bool = True) -> tuple[Tensor, Tensor, dict]:
    """Load the faces to train on and those to choose the weights on, and say what a run notes of both; BadInput if
    they share one."""
    train_faces, about_train = open_faces(train, skip_bad, progress)
    val_faces, about_val = open_faces(val, skip_bad, progress=False)
    if shared := same_faces(train_faces, val_faces):
        raise BadInput(f"{shared} validation images are also in --faces: give --val images that are not trained on")
    for about in (about_train, about_val):
        about.pop("people", None)
    return train_faces, val_faces, {"train": about_train, "val": about_val}


def published_set(source: Source) -> Faces:
    """Return a part of a data set in its official layout; BadInput if it has no such part."""
    name, _, split = source.kind.partition("-")
    root = find(source.root)
    options: dict[str, Any] = {"split": split} if split else {}
    if name == "scface" and os.path.lexists(landmarks := root / official.SCFACE_EYES):
        options["landmarks"] = landmarks
    parts = getattr(official, name)(root, **options)
    if source.part not in parts:
        raise BadInput(f"{source}: {source.kind} has the parts {', '.join(parts)}")
    return parts[source.part]
