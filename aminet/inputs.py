"""What a command's `--faces` and `--val` mean: files, folders, names in $AMINET_FACES, or our synthetic faces."""
from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from .errors import BadInput


def find(path: str | Path, variable: str = "AMINET_FACES") -> Path:
    """The path itself, or the file of that name in the folder that an environment variable names."""
    path, folder = Path(path), os.environ.get(variable)
    if not path.exists() and folder and (Path(folder) / path).exists():
        return Path(folder) / path
    return path


def open_faces(sources: str | Sequence[str], skip_bad: bool = False, progress: bool = True) -> tuple[Tensor, dict]:
    """Load faces, uint8 (N, 3, 128, 128), and say what they are: names, count, fingerprint, skipped files.

    sources: folders and zips, looked for here and in $AMINET_FACES; or one `synthetic[:N[:SEED]]` (500 faces, seed 0).
    """
    sources = [sources] if isinstance(sources, (str, Path)) else list(sources)
    if len(sources) == 1 and str(sources[0]).split(":")[0] == "synthetic":
        return synthetic(str(sources[0]))
    from .faces import Faces

    faces = Faces(*map(find, sources), skip_bad=skip_bad)
    images = faces.load(progress=progress)
    about = {"sources": [Path(source).name for source in sources], "images": len(images),
             "fingerprint": faces.fingerprint}
    return images, about | ({"skipped": len(faces.skipped)} if faces.skipped else {})


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
