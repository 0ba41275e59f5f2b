"""The README's commands warn of nothing: each runs in a process of its own that takes a warning for an error."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from aminet.degrade import degrade
from aminet.faces.portraits import portraits

ROOT = Path(__file__).resolve().parents[2]
README = {*re.findall(r"python -m aminet ([^\n`]+)", (ROOT / "README.md").read_text())}
COMMANDS = re.findall(r'commands\.add_parser\("(\w+)"', (ROOT / "aminet" / "__main__.py").read_text())
# What stands in the README, and what is run for it: the face needs no detector, and the list trains nothing.
SHORT = {"upscale photo.jpg restored.png --demo": ["upscale face.png restored.png --demo"],
         "reproduce": ["reproduce --list"], "--help": ["--help"],
         "COMMAND --help": [f"{command} --help" for command in COMMANDS]}


def test_every_command_of_the_readme_is_run_here():
    assert README == SHORT.keys()


@pytest.mark.parametrize("command", [line for lines in SHORT.values() for line in lines])
def test_the_readmes_commands_warn_of_nothing(tmp_path, command):
    small = degrade(portraits()["hopper"][None])[0]
    Image.fromarray(small.permute(1, 2, 0).numpy()).save(tmp_path / "face.png")
    done = subprocess.run([sys.executable, "-W", "error", "-m", "aminet", *command.split()], cwd=tmp_path, text=True,
                          capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT), "TORCH_HOME": str(tmp_path)},
                          timeout=240)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr and "Exception ignored" not in done.stderr, done.stderr


def test_the_readmes_import_warns_of_nothing_and_imports_no_more_than_torch():
    (line,) = re.findall(r"`(from aminet import [^`]+)` imports torch alone", (ROOT / "README.md").read_text())
    late = ["scipy", "matplotlib", "cv2", "torchvision", "onnx", "accelerate"]
    code = f"{line}\nimport sys\nassert not {{*{late}}} & sys.modules.keys()"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], text=True, capture_output=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=240)
    assert done.returncode == 0 and not done.stderr, done.stderr
