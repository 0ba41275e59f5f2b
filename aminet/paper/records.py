"""Sealed records: one look of a network at a set of faces, as JSON with its own checksum."""
from __future__ import annotations

import hashlib
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import BadInput
from ..files import sha256, write_atomically, writing
from ..training.weights import find_weights
from .runs import key_of


def looks_of(record: dict) -> list[dict]:
    """The looks at the faces behind a record; an old one tells of its first only."""
    first = {"when": record["created"], "command": record["command"],
             "metrics": [name for name in record["means"] if not name.startswith("bicubic_")]}
    return record.get("measured", [first])


def joined(record: dict, new: dict) -> dict[str, dict]:
    """The parts of a record with those of a new look: what the record has stays as it is, whatever the look found."""
    return {part: record.get(part, {}) | {k: v for k, v in found.items() if k not in record.get(part, {})}
            for part, found in new.items() if found}


def digest(record: dict) -> str:
    """sha256 of a record without its own seal."""
    content = {key: value for key, value in record.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def seal(record: dict) -> dict:
    """Add the checksum that shows later whether a record was edited by hand (by accident, not by intent).

    Returns what a reader of the file will see. A value that is undefined (nan) is written as null.
    """
    constants = {"NaN": None, "Infinity": math.inf, "-Infinity": -math.inf}
    record = json.loads(json.dumps(record), parse_constant=constants.get)
    return record | {"sha256": digest(record)}


def earlier(path: Path, weights: str | Path, about: dict) -> dict | None:
    """The record at `path`, which must be of these weights and faces (BadInput if not). None if there is none yet."""
    if not path.exists():
        return None
    record = read_record(path)
    if not same_look(record, sha256(find_weights(weights)), about):
        raise BadInput(f"{path} is the record of other weights or faces: give another folder with --records, "
                       "or replace it with --overwrite")
    return record


def same_look(record: dict, weights: str, about: dict) -> bool:
    """Whether a record is of the weights with this sha256 and of these faces."""
    return record["weights"]["sha256"] == weights and record["faces"]["fingerprint"] == about["fingerprint"]


def same_run(record: dict, header: dict, about: dict) -> bool:
    """Whether a record is of the training that a header tells of, at whatever point of it, and of the same faces."""
    ours = json.loads(json.dumps([header.get("config"), header.get("recipe"), header.get("data")]))
    theirs = [record["config"], record["weights"].get("recipe"), record["weights"].get("data")]
    return ours == theirs and record["faces"]["fingerprint"] == about["fingerprint"]


def add_record(record: dict, path: str | Path) -> Path:
    """Write the record of a look at faces. What another process has measured since, of the same weights and faces, is
    kept: its values as they are, its look in `measured`. BadInput if `path` is the record of others."""
    from filelock import FileLock

    path = Path(path)
    with writing(path), FileLock(path.parent / ".lock"):
        if path.exists() and (now := read_record(path)) != record:
            if not same_look(now, record["weights"]["sha256"], record["faces"]):
                raise BadInput(f"{path} has become the record of other weights or faces: give another folder")
            looks = [look for look in looks_of(record) if look not in looks_of(now)]
            parts = ("means", "gain", "undefined", "values", "draws", "networks", "versions")
            record = seal(now | joined(now, {part: record.get(part, {}) for part in parts})
                          | {"measured": [*looks_of(now), *looks]})
        return write_record(record, path)


def write_record(record: dict, path: str | Path) -> Path:
    """Write a record as JSON."""
    path = Path(path)
    write_atomically(path, (json.dumps(record, indent=None, separators=(",", ":")).replace('],"', '],\n"')
                            .replace('},"', '},\n"') + "\n").encode())
    return path


def read_record(path: str | Path) -> dict:
    """A record; BadInput when it is none, or when its seal is broken."""
    try:
        record = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is no record: {error}") from error
    if not isinstance(record, dict) or record.get("sha256") != digest(record):
        raise BadInput(f"{path} was edited after it was written: its seal does not fit")
    return record


def read_records(folder: str | Path) -> tuple[list[dict], list[str]]:
    """The sound evaluations in a folder, each with its `key`, and one line for each file that does not count: it was
    edited or damaged. Records of another kind are passed over."""
    records, problems = [], []
    for path in sorted(Path(folder).glob("*.json")):
        try:
            if record := _record(path, path.stat().st_mtime_ns):
                records.append(record)
        except (BadInput, OSError) as error:
            problems.append(f"{error}; it does not count")
    return records, problems


@cache
def _record(path: Path, mtime: int) -> dict[str, Any] | None:
    record = read_record(path)
    if record.get("kind") != "evaluation":
        return None
    try:
        about = {"name": record["protocol"]["name"], "sources": record["faces"]["sources"],
                 "sha256": record["weights"]["sha256"]}
        key = key_of({"config": record["config"], "recipe": record["weights"].get("recipe")})
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path} is no whole record ({type(error).__name__} {error})") from error
    slim = {name: value for name, value in record.items() if name not in ("values", "draws")}  # the bulk of it
    return slim | {"key": key, "about": about}
