"""A network as a function of arrays: an exported one by ONNX Runtime, with no need of torch, or one of torch."""
from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from ..config import HR
from ..errors import BadInput
from ..faces.pictures import one_line, read_file

Network = Callable[[np.ndarray], np.ndarray]
SHAPE = [3, HR, HR]
GRAPH = 2 * 2**20  # bytes of a file that are no weights: ours have 0.6 MB; ONNX Runtime takes a hundred times as many
MEMORY, SECONDS = 3 * 2**29, 60  # what a call may take; a face costs the full network 0.3 GB and half a second


def load_onnx(path: str | Path) -> Network:
    """Read an exported network: a function of float32 (N, 3, 128, 128) in [-1, 1].

    Raises BadInput for any other file, and the function for one that fails, or takes more than MEMORY or SECONDS.
    Weights that lie outside the file are not read, and no operators beside those of ONNX Runtime exist.
    """
    if not os.path.isfile(path):
        raise BadInput(f"no such file: {path}; write one: python -m aminet export WEIGHTS NAME.onnx")
    try:
        return open_onnx(read_file(Path(path)), bounded=True)
    except BadInput as error:
        raise BadInput(f"{path}: {error}; write one: python -m aminet export WEIGHTS NAME.onnx") from None


def open_onnx(content: bytes, threads: int = 0, bounded: bool = False) -> Network:
    """`load_onnx` of a file's bytes. threads: how many to use, 0 for all cores. bounded: by MEMORY."""
    try:
        import onnxruntime
    except ImportError:
        raise BadInput("an ONNX file needs ONNX Runtime: pip install onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4  # errors arrive as exceptions
    # An ONNX file may name others that hold its weights: they are looked for where there are none.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    if bounded:  # what would be computed before the first face has no bound; in our files there is nothing
        bounded_memory()
        options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        if len(content) - weights_in(content) > GRAPH:
            raise ValueError("its graph is too large")
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"],
                                               disabled_optimizers=["ConstantFolding"] * bounded)
        ends = [(end.name, end.type, end.shape[1:]) for end in (*session.get_inputs(), *session.get_outputs())]
    except (IndexError, KeyError, StopIteration):
        raise BadInput("no ONNX file") from None
    except Exception as error:  # ONNX Runtime raises many kinds
        raise BadInput(f"no ONNX file that can be used ({one_line(error)})") from None
    if ends != [(name, "tensor(float)", SHAPE) for name in ("image", "restored")]:
        raise BadInput(f"not a network of `aminet export`: image (N, 3, {HR}, {HR}) -> restored is expected")

    def network(x: np.ndarray) -> np.ndarray:
        limit = onnxruntime.RunOptions()
        timer = threading.Timer(SECONDS, setattr, (limit, "terminate", True))
        timer.start()
        try:
            y = np.asarray(session.run(None, {"image": x}, limit)[0])
        except Exception as error:
            raise BadInput(f"the ONNX network fails ({one_line(error)})") from None
        finally:
            timer.cancel()
        if y.shape != x.shape:
            raise BadInput(f"the ONNX network makes {list(y.shape)} of {list(x.shape)}: it is none of `aminet export`")
        return y
    return network


@cache
def bounded_memory() -> None:
    """Offer ONNX networks one memory of MEMORY bytes, for a small file can ask for any number."""
    import onnxruntime as ort

    ort.create_and_register_allocator(
        ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT),
        ort.OrtArenaCfg({"max_mem": MEMORY, "arena_extend_strategy": 1}))


def weights_in(content: bytes) -> int:
    """Count the bytes of weights in an ONNX file, model.graph.initializer.raw_data; an error if it is no protobuf."""
    at, fields = 0, iter(range(GRAPH // 2))

    def number() -> int:
        nonlocal at
        value = 0
        for shift in range(0, 70, 7):
            byte, at = content[at], at + 1
            value |= (byte & 127) << shift
            if byte < 128:
                break
        return value

    def inside(end: int, wanted: int, *deeper: int) -> int:
        nonlocal at
        total = 0
        while at < end:
            next(fields)
            field, kind = divmod(number(), 8)
            size = {0: number, 1: lambda: 8, 2: number, 5: lambda: 4}[kind]()
            if kind == 2 and field == wanted and deeper:
                total += inside(at + size, *deeper)
            else:
                total += size * (kind == 2 and field == wanted)
                at += size * (kind > 0)  # of kind 0, the number was the content
        return total

    return inside(len(content), 7, 5, 9)


def by_torch(model: Callable) -> Network:
    """Wrap a network of torch, on a CPU, as a function of arrays, like one of ONNX Runtime."""
    import torch

    def network(x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(x)).numpy()
    return network
