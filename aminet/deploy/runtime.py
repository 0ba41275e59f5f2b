"""A network as a function of arrays: an exported one by ONNX Runtime, with no need of torch, or one of torch."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..config import HR
from ..errors import BadInput
from ..faces.pictures import one_line, read_file

Network = Callable[[np.ndarray], np.ndarray]
SHAPE = [3, HR, HR]


def load_onnx(path: str | Path) -> Network:
    """Read an exported network: a function of float32 (N, 3, 128, 128) in [-1, 1].

    Raises BadInput for any other file. Weights that lie outside the file are not read, and no operators beside those
    of ONNX Runtime exist.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"no such file: {path}; write one: python -m aminet export WEIGHTS {path.with_suffix('.onnx')}")
    try:
        return open_onnx(read_file(path))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


def open_onnx(content: bytes, threads: int = 0) -> Network:
    """`load_onnx` of a file's bytes. threads: how many to use, 0 for all cores."""
    try:
        import onnxruntime
    except ImportError:
        raise BadInput("an ONNX file needs ONNX Runtime: pip install onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4  # errors arrive as exceptions
    # An ONNX file may name others that hold its weights: they are looked for where there are none.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises many kinds
        raise BadInput(f"no ONNX file that can be used ({one_line(error)})") from None
    ends = [(end.name, end.type, end.shape[1:]) for end in (*session.get_inputs(), *session.get_outputs())]
    if ends != [(name, "tensor(float)", SHAPE) for name in ("image", "restored")]:
        raise BadInput(f"not a network of `aminet export`: image (N, 3, {HR}, {HR}) -> restored is expected")
    return lambda x: np.asarray(session.run(None, {"image": x})[0])


def by_torch(model: Callable) -> Network:
    """Wrap a network of torch, on a CPU, as a function of arrays, like one of ONNX Runtime."""
    import torch

    def network(x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(x)).numpy()
    return network
