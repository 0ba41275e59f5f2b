"""The project's files agree with each other."""
import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from aminet import __version__
from aminet.evaluate import read_record
from aminet.weights import load_weights

ROOT = Path(__file__).resolve().parents[2]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


def test_environment_yml_agrees_with_pyproject():
    listed = re.findall(r'^    "([^"]+)",$', (ROOT / "pyproject.toml").read_text(), re.M)
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert environment[-1]["pip"] == listed


def test_versions_agree():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_workflow_and_readme_call_the_same_commands():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert commands == ["make test", "make course"]
    assert all(command in (ROOT / "README.md").read_text() for command in commands)
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_no_path_of_a_machine_is_committed():
    private = re.compile(rb"(?<![\w.:/])/(?:home|root|work|mnt|tmp|Users)/")
    for path in tracked():
        if path.suffix in (".py", ".md", ".yml", ".toml", ".json", ".jsonl", ".cff", ".csv", ""):
            assert not private.search(path.read_bytes()), path


def test_the_weights_fit_into_60_mb_and_are_safetensors():
    weights = [path for path in tracked() if path.suffix in (".safetensors", ".pt", ".pth", ".ckpt", ".onnx", ".bin")]
    assert all(path.suffix == ".safetensors" for path in weights)
    assert sum(path.stat().st_size for path in weights) <= 60e6


def test_the_readme_is_finished():
    text = (ROOT / "README.md").read_text()
    assert "RESULTS" not in text and "TODO" not in text
    for target in re.findall(r"\]\((?!http)([^)]+)\)", re.sub(r"```.*?```", "", text, flags=re.S)):
        assert (ROOT / target).exists(), target


def test_the_first_real_run_is_here():
    assert (ROOT / "data" / "weights" / "pocket.safetensors").exists()
    for faces in ("celeba_test", "flickr_test", "london"):
        record = read_record(ROOT / "data" / "records" / f"pocket-{faces}-paper.json")
        assert record["protocol"]["name"] == "paper" and record["faces"]["sources"] == [f"{faces}.zip"]
        means = record["means"]
        row = re.search(rf"^\| {faces} .*$", (ROOT / "README.md").read_text(), re.M)[0]
        for name, digits in (("bicubic_psnr", 2), ("psnr", 2), ("ssim", 4), ("vif", 4)):
            assert f"{means[name]['mean']:.{digits}f}" in row, "the README's table is not the record's"


@pytest.mark.parametrize("path", sorted((ROOT / "data" / "weights").glob("*.safetensors")), ids=lambda path: path.stem)
def test_weights_have_their_record_beside_them(path):
    _, header = load_weights(path)
    assert header == json.loads(path.with_suffix(".json").read_text())
    assert {"preset", "config", "recipe", "data", "images", "val_psnr", "versions"} <= set(header)
    assert {"sources", "images", "fingerprint"} <= set(header["data"]["train"]) & set(header["data"]["val"])


@pytest.mark.parametrize("path", sorted((ROOT / "data" / "records").glob("*.json")), ids=lambda path: path.stem)
def test_records_are_whole_and_their_weights_are_here(path):
    record = read_record(path)  # the seal fits
    weights = ROOT / "data" / "weights" / record["weights"]["name"]
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == record["weights"]["sha256"]
    assert record["weights"]["chosen"] < record["created"]  # validation chose before the test set was seen
    learnt = record["weights"]["data"]
    assert record["faces"]["fingerprint"] not in (learnt["train"]["fingerprint"], learnt["val"]["fingerprint"])
    for name, values in record["values"].items():
        assert len(values) == record["faces"]["images"]
        assert sum(values) / len(values) == pytest.approx(record["means"][name]["mean"], abs=1e-4)
