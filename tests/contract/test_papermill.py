"""Papermill drives the training notebook: it trains, and an unknown parameter fails."""
import json
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]


def papermill(target: Path, **parameters):
    options = [word for name, value in parameters.items() for word in ("-p", name, str(value))]
    return subprocess.run(
        [sys.executable, "-m", "papermill", "notebooks/09_train_aminet.ipynb", str(target), "--cwd", "notebooks",
         "--no-progress-bar", "--log-level", "ERROR", *options], cwd=ROOT, text=True, capture_output=True, timeout=600)


def test_it_trains(tmp_path):
    done = papermill(tmp_path / "out.ipynb", images=32, faces="synthetic:12:7", val="synthetic:4:8", batch=4,
                     val_every=16, out=tmp_path / "run")
    assert done.returncode == 0, done.stderr[-2000:]
    header = json.loads((tmp_path / "run" / "best.json").read_text())
    assert header["recipe"]["images"] == 32 and header["data"]["train"]["sources"] == ["synthetic:12:7"]
    cells = nbformat.read(tmp_path / "out.ipynb", 4).cells
    assert all(cell.execution_count for cell in cells if cell.cell_type == "code")


def test_an_unknown_parameter_fails(tmp_path):
    done = papermill(tmp_path / "out.ipynb", imagess=32)
    assert done.returncode != 0
    assert "unknown parameter imagess" in done.stderr
