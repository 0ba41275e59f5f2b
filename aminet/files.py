"""Files: where they are found, how they are written, what tells one from another."""
from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import contextmanager, suppress
from errno import ENAMETOOLONG, ENOSPC
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import BadInput

HERE = Path(__file__).resolve().parent
# The published tables, the weights and the records: in a clone beside the package, in a wheel (a part of them) inside.
IN_CLONE = not (HERE / "data").is_dir()
DATA = HERE.parent / "data" if IN_CLONE else HERE / "data"
LARGEST_JSON = 2**24  # bytes


def find(path: str | Path) -> Path:
    """The path itself, or the file of that name in the folder that $AMINET_FACES names."""
    inside = Path(os.environ.get("AMINET_FACES", ""), path)
    return inside if not Path(path).exists() and inside.exists() else Path(path)


class Kept(BadInput):
    """A file is there already, and is not overwritten."""


def advice(error: OSError) -> str:
    """Say what to do about a file that cannot be read or written."""
    if error.errno == ENOSPC:
        return "free some space or choose another place"
    return "choose a shorter name" if error.errno == ENAMETOOLONG else "choose another place"


@contextmanager
def writing(path: Path, folder: Path | None = None):
    """Make a folder, that of `path`; a full disk, a file in the way or a missing permission raises BadInput."""
    try:
        (folder or path.parent).mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}; what was there before is kept: {advice(error)}, then "
                       "run again (a training run continues with --resume)") from error


def check_outputs(paths: Iterable[Path], overwrite: bool = False, inputs: Iterable[Path] = (),
                  size: int = 2**14) -> None:
    """Refuse, before the work for them, files that are there (Kept, unless `overwrite`), inputs under whatever name,
    folders, and places where `size` bytes (of a record, say) cannot be written. Nothing is left behind."""
    protected = {file_id(path) for path in inputs} - {None}
    for path in paths:
        folder = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
        with writing(path, folder), suppress(FileNotFoundError):  # a name of 300 characters
            os.lstat(path)
        if os.path.isdir(path) or file_id(path) in protected:
            problem = "is a folder" if os.path.isdir(path) else "would overwrite the input"
            raise BadInput(f"{path} {problem}: choose another name")
        if os.path.lexists(path) and not overwrite:
            raise Kept(f"{path} exists and is kept: --overwrite replaces it")
        with writing(path, folder), tempfile.NamedTemporaryFile(dir=folder, prefix=f".{path.name}.") as file:
            file.write(bytes(size))


def record_name(*words: str | Sequence[str]) -> str:
    """Return the name of a record's file, made of words and sources of faces. What no file system takes is cut, and
    ends with a checksum of the whole."""
    name = "-".join(word if isinstance(word, str) else "+".join(Path(source).stem.replace(":", "_") for source in word)
                    for word in words)
    if len(os.fsencode(name)) > 240:
        name = f"{name[:50]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
    return f"{name}.json"


def file_id(path: Path) -> tuple[int, int] | None:
    """What all names and links of one file have in common; None if there is no file."""
    with suppress(OSError):
        return (status := os.stat(path)).st_dev, status.st_ino
    return None


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write, then rename: the file is the old one or the new one, never half of one. A full disk raises BadInput."""
    path = Path(path)
    with writing(path):
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)  # mkstemp makes private files
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def as_json(value: Any, **options) -> str:
    """Return a value as JSON that any reader takes: no NaN (but null), no Infinity (but 1e999, which is read as it)."""
    marked = json.loads(json.dumps(value), parse_constant=lambda name: None if name == "NaN" else f"\0{name}")
    return json.dumps(marked, **options).replace('"\\u0000Infinity"', "1e999").replace('"\\u0000-Infinity"', "-1e999")


def read_json(path: str | Path, text: str | bytes | None = None) -> Any:
    """Return what a JSON file holds, or a `text` in a file. BadInput if it is none, too large, or nested too deep."""
    try:
        if text is None and os.path.isfile(path) and (size := os.path.getsize(path)) <= LARGEST_JSON:
            with open(path, "rb") as file:
                text = file.read(size)  # and no more: some files of /proc never end
        if text is None or len(text) > LARGEST_JSON:
            raise ValueError(f"no file, or above {LARGEST_JSON >> 20} MiB")
        level = [value := json.loads(text)]
        for _ in range(50):
            level = [part for each in level if isinstance(each, (dict, list))
                     for part in (each.values() if isinstance(each, dict) else each)]
        if level:
            raise RecursionError("nested more than 50 deep")
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} is no JSON of aminet: {error}") from error
    return value


def check_shape(value: Any, shape: Any, name: str) -> None:
    """Raise BadInput, with the place, where JSON has not the shape that is expected of it.

    shape: a type, `float` for any finite number; a range of whole numbers; a pattern; a value; a tuple of these;
    [SHAPE] of each item; {str: SHAPE} of each value; {NAME: SHAPE}: NAME? may be missing, other names are allowed.
    """
    if isinstance(shape, dict) and isinstance(value, dict):
        for key, each in shape.items():
            places = value if key is str else [key] if key[-1] != "?" else [key[:-1]] if key[:-1] in value else []
            for place in places:
                check_shape(value.get(place, ...), each, f"{name}.{str(place)[:50]}")
    elif isinstance(shape, list) and isinstance(value, list):
        for each in value:
            check_shape(each, shape[0], f"{name}[]")
    elif not fits(value, shape):
        raise BadInput(f"{name} is {'missing' if value is ... else 'not what it should be'}")


def fits(value: Any, shape: Any) -> bool:
    """Whether a value has a shape without parts, see `check_shape`."""
    if isinstance(shape, tuple):
        return any(fits(value, choice) for choice in shape)
    if shape is float:
        return type(value) in (int, float) and -1e300 < value < 1e300
    if isinstance(shape, range):
        return type(value) is int and value in shape
    if isinstance(shape, re.Pattern):
        return isinstance(value, str) and bool(shape.fullmatch(value))
    return isinstance(value, shape) if isinstance(shape, type) else value == shape


def sha256(path: Path) -> str:
    """Hex digest of a file of any size, computed once per process while the file does not change."""
    status = path.stat()
    return _sha256(path, status.st_mtime_ns, status.st_size)


@lru_cache
def _sha256(path: Path, mtime: int, size: int) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()
