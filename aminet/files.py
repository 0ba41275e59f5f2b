"""Files: where they are found, how they are written, what tells one from another."""
from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import contextmanager
from errno import ENAMETOOLONG, ENOSPC
from functools import lru_cache
from pathlib import Path

from .errors import BadInput

HERE = Path(__file__).resolve().parent
# The published tables, the weights and the records: in a clone beside the package, in a wheel (a part of them) inside.
IN_CLONE = not (HERE / "data").is_dir()
DATA = HERE.parent / "data" if IN_CLONE else HERE / "data"


def find(path: str | Path) -> Path:
    """The path itself, or the file of that name in the folder that $AMINET_FACES names."""
    inside = Path(os.environ.get("AMINET_FACES", ""), path)
    return inside if not Path(path).exists() and inside.exists() else Path(path)


def advice(error: OSError) -> str:
    """Say what to do about a file that cannot be read or written."""
    if error.errno == ENOSPC:
        return "free some space or choose another place"
    return "choose a shorter name" if error.errno == ENAMETOOLONG else "choose another place"


@contextmanager
def writing(path: Path):
    """Make the folder of `path`; a full disk, a file in the way or a missing permission raises BadInput."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}; what was there before is kept: {advice(error)}, then "
                       "run again (a training run continues with --resume)") from error


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
