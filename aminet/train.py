"""Training (Secs. III-D and IV-B): L1, Adam (0.9, 0.99), 2e-4; validation picks the weights; any stop can be resumed.

Batch k depends on the seed and k alone, not on the number of processes or earlier stops, so a resumed run sees the
numbers of an uninterrupted one (another device may round a few bytes of an augmented face differently). With several
processes each normalises its own share of the batch. A run is a folder: `log.jsonl`, `state.safetensors` (to resume),
`best.safetensors` with `best.json` (chosen on validation).
"""
from __future__ import annotations

import json
import platform
import signal
import threading
import time
import warnings
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from .config import Config
from .degrade import augment, network_input, to_float
from .errors import BadInput
from .networks import build
from .priors import check_priors, priors_of
from .protocol import PROTOCOLS, psnr
from .weights import read_tensors, save_tensors, save_weights, write_atomically, writing

CHECK_EVERY = 50  # batches between looks at the loss; a look makes a GPU wait


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are the paper's where it says (Sec. IV-B), else its lineage's.

    images: images to see in all, None for no end. batch: over all processes. lr: Adam's step size.
    schedule: `constant` (the lineage's), or `cosine` down to zero over `images`.
    ema: decay of the averaged weights that are validated and saved; 0 for none.
    val_every: images between two validations. seed: of the initial weights, the order and the augmentation.
    """

    images: int | None = None
    batch: int = 32
    lr: float = 2e-4
    schedule: str = "constant"
    ema: float = 0.0
    val_every: int = 5000
    seed: int = 0

    def __post_init__(self):
        if self.batch < 1 or self.lr <= 0 or not 0 <= self.ema < 1 or self.val_every < 1:
            raise BadInput("batch, lr and val_every must be positive, and ema must lie in [0, 1)")
        if self.images is not None and self.images < self.batch:
            raise BadInput(f"images={self.images} is less than one batch of {self.batch}: give --batch {self.images}")
        if self.schedule not in ("constant", "cosine"):
            raise BadInput(f"unknown schedule {self.schedule!r}: choose constant or cosine")
        if self.schedule == "cosine" and self.images is None:
            raise BadInput("the cosine schedule needs --images: it ends there")

    def rate(self, seen: int) -> Tensor:
        """Adam's step size after `seen` images."""
        if self.schedule == "constant":
            return torch.tensor(self.lr)
        return self.lr * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * min(seen / self.images, 1.0))))


def draw(n: int, step: int, recipe: Recipe) -> tuple[Tensor, torch.Generator]:
    """Which of n faces are in batch number `step`, (B,), and the generator of its augmentation.

    Every epoch is its own permutation of all faces, and batches run on across the borders of epochs.
    """
    first = step * recipe.batch
    epochs = range(first // n, (first + recipe.batch - 1) // n + 1)
    orders = [torch.randperm(n, generator=torch.Generator().manual_seed(recipe.seed * 1_000_003 + e)) for e in epochs]
    start = first - epochs[0] * n
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + 500_000 + step)
    return torch.cat(orders)[start:start + recipe.batch], generator


def batch_of(faces: Tensor, step: int, recipe: Recipe, enlarged: bool = True) -> tuple[Tensor, Tensor]:
    """Batch number `step`: `network_input` and target (B, 3, 128, 128), float32 in [-1, 1], where `faces` are."""
    index, generator = draw(len(faces), step, recipe)
    hr = augment(faces[index.to(faces.device)], generator)
    return network_input(hr, enlarged), to_float(hr)


@torch.inference_mode()
def restore(model: torch.nn.Module, hr: Tensor, batch: int = 32) -> Tensor:
    """Degrade faces and restore them. uint8 (N, 3, 128, 128) -> float32 (N, 3, 128, 128) in about [-1, 1]."""
    device, enlarged = next(model.parameters()).device, getattr(model, "config", Config).enlarged
    model.eval()
    return torch.cat([model(network_input(part.to(device), enlarged)).float().cpu() for part in hr.split(batch)])


class Objective(torch.nn.Module):
    """A network and its own loss as one module, so that its wrappers (DDP, torch.compile) see a single forward."""

    def __init__(self, network: torch.nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, target: Tensor, priors: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return self.network.loss(image, target, **priors)


class Run:
    """One training run in a folder. `faces`, `val`: uint8 (N, 3, 128, 128). `data`: what to note about them.

    Resumes from the folder's state when `resume` is set; otherwise an existing state raises BadInput.
    priors: of `faces`, by name, for a network whose loss takes some (see aminet.priors).
    fused: compile the network with torch.compile: a minute or two at the start, then faster steps.
    """

    def __init__(self, config: Config, recipe: Recipe, faces: Tensor, val: Tensor, out: str | Path,
                 data: dict | None = None, resume: bool = False, device: str = "auto", preset: str = "",
                 fused: bool = False, priors: dict[str, Tensor] | None = None):
        from accelerate import Accelerator

        self.config, self.recipe, self.out, self.fused = config, recipe, Path(out), fused
        self.state, self.journal = self.out / "state.safetensors", self.out / "log.jsonl"
        self.accelerator = Accelerator(cpu=usable(device) == "cpu", mixed_precision=precision(device),
                                       step_scheduler_with_optimizer=False)
        self.world = self.accelerator.num_processes
        if recipe.batch % self.world:
            raise BadInput(f"batch {recipe.batch} is no multiple of the {self.world} processes")
        if len(faces) == 0 or len(val) == 0:
            raise BadInput("no faces to train on, or none to validate on")
        if resume and not self.state.exists():
            raise BadInput(f"{self.out} holds no run to resume: leave out --resume")
        if self.state.exists() and not resume:
            raise BadInput(f"{self.out} holds a run already: continue it with --resume, or choose another --out")
        if self.accelerator.is_main_process:
            with writing(self.journal):  # find out before training, not after
                open(self.journal, "a").close()
        self.faces, self.val, self.priors = faces.to(self.accelerator.device), val, priors or {}
        self.seen, self.seconds, self.validated = 0, 0.0, False
        self.best, self.chosen = -torch.inf, {}  # the best score on validation, and what was noted with it
        self.micro = recipe.batch // self.world  # images at a time: halved when the GPU's memory does not suffice
        self.header = {
            "preset": preset, "config": config.to_dict(), "recipe": asdict(recipe), "protocol": "paper",
            "data": data or {}, "processes": self.world, "device": str(self.accelerator.device),
            "precision": self.accelerator.mixed_precision,
            "versions": {"torch": torch.__version__, "python": platform.python_version()},
        }
        torch.manual_seed(recipe.seed)
        self.players = self.build()  # name -> (network, optimiser): all that is trained, saved and resumed
        self.plain, self.optimizer = self.players["model"]
        self.average = {k: v.clone() for k, v in self.plain.state_dict().items()} if recipe.ema else None
        if resume:
            self.resume()

    def build(self) -> dict[str, tuple[torch.nn.Module, torch.optim.Optimizer]]:
        """The networks that learn, each with its Adam. Sets `self.model`, the network as it is called."""
        network = build(self.config).to(self.accelerator.device, memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(network.parameters(), lr=self.recipe.lr, betas=(0.9, 0.99))
        taught = self.taught(network)
        self.model, optimizer = self.accelerator.prepare(torch.compile(taught) if self.fused else taught, optimizer)
        return {"model": (network, optimizer)}

    def taught(self, network: torch.nn.Module) -> torch.nn.Module:
        """What is called in training: the network, or the network with its own loss. BadInput if that lacks a prior."""
        check_priors(network, self.priors)
        return Objective(network) if hasattr(network, "loss") else network

    def weights(self) -> dict[str, Tensor]:
        """The weights to validate and to save: averaged, if the recipe averages."""
        return self.average or self.plain.state_dict()

    def save(self) -> None:
        """Write the state, atomically. Only the first process writes, and only finite weights."""
        if not self.accelerator.is_main_process:
            return
        tensors = {f"average.{k}": v for k, v in (self.average or {}).items()}
        for player, (network, optimizer) in self.players.items():
            tensors |= {f"{player}.{k}": v for k, v in network.state_dict().items()}
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"adam of {player}.{index}.{k}": v for k, v in state.items()}
        if not all(v.isfinite().all() for v in tensors.values() if v.is_floating_point()):
            return  # the last good state stays
        progress = {"seen": self.seen, "best": self.best, "chosen": self.chosen, "seconds": round(self.seconds, 1)}
        save_tensors(self.state, tensors, self.header | {"progress": progress})

    def resume(self) -> None:
        """Continue from the folder's state; BadInput if it belongs to another configuration, recipe or data."""
        tensors, header = read_tensors(self.state)
        wanted = json.loads(json.dumps(self.header))  # tuples become lists
        for key in ("config", "recipe", "data", "start", "vgg19"):
            ours, theirs = wanted.get(key, {}), header.get(key, {})
            if isinstance(ours, str):
                ours, theirs = {"file": ours}, {"file": theirs}
            if key == "recipe":  # a longer run may continue a shorter one, unless the schedule depends on the end
                free = {"images"} if self.recipe.schedule == "constant" else set()
                ours, theirs = ({k: v for k, v in d.items() if k not in free} for d in (ours, theirs))
            changed = sorted(k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k))
            if changed:
                raise BadInput(f"{self.state} is another run: its {key} differs in {', '.join(changed)}")

        def part(prefix: str) -> dict[str, Tensor]:
            return {k[len(prefix):]: v for k, v in tensors.items() if k.startswith(prefix)}

        for player, (network, optimizer) in self.players.items():
            network.load_state_dict(part(f"{player}."))
            adam: dict[int, dict[str, Tensor]] = {}
            for key, value in part(f"adam of {player}.").items():
                index, name = key.split(".")
                adam.setdefault(int(index), {})[name] = value
            optimizer.load_state_dict({"state": adam, "param_groups": optimizer.state_dict()["param_groups"]})
        if self.average is not None:
            device = self.accelerator.device
            self.average = {k: v.to(device) for k, v in part("average.").items()}
        progress = header["progress"]
        self.seen, self.seconds = progress["seen"], progress["seconds"]
        self.best, self.chosen = progress["best"], progress["chosen"]
        self.trim_log()

    def trim_log(self) -> None:
        """Drop the lines that were logged after the state was saved: they will be written again."""
        if self.accelerator.is_main_process and self.journal.exists():
            def kept(line: str) -> bool:
                try:
                    return json.loads(line)["images"] <= self.seen
                except ValueError:  # a line cut short by a crash
                    return False

            lines = self.journal.read_text().splitlines(keepends=True)
            write_atomically(self.journal, "".join(filter(kept, lines)).encode())

    def log(self, **values) -> None:
        if self.accelerator.is_main_process:
            with writing(self.journal), open(self.journal, "a") as file:
                file.write(json.dumps({"images": self.seen} | values) + "\n")

    def losses(self, x: Tensor, target: Tensor, *priors: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What to minimise, and what to log of it: L1 (Eq. 17), or a compared method's own loss.

        x: the network's input; target: (B, 3, 128, 128), both float32. priors: of the batch, as in `self.priors`.
        """
        if hasattr(self.plain, "loss"):
            objective, values = self.model(x, target, dict(zip(self.priors, priors)))
            return objective, {"loss": objective} | values
        loss = F.l1_loss(self.model(x).float(), target)
        return loss, {"loss": loss}

    def step(self) -> dict[str, Tensor]:
        """One batch: gradients, Adam, average. Returns the mean losses, not yet synchronised."""
        share = self.recipe.batch // self.world
        mine = slice(self.accelerator.process_index * share, (self.accelerator.process_index + 1) * share)
        step = self.seen // self.recipe.batch
        batch = [t[mine].contiguous(memory_format=torch.channels_last)
                 for t in batch_of(self.faces, step, self.recipe, self.config.enlarged)]
        if self.priors:
            priors = priors_of(self.priors, *draw(len(self.faces), step, self.recipe))
            batch += [t[mine].to(self.accelerator.device) for t in priors.values()]
        for network, _ in self.players.values():
            network.train()
        while (means := self.gradients(*batch)) is None:
            self.halve()
        decay = self.recipe.rate(self.seen).item() / self.recipe.lr
        for _, optimizer in self.players.values():
            for group in optimizer.param_groups:
                group["lr"] = optimizer.defaults["lr"] * decay
            optimizer.step()
        self.seen += self.recipe.batch
        self.validated = False
        if self.average is not None:
            step = self.seen // self.recipe.batch
            memory = min(self.recipe.ema, (1 + step) / (10 + step))  # short while the weights still race
            for name, value in self.plain.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1 - memory)
                else:
                    self.average[name].copy_(value)
        return means

    def gradients(self, *batch: Tensor) -> dict[str, Tensor] | None:
        """Backward of the mean loss over the batch, `self.micro` images at a time. None: out of GPU memory."""
        means: dict[str, Tensor] = {}
        for _, optimizer in self.players.values():
            optimizer.zero_grad(set_to_none=True)
        try:
            for part in zip(*(t.split(self.micro) for t in batch)):
                share = len(part[0]) / len(batch[0])
                objective, values = self.losses(*part)
                self.accelerator.backward(objective * share)
                for name, value in values.items():
                    means[name] = means.get(name, 0) + value.detach() * share
        except torch.OutOfMemoryError:
            return None  # the caller tries again outside of the handler, which would keep the memory alive
        return means

    def halve(self) -> None:
        """Half as many images at a time; the effective batch stays (BatchNorm then sees smaller parts)."""
        if self.micro == 1 or self.world > 1:
            raise BadInput(f"out of GPU memory with {self.micro} images at a time: choose a smaller --batch or preset"
                           + (f"; the last good state is in {self.state}" if self.state.exists() else ""))
        self.micro = (self.micro + 1) // 2
        torch.cuda.empty_cache()
        self.log(micro_batch=self.micro)
        warnings.warn(f"out of GPU memory: {self.micro} images at a time from now on, gradients are accumulated, "
                      f"the batch stays {self.recipe.batch}", stacklevel=2)

    def judge(self, sr: Tensor) -> tuple[float, dict[str, float]]:
        """The score that chooses the weights (higher is better), and what to note. sr: float32, of `self.val`."""
        value = float(psnr(sr, self.val, PROTOCOLS["paper"]).mean())
        return value, {"val_psnr": round(value, 4)}

    def watch(self, means: dict[str, float], batches: int) -> None:
        """Looks at the mean losses of the last batches, CHECK_EVERY or fewer; may raise BadInput to stop the run."""

    def validate(self) -> float:
        """Judge the weights on the validation faces, by mean Y-PSNR in dB under `paper`; keep them if best so far."""
        if self.accelerator.is_main_process:
            network = build(self.config).to(self.accelerator.device, memory_format=torch.channels_last)
            network.load_state_dict(self.weights())
            score, noted = self.judge(restore(network, self.val))
            self.log(**noted, seconds=round(self.seconds, 1))
            if score > self.best:
                self.best, self.chosen = score, noted
                when = {"images": self.seen, **noted, "chosen": time.strftime("%FT%TZ", time.gmtime())}
                save_weights(self.out / "best.safetensors", self.weights(), self.header | when)
        self.validated = True
        self.accelerator.wait_for_everyone()
        return self.best

    def train(self, minutes: float | None = None, save_every: float = 180.0, bar: bool = True) -> dict:
        """Train until the recipe's images or the minutes are over.

        save_every: seconds between two saved states. Returns images in all and of this call, the values on validation
        that chose the weights (`val_psnr` in dB), seconds in all, and the weights' file. Ctrl-C and SIGTERM end the
        batch, save the state and raise KeyboardInterrupt. A loss that is no number raises BadInput; the last good
        state stays in the folder.
        """
        from tqdm.auto import tqdm

        total = self.recipe.images
        begin = last_save = time.monotonic()
        before, seconds, losses = self.seen, self.seconds, []
        progress = tqdm(total=total, initial=self.seen, unit=" images", smoothing=0.05, dynamic_ncols=True,
                        disable=not bar or not self.accelerator.is_main_process)
        try:
            with asked_to_stop() as stop:
                while total is None or self.seen + self.recipe.batch <= total:
                    losses.append(self.step())
                    progress.update(self.recipe.batch)
                    now = time.monotonic()
                    self.seconds = seconds + now - begin
                    due = self.seen % self.recipe.val_every < self.recipe.batch
                    over, stale = self.agree([stop.is_set() or minutes is not None and now - begin > 60 * minutes,
                                              now - last_save > save_every])
                    if len(losses) >= CHECK_EVERY or due or over:
                        means = {k: torch.stack([each[k] for each in losses]).mean().item() for k in losses[0]}
                        looked = len(losses)
                        losses.clear()
                        if not means["loss"] < float("inf"):
                            raise BadInput(f"the loss is {means['loss']} after {self.seen} images: the last good state "
                                           f"is in {self.state}; start again with a smaller --lr")
                        self.log(**{k: round(v, 6) for k, v in means.items()},
                                 rate=round((self.seen - before) / (now - begin), 2))
                        best = "".join(f", best {k} {v}" for k, v in self.chosen.items())
                        progress.set_postfix_str(f"loss {means['loss']:.4f}{best}", refresh=False)
                        self.watch(means, looked)
                    if due:
                        self.validate()
                    if due or over or stale:
                        self.save()
                        last_save = time.monotonic()
                    if over:
                        break
                if stop.is_set():
                    if self.best == -torch.inf:  # leave weights that can be used, however early the stop
                        self.validate()
                        self.save()
                    raise KeyboardInterrupt
            if not self.validated:
                self.validate()
                self.save()
        finally:
            progress.close()
        self.accelerator.end_training()
        return {"images": self.seen, "trained_now": self.seen - before, **self.chosen,
                "seconds": round(self.seconds, 1), "weights": str(self.out / "best.safetensors")}

    def agree(self, flags: list[bool]) -> list[bool]:
        """The first process's clock, and its signals, decide for all."""
        if self.world == 1:
            return flags
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list(flags)


@contextmanager
def asked_to_stop():
    """An event that Ctrl-C and SIGTERM set, so that a batch ends before the run does. A second Ctrl-C is immediate."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only the main thread gets signals
        yield event
        return

    def handle(number, frame):
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def usable(device: str) -> str:
    """`device` itself if it can be used; BadInput if it is not here."""
    if device not in ("auto", "cpu", "cuda") or device == "cuda" and not torch.cuda.is_available():
        raise BadInput(f"device {device!r} is not here: use --device cpu")
    return device


def precision(device: str) -> str:
    """bf16 where the GPU has it. On a CPU the narrow nets are bound by memory, and bf16 gained nothing."""
    return "bf16" if device != "cpu" and torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "no"
