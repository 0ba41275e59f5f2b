"""The reproduction as a list of runs (runs.yaml): what each needs, how far it is, and the next one to continue.

A run is trained in OUT/NAME (aminet.training) and then measured on each test set, one record each. How far it is, is
read from its state, its weights and the records: nothing else is kept, so any stop can be continued, by any process.
Many runs at once are Snakemake's work (Snakefile).
"""
from __future__ import annotations

import math
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter
from pathlib import Path

from torch import Tensor

from ..errors import BadInput, printable
from ..faces.dataset import same_faces
from ..faces.priors import open_priors
from ..faces.sources import Source, canonical, open_faces, open_training_faces
from ..files import check_outputs, find, record_name, sha256
from ..metrics.measure import METRICS
from ..train import Recipe
from ..training.device import usable
from ..training.folder import Busy, header_of_state, in_use, locked
from ..training.games import GANGame, GANRecipe, L1Game
from ..training.trainer import Trainer
from ..training.weights import PRETRAINED, read_header
from .evaluate import available_metrics, evaluate
from .published import ROMAN
from .records import add_record, command_line, earlier, evaluation_at, read_records
from .runs import RunSpec, choose, key_of, runs, scale_of
from .text import aligned

ELSEWHERE = {7, 8}  # the tables that have other faces than CelebA's: their runs alone need more than one test set


def records_of(spec: RunSpec, records: list[dict]) -> list[dict]:
    """Return the records of a run's weights under the protocol `paper`, whatever the names of their files."""
    return [record for record in records if record["key"] == spec.key and record["protocol"]["name"] == "paper"
            and record["weights"].get("images", 0) <= spec.images]


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
    set of its own, for every run (see `tests`). device: auto, cpu or cuda. compiled: as in `Trainer`. quiet: without
    bars, and without a line on how it goes.
    Raises BadInput for an unknown scale and a device that is not here.
    """

    def __init__(self, scale: str, out: str | Path = "runs", records: str | Path | None = None,
                 faces: list[str] | None = None, val: list[str] | None = None, test: list[str] | None = None,
                 device: str = "auto", compiled: bool = False, quiet: bool = False):
        data = scale_of(scale)["data"]
        self.out = Path(out)
        self.records = Path(records or (self.out / "records" if scale == "smoke" else "data/records"))
        self.train, self.val, self.test = faces or data["train"], val or data["val"], test or data["test"]
        self.train_sources, self.everywhere = [canonical(source) for source in self.train], bool(test)
        if len({self.record("", source) for source in self.test}) < len(self.test):
            raise BadInput("two test sets would share a record: give files or folders with different names")
        self.device = usable(device)
        self.specs, self.compiled, self.quiet = {spec.name: spec for spec in runs(scale)}, compiled, quiet
        self.say = lambda line: quiet or print(line, file=sys.stderr, flush=True)
        self.available: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.opened: dict[str, tuple[Tensor, dict]] = {}  # test sets
        self.deadline = math.inf  # of this call
        self.longest = 0.0  # seconds of its longest evaluation

    # How far a run is

    def tests(self, spec: RunSpec) -> list[str]:
        """Return the run's test sets: all that the caller gave; of the scale's the first, and all for ELSEWHERE."""
        whole = self.everywhere or ELSEWHERE & {table for table, _ in spec.rows}
        return self.test if whole else self.test[:1]

    def record(self, name: str, source: str) -> Path:
        """Return the file for the record of the run of that name on a test set."""
        return self.records / record_name(name, [canonical(source)], "paper")

    def status(self, spec: RunSpec, records: list[dict] | None = None) -> Status:
        """Return how far a run is. Nothing is loaded or measured. records: as `read_records` has just read them."""
        running = in_use(self.out / spec.name)  # first: whoever holds the lock is changing what is read next
        missing = self.missing(spec, read_records(self.records)[0] if records is None else records)
        try:
            begun, weights = self.progress(spec), None if running else self.weights(spec)
            waiting = self.waiting(spec, records)
        except BadInput as error:
            return Status("unusable", str(error), missing=missing)
        seen, rate = begun or (0, None)
        if running:
            state, note = "running", "in another process"
        elif not missing and (not begun or spec.recipe.complete(seen)):
            state, note = "done", listing("without", sum(self.lacking(spec).values(), ()))
        elif weights:
            state, note = "trained", listing("not evaluated on", map(canonical, missing))
        elif waiting:
            state, note = "waiting", waiting
        elif begun:
            state, note = "partial", ""
        else:
            measured = [canonical(source) for source in self.tests(spec) if source not in missing]
            state, note = "pending", listing("measured on", [*measured, "the weights are gone"]) if measured else ""
        return Status(state, note, spec.images if state in ("done", "trained") else seen, rate, missing)

    def waiting(self, spec: RunSpec, records: list[dict] | None) -> str:
        """Return what a GAN waits for, the weights of its start; "" if they are there, and for other runs."""
        start = self.specs[spec.start] if spec.start else None
        if not start or self.weights(start):
            return ""
        gone = ", whose weights are gone: --records EMPTY_FOLDER trains it again"
        return f"for {start.name}{gone if self.status(start, records).state == 'done' else ''}"

    def weights(self, spec: RunSpec) -> Path | None:
        """Return the weights of a finished training: in OUT, or committed ones; None if there are none yet."""
        best = self.out / spec.name / "best.safetensors"
        if begun := self.progress(spec):
            return best if spec.recipe.complete(begun[0]) and best.exists() and self.header(spec, best) else None
        if best.exists() and not in_use(best.parent):
            raise BadInput(f"{best} has no state.safetensors beside it: move it away, or training would replace it")
        return self.committed.get(spec.key)

    @cached_property
    def committed(self) -> dict[str, Path]:
        """The weights of the course that learnt from these faces, by the key of their run."""
        headers = {path: read_header(path) for path in sorted(PRETRAINED.glob("*.safetensors"), reverse=True)}
        return {key_of(header): path for path, header in headers.items() if sources_of(header) == self.train_sources}

    def progress(self, spec: RunSpec) -> tuple[int, float | None] | None:
        """Return the images that the run has seen, and how many a second, None for those of another kind of device;
        None for a run that has not begun. BadInput if its state is of another run, or no state."""
        path = self.out / spec.name / "state.safetensors"
        if not path.exists():
            return None
        header = self.header(spec, path, header_of_state)
        seen, seconds = header["progress"]["seen"], header["progress"]["seconds"]
        return seen, seen / seconds if seconds > 0 and header.get("device", "").startswith(self.device) else None

    def header(self, spec: RunSpec, path: Path, read: Callable[[Path], dict] = read_header) -> dict:
        """Return the header of a file of the run; BadInput if it is of another run, or of a training on other
        sources."""
        header = read(path)
        if key_of(header) != spec.key:
            raise BadInput(f"{path} is of another run, its configuration or recipe differs: choose another --out")
        if sources_of(header) != self.train_sources:
            raise BadInput(f"{path} is of another run, trained on {sources_of(header)}: choose another --out")
        return header

    def missing(self, spec: RunSpec, records: list[dict]) -> tuple[str, ...]:
        """Return the test sets on which no record of the run is: of the weights in OUT, if they are there, as earlier
        ones of the same training may have been measured too."""
        best = self.out / spec.name / "best.safetensors"
        digest = sha256(best) if best.exists() else None
        measured = [record["faces"]["sources"] for record in records_of(spec, records)
                    if sources_of(record["weights"]) == self.train_sources
                    and digest in (None, record["weights"]["sha256"])]
        return tuple(source for source in self.tests(spec) if [canonical(source)] not in measured)

    def lacking(self, spec: RunSpec) -> dict[str, tuple[str, ...]]:
        """Return what the run's own records lack of its metrics, by test set: something was not at hand then."""
        lacking = {}
        for source in self.tests(spec):
            means = evaluation_at(self.record(spec.name, source)).get("means")
            if names := tuple(name for name in metrics_of(spec) if means and name not in means):
                lacking[source] = names
        return lacking

    # Work

    @cached_property
    def faces(self) -> tuple[Tensor, Tensor, dict]:
        """The faces to train on, those to validate on, and what a run notes of both."""
        return open_training_faces(self.train, self.val)

    def open_tests(self, sources: list[str]) -> None:
        """Load test sets, and the faces to train on; BadInput if a file is not there, or if sets share an image: before
        the first training, not after."""
        for option, names in (("--faces", self.train), ("--val", self.val), ("--test", sources)):
            for name in names:
                if Source.parse(name).kind == "path" and not find(name).exists():
                    raise BadInput(f"no {name} here or in $AMINET_FACES: give {option}; with CelebA and Helen as "
                                   "published, --faces celeba:ROOT:train --val celeba:ROOT:val "
                                   "--test celeba:ROOT:test helen:ROOT:test")
        train, val, _ = self.faces
        for source in sources:
            if source not in self.opened:
                images, about = open_faces([source])
                for option, others in (("--faces", train), ("--val", val)):
                    if shared := same_faces(others, images):
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
            raise BadInput(f"a budget of {budget:g} minutes leaves no time: give more than 0, or leave --budget out")
        self.deadline = math.inf if budget is None else time.monotonic() + 60 * budget
        records, needed, failed = read_records(self.records)[0], [], []
        for spec in specs:
            status = self.status(spec, records)
            if status.state in ("trained", "partial", "pending"):
                needed += status.missing or self.tests(spec)
        if needed:
            check_outputs([self.out / "run", self.records / "record"], overwrite=True)
            self.open_tests(needed)
        for spec in specs:
            try:
                if not self.go_on(spec):
                    break
            except BadInput as error:
                failed.append(f"{spec.name}: {error}")
                self.say(f"aminet: {failed[-1]}")
        return failed

    def go_on(self, spec: RunSpec) -> bool:
        """Train a run, and evaluate it when its training is finished; BadInput if its files are unusable.

        False: the time is over, before its end.
        """
        status = self.status(spec)
        if status.state == "unusable":
            raise BadInput(status.note)
        if status.state in ("waiting", "running"):
            self.say(f"{spec.name} is {status.state} {status.note}")
        if status.state in ("waiting", "running") or status.state == "done" and not self.addable(spec):
            return True
        try:
            lock = locked(self.out / spec.name)
        except Busy:
            return True
        with lock:
            status = self.status(spec)  # another process may have changed it meanwhile
            if status.state in ("partial", "pending"):
                self.train_run(spec, status)
                status = self.status(spec)
            if weights := self.weights(spec):
                self.evaluate_run(spec, weights, [*status.missing, *self.addable(spec)])
            return status.state not in ("partial", "pending") and time.monotonic() < self.deadline

    def measurable(self, spec: RunSpec) -> tuple[str, ...]:
        """Return what can be measured here of what is `asked`; says once what cannot."""
        asked = metrics_of(spec)
        if asked not in self.available:
            self.available[asked], problems = available_metrics(asked)
            for problem in problems:
                self.say(problem)
        return self.available[asked]

    def addable(self, spec: RunSpec) -> list[str]:
        """Return the test sets whose record lacks a metric that can be measured now; none if the weights are gone."""
        lacking = self.lacking(spec) if self.weights(spec) else {}
        return [source for source, names in lacking.items() if set(names) & set(self.measurable(spec))]

    def trainer(self, spec: RunSpec, resume: bool = False, recipe: Recipe | None = None, out: Path | None = None,
                trials: list[dict] | None = None) -> Trainer:
        """Return the run, ready to train. recipe, out: of a trial, or with the step size that the trials chose."""
        (faces, val, data), recipe = self.faces, recipe or spec.recipe
        if isinstance(recipe, GANRecipe):
            start, priors = self.weights(self.specs[spec.start or ""]), {}
            if not start:
                raise BadInput(f"{spec.name} is waiting for {spec.start}")
            game = GANGame(start, recipe, val)
        else:
            priors = open_priors(faces, self.train, spec.config.priors)
            game = L1Game(spec.config, recipe, spec.preset, priors=priors)
        if trials:
            game.notes["trials"] = trials
        return Trainer(game, faces, val, out or self.out / spec.name, data, priors=priors, resume=resume,
                       device=self.device, compiled=self.compiled)

    def train_run(self, spec: RunSpec, status: Status) -> None:
        """Train to the end, or until the budget leaves only what validation and saving take."""
        if (trials := try_step_sizes(self, spec)) is None:
            return
        recipe = replace(spec.recipe, lr=max(trials, key=itemgetter("val_psnr"))["lr"]) if trials else None
        self.say(f"{spec.name}: {status.seen:,} of {spec.images:,} images seen")
        trainer = self.trainer(spec, status.state == "partial", recipe, trials=trials)
        if self.deadline == math.inf:
            trainer.train(bar=not self.quiet)
            return
        seconds = 1 / status.rate if status.rate else 1.1 * trainer.speed(0 if self.device == "cuda" else 2)
        needed, reserve = (spec.images - status.seen) * seconds, len(trainer.val) * seconds
        left = self.deadline - time.monotonic()
        if left < reserve:
            trainer.folder.release()
            self.say(f"{spec.name}: not continued, {span(max(left, 0) / 60)} are left and some {span(reserve / 60)} "
                        f"are kept for validation and saving: give --budget {math.ceil(reserve / 60) + 1} or more")
            return
        if needed > left:
            self.say(f"{spec.name} needs some {span(needed / 60)} more here and stops in {span(left / 60)}; the "
                        f"same command continues it. A training that ends in time: python -m aminet train "
                        f"{shlex.quote(spec.preset)} --minutes {max(1, int(left / 60))} --schedule cosine ...")
        trainer.train(left / 60, bar=not self.quiet)

    def evaluate_run(self, spec: RunSpec, weights: Path, sources: list[str]) -> None:
        """Measure a trained run on test sets, one record each. What does not fit into the time waits."""
        metrics = self.measurable(spec)
        self.open_tests(sources)
        for source in sources:
            begin = time.monotonic()
            if begin + self.longest >= self.deadline:
                self.say(f"{spec.name}: trained, not evaluated on {canonical(source)}: the time is over")
                continue
            (faces, about), target = self.opened[source], self.record(spec.name, source)
            command = command_line(["evaluate", str(weights), "--faces", source, "--metrics", *metrics])
            record = evaluate(weights, faces, about, "paper", metrics, self.device, command,
                              record=earlier(target, weights, about))
            add_record(record, target)
            self.longest = max(self.longest, time.monotonic() - begin)


def metrics_of(spec: RunSpec) -> tuple[str, ...]:
    """Return the metrics of the run's scale; of a GAN FID, too, for Table VIII has it. Smoke needs no other network."""
    with_fid = spec.start and spec.scale != "smoke"
    return tuple(dict.fromkeys((*scale_of(spec.scale).get("metrics", METRICS), *(("fid",) if with_fid else ()))))


def sources_of(header: dict) -> list[str] | None:
    """Return the sources of the faces that weights with this header learnt from."""
    return header.get("data", {}).get("train", {}).get("sources")


def try_step_sizes(work: Reproduction, spec: RunSpec) -> list[dict] | None:
    """Train a run's trials to their end: the images of each and its PSNR on validation, by step size.

    None: the time is over before. The last state of each stays, and the next call continues it.
    """
    trials = []
    for lr in spec.lrs:
        out = work.out / spec.name / f"lr-{lr:g}"
        recipe = replace(spec.recipe, lr=lr, images=spec.trial, val_every=spec.trial)
        trainer = work.trainer(spec, (out / "state.safetensors").exists(), recipe, out)
        if not trainer.finished():
            work.say(f"{spec.name}: a trial of the step size {lr:g}, {spec.trial:,} images")
            left = None if work.deadline == math.inf else (work.deadline - time.monotonic()) / 60
            trainer.train(left, bar=not work.quiet)
        if not trainer.finished():
            return None
        trials.append({"lr": lr, "images": spec.trial, **trainer.chosen})
    return trials


# What the command line prints


def listing(words: str, names: Iterable[str]) -> str:
    """Return words before names; "" if there are none."""
    names = list(dict.fromkeys(names))
    return f"{words} {', '.join(names)}" if names else ""


def overview(work: Reproduction, specs: list[RunSpec]) -> dict:
    """Return every run with its state, and what is wrong with records; as JSON it is `--list --json`.

    minutes: left to train here at the speed that the run itself had, None if it has not begun.
    """
    rows, (records, problems) = [], read_records(work.records)
    for spec in specs:
        status = work.status(spec, records)
        left = spec.images - status.seen
        minutes = round(left / status.rate / 60, 2) if left and status.rate else None if left else 0.0
        rows.append({"name": spec.name, "state": status.state, "note": status.note, "seen": status.seen,
                     "images": spec.images, "minutes": minutes,
                     "rows": [f"{table}: {row}" for table, row in spec.rows]})
    return {"device": work.device, "runs": rows, "records": str(work.records), "problems": problems}


def format_overview(report: dict) -> str:
    """Return `overview` as text."""
    lines = [("run", "state", "images seen", "to train", "table: row")]
    lines += [(run["name"], run["state"], f"{run['seen']:,} of {run['images']:,}",
              f"~{span(run['minutes'])}" if run["minutes"] else "-",
              "; ".join(run["rows"]) + (f"  ({run['note']})" if run["note"] else "")) for run in report["runs"]]
    table = aligned(lines, ("left", "left", "right", "right", "left"))
    counts = Counter(run["state"] for run in report["runs"])
    total = f"{counts.total()} runs: {', '.join(f'{n} {state}' for state, n in counts.items())}"
    return "\n".join([table, printable(f"{total}; records in {report['records']}"), *report["problems"]])


def rerun(pattern: str, scale: str, budget: float, out: str | Path, records: str | Path) -> str:
    """Train and measure the runs whose names match, in a notebook; return a line on each: what it serves, and its PSNR.

    A GAN's start is trained first. budget: minutes in all, 0 for no end. out, records: as in `Reproduction`; of scale
    `smoke`, whose numbers mean nothing, all goes to a temporary folder.
    """
    smoke = scale == "smoke"
    home = Path(tempfile.mkdtemp(prefix="aminet-")) if smoke else Path(out)
    work = Reproduction(scale, home, home / "records" if smoke else records, quiet=smoke)
    chosen = choose(runs(scale), pattern)
    starts = [work.specs[spec.start] for spec in chosen if spec.start]
    done = {spec.name for spec in chosen if work.status(spec).state == "done"}
    failed, lines = work.go(list(dict.fromkeys([*starts, *chosen])), budget or None), []
    for spec in chosen:
        served = "; ".join(f"Table {ROMAN[table]}: {row}" for table, row in spec.rows) or "in no table"
        means = evaluation_at(work.record(spec.name, work.tests(spec)[0])).get("means", {})
        numbers = ", ".join(f"{name} {means[key]['mean']:.2f} dB" for name, key in (
            ("PSNR", "psnr"), ("bicubic", "bicubic_psnr")) if means.get(key, {}).get("mean")) or work.status(spec).state
        lines.append(f"{spec.name} ({served}): {numbers}{', measured before' * (spec.name in done)}")
    return "\n".join([*lines, *failed])


def span(minutes: float) -> str:
    """Return minutes as a reader likes them: 40 s, 12 min, 5.1 h, 3.0 days."""
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"
