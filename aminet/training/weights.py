"""Weights: safetensors with a JSON sidecar, written atomically, read without executing code."""
from __future__ import annotations

import json
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from ..baselines.registry import build, read_config
from ..errors import BadInput
from ..files import DATA, IN_CLONE, write_atomically

if TYPE_CHECKING:  # `upscale --onnx` finds and writes files where there is no torch
    import torch

PRETRAINED = DATA / "weights"


def read_header(path: str | Path) -> dict:
    """Return the JSON header of a file that `save_tensors` wrote, without its tensors; BadInput for anything else."""
    return _read(path, with_tensors=False)[1]


def read_tensors(path: str | Path) -> tuple[dict[str, torch.Tensor], dict]:
    """Return the tensors and the JSON header of a file that `save_tensors` wrote; BadInput for anything else."""
    return _read(path, with_tensors=True)


def _read(path: str | Path, with_tensors: bool) -> tuple[dict[str, torch.Tensor], dict]:
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise BadInput(f"no such file: {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("aminet", "null"))
            tensors = {key: file.get_tensor(key) for key in file.keys()} if with_tensors else {}
    except (SafetensorError, OSError, ValueError) as error:
        raise BadInput(f"{path} is not a whole safetensors file (pickles are never loaded): {error}; move it away, "
                       "or copy or download it again") from error
    if not isinstance(header, dict):
        raise BadInput(f"{path} was not written by aminet: its header has no configuration")
    return tensors, header


def save_tensors(path: str | Path, tensors: dict[str, torch.Tensor], header: dict) -> None:
    """Write one safetensors file with `header` as JSON inside, atomically."""
    from safetensors.torch import save

    contiguous = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    write_atomically(path, save(contiguous, metadata={"aminet": json.dumps(header)}))


def save_weights(path: str | Path, state: dict[str, torch.Tensor], header: dict, half: bool = False) -> None:
    """Write weights, `x.safetensors`, and the readable twin of their header, `x.json`.

    `header` holds config, protocol, data fingerprint, seed, versions and images seen. half: store floats as fp16.
    """
    if half:
        state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    save_tensors(path, state, header)
    write_atomically(Path(path).with_suffix(".json"), (json.dumps(header, indent=1) + "\n").encode())


def find_weights(name: str | Path) -> Path:
    """Return a file, the best.safetensors of a run's folder, or weights of the course by name (data/weights/NAME)."""
    path, of_run, of_course = Path(name), Path(name) / "best.safetensors", PRETRAINED / f"{name}.safetensors"
    if path.suffix == ".safetensors" or path.is_file():
        return path
    for candidate in (of_run, of_course):
        if candidate.exists():
            return candidate
    if path.is_dir():
        raise BadInput(f"{path} holds no best.safetensors: give the folder of a run, or a .safetensors file")
    near = get_close_matches(str(name), [file.stem for file in PRETRAINED.glob("*.safetensors")]) or ["pocket"]
    ours = f"as in data/weights ({', '.join(near)})" if IN_CLONE else f"{', '.join(near)}; all others need a clone"
    raise BadInput(f"no weights {str(name)!r}: give a .safetensors file, the folder of a run, or the name of ours, "
                   f"{ours}")


def load_weights(name: str | Path, device: str | torch.device = "cpu") -> tuple[torch.nn.Module, dict]:
    """Return the network in eval mode, in float32, and its header. name: as in `find_weights`."""
    path = find_weights(name)
    state, header = read_tensors(path)
    if "progress" in header:
        raise BadInput(f"{path} is the state of a run, for --resume: take best.safetensors beside it")
    if "config" not in header:
        raise BadInput(f"{path} holds no network: its header has no config")
    model = build(read_config(header["config"]))
    try:  # copied into float32 from whatever the file holds
        model.load_state_dict(state)
    except RuntimeError as error:
        problem = str(error).splitlines()[1].strip()[:100]
        raise BadInput(f"{path} does not fit its own configuration: {problem}...") from error
    return model.to(device).eval(), header
