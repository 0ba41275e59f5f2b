"""The folder of a run: its files, its lock and its log."""
from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import BadInput
from ..files import as_json, check_outputs, read_json, write_atomically, writing
from ..train import Recipe
from .weights import read_header

FILES = ("state.safetensors", "best.safetensors", "best.json", "log.jsonl")  # of a run
KEYS = ("config", "recipe", "data", "start", "vgg19")  # of a header, in which a state and its run agree


class Busy(BadInput):
    """Another process works in the folder."""


def lock_of(folder: str | Path):
    """Return the lock of a run's folder. The process that holds it may take it again; for others it raises Timeout."""
    return FileLock(Path(folder) / ".lock", timeout=0.5, is_singleton=True)


def locked(folder: str | Path):
    """Lock a run's folder until the end of `with` what it returns; Busy if another process works there."""
    with writing(Path(folder, ".lock")):
        try:
            return lock_of(folder).acquire()
        except Timeout:
            raise Busy(f"another process works in {folder}: wait for it, or choose another --out") from None


def in_use(folder: str | Path) -> bool:
    """Whether another process works in a run's folder."""
    try:
        if (Path(folder) / ".lock").exists():
            with lock_of(folder).acquire(timeout=0):
                pass
    except OSError as error:  # another one: no lock of ours, and `locked` says why
        return isinstance(error, Timeout)
    return False


def check_run(out: str | Path, resume: bool) -> dict[str, Any]:
    """Return the header of the state to resume, {} for a new run; nothing is changed.

    BadInput if the folder holds another run or a part of one without a state, or with `resume` no run, and if nothing
    can be written there; Busy while another process works there.
    """
    out = Path(out)
    state, *others = (out / name for name in FILES)
    check_outputs([state], overwrite=True)
    for path in (state, *others, out / ".lock"):
        if os.path.lexists(path) and not os.path.isfile(path):
            raise BadInput(f"{path} is no file: move it away, or choose another --out")
    if resume and not state.exists():
        raise BadInput(f"{out} holds no run to resume: leave out --resume")
    if in_use(out):
        raise Busy(f"another process works in {out}: wait for it, or choose another --out")
    if resume:
        return header_of_state(state)
    if state.exists():
        raise BadInput(f"{out} holds a run already: continue it with --resume, or choose another --out")
    for path in filter(Path.exists, others):
        with open(path, "rb") as file:  # of a run that was killed before its first state, only a log may be left
            if path.suffix != ".jsonl" or file.read(11) not in (b"", b'{"images": '):
                raise BadInput(f"{path} is there without a state: move it away, or choose another --out")
    return {}


def header_of_state(path: Path) -> dict[str, Any]:
    """Return the header of a run's state; BadInput if the file is none."""
    if "progress" not in (header := read_header(path)):
        raise BadInput(f"{path} is no state of a run, its header has no progress: move it away, and start again")
    return header


def same_run(state: Path, header: dict[str, Any], wanted: dict[str, Any], keys: tuple[str, ...] = KEYS) -> None:
    """Raise BadInput if a state's header is of another run than the `wanted` one, by these keys."""
    wanted = json.loads(json.dumps(wanted))  # tuples become lists
    free = ("images", "minutes") if wanted["recipe"]["schedule"] == "constant" else ()  # a longer run may continue it
    for key in keys:
        ours, theirs = (value if isinstance(value, dict) else {"file": value}
                        for value in (wanted.get(key, {}), header.get(key, {})))
        theirs = asdict(Recipe()) | theirs if key == "recipe" else theirs  # an earlier version noted less
        changed = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
                         and not (key == "recipe" and name in free))
        if changed:
            raise BadInput(f"{state} is another run: its {key} differs in {', '.join(changed)[:200]}")


class RunFolder:
    """OUT with best.safetensors and best.json, state.safetensors and log.jsonl (one line of JSON an event).

    Taking it locks it, and sweeps what a kill left half written. BadInput, and nothing is changed, as in `check_run`.
    first: of several processes one takes the lock and writes.
    """

    def __init__(self, out: str | Path, resume: bool = False, first: bool = True):
        self.out, self.first, self.lock = Path(out), first, None
        self.state, self.best, _, self.journal = (self.out / name for name in FILES)
        if not first:
            return
        check_run(out, resume)  # a run that is refused makes no folder
        self.take()
        try:
            check_run(out, resume)  # another process may have begun one
            if not resume:  # what a run logged that was killed before its first state is nobody's
                write_atomically(self.journal, b"")
        except BadInput:
            self.release()
            raise
        for name in FILES:
            for left in self.out.glob(f".{name}.*"):
                left.unlink(missing_ok=True)

    def take(self) -> None:
        """Lock the folder, if it is not locked by this object."""
        if self.first and not self.lock:
            self.lock = locked(self.out).lock

    def release(self) -> None:
        if self.lock:
            self.lock.release()
            self.lock = None

    def log(self, **values) -> None:
        """Add a line to the log."""
        if self.first:
            with writing(self.journal), open(self.journal, "a") as file:
                file.write(as_json(values) + "\n")

    def trim(self, seen: int, validated: int) -> None:
        """Drop the log's lines after a state's images and its last validation, and those that nobody wrote whole."""
        def ours(line: bytes) -> bool:
            try:
                values = read_json(self.journal, line)
                return values["images"] <= (validated if "val_psnr" in values else seen)
            except (ValueError, TypeError, KeyError):
                return False

        if self.first and self.journal.exists():
            with open(self.journal, "rb") as file:  # no line of ours is longer
                lines = [line for line in iter(lambda: file.readline(2**16), b"") if ours(line)]
            write_atomically(self.journal, b"".join(lines))

    def last_state(self) -> str:
        """Where a run that failed left its last good state, for the end of an error; "" if there is none."""
        return f"; the last good state is in {self.state}" if self.state.exists() else ""
