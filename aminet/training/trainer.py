"""A run: one training in a folder, which any stop leaves usable and the next start continues.

Several processes (torchrun) share a run: each takes its part of every batch, and the first one writes.
"""
from __future__ import annotations

import copy
import math
import platform
import re
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import Any

import torch
from torch import Tensor, nn

from ..config import HR
from ..degrade import send
from ..errors import BadInput
from ..faces.priors import priors_of
from ..train import batch_of, draw, fit, restore
from .device import AUTOCAST, Processes, asked_to_stop, exact, keep_memory, precision, tf32
from .folder import RunFolder, header_of_state, same_run
from .games import BaseGame
from .weights import read_tensors, save_tensors, save_weights

LOOK_EVERY, LOOK_SECONDS = 50, 10.0  # batches between two looks at the losses, or seconds: a look makes a GPU wait


class Trainer:
    """Train a game (aminet.training.games) in a folder, see `RunFolder`.

    faces, val: uint8 (N, 3, 128, 128), to learn from and to choose the weights on. data: what to note about them.
    priors: of `faces`, by name, for a network whose loss takes some (aminet.faces.priors).
    resume: continue from the folder's state. device: auto, cpu or cuda. compiled: use torch.compile where it is faster.
    half: save weights in fp16. look_every: batches between two looks at the losses. on_validation: called with this
    trainer and the network that was validated. BadInput for an empty set and a batch that the processes cannot share.
    """

    def __init__(self, game: BaseGame, faces: Tensor, val: Tensor, out: str | Path, data: dict | None = None, *,
                 priors: dict[str, Tensor] | None = None, resume: bool = False, device: str = "auto",
                 compiled: bool = False, half: bool = False, look_every: int = LOOK_EVERY,
                 on_validation: Callable[[Trainer, nn.Module], None] | None = None):
        self.game, self.recipe, self.compiled, self.half = game, game.recipe, compiled, half
        self.look_every, self.on_validation = look_every, on_validation
        self.processes = Processes(device)
        self.device, self.format = self.processes.device, precision(self.processes.device.type, game.fp16)
        if self.device.type == "cpu":
            keep_memory()
        if self.recipe.batch % self.processes.count:
            raise BadInput(f"batch {self.recipe.batch} is no multiple of the {self.processes.count} processes")
        if any(images.dtype != torch.uint8 or images.shape[1:] != (3, HR, HR) for images in (faces, val)):
            raise BadInput(f"faces to train and to validate on are uint8 (N, 3, {HR}, {HR})")
        if min(len(faces), len(val)) == 0:
            raise BadInput("no faces to train on, or none to validate on")
        try:
            self.folder, refused = RunFolder(out, resume, self.processes.first), None
        except BadInput as error:
            refused = error
        if refused := self.processes.agree(refused):  # else the others would wait for the first one
            raise refused
        self.faces, self.val, self.priors = faces.to(self.device), val, priors or {}
        self.seen, self.seconds, self.progress = 0, 0.0, 0.0  # images, seconds, part of the length; over all starts
        self.best, self.chosen, self.validated = -math.inf, {}, -1  # the best score and its notes; images at the last
        self.cost = {"validate": 0.0, "save": 0.0}  # seconds that they took last
        self.micro = self.recipe.batch // self.processes.count  # images at a time: halved when memory does not suffice
        game.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = game.networks()["model"]
        self.shown = copy.deepcopy(self.network)  # with the weights that are validated and saved
        # the network's own tensors, which follow it: BatchNorm's statistics are averaged, too
        self.live = {k: v for k, v in self.network.state_dict().items() if self.recipe.ema and v.is_floating_point()}
        self.average = {k: v.clone() for k, v in self.live.items()}
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.format == "fp16")
        kind = f"cuda ({torch.cuda.get_device_name(self.device)})" if self.device.type == "cuda" else "cpu"
        self.header = {**game.notes, "recipe": asdict(self.recipe), "protocol": "paper", "data": data or {},
                       "processes": self.processes.count, "device": kind, "precision": self.format, **tf32(self.device),
                       "versions": {"torch": torch.__version__, "python": platform.python_version()}}
        if resume:
            try:
                self.load()
            except BadInput:
                self.folder.release()
                raise

    # State

    def parts(self, moments: Callable[[str], dict[int, dict[str, Tensor]]]) -> dict[str, Tensor]:
        """What a state holds: networks, averaged weights, and of each network by name the `moments` of Adam."""
        tensors = {f"average.{k}": v for k, v in self.average.items()}
        for name, network in self.game.networks().items():
            tensors |= {f"{name}.{k}": v for k, v in network.state_dict().items()}
            for index, state in moments(name).items():
                tensors |= {f"adam of {name}.{index}.{k}": v for k, v in state.items()}
        return tensors

    def save(self) -> None:
        """Write the state, atomically. Only the first process writes, and only finite weights."""
        begin, tensors = time.monotonic(), self.parts(lambda name: self.game.optimizers()[name].state_dict()["state"])
        finite = all(v.isfinite().all() for v in tensors.values() if v.is_floating_point())
        if not (self.processes.first and finite):  # the last good state stays
            return
        progress = {"seen": self.seen, "seconds": round(self.seconds, 1), "progress": self.progress, "best": self.best,
                    "chosen": self.chosen, "validated": self.validated, "cost": self.cost,
                    "scaler": self.scaler.state_dict()}
        save_tensors(self.folder.state, tensors, self.header | {"progress": progress})
        self.cost["save"] = time.monotonic() - begin

    def load(self) -> None:
        """Continue from the folder's state; BadInput if it is of another run, or no whole state."""
        header = header_of_state(self.folder.state)
        same_run(self.folder.state, header, self.header)
        like = self.parts(lambda name: {
            index: {"step": torch.zeros(()), "exp_avg": weight, "exp_avg_sq": weight}
            for index, weight in enumerate(self.game.networks()[name].parameters())})
        self.place(read_tensors(self.folder.state, like, ("adam of ",))[0], header["progress"])
        if self.recipe.minutes not in (None, header.get("recipe", {}).get("minutes")):  # a longer run
            self.progress = min(1.0, self.seconds / 60 / self.recipe.minutes)
        self.folder.trim(self.seen, self.validated)

    def place(self, tensors: dict[str, Tensor], progress: dict[str, Any]) -> None:
        """Put a state's tensors and numbers where they belong."""
        def part(prefix: str) -> dict[str, Tensor]:
            return {k[len(prefix):]: v for k, v in tensors.items() if k.startswith(prefix)}

        for name, network in self.game.networks().items():
            network.load_state_dict(part(f"{name}."))
            adam: dict[int, dict[str, Tensor]] = {}
            for key, value in part(f"adam of {name}.").items():
                index, field = key.split(".")
                adam.setdefault(int(index), {})[field] = value
            if any(state.keys() != {"step", "exp_avg", "exp_avg_sq"} for state in adam.values()):
                raise BadInput(f"{self.folder.state} does not fit its own configuration: it lacks moments of Adam")
            optimizer = self.game.optimizers()[name]
            optimizer.load_state_dict({"state": adam, "param_groups": optimizer.state_dict()["param_groups"]})
            for weight, state in optimizer.state.items():
                for moment in ("exp_avg", "exp_avg_sq"):  # a fused Adam wants them in the layout of the weights
                    state[moment] = torch.empty_like(weight, requires_grad=False).copy_(state[moment])
        means = part("average.")
        for name, mean in self.average.items():
            mean.copy_(means[name])
        for name in ("seen", "validated", "seconds", "progress", "best", "chosen", "cost"):
            setattr(self, name, progress[name])
        if self.scaler.state_dict().keys() == progress["scaler"].keys():  # a run from another device has none
            self.scaler.load_state_dict(progress["scaler"])

    def log(self, **values) -> None:
        self.folder.log(images=self.seen, **values)

    @property
    def lr(self) -> float:
        """The network's step size now."""
        return self.game.optimizers()["model"].param_groups[0]["lr"]

    # A step

    def batches(self) -> Iterator[tuple[Tensor, Tensor, dict[str, Tensor]]]:
        """This process's part of every batch, from the next one on, until the training is over."""
        share = self.recipe.batch // self.processes.count
        mine = slice(self.processes.rank * share, (self.processes.rank + 1) * share)
        while not self.finished():
            step = self.seen // self.recipe.batch
            self.game.train()
            x, target = (t[mine].contiguous(memory_format=torch.channels_last)
                         for t in batch_of(self.faces, step, self.recipe, self.game.config.enlarged))
            priors = priors_of(self.priors, *draw(len(self.faces), step, self.recipe)) if self.priors else {}
            yield x, target, {name: send(values[mine], self.device) for name, values in priors.items()}

    def gradients(self, game: BaseGame, x: Tensor, target: Tensor, priors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Set the gradients of the mean loss over all processes' batches; returns the means to log."""
        means = self.backward(x, target, priors)
        weights = (weight for network in game.networks().values() for weight in network.parameters())
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        self.processes.average(gradients)
        if self.scaler.is_enabled():
            for optimizer in game.optimizers().values():
                self.scaler.unscale_(optimizer)
            self.scaler.update()
            if not torch.stack([gradient.isfinite().all() for gradient in gradients]).all():
                game.zero_grad()  # the scale was too large: this batch is passed over
        return means

    def backward(self, x: Tensor, target: Tensor, priors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add a batch's gradients, `self.micro` images at a time: half as many if memory does not suffice."""
        while True:
            try:
                return self.in_parts(x, target, priors)
            except RuntimeError as error:
                words = "can't allocate memory|out of memory|ALLOC_FAILED|create a primitive"  # CPU, CUDA, libraries
                if not isinstance(error, torch.OutOfMemoryError) and not re.search(words, str(error)):
                    raise
            self.game.zero_grad()  # what the parts before have added; here, as the handler keeps their memory alive
            self.halve()

    def in_parts(self, x: Tensor, target: Tensor, priors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add a batch's gradients part by part; returns the means to log."""
        means: dict[str, Tensor] = {}
        for first in range(0, len(x), self.micro):
            part = slice(first, first + self.micro)
            share = len(x[part]) / len(x)
            with torch.autocast(self.device.type, AUTOCAST.get(self.format), enabled=self.format != "no"):
                loss, values = self.game.loss(x[part], target[part], {name: v[part] for name, v in priors.items()})
            self.scaler.scale(loss * share).backward()
            for name, value in values.items():
                means[name] = means.get(name, 0) + value.detach() * share
        return means

    def halve(self) -> None:
        """Take half as many images at a time; the batch stays (but BatchNorm then sees smaller parts)."""
        if self.micro == 1 or self.processes.count > 1:
            raise BadInput(f"out of memory with {self.micro} images at a time: choose a smaller --batch or preset"
                           + self.folder.last_state())
        self.micro = (self.micro + 1) // 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.log(micro_batch=self.micro)
        warnings.warn(f"out of memory: {self.micro} images at a time from now on, gradients are accumulated, "
                      f"the batch stays {self.recipe.batch}", stacklevel=2)

    def follow(self) -> None:
        """Move the averaged weights towards those of this step: fast at first, while these still race."""
        if self.average:
            step = self.seen // self.recipe.batch
            memory = min(self.recipe.ema, (1 + step) / (10 + step))
            torch._foreach_lerp_(  # type: ignore[attr-defined]
                list(self.average.values()), list(self.live.values()), 1 - memory)

    def finished(self) -> bool:
        """Whether the recipe's length is over: not one more batch fits into its images, or its minutes are used."""
        return self.recipe.complete(self.seen) if self.recipe.minutes is None else self.progress >= 1

    # Validation

    def show(self) -> nn.Module:
        """Return the network with the weights to validate and to save: averaged ones, if the recipe averages."""
        self.shown.load_state_dict(self.network.state_dict() | self.average)
        return self.shown

    def validate(self) -> None:
        """Score the weights on the validation faces, and keep them if they are the best so far.

        Those before the first step are kept, too, so that a run always leaves some, but any later ones replace them:
        of a GAN, PSNR would choose its start.
        """
        notes, score, begin = {}, -math.inf, time.monotonic()
        if self.processes.first:
            with exact():
                restored = restore(self.show(), self.val)
            score, notes = self.game.score(restored, self.val)
            if self.validated != self.seen:
                self.log(**notes, lr=self.lr, seconds=round(self.seconds, 1))
        self.validated = self.seen
        self.end_if(self.game.check(self.processes.agree(notes), 0))
        if self.processes.first:
            if score > self.best or not self.folder.best.exists():
                self.best, self.chosen = score if self.seen else -math.inf, notes
                when = {"images": self.seen, "minutes": round(self.seconds / 60, 2), **notes,
                        "chosen": time.strftime("%FT%TZ", time.gmtime())}
                save_weights(self.folder.best, self.shown.state_dict(), self.header | when, half=self.half)
            if self.on_validation:
                self.on_validation(self, self.shown)
            self.cost["validate"] = time.monotonic() - begin

    def end_if(self, problem: str | None) -> None:
        """BadInput if there is a problem for the first process."""
        if problem := self.processes.agree(problem):
            self.log(problem=problem)
            raise BadInput(f"after {self.seen} images: {problem}{self.folder.last_state()}")

    # The whole

    def speed(self, images: int = 0) -> float:
        """Measure the seconds of forward and backward for one image; nothing is learnt.

        images: at a time, the recipe's batch if 0; on a CPU a few say as much.
        """
        x, target, priors = next(self.batches())
        part, times = slice(images or None), []
        buffers = {name: value.clone() for name, value in self.game.named_buffers()}
        try:
            for _ in range(3):
                begin = time.monotonic()
                means = self.backward(x[part], target[part], {name: v[part] for name, v in priors.items()})
                means["loss"].item()  # waits for the device
                times.append(time.monotonic() - begin)
        finally:
            for name, value in self.game.named_buffers():
                value.copy_(buffers[name])
            self.game.zero_grad()
        return min(times[1:]) / len(x[part])  # the first one sets up

    def compile(self) -> None:
        """Use torch.compile if a step gets faster by it; if not, or if it fails, go on as before. The log tells."""
        plain, micro, begin = self.game.call, self.micro, time.monotonic()
        eager = self.speed()
        try:
            self.game.use(torch.compile(plain))
            compiled = self.speed()
            report = {"compiled": compiled}
        except Exception as error:  # compilers raise many kinds
            compiled = math.inf
            report = {"failed": f"{type(error).__name__}: {error}".split("\n")[0][:200]}
        used = self.processes.agree(compiled < 0.95 * eager)
        if not used:
            self.game.use(plain)
            self.micro = micro  # if the trial alone ran out of memory
        self.log(compile={"used": used, "eager": eager, **report, "seconds": round(time.monotonic() - begin, 1)})

    def train(self, minutes: float | None = None, save_every: float = 180.0, bar: bool = True,
              since: float | None = None) -> dict[str, Any]:
        """Train until the recipe's length is over, or for at most so many minutes of this call.

        Returns the images in all and of this call, the values on validation that chose the weights (`val_psnr` in dB),
        the seconds in all, and the weights' file. since: when the minutes began (time.monotonic()), now if left out;
        they include the last validation. save_every: seconds between two states.

        Ctrl-C, SIGTERM and a closed terminal end the batch, save, and raise KeyboardInterrupt. A loss that is no number
        and a game that is lost raise BadInput; the last good state stays in the folder.
        """
        before = self.seen
        self.folder.take()
        try:
            with asked_to_stop() as stop:
                Session(self, minutes, save_every, bar, since, stop).run()
        finally:
            self.folder.release()
        return {"images": self.seen, "trained_now": self.seen - before, **self.chosen,
                "seconds": round(self.seconds, 1), "weights": str(self.folder.best)}


class Session:
    """One call of `Trainer.train`: its clock, and what happens between two batches."""

    def __init__(self, trainer: Trainer, minutes: float | None, save_every: float, bar: bool, since: float | None,
                 stop: Event):
        from tqdm.auto import tqdm

        self.trainer, self.stop, self.losses = trainer, stop, []
        self.begin = time.monotonic() if since is None else since
        self.seconds_before, self.seen_before, self.progress_before = trainer.seconds, trainer.seen, trainer.progress
        length = trainer.recipe.minutes
        self.save_every = min(save_every, 15 * length) if length else save_every
        self.end_of_call = math.inf if minutes is None else self.begin + 60 * minutes
        self.end_of_run = self.begin + 60 * length - self.seconds_before if length else math.inf
        self.start = self.looked = self.stepped = self.saved = time.monotonic()
        self.step, self.quarters = 0.0, False  # seconds of a step; whether each quarter of the length is validated
        self.bar = tqdm(total=trainer.recipe.images, initial=trainer.seen, unit=" images", smoothing=0.05,
                        dynamic_ncols=True, disable=not bar or not trainer.processes.first)

    def run(self) -> None:
        """Train to the end of the run or of the call."""
        trainer, recipe = self.trainer, self.trainer.recipe
        try:
            if trainer.validated < 0:
                trainer.save()  # first of all: weights without a state would be taken for somebody's
            if trainer.processes.agree(trainer.validated < 0 or not trainer.folder.best.exists()):
                self.keep()  # from now on a kill leaves weights
            if trainer.compiled and not trainer.finished():
                trainer.compile()
            self.set_clock()
            fit(trainer.game, trainer.batches(), lambda: recipe.factor(trainer.progress), self.on_step,
                trainer.gradients)
            stopped, unscored = trainer.processes.agree((self.stop.is_set(), trainer.best == -math.inf))
            if trainer.validated != trainer.seen and (unscored or not stopped):
                self.keep()
            if stopped:
                raise KeyboardInterrupt(f"stopped after {trainer.seen} images; --resume continues")
        finally:
            self.bar.close()

    def keep(self) -> None:
        """Validate and save."""
        self.trainer.validate()
        self.count()
        self.save()

    def save(self) -> None:
        self.trainer.save()
        self.saved = self.stepped = time.monotonic()

    def count(self) -> float:
        """Note the seconds of the run until now; returns now."""
        now = time.monotonic()
        self.trainer.seconds = self.seconds_before + now - self.begin
        return now

    def set_clock(self) -> None:
        """Hold back the time of the last validation and save; BadInput if a run in minutes has none left to train."""
        trainer, cost = self.trainer, self.trainer.cost
        if trainer.recipe.minutes is not None and not trainer.finished():
            share = trainer.recipe.batch // trainer.processes.count
            self.step = share * trainer.speed(0 if trainer.device.type == "cuda" else 4)
        now = self.count()
        reserve = 1.2 * cost["validate"] + 2 * cost["save"] + 0.5
        self.end_of_call, self.end_of_run = self.end_of_call - reserve, self.end_of_run - reserve
        if trainer.processes.agree(self.end_of_run < now + self.step and trainer.seen == 0):
            raise BadInput(f"{trainer.recipe.minutes} minutes leave no time to train here: {now - self.begin:.0f} s "
                           f"are over, {reserve:.0f} s are kept for validation and saving, and a batch takes some "
                           f"{self.step:.0f} s: give more --minutes, a smaller --batch, or fewer faces to --val")
        self.start = self.stepped = now
        self.quarters = sum(cost.values()) < 0.05 * (self.end_of_run - now)  # else only the end is validated
        trainer.progress = trainer.processes.agree(self.progress(now))

    def progress(self, now: float) -> float:
        """The part of the run's length that is over: in minutes, 1 when the time left is too short for a step."""
        recipe, trainer = self.trainer.recipe, self.trainer
        if recipe.minutes is None:
            return trainer.seen / recipe.images if recipe.images else 0.0
        past, left = now - self.start, self.end_of_run - self.step - now
        if left <= 0:
            return 1.0
        over = self.progress_before + (1 - self.progress_before) * past / (past + left)
        return max(trainer.progress, over)  # a step that takes longer than the others does not turn it back

    def on_step(self, values: dict[str, Tensor]) -> bool:
        """After a batch: average, look, validate, save. True: the call is over."""
        trainer = self.trainer
        trainer.seen += trainer.recipe.batch
        trainer.follow()
        self.losses.append(values)
        self.bar.update(trainer.recipe.batch)
        now = self.count()
        last, self.stepped = now - self.stepped, now
        self.step = 0.9 * self.step + 0.1 * last if self.step else last
        over, look, keep, save, trainer.progress = trainer.processes.agree(self.plan(now))
        if look:
            self.look(now)
        if keep:
            self.keep()
        elif save:
            self.save()
        return over

    def plan(self, now: float) -> tuple[bool, bool, bool, bool, float]:
        """What follows a batch, as the first process sees it: whether the call is over, whether to look at the losses,
        to validate and save, to save; and the progress."""
        trainer, recipe, progress = self.trainer, self.trainer.recipe, self.progress(now)
        stopped, stale = self.stop.is_set(), now - self.saved > self.save_every
        if recipe.minutes is None:
            over = trainer.finished()
            due = trainer.seen % recipe.val_every < recipe.batch or stale and trainer.best == -math.inf
        else:
            over = progress >= 1
            due = self.quarters and int(4 * progress) > int(4 * trainer.progress) and not over
        over = over or stopped or now + self.step > self.end_of_call
        look = len(self.losses) >= trainer.look_every or now - self.looked > LOOK_SECONDS or due or over
        return over, look, due, stale or stopped, progress

    def look(self, now: float) -> None:
        """Log the mean losses since the last look; BadInput if one is no number, or if the game is over."""
        trainer, batches = self.trainer, len(self.losses)
        means = {name: torch.stack([each[name] for each in self.losses]).mean().item() for name in self.losses[0]}
        self.losses.clear()
        self.looked = now
        if not math.isfinite(means["loss"]):
            raise BadInput(f"the loss is {means['loss']} after {trainer.seen} images: start again with a smaller --lr"
                           + trainer.folder.last_state())
        rate = (trainer.seen - self.seen_before) / max(now - self.start, 1e-9)
        trainer.log(**{name: round(value, 6) for name, value in means.items()}, lr=trainer.lr,
                    images_per_second=round(rate, 2))
        best = "".join(f", best {name} {value}" for name, value in trainer.chosen.items())
        self.bar.set_postfix_str(f"loss {means['loss']:.4f}{best}", refresh=False)
        trainer.end_if(trainer.game.check(means, batches))
