"""A network as an ONNX file: equal to torch, honest about itself, and enough for `upscale` where there is no torch."""
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image
from skimage.data import astronaut

from aminet import PRESETS, AMINet
from aminet.degrade import network_input
from aminet.deploy.export import CONVOLUTIONS, export, int8_costs, to_fp16, to_int8, to_onnx
from aminet.deploy.runtime import by_torch, load_onnx, open_onnx
from aminet.deploy.timing import fill_zeros, race
from aminet.errors import BadInput
from aminet.faces.pictures import bicubic, from_network, to_network
from aminet.faces.synthetic import faces
from aminet.files import sha256
from aminet.metrics.pretrained import NETWORKS
from aminet.paper.records import read_record
from aminet.protocol import to_uint8
from aminet.training.weights import PRETRAINED, load_weights, save_weights

ROOT = Path(__file__).resolve().parents[2]
SMALL = replace(PRESETS["pocket"], channels=4, depths=(1, 1, 1, 1))  # every kind of module


@pytest.fixture(scope="module")
def exported() -> tuple[AMINet, bytes]:
    model = fill_zeros(AMINet(SMALL)).eval()
    return model, to_onnx(model, {"preset": "small"})


@pytest.fixture(scope="module", autouse=True)
def few_rounds():
    """Time each way three times, not for twenty seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aminet.deploy.export.race", lambda runners, rounds, seconds: race(runners, 3, seconds))
        yield


@pytest.fixture(scope="module")
def pocket(tmp_path_factory) -> str:
    """The file that `aminet export pocket` writes."""
    path = tmp_path_factory.mktemp("export") / "pocket.onnx"
    export("pocket", path, faces(2, seed=4), faces(2, seed=5))
    return str(path)


@pytest.mark.parametrize("batch", [1, 3])
def test_an_export_computes_what_torch_does(exported, batch):
    model, content = exported
    x = network_input(faces(batch, seed=1)).numpy()
    expected = by_torch(model)(x)
    assert np.abs(expected - x).max() > 0.1  # the network does something
    assert np.array_equal(expected, model(torch.from_numpy(x)).detach().numpy())
    assert np.abs(open_onnx(content)(x) - expected).max() < 1e-3


@pytest.mark.parametrize("batch", [1, 3])
def test_the_file_of_pocket_is_pocket(pocket, batch):
    x = network_input(faces(batch, seed=2)).numpy()
    assert np.abs(load_onnx(pocket)(x) - by_torch(load_weights("pocket")[0])(x)).max() < 1e-3


def test_a_file_says_what_it_is_and_not_where_it_was_made(pocket):
    proto, content = onnx.load(pocket), Path(pocket).read_bytes()
    about = {entry.key: entry.value for entry in proto.metadata_props}
    assert about["preset"] == "pocket" and about["weights_sha256"] == sha256(PRETRAINED / "pocket.safetensors")
    assert "[-1, 1]" in about["image"] and len(content) < 5e6
    assert not re.search(rb"(?<![\w.:/])/(?:home|root|work|mnt|tmp|Users|usr|opt)/", content)
    assert b"site-packages" not in content and b"stack_trace" not in content


def test_int8_convolutions(exported):
    model, content = exported
    small, x = to_int8(content, faces(4)), network_input(faces(2, seed=1)).numpy()
    assert len(small) < 0.7 * len(content)
    kinds = [tensor.data_type for tensor in onnx.load_from_string(small).graph.initializer if len(tensor.dims) == 4]
    assert kinds.count(TensorProto.INT8) > 0.9 * len(kinds)
    expected = by_torch(model)(x)
    assert 0 < np.abs(open_onnx(small)(x) - expected).mean() < 0.2 * np.abs(expected - x).mean()


def test_fp16_is_half_the_file(exported):
    model, content = exported
    half, x = to_fp16(content), network_input(faces(2, seed=1)).numpy()
    assert len(half) < 0.7 * len(content)
    assert 0 < np.abs(open_onnx(half)(x) - by_torch(model)(x)).max() < 0.02


def test_dynamic_int8_needs_no_faces(exported):
    model, content = exported
    small, x = to_int8(content), network_input(faces(2, seed=1)).numpy()
    nodes = [node.op_type for node in onnx.load_from_string(small).graph.node]
    assert nodes.count("ConvInteger") > 100 and "Conv" not in nodes
    expected = by_torch(model)(x)
    assert 0 < np.abs(open_onnx(small)(x) - expected).mean() < 0.2 * np.abs(expected - x).mean()


def test_where_the_error_of_int8_goes(exported, monkeypatch):
    """Every convolution is of one kind; one kind in int8 errs less than all of them."""
    _, content = exported
    weights = [node.input[1] for node in onnx.load_from_string(content).graph.node if node.op_type == "Conv"]
    kinds = [pattern for pattern in CONVOLUTIONS.values() if pattern]
    assert all(sum(bool(re.search(kind, weight)) for kind in kinds) == 1 for weight in weights)
    monkeypatch.setattr("aminet.deploy.export.CONVOLUTIONS", {"all": "", "SA": CONVOLUTIONS["SA"], "none": "absent"})
    everything, sa = int8_costs(content, faces(2), faces(2, seed=1))
    assert (everything["kind"], everything["convolutions"]) == ("all", len(weights))
    assert (sa["kind"], sa["convolutions"]) == ("SA", 24)
    assert 0 < sa["error"] < everything["error"] and sa["psnr_cost"] != everything["psnr_cost"] != 0


def test_export_from_the_command_line(tmp_path, aminet, refuses):
    config = replace(SMALL, local="none", skaf="none")
    save_weights(tmp_path / "net.safetensors", fill_zeros(AMINet(config)).state_dict(),
                 {"preset": "pocket", "config": config.to_dict()})
    done = aminet("export", "net.safetensors", "net.onnx", "--faces", "synthetic:4", "--val", "synthetic:4:1",
                  "--precision", "int8", "--compare", "--json", "--records", ".")
    assert done.returncode == 0, done.stderr
    record = read_record(tmp_path / "export-net-cpu.json")
    assert record == json.loads(done.stdout) and record["data"]["val"]["sources"] == ["synthetic:4:1"]
    assert record["weights"]["sha256"] == sha256(tmp_path / "net.safetensors")
    rows = {row["network"]: row for row in record["rows"]}
    assert list(rows) == ["torch", "torch faster", "onnx", "onnx fp16", "onnx int8", "onnx int8 dynamic"]
    assert max(rows[name]["bytes"] for name in ("onnx int8", "onnx fp16")) < rows["onnx"]["bytes"]
    assert all(row["threads"] == {"1": row["seconds"]} for row in rows.values())
    assert sys.platform != "linux" or all(row["memory"] > 1e6 for row in rows.values())
    assert rows["onnx"]["max_error"] < 1e-3 < rows["onnx int8"]["max_error"]
    assert abs(rows["onnx"]["psnr_cost"]) < 1e-3 and rows["torch"]["psnr_cost"] == 0
    everything = record["int8_costs"][0]  # the same file on the same faces
    assert everything["kind"] == "all" and abs(everything["psnr_cost"] - rows["onnx int8"]["psnr_cost"]) < 1e-4
    assert rows["onnx int8"]["bytes"] == (tmp_path / "net.onnx").stat().st_size
    assert all(row["seconds"] > 0 and row["ratio"] > 0 for row in rows.values())
    assert load_onnx(tmp_path / "net.onnx")(network_input(faces(1)).numpy()).shape == (1, 3, 128, 128)
    refuses("ends in .onnx", "export", "net.safetensors", "net.txt")
    refuses("no folder", "export", "net.safetensors", "nowhere/net.onnx")
    refuses("no weights 'nothing'", "export", "nothing", "out.onnx")
    refuses("validation images are also in --faces", "export", "pocket", "out.onnx", "--faces",
            "synthetic:2", "--val", "synthetic:2")
    assert not (tmp_path / "out.onnx").exists() and not (tmp_path / "net.txt").exists()


def identity(path: Path, name: str, shape: list, kind: int = TensorProto.FLOAT) -> None:
    """An ONNX file that is no network of ours."""
    ends = [helper.make_tensor_value_info(end, kind, shape) for end in (name, "restored")]
    graph = helper.make_graph([helper.make_node("Identity", [name], ["restored"])], "other", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


def test_files_that_are_no_network_of_ours(tmp_path, refuses, pocket):
    Image.fromarray(faces(1)[0].permute(1, 2, 0).numpy()).resize((16, 16)).save(tmp_path / "small.png")
    before = sorted(tmp_path.iterdir())
    command = ["upscale", "small.png", "large.png", "--onnx"]
    refuses("no such file: missing.onnx; write one", *command, "missing.onnx")
    refuses("no such file: .; write one", *command, ".")
    refuses("small.png: no ONNX file", *command, "small.png")
    refuses("not allowed with", *command, pocket, "--weights", "pocket")
    refuses("overwrite the input", "upscale", "small.png", "small.png", "--onnx", pocket)
    assert sorted(tmp_path.iterdir()) == before

    def reason(path: Path) -> str:
        with pytest.raises(BadInput) as error:
            load_onnx(path)
        assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)
        return str(error.value)

    other = tmp_path / "other.onnx"
    shape_of_faces = ["n", 3, 128, 128]
    for name, shape, kind in (("x", shape_of_faces, TensorProto.FLOAT), ("image", ["n", 3, 64, 64], TensorProto.FLOAT),
                              ("image", shape_of_faces, TensorProto.DOUBLE), ("image", [1], TensorProto.FLOAT)):
        identity(other, name, shape, kind)
        assert "not a network of `aminet export`" in reason(other)
    other.write_bytes(Path(pocket).read_bytes()[:100_000])
    assert "no ONNX file" in reason(other)
    other.write_bytes(b"")
    assert "no ONNX file" in reason(other)
    os.truncate(other, 2**27)
    assert "more than the 64 MiB" in reason(other)


def test_weights_outside_the_file_are_not_read(tmp_path, monkeypatch, pocket):
    onnx.save_model(onnx.load(pocket), tmp_path / "net.onnx", save_as_external_data=True, location="elsewhere.bin")
    assert (tmp_path / "elsewhere.bin").stat().st_size > 2**20
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="no ONNX file that can be used"):
        load_onnx("net.onnx")


# upscale without torch


@pytest.fixture
def no_torch(tmp_path) -> dict[str, str]:
    """An environment in which only NumPy, Pillow, OpenCV and ONNX Runtime can be imported."""
    (tmp_path / "missing").mkdir()
    for name in ("torch", "scipy", "skimage", "matplotlib", "safetensors", "tqdm", "onnx", "accelerate", "torchvision"):
        (tmp_path / "missing" / f"{name}.py").write_text(f"raise ImportError('no {name} here')")
    return {"PYTHONPATH": os.pathsep.join((str(tmp_path / "missing"), str(ROOT)))}


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def test_upscale_without_torch_gives_the_same_picture(tmp_path, aminet, no_torch, pocket):
    bicubic(Image.fromarray(faces(1, seed=3)[0].permute(1, 2, 0).numpy()), 16).save(tmp_path / "small.png")
    done = aminet("upscale", "small.png", "large.png", "--onnx", pocket, env=no_torch)
    assert done.stdout.startswith("small.png: 1 face, 1 restored: large.png;"), done.stderr
    assert aminet("upscale", "small.png", "torch.png").returncode == 0
    for name in ("large{}.png", "large_faces{}.png"):
        ours, theirs = (pixels(tmp_path / name.format("").replace("large", stem)) for stem in ("large", "torch"))
        assert ours.shape == theirs.shape and np.abs(ours - theirs).max() <= 1
    assert np.abs(pixels(tmp_path / "large.png") - pixels(tmp_path / "large_faces.png")[16:, 152:280]).mean() > 1
    without = aminet("upscale", "small.png", "other.png", env=no_torch)
    assert re.search("no (torch|safetensors) here", without.stderr)  # the fixture works
    several = aminet("upscale", "small.png", "large.png", "out", "--aligned", "--onnx", pocket, env=no_torch)
    assert several.returncode == 0 and "2 of 2 pictures done" in several.stdout, several.stderr


def test_a_photograph_without_torch(tmp_path, aminet, no_torch, pocket):
    Image.fromarray(astronaut()).save(tmp_path / "photo.png")
    (tmp_path / "no_cache").touch()  # so that nothing is fetched
    nowhere = {"AMINET_WEIGHTS": "", "TORCH_HOME": str(tmp_path / "no_cache")}
    without = aminet("upscale", "photo.png", "face.png", "--onnx", pocket, env=no_torch | nowhere)
    assert without.returncode == 2 and "or pip install scikit-image" in without.stderr.splitlines()[-1]
    folder = os.environ.get("AMINET_WEIGHTS")
    if not folder or not (Path(folder) / NETWORKS["yunet"][0].name).exists():
        pytest.skip("YuNet is not at hand (set AMINET_WEIGHTS)")
    done = aminet("upscale", "photo.png", "face.png", "--demo", "--onnx", pocket, env=no_torch)
    assert done.stdout.startswith("photo.png: 1 face, 1 restored: face.png;"), done.stderr
    assert aminet("upscale", "photo.png", "torch.png", "--demo").returncode == 0
    ours, theirs = (pixels(tmp_path / f"{name}.png") for name in ("face", "torch"))
    assert ours.shape == (512, 512, 3) and np.abs(ours - theirs).max() <= 1


def test_onnx_runtime_is_asked_for_in_one_line(tmp_path, refuses, no_torch):
    (tmp_path / "missing" / "onnxruntime.py").write_text("raise ImportError")
    (tmp_path / "any.onnx").touch()
    Image.new("RGB", (16, 16)).save(tmp_path / "small.png")
    refuses("pip install onnxruntime", "upscale", "small.png", "large.png", "--onnx", "any.onnx", env=no_torch)


def test_numbers_of_a_picture_are_those_of_torch():
    x = torch.linspace(-1.2, 1.2, 3 * 64 * 64).reshape(1, 3, 64, 64)
    expected = to_uint8(x, "round")[0].permute(1, 2, 0).numpy()
    assert np.array_equal(np.asarray(from_network(x.numpy())), expected)
    hr = faces(1)
    assert np.array_equal(to_network(bicubic(bicubic(Image.fromarray(hr[0].permute(1, 2, 0).numpy()), 16), 128)),
                          network_input(hr).numpy())
    with pytest.raises(BadInput, match="NaN"):
        from_network(np.full((1, 3, 8, 8), np.nan, np.float32))


def test_the_package_imports_nothing_until_it_is_asked():
    code = """
import sys, aminet
assert not {"torch", "numpy", "PIL"} & set(sys.modules)
assert {"AMINet", "preset", "__version__"} <= set(dir(aminet)) and "torch" not in sys.modules
from aminet import BadInput, preset
assert "torch" not in sys.modules
from aminet import AMINet
assert AMINet is sys.modules["aminet.model"].AMINet and "torch" in sys.modules
try:
    aminet.nothing
except AttributeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "module 'aminet' has no attribute 'nothing'", done.stderr
