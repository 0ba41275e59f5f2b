"""Papermill drives the training notebook: it trains, and a wrong parameter or folder fails at once."""
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]


def papermill(target: Path, *flags: str, notebook: str = "09_train_aminet", **parameters):
    options = [word for name, value in parameters.items() for word in ("-p", name, str(value))]
    return subprocess.run(
        [sys.executable, "-m", "papermill", f"notebooks/{notebook}.ipynb", str(target), "--no-progress-bar",
         "--log-level", "ERROR", *flags, *options], cwd=ROOT, text=True, capture_output=True, timeout=600)


def test_it_trains(tmp_path):
    done = papermill(tmp_path / "out.ipynb", "--cwd", "notebooks", images=32, faces="synthetic:12:7",
                     val="synthetic:4:8", batch=4, val_every=16, out=tmp_path / "run")
    assert done.returncode == 0, done.stderr[-2000:]
    header = json.loads((tmp_path / "run" / "best.json").read_text())
    assert header["recipe"]["images"] == 32 and header["data"]["train"]["sources"] == ["synthetic:12:7"]
    cells = nbformat.read(tmp_path / "out.ipynb", 4).cells
    assert all(cell.execution_count for cell in cells if cell.cell_type == "code")


def test_it_trains_a_compared_method(tmp_path):
    done = papermill(tmp_path / "out.ipynb", "--cwd", "notebooks", preset="pocket/rcan", images=8, batch=4, val_every=8,
                     faces="synthetic:4:7", val="synthetic:4:8", out=tmp_path / "run")
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads((tmp_path / "run" / "best.json").read_text())["config"]["network"] == "rcan"


@pytest.mark.parametrize("notebook, pattern, runs, less", [  # less: the other cells' work
    ("11_ablations", "skaf-none-*", ["skaf-none-smoke-0 (Table V: none)"], {"steps": 5}),
    ("12_comparisons", "facn-*", ["facn-smoke-0", "facn-from-bicubic-smoke-0"], {"synthetic": 2}),
    ("13_compared_gans", "fsrnet-smoke-*", ["fsrnet-smoke-0"], {"synthetic": 2, "steps": 2})])
def test_a_notebook_trains_rows_of_its_tables(tmp_path, notebook, pattern, runs, less):
    done = papermill(tmp_path / "out.ipynb", "--cwd", "notebooks", notebook=notebook, rerun=pattern, scale="smoke",
                     **less)
    assert done.returncode == 0, done.stderr[-2000:]
    cells = nbformat.read(tmp_path / "out.ipynb", 4).cells
    (printed,) = [cell.outputs[0].text for cell in cells if "train_runs(rerun" in cell.source]
    lines = printed.splitlines()
    assert len(lines) == len(runs) and all(line.startswith(run) for line, run in zip(lines, runs)), printed
    assert all(re.search(r"PSNR \d+\.\d\d dB, bicubic", line) for line in lines)


@pytest.mark.parametrize("parameters, words", [
    ({"imagess": 32}, "BadInput: unknown parameter imagess: this notebook has batch, "),
    ({"faces": "nowhere.zip"}, "BadInput: faces is 'nowhere.zip': this notebook wants folders and zips of faces"),
])
def test_a_wrong_parameter_fails_before_any_work(tmp_path, parameters, words):
    done = papermill(tmp_path / "out.ipynb", "--cwd", "notebooks", **parameters)
    assert done.returncode != 0
    assert done.stderr.strip().splitlines()[-1].startswith(words)
    code = [cell for cell in nbformat.read(tmp_path / "out.ipynb", 4).cells if cell.cell_type == "code"]
    assert not any(cell.execution_count for cell in code[3:])


def test_it_starts_in_any_folder_of_the_clone_and_in_no_other(tmp_path):
    """A wrong parameter shows that the start was reached: the course is found by its files, not by the clone's name."""
    for folder in (".", "docs/static"):
        done = papermill(tmp_path / "out.ipynb", "--cwd", folder, notebook="A_symbols_and_shapes", preset_name="zz")
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("BadInput: preset_name is 'zz': this notebook wants one of")
    done = papermill(tmp_path / "out.ipynb", "--cwd", tmp_path, notebook="A_symbols_and_shapes")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("FileNotFoundError: start in a folder of the course's clone")
