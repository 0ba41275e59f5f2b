"""The reproduction as a list of runs (runs.yaml): what each needs, how far it is, and the next one to continue.

A run is trained in OUT/NAME (see train.py) and then measured on each test set, one record each. How far it is, is read
from its state, its weights and the records: nothing else is kept, so any stop can be continued, by any process.
"""
from __future__ import annotations

import json
import math
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from functools import cache, cached_property, partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from .config import Config
from .errors import BadInput
from .inputs import LOADERS, find, open_faces, open_training_faces, public
from .networks import build, preset
from .priors import open_priors
from .protocol import METRICS
from .train import Recipe, Run, usable
from .weights import PRETRAINED, save_weights, write_atomically, writing

LIST = Path(__file__).with_name("runs.yaml")
ELSEWHERE = {7, 8}  # the tables that have other faces than CelebA's: their runs alone need more than one test set


@dataclass(frozen=True)
class RunSpec:
    """One run: a network at a scale with a seed.

    name: NETWORK-SCALE-SEED, also its folder in OUT. rows: the (table, row) it serves, as in data/published.
    preset: the configuration's name, `SIZE` or `SIZE/ROW`. config, recipe: what to train. start: the run whose weights
    a GAN starts from.
    """

    name: str
    network: str
    scale: str
    seed: int
    rows: tuple[tuple[int, str], ...]
    preset: str
    config: Config
    recipe: Recipe
    start: str | None = None

    def fits(self, header: dict) -> bool:
        """Whether weights with this header are of this run: the same configuration and recipe."""
        return header.get("config") == as_json(self.config.to_dict()) and (
            header.get("recipe") == as_json(asdict(self.recipe)))


def as_json(value):
    """A value as a reader of its JSON gets it: tuples are lists."""
    return json.loads(json.dumps(value))


@cache
def listed() -> dict:
    """runs.yaml: data, scales and networks."""
    import yaml

    return yaml.safe_load(LIST.read_text(encoding="utf-8"))


def scale_of(name: str) -> dict:
    """A scale of runs.yaml; its `data` are the list's, unless it has its own. BadInput for an unknown one."""
    scales = listed()["scales"]
    if name not in scales:
        raise BadInput(f"unknown scale {name!r}: choose one of {', '.join(scales)}")
    return {"data": listed()["data"]} | scales[name]


def runs(scale: str | None = None) -> list[RunSpec]:
    """The runs of a scale, or of all, most important first: every network with the first seed, then with the next."""
    if scale is None:
        return [spec for name in listed()["scales"] for spec in runs(name)]
    return [specify(i, scale, seed) for seed in scale_of(scale)["seeds"] for i in range(len(listed()["networks"]))]


@cache
def specify(i: int, scale: str, seed: int) -> RunSpec:
    """The run of entry i of `networks`."""
    network, what = listed()["networks"][i], scale_of(scale)
    rows = tuple((int(table), row) for table, row in (text.split(": ", 1) for text in network["rows"]))
    name = "/".join([what["size"], *([network["change"]] if "change" in network else [])])
    spec = partial(RunSpec, f"{network['name']}-{scale}-{seed}", network["name"], scale, seed, rows, name, preset(name))
    if "start" not in network:
        return spec(Recipe(**what["recipe"], seed=seed))
    from .amigan import ComparedRecipe, GANRecipe, compared

    start = f"{network['start']}-{scale}-{seed}"
    if "gan" not in network:
        return spec(GANRecipe(**what["gan"], seed=seed), start)
    steps = {"lr": compared(network["gan"]).LR, "d_lr": compared(network["gan"]).D_LR}
    return spec(ComparedRecipe(**what["gan"], **steps, gan=network["gan"], seed=seed), start)


def choose(specs: list[RunSpec], pattern: str | None) -> list[RunSpec]:
    """The runs whose names match a pattern, as in a shell (None: all); BadInput when there is none."""
    chosen = [spec for spec in specs if pattern is None or fnmatchcase(spec.name, pattern)]
    if not chosen:
        raise BadInput(f"no run is called {pattern!r}: there are {', '.join(spec.name for spec in specs[:3])} and "
                       f"{len(specs) - 3} more; --list shows all, --scale chooses")
    return chosen


# Records and weights


def records_of(spec: RunSpec, records: list[dict]) -> list[dict]:
    """The records of a run's weights under the protocol `paper`, by their content: the file's name does not matter."""
    return [record for record in records
            if record.get("kind") == "evaluation" and record["protocol"]["name"] == "paper"
            and spec.fits({"config": record["config"], "recipe": record["weights"].get("recipe")})
            and record["weights"].get("images", 0) <= spec.recipe.images]


def read_records(folder: str | Path) -> tuple[list[dict], list[str]]:
    """The sound records in a folder, and one line for each file that was edited or damaged: it does not count."""
    records, problems = [], []
    for path in sorted(Path(folder).glob("*.json")):
        try:
            records.append(_record(path, path.stat().st_mtime_ns))
        except (BadInput, OSError) as error:
            problems.append(f"{error}; it does not count")
    return records, problems


@cache
def digest(path: Path, mtime: int) -> str:
    """sha256 of a file as of this time."""
    return sha256(path.read_bytes()).hexdigest()


@cache
def _record(path: Path, mtime: int) -> dict:
    from .evaluate import read_record

    record = read_record(path)
    return {key: value for key, value in record.items() if key not in ("values", "draws")}  # the bulk of it


def read_header(path: Path) -> dict:
    """The JSON header of a file that `save_tensors` wrote, without its tensors; BadInput for anything else."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("aminet", "null"))
    except (SafetensorError, OSError, ValueError) as error:
        raise BadInput(f"{path} is damaged ({error}): move it away") from error
    if not isinstance(header, dict):
        raise BadInput(f"{path} was not written by aminet: move it away")
    return header


def noted(source: str) -> str:
    """A source as `open_faces` notes it."""
    words = public(source).split(":")
    return ":".join(words + ["500", "0"][len(words) - 1:]) if words[0] == "synthetic" else ":".join(words)


def at_hand(wanted: Iterable[str] = METRICS) -> tuple[tuple[str, ...], list[str]]:
    """Those of `wanted` that can be measured here, and a line on each that cannot for want of a pretrained network."""
    from .perceptual import NEEDS
    from .pretrained import locate

    found, problems = [], {}
    for metric in wanted:
        try:
            for network in NEEDS.get(metric, ()):
                locate(network)
            found.append(metric)
        except BadInput as error:
            problems[metric] = error
    return tuple(found), [f"{metric} is left out for now: {error}" for metric, error in problems.items()]


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
    set of its own, for every run (see `tests`). device: auto, cpu or cuda. fused: train compiled, as in `Run`.
    Raises BadInput for an unknown scale and a device that is not here.
    """

    def __init__(self, scale: str, out: str | Path = "runs", records: str | Path | None = None,
                 faces: list[str] | None = None, val: list[str] | None = None, test: list[str] | None = None,
                 device: str = "auto", fused: bool = False):
        data = scale_of(scale)["data"]
        self.out = Path(out)
        self.records = Path(records or (self.out / "records" if scale == "smoke" else "data/records"))
        self.train, self.val, self.test = faces or data["train"], val or data["val"], test or data["test"]
        self.everywhere = bool(test)
        if len({self.record("", source) for source in self.test}) < len(self.test):
            raise BadInput("two test sets would share a record: give files or folders with different names")
        self.device = "cuda" if usable(device) != "cpu" and torch.cuda.is_available() else "cpu"
        self.specs, self.fused = {spec.name: spec for spec in runs(scale)}, fused
        self.metrics = tuple(scale_of(scale).get("metrics", METRICS))
        self.hands: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.deadline = math.inf

    # How far a run is

    def tests(self, spec: RunSpec) -> list[str]:
        """The run's test sets: all that the caller gave; of the scale's the first, and all for a run of ELSEWHERE."""
        whole = self.everywhere or ELSEWHERE & {table for table, _ in spec.rows}
        return self.test if whole else self.test[:1]

    def status(self, spec: RunSpec, mine: bool = False) -> Status:
        """How far a run is. Nothing is loaded or measured. mine: this process holds its lock."""
        running = not mine and self.locked(spec)  # first: whoever holds the lock is changing what is read next
        best = self.out / spec.name / "best.safetensors"
        tests = self.tests(spec)
        missing = tuple(source for source in tests if not self.measured(spec, source, best))
        try:
            state = self.state(spec)
            done = not missing and (not state or self.finished(spec, state))
            weights = None if running or done else self.weights(spec)
            start = spec.start is None or done or self.weights(self.specs[spec.start])
        except BadInput as error:
            return Status("unusable", str(error), missing=missing)
        progress = state.get("progress", {"seen": 0, "seconds": 0.0})
        here = state.get("device", "").startswith(self.device) and progress["seconds"] > 0
        rate = progress["seen"] / progress["seconds"] if here else None
        if running:
            return Status("running", "in another process", progress["seen"], rate, missing)
        if done or weights:
            note = f"not evaluated on {', '.join(map(noted, missing))}" if missing else ""
            if lacking := dict.fromkeys(name for names in self.lacking(spec).values() for name in names):
                note = f"{note} without {', '.join(lacking)}".strip()
            return Status("done" if done else "trained", note, spec.recipe.images, rate, missing)
        if not start:
            gone = self.status(self.specs[spec.start]).state == "done"
            note = f"for {spec.start}" + ", whose weights are gone: --records EMPTY_FOLDER trains it again" * gone
            return Status("waiting", note, progress["seen"], rate, missing)
        if state:
            return Status("partial", "", progress["seen"], rate, missing)
        there = ", ".join(noted(source) for source in tests if source not in missing)
        return Status("pending", f"measured on {there}, the weights are gone" if there else "", missing=missing)

    def finished(self, spec: RunSpec, state: dict) -> bool:
        """Whether the state's training has seen all the recipe's images: not one more batch fits."""
        return state["progress"]["seen"] + spec.recipe.batch > spec.recipe.images

    def weights(self, spec: RunSpec) -> Path | None:
        """The weights of a finished training: in OUT, or committed ones that fit; None if there are none yet."""
        best = self.out / spec.name / "best.safetensors"
        if state := self.state(spec):
            if not self.finished(spec, state):
                return None
            if not self.header(spec, best):
                raise BadInput(f"{best} is gone, though its training is finished: move the folder away to train again")
            return best
        if best.exists() and not self.locked(spec):
            raise BadInput(f"{best} has no state.safetensors beside it: move it away, or training would replace it")
        committed = sorted(PRETRAINED.glob("*.safetensors"))
        return next((path for path in committed if self.difference(spec, read_header(path)) is None), None)

    def state(self, spec: RunSpec) -> dict:
        """The header of the run's state, {} if it has not begun; BadInput if it is of another run, or no state."""
        state = self.header(spec, path := self.out / spec.name / "state.safetensors")
        if state and "progress" not in state:
            raise BadInput(f"{path} is no state of a run: move it away")
        return state

    def header(self, spec: RunSpec, path: Path) -> dict:
        """The header of a file of the run, {} if there is no file; BadInput if the file is of another run."""
        header = read_header(path) if path.exists() else {}
        if header and (difference := self.difference(spec, header)):
            raise BadInput(f"{path} is of another run, {difference}: choose another --out")
        return header

    def difference(self, spec: RunSpec, header: dict) -> str | None:
        """In words, how a header differs from what the run's must be; None if it does not."""
        if not spec.fits(header):
            return "its configuration or recipe differs"
        learnt = header.get("data", {}).get("train", {}).get("sources")
        return None if learnt == [noted(source) for source in self.train] else f"trained on {learnt}"

    def measured(self, spec: RunSpec, source: str, best: Path) -> bool:
        """Whether a record of the run on this test set is there; of the weights `best`, if the file exists: earlier
        ones of the same training may have been measured too."""
        known = best.exists() and digest(best, best.stat().st_mtime_ns)
        return any(record["faces"]["sources"] == [noted(source)] and known in (False, record["weights"]["sha256"])
                   and self.difference(spec, record["weights"] | {"config": record["config"]}) is None
                   for record in records_of(spec, read_records(self.records)[0]))

    def asked(self, spec: RunSpec) -> tuple[str, ...]:
        """The scale's metrics; of a GAN FID, too, for Table VIII has it."""
        return tuple(dict.fromkeys((*self.metrics, *(("fid",) if spec.start else ()))))

    def lacking(self, spec: RunSpec) -> dict[str, tuple[str, ...]]:
        """What the run's own records lack of the scale's metrics, by test set: networks were not at hand then."""
        found = {}
        for source in self.tests(spec):
            path = self.record(spec.name, source)
            try:
                means = _record(path, path.stat().st_mtime_ns)["means"]
            except (BadInput, OSError):  # none yet, or edited
                continue
            if names := tuple(name for name in self.asked(spec) if name not in means):
                found[source] = names
        return found

    def record(self, name: str, source: str) -> Path:
        """The file for the record of the run of that name on a test set."""
        return self.records / f"{name}-{Path(noted(source)).stem.replace(':', '_')}-paper.json"

    # Two processes on one folder

    @contextmanager
    def lock(self, spec: RunSpec):
        """True if this process alone may work on the run until the end of the block, else False."""
        from filelock import FileLock, Timeout

        lock = FileLock(self.out / spec.name / ".lock")
        with writing(Path(lock.lock_file)):
            try:
                lock.acquire(timeout=0.5)  # not 0: `locked`, in another process, holds it for a moment
            except Timeout:
                pass
        try:
            yield lock.is_locked
        finally:
            lock.release()

    def locked(self, spec: RunSpec) -> bool:
        """Whether another process works on the run."""
        from filelock import FileLock, Timeout

        path = self.out / spec.name / ".lock"
        try:
            if path.exists():
                with FileLock(path, timeout=0):
                    pass
        except (Timeout, OSError):
            return True
        return False

    # Faces

    @cached_property
    def faces(self) -> tuple[Tensor, Tensor, dict, dict[str, tuple[Tensor, dict]]]:
        """The faces to train on, those to validate on, what a run notes of both, and each test set with what it is.

        Loaded once. BadInput if sets share an image: before the first training, not after.
        """
        from .faces import same_faces

        train, val, data = open_training_faces(self.train, self.val)
        tests = {source: open_faces([source]) for source in self.test}
        for option, known in (("--faces", train), ("--val", val)):
            if shared := same_faces(known, torch.cat([images for images, _ in tests.values()])):
                raise BadInput(f"{shared} test images are also in {option}: give --test images that are in neither")
        return train, val, data, tests

    def look_for_faces(self) -> None:
        """BadInput before any work if a file or folder of faces is not there."""
        for option, sources in (("--faces", self.train), ("--val", self.val), ("--test", self.test)):
            for source in sources:
                kind = source.split(":")[0]
                if kind != "synthetic" and kind.split("-")[0] not in LOADERS and not find(source).exists():
                    raise BadInput(f"no {source} here or in $AMINET_FACES: give {option}; with CelebA and Helen as "
                                   "published, --faces celeba:ROOT:train --val celeba:ROOT:val "
                                   "--test celeba:ROOT:test helen:ROOT:test")

    # Time

    def left(self) -> float:
        """Seconds until the budget is used up."""
        return self.deadline - time.monotonic()

    def minutes(self, spec: RunSpec, status: Status) -> float | None:
        """Estimated minutes of training left on this machine, None if that is not known (see `speed`)."""
        if status.state == "unusable":
            return None
        if left := spec.recipe.images - status.seen:
            known = self.speeds().get(self.key(spec))
            rate = status.rate or known and 1 / known["image"]
            return left / rate / 60 if rate else None
        return 0.0

    def key(self, spec: RunSpec) -> str:
        """What the speed of a network depends on, in words."""
        device = torch.cuda.get_device_name() if self.device == "cuda" else "cpu"
        config = sha256(json.dumps([type(spec.recipe).__name__, spec.config.to_dict()]).encode()).hexdigest()[:12]
        return (f"{spec.network} {config}, batch {self.batch(spec)}, {device}, {torch.get_num_threads()} threads, "
                f"torch {torch.__version__}")

    def batch(self, spec: RunSpec) -> int:
        """Images in a timed step: few, but a GPU is fast only in a whole batch."""
        return spec.recipe.batch if self.device == "cuda" else 2

    def speeds(self) -> dict:
        """What `speed` measured on machines of this folder; a damaged file is measured again."""
        try:
            return json.loads((self.out / "speed.json").read_text())
        except (OSError, ValueError):
            return {}

    def remember(self, key: str, seconds: dict) -> dict:
        write_atomically(self.out / "speed.json", json.dumps(self.speeds() | {key: seconds}, indent=1).encode())
        return seconds

    def speed(self, spec: RunSpec) -> dict:
        """Seconds of the run's network here: per trained `image`, per `face` in validation, per `save` of the state.

        Measured once on one small batch of a fresh network, then read from OUT/speed.json.
        """
        if known := self.speeds().get(self.key(spec)):
            return known
        from .synthetic import faces

        batch = self.batch(spec)
        with TemporaryDirectory() as folder:
            start = Path(folder) / "start.safetensors"
            save_weights(start, build(spec.config).state_dict(), {"config": spec.config.to_dict()})
            run = self.open(spec, replace(spec.recipe, images=2 * batch, batch=batch), faces(4, 0), faces(4, 1), folder,
                            start=start, sources=["synthetic:4:0"])
            if spec.start:
                run.floor = -math.inf  # a start from untrained weights is no collapse here
            float(run.step()["loss"])  # the first one sets up
            seconds = {}
            for name, work, parts in (("image", lambda: float(run.step()["loss"]), batch),
                                      ("face", run.validate, len(run.val)), ("save", run.save, 1)):
                begin = time.monotonic()
                work()
                seconds[name] = (time.monotonic() - begin) / parts
        return self.remember(self.key(spec), seconds)

    def reserve(self, spec: RunSpec) -> float:
        """Seconds to keep for what may follow the last batch in time: a validation that was due, another batch, the
        last validation, a save after each; and a GAN is validated before it starts."""
        speed = self.speed(spec)
        validations = 2 + (spec.start is not None)
        return (2 * spec.recipe.batch * speed["image"] + 3 * speed["save"]
                + validations * len(self.faces[1]) * speed["face"])

    def evaluation(self, weights: Path, spec: RunSpec, metrics: tuple[str, ...], faces: int) -> float:
        """Seconds that an evaluation on so many faces takes here, measured once on a few and cached as in `speed`."""
        from .evaluate import evaluate
        from .synthetic import faces as draw

        key = f"evaluate {' '.join(metrics)}, {self.key(spec)}"
        if (known := self.speeds().get(key)) is None:
            few, many = draw(4, 0), draw(12, 0)
            evaluate(weights, few, {}, metrics=metrics, device=self.device)  # the first one imports
            times = [time.monotonic()]
            for images in (few, many):
                evaluate(weights, images, {}, metrics=metrics, device=self.device)
                times.append(time.monotonic())
            face = max((times[2] - times[1]) - (times[1] - times[0]), 0) / (len(many) - len(few))
            known = self.remember(key, {"once": times[1] - times[0], "face": face})
        return known["once"] + faces * known["face"]

    # Work

    def open(self, spec: RunSpec, recipe: Recipe, faces: Tensor, val: Tensor, out: str | Path, start: Path | None,
             sources: list[str], **options) -> Run:
        """The run of train.py or amigan.py. sources: of `faces`, to find their priors."""
        if spec.start is None:
            return Run(spec.config, recipe, faces, val, out, device=self.device, preset=spec.preset,
                       priors=open_priors(faces, sources, spec.config.priors), **options)
        from .amigan import AMIGANRun, ComparedGANRun, ComparedRecipe

        if isinstance(recipe, ComparedRecipe):
            return ComparedGANRun(start, recipe, faces, val, out, device=self.device, preset=recipe.gan, **options)
        return AMIGANRun(start, recipe, faces, val, out, device=self.device, **options)

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
        if any(self.status(spec).state in todo for spec in specs):
            self.look_for_faces()
            self.faces  # noqa: B018  loaded now: a fault in them is found before any work
        for spec in specs:
            status = self.status(spec)
            try:
                if status.state == "unusable":
                    raise BadInput(status.note)
                if status.state in ("waiting", "running"):
                    say(f"{spec.name} is {status.state} {status.note}")
                if status.state not in todo and not (status.state == "done" and self.addable(spec)):
                    continue
                with self.lock(spec) as mine:
                    if mine and not self.go_on(spec):
                        break
            except BadInput as error:
                failed.append(f"{spec.name}: {error}")
                say(f"aminet: {failed[-1]}")
        return failed

    def go_on(self, spec: RunSpec) -> bool:
        """Train a run, and evaluate it when its training is finished. False: the time is over, before its end."""
        status = self.status(spec, mine=True)  # another process may have worked on it until now
        if status.state in ("partial", "pending"):
            self.teach(spec, status)
            status = self.status(spec, mine=True)
        if status.state in ("trained", "done"):
            self.evaluate(spec, (*status.missing, *self.addable(spec)))
        return status.state not in ("partial", "pending") and self.left() > 0

    def hand(self, spec: RunSpec) -> tuple[str, ...]:
        """Of what is `asked`, what can be measured here; says once what cannot."""
        asked = self.asked(spec)
        if asked not in self.hands:
            self.hands[asked], problems = at_hand(asked)
            for problem in problems:
                say(problem)
        return self.hands[asked]

    def addable(self, spec: RunSpec) -> list[str]:
        """The test sets whose record lacks a metric that can be measured now."""
        return [source for source, names in self.lacking(spec).items() if set(names) & set(self.hand(spec))]

    def teach(self, spec: RunSpec, status: Status) -> None:
        """Train to the end, or until only the reserve is left of the budget."""
        faces, val, data, _ = self.faces
        start = self.weights(self.specs[spec.start]) if spec.start else None
        reserve = self.reserve(spec) if self.left() < math.inf else 0.0
        if self.left() <= reserve:
            say(f"{spec.name}: not continued, {span(max(self.left(), 0) / 60)} are left and {span(reserve / 60)} are "
                f"kept for validation and saving: give --budget {math.ceil(1.1 * reserve / 60) + 1} or more")
            return
        say(f"{spec.name}: {status.seen:,} of {spec.recipe.images:,} images seen")
        run = self.open(spec, spec.recipe, faces, val, self.out / spec.name, start, self.train, data=data,
                        resume=status.state == "partial", fused=self.fused)
        minutes = (self.left() - reserve) / 60
        run.train(None if minutes == math.inf else max(minutes, 0.0))

    def evaluate(self, spec: RunSpec, missing: tuple[str, ...]) -> None:
        """Measure a trained run on its test sets, one record each. What does not fit into the time waits."""
        from .evaluate import earlier, evaluate, write_record

        weights, tests = self.weights(spec), self.faces[-1]
        metrics = self.hand(spec)
        for source in missing:
            faces, about = tests[source]
            needs = self.evaluation(weights, spec, metrics, len(faces)) if self.left() < math.inf else 0.0
            if needs > self.left():
                say(f"{spec.name}: trained, not evaluated on {noted(source)}: that takes about {span(needs / 60)}, "
                    f"{span(self.left() / 60)} are left")
                continue
            target = self.record(spec.name, source)
            words = ["evaluate", str(weights), "--faces", source, "--metrics", *metrics]
            command = shlex.join(os.path.relpath(word) if os.path.isabs(word) else word for word in words)
            write_record(evaluate(weights, faces, about, "paper", metrics, self.device, f"python -m aminet {command}",
                                  record=earlier(target, weights, about)), target)


# What the command line prints


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def overview(work: Reproduction, specs: list[RunSpec], measure: bool = False) -> dict:
    """Every run with its state, and what is wrong with records; as JSON it is `--list --json`.

    measure: time a training step of each network whose speed is not known yet (with a progress bar).
    """
    from tqdm.auto import tqdm

    rows, states = [], {spec.name: work.status(spec) for spec in specs}
    known, unknown = work.speeds(), {}  # unknown: the runs of each network, which differ in their seeds
    for spec in specs if measure else ():
        status = states[spec.name]
        if status.state in ("pending", "waiting", "partial") and not status.rate and work.key(spec) not in known:
            unknown.setdefault(work.key(spec), []).append(spec)
    for same in tqdm(unknown.values(), "timing a step of each network", leave=False, disable=not unknown):
        try:
            work.speed(same[0])
        except BadInput as error:  # a GAN without its pretrained networks
            for spec in same:
                states[spec.name] = replace(states[spec.name], note=f"{states[spec.name].note} {error}".strip())
    for spec in specs:
        status = states[spec.name]
        minutes = work.minutes(spec, status)
        rows.append({"name": spec.name, "state": status.state, "note": status.note, "seen": status.seen,
                     "images": spec.recipe.images,
                     "minutes": minutes if minutes is None else round(minutes, 2),
                     "rows": [f"{table}: {row}" for table, row in spec.rows]})
    return {"device": work.device, "runs": rows, "problems": read_records(work.records)[1]}


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
    left = sum(run["minutes"] or 0 for run in report["runs"])
    text.append(f"{len(lines)} runs: {', '.join(f'{n} {state}' for state, n in counts.items())}; about {span(left)} to "
                f"train on this {report['device']} (timed once: delete speed.json in --out to time it again)")
    return "\n".join(text + report["problems"])


def span(minutes: float) -> str:
    """Minutes as a reader likes them: 40 s, 12 min, 5.1 h, 3.0 days."""
    for below, unit, size in ((1, "s", 1 / 60), (120, "min", 1), (48 * 60, "h", 60)):
        if minutes < below:
            return f"{minutes / size:.0f} {unit}" if unit != "h" else f"{minutes / size:.1f} h"
    return f"{minutes / 1440:.1f} days"
