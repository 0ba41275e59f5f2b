"""What commands write: never over an input or another's file, and whether it can be is known before the work."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from aminet import PRESETS, AMINet
from aminet import __main__ as command_line
from aminet.deploy import bench, roofline, speeds
from aminet.errors import BadInput
from aminet.files import Kept, check_outputs, read_json
from aminet.training.weights import load_weights, save_weights


@pytest.fixture
def folder(tmp_path):
    """Two pictures of 16x16, and an untrained network."""
    for name in ("a.png", "b.png"):
        Image.new("RGB", (16, 16), "red").save(tmp_path / name)
    torch.manual_seed(0)
    header = {"preset": "pocket", "config": PRESETS["pocket"].to_dict(), "images": 0}
    save_weights(tmp_path / "net.safetensors", AMINet(PRESETS["pocket"]).state_dict(), header)
    return tmp_path


@pytest.fixture
def no_work(monkeypatch):
    """Nothing may be computed."""
    def forbidden(*_, **__):
        pytest.fail("the work was begun")

    for name in ("aminet.paper.limits.open_faces", "aminet.deploy.upscale.open_network", "aminet.deploy.export.to_onnx",
                 "aminet.deploy.bench.bench", "aminet.deploy.speeds.bench_all", "aminet.faces.sources.open_faces",
                 "aminet.faces.sources.open_training_faces"):
        monkeypatch.setattr(name, forbidden)


def content(folder: Path) -> dict:
    return {path: os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes()
            for path in sorted(folder.rglob("*"))}


# One function


@pytest.mark.parametrize("path, words", [
    ("x" * 300, "File name too long"), ("x" * 300 + "/out.png", "File name too long"), ("file/out.png", "file/out.png"),
    ("/proc/x.png", "cannot write /proc/x.png"), ("/proc/no/x.png", "cannot write /proc/no/x.png"),
    ("loop/out.png", "loop/out.png"), (".", "is a folder"), ("link", "exists and is kept"), ("loop", "exists and is"),
    ("file", "exists and is kept: --overwrite")])
def test_what_cannot_be_written_is_refused(tmp_path, monkeypatch, path, words):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("link").symlink_to("nowhere")
    Path("loop").symlink_to("loop")
    before = content(tmp_path)
    with pytest.raises(BadInput, match=words):
        check_outputs([Path("new/out.png"), Path(path)])
    assert content(tmp_path) == before


def test_what_can_be_written_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("there").write_text("kept")
    check_outputs([Path("new"), Path("a/b/c"), Path("there"), Path(b"caf\xe9".decode(errors="surrogateescape"))],
                  overwrite=True, inputs=[Path("other")], size=10**6)
    assert content(tmp_path) == {tmp_path / "there": b"kept"}


def test_the_input_is_never_replaced_whatever_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("input").write_text("precious")
    Path("link").symlink_to("input")
    os.link("input", "hard")
    Path("folder").symlink_to(".")
    for name in ("input", "link", "hard", "folder/input", "../" + tmp_path.name + "/input"):
        with pytest.raises(BadInput, match="would overwrite the input"):
            check_outputs([Path(name)], overwrite=True, inputs=[Path("input")])


@pytest.mark.skipif(sys.platform != "linux", reason="files are bounded as on Linux")
def test_a_full_disk_is_known_before(tmp_path):
    """A bound on the size of files stands for it."""
    code = ("import resource, signal; from pathlib import Path; from aminet.files import check_outputs\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
            "check_outputs([Path('small')], size=1000)\ncheck_outputs([Path('large')], size=100_000)")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])})
    assert "BadInput: cannot write large" in done.stderr.splitlines()[-1] and not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="files are bounded as on Linux")
@pytest.mark.parametrize("words, bound", [("cannot write record", 1000), ("cannot write o.png", 80_000)])
def test_a_full_disk_leaves_no_half_of_a_result(folder, monkeypatch, words, bound):
    """Room for a record is looked for before the work, and for a picture with its contact sheet before either."""
    import resource

    from aminet.deploy import upscale as U

    monkeypatch.chdir(folder)
    Image.effect_noise((128, 128), 99).convert("RGB").save("noise.png")
    before, limits = content(folder), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bound, limits[1]))
    try:
        with pytest.raises(BadInput, match=words):
            check_outputs([Path("record")])
            U.upscale_file(Path("noise.png"), Path("o.png"), lambda lr: Image.open("noise.png"), aligned=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert content(folder) == before


# upscale


@pytest.mark.parametrize("words, command", [
    ("would both be written to", ("a.png", "x/a.png", "out")),
    ("would both be written to", ("a.png", "x/A.png", "out", "--overwrite")),
    ("would overwrite the input", ("a.png", "hard.png", "--overwrite")),
    ("would overwrite the input", ("a.png", "link.png", "--overwrite")),
    ("would overwrite the input", ("a.png", "b.png", "linked", "--overwrite")),
    ("would lie among its input", ("x", "same", "--overwrite")),
    ("dangling.png exists and is kept", ("a.png", "dangling.png")),
    ("b.png exists and is kept", ("a.png", "b.png")),
    ("c_faces.png exists and is kept", ("a.png", "c.png")),
    ("c_faces.png exists and is kept", ("a.png", "c.png", "--faces-only")),
    ("File name too long", ("a.png", "x" * 300 + ".png")),
    ("no such file", ("x" * 300 + ".png", "o.png")),
    ("cannot write /proc/o.png", ("a.png", "/proc/o.png")),
    ("cannot write a.png/", ("b.png", "a.png/o.png")),
    ("ends in one of", ("a.png", "o.gif")),
])
def test_upscale_refuses_before_a_network_is_read(folder, refuses, no_work, words, command):
    for name in ("x/a.png", "x/A.png", "c_faces.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((folder / "a.png").read_bytes())
    os.link(folder / "a.png", folder / "hard.png")
    for name, target in (("link.png", "a.png"), ("linked", "."), ("same", "x"), ("dangling.png", "nowhere")):
        (folder / name).symlink_to(target)
    before = content(folder)
    refuses(words, "upscale", *command)
    assert content(folder) == before


def test_faces_of_one_picture_do_not_replace_another(folder, aminet):
    (folder / "a_1.png").write_bytes(before := (folder / "b.png").read_bytes() + b" ")
    done = aminet("upscale", "a.png", "a_1.png", ".", "--faces-only", "--overwrite", "--weights", "net.safetensors")
    assert done.returncode == 2 and "a_1.png would overwrite the input" in done.stderr
    assert (folder / "a_1.png").read_bytes() == before and "1 of 2 pictures done" in done.stdout


def test_two_pictures_of_one_stem_have_two_results(folder, aminet):
    """Contact sheets among the pictures, too: those of an earlier call."""
    (folder / "in").mkdir()
    for name in ("a.png", "a.jpg", "b.png", "b_faces.png"):
        Image.new("RGB", (16, 16), "blue").save(folder / "in" / name)
    done = aminet("upscale", "in", "in/a.png", "out", "--weights", "net.safetensors")
    assert done.returncode == 0 and "4 of 4 pictures done" in done.stdout, done.stderr
    assert {path.name for path in (folder / "out").iterdir()} == {
        f"{name}{end}.png" for name in ("a.png", "a.jpg", "b.png", "b_faces.png") for end in ("", "_faces")}


def test_links_that_lead_nowhere_and_pipes_fail_and_the_rest_goes_on(folder, aminet):
    (folder / "in").mkdir()
    Image.new("RGB", (16, 16)).save(folder / "in" / "a.png")
    (folder / "in" / "dangling.png").symlink_to("nowhere")
    (folder / "in" / "loop.png").symlink_to("loop.png")
    os.mkfifo(folder / "in" / "pipe.png")
    (folder / "in" / os.fsdecode(b"caf\xe9.png")).write_bytes((folder / "a.png").read_bytes())
    done = aminet("upscale", "in", "out", "--weights", "net.safetensors")
    assert done.returncode == 2 and "2 of 5 pictures done, 0 kept as they were, 3 failed" in done.stdout, done.stderr
    assert "caf\\udce9.png" in done.stdout and (folder / "out" / os.fsdecode(b"caf\xe9.png")).exists()
    lines = [line.split("\r")[-1] for line in done.stderr.splitlines()]  # above the bar
    for name in ("dangling.png", "loop.png", "pipe.png"):
        assert any(line.startswith(f"in/{name}: ") for line in lines), lines


def test_a_pipe_is_no_picture(folder, refuses):
    os.mkfifo(folder / "pipe.png")
    refuses("pipe.png", "upscale", "pipe.png", "out.png", "--weights", "net.safetensors")


def test_a_folder_that_cannot_be_read(folder, refuses, no_work, monkeypatch):
    (folder / "in").mkdir()

    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))
    monkeypatch.setattr(Path, "iterdir", denied)
    refuses("cannot read or write 'in': Permission denied", "upscale", "in", "out")


def test_a_result_of_another_program_is_kept(folder, refuses, monkeypatch):
    """It was written after the check, while the network worked."""
    from aminet.deploy import upscale as U

    real = U.restore_faces

    def slow(*arguments, **options):
        (folder / "o.png").write_text("another's")
        return real(*arguments, **options)
    monkeypatch.setattr(U, "restore_faces", slow)
    refuses("o.png exists and is kept", "upscale", "a.png", "o.png", "--weights", "net.safetensors")
    assert (folder / "o.png").read_text() == "another's" and not (folder / "o_faces.png").exists()


# export, bench, limits, evaluate


@pytest.mark.parametrize("words, command", [
    ("net.onnx exists and is kept: --overwrite", ("export", "net.safetensors", "net.onnx")),
    ("would overwrite the input", ("export", "net.safetensors", "hard.onnx", "--overwrite")),
    ("cannot write /proc/net.onnx", ("export", "net.safetensors", "/proc/net.onnx")),
    ("is a folder", ("export", "net.safetensors", "folder.onnx")),
    ("cannot write /proc/export-net-cpu.json", ("export", "net.safetensors", "o.onnx", "--records", "/proc")),
    ("export-net-cpu.json exists", ("export", "net.safetensors", "o.onnx", "--records", ".")),
    ("a.png exists and is kept: --overwrite", ("bench", "pocket", "--plot", "a.png")),
    ("cannot write /proc/x.png", ("bench", "pocket", "--plot", "/proc/x.png")),
    ("bench-pocket-cpu.json exists", ("bench", "pocket", "--records", ".")),
    ("cannot write a.png/speeds", ("bench", "pocket", "--all", "--records", "a.png")),
    ("cannot write /proc/limits", ("limits", "net.safetensors", "--records", "/proc", "--metrics", "psnr")),
    ("limits-net-synthetic_8_2.json exists", ("limits", "net.safetensors", "--records", ".", "--metrics", "psnr")),
    ("cannot write /proc/net-", ("evaluate", "net.safetensors", "--records", "/proc")),
    ("cannot write a.png/net-", ("evaluate", "net.safetensors", "--records", "a.png", "--overwrite")),
    ("unknown protocol", ("evaluate", "net.safetensors", "--protocol", "mine")),
    ("broken.safetensors", ("evaluate", "broken.safetensors", "--records", "records")),
])
def test_outputs_are_checked_before_the_work(folder, refuses, no_work, words, command):
    for name in ("net.onnx", "export-net-cpu.json", "bench-pocket-cpu.json", "limits-net-synthetic_8_2.json",
                 "broken.safetensors"):
        (folder / name).write_text("another's")
    os.link(folder / "net.safetensors", folder / "hard.onnx")
    (folder / "folder.onnx").mkdir()
    before = content(folder)
    refuses(words, *command)
    assert content(folder) == before


def test_weights_that_hold_nan_are_not_converted(folder, refuses, no_work):
    model, header = load_weights(folder / "net.safetensors")
    torch.nn.init.constant_(model.tail.weight, torch.nan)
    save_weights(folder / "nan.safetensors", model.state_dict(), header)
    refuses("nan.safetensors holds NaN or infinity in tail.weight", "export", "nan.safetensors", "o.onnx")
    assert not (folder / "o.onnx").exists()


def test_a_full_disk_is_known_before_the_conversion(folder, refuses, no_work, monkeypatch):
    sizes = []

    def full(paths, *options):
        sizes.append(options[-1])
        raise BadInput("No space left on device")
    monkeypatch.setattr("aminet.deploy.export.check_outputs", full)
    for precision in ("fp32", "fp16", "int8"):
        refuses("No space left", "export", "net.safetensors", "net.onnx", "--precision", precision)
    count = sum(weight.numel() for weight in AMINet(PRESETS["pocket"]).parameters())
    assert sizes == [4 * count, 2 * count, count]


def test_bench_writes_its_record_before_the_plot(folder, refuses, monkeypatch):
    def fails(*_):
        raise BadInput("no space for the picture")
    monkeypatch.setattr(bench, "bench", lambda *_: {"kind": "bench"})
    monkeypatch.setattr(bench, "format_bench", lambda record: "measured")
    monkeypatch.setattr(roofline, "plot", fails)
    refuses("no space for the picture", "bench", "pocket", "--plot", "roof.png", "--records", "records")
    assert json.loads((folder / "records" / "bench-pocket-cpu.json").read_text()) == {"kind": "bench"}
    refuses("bench-pocket-cpu.json exists", "bench", "pocket", "--records", "records")
    refuses("no space for", "bench", "pocket", "--plot", "roof.png", "--records", "records", "--overwrite")


def test_what_another_program_wrote_meanwhile_is_kept(folder, refuses, monkeypatch):
    def slow(*_):
        (folder / "speeds-pocket-cpu.json").write_text("another's")
        return {"kind": "speeds"}
    monkeypatch.setattr(speeds, "bench_all", slow)
    monkeypatch.setattr(speeds, "format_speeds", lambda record: "measured")
    refuses("speeds-pocket-cpu.json exists", "bench", "pocket", "--all", "--records", ".")
    assert (folder / "speeds-pocket-cpu.json").read_text() == "another's"
    with pytest.raises(Kept):
        check_outputs([folder / "a.png"])


# What is printed


def test_json_is_strict(folder, aminet):
    """A flat face: bicubic interpolation is exact, and its PSNR infinite."""
    (folder / "flat").mkdir()
    Image.new("RGB", (128, 128), (70, 70, 70)).save(folder / "flat" / "face.png")

    def never(name):
        raise AssertionError(f"{name} is no JSON")
    metrics = ("--metrics", "psnr", "ssim", "vifp")
    done = aminet("evaluate", "net.safetensors", "--faces", "flat", "--records", ".", *metrics, "--json")
    printed = json.loads(done.stdout, parse_constant=never)
    assert printed["psnr"] is None and printed["bicubic_psnr"] is None and printed["vifp"] is None
    assert printed["ssim"] == pytest.approx(1)
    record = json.loads((folder / printed["record"]).read_text(), parse_constant=never)
    assert record["values"]["psnr"] == [float("inf")] and record["values"]["vifp"] == [None]
    text = aminet("evaluate", "net.safetensors", "--faces", "flat", "--records", ".", *metrics).stdout
    assert "inf" in text and "gain undefined" in text
    limits = ("limits", "net.safetensors", "--faces", "flat", "--metrics", "psnr", "--stress", "dark", "noise")
    rows = json.loads(aminet(*limits, "--json").stdout, parse_constant=never)["stresses"]["dark"]["rows"]
    assert rows[0]["gain"]["psnr"]["mean"] is None
    assert "inf" in aminet(*limits).stdout
    assert command_line.json_text([float("nan"), {"a": float("-inf")}, 1.5]) == '[null, {"a": null}, 1.5]'


def test_names_are_printed_escaped(folder, aminet):
    """In what is no error, too: an ESC would reach the terminal, a newline make two lines."""
    name = "bad\n\x1b[2J"
    (folder / name).mkdir()
    (folder / "a.png").rename(folder / name / f"{name}.png")
    (folder / "net.safetensors").rename(folder / f"{name}.safetensors")
    outputs = [aminet("upscale", f"{name}/{name}.png", f"{name}.png", "--weights", f"{name}.safetensors"),
               aminet("evaluate", f"{name}.safetensors", "--faces", "synthetic:1", "--records", name),
               aminet("limits", f"{name}.safetensors", "--faces", "synthetic:1", "--records", name, "--stress", "dark",
                      "--metrics", "psnr"),
               aminet("table", "1", "--records", name)]
    for done in outputs:
        assert done.returncode == 0 and "\x1b" not in done.stdout + done.stderr.replace("\x1b[A", ""), done
    assert all(r"bad\n\x1b[2J" in done.stdout + done.stderr for done in outputs[:3])


def test_a_file_that_says_it_is_empty_is_not_read(tmp_path, monkeypatch):
    """Some files of /proc never end."""
    (tmp_path / "x.json").write_text("{}")
    assert read_json(tmp_path / "x.json") == {}
    monkeypatch.setattr(os.path, "getsize", lambda path: 0)
    with pytest.raises(BadInput, match="no JSON"):
        read_json(tmp_path / "x.json")
