"""Small files that ask for much: each command ends in time, in one line, and below 2 GB at its peak."""
import json
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.numpy import save

from aminet import PRESETS

BOUND = 2 * 10**9
# A process of its own starts the command: what a process has had in memory counts for those that it starts, too.
RUN = """
import os, resource, subprocess, sys
resource.setrlimit(resource.RLIMIT_DATA, (6 * 2**30,) * 2)  # a failure must not take the machine with it
started = subprocess.Popen([sys.executable, "-m", "aminet", *sys.argv[1:]])
_, status, used = os.wait4(started.pid, 0)
print(os.waitstatus_to_exitcode(status), used.ru_maxrss * 1024)
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read as Linux tells it")


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG in RGBA of any size, with these rows."""
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def network(*nodes, **constants) -> bytes:
    """An ONNX file that looks like one of ours from outside."""
    shape = ["n", 3, 128, 128]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("image", "restored")]
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], [
        numpy_helper.from_array(np.array(value), name) for name, value in constants.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


node = helper.make_node
LAST = node("ReduceMax", ["large"], ["one"], keepdims=0), node("Add", ["image", "one"], ["restored"])
ONNX = {
    "good": network(node("Identity", ["image"], ["restored"])),
    "expand": network(node("Expand", ["image", "shape"], ["large"]), *LAST, shape=[10**6, 3, 128, 128]),
    "folded": network(node("ConstantOfShape", ["shape"], ["large"]), *LAST, shape=[2**36]),
    "doubled": network(*(node("Concat", [f"x{i}" if i else "image"] * 2, [f"x{i + 1}"], axis=0) for i in range(30)),
                       node("Identity", ["x30"], ["large"]), *LAST),
    "kept": network(  # computed before the first face, all of these constants would stay
        node("ConstantOfShape", ["shape"], ["x0"]), *(node("Add", [f"x{i}"] * 2, [f"x{i + 1}"]) for i in range(30)),
        node("Identity", ["x30"], ["large"]), LAST[0], node("Expand", ["one", "two"], ["restored"]), shape=[2**25],
        two=[2, 3, 128, 128]),
    "long": network(*(node("Identity", [f"x{i}" if i else "image"], [f"x{i + 1}"]) for i in range(200_000)),
                    node("Identity", ["x200000"], ["restored"])),
}
UPSCALE = ("upscale", "small.png", "out.png", "--onnx")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    for name, content in ONNX.items():
        (folder / f"{name}.onnx").write_bytes(content)
    Image.new("RGB", (16, 16)).save(folder / "small.png")
    (folder / "claims.png").write_bytes(png(60_000, 60_000))
    large = png(7900, 7900, (b"\0" + b"\x7f" * 4 * 7900) * 7900)  # 62 megapixels
    (folder / "many").mkdir()
    for name in ("large.png", "many/0.png", "many/1.png"):
        (folder / name).write_bytes(large)
    with zipfile.ZipFile(folder / "faces.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("claims.png", png(128, 128, b"\0" * 513 * 128))
        archive.writestr("bomb.png", bytes(200 * 2**20))
    content = bytearray((folder / "faces.zip").read_bytes())
    content[(at := content.index(b"PK\1\2") + 24):at + 4] = struct.pack("<I", 2**32 - 2)
    (folder / "faces.zip").write_bytes(content)
    header = {"preset": "pocket", "config": PRESETS["pocket"].to_dict() | {"channels": 1024}, "images": 0}
    (folder / "lies.safetensors").write_bytes(save({"x": np.zeros(1, np.float32)}, {"aminet": json.dumps(header)}))
    return folder


@pytest.mark.parametrize("expected, command", [
    (0, ("upscale", "large.png", "out.png", "--aligned", "--onnx", "good.onnx")),
    (2, ("upscale", "claims.png", "out.png", "--onnx", "good.onnx")),
    *((2, (*UPSCALE, f"{name}.onnx")) for name in ONNX if name != "good"),
    (2, ("upscale", "small.png", "out.png", "--weights", "lies.safetensors")),
    (0, ("data", "check", "many")),
    (1, ("data", "check", "faces.zip")),
    (2, ("train", "pocket", "--out", "run", "--images", "2", "--batch", "1000000000")),
    (2, ("evaluate", "pocket", "--faces", "synthetic:1000000000")),
], ids=lambda value: "_".join(value) if isinstance(value, tuple) else None)
def test_a_command_stays_below_2_gb(hostile, tmp_path, expected, command):
    words = [str(hostile / word) if (hostile / word).exists() else word for word in command]
    done = subprocess.run([sys.executable, "-c", RUN, *words], cwd=tmp_path, capture_output=True, text=True,
                          timeout=120)
    status, used = map(int, done.stdout.splitlines()[-1].split())
    assert status == expected, done.stderr
    assert used < BOUND
    assert status != 2 or len(done.stderr.strip().splitlines()) == 1 and done.stderr.startswith("aminet: ")
