"""The command line as a user meets it, bad input first: exit 2, one line, nothing overwritten."""
import json
import os
import signal
import subprocess
import sys
import zipfile
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
import torch
from PIL import Image

from aminet import PRESETS, AMINet
from aminet import __version__ as aminet_version
from aminet.__main__ import COMMANDS, main, parser
from aminet.errors import BadInput
from aminet.faces.synthetic import faces
from aminet.paper import comparison, records
from aminet.paper.records import command_line
from aminet.training.weights import save_weights

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ["train", "pocket", "--out", "run", "--images", "2", "--batch", "2", "--device", "cpu"]


@pytest.fixture
def folder(tmp_path):
    for name, seed in (("some", 0), ("others", 1)):
        (tmp_path / name).mkdir()
        for i, face in enumerate(faces(3, seed)):
            Image.fromarray(face.permute(1, 2, 0).numpy()).save(tmp_path / name / f"{i}.png")
    return tmp_path


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    header = {"preset": "pocket", "config": PRESETS["pocket"].to_dict(), "images": 0}
    save_weights(tmp_path / "net.safetensors", AMINet(PRESETS["pocket"]).state_dict(), header)
    return "net.safetensors"


def test_bad_faces(folder, refuses):
    refuses("missing", *TRAIN, "--faces", "missing")
    (folder / "empty").mkdir()
    refuses("empty", *TRAIN, "--faces", "empty")
    (folder / "some" / "text.png").write_text("no image")
    refuses("text.png", *TRAIN, "--faces", "some", "--val", "others")
    refuses("synthetic:N", *TRAIN, "--faces", "synthetic:many")
    with zipfile.ZipFile(folder / "cut.zip", "w") as archive:
        archive.write(folder / "some" / "0.png", "0.png")
    (folder / "cut.zip").write_bytes((folder / "cut.zip").read_bytes()[:500])
    refuses("cut.zip", *TRAIN, "--faces", "cut.zip")
    assert not (folder / "run").exists()


def test_validation_faces_must_not_be_trained_on(folder, refuses):
    refuses("3 validation images are also in --faces", *TRAIN, "--faces", "some", "others", "--val", "others")


def test_unknown_words(refuses, tmp_path):
    refuses("unknown preset 'huge'", "train", "huge", "--out", "run", "--images", "2")
    refuses("unknown method or row", "train", "pocket/w/o everything", "--out", "run", "--images", "2")
    refuses("--images N or --minutes M", "train", "pocket", "--out", "run")
    refuses("no weights 'nothing'", "evaluate", "nothing")
    refuses("positive number", "train", "pocket", "--out", "run", "--images", "-4")
    refuses("invalid choice", "train", "pocket", "--out", "run", "--device", "tpu")
    refuses("no weights 'nothing'", "train", "pocket", "--start", "nothing", "--out", "run", "--images", "32")
    refuses("is another network: AMINet", "train", "aminet", "--start", "pocket", "--out", "run", "--images", "32",
            "--faces", "synthetic:2", "--val", "synthetic:2:1", "--device", "cpu")
    refuses("--width belongs to a GAN", "train", "pocket", "--width", "8", "--out", "run", "--images", "32")
    refuses("spargan starts from its generator's weights", "train", "spargan", "--out", "run", "--images", "32")
    refuses("batch=1000000000: expected a whole number from 1 to 4096", "train", "pocket", "--batch", "1000000000",
            "--minutes", "1", "--out", "run")
    refuses("seed=9223372036854775808: expected", "train", "pocket", "--seed", 2**63, "--out", "run", "--images", "32")
    refuses("width=100000000: expected a whole number from 1 to 256", "train", "amigan", "--start", "pocket", "--width",
            "100000000", "--out", "run", "--images", "32")
    refuses("lr=inf", "train", "pocket", "--lr", "inf", "--out", "run", "--images", "32")
    refuses("unknown metric foo", "evaluate", "pocket", "--metrics", "foo", "--faces", "nowhere")  # before the faces
    refuses("no weights 'nosuch'", "train", "amigan", "--start", "nosuch", "--out", "run", "--images", "64",
            "--faces", "nowhere")
    assert not list(tmp_path.iterdir())


def test_a_missing_gpu_is_found_before_the_faces_are_read(refuses):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    refuses("device 'cuda' is not here", "bench", "pocket", "--device", "cuda")
    refuses("device 'cuda' is not here", "evaluate", "pocket", "--device", "cuda", "--faces", "nowhere")
    refuses("device 'cuda' is not here", "train", "pocket", "--device", "cuda", "--faces", "nowhere", "--out", "run",
            "--images", "64")


def test_version(aminet):
    assert aminet("--version").stdout.strip() == aminet_version


def test_skip_bad_counts(folder, aminet):
    (folder / "some" / "text.png").write_text("no image")
    done = aminet(*TRAIN, "--faces", "some", "--val", "others", "--skip-bad")
    assert done.returncode == 0, done.stderr
    header = json.loads((folder / "run" / "best.json").read_text())
    assert header["data"]["train"]["images"] == 3 and header["data"]["train"]["skipped"] == 1


def test_evaluate_writes_a_record_once(folder, weights, aminet, refuses):
    command = ["evaluate", weights, "--faces", "some", "--json"]
    done = aminet(*command)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert {"images", "protocol", "psnr", "ssim", "bicubic_psnr", "bicubic_ssim"} <= set(printed)
    assert printed["images"] == 3 and printed["protocol"] == "paper"
    assert printed["psnr"] == pytest.approx(printed["bicubic_psnr"], abs=0.1)  # untrained: starts at bicubic
    record = json.loads((folder / printed["record"]).read_text())
    assert record["command"] == "python -m aminet evaluate net.safetensors --faces some --json"
    written = (folder / printed["record"]).read_bytes()
    again = aminet(*command)
    assert again.returncode == 0 and "measured before" in again.stderr and json.loads(again.stdout) == printed
    assert (folder / printed["record"]).read_bytes() == written
    refuses("face_detection_yunet_2023mar.onnx (0.2 MB) is not at hand", *command, "--metrics", "identity",
            env={"AMINET_WEIGHTS": "", "TORCH_HOME": str(folder)})
    assert (folder / printed["record"]).read_bytes() == written
    more = aminet(*command[:-1], "--metrics", "psnr", "vifp")
    assert more.returncode == 0 and "added now: vifp" in more.stderr, more.stderr
    extended = json.loads((folder / printed["record"]).read_text())
    assert extended["created"] == record["created"] and set(extended["values"]) > set(record["values"])
    assert [look["metrics"] for look in extended["measured"]] == [["psnr", "ssim"], ["vifp"]]
    assert "vifp" in more.stdout and "ssim" not in more.stdout.split("\n", 1)[1]
    (folder / "more").mkdir()
    (folder / "some").rename(folder / "more" / "some")
    (folder / "others").rename(folder / "some")
    refuses("other weights or faces", *command)
    refuses("unknown protocol", "evaluate", weights, "--faces", "some", "--protocol", "mine")
    refuses("unknown metric", "evaluate", weights, "--faces", "more", "--metrics", "beauty")


def test_faces_are_also_found_in_the_environments_folder(folder, weights, aminet, tmp_path):
    (tmp_path / "sets").mkdir()
    (folder / "some").rename(tmp_path / "sets" / "some")
    done = aminet("evaluate", weights, "--faces", "some", env={"AMINET_FACES": str(tmp_path / "sets")})
    assert done.returncode == 0, done.stderr


def test_data_check(folder, aminet):
    done = aminet("data", "check", "some", "others", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["clean"] is True


def test_names_that_are_not_utf8_are_measured(folder, weights, aminet):
    """Of the pictures and of their folder; the record is JSON all the same."""
    (folder / "others" / "0.png").rename(folder / "others" / os.fsdecode(b"caf\xe9.png"))
    (folder / "others").rename(faces := folder / os.fsdecode(b"caf\xe9"))
    done = aminet("data", "check", faces)
    assert done.returncode == 0 and "clean: every file can be read" in done.stdout and r"caf\udce9: 3" in done.stdout
    done = aminet("evaluate", weights, "--faces", faces.name, "--records", ".", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / json.loads(done.stdout)["record"]).read_text())["faces"]["images"] == 3


def test_ledger(aminet):
    done = aminet("ledger", "w/o SA", "aminet", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert list(rows) == ["w/o SA", "aminet"]
    assert {"name", "params", "macs", "thop_macs", "published_params", "published_macs"} <= set(rows["aminet"])
    assert rows["aminet"]["params"] == 12_623_547


def test_a_record_tells_the_command_without_folders(tmp_path, monkeypatch):
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere" / "records"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr("sys.argv", ["aminet", "evaluate", str(here / "runs" / "best.safetensors"), "faces.zip",
                                     "--records", str(elsewhere)])
    assert command_line() == "python -m aminet evaluate runs/best.safetensors faces.zip --records records"
    monkeypatch.setattr("sys.argv", ["pytest/__main__.py", "--quiet"])  # called from another program
    assert command_line() == ""
    assert command_line(["evaluate", "../runs/mine"]) == "python -m aminet evaluate ../runs/mine"  # as it was typed


# Faults of the world around a command


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer signals here")
@pytest.mark.parametrize("words", [
    ["ledger"], ["data", "check", "synthetic"], ["evaluate", "pocket", "--faces", "synthetic:9999"],
    ["limits", "pocket", "--faces", "synthetic:9999"], ["table", "6"], ["export", "pocket", "net.onnx", "--faces",
     "synthetic:9999"], ["upscale", "synthetic", "out"], ["bench", "pocket"],
    ["reproduce", "--list", "--scale", "mini"], ["train", "pocket", "--out", "run", "--images", "32", "--faces",
                                                "synthetic:9999"]], ids=lambda words: words[0])
def test_ctrl_c_stops_every_command(folder, aminet, monkeypatch, words):
    """Ctrl-C a moment after the start; with folders of a thousand faces, as far as a command reads some."""
    many = folder / "synthetic"
    many.mkdir()
    for i in range(1000):
        (many / f"{i}.png").hardlink_to(folder / "some" / "0.png")

    def stop(*_):
        raise KeyboardInterrupt

    for part in ("deploy.export", "deploy.upscale", "deploy.bench", "deploy.speeds", "paper.reproduce", "paper.limits",
                 "paper.text", "training.trainer", "faces.check"):
        import_module(f"aminet.{part}")  # importing half of a library would spoil later tests
    for read in (comparison.read_measurement, records._read_evaluation):
        read.cache_clear()  # as in a new process
    before, moment = signal.signal(signal.SIGALRM, stop), partial(signal.setitimer, signal.ITIMER_REAL)
    monkeypatch.setattr("aminet.__main__.parser", lambda: moment(0.02) and parser())  # main has begun
    monkeypatch.setattr(sys, "unraisablehook", lambda _: moment(0.02))  # lost in a callback of the garbage: once more
    try:
        done = aminet(*words)
    finally:
        moment(0)
        signal.signal(signal.SIGALRM, before)
    assert done.returncode == 130 and done.stderr.strip().splitlines()[-1].startswith("stopped")
    assert "Traceback" not in done.stderr and not (folder / "net.onnx").exists()


@pytest.mark.parametrize("place, words", [
    *(("faces.pictures.to_rgb", words) for words in (
        ["data", "check", "many"], ["evaluate", "net.safetensors", "--faces", "many"],
        ["export", "net.safetensors", "net.onnx", "--faces", "many"], ["upscale", "many", "out"],
        ["limits", "net.safetensors", "--faces", "many", "--metrics", "psnr"], [*TRAIN, "--faces", "many"])),
    ("paper.comparison.read_json", ["table", "6", "--records", "records"]),
    ("paper.records.read_json", ["reproduce", "--list", "--scale", "mini", "--records", "records"]),
    ("deploy.bench.faces", ["bench", "pocket", "--records", "records"])],
    ids=lambda value: value[0] if isinstance(value, list) else None)
def test_ctrl_c_while_something_is_read(folder, weights, aminet, monkeypatch, place, words):
    """The signal itself, from within the reading of faces, which threads do, the drawing of faces, or a record's."""
    (folder / "many").mkdir()
    for i in range(300):
        (folder / "many" / f"{i}.png").hardlink_to(folder / "some" / "0.png")
    (folder / "records").mkdir()
    (folder / "records" / "a.json").write_text("{}")
    module, name = f"aminet.{place}".rsplit(".", 1)
    function, before, calls = getattr(import_module(module), name), sorted(folder.rglob("*")), []

    def interrupted(*arguments, **options):
        calls.append(name)
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return function(*arguments, **options)

    monkeypatch.setattr(f"{module}.{name}", interrupted)
    done = aminet(*words)
    assert calls and done.returncode == 130 and done.stderr.strip().splitlines()[-1].startswith("stopped")
    assert "Traceback" not in done.stderr and sorted(folder.rglob("*")) == before and len(calls) < 300


def as_module(code, *words):
    """Run `python -m aminet`, of which `code` replaces the module of the command `ledger`."""
    start = ("import runpy, sys, types; ledger = types.ModuleType('aminet.ledger')\n"
             f"exec({code!r}, vars(ledger)); sys.modules['aminet.ledger'] = ledger; sys.argv[0] = 'aminet'\n"
             "runpy.run_module('aminet', run_name='__main__')")
    return subprocess.run([sys.executable, "-c", start, *words], capture_output=True, text=True, timeout=60)


SIGNAL = """import os, signal, time
format_ledger = str
def send(name): os.kill(os.getpid(), getattr(signal, name))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals as on Linux")
@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_while_the_command_ends_does_not_disturb_that(first):
    """What the command has begun to clean up is cleaned up, the line is printed, and no library's error is."""
    done = as_module(SIGNAL + f"""
def ledger(names):
    try:
        send({first!r})
    except KeyboardInterrupt:
        raise ImportError("cannot load module more than once per process")
    finally:
        send("SIGINT"); send("SIGTERM"); print("cleaned up")
""", "ledger")
    assert (done.returncode, done.stderr, done.stdout) == (130, "stopped\n", "cleaned up\n")


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals as on Linux")
def test_a_command_that_cannot_end_is_stopped_by_another_signal():
    done = as_module(SIGNAL + """
def ledger(names):
    try:
        send("SIGINT")
    except KeyboardInterrupt:
        while True:
            time.sleep(0.2); send("SIGINT")
""", "ledger")
    assert done.returncode == 130 and "Traceback" not in done.stderr


def test_a_folder_that_was_deleted():
    code = ("import os, sys, tempfile; os.chdir(folder := tempfile.mkdtemp()); os.rmdir(folder)\n"
            "from aminet.__main__ import main; sys.argv = ['aminet', 'ledger']; sys.exit(main())")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 2 and done.stderr == ("aminet: the folder that you are in was deleted: change to another "
                                                    "one\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("words", [["--help"], ["table", "1"], ["train", "--help"]])
def test_an_output_that_cannot_be_written(words):
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "aminet", *words], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "No space left" in done.stderr and "free some space" in done.stderr
    with open("/dev/full", "w") as full:  # nor can the line that says so
        assert subprocess.run([sys.executable, "-m", "aminet", *words], stdout=full, stderr=full).returncode == 2


def test_a_terminal_without_the_letters_of_a_name(folder):
    (folder / "some" / "0.png").rename(folder / "some" / "größe \u2603\x1b[2J.png")
    (folder / "some" / "1.png").write_text("no image")
    done = subprocess.run([sys.executable, "-m", "aminet", "data", "check", "some"], cwd=folder, text=True,
                          capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 1 and "1.png" in done.stdout and not done.stderr and "\x1b" not in done.stdout


def test_errors_of_the_system_are_lines(refuses, tmp_path, monkeypatch):
    refuses("choose a shorter name", "data", "check", "x" * 300)
    refuses("choose a shorter name", "export", "pocket", "x" * 300 + ".onnx")
    refuses(r"\x1b[2J", "data", "check", "\x1b[2J.png")
    refuses(r"\x1b[2J", "table", "\x1b[2J")
    for error in (MemoryError(), RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate "
                                              "memory: you tried to allocate 70368744177664 bytes.")):
        monkeypatch.setitem(COMMANDS, "table", lambda _, error=error: raised(error))
        refuses("the memory is not enough", "table", "1")
    monkeypatch.setitem(COMMANDS, "table", lambda _: raised(RuntimeError("a fault of ours")))
    with pytest.raises(RuntimeError, match="of ours"):  # not hidden
        refuses("", "table", "1")


def raised(error):
    raise error


@pytest.mark.parametrize("words, command", [
    ("paths is empty", ("data", "check", "")), ("faces is empty", (*TRAIN, "--faces", "some", "")),
    ("out is empty", ("train", "pocket", "--images", "2", "--out", "")), ("target is empty", ("upscale", "some", "")),
    ("sources is empty", ("upscale", "", "out")), ("records is empty", ("evaluate", "pocket", "--records", "")),
    ("out is empty", ("reproduce", "--list", "--out", "")), ("only is empty", ("reproduce", "--list", "--only=--")),
    ("out is empty", ("train", "pocket", "--images", "32", "--out=--")),
    ("faces is empty", ("evaluate", "pocket", "--faces=--"))])
def test_an_empty_word_is_not_this_folder(folder, refuses, words, command):
    """As from a variable of the shell that is not set."""
    before = sorted(folder.rglob("*"))
    refuses(words, *command)
    assert sorted(folder.rglob("*")) == before


def test_closed_streams(folder, monkeypatch):
    """As by `>&- 2>&-`: bars and lines go nowhere."""
    for i in range(2):
        Image.new("RGB", (16, 16)).save(folder / "some" / f"{i}.png")
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    monkeypatch.setattr(sys, "argv", ["aminet", "upscale", str(folder / "some"), str(folder / "out"), "--aligned"])
    assert main() == 0 and sys.stderr.name == os.devnull
    assert len(list((folder / "out").iterdir())) == 6


def test_an_environment_of_no_torchrun(refuses, monkeypatch):
    monkeypatch.setattr("accelerate.PartialState._shared_state", {})  # a failed start stays in it
    refuses("for one, unset WORLD_SIZE", *TRAIN, "--faces", "synthetic:2", "--val", "synthetic:1:1",
            env={"LOCAL_RANK": "0", "WORLD_SIZE": "2", "RANK": "0"})


def test_a_long_error_is_cut():
    line = str(BadInput("begins " + "\0" * 10**6 + " ends"))
    assert len(line) < 1500 and line.startswith("begins") and line.endswith("ends")
