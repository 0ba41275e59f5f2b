"""A network as one ONNX file: written and checked with torch, read again with ONNX Runtime alone.

The file takes float32 (N, 3, 128, 128) in [-1, 1], the face enlarged bicubically, and returns the same shape. Its
metadata names the preset and the sha256 of the weights.
"""
from __future__ import annotations

import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config import HR
from ..errors import BadInput
from ..faces.pictures import one_line, read_file
from ..files import sha256, write_atomically
from ..training.weights import find_weights

if TYPE_CHECKING:  # `load_onnx` works where there is no torch
    from torch import Tensor

    from ..model import AMINet

Network = Callable[[np.ndarray], np.ndarray]
TOLERANCE = 1e-3  # largest difference to torch that an export may have, in the range [-1, 1]
SHAPE = [3, HR, HR]
CALIBRATION = 256  # faces that set int8's ranges; 22 times as many only widened them, for 0.005 dB less


def load_onnx(path: str | Path, threads: int = 0) -> Network:
    """An exported network as a function of float32 (N, 3, 128, 128) in [-1, 1].

    threads: how many to use, 0 for all cores. Raises BadInput for any other file. Weights that lie outside the file
    are not read, and no operators beside those of ONNX Runtime exist.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"no such file: {path}; write one: python -m aminet export WEIGHTS {path.with_suffix('.onnx')}")
    try:
        return open_onnx(read_file(path), threads)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


def open_onnx(content: bytes, threads: int = 0) -> Network:
    """`load_onnx` of a file's bytes."""
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
    ends = [(end.name, end.type, end.shape[1:]) for end in session.get_inputs() + session.get_outputs()]
    if ends != [(name, "tensor(float)", SHAPE) for name in ("image", "restored")]:
        raise BadInput(f"not a network of `aminet export`: image (N, 3, {HR}, {HR}) -> restored is expected")
    return lambda x: session.run(None, {"image": x})[0]


def to_onnx(model: AMINet, about: dict[str, str]) -> bytes:
    """A network in eval mode as an ONNX file with a dynamic batch. about: its metadata."""
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch needs it)
    except ImportError:
        raise BadInput("the export needs two packages: pip install onnx onnxscript") from None
    import torch

    batch = {0: torch.export.Dim("batch")}
    program = torch.onnx.export(model, (torch.zeros(2, *SHAPE),), input_names=["image"], output_names=["restored"],
                                dynamic_shapes=(batch,), dynamo=True, verbose=False)
    graph = program.model_proto.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]  # the lines of source each came from, with the folders of this machine
        part.doc_string = ""
    del graph.metadata_props[:]
    proto = onnx.helper.make_model(graph, opset_imports=program.model_proto.opset_import,
                                   functions=program.model_proto.functions, producer_name="aminet")
    proto.ir_version = program.model_proto.ir_version
    onnx.helper.set_model_props(proto, about)
    return proto.SerializeToString()


def to_int8(content: bytes, faces: Tensor) -> bytes:
    """An ONNX file with int8 convolutions, calibrated on uint8 faces (N, 3, 128, 128): at most CALIBRATION of them.

    Weights are int8 per channel, features uint8 between their least and largest value on the faces. All convolutions
    are converted: leaving out the first and the last, or those that draw maps, gained nothing. The rest of the network
    stays float32, the attention's products of features among it: they cost little time, and converting the sums, the
    products and the gates as well doubles the loss.
    """
    import onnx
    import torch
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from tqdm.auto import tqdm

    few = faces[torch.linspace(0, len(faces) - 1, min(len(faces), CALIBRATION)).long()]

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.rest = iter(tqdm(inputs(few), "calibrating", leave=False))

        def get_next(self):
            x = next(self.rest, None)
            return None if x is None else {"image": x[None]}

    logging.disable(logging.WARNING)  # it advises a step that fails on networks with a dynamic batch
    try:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "int8.onnx"
            quantize_static(onnx.load_from_string(content), target, Reader(), op_types_to_quantize=["Conv"],
                            per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
            return target.read_bytes()
    finally:
        logging.disable(logging.NOTSET)


def inputs(hr: Tensor) -> np.ndarray:
    """What the network takes for these faces: uint8 (N, 3, 128, 128) -> float32 in [-1, 1]."""
    from ..degrade import network_input

    return network_input(hr).numpy()


def export(weights: str | Path, target: str | Path, faces: Tensor, val: Tensor, int8: bool = False) -> list[dict]:
    """Write a network as an ONNX file, after checking it against torch, and compare the two.

    faces: uint8 (N, 3, 128, 128), what int8 is calibrated on. val: others, to measure what it costs.
    Returns a row for torch, for `fast.faster`, for ONNX and for int8: `bytes` of the file, `seconds` of one face
    (median, in turns), `ratio` to torch, `max_error` in [-1, 1] and `psnr_cost` in dB on `val` (positive: worse).
    Raises BadInput for an unusable target, and RuntimeError when ONNX's result is not torch's to TOLERANCE.
    """
    import torch

    from ..protocol import PROTOCOLS, psnr
    from ..training.weights import load_weights
    from .bench import race
    from .fast import faster

    target, source = Path(target), find_weights(weights)
    if target.suffix != ".onnx":
        raise BadInput(f"{target}: give the file a name that ends in .onnx")
    if not target.parent.is_dir():  # before the minute that the conversion takes
        raise BadInput(f"no folder {target.parent} for {target.name}: make it first")
    model, header = load_weights(source)
    if not model.config.enlarged:
        raise BadInput(f"{source} takes 16x16 faces: export writes networks that take the enlarged face")
    about = {"preset": header.get("preset", ""), "weights_sha256": sha256(source), "image": "RGB face of 16x16 pixels, "
             f"enlarged bicubically: float32 (N, 3, {HR}, {HR}) in [-1, 1]", "restored": "the same shape and range"}
    files = {"onnx": to_onnx(model, about)}
    if int8:
        files["onnx int8"] = to_int8(files["onnx"], faces)
    x, threads, fast = inputs(val), torch.get_num_threads(), faster(model)

    def by(network: torch.nn.Module) -> Network:
        def run(x: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return network(torch.from_numpy(x)).numpy()
        return run

    ways = {"torch": by(model), "torch faster": by(fast)}
    ways |= {name: open_onnx(content, threads) for name, content in files.items()}
    restored = {name: np.concatenate([run(x[i:i + 3]) for i in range(0, len(x), 3)]) for name, run in ways.items()}
    error = {name: float(np.abs(y - restored["torch"]).max()) for name, y in restored.items()}
    if not error["onnx"] <= TOLERANCE:
        raise RuntimeError(f"the ONNX network differs from torch by {error['onnx']:.1e}: nothing was written")
    write_atomically(target, files["onnx int8" if int8 else "onnx"])
    taken = race({name: partial(run, x[:1]) for name, run in ways.items()}, rounds=25, seconds=20)
    middle = {name: statistics.median(times) for name, times in taken.items()}
    quality = {name: psnr(torch.from_numpy(y), val, PROTOCOLS["paper"]).mean() for name, y in restored.items()}
    return [{"network": name, "bytes": len(files[name]) if name in files else source.stat().st_size,
             "seconds": middle[name], "ratio": middle["torch"] / middle[name], "max_error": error[name],
             "psnr_cost": float(quality["torch"] - quality[name])} for name in ways]


def record_of(weights: str | Path, data: dict, rows: list[dict], command: str) -> dict:
    """The rows of `export` as a sealed record. data: what is noted about `faces` and `val`."""
    from ..paper.records import seal
    from .bench import machine

    source = find_weights(weights)
    return seal({"kind": "export", "weights": {"name": source.name, "sha256": sha256(source)}, "data": data,
                 "machine": machine("cpu"), "rows": rows, "created": time.strftime("%FT%TZ", time.gmtime()),
                 "command": command})


def format_export(rows: list[dict]) -> str:
    """The rows of `export` as a table for people."""
    lines = [f"{'':14}{'MB':>7}{'ms':>9}{'ratio':>7}{'max error':>11}{'PSNR cost':>11}"]
    return "\n".join(lines + [
        f"{row['network']:14}{row['bytes'] / 1e6:7.2f}{1e3 * row['seconds']:9.1f}{row['ratio']:7.2f}"
        f"{row['max_error']:11.1e}{row['psnr_cost']:8.4f} dB" for row in rows])
