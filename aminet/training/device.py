"""Where a training runs: the device, the number format, the processes that share it, and the signals that stop it."""
from __future__ import annotations

import ctypes
import os
import signal
import threading
from contextlib import contextmanager, suppress
from typing import TypeVar

import torch
from torch import Tensor

from ..errors import BadInput

T = TypeVar("T")
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def usable(device: str) -> str:
    """Return `cpu` or `cuda`: what is asked for, of `auto` a GPU if there is one; BadInput if it is not here."""
    here = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    if device not in ("auto", "cpu", here):
        raise BadInput(f"device {device!r} is not here: use --device cpu")
    return here if device == "auto" else device


def precision(device: str, fp16: bool = True) -> str:
    """Return the number format to train in: `bf16`, `fp16` or `no` for float32.

    Older GPUs, as a T4, only emulate bf16, slowly: they train in fp16 with a scaled loss, or in float32 if not `fp16`.
    On a CPU bf16 gains nothing.
    """
    if device == "cpu" or not torch.cuda.is_available():
        return "no"
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16"
    return "fp16" if fp16 else "no"


def tf32(device: torch.device, on: bool | None = None) -> dict[str, bool]:
    """Return what a file made on a GPU notes: whether float32 products are shortened to TF32 (now, or `on`)."""
    used = torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32 if on is None else on
    return {"tf32": bool(used)} if device.type == "cuda" else {}


def keep_memory() -> bool:
    """Let this process keep the memory that tensors free, instead of asking for it at every step; False without glibc.

    Measured on one core: a step of FFN (Table III) takes 0.6 of its time, one of SISN 0.8, one of AMINet the same.
    """
    with suppress(OSError, AttributeError, TypeError):
        return all([ctypes.CDLL(None).mallopt(option, 2**31 - 1) for option in (-3, -1)])  # M_MMAP_, M_TRIM_THRESHOLD
    return False


@contextmanager
def exact():
    """Measure without TF32, which a GPU otherwise takes for convolutions."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


class Processes:
    """The processes that share one training: this one alone, or those that torchrun started, joined by Accelerate.

    device: auto, cpu or cuda; the attribute is this process's own.
    """

    def __init__(self, device: str = "auto"):
        self.count, self.rank = 1, 0
        self.device = torch.device(usable(device))
        if os.environ.get("WORLD_SIZE", "") not in ("", "1") and "LOCAL_RANK" in os.environ:
            from accelerate import PartialState

            try:
                state = PartialState(cpu=self.device.type == "cpu")
            except ValueError as error:
                raise BadInput(f"torchrun starts several processes; for one, unset WORLD_SIZE ({error})") from None
            self.count, self.rank = state.num_processes, state.process_index
            self.device = state.device or self.device

    @property
    def first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def average(self, gradients: list[Tensor]) -> None:
        """Replace gradients by their mean over all processes."""
        if self.count > 1:
            from accelerate.utils import reduce

            flat: Tensor = reduce(torch.cat([g.flatten() for g in gradients]), "mean")  # type: ignore[assignment]
            for mean, gradient in zip(flat.split([g.numel() for g in gradients]), gradients):
                gradient.copy_(mean.view_as(gradient))

    def agree(self, value: T) -> T:
        """Return what the first process says, in all of them."""
        if self.count == 1:
            return value
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]


@contextmanager
def asked_to_stop():
    """Give an event that Ctrl-C, SIGTERM and a closed terminal set, so that a batch ends before the run does.

    A second Ctrl-C is immediate. A signal that is ignored, as nohup has it, stays ignored.
    """
    event = threading.Event()

    def handle(number, frame):
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    stops = {"SIGINT", "SIGTERM", "SIGHUP"} if threading.current_thread() is threading.main_thread() else set()
    before = {number: signal.signal(number, handle) for number in signal.Signals  # Windows has no SIGHUP
              if number.name in stops and signal.getsignal(number) is not signal.SIG_IGN}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
