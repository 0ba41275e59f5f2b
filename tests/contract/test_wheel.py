"""The package works wherever it is installed: a wheel, in a folder of its own, far from the clone."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from aminet import __version__
from aminet.degrade import degrade
from aminet.faces.portraits import portraits

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Runs aminet's command line from an installed wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    source = folder / "source"  # a copy, since building leaves folders behind
    for name in ("aminet", "data/published"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "data" / "weights").mkdir()
    for path in (*(ROOT / "data" / "weights").glob("pocket*"), ROOT / "README.md", ROOT / "LICENSE"):
        shutil.copy(path, source / path.relative_to(ROOT))
    shutil.copy(ROOT / "pyproject.toml", source)
    subprocess.run([*pip, "wheel", ".", "--no-deps", "--no-build-isolation", "-w", str(folder)], cwd=source, check=True)
    wheel, = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True)

    def run(*words: str, status: int = 0) -> str:
        done = subprocess.run([sys.executable, "-m", "aminet", *words], cwd=folder, capture_output=True, text=True,
                              env=os.environ | {"PYTHONPATH": str(folder / "site"), "OMP_NUM_THREADS": "1"})
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 else done.stderr
    run.folder = folder
    return run


def test_it_is_this_version_and_not_the_clone(installed):
    assert installed("--version").strip() == __version__
    code, site = "import aminet; print(aminet.__file__)", installed.folder / "site"
    found = subprocess.run([sys.executable, "-c", code], cwd=installed.folder, capture_output=True, text=True,
                           env=os.environ | {"PYTHONPATH": str(site)})
    assert Path(found.stdout.strip()) == site / "aminet" / "__init__.py"


def test_the_tables_print_what_the_paper_says(installed):
    text = installed("table", "7")
    assert "28.26" in text and "need a clone" in " ".join(text.split())


def test_the_ledger_counts(installed):
    assert "12,623,547" in installed("ledger", "aminet")


def test_a_face_is_restored(installed):
    lr = degrade(portraits()["hopper"][None])[0]
    Image.fromarray(lr.permute(1, 2, 0).numpy()).save(installed.folder / "lr.png")
    installed("upscale", "lr.png", "face.png")
    assert Image.open(installed.folder / "face.png").size == (128, 128)


def test_a_network_is_measured(installed):
    text = installed("evaluate", "pocket", "--faces", "synthetic:4", "--records", "records")
    assert "psnr" in text and list((installed.folder / "records").glob("pocket-*.json"))


def test_what_needs_a_clone_says_so_in_one_line(installed):
    error = installed("evaluate", "aminet-mini-0", "--faces", "synthetic:4", "--records", "records", status=2)
    assert error.count("\n") == 1 and "a clone" in error
