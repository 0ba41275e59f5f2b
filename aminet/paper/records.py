"""Sealed records: what was measured of a network on a set of faces, as JSON with its own checksum."""
from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from math import inf
from pathlib import Path

from ..errors import BadInput
from ..files import check_shape, read_json, sha256, write_atomically, writing
from ..training.weights import COUNT, HEADER, TIME, find_weights, read_header
from .runs import key_of

PER_METRIC = ("versions", "networks", "means", "gain", "undefined", "values", "draws")  # what a measurement adds to
UNBOUNDED = (float, None, inf, -inf)  # the mean PSNR of equal pictures is infinite, that of an undefined metric null
# What records hold, as far as it is read again. Of an evaluation that was edited, its FIRST_LOOK still counts.
FIRST_LOOK = {"config": dict, "weights": HEADER, "protocol": {"name": str}, "created": TIME,
              "faces": {"sources": [str], "fingerprint": str, "images": range(1, 2**53), "people?": [COUNT]}}
SHAPES = {
    "evaluation": FIRST_LOOK | {
        "weights": HEADER | {"sha256": str, "committed?": str}, "measured": [dict], "describe": str,
        "means": {str: {"mean": UNBOUNDED, "low?": UNBOUNDED, "high?": UNBOUNDED}}, "gain": {str: dict},
        "values": {str: list}, "draws?": {str: list}, "undefined?": {str: COUNT}, "versions": dict, "networks?": dict},
    "speeds": {"preset": str, "device": str, "created": TIME, "machine": {"cpu": str, "gpu?": str, "threads": COUNT},
               "rows": [{"config": dict, "seconds": float}]}}


def digest(record: dict) -> str:
    """Return the SHA-256 of a record without its own seal."""
    content = {key: value for key, value in record.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def seal(record: dict) -> dict:
    """Add the checksum that shows later whether a record was edited by hand (by accident, not by intent).

    Returns what a reader of the file will see. A value that is undefined (nan) is written as null.
    """
    record = json.loads(json.dumps(record), parse_constant=lambda name: None if name == "NaN" else float(name))
    return record | {"sha256": digest(record)}


def sealed(kind: str, **content) -> dict:
    """Return a sealed record of a kind, which says when and by which command it was made."""
    return seal({"kind": kind, **content, **made()})


def made(command: str = "") -> dict[str, str]:
    """Return when a record is `created`, which is now, and by which `command`: this process's if none is given."""
    return {"created": time.strftime("%FT%TZ", time.gmtime()), "command": command or command_line()}


def command_line(words: Sequence[str] = ()) -> str:
    """Return a command of these words, or this process's own, without the folders of this machine.

    "" in another program, such as a notebook's kernel.
    """
    program = Path(sys.argv[0])
    if not words and program.stem != "aminet" and program.parts[-2:] != ("aminet", "__main__.py"):
        return ""
    return "python -m aminet " + shlex.join(map(_without_folders, words or sys.argv[1:]))


def _without_folders(word: str) -> str:
    """Return a word of a command; of an absolute path what lies below this folder, or the name alone."""
    if not os.path.isabs(word):
        return word
    below = os.path.relpath(word)
    return os.path.basename(word) if below.startswith("..") else below


def merged(record: dict, other: dict) -> dict:
    """Return a record with what another one of the same weights and faces adds, sealed.

    What the record has stays as it is, whatever the other one says; both their measurements are listed, and those from
    the committed copy of the weights say so (`weights`: its SHA-256).
    """
    # three times: the order of the record's own keys, then the other's, and the record's own values
    parts = {part: record.get(part, {}) | other.get(part, {}) | record.get(part, {}) for part in PER_METRIC}
    copy, trained = other["weights"]["sha256"], record["weights"]["sha256"]
    looks = [each | ({"weights": copy} if copy != trained else {}) for each in other["measured"]]
    measured = record["measured"] + [each for each in looks if each not in record["measured"]]
    return seal(record | {"measured": measured} | {part: values for part, values in parts.items() if values})


def same_subject(record: dict, weights: str, faces: dict) -> bool:
    """Whether a record is of the weights with this SHA-256, as trained or as committed, and of these faces."""
    same = weights in (record["weights"]["sha256"], record["weights"].get("committed"))
    return same and record["faces"]["fingerprint"] == faces["fingerprint"]


def earlier(path: Path, weights: str | Path, about: dict) -> dict | None:
    """Read the record at `path`, which must be of these weights and faces (BadInput if not); None if there is none."""
    if not path.exists():
        return None
    record = read_record(path, "evaluation")
    if not same_subject(record, sha256(find_weights(weights)), about):
        raise BadInput(f"{path} is the record of other weights or faces: give another folder with --records, "
                       "or replace it with --overwrite")
    return record


def add_record(record: dict, path: str | Path) -> Path:
    """Write a record, and keep what another process has measured meanwhile of the same weights and faces.

    BadInput if `path` is the record of others.
    """
    from filelock import FileLock

    path = Path(path)
    with writing(path), FileLock(path.parent / ".lock"):
        if path.exists() and (there := read_record(path, "evaluation")) != record:
            if not same_subject(there, record["weights"]["sha256"], record["faces"]):
                raise BadInput(f"{path} has become the record of other weights or faces: give another folder")
            record = merged(there, record)
        return write_record(record, path)


def note_committed(weights: str | Path, folder: str | Path) -> list[str]:
    """Note the SHA-256 of committed weights, a copy in fp16, in the records of their training; returns these files.

    The records' numbers stay those of the weights as trained.
    """
    header, noted = read_header(weights), []
    for path in sorted(Path(folder).glob("*.json")):
        record = read_record(path)
        ours = record["weights"] if record.get("kind") == "evaluation" else {}
        same_run = key_of(ours | {"config": record.get("config")}) == key_of(header)
        if same_run and ours.get("chosen") == header.get("chosen"):
            write_record(seal(record | {"weights": ours | {"committed": sha256(Path(weights))}}), path)
            noted.append(path.name)
    return noted


def write_record(record: dict, path: str | Path) -> Path:
    """Write a record as JSON, in lines that a reader can find his way in."""
    text = json.dumps(record, separators=(",", ":")).replace('],"', '],\n"').replace('},"', '},\n"')
    write_atomically(path, f"{text}\n".encode())
    return Path(path)


def read_record(path: str | Path, kind: str = "") -> dict:
    """Read a record; BadInput when it is none, when its seal is broken, when it lacks what records of its kind hold, or
    when it is of another `kind` than the given one."""
    record = read_json(path)
    if not isinstance(record, dict) or record.get("sha256") != digest(record):
        raise BadInput(f"{path} was edited after it was written: its seal does not fit")
    found = str(record.get("kind"))[:50]
    if kind and found != kind:
        raise BadInput(f"{path} is another kind of record, {found!r}: move it away, or give another folder")
    check_shape(record, SHAPES.get(found, {}), f"{path} is no whole record: it")
    return record


def read_records(folder: str | Path) -> tuple[list[dict], list[str]]:
    """Read the sound evaluations in a folder (see `read_evaluation`), and say in a line which files do not count.

    Records of another kind are passed over.
    """
    records, problems = [], []
    for path in sorted(Path(folder).glob("*.json")):
        try:
            records.append(read_evaluation(path))
        except (BadInput, OSError) as error:
            problems.append(f"{error}; it does not count")
    return [record for record in records if record], problems


def read_evaluation(path: Path) -> dict | None:
    """Read the record of an evaluation, without its values and draws, and with the `key` of its run; None for a record
    of another kind. BadInput when it was edited, or lacks what every evaluation has. Cached while the file stays."""
    return _read_evaluation(path, path.stat().st_mtime_ns)


def evaluation_at(path: Path) -> dict:
    """Return what `read_evaluation` does, {} if there is none that is sound."""
    with suppress(BadInput, OSError):
        return read_evaluation(path) or {}
    return {}


@cache
def _read_evaluation(path: Path, mtime: int) -> dict | None:
    record = read_record(path)
    if record.get("kind") != "evaluation":
        return None
    key = key_of(record["weights"] | {"config": record["config"]})
    return {name: value for name, value in record.items() if name not in ("values", "draws")} | {"key": key}
