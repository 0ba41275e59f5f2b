"""The project's files agree with each other."""
import hashlib
import json
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
import readme
import yaml

from aminet import __version__
from aminet.faces.pictures import MAX_BYTES, MAX_PIXELS, MIN_SIDE
from aminet.metrics.pretrained import NETWORKS
from aminet.metrics.recognition import CASES
from aminet.paper.records import read_record
from aminet.paper.runs import find_run
from aminet.training.weights import load_weights, read_header

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "RESULTS.md", "CONTRIBUTING.md", "SECURITY.md", "docs/faults.md",
         "aminet/baselines/README.md", "data/published/README.md")


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


def test_workflows_may_do_little_and_the_audit_stops_no_push():
    workflows = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").glob("*.yml")}
    asked = {name: workflow["permissions"] for name, workflow in workflows.items()}
    to_publish = {"contents": "read", "pages": "write", "id-token": "write"}
    assert asked == {"audit": {"contents": "read"}, "test": {"contents": "read"}, "site": to_publish}
    audit = workflows["audit"]
    assert audit[True].keys() == {"schedule", "workflow_dispatch"}  # YAML reads the key `on` as a truth
    assert [step["run"] for step in audit["jobs"]["audit"]["steps"] if "run" in step] == ["make audit"]
    assert "pip-audit" in (ROOT / "Makefile").read_text()


def test_no_path_of_a_machine_is_committed():
    private = re.compile(rb"(?<![\w.:/])/(?:home|root|work|mnt|tmp|Users)/")
    for path in tracked():
        if path.suffix in (".py", ".md", ".yml", ".toml", ".json", ".jsonl", ".cff", ".csv", ""):
            assert not private.search(path.read_bytes()), path


def test_the_weights_fit_into_60_mb_and_are_safetensors():
    weights = [path for path in tracked() if path.suffix in (".safetensors", ".pt", ".pth", ".ckpt", ".onnx", ".bin")]
    assert all(path.suffix == ".safetensors" for path in weights)
    assert sum(path.stat().st_size for path in weights) <= 60e6


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_are_finished_and_their_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    assert "TODO" not in text
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    for target in re.findall(r'(?:\]\(|src=")(?!http)([^)"]+)', re.sub(r"```.*?```", "", text, flags=re.S)):
        path, _, anchor = target.partition("#")
        assert (ROOT / page).parent.joinpath(path).exists(), target
        assert path or anchor in anchors, target


def test_the_security_page_has_every_limit_and_every_download():
    page = (ROOT / "SECURITY.md").read_text()
    assert f"| {MAX_BYTES >> 20} MiB |" in page
    assert f"| {MAX_PIXELS // 10**6} million pixels; at least {MIN_SIDE} on each side |" in page
    table = "".join(re.findall("^[|] `.*$", page, re.M))
    assert {*re.findall("`([a-z0-9]+)`", table)} == NETWORKS.keys()
    for file in (file for files in NETWORKS.values() for file in files):
        assert re.fullmatch("[0-9a-f]{64}", file.sha256), file.name


TEST = re.compile(r"`((?:unit|fuzz|contract)/test_\w+\.py)::(test_\w+)`")


def test_every_test_that_the_faults_name_is_there():
    """In each row of the table of faults a test, or several."""
    rows = re.findall(r"^\| (?!fault |-)(.+) \|$", (ROOT / "docs" / "faults.md").read_text(), re.M)
    assert len(rows) > 30
    for row in rows:
        named = TEST.findall(row.split(" | ")[2])
        assert named and "`".join(f"{file}::{test}" for file, test in named) == "`".join(
            text for text in row.split(" | ")[2].split("`")[1::2]), row
        for file, test in named:
            assert f"\ndef {test}(" in (ROOT / "tests" / file).read_text(), f"{file} has no {test}"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", readme.PAGES)
def test_the_generated_numbers_are_the_committed(page):
    text = (ROOT / page).read_text()
    assert readme.filled(text) == text, "run `make readme`"


def test_every_generated_block_is_on_a_page():
    begun = [name for page in readme.PAGES for name in re.findall(r"<!-- begin (.+) -->", (ROOT / page).read_text())]
    ended = [name for page in readme.PAGES for name in re.findall(r"<!-- end (.+) -->", (ROOT / page).read_text())]
    assert begun == ended and sorted(begun) == sorted(readme.BLOCKS)


def test_the_pages_tables_have_as_many_cells_in_every_row():
    for page in readme.PAGES:
        for block in re.findall(r"(?:^\|.*\n)+", (ROOT / page).read_text(), re.M):
            assert len({line.count("|") for line in block.splitlines()}) == 1, block


@pytest.mark.parametrize("path", sorted((ROOT / "data" / "weights").glob("*.safetensors")), ids=lambda path: path.stem)
def test_weights_have_their_record_beside_them(path):
    _, header = load_weights(path)
    assert header == json.loads(path.with_suffix(".json").read_text())
    assert {"preset", "config", "recipe", "data", "images", "val_psnr", "versions"} <= set(header)
    assert {"sources", "images", "fingerprint"} <= set(header["data"]["train"]) & set(header["data"]["val"])


@cache
def committed_copies() -> dict[str, str]:
    """The SHA-256 of the committed weights, by when validation chose them."""
    files = (ROOT / "data" / "weights").glob("*.safetensors")
    return {read_header(file)["chosen"]: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.parametrize("path", sorted((ROOT / "data" / "records").glob("*.json")), ids=lambda path: path.stem)
def test_records_are_whole_and_their_weights_are_known(path):
    record = read_record(path)  # the seal fits
    if record["kind"] != "evaluation":
        return
    if record["weights"]["name"] == "best.safetensors":  # too many to keep: a run of the list, which makes them again
        spec = find_run(record["weights"] | {"config": record["config"]})
        assert spec and path.name.startswith(f"{spec.name}-") and record["weights"]["images"] <= spec.recipe.images
    else:
        weights = ROOT / "data" / "weights" / record["weights"]["name"]
        assert hashlib.sha256(weights.read_bytes()).hexdigest() == record["weights"]["sha256"]
    assert record["weights"].get("committed") == committed_copies().get(record["weights"]["chosen"])
    assert record["weights"]["chosen"] <= record["created"]  # validation chose before the test set was seen (seconds)
    assert all(look["when"] >= record["created"] for look in record.get("measured", []))
    learnt = record["weights"]["data"]
    assert record["faces"]["fingerprint"] not in (learnt["train"]["fingerprint"], learnt["val"]["fingerprint"])
    for name, values in record["values"].items():
        assert len(values) == record["faces"]["images"]
        known = [value for value in values if value is not None]
        if "_case" not in name:  # a case is some of the faces; together they are all
            assert len(values) - len(known) == record.get("undefined", {}).get(name, 0)
        assert sum(known) / len(known) == pytest.approx(record["means"][name]["mean"], abs=1e-4)
    for name in [name for name in record["values"] if name.endswith("cosine")]:
        cases = zip(*(record["values"][f"{name}_case{case}"] for case in CASES))
        assert [sum(value is not None for value in one) for one in cases] == [
            value is not None for value in record["values"][name]]
