"""Weights: safetensors with a JSON sidecar, written atomically, read without executing code."""
from __future__ import annotations

import json
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from ..baselines.registry import build, read_config
from ..errors import BadInput
from ..files import DATA, write_atomically

if TYPE_CHECKING:  # `upscale --onnx` finds and writes files where there is no torch
    import torch

PRETRAINED = DATA / "weights"


def read_header(path: str | Path) -> dict:
    """The JSON header of a file that `save_tensors` wrote, without its tensors; BadInput for anything else."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {}).get("aminet", "null"))
    except (SafetensorError, OSError, ValueError) as error:
        raise BadInput(f"{path} is damaged ({error}): move it away") from error
    if not isinstance(header, dict):
        raise BadInput(f"{path} was not written by aminet: move it away")
    return header


def read_tensors(path: str | Path) -> tuple[dict[str, torch.Tensor], dict]:
    """The tensors and the JSON header of a file that `save_tensors` wrote; BadInput for anything else."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise BadInput(f"no such file: {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("aminet", "null"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, ValueError) as error:
        raise BadInput(f"{path} is not a whole safetensors file (pickles are never loaded): {error}; copy or "
                       "download it again") from error
    if not isinstance(header, dict):
        raise BadInput(f"{path} was not written by aminet: its header has no configuration")
    return tensors, header


def save_tensors(path: str | Path, tensors: dict[str, torch.Tensor], header: dict) -> None:
    """One safetensors file with `header` as JSON inside, written atomically."""
    from safetensors.torch import save

    contiguous = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    write_atomically(path, save(contiguous, metadata={"aminet": json.dumps(header)}))


def save_weights(path: str | Path, state: dict[str, torch.Tensor], header: dict, half: bool = False) -> None:
    """Weights and their record: `x.safetensors` and the readable twin of its header, `x.json`.

    `header` holds config, protocol, data fingerprint, seed, versions and images seen. half: store floats as fp16.
    """
    if half:
        state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    save_tensors(path, state, header)
    write_atomically(Path(path).with_suffix(".json"), (json.dumps(header, indent=1) + "\n").encode())


def find_weights(name: str | Path) -> Path:
    """A file, a run's folder (its best.safetensors), or the name of weights of the course (data/weights/NAME)."""
    path = Path(name)
    if path.suffix == ".safetensors" or path.is_file():
        return path
    if (path / "best.safetensors").exists():  # the folder of a run
        return path / "best.safetensors"
    ours = PRETRAINED / f"{name}.safetensors"
    if not ours.exists():
        if path.is_dir():
            raise BadInput(f"{path} holds no best.safetensors: give the folder of a run, or a .safetensors file")
        near = get_close_matches(str(name), [file.stem for file in PRETRAINED.glob("*.safetensors")])
        raise BadInput(f"no weights {str(name)!r}: give a .safetensors file, the folder of a run, or the name of ours, "
                       f"as in data/weights ({', '.join(near or ['pocket'])})")
    return ours


def load_weights(name: str | Path, device: str | torch.device = "cpu") -> tuple[torch.nn.Module, dict]:
    """The network in eval mode, in float32, and its header. `name`: a file, or weights of the course by name."""
    path = find_weights(name)
    state, header = read_tensors(path)
    if "progress" in header:
        raise BadInput(f"{path} is the state of a run, for --resume: take best.safetensors beside it")
    if "config" not in header:
        raise BadInput(f"{path} holds no network: its header has no config")
    model = build(read_config(header["config"]))
    try:
        model.load_state_dict({key: value.float() if value.is_floating_point() else value
                               for key, value in state.items()})
    except RuntimeError as error:
        problem = str(error).splitlines()[1].strip()[:100]
        raise BadInput(f"{path} does not fit its own configuration: {problem}...") from error
    return model.to(device).eval(), header
