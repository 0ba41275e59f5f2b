"""Training goes from its start to its record without the packages that single metrics need."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCKED = ("lpips", "torch_fidelity", "pyrtools", "thop", "snakemake")
SITE = f"""
import importlib.metadata as metadata
import sys

for name in {BLOCKED}:
    sys.modules[name] = None
    def missing(wanted, known=metadata.distribution):
        if wanted.replace("-", "_") in {BLOCKED}:
            raise metadata.PackageNotFoundError(wanted)
        return known(wanted)
metadata.distribution = missing
"""


@pytest.fixture
def bare(tmp_path):
    """Run `python -m aminet` where these packages cannot be imported and have no version."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)

    def run(*arguments, code=0):
        done = subprocess.run([sys.executable, "-m", "aminet", *map(str, arguments)], cwd=tmp_path, text=True,
                              capture_output=True, timeout=240,
                              env=os.environ | {"PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{ROOT}",
                                                "OMP_NUM_THREADS": "1"})
        assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
        return done
    return run


def test_the_whole_way(bare, tmp_path):
    faces = ["--faces", "synthetic:8", "--val", "synthetic:2:1", "--batch", "4", "--device", "cpu"]
    bare("train", "pocket", *faces, "--images", "8", "--out", "run")
    bare("train", "pocket", *faces, "--images", "12", "--out", "run", "--resume")
    done = bare("evaluate", "run", "--faces", "synthetic:3:2", "--metrics", "psnr", "ssim", "vif", "lpips", "fid",
                "--records", "records", "--json")
    assert set(json.loads(done.stdout)) >= {"psnr", "ssim"} and "vif" not in json.loads(done.stdout)
    lines = done.stderr.splitlines()
    for metric, package in (("vif", "pyrtools"), ("lpips", "lpips"), ("fid", "torch-fidelity")):
        assert f"{metric} is left out: the package {package} is not installed: pip install {package}" in lines
    record = json.loads(next((tmp_path / "records").glob("*.json")).read_text())
    assert "pyrtools" not in record["versions"] and record["weights"]["device"] == "cpu"
    done = bare("train", "amigan", "--start", "run", *faces, "--images", "8", "--out", "gan", code=2)
    assert "the package lpips is not installed" in done.stderr and "--choose psnr" in done.stderr
    assert not (tmp_path / "gan").exists()
    bare("train", "amigan", "--start", "run", *faces, "--images", "8", "--out", "gan", "--choose", "psnr",
         "--perceptual", "0", "--width", "4")
    bare("evaluate", "gan", "--faces", "synthetic:3:2", "--metrics", "psnr", "--records", "records")


def test_the_ledger_leaves_thop_out(bare):
    done = bare("ledger", "aminet")
    assert "thop is left out: it is not installed" in done.stdout and "12,623,547" in done.stdout
