"""The reproduction as a list of runs (runs.yaml): what each needs, how far it is, and the next one to continue.

A run is trained in OUT/NAME (aminet.training) and then measured on each test set, one record each. How far it is, is
read from its state, its weights and the records: nothing else is kept, so any stop can be continued, by any process.
Many runs at once are Snakemake's work (Snakefile).
"""
from __future__ import annotations

import math
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput
from ..faces.priors import open_priors
from ..faces.sources import LOADERS, noted, open_faces, open_training_faces
from ..files import find, sha256
from ..metrics.measure import METRICS
from ..training.device import usable
from ..training.folder import held, in_use
from ..training.games import GANGame, L1Game
from ..training.trainer import Trainer
from ..training.weights import PRETRAINED, read_header
from .evaluate import available_metrics, evaluate
from .records import _record, add_record, earlier, read_records
from .runs import RunSpec, key_of, runs, scale_of

ELSEWHERE = {7, 8}  # the tables that have other faces than CelebA's: their runs alone need more than one test set


# Records and weights


def records_of(spec: RunSpec, records: list[dict]) -> list[dict]:
    """The records of a run's weights under the protocol `paper`, by their content: the file's name does not matter."""
    return [record for record in records if record["key"] == spec.key and record["protocol"]["name"] == "paper"
            and record["weights"].get("images", 0) <= spec.recipe.images]


@cache
def _header(path: Path, mtime: int) -> dict:
    header = read_header(path)
    return header | {"key": key_of(header)}


@cache
def _digest(path: Path, mtime: int) -> str:
    return sha256(path)


def header_of(path: Path) -> dict:
    """The header of a file of tensors as it is now, with its `key`; {} if there is no file."""
    return _header(path, path.stat().st_mtime_ns) if path.exists() else {}


@dataclass(frozen=True)
class Status:
    """How far a run is.

    state: `done`; `trained`, but without a record of the test sets `missing`; `running` in another process; `partial`;
        `pending`; `waiting` for the start of a GAN; `unusable`. note: one line on it, or "".
    seen: images so far. rate: images per second of its own training on this kind of device, None if unknown.
    """

    state: str
    note: str = ""
    seen: int = 0
    rate: float | None = None
    missing: tuple[str, ...] = ()


class Reproduction:
    """The runs of a scale in a folder.

    out: the runs' folder. records: where records are looked for and written: data/records, or for smoke, whose numbers
    mean nothing, OUT/records. faces, val, test: instead of the scale's, as in `open_faces`; each of `test` is a test
    set of its own, for every run (see `tests`). device: auto, cpu or cuda. compiled: as in `Trainer`.
    Raises BadInput for an unknown scale and a device that is not here.
    """

    def __init__(self, scale: str, out: str | Path = "runs", records: str | Path | None = None,
                 faces: list[str] | None = None, val: list[str] | None = None, test: list[str] | None = None,
                 device: str = "auto", compiled: bool = False):
        data = scale_of(scale)["data"]
        self.out = Path(out)
        self.records = Path(records or (self.out / "records" if scale == "smoke" else "data/records"))
        self.train, self.val, self.test = faces or data["train"], val or data["val"], test or data["test"]
        self.everywhere = bool(test)
        if len({self.record("", source) for source in self.test}) < len(self.test):
            raise BadInput("two test sets would share a record: give files or folders with different names")
        self.device = "cuda" if usable(device) != "cpu" and torch.cuda.is_available() else "cpu"
        self.specs, self.compiled = {spec.name: spec for spec in runs(scale)}, compiled
        self.metrics = tuple(scale_of(scale).get("metrics", METRICS))
        self.available: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.opened: dict[str, tuple[Tensor, dict]] = {}  # test sets
        self.deadline, self.longest = math.inf, 0.0  # the longest evaluation of this call, in seconds

    # How far a run is

    def tests(self, spec: RunSpec) -> list[str]:
        """The run's test sets: all that the caller gave; of the scale's the first, and all for a run of ELSEWHERE."""
        whole = self.everywhere or ELSEWHERE & {table for table, _ in spec.rows}
        return self.test if whole else self.test[:1]

    def status(self, spec: RunSpec, records: list[dict] | None = None) -> Status:
        """How far a run is. Nothing is loaded or measured. records: as `read_records` has just read them."""
        running = in_use(self.out / spec.name)  # first: whoever holds the lock is changing what is read next
        known = records_of(spec, read_records(self.records)[0] if records is None else records)
        tests = self.tests(spec)
        missing = tuple(source for source in tests if not self.measured(spec, source, known))
        try:
            state = self.state(spec)
            weights = None if running else self.weights(spec)
            start = spec.start is None or self.weights(self.specs[spec.start])
        except BadInput as error:
            return Status("unusable", str(error), missing=missing)
        made = partial(Status, seen=state.get("progress", {}).get("seen", 0), missing=missing,
                       rate=rate_of(state, self.device))
        if running:
            return made("running", "in another process")
        if not missing and (not state or finished(spec, state)):
            return made("done", listing("without", sum(self.lacking(spec).values(), ())), seen=spec.recipe.images)
        if weights:
            return made("trained", listing("not evaluated on", map(noted, missing)), seen=spec.recipe.images)
        if spec.start and not start:
            gone = self.status(self.specs[spec.start], records).state == "done"
            return made("waiting", f"for {spec.start}" + GONE * gone)
        if state:
            return made("partial")
        there = [noted(source) for source in tests if source not in missing]
        return made("pending", there and listing("measured on", [*there, "the weights are gone"]) or "")

    def weights(self, spec: RunSpec) -> Path | None:
        """The weights of a finished training: in OUT, or committed ones that fit; None if there are none yet."""
        best = self.out / spec.name / "best.safetensors"
        if state := self.state(spec):
            return best if finished(spec, state) and self.header(spec, best) else None
        if best.exists() and not in_use(best.parent):
            raise BadInput(f"{best} has no state.safetensors beside it: move it away, or training would replace it")
        committed = sorted(PRETRAINED.glob("*.safetensors"))
        return next((path for path in committed if difference(spec, header_of(path), self.train) is None), None)

    def state(self, spec: RunSpec) -> dict:
        """The header of the run's state, {} if it has not begun; BadInput if it is of another run, or no state."""
        state = self.header(spec, path := self.out / spec.name / "state.safetensors")
        progress = state.get("progress")
        if state and not (isinstance(progress, dict) and type(progress.get("seen")) is int
                          and isinstance(progress.get("seconds"), float)):
            raise BadInput(f"{path} is no state of a run: move it away")
        return state

    def header(self, spec: RunSpec, path: Path) -> dict:
        """The header of a file of the run, {} if there is no file; BadInput if the file is of another run."""
        header = header_of(path)
        if header and (why := difference(spec, header, self.train)):
            raise BadInput(f"{path} is of another run, {why}: choose another --out")
        return header

    def measured(self, spec: RunSpec, source: str, records: list[dict]) -> bool:
        """Whether a record of the run on this test set is there; of the weights in OUT, if they are there: earlier
        ones of the same training may have been measured too. records: the run's."""
        best = self.out / spec.name / "best.safetensors"
        known = _digest(best, best.stat().st_mtime_ns) if best.exists() else None
        return any(record["about"]["sources"] == [noted(source)] and known in (None, record["about"]["sha256"])
                   and difference(spec, record["weights"] | {"key": record["key"]}, self.train) is None
                   for record in records)

    def asked(self, spec: RunSpec) -> tuple[str, ...]:
        """The scale's metrics; of a GAN FID, too, for Table VIII has it."""
        return tuple(dict.fromkeys((*self.metrics, *(("fid",) if spec.start else ()))))

    def lacking(self, spec: RunSpec) -> dict[str, tuple[str, ...]]:
        """What the run's own records lack of the scale's metrics, by test set: something was not at hand then."""
        found = {}
        for source in self.tests(spec):
            path = self.record(spec.name, source)
            try:
                record = _record(path, path.stat().st_mtime_ns)
            except (BadInput, OSError):  # none yet, or edited
                continue
            if names := tuple(name for name in self.asked(spec) if record and name not in record["means"]):
                found[source] = names
        return found

    def record(self, name: str, source: str) -> Path:
        """The file for the record of the run of that name on a test set."""
        return self.records / f"{name}-{Path(noted(source)).stem.replace(':', '_')}-paper.json"

    # Work

    @cached_property
    def faces(self) -> tuple[Tensor, Tensor, dict]:
        """The faces to train on, those to validate on, and what a run notes of both."""
        return open_training_faces(self.train, self.val)

    def open_tests(self, sources: list[str]) -> None:
        """Load test sets, and the faces to train on; BadInput if a file is not there, or if sets share an image: before
        the first training, not after."""
        from ..faces.files import same_faces

        for option, names in (("--faces", self.train), ("--val", self.val), ("--test", sources)):
            for source in names:
                kind = source.split(":")[0]
                if kind != "synthetic" and kind.split("-")[0] not in LOADERS and not find(source).exists():
                    raise BadInput(f"no {source} here or in $AMINET_FACES: give {option}; with CelebA and Helen as "
                                   "published, --faces celeba:ROOT:train --val celeba:ROOT:val "
                                   "--test celeba:ROOT:test helen:ROOT:test")
        train, val, _ = self.faces
        for source in sources:
            if source not in self.opened:
                images, about = open_faces([source])
                for option, known in (("--faces", train), ("--val", val)):
                    if shared := same_faces(known, images):
                        raise BadInput(f"{shared} test images are also in {option}: give --test images that are in "
                                       "neither")
                self.opened[source] = images, about

    def go(self, specs: list[RunSpec], budget: float | None = None) -> list[str]:
        """Continue unfinished runs, one after the other, most important first: train, then evaluate.

        budget: minutes for everything, None for no end. Returns a line for each run that failed; the others went on.
        Raises BadInput before any work if faces are missing or the budget is not above zero, and KeyboardInterrupt when
        asked to stop: everything is saved.
        """
        if budget is not None and not budget > 0:
            raise BadInput(f"a budget of {budget} minutes leaves no time: give more than 0, or leave --budget out")
        self.deadline = math.inf if budget is None else time.monotonic() + 60 * budget
        todo, failed = ("trained", "partial", "pending"), []
        records = read_records(self.records)[0]
        missing = [source for spec in specs if (status := self.status(spec, records)).state in todo for source in
                   (status.missing or self.tests(spec))]
        if missing:
            self.open_tests(list(dict.fromkeys(missing)))
        for spec in specs:
            try:
                status = self.status(spec)
                if status.state == "unusable":
                    raise BadInput(status.note)
                if status.state in ("waiting", "running"):
                    say(f"{spec.name} is {status.state} {status.note}")
                elif status.state != "done" or self.addable(spec):
                    with held(self.out / spec.name) as mine:
                        if mine and not self.go_on(spec):
                            break
            except BadInput as error:
                failed.append(f"{spec.name}: {error}")
                say(f"aminet: {failed[-1]}")
        return failed

    def go_on(self, spec: RunSpec) -> bool:
        """Train a run, and evaluate it when its training is finished. False: the time is over, before its end."""
        if (status := self.status(spec)).state in ("partial", "pending"):
            self.train_run(spec, status)
            status = self.status(spec)
        if status.state in ("trained", "done"):
            self.evaluate_run(spec, [*status.missing, *self.addable(spec)])
        return status.state not in ("partial", "pending") and self.left() > 0

    def left(self) -> float:
        """Seconds until the budget is used up."""
        return self.deadline - time.monotonic()

    def measurable(self, spec: RunSpec) -> tuple[str, ...]:
        """Of what is `asked`, what can be measured here; says once what cannot."""
        asked = self.asked(spec)
        if asked not in self.available:
            self.available[asked], problems = available_metrics(asked)
            for problem in problems:
                say(problem)
        return self.available[asked]

    def addable(self, spec: RunSpec) -> list[str]:
        """The test sets whose record lacks a metric that can be measured now."""
        return [source for source, names in self.lacking(spec).items() if set(names) & set(self.measurable(spec))]

    def trainer(self, spec: RunSpec, resume: bool = False) -> Trainer:
        """The run, ready to train."""
        faces, val, data = self.faces
        options: dict[str, Any] = {"resume": resume, "device": self.device, "compiled": self.compiled}
        if spec.start:
            game = GANGame(self.weights(self.specs[spec.start]), spec.recipe, val)
        else:
            options["priors"] = open_priors(faces, self.train, spec.config.priors)
            game = L1Game(spec.config, spec.recipe, spec.preset, priors=options["priors"])
        return Trainer(game, faces, val, self.out / spec.name, data, **options)

    def train_run(self, spec: RunSpec, status: Status) -> None:
        """Train to the end, or until the budget leaves only what validation and saving take."""
        say(f"{spec.name}: {status.seen:,} of {spec.recipe.images:,} images seen")
        trainer, left = self.trainer(spec, status.state == "partial"), self.left()
        if left < math.inf:
            seconds = 1 / status.rate if status.rate else 1.1 * trainer.speed(0 if self.device == "cuda" else 2)
            needed, held = (spec.recipe.images - status.seen) * seconds, len(trainer.val) * seconds
            left = self.left()
            if left < held:
                trainer.folder.release()
                say(f"{spec.name}: not continued, {span(max(left, 0) / 60)} are left and some {span(held / 60)} are "
                    f"kept for validation and saving: give --budget {math.ceil(held / 60) + 1} or more")
                return
            if needed > left:
                say(f"{spec.name} needs some {span(needed / 60)} more here and stops in {span(left / 60)}; the same "
                    f"command continues it. A training that ends in time: python -m aminet train "
                    f"{shlex.quote(spec.preset)} --minutes {max(1, int(left / 60))} --schedule cosine ...")
        trainer.train(left / 60 if left < math.inf else None)

    def evaluate_run(self, spec: RunSpec, sources: list[str]) -> None:
        """Measure a trained run on test sets, one record each. What does not fit into the time waits."""
        weights, metrics = self.weights(spec), self.measurable(spec)
        self.open_tests(sources)
        for source in sources:
            begin = time.monotonic()
            if self.left() < self.longest or self.left() <= 0:
                say(f"{spec.name}: trained, not evaluated on {noted(source)}: the time is over")
                continue
            (faces, about), target = self.opened[source], self.record(spec.name, source)
            words = ["evaluate", str(weights), "--faces", source, "--metrics", *metrics]
            command = shlex.join(os.path.relpath(word) if os.path.isabs(word) else word for word in words)
            add_record(evaluate(weights, faces, about, "paper", metrics, self.device, f"python -m aminet {command}",
                                record=earlier(target, weights, about)), target)
            self.longest = max(self.longest, time.monotonic() - begin)


def difference(spec: RunSpec, header: dict, faces: list[str]) -> str | None:
    """In words, how a header differs from what the run's must be, trained on these faces; None if it does not."""
    if not spec.fits(header):
        return "its configuration or recipe differs"
    learnt = (header.get("data") or {}).get("train", {}).get("sources")
    return None if learnt == [noted(source) for source in faces] else f"trained on {learnt}"


def rate_of(state: dict, device: str) -> float | None:
    """Images per second of the training behind a state; None if it has not begun, or was on another kind of device."""
    progress = state.get("progress", {"seconds": 0.0})
    here = state.get("device", "").startswith(device) and progress["seconds"] > 0
    return progress["seen"] / progress["seconds"] if here else None


def finished(spec: RunSpec, state: dict) -> bool:
    """Whether a state's training has seen all the recipe's images: not one more batch fits."""
    return state["progress"]["seen"] + spec.recipe.batch > spec.recipe.images


# What the command line prints

GONE = ", whose weights are gone: --records EMPTY_FOLDER trains it again"


def listing(words: str, names: Iterable[str]) -> str:
    """Words before names; "" if there are none."""
    names = list(dict.fromkeys(names))
    return f"{words} {', '.join(names)}" if names else ""


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def overview(work: Reproduction, specs: list[RunSpec]) -> dict:
    """Every run with its state, and what is wrong with records; as JSON it is `--list --json`.

    minutes: left to train here at the speed that the run itself had, None if it has not begun.
    """
    rows, (records, problems) = [], read_records(work.records)
    for spec in specs:
        status = work.status(spec, records)
        left = spec.recipe.images - status.seen
        minutes = round(left / status.rate / 60, 2) if left and status.rate else None if left else 0.0
        rows.append({"name": spec.name, "state": status.state, "note": status.note, "seen": status.seen,
                     "images": spec.recipe.images, "minutes": minutes,
                     "rows": [f"{table}: {row}" for table, row in spec.rows]})
    return {"device": work.device, "runs": rows, "problems": problems}


def format_overview(report: dict) -> str:
    """`overview` as text."""
    lines = []
    for run in report["runs"]:
        images = f"{run['seen']:,} of {run['images']:,}"
        minutes = "~" + span(run["minutes"]) if run["minutes"] else "-"
        lines.append((run["name"], run["state"], images, minutes, "; ".join(run["rows"]), run["note"]))
    head = ("run", "state", "images seen", "to train", "table: row", "")
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(4)]
    text = []
    for name, state, images, minutes, rows, note in [head, *lines]:
        text.append(f"{name:{widths[0]}}  {state:{widths[1]}}  {images:>{widths[2]}}  {minutes:>{widths[3]}}  {rows}"
                    + (f"  ({note})" if note else ""))
    counts = Counter(run["state"] for run in report["runs"])
    text.append(f"{len(lines)} runs: {', '.join(f'{n} {state}' for state, n in counts.items())}")
    return "\n".join(text + report["problems"])


def span(minutes: float) -> str:
    """Minutes as a reader likes them: 40 s, 12 min, 5.1 h, 3.0 days."""
    for below, unit, size in ((1, "s", 1 / 60), (120, "min", 1), (48 * 60, "h", 60)):
        if minutes < below:
            return f"{minutes / size:.0f} {unit}" if unit != "h" else f"{minutes / size:.1f} h"
    return f"{minutes / 1440:.1f} days"
