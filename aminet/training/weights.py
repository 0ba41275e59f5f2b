"""Weights: safetensors with a JSON sidecar, written atomically, read without executing code."""
from __future__ import annotations

import os
import re
from contextlib import contextmanager
from difflib import get_close_matches
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from ..baselines.registry import build, read_config
from ..errors import BadInput
from ..files import DATA, IN_CLONE, LARGEST_JSON, as_json, check_shape, read_json, write_atomically

if TYPE_CHECKING:  # `upscale --onnx` finds and writes files where there is no torch
    import torch

    from ..config import Config

PRETRAINED = DATA / "weights"
COUNT, TIME = range(2**53), re.compile(r"[\dTZ:-]*")
# What the header of weights notes, and a record of them; as far as it is read again. `progress`: of a run's state.
HEADER = {
    "config?": dict, "recipe?": dict, "trials?": [{"lr": float, "images": COUNT}], "preset?": str, "device?": str,
    "data?": {"train?": {"sources?": [str], "images?": COUNT}}, "chosen?": TIME, "images?": COUNT, "vgg19?": str,
    "minutes?": (float, None), "val_psnr?": float, "val_lpips?": float, "start?": {"name": str, "val_psnr?": float},
    "progress?": {"seen": COUNT, "seconds": float, "progress": float, "best": (float, -inf), "chosen": {str: float},
                  "validated": range(-1, 2**53), "cost": {"validate": float, "save": float}, "scaler": {str: float}}}


def read_header(path: str | Path) -> dict:
    """Return the JSON header of a file that `save_tensors` wrote, without its tensors; BadInput for anything else."""
    with opened(path) as (_, header):
        return header


def read_tensors(path: str | Path, like: dict[str, torch.Tensor] | None = None,
                 optional: tuple[str, ...] = ()) -> tuple[dict[str, torch.Tensor], dict]:
    """Return the tensors and the JSON header of a file that `save_tensors` wrote; BadInput for anything else.

    like: what it must hold, for example on the meta device. Names, shapes and kinds of numbers are compared before a
    tensor is read. optional: beginnings of names that it may lack. NaN and infinity are refused.
    """
    with opened(path) as (file, header):
        slices = {key: file.get_slice(key) for key in file.keys()}
        if like is not None:
            kinds = {"F": "floats", "I": "integers", "U": "integers"}  # F16, BF16, I64, U8; neither BOOL nor C64
            found = {key: (kinds.get(each.get_dtype().removeprefix("B")[0], "others"), tuple(each.get_shape()))
                     for key, each in slices.items()}
            wanted = {key: ("floats" if each.is_floating_point() else "integers", tuple(each.shape))
                      for key, each in like.items() if key in found or not key.startswith(optional)}
            for key in sorted(found.keys() | wanted.keys()):
                if found.get(key) != wanted.get(key):
                    raise BadInput(f"{path} does not fit its own configuration: of {key[:100]} it has "
                                   f"{found.get(key, 'nothing')}, not {wanted.get(key, 'nothing')}")
        tensors = {key: file.get_tensor(key) for key in slices}
    if odd := [key for key, value in tensors.items() if not value.float().isfinite().all()]:
        raise BadInput(f"{path} holds NaN or infinity in {odd[0][:100]}: take an earlier copy, or train again")
    return tensors, header


@contextmanager
def opened(path: str | Path):
    """Open a file that `save_tensors` wrote: gives it, and its JSON header. BadInput for anything else."""
    from safetensors import SafetensorError, safe_open

    if not os.path.isfile(path):
        raise BadInput(f"no such file: {path}")
    try:
        with open(path, "rb") as content:  # the parser would take gigabytes for millions of names
            if int.from_bytes(content.read(8), "little") > LARGEST_JSON:
                raise SafetensorError("header too large")
        with safe_open(path, framework="pt") as file:
            header = read_json(path, (file.metadata() or {}).get("aminet", "null"))
            check_shape(header, HEADER, f"{path} was not written by aminet, or by another version: its header")
            yield file, header
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path} is not a whole safetensors file (pickles are never loaded): {error}; move it away, "
                       "or copy or download it again") from error


def save_tensors(path: str | Path, tensors: dict[str, torch.Tensor], header: dict) -> None:
    """Write one safetensors file with `header` as JSON inside, atomically."""
    from safetensors.torch import save

    contiguous = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    write_atomically(path, save(contiguous, metadata={"aminet": as_json(header)}))


def save_weights(path: str | Path, state: dict[str, torch.Tensor], header: dict, half: bool = False) -> None:
    """Write weights, `x.safetensors`, and the readable twin of their header, `x.json`.

    `header` holds config, protocol, data fingerprint, seed, versions and images seen. half: store floats as fp16.
    """
    if half:
        state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    save_tensors(path, state, header)
    write_atomically(Path(path).with_suffix(".json"), (as_json(header, indent=1) + "\n").encode())


def find_weights(name: str | Path) -> Path:
    """Return a file, the best.safetensors of a run's folder, or weights of the course by name (data/weights/NAME)."""
    path, of_run, of_course = Path(name), Path(name) / "best.safetensors", PRETRAINED / f"{name}.safetensors"
    if path.suffix == ".safetensors" or os.path.isfile(path):
        return path
    for candidate in (of_run, of_course):
        if os.path.exists(candidate):
            return candidate
    if os.path.isdir(path):
        raise BadInput(f"{path} holds no best.safetensors: give the folder of a run, or a .safetensors file")
    near = get_close_matches(str(name), [file.stem for file in PRETRAINED.glob("*.safetensors")]) or ["pocket"]
    ours = f"as in data/weights ({', '.join(near)})" if IN_CLONE else f"{', '.join(near)}; all others need a clone"
    raise BadInput(f"no weights {str(name)!r}: give a .safetensors file, the folder of a run, or the name of ours, "
                   f"{ours}")


def read_network(name: str | Path) -> tuple[Path, Config, dict]:
    """Return the file, the configuration and the header of a network; BadInput if it holds none. name: as in
    `find_weights`."""
    path = find_weights(name)
    header = read_header(path)
    if "progress" in header:
        raise BadInput(f"{path} is the state of a run, for --resume: take best.safetensors beside it")
    if "config" not in header:
        raise BadInput(f"{path} holds no network: its header has no config")
    return path, read_config(header["config"]), header


def load_weights(name: str | Path, device: str | torch.device = "cpu") -> tuple[torch.nn.Module, dict]:
    """Return the network in eval mode, in float32, and its header. name: as in `find_weights`.

    A file that is not of its own configuration is refused before the network has memory.
    """
    import torch

    path, config, header = read_network(name)
    with torch.device("meta"):  # shapes without values; no random number is drawn
        like = build(config).state_dict()
    state, _ = read_tensors(path, like)
    model = build(config)
    model.load_state_dict(state)  # copied into float32 from whatever the file holds
    return model.to(device).eval(), header
