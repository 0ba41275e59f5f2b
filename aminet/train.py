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
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from .config import AMINetConfig
from .degrade import augment, degrade, to_float, upsample
from .errors import BadInput
from .model import AMINet
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


def batch_of(faces: Tensor, step: int, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Batch number `step`: network input and target, float32 (B, 3, 128, 128) in [-1, 1], on the device of `faces`.

    Every epoch is its own permutation of all faces, and batches run on across the borders of epochs.
    """
    n, first = len(faces), step * recipe.batch
    epochs = range(first // n, (first + recipe.batch - 1) // n + 1)
    orders = [torch.randperm(n, generator=torch.Generator().manual_seed(recipe.seed * 1_000_003 + e)) for e in epochs]
    start = first - epochs[0] * n
    index = torch.cat(orders)[start:start + recipe.batch]
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + 500_000 + step)
    hr = augment(faces[index.to(faces.device)], generator)
    return to_float(upsample(degrade(hr))), to_float(hr)


@torch.inference_mode()
def restore(model: torch.nn.Module, hr: Tensor, batch: int = 32) -> Tensor:
    """Degrade faces and restore them. uint8 (N, 3, 128, 128) -> float32 (N, 3, 128, 128) in about [-1, 1]."""
    device = next(model.parameters()).device
    model.eval()
    return torch.cat([model(to_float(upsample(degrade(part.to(device))))).float().cpu() for part in hr.split(batch)])


class Run:
    """One training run in a folder. `faces`, `val`: uint8 (N, 3, 128, 128). `data`: what to note about them.

    Resumes from the folder's state when `resume` is set; otherwise an existing state raises BadInput.
    """

    def __init__(self, config: AMINetConfig, recipe: Recipe, faces: Tensor, val: Tensor, out: str | Path,
                 data: dict | None = None, resume: bool = False, device: str = "auto", preset: str = ""):
        from accelerate import Accelerator

        if device not in ("auto", "cpu", "cuda") or device == "cuda" and not torch.cuda.is_available():
            raise BadInput(f"device {device!r} is not here: use --device auto or --device cpu")
        self.accelerator = Accelerator(cpu=device == "cpu", mixed_precision=precision(device),
                                       step_scheduler_with_optimizer=False)
        self.config, self.recipe, self.out = config, recipe, Path(out)
        if self.accelerator.is_main_process:
            with writing(self.out / "log.jsonl"):  # find out before training, not after
                open(self.out / "log.jsonl", "a").close()
        self.world = self.accelerator.num_processes
        if recipe.batch % self.world:
            raise BadInput(f"batch {recipe.batch} is no multiple of the {self.world} processes")
        if len(faces) == 0 or len(val) == 0:
            raise BadInput("no faces to train on, or none to validate on")
        self.faces, self.val = faces.to(self.accelerator.device), val
        self.seen, self.best, self.seconds, self.validated = 0, -torch.inf, 0.0, False
        self.header = {
            "preset": preset, "config": config.to_dict(), "recipe": asdict(recipe), "protocol": "paper",
            "data": data or {}, "processes": self.world, "device": str(self.accelerator.device),
            "precision": self.accelerator.mixed_precision,
            "versions": {"torch": torch.__version__, "python": platform.python_version()},
        }
        torch.manual_seed(recipe.seed)
        model = AMINet(config).to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(model.parameters(), lr=recipe.lr, betas=(0.9, 0.99))
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.plain = self.accelerator.unwrap_model(self.model)
        self.average = {k: v.clone() for k, v in self.plain.state_dict().items()} if recipe.ema else None
        self.state = self.out / "state.safetensors"
        if resume and not self.state.exists():
            raise BadInput(f"{self.out} holds no run to resume: leave out --resume")
        if resume:
            self.resume()
        elif self.state.exists():
            raise BadInput(f"{self.out} holds a run already: continue it with --resume, or choose another --out")

    def weights(self) -> dict[str, Tensor]:
        """The weights to validate and to save: averaged, if the recipe averages."""
        return self.average or self.plain.state_dict()

    def save(self) -> None:
        """Write the state, atomically. Only the first process writes, and only finite weights."""
        if not self.accelerator.is_main_process:
            return
        tensors = {f"model.{k}": v for k, v in self.plain.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in (self.average or {}).items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{k}": v for k, v in state.items()}
        if not all(v.isfinite().all() for v in tensors.values() if v.is_floating_point()):
            return  # the last good state stays
        progress = {"seen": self.seen, "best": self.best, "seconds": round(self.seconds, 1)}
        save_tensors(self.state, tensors, self.header | {"progress": progress})

    def resume(self) -> None:
        """Continue from the folder's state; BadInput if it belongs to another configuration, recipe or data."""
        tensors, header = read_tensors(self.state)
        wanted = json.loads(json.dumps(self.header))  # tuples become lists
        for key in ("config", "recipe", "data"):
            ours, theirs = wanted[key], header.get(key, {})
            if key == "recipe":  # a longer run may continue a shorter one, unless the schedule depends on the end
                free = {"images"} if self.recipe.schedule == "constant" else set()
                ours, theirs = ({k: v for k, v in d.items() if k not in free} for d in (ours, theirs))
            changed = sorted(k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k))
            if changed:
                raise BadInput(f"{self.state} is another run: its {key} differs in {', '.join(changed)}")

        def part(prefix: str) -> dict[str, Tensor]:
            return {k[len(prefix):]: v for k, v in tensors.items() if k.startswith(prefix)}

        self.plain.load_state_dict(part("model."))
        if self.average is not None:
            device = self.accelerator.device
            self.average = {k: v.to(device) for k, v in part("average.").items()}
        adam: dict[int, dict[str, Tensor]] = {}
        for key, value in part("adam.").items():
            index, name = key.split(".")
            adam.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({"state": adam, "param_groups": self.optimizer.state_dict()["param_groups"]})
        progress = header["progress"]
        self.seen, self.best, self.seconds = progress["seen"], progress["best"], progress["seconds"]
        self.trim_log()

    def trim_log(self) -> None:
        """Drop the lines that were logged after the state was saved: they will be written again."""
        log = self.out / "log.jsonl"
        if self.accelerator.is_main_process and log.exists():
            def kept(line: str) -> bool:
                try:
                    return json.loads(line)["images"] <= self.seen
                except ValueError:  # a line cut short by a crash
                    return False

            lines = log.read_text().splitlines(keepends=True)
            write_atomically(log, "".join(filter(kept, lines)).encode())

    def log(self, **values) -> None:
        if self.accelerator.is_main_process:
            with writing(self.out / "log.jsonl"), open(self.out / "log.jsonl", "a") as file:
                file.write(json.dumps({"images": self.seen} | values) + "\n")

    def step(self) -> Tensor:
        """One batch: forward, L1 of Eq. 17, backward, Adam, average. Returns the loss (not yet synchronised)."""
        share = self.recipe.batch // self.world
        mine = slice(self.accelerator.process_index * share, (self.accelerator.process_index + 1) * share)
        x, target = (t[mine].contiguous(memory_format=torch.channels_last)
                     for t in batch_of(self.faces, self.seen // self.recipe.batch, self.recipe))
        self.model.train()
        loss = F.l1_loss(self.model(x).float(), target)
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(self.seen).item()
        self.optimizer.step()
        self.seen += self.recipe.batch
        self.validated = False
        if self.average is not None:
            step = self.seen // self.recipe.batch
            decay = min(self.recipe.ema, (1 + step) / (10 + step))  # a short memory while the weights still race
            for name, value in self.plain.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1 - decay)
                else:
                    self.average[name].copy_(value)
        return loss.detach()

    def validate(self) -> float:
        """Mean Y-PSNR in dB on the validation faces under `paper`; keeps the weights if they are the best so far."""
        if self.accelerator.is_main_process:
            network = AMINet(self.config).to(self.accelerator.device, memory_format=torch.channels_last)
            network.load_state_dict(self.weights())
            score = float(psnr(restore(network, self.val), self.val, PROTOCOLS["paper"]).mean())
            self.log(val_psnr=round(score, 4), seconds=round(self.seconds, 1))
            if score > self.best:
                self.best = score
                chosen = {"images": self.seen, "val_psnr": round(score, 4),
                          "chosen": time.strftime("%FT%TZ", time.gmtime())}
                save_weights(self.out / "best.safetensors", self.weights(), self.header | chosen)
        self.validated = True
        self.accelerator.wait_for_everyone()
        return self.best

    def train(self, minutes: float | None = None, save_every: float = 180.0, bar: bool = True) -> dict:
        """Train until the recipe's images or the minutes are over.

        save_every: seconds between two saved states. Returns images, best val PSNR, seconds and images per second.
        Ctrl-C and SIGTERM end the batch, save the state and raise KeyboardInterrupt. A loss that is no number raises
        BadInput; the last good state stays in the folder.
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
                        loss = torch.stack(losses).mean().item()
                        losses.clear()
                        if not loss < float("inf"):
                            raise BadInput(f"the loss is {loss} after {self.seen} images: the last good state is in "
                                           f"{self.state}; start again with a smaller --lr")
                        self.log(loss=round(loss, 6), rate=round((self.seen - before) / (now - begin), 2))
                        best = f", best {self.best:.2f} dB" if self.best > -torch.inf else ""
                        progress.set_postfix_str(f"L1 {loss:.4f}{best}", refresh=False)
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
        return {"images": self.seen, "trained_now": self.seen - before, "val_psnr": round(self.best, 4),
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


def precision(device: str) -> str:
    """bf16 where the GPU has it. On a CPU the narrow nets are bound by memory, and bf16 gained nothing."""
    return "bf16" if device != "cpu" and torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "no"
