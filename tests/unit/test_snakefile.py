"""The Snakefile: each run is one job, a GAN comes after its start, and what is done is not done again."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aminet.paper.reproduce import Reproduction

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("snakemake", reason="snakemake is not installed (it needs Python 3.11)")


@pytest.fixture
def snakemake(tmp_path):
    """Run Snakemake on smoke runs in an empty folder, with the metrics that need no pretrained network."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "AMINET_WEIGHTS": "",
                                "TORCH_HOME": str(tmp_path / "empty"), "https_proxy": "http://127.0.0.1:9"}

    def run(*arguments):
        done = subprocess.run([sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", *arguments], cwd=tmp_path,
                              text=True, capture_output=True, env=environment, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr
    return run


def test_two_jobs_at_a_time(snakemake, tmp_path):
    command = ["-j", "2", "--config", "scale=smoke", "out=runs", "records=records", "device=cpu", "only=path-[35]*"]
    assert snakemake(*command).count("rule run:") == 2
    work = Reproduction("smoke", tmp_path / "runs", tmp_path / "records", device="cpu")
    for name in ("path-3x3-smoke-0", "path-5x5-smoke-0"):
        assert work.status(work.specs[name]).state == "done"
        assert work.record(name, "synthetic:4:2").exists()
    assert "rule run:" not in snakemake(*command)  # nothing is left to do


@pytest.mark.parametrize("word, reason", [("budget=1", "unknown in --config: budget"), ("scale=huge", "unknown scale")])
def test_a_wrong_word_is_one_line(snakemake, word, reason):
    with pytest.raises(AssertionError, match=reason) as error:
        snakemake("-n", "--config", word)
    assert "Traceback" not in str(error.value)


def test_a_gan_comes_after_its_start(snakemake):
    plan = snakemake("-n", "--config", "scale=smoke", "only=amigan-*")
    assert plan.index("name=aminet-smoke-0") < plan.index("name=amigan-smoke-0")
    assert "input: runs/aminet-smoke-0/measured" in plan
