"""A network as one ONNX file, checked against torch.

The file takes float32 (N, 3, 128, 128) in [-1, 1], the face enlarged bicubically, and returns the same shape. Its
metadata names the preset and the sha256 of the weights. `runtime` reads it.
"""
from __future__ import annotations

import logging
import multiprocessing
import os
import re
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
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
from ..files import check_outputs, sha256, write_atomically
from ..model import AMINet
from ..paper.evaluate import obstacle
from ..paper.records import sealed
from ..protocol import PROTOCOLS, psnr
from ..training.weights import find_weights, load_weights
from .fast import faster
from .runtime import SHAPE, Network, by_torch, open_onnx
from .timing import machine, race

TOLERANCE = 1e-3  # largest difference to torch that an export may have, in the range [-1, 1]
CALIBRATION = 256  # faces that set int8's ranges; 22 times as many only widened them, for 0.005 dB less
EXAMINED = 128  # faces that errors are measured on
PRECISIONS = {"fp32": "onnx", "fp16": "onnx fp16", "int8": "onnx int8", "int8-dynamic": "onnx int8 dynamic"}  # rows
CONVOLUTIONS = {  # AMINet's by kind, as patterns of their weights' names
    "all": "", "head and tail": "^(head|tail)", "downs and ups": "^(downs|ups)", "EDFF": "^edffs", "SA": r"\.sa\.",
    "RDFE, depthwise": r"\.local\.(first|second)", "RDFE, attention unit and fuse": r"\.local\.(att|fuse)",
    "RDFE, FRM": r"\.local\.refine", "SKAF": r"^(encoders|decoders|bottleneck).*\.(skaf|reduce)\."}


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


def to_fp16(content: bytes) -> bytes:
    """Convert an ONNX file to 16-bit floats; input and output stay float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return convert_float_to_float16(onnx.load_from_string(content), keep_io_types=True).SerializeToString()


def few(faces: Tensor, n: int) -> Tensor:
    """At most n of the faces, spread evenly."""
    return faces[torch.linspace(0, len(faces) - 1, min(len(faces), n)).long()]


def to_int8(content: bytes, faces: Tensor | None = None, nodes: Sequence[str] = ()) -> bytes:
    """Quantize an ONNX file to int8 convolutions. nodes: the names of some, to convert no others.

    faces: uint8 (N, 3, 128, 128), at most CALIBRATION of them set the ranges of features (static). None: each face has
    ranges of its own, measured as it passes (dynamic). Static weights are int8 per channel, dynamic ones uint8 (int8
    takes four times as long), features uint8 between their least and largest value. All convolutions are converted:
    leaving out the first and the last, or those that draw maps, gained nothing. The rest stays float32: the attention's
    products cost little time, and converting sums, products and gates as well doubles the loss.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static

    options = {"op_types_to_quantize": ["Conv"], "nodes_to_quantize": list(nodes)}
    logging.disable(logging.WARNING)  # it advises a step that fails on networks with a dynamic batch
    try:
        with tempfile.TemporaryDirectory() as folder:
            source, target = onnx.load_from_string(content), Path(folder) / "int8.onnx"
            if faces is None:
                quantize_dynamic(source, target, weight_type=QuantType.QUInt8, **options)
                return target.read_bytes()
            x = network_input(few(faces, CALIBRATION)).numpy()
            inputs = ({"image": face[None]} for face in tqdm(x, "calibrating", leave=False))

            class Reader(CalibrationDataReader):
                def get_next(self):
                    return next(inputs, None)

            quantize_static(source, target, Reader(), per_channel=True, activation_type=QuantType.QUInt8,
                            weight_type=QuantType.QInt8, **options)
            return target.read_bytes()
    finally:
        logging.disable(logging.NOTSET)


def run_all(network: Network, val: Tensor) -> Tensor:
    """Restore uint8 faces, three at a time: float32 (N, 3, 128, 128)."""
    x = network_input(val).numpy()
    return torch.from_numpy(np.concatenate([network(x[i:i + 3]) for i in range(0, len(x), 3)]))


def open_way(name: str, source: bytes | Path, threads: int) -> Network:
    """Open what a row of `export` is named after, from the bytes of an ONNX file or from our weights."""
    if isinstance(source, bytes):
        return open_onnx(source, threads)
    torch.set_num_threads(threads)
    model = load_weights(source)[0]
    return by_torch(faster(model) if name == "torch faster" else model)


def memory_growth(name: str, source: bytes | Path, threads: int) -> int | None:
    """Bytes by which this process grows, at its peak, to open a network and to restore a face; None without Linux."""
    import onnxruntime  # noqa: F401 (like torch, it does not count)

    def resident(field: str) -> int:
        return 1024 * int(re.findall(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])

    if not (peak := Path("/proc/self/clear_refs")).exists():
        return None
    peak.write_text("5")  # begins anew: importing has had a peak
    before = resident("VmRSS")
    open_way(name, source, threads)(np.zeros((1, *SHAPE), np.float32))
    return resident("VmHWM") - before


def measure_ways(ways: dict[str, bytes | Path], val: Tensor) -> list[dict]:
    """Measure each way, by name the bytes of an ONNX file or our weights, against `torch`: a row each, see `export`."""
    threads, val = sorted({1, torch.get_num_threads()}), few(val, EXAMINED)
    x, seconds = network_input(val[:1]).numpy(), {}
    for n in threads:
        _, seconds[n] = race({name: partial(open_way(name, source, n), x) for name, source in ways.items()},
                             rounds=25, seconds=20)
    restored = {name: run_all(open_way(name, source, threads[-1]), val) for name, source in ways.items()}
    scores = {"psnr_cost": {name: -psnr(y, val, PROTOCOLS["paper"]).mean().item() for name, y in restored.items()}}
    if not obstacle("lpips"):
        from ..metrics.perceptual import lpips

        scores["lpips_cost"] = {name: lpips(y, val).mean().item() for name, y in restored.items()}
    rows, last = [], seconds[threads[-1]]
    for name, source in ways.items():
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:  # its peak is this way's alone
            memory = fresh.submit(memory_growth, name, source, threads[-1]).result()
        rows.append({"network": name, "bytes": len(source) if isinstance(source, bytes) else source.stat().st_size,
                     "seconds": last[name], "ratio": last["torch"] / last[name], "memory": memory,
                     "threads": {str(n): seconds[n][name] for n in threads},
                     "max_error": (restored[name] - restored["torch"]).abs().max().item(),
                     **{cost: score[name] - score["torch"] for cost, score in scores.items()}})
    return rows


def int8_costs(content: bytes, faces: Tensor, val: Tensor) -> list[dict]:
    """Measure what static int8 costs when convolutions of one kind alone are converted.

    content: AMINet by `to_onnx`. faces: to calibrate on. val: others, to measure on, EXAMINED at most. A row for each
    of CONVOLUTIONS that the network has: its `kind`, its number of `convolutions`, and against float32 the `error`
    (root mean square, in [-1, 1]) and the `psnr_cost` in dB.
    """
    import onnx

    weights = {node.name: node.input[1] for node in onnx.load_from_string(content).graph.node if node.op_type == "Conv"}
    val, threads, rows = few(val, EXAMINED), torch.get_num_threads(), []
    exact = run_all(open_onnx(content, threads), val)
    for kind, pattern in tqdm(CONVOLUTIONS.items(), "int8 by kind", leave=False):
        if nodes := [name for name, weight in weights.items() if re.search(pattern, weight)]:
            restored = run_all(open_onnx(to_int8(content, faces, nodes), threads), val)
            before, after = (psnr(y, val, PROTOCOLS["paper"]).mean() for y in (exact, restored))
            rows.append({"kind": kind, "convolutions": len(nodes), "psnr_cost": (before - after).item(),
                         "error": (restored - exact).square().mean().sqrt().item()})
    return rows


def export(weights: str | Path, target: str | Path, faces: Tensor, val: Tensor, precision: str = "fp32",
           every: bool = False, data: dict | None = None, overwrite: bool = False) -> dict:
    """Write a network as an ONNX file, after checking it against torch: a sealed record of kind `export`.

    faces: uint8 (N, 3, 128, 128), what int8 is calibrated on. val: others, to measure what it costs, on EXAMINED at
    most. precision: one of PRECISIONS, of the file. every: measure all of them. data: what is noted about the faces.
    `rows`, for torch, for `fast.faster`, for ONNX and for the precision: `bytes` of the file; `seconds` of one face
    (median, in turns), by `threads` from one to all; `ratio` to torch; `memory` by which a fresh process grows at its
    peak (resident, opening included), in bytes; `max_error` in [-1, 1]; `psnr_cost` in dB and, where LPIPS can be
    measured, `lpips_cost` (positive: worse). With `every`, `int8_costs` has those of each kind of convolution.
    Raises BadInput as `check_export` does, and when ONNX's result is not torch's to TOLERANCE.
    """
    source, target = find_weights(weights), Path(target)
    model, header = check_export(weights, target, precision, overwrite)
    about = {"preset": header.get("preset", ""), "weights_sha256": sha256(source), "image": "RGB face of 16x16 pixels, "
             f"enlarged bicubically: float32 (N, 3, {HR}, {HR}) in [-1, 1]", "restored": "the same shape and range"}
    exact = to_onnx(model, about)
    make = {"fp32": lambda: exact, "fp16": lambda: to_fp16(exact), "int8": lambda: to_int8(exact, faces),
            "int8-dynamic": lambda: to_int8(exact)}
    files = {name: make[kind]() for kind, name in PRECISIONS.items() if every or kind in ("fp32", precision)}
    check_outputs([target], overwrite, size=len(files[PRECISIONS[precision]]))
    rows = measure_ways({"torch": source, "torch faster": source, **files}, val)
    if not (error := next(row["max_error"] for row in rows if row["network"] == "onnx")) <= TOLERANCE:
        raise BadInput(f"the ONNX network differs from torch by {error:.1e}, so nothing was written: train it again, "
                       "or with other versions of torch and onnxruntime")
    check_outputs([target], overwrite)  # another program may have been faster
    write_atomically(target, files[PRECISIONS[precision]])
    return sealed("export", weights={"name": source.name, "sha256": sha256(source)}, data=data,
                  examined=min(len(val), EXAMINED), machine=machine("cpu"), rows=rows,
                  int8_costs=int8_costs(exact, faces, val) if every else [])


def check_export(weights: str | Path, target: str | Path, precision: str = "fp32",
                 overwrite: bool = False) -> tuple[AMINet, dict]:
    """Return the network to export and its header; BadInput if it takes another face, if target is no ONNX file's name
    or is there (unless overwrite), or if its folder is missing or lacks the space of the weights."""
    path, (model, header) = Path(target), load_weights(weights)
    if not model.config.enlarged:
        raise BadInput(f"{weights} takes 16x16 faces: export writes networks that take the enlarged face")
    if path.suffix != ".onnx":
        raise BadInput(f"{path}: give the file a name that ends in .onnx")
    if not os.path.isdir(path.parent):
        raise BadInput(f"no folder {path.parent} for {path.name}: make it first")
    size = {"fp32": 4, "fp16": 2}.get(precision, 1) * sum(weight.numel() for weight in model.parameters())
    check_outputs([path], overwrite, [find_weights(weights)], size)
    return model, header


def format_export(record: dict) -> str:
    """What `export` measured as tables for people."""
    threads = record["rows"][0]["threads"]
    headers = ["", "MB", *(f"ms, {n} thread{'s' * (n != '1')}" for n in threads), "ratio", "memory, MB", "max error",
               "PSNR cost, dB", "LPIPS cost"]
    cells = [[row["network"], row["bytes"] / 1e6, *(1e3 * row["threads"][n] for n in threads), row["ratio"],
              row["memory"] and row["memory"] / 1e6, row["max_error"], row["psnr_cost"], row.get("lpips_cost")]
             for row in record["rows"]]
    found = tabulate(cells, headers, floatfmt=("", ".2f", *(".1f" for _ in threads), ".2f", ".0f", ".1e", ".4f", ".4f"))
    if not record["int8_costs"]:
        return found
    cells = [[row["kind"], row["convolutions"], row["error"], row["psnr_cost"]] for row in record["int8_costs"]]
    return f"{found}\n\n" + tabulate(cells, ["int8 alone in", "convolutions", "RMS error", "PSNR cost, dB"],
                                     floatfmt=("", "", ".1e", ".4f"))
