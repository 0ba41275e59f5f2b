"""What a command's `--faces` and `--val` mean: files, folders, parts of the official data sets, or synthetic faces."""
from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BadInput
from ..files import find

if TYPE_CHECKING:  # `find` is used where there is no torch
    from torch import Tensor

LOADERS = ("celeba", "helen", "scface")


def open_faces(sources: str | Sequence[str], skip_bad: bool = False, progress: bool = True) -> tuple[Tensor, dict]:
    """Load faces, uint8 (N, 3, 128, 128), and say what they are: sources, count, fingerprint, the number of the person
    on each image (where a manifest.csv tells), and how many files were skipped.

    sources: folders and zips, looked for here and in $AMINET_FACES; or one of
        `celeba:ROOT:PART`, `celeba-identity:ROOT:PART` (train, val, test), `helen:ROOT:PART`, `scface:ROOT:PART`: a
        part of a data set in its official layout; `synthetic[:N[:SEED]]`: our own faces, 500 of seed 0.
    """
    sources = [str(source) for source in ([sources] if isinstance(sources, (str, Path)) else sources)]
    kind = sources[0].split(":")[0]
    if len(sources) == 1 and kind == "synthetic":
        return synthetic(sources[0])
    if len(sources) == 1 and kind.split("-")[0] in LOADERS and ":" in sources[0]:
        faces = official(sources[0])
    else:
        from .files import Faces

        faces = Faces(*map(find, sources), skip_bad=skip_bad)
    images = faces.load(progress=progress)
    about = {"sources": [public(source) for source in sources], "images": len(images),
             "fingerprint": faces.fingerprint}
    if faces.people:  # numbered, not named
        numbers = {person: i for i, person in enumerate(dict.fromkeys(faces.people))}
        about["people"] = [numbers[person] for person in faces.people]
    return images, about | ({"skipped": len(faces.skipped)} if faces.skipped else {})


def open_training_faces(train: Sequence[str], val: Sequence[str], skip_bad: bool = False,
                        progress: bool = True) -> tuple[Tensor, Tensor, dict]:
    """Faces to train on, faces to choose the weights on, and what a run notes of both; BadInput if they share one."""
    from .files import same_faces

    faces, about = open_faces(train, skip_bad, progress)
    chosen_on, about_val = open_faces(val, skip_bad, progress=False)
    if shared := same_faces(faces, chosen_on):
        raise BadInput(f"{shared} validation images are also in --faces: give --val images that are not trained on")
    noted = {part: {k: v for k, v in known.items() if k != "people"}
             for part, known in (("train", about), ("val", about_val))}
    return faces, chosen_on, noted


def public(source: str) -> str:
    """A source without the folders of this machine: records are published."""
    name, *rest = source.split(":")
    return ":".join([name, *rest[-1:]]) if rest and name.split("-")[0] in LOADERS else Path(source).name


def official(source: str):
    """The `Faces` of `NAME:ROOT:PART`, a part of a data set in its official layout."""
    from ..faces import official as datasets

    name, rest = source.split(":", 1)
    root, _, part = rest.rpartition(":")
    if not root:
        raise BadInput(f"{source!r}: write {name}:ROOT:PART, for example {name}:/data/{name}:test")
    loader, _, split = name.partition("-")
    parts = getattr(datasets, loader)(find(root), **({"split": split} if split else {}))
    if part not in parts:
        raise BadInput(f"{source!r}: {name} has the parts {', '.join(parts)}")
    return parts[part]


def synthetic(source: str) -> tuple[Tensor, dict]:
    """The faces of `synthetic[:N[:SEED]]`."""
    from .synthetic import faces

    numbers = source.split(":")[1:]
    if len(numbers) > 2 or not all(number.isdigit() for number in numbers):
        raise BadInput(f"{source!r}: write synthetic, synthetic:N or synthetic:N:SEED, for example synthetic:500:1")
    n, seed = (int(number) for number in numbers + ["500", "0"][len(numbers):])
    if n < 1:
        raise BadInput(f"{source!r}: at least one face, please")
    images = faces(n, seed)
    digest = hashlib.sha256(images.numpy().tobytes()).hexdigest()
    return images, {"sources": [f"synthetic:{n}:{seed}"], "images": n, "fingerprint": digest}


def noted(source: str) -> str:
    """A source as `open_faces` notes it."""
    words = public(source).split(":")
    return ":".join(words + ["500", "0"][len(words) - 1:]) if words[0] == "synthetic" else ":".join(words)
