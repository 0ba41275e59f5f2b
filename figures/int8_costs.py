"""Where the error of static int8 goes: each part of a network stays in float32 in turn.

    python figures/int8_costs.py pocket.onnx --faces celeba_train_0.zip --val celeba_val.zip

takes a file of `aminet export` in fp32, and prints a table.
"""
import argparse
import re
from pathlib import Path

import onnx
from tabulate import tabulate
from torch import Tensor
from tqdm.auto import tqdm

from aminet.deploy.export import few, run_all, to_int8
from aminet.deploy.runtime import open_onnx
from aminet.faces.sources import open_training_faces
from aminet.protocol import PROTOCOLS, psnr

# Convolutions by their weights' names, first by kind, then by resolution.
PARTS = {"head and tail": "^(head|tail)", "downs and ups": "^(downs|ups)", "EDFF": "^edffs", "SA": r"\.sa\.",
         "RDFE, depthwise": r"\.local\.(first|second)", "RDFE, attention unit and fuse": r"\.local\.(att|fuse)",
         "RDFE, FRM": r"\.local\.refine", "SKAF": r"^(encoders|decoders|bottleneck).*\.(skaf|reduce)\.",
         **{f"{128 >> level} pixels": rf"^(encoders|decoders|edffs)\.{level}" for level in range(3)},
         "16 pixels": "^bottleneck"}


def int8_costs(content: bytes, faces: Tensor, val: Tensor) -> list[dict]:
    """Measure what int8 costs while each of PARTS is spared.

    content: of `to_onnx`. faces: uint8 (N, 3, 128, 128), to calibrate on. val: others, to measure on. A row for all in
    int8 (`spared` is "nothing"), then for each part: how many `convolutions` it has, the `error` (root mean square, in
    [-1, 1]) and the `psnr_cost` in dB, both to float32.
    """
    convolutions = {node.name: node.input[1] for node in onnx.load_from_string(content).graph.node
                    if node.op_type == "Conv"}
    exact, rows = run_all(open_onnx(content, 1), val), []
    for part, pattern in tqdm({"nothing": "$^", **PARTS}.items(), "sparing", leave=False):
        spared = [name for name, weight in convolutions.items() if re.search(pattern, weight)]
        restored = run_all(open_onnx(to_int8(content, faces, spared), 1), val)
        before, after = (psnr(y, val, PROTOCOLS["paper"]).mean() for y in (exact, restored))
        rows.append({"spared": part, "convolutions": len(spared), "psnr_cost": (before - after).item(),
                     "error": (restored - exact).square().mean().sqrt().item()})
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("onnx", type=Path)
    parser.add_argument("--faces", nargs="+", default=["synthetic:64"])
    parser.add_argument("--val", nargs="+", default=["synthetic:64:1"])
    parser.add_argument("--images", type=int, default=32, help="at most so many of either")
    arguments = parser.parse_args()
    both = (few(part, arguments.images) for part in open_training_faces(arguments.faces, arguments.val)[:2])
    print(tabulate(int8_costs(arguments.onnx.read_bytes(), *both), "keys", floatfmt=("", "", ".4f", ".5f")))
