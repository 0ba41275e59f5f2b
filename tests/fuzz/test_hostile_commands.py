"""Command lines of odd words: exit 0, 1 or 2, lines that a terminal can show, and never a traceback.

What would take long (a training, a race, an export) has one word that cannot be right, which is found last.
"""
import os
import urllib.request

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from aminet import PRESETS, AMINet
from aminet.training.weights import save_weights

NUMBERS = ["0", "-1", "1", "2", "1e309", "nan", "-inf", "0.5", "9" * 30, "1" * 5000, "²", "٣", "1_0", "0x10", " 1"]
PATHS = ["", ".", "/dev/null", "/dev/full", "/proc/x.png", "a.png", "pictures", "pipe.png", "loop.png", "dangling.png",
         "folder.png", "text.zip", "text.png", "net.safetensors", "text.safetensors", "text.json", "records", "x" * 300,
         "x" * 300 + ".png", "é.png", os.fsdecode(b"caf\xe9.png"), "\x1b[2J.png", "a\nb", "o.png", "new/o.png",
         "a.png/o.png", "~", "*", "%s", "{}", "-"]
NAMES = ["pocket", "aminet", "aminet/", "pocket/w/o SA", "pocket/rcan+from_bicubic", "best", "I", "11", "-", "--", "-x",
         "--json", "--nosuch", "--overwrite", "--records", "psnr", "rgb"]
SOURCES = ["synthetic", "synthetic:", "synthetic:²", "synthetic:0", "synthetic:-1", "synthetic:1:1:1",
           "synthetic:99999999999", "celeba::", "celeba:.:test", "helen:pictures:test", ":", "missing"]
odd = st.sampled_from(NUMBERS + PATHS + NAMES + SOURCES)
words = st.lists(odd, max_size=4)
some = st.lists(odd, min_size=1, max_size=3)
bad = st.sampled_from([path for path in PATHS if not path.startswith("-")]).filter(lambda word: word != "pictures")
option = st.sampled_from([f"--{name}" for name in (
    "json records overwrite metrics images batch seed lr scale protocol precision stress onnx weights out only budget "
    "device plot start aligned faces-only gallery skip-bad").split()])
options = st.lists(st.one_of(odd, option), max_size=5)


def line(*parts):
    """A strategy of a command line: words as they are, and lists of drawn ones."""
    return st.tuples(*(st.just([part]) if isinstance(part, str) else part for part in parts)).map(
        lambda drawn: [word for part in drawn for word in part])


LINES = st.one_of(
    line("ledger", some), line("data", words), line("data", "check", some),
    line("train", some, options, "--faces", st.lists(bad, min_size=1, max_size=1)),
    line("evaluate", words, options, "--faces", some),
    line("limits", words, options, "--metrics", "psnr", "--faces", st.lists(bad, min_size=1, max_size=1)),
    line("table", words, options), line("upscale", words, options),
    line("export", words, options, "--faces", st.lists(bad, min_size=1, max_size=1)),
    line("bench", bad.map(lambda word: [f"no{word}"]), options), line("reproduce", "--list", options), words)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("tests do not download")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    for name, value in (("AMINET_WEIGHTS", ""), ("AMINET_FACES", ""), ("TORCH_HOME", str(tmp_path / "text.png")),
                        ("TQDM_DISABLE", "1")):
        monkeypatch.setenv(name, value)
    for name in ("pictures", "folder.png", "records"):
        (tmp_path / name).mkdir()
    for name in ("a.png", "pictures/a.png", "pictures/b.png"):
        Image.new("RGB", (16, 16), "red").save(tmp_path / name)
    for name in ("text.zip", "text.png", "text.safetensors", "text.json", "records/text.json"):
        (tmp_path / name).write_text("text")
    for name, target in (("loop.png", "loop.png"), ("dangling.png", "nowhere")):
        (tmp_path / name).symlink_to(target)
    os.mkfifo(tmp_path / "pipe.png")
    header = {"preset": "pocket", "config": PRESETS["pocket"].to_dict(), "images": 0}
    save_weights(tmp_path / "net.safetensors", AMINet(PRESETS["pocket"]).state_dict(), header)
    return tmp_path


@settings(max_examples=settings.default.max_examples // 10, deadline=None)  # the first call of a command imports it
@given(LINES)
@example(["evaluate", "net.safetensors", "--faces", "x" * 300])
@example(["upscale", "a.png", "x" * 300])
@example(["table", "I", "--records", "x" * 300])
def test_commands(aminet, folder, words):
    done = aminet(*words)
    assert done.returncode in (0, 1, 2), done
    assert "Traceback" not in done.stderr and all(map(str.isprintable, done.stderr.splitlines()))
    assert done.returncode != 2 or done.stderr.strip()
