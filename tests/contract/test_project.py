"""The project's files agree with each other."""
import hashlib
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.stats import t as student

from aminet import __version__
from aminet.paper.comparison import average, difference, read
from aminet.paper.records import read_record
from aminet.paper.runs import runs
from aminet.paper.tables import table
from aminet.training.weights import load_weights

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


NETWORKS = {"AMINet": "pocket", "AMINet-S": "pocket-s", "AMIGAN": "pocket-gan"}
COLUMNS = {"psnr": 2, "ssim": 4, "vif": 4, "lpips": 4, "fid": 1, "identity": 3}


def results_table(name: str) -> list[str]:
    """The README's rows for a test set, from the records."""
    rows = []
    for network, weights in NETWORKS.items():
        record = read_record(ROOT / "data" / "records" / f"{weights}-{name}-paper.json")
        assert record["protocol"]["name"] == "paper" and record["faces"]["sources"] == [f"{name}.zip"]
        gain = "{mean:+.2f} [{low:+.2f}, {high:+.2f}]".format(**record["gain"]["psnr"])
        for prefix, who, won in (("bicubic_", "bicubic", ""), ("", f"{network} `{weights}`", gain))[bool(rows):]:
            means = [f"{record['means'][prefix + metric]['mean']:.{n}f}" for metric, n in COLUMNS.items()]
            rows.append(f"| {' | '.join(['' if rows else name, who, *means, won])} |")
    return rows


@pytest.mark.parametrize("name", ["celeba_test", "flickr_test", "london"])
def test_the_readmes_table_is_the_records(name):
    text = (ROOT / "README.md").read_text()
    for row in results_table(name):
        assert row in text, row


def test_the_readmes_speed_is_the_records():
    record, text = read_record(ROOT / "data" / "records" / "bench-aminet-cpu.json"), (ROOT / "README.md").read_text()
    for row in record["rows"]:
        if row["task"] == "modules":
            continue
        error = f"{row['max_error']:.0e}" if row.get("max_error") else ""
        line = (f"| {row['task']}, batch {row['batch']} | {row['name']} | {1e3 * row['seconds']:.0f} "
                f"| {row['ratio']:.2f} | {100 * row['of_peak']:.0f} % | {row['memory'] / 1e6:.0f} | {error} |")
        assert line in text, line
    for bar in record["bars"]:
        assert f"{bar['value']:.{0 if bar['value'] > 100 else 2}f}" in text, bar
    for kind in ("fp32", "bf16"):
        assert f"{record['limits'][kind] / 1e9:.0f}" in text


def test_the_readmes_export_is_the_record():
    record, text = read_record(ROOT / "data" / "records" / "export-pocket-cpu.json"), (ROOT / "README.md").read_text()
    names = {"torch": "`pocket`, torch eager", "torch faster": "`aminet.deploy.fast.faster`", "onnx": "ONNX Runtime",
             "onnx int8": "ONNX Runtime, int8 convolutions"}
    for row in record["rows"]:
        error = f"{row['max_error']:.0e}" if row["max_error"] else ""
        line = (f"| {names[row['network']]} | {row['bytes'] / 1e6:.1f} | {1e3 * row['seconds']:.0f} "
                f"| {row['ratio']:.2f} | {error} | {round(row['psnr_cost'], 3) + 0.0:.3f} dB |")
        assert line in text, line


def test_the_readmes_ablations_and_comparisons_are_the_records():
    text = (ROOT / "README.md").read_text()

    def means(cell):
        found = (read_record(ROOT / "data" / "records" / name) for name in cell.records)
        return np.array([record["means"][cell.metric]["mean"] for record in found])

    def by_student(gaps):
        return student.ppf(0.975, 2) * np.std(gaps, ddof=1) / 3**0.5

    names = {"SPARNet + EDFF": "(SPARNet + EDFF)"}
    for number in range(1, 7):
        cells = {cell.row: cell for cell in table(number).cells if cell.metric == "psnr" and cell.ours is not None}
        for cell in cells.values():
            assert (cell.scale, cell.seeds) == ("mini", (0, 1, 2))
            if cell.reference:
                half = by_student(means(cell) - means(cells[cell.reference]))
                line = (f"| {cell.row} - {names.get(cell.reference, cell.reference)} | "
                        f"{cell.published_difference:.2f} | {cell.difference:+.2f} "
                        f"[{cell.difference_low:+.2f}, {cell.difference_high:+.2f}] | +-{half:.2f} |")
                assert line in text, line
    au, whole = ({cell.row: cell for cell in table(4).cells if cell.metric == "ssim"}[row]
                 for row in ("RDFE w/o AU", "RDFE"))
    half = by_student(means(au) - means(whole))
    assert f"({au.difference:+.4f} +- {half:.4f}, published {au.published_difference:.4f})" in text
    looks = {look.file.split("-celeba_test")[0]: look for look in read(ROOT / "data" / "records")[0]}
    for spec in runs("mini"):  # the readings that the paper leaves open
        pairs = [[looks.get(f"{name}-mini-{seed}") for seed in range(3)] for name in (spec.network, "aminet")]
        if not spec.rows and spec.seed == 0 and all(pairs[0]):
            one, own = ([look.samples["psnr"] for look in side] for side in pairs)
            gap = difference(average(one), average(own), people=pairs[1][0].people)
            half = by_student([a.mean - b.mean for a, b in zip(one, own)])
            line = (f"| {spec.preset.split('/', 1)[1]} | {gap.mean:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}] "
                    f"| +-{half:.2f} |")
            assert line in text, line
        if spec.name == "without-norm-mini-0":
            gaps = [a.samples["ssim"].mean - b.samples["ssim"].mean for a, b in zip(*pairs)]
            words = f"in SSIM beyond Student's interval ({np.mean(gaps):+.4f} +- {by_student(gaps):.4f})"
            assert words in " ".join(text.split())
    seven, vifs = ({cell.row: cell for cell in table(7).cells if cell.column == f"celeba_{metric}"}
                   for metric in ("psnr", "vif"))
    first, *others = sorted((row for row in seven if row != "Bicubic"), key=lambda row: -seven[row].ours)[:4]
    ours, near = seven["AMINet"], seven["Restormer-M"]
    assert {first, others[0]} == {"AMINet", "Restormer-M"} and others[1:] == ["AD-GNN", "SFMNet"]
    gap = f"{near.difference:+.2f} [{near.difference_low:+.2f}, {near.difference_high:+.2f}] dB"
    for words in (f"AMINet has {ours.ours:.2f} dB", gap, *(f"{row} ({seven[row].ours:.2f})" for row in others[1:])):
        assert words in text, words
    assert f"({vifs['Restormer-M'].ours:.4f}, AMINet {vifs['AMINet'].ours:.4f})" in text
    assert max(vifs, key=lambda row: vifs[row].ours) == "Restormer-M"
    fids = [cell for cell in table(8).cells if cell.metric == "fid"]
    for value, digits in ("ours", 1), ("published", 2):
        order = sorted(fids, key=lambda cell: float(getattr(cell, value)))
        words = ", ".join(f"{cell.row.split()[0]} {float(getattr(cell, value)):.{digits}f}" for cell in order)
        assert words in " ".join(text.split()), words
    starts = {spec.name: spec.start for spec in runs("mini")}
    names = [starts[cell.records[0].split("-flickr")[0]] for cell in sorted(fids, key=lambda cell: cell.ours)]
    before = [read_record(ROOT / "data" / "records" / f"{name}-flickr_test-paper.json") for name in names]
    *some, last = (f"{record['means']['fid']['mean']:.1f}" for record in before)
    assert f"{', '.join(some)} and {last} before the games" in " ".join(text.split())


@pytest.mark.parametrize("path", sorted((ROOT / "data" / "weights").glob("*.safetensors")), ids=lambda path: path.stem)
def test_weights_have_their_record_beside_them(path):
    _, header = load_weights(path)
    assert header == json.loads(path.with_suffix(".json").read_text())
    assert {"preset", "config", "recipe", "data", "images", "val_psnr", "versions"} <= set(header)
    assert {"sources", "images", "fingerprint"} <= set(header["data"]["train"]) & set(header["data"]["val"])


@pytest.mark.parametrize("path", sorted((ROOT / "data" / "records").glob("*.json")), ids=lambda path: path.stem)
def test_records_are_whole_and_their_weights_are_known(path):
    record = read_record(path)  # the seal fits
    if record["kind"] != "evaluation":
        return
    if record["weights"]["name"] == "best.safetensors":  # too many to keep: a run of the list, which makes them again
        spec = next(spec for spec in runs() if spec.fits({"config": record["config"], **record["weights"]}))
        assert path.name.startswith(f"{spec.name}-") and record["weights"]["images"] <= spec.recipe.images
    else:
        weights = ROOT / "data" / "weights" / record["weights"]["name"]
        assert hashlib.sha256(weights.read_bytes()).hexdigest() == record["weights"]["sha256"]
    assert record["weights"]["chosen"] <= record["created"]  # validation chose before the test set was seen (seconds)
    assert all(look["when"] >= record["created"] for look in record.get("measured", []))
    learnt = record["weights"]["data"]
    assert record["faces"]["fingerprint"] not in (learnt["train"]["fingerprint"], learnt["val"]["fingerprint"])
    for name, values in record["values"].items():
        assert len(values) == record["faces"]["images"]
        known = [value for value in values if value is not None]
        assert len(values) - len(known) == record.get("undefined", {}).get(name, 0)
        assert sum(known) / len(known) == pytest.approx(record["means"][name]["mean"], abs=1e-4)
