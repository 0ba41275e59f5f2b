"""A network as one ONNX file, checked against torch.

The file takes float32 (N, 3, 128, 128) in [-1, 1], the face enlarged bicubically, and returns the same shape. Its
metadata names the preset and the sha256 of the weights. `runtime` reads it.
"""
from __future__ import annotations

import logging
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor
from tqdm.auto import tqdm

from ..config import HR
from ..degrade import network_input
from ..errors import BadInput
from ..files import sha256, write_atomically
from ..model import AMINet
from ..paper.records import sealed
from ..protocol import PROTOCOLS, psnr
from ..training.weights import find_weights, load_weights
from .fast import faster
from .runtime import SHAPE, Network, by_torch, open_onnx
from .timing import machine, race

TOLERANCE = 1e-3  # largest difference to torch that an export may have, in the range [-1, 1]
CALIBRATION = 256  # faces that set int8's ranges; 22 times as many only widened them, for 0.005 dB less


def to_onnx(model: AMINet, about: dict[str, str]) -> bytes:
    """Convert a network in eval mode to an ONNX file with a dynamic batch. about: its metadata."""
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch needs it)
    except ImportError:
        raise BadInput("the export needs two packages: pip install onnx onnxscript") from None
    batch = {0: torch.export.Dim("batch")}
    program = torch.onnx.export(model, (torch.zeros(2, *SHAPE),), input_names=["image"], output_names=["restored"],
                                dynamic_shapes=(batch,), dynamo=True, verbose=False)
    proto = program.model_proto
    graph = proto.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")  # the lines of source each came from, with the folders of this machine
        part.ClearField("doc_string")
    proto.producer_name = "aminet"
    proto.ClearField("producer_version")  # torch's
    onnx.helper.set_model_props(proto, about)
    return proto.SerializeToString()


def to_int8(content: bytes, faces: Tensor) -> bytes:
    """Quantize an ONNX file to int8 convolutions, calibrated on uint8 (N, 3, 128, 128): at most CALIBRATION faces.

    Weights are int8 per channel, features uint8 between their least and largest value on the faces. All convolutions
    are converted: leaving out the first and the last, or those that draw maps, gained nothing. The rest stays float32:
    the attention's products cost little time, and converting sums, products and gates as well doubles the loss.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    few = faces[torch.linspace(0, len(faces) - 1, min(len(faces), CALIBRATION)).long()]
    inputs = ({"image": x[None]} for x in tqdm(network_input(few).numpy(), "calibrating", leave=False))

    class Reader(CalibrationDataReader):
        def get_next(self):
            return next(inputs, None)

    logging.disable(logging.WARNING)  # it advises a step that fails on networks with a dynamic batch
    try:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "int8.onnx"
            quantize_static(onnx.load_from_string(content), target, Reader(), op_types_to_quantize=["Conv"],
                            per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
            return target.read_bytes()
    finally:
        logging.disable(logging.NOTSET)


def compare(ways: dict[str, Network], val: Tensor) -> list[dict]:
    """Measure what each way costs against `torch`: seconds of one face, in turns, and errors on uint8 faces."""
    x = network_input(val).numpy()
    restored = {name: np.concatenate([run(x[i:i + 3]) for i in range(0, len(x), 3)]) for name, run in ways.items()}
    _, seconds = race({name: partial(run, x[:1]) for name, run in ways.items()}, rounds=25, seconds=20)
    quality = {name: psnr(torch.from_numpy(y), val, PROTOCOLS["paper"]).mean() for name, y in restored.items()}
    return [{"network": name, "seconds": seconds[name], "ratio": seconds["torch"] / seconds[name],
             "max_error": float(np.abs(restored[name] - restored["torch"]).max()),
             "psnr_cost": float(quality["torch"] - quality[name])} for name in ways]


def export(weights: str | Path, target: str | Path, faces: Tensor, val: Tensor, int8: bool = False,
           data: dict | None = None) -> dict:
    """Write a network as an ONNX file, after checking it against torch: a sealed record of kind `export`.

    faces: uint8 (N, 3, 128, 128), what int8 is calibrated on. val: others, to measure what it costs. data: what is
    noted about the two. `rows`, for torch, for `fast.faster`, for ONNX and for int8: `bytes` of the file, `seconds` of
    one face (median, in turns), `ratio` to torch, `max_error` in [-1, 1] and `psnr_cost` in dB (positive: worse).
    Raises BadInput for an unusable target, and RuntimeError when ONNX's result is not torch's to TOLERANCE.
    """
    source, target = find_weights(weights), onnx_target(target)
    model, header = load_weights(source)
    if not model.config.enlarged:
        raise BadInput(f"{source} takes 16x16 faces: export writes networks that take the enlarged face")
    about = {"preset": header.get("preset", ""), "weights_sha256": sha256(source), "image": "RGB face of 16x16 pixels, "
             f"enlarged bicubically: float32 (N, 3, {HR}, {HR}) in [-1, 1]", "restored": "the same shape and range"}
    files = {"onnx": to_onnx(model, about)}
    if int8:
        files["onnx int8"] = to_int8(files["onnx"], faces)
    threads = torch.get_num_threads()
    ways = {"torch": by_torch(model), "torch faster": by_torch(faster(model)),
            **{name: open_onnx(content, threads) for name, content in files.items()}}
    rows = compare(ways, val)
    for row in rows:
        name = row["network"]
        row["bytes"] = len(files[name]) if name in files else source.stat().st_size
        if name == "onnx" and not row["max_error"] <= TOLERANCE:
            raise RuntimeError(f"the ONNX network differs from torch by {row['max_error']:.1e}: nothing was written")
    write_atomically(target, files["onnx int8" if int8 else "onnx"])
    return sealed("export", weights={"name": source.name, "sha256": sha256(source)}, data=data,
                  machine=machine("cpu"), rows=rows)


def onnx_target(path: str | Path) -> Path:
    """Return the path of a file to export to; BadInput if it is no ONNX file's, or its folder is missing."""
    path = Path(path)
    if path.suffix != ".onnx":
        raise BadInput(f"{path}: give the file a name that ends in .onnx")
    if not path.parent.is_dir():
        raise BadInput(f"no folder {path.parent} for {path.name}: make it first")
    return path


def format_export(rows: list[dict]) -> str:
    """The rows of `export` as a table for people."""
    headers = ["", "MB", "ms", "ratio", "max error", "PSNR cost, dB"]
    cells = [[row["network"], row["bytes"] / 1e6, 1e3 * row["seconds"], row["ratio"], row["max_error"],
              row["psnr_cost"]] for row in rows]
    return tabulate(cells, headers, floatfmt=("", ".2f", ".1f", ".2f", ".1e", ".4f"))
