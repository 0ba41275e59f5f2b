"""The folder of a run: its files, its lock and its log."""
from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import BadInput
from ..files import write_atomically, writing


class Busy(BadInput):
    """Another process works in the folder."""


def lock_of(folder: str | Path):
    """Return the lock of a run's folder. The process that holds it may take it again; for others it raises Timeout."""
    return FileLock(Path(folder) / ".lock", timeout=0.5, is_singleton=True)


def locked(folder: str | Path):
    """Lock a run's folder until `release` of what it returns; Busy if another process works there."""
    lock = lock_of(folder)
    with writing(Path(lock.lock_file)):
        try:
            lock.acquire()
        except Timeout:
            raise Busy(f"another process works in {folder}: wait for it, or choose another --out") from None
    return lock


@contextmanager
def held(folder: str | Path):
    """Lock a run's folder until the end of the block: gives True, or False if another process works there."""
    try:
        lock = locked(folder)
    except Busy:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def in_use(folder: str | Path) -> bool:
    """Whether another process works in a run's folder."""
    try:
        if (Path(folder) / ".lock").exists():
            with lock_of(folder).acquire(timeout=0):
                pass
    except (Timeout, OSError):
        return True
    return False


class RunFolder:
    """OUT with best.safetensors and best.json, state.safetensors and log.jsonl (one line of JSON an event).

    Taking it locks it, and sweeps what a kill left half written. BadInput, and nothing is changed, if it holds another
    run or weights without a state, or with `resume` no run; Busy while another process works there.
    first: of several processes one takes the lock and writes.
    """

    def __init__(self, out: str | Path, resume: bool = False, first: bool = True):
        self.out, self.first, self.lock = Path(out), first, None
        self.state, self.best, self.journal = (
            self.out / name for name in ("state.safetensors", "best.safetensors", "log.jsonl"))
        if resume and not self.state.exists():
            raise BadInput(f"{self.out} holds no run to resume: leave out --resume")
        if not first:
            return
        self.take()
        try:
            if not resume:
                self.begin()
        except BadInput:
            self.release()
            raise
        for name in ("state.safetensors", "best.safetensors", "best.json", "log.jsonl"):
            for left in self.out.glob(f".{name}.*"):
                left.unlink(missing_ok=True)

    def begin(self) -> None:
        """Begin the log of a new run; BadInput if the folder is another's."""
        if self.state.exists():
            raise BadInput(f"{self.out} holds a run already: continue it with --resume, or choose another --out")
        if self.best.exists():
            raise BadInput(f"{self.best} is there without a state: move it away, or choose another --out")
        write_atomically(self.journal, b"")  # what a run logged that was killed before its first state is nobody's

    def take(self) -> None:
        """Lock the folder, if it is not locked by this object."""
        if self.first and not self.lock:
            self.lock = locked(self.out)

    def release(self) -> None:
        if self.lock:
            self.lock.release()
            self.lock = None

    def log(self, **values) -> None:
        """Add a line to the log."""
        if self.first:
            with writing(self.journal), open(self.journal, "a") as file:
                file.write(json.dumps(values) + "\n")

    def trim(self, seen: int, validated: int) -> None:
        """Drop the log's lines after a state's images and its last validation, and those that nobody wrote whole."""
        def ours(line: bytes) -> bool:
            try:
                values = json.loads(line)
                return values["images"] <= (validated if "val_psnr" in values else seen)
            except (ValueError, TypeError, KeyError):
                return False

        if self.first and self.journal.exists():
            lines = self.journal.read_bytes().splitlines(keepends=True)
            write_atomically(self.journal, b"".join(filter(ours, lines)))

    def last_state(self) -> str:
        """Where a run that failed left its last good state, for the end of an error; "" if there is none."""
        return f"; the last good state is in {self.state}" if self.state.exists() else ""
