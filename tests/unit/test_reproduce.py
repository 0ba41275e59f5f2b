"""The list of runs names every row of the paper once; runs are continued, never repeated, and stop in time."""
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aminet import PRESETS, BadInput, preset
from aminet.files import sha256
from aminet.metrics.measure import METRICS
from aminet.paper import reproduce
from aminet.paper import runs as run_list
from aminet.paper.evaluate import format_evaluation
from aminet.paper.records import read_record, read_records, seal, write_record
from aminet.paper.reproduce import Reproduction, format_overview, metrics_of, overview, records_of
from aminet.paper.runs import choose, find_run, runs
from aminet.train import Recipe
from aminet.training.folder import lock_of, locked
from aminet.training.weights import PRETRAINED, read_header, read_tensors, save_tensors

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "data" / "records"
WEIGHTS = os.environ.get("AMINET_WEIGHTS", "")


@pytest.fixture(scope="module", autouse=True)
def no_pretrained_networks(tmp_path_factory):
    """Four metrics need no network: with them a smoke run takes seconds. Nothing is downloaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMINET_WEIGHTS", "")
        patch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("empty")))
        patch.setenv("https_proxy", "http://127.0.0.1:9")
        yield


def smoke(out, name=None, **options):
    work = Reproduction("smoke", out, device="cpu", **options)
    return (work, work.specs[name]) if name else work


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    out = tmp_path_factory.mktemp("original") / "runs"
    work, spec = smoke(out, "aminet-smoke-0")
    assert work.go([spec]) == []
    return out


@pytest.fixture
def finished(original, tmp_path):
    """A folder with one smoke run, trained and measured."""
    return Path(shutil.copytree(original, tmp_path / "runs"))


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# The list


def test_names_and_order():
    every = runs()
    assert len({spec.name for spec in every}) == len(every)
    assert all(re.fullmatch(r"[a-z0-9-]+-(smoke|mini|pocket|gpu|short|paper)-\d", spec.name) for spec in every)
    for scale in ("smoke", "mini", "pocket", "gpu", "short", "paper"):
        specs = runs(scale)
        assert [spec.network for spec in specs[:3]] == ["aminet", "amigan", "aminet-s"]
    assert [spec.seed for spec in runs("short")] == [0] * 50 + [1] * 50


def test_what_each_scale_trains():
    pocket = {spec.name: spec for spec in runs("pocket")}
    assert pocket["aminet-pocket-0"].recipe == Recipe(40000, 8, 1e-3, "cosine", 0.999, 2500, 0)
    assert pocket["aminet-s-pocket-0"].config == PRESETS["pocket-s"] == preset("pocket/w/o SKAF")
    assert pocket["ffn-pocket-0"].preset == "pocket/RDFE->FFN" and pocket["ffn-pocket-0"].config.local == "ffn"
    gan = pocket["amigan-pocket-0"]
    assert gan.start == "aminet-pocket-0" and gan.config == PRESETS["pocket"]
    assert (gan.recipe.lr, gan.recipe.d_lr) == (1e-4, 4e-4)
    assert pocket["aminet-robust-pocket-0"].recipe == replace(pocket["aminet-pocket-0"].recipe, robust=True)
    assert {spec.recipe.images for spec in runs("short")} == {200_000}
    paper = runs("paper")[0]
    assert paper.config == PRESETS["aminet"] and paper.recipe == Recipe(150 * 18_000, 32, 2e-4, ema=0.999,
                                                                        val_every=18_000)


def test_the_scale_gpu_compares_networks_of_equal_trainings():
    """AMINet and AMIGAN train long and stand in no table; those that do have seen as many pictures as the others."""
    specs = {spec.name: spec for spec in runs("gpu")}
    assert specs["aminet-gpu-0"].recipe.images >= 300_000 and not specs["aminet-gpu-0"].rows
    assert specs["amigan-gpu-0"].start == "aminet-gpu-0" and not specs["amigan-gpu-0"].rows
    assert specs["amigan-equal-gpu-1"].start == "aminet-equal-gpu-1"
    served = [spec for spec in specs.values() if spec.rows]
    assert {spec.recipe.images for spec in served} == {16_000} and {spec.recipe.batch for spec in served} == {64}
    assert sorted(row for spec in served if spec.seed == 0 for row in spec.rows) == sorted(
        row for spec in runs("paper") for row in spec.rows)
    assert not any("equal" in spec.name for scale in ("mini", "pocket", "short", "paper") for spec in runs(scale))
    assert all(spec.config == specs["aminet-gpu-0"].config for spec in specs.values() if spec.network == "aminet-equal")


def test_committed_weights_are_of_their_runs():
    """Their headers were written by earlier versions, which noted less."""
    for path in PRETRAINED.glob("*-mini-0.safetensors"):
        assert find_run(read_header(path)).name == path.stem
    assert find_run(read_header(PRETRAINED / "pocket.safetensors")).name == "aminet-pocket-0"
    assert find_run({"config": {}, "recipe": {"batch": 1}}) is None


def test_a_step_size_is_tried_first(tmp_path):
    """The best on validation trains on; the header notes all. A call without time leaves them to the next one."""
    work, spec = smoke(tmp_path / "runs", "elsface-from-bicubic-smoke-0")
    work.deadline = 0.0
    work.train_run(spec, work.status(spec))
    assert work.status(spec).state == "pending"
    assert smoke(tmp_path / "runs").go([spec]) == []
    header = read_header(tmp_path / "runs" / spec.name / "best.safetensors")
    trials = header["trials"]
    assert [(trial["lr"], trial["images"]) for trial in trials] == [(5e-4, 4), (1e-3, 4)]
    assert header["recipe"]["lr"] == max(trials, key=lambda trial: trial["val_psnr"])["lr"]
    assert find_run(header) == spec and spec.block == "from_bicubic"
    assert find_run({key: value for key, value in header.items() if key != "trials"}) is None
    (record,) = read_records(tmp_path / "runs" / "records")[0]
    assert record["weights"]["trials"] == trials and records_of(spec, [record])
    assert smoke(tmp_path / "runs").status(spec).state == "done"


def test_the_list_is_installed_with_the_package():
    assert '"aminet.paper" = ["runs.yaml", "defaults.json"]' in (ROOT / "pyproject.toml").read_text()


def test_choose():
    assert [spec.name for spec in choose(runs("short"), "aminet-short-*")] == ["aminet-short-0", "aminet-short-1"]
    with pytest.raises(BadInput, match="no run of scale smoke is called 'unet-.': there are aminet-smoke-0, .* --list"):
        choose(runs("smoke"), "unet-*")
    with pytest.raises(BadInput, match="is called 'skaf-none-mini-0': give --scale mini"):
        choose(runs("smoke"), "skaf-none-mini-0")
    with pytest.raises(BadInput, match="names end in -SCALE-SEED, so try 'aminet-\\*'"):
        choose(runs("smoke"), "aminet")
    with pytest.raises(BadInput, match="unknown scale 'huge': choose one of smoke, mini, pocket, gpu, short, paper"):
        runs("huge")


# Records


def test_committed_results_count(tmp_path, monkeypatch):
    monkeypatch.delenv("AMINET_FACES", raising=False)
    work = Reproduction("pocket", tmp_path / "runs", RECORDS, device="cpu")
    spec = work.specs["aminet-pocket-0"]
    assert {record["faces"]["sources"][0] for record in records_of(spec, read_records(RECORDS)[0])} == {
        "celeba_test.zip", "flickr_test.zip", "london.zip", "video_probe.zip"}
    assert work.status(spec).state == "done"
    assert work.go([spec]) == []  # although no faces are here
    assert not (tmp_path / "runs").exists()
    # Their weights are a GAN's start, and need no new training for another test set.
    assert work.status(work.specs["amigan-pocket-0"]).state != "waiting"
    other = Reproduction("pocket", tmp_path / "runs", RECORDS, test=["celeba_test.zip", "synthetic:4"], device="cpu")
    status = other.status(spec)
    assert status.state == "trained" and status.missing == ("synthetic:4",)
    # Other faces to train on are another result.
    assert Reproduction("pocket", tmp_path, RECORDS, faces=["synthetic"], device="cpu").status(spec).state == "pending"


def test_an_ablation_needs_no_other_faces_than_celebas(tmp_path):
    work = Reproduction("mini", tmp_path, RECORDS, device="cpu")
    assert work.test == ["celeba_test.zip", "flickr_test.zip"]
    for name, state in (("without-au-mini-2", "done"), ("scale-sqrt-mini-1", "done"), ("sparnet-edff-mini-1", "done"),
                        ("aminet-mini-1", "done"), ("sparnet-mini-1", "pending")):  # Table VII has its first training
        assert work.status(work.specs[name]).state == state, name
    note = "measured on celeba_test.zip, the weights are gone"
    assert work.status(work.specs["sparnet-mini-1"]).note == note
    gan = work.status(work.specs["amigan-mini-1"])
    assert gan.state == "waiting" and gan.note.startswith("for aminet-mini-1, whose weights are gone: --records")
    given = Reproduction("mini", tmp_path, RECORDS, test=work.test, device="cpu")
    status = given.status(given.specs["without-au-mini-2"])
    assert (status.state, status.note, status.missing) == ("pending", note, ("flickr_test.zip",))


def test_a_record_of_another_recipe_is_not_the_runs():
    records, spec = read_records(RECORDS)[0], runs("pocket")[0]
    assert records_of(spec, records)
    for change in ({"seed": 1}, {"images": 8000}):
        assert not records_of(replace(spec, settings=spec.settings | change), records)
    assert not records_of(replace(spec, preset="aminet"), records)


def test_an_edited_record_does_not_count_and_is_named(finished):
    work, spec = smoke(finished, "aminet-smoke-0")
    path = work.record(spec.name, work.test[0])
    record = json.loads(path.read_text())
    record["means"]["psnr"]["mean"] += 1
    path.write_text(json.dumps(record))
    edited = path.read_bytes()
    assert work.status(spec).state == "trained"
    report = overview(work, [spec])
    assert path.name in report["problems"][0] and "edited" in report["problems"][0]
    failed = work.go([spec])
    assert len(failed) == 1 and path.name in failed[0] and path.read_bytes() == edited


# One run


def test_a_run_leaves_weights_and_a_record(original):
    work, spec = smoke(original, "aminet-smoke-0")
    assert work.status(spec).state == "done"
    record, = records_of(spec, read_records(original / "records")[0])
    assert record["command"].startswith("python -m aminet evaluate ") and "best.safetensors" in record["command"]
    assert set(record["means"]) == {f"{of}{metric}" for of in ("", "bicubic_")
                                    for metric in ("psnr", "ssim", "vif")}
    assert find_run(read_header(original / spec.name / "best.safetensors")) == spec


def test_a_metric_that_was_not_at_hand_is_added_later(finished, monkeypatch):
    work, spec = smoke(finished, "aminet-smoke-0")
    source, path = work.test[0], work.record("aminet-smoke-0", work.test[0])
    before = json.loads(path.read_text())
    assert work.status(spec).note == ""  # smoke asks for what needs no pretrained network
    monkeypatch.setattr(reproduce, "metrics_of", lambda spec: METRICS)
    assert work.lacking(spec) == {source: ("vifp", "lpips", "identity", "iou", "nme", "pose", "fid")}
    status = work.status(spec)
    assert (status.note, status.state) == ("without vifp, lpips, identity, iou, nme, pose, fid", "done")
    monkeypatch.setattr(reproduce, "available_metrics", lambda wanted: (("psnr", "ssim", "vif"), ["no networks"]))
    assert work.go([spec]) == [] and json.loads(path.read_text()) == before  # nothing new at hand
    content = {key: value for key, value in before.items() if key != "sha256"}
    for part in ("means", "values", "gain"):  # as if vif had not been at hand
        content[part] = {name: value for name, value in content[part].items() if name not in ("vif", "bicubic_vif")}
    write_record(seal(content), path)
    again = smoke(finished, "aminet-smoke-0")[0]
    assert again.go([spec]) == [] and "vif" in (after := json.loads(path.read_text()))["means"]
    assert after["created"] == before["created"] and after["means"]["psnr"] == before["means"]["psnr"]
    assert [look["metrics"] for look in after["measured"]][-1] == ["vif"]


def test_a_metric_is_not_added_when_the_weights_are_gone(finished, monkeypatch):
    monkeypatch.setattr(reproduce, "available_metrics", lambda wanted: (tuple(wanted), []))
    monkeypatch.setattr(reproduce, "metrics_of", lambda spec: METRICS)
    shutil.rmtree(finished / "aminet-smoke-0")
    work, spec = smoke(finished, "aminet-smoke-0")
    assert work.lacking(spec) and work.go([spec]) == [] and work.status(spec).state == "done"


def test_fid_is_asked_of_every_gan_but_at_smoke(tmp_path):
    """Table VIII has it, and a scale that leaves FID out for time has GANs, too."""
    work = Reproduction("mini", out=tmp_path)
    assert metrics_of(work.specs["amigan-mini-0"]) == ("psnr", "ssim", "vif", "lpips", "fid")
    assert metrics_of(work.specs["aminet-mini-0"]) == ("psnr", "ssim", "vif", "lpips")
    smallest = Reproduction("smoke", out=tmp_path)
    assert metrics_of(smallest.specs["amigan-smoke-0"]) == ("psnr", "ssim", "vif")


def test_a_second_call_does_nothing(finished, aminet):
    before = contents(finished)
    done = aminet("reproduce", "--scale", "smoke", "--only", "aminet-smoke-0", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "1 runs: 1 done; records in " in done.stdout and "images seen\n" not in done.stderr
    assert contents(finished) == before


def test_a_stopped_run_is_continued(tmp_path):
    work, spec = smoke(tmp_path, "without-sa-smoke-0")
    trainer = work.trainer(spec)
    check = trainer.game.check
    trainer.game.check = lambda means, n: "enough" if trainer.seen == 4 and trainer.folder.best.exists() else None
    with pytest.raises(BadInput, match="enough"):
        trainer.train(bar=False, save_every=0.0)
    trainer.game.check = check
    trainer.save()
    status = work.status(spec)
    assert (status.state, status.seen) == ("partial", 4)
    assert work.go([spec]) == []
    log = [json.loads(line) for line in open(tmp_path / spec.name / "log.jsonl")]
    assert [line["images"] for line in log if "loss" in line] == [4, 8]  # no batch was trained again
    assert work.status(spec).state == "done" and work.record(spec.name, "synthetic:4:2").exists()


def test_files_of_another_run_are_left_alone(finished):
    for name in ("aminet-s", "ffn", "transformer"):
        shutil.copytree(finished / "aminet-smoke-0", finished / f"{name}-smoke-0")
    (finished / "ffn-smoke-0" / "state.safetensors").unlink()
    (finished / "transformer-smoke-0" / "state.safetensors").write_bytes(b"half a file")
    work = smoke(finished)
    before = contents(finished)
    words = {"aminet-s-smoke-0": "configuration or recipe differs", "ffn-smoke-0": "no state.safetensors beside it",
             "transformer-smoke-0": "not a whole safetensors file"}
    failed = work.go([work.specs[name] for name in words])
    assert [words[line.split(": ")[0]] in line for line in failed] == [True] * 3
    assert all(work.status(work.specs[name]).state == "unusable" for name in words)
    assert contents(finished) == before


def test_lost_weights_are_written_again_from_the_state(finished):
    work, spec = smoke(finished, "aminet-smoke-0")
    best = finished / spec.name / "best.safetensors"
    weights = read_tensors(best)[0]
    best.unlink()
    assert work.status(spec).state == "done"  # its record is there
    work.record(spec.name, work.test[0]).unlink()
    assert work.go([spec]) == [] and work.status(spec).state == "done"
    again = read_tensors(best)[0]
    assert weights.keys() == again.keys() and all(torch.equal(v, again[k]) for k, v in weights.items())


def test_sets_must_not_share_a_face(tmp_path):
    work, spec = smoke(tmp_path, "aminet-smoke-0", test=["synthetic:4:0"])
    with pytest.raises(BadInput, match="4 test images are also in --faces"):
        work.go([spec])
    assert not list(tmp_path.iterdir())


def test_missing_faces_are_said_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setenv("AMINET_FACES", str(tmp_path))
    work = Reproduction("paper", tmp_path / "runs", tmp_path, device="cpu")
    with pytest.raises(BadInput, match="no celeba_train_0.zip here or in .AMINET_FACES.* --faces celeba:ROOT:train"):
        work.go([work.specs["aminet-paper-0"]])
    assert not (tmp_path / "runs").exists()


def test_a_device_that_is_not_here(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadInput, match="device 'cuda' is not here"):
        Reproduction("smoke", tmp_path / "runs", device="cuda")


def test_the_command_lines_refusals(tmp_path, refuses):
    refuses("no run of scale pocket is called 'unet*'", "reproduce", "--list", "--only", "unet*", "--device", "cpu")
    refuses("a budget of 0 minutes leaves no time: give more than 0", "reproduce", "--scale", "smoke", "--budget", "0")
    with pytest.raises(BadInput, match="a budget of -1 minutes leaves no time"):
        smoke(tmp_path).go([], budget=-1)
    assert not list(tmp_path.iterdir())


# GANs


def test_a_gan_waits_for_its_start(finished, tmp_path):
    work, gan = smoke(tmp_path / "empty", "amigan-smoke-0")
    status = work.status(gan)
    assert (status.state, status.note) == ("waiting", "for aminet-smoke-0")
    assert work.go([gan]) == [] and not (tmp_path / "empty" / gan.name / "state.safetensors").exists()
    assert smoke(finished).status(gan).state == "pending"


def test_a_run_that_fails_does_not_stop_the_others(finished):
    work = smoke(finished)
    failed = work.go([work.specs["amigan-smoke-0"], work.specs["ffn-smoke-0"]])  # no VGG19 here
    assert len(failed) == 1 and "amigan-smoke-0" in failed[0] and "AMINET_WEIGHTS" in failed[0]
    assert work.status(work.specs["ffn-smoke-0"]).state == "done"


def test_a_gan_is_trained_from_its_start(finished, monkeypatch, pretrained):
    monkeypatch.setenv("AMINET_WEIGHTS", WEIGHTS)
    pretrained("vgg19", "alexnet")
    work, gan = smoke(finished, "amigan-smoke-0")
    work.train_run(gan, work.status(gan))
    assert work.status(gan).state == "trained"
    start = read_header(finished / gan.name / "state.safetensors")["start"]
    assert start["sha256"] == sha256(finished / "aminet-smoke-0" / "best.safetensors")


def test_a_record_of_half_trained_weights_does_not_end_a_run(finished):
    work, spec = smoke(finished, "aminet-smoke-0")
    path = work.record(spec.name, work.test[0])
    record = read_record(path)
    record["weights"]["sha256"] = "of the weights before the last image"
    write_record(seal(record), path)
    status = work.status(spec)
    assert status.state == "trained" and status.missing == tuple(work.test)


def test_test_sets_have_different_names(tmp_path):
    with pytest.raises(BadInput, match="share a record"):
        Reproduction("smoke", tmp_path, test=["a/faces.zip", "b/faces.zip"])


# Time


def test_a_budget_is_kept_and_the_next_one_continues(tmp_path, monkeypatch, capsys):
    listed = run_list.listed()
    what = {**listed["scales"]["smoke"], "recipe": {"images": 10**6, "batch": 2, "val_every": 10**6}}
    monkeypatch.setattr(run_list, "listed", lambda: listed | {"scales": listed["scales"] | {"long": what}})
    work = Reproduction("long", tmp_path, tmp_path / "records", device="cpu")
    spec = work.specs["without-sa-long-0"]
    work.faces  # noqa: B018  load them now: how long that takes is not the question
    monkeypatch.setattr(time, "monotonic", time.process_time)  # other processes on this machine do not count
    seen, budget = [0], 0.15
    for _ in range(2):
        begin = time.monotonic()
        assert work.go([spec], budget) == []
        assert time.monotonic() - begin < 60 * budget * 1.25
        progress = read_tensors(tmp_path / spec.name / "state.safetensors")[1]["progress"]
        seen.append(progress["seen"])
        status = work.status(spec)
        assert status.state == "partial" and status.seen == seen[-1] > seen[-2]
        assert (tmp_path / spec.name / "best.safetensors").exists()  # something to look at, however early the stop
        said = capsys.readouterr().err
        assert "without-sa-long-0 needs some " in said and "train 'pocket/w/o SA' --minutes 1 --schedule cos" in said
    assert status.rate == pytest.approx(progress["seen"] / progress["seconds"])
    minutes = overview(work, [spec])["runs"][0]["minutes"]
    assert minutes == pytest.approx((10**6 - seen[-1]) / status.rate / 60, rel=1e-3)


def test_no_time_for_a_step_or_for_an_evaluation(finished, monkeypatch, capsys):
    work, spec = smoke(finished, "path-3x3-smoke-0")
    monkeypatch.setattr("aminet.training.trainer.Trainer.speed", lambda *_: 1e4)
    assert work.go([spec], budget=1) == [] and not (finished / spec.name / "state.safetensors").exists()
    assert re.search(r"not continued, .* are left and some .* are kept .*give --budget", capsys.readouterr().err)
    with lock_of(finished / spec.name).acquire(timeout=0):  # it was freed
        pass
    done = work.specs["aminet-smoke-0"]
    record = work.record(done.name, work.test[0])
    record.unlink()
    work.longest = 300.0
    assert work.go([done], budget=1) == [] and work.status(done).state == "trained" and not record.exists()
    assert "trained, not evaluated on synthetic:4:2: the time is over" in capsys.readouterr().err
    assert work.go([done]) == [] and work.status(done).state == "done" and record.exists()


def test_list(finished, aminet):
    command = ["reproduce", "--list", "--scale", "smoke", "--only", "a*net-s*", "--device", "cpu"]
    before = contents(finished)
    done = aminet(*command, "--json")
    assert done.returncode == 0, done.stderr
    listed = {run["name"]: run for run in json.loads(done.stdout)["runs"]}
    assert listed["aminet-smoke-0"] == {
        "name": "aminet-smoke-0", "state": "done", "note": "", "seen": 8, "images": 8,
        "minutes": 0.0,
        "rows": ["1: LGFI", "2: LGFI", "3: RDFE", "4: RDFE", "5: 5x5 7x7 avg max", "7: AMINet", "9: AMINet",
                 "10: AMINet"]}
    assert listed["aminet-s-smoke-0"]["state"] == "pending" and listed["aminet-s-smoke-0"]["minutes"] is None
    again = aminet(*command)
    assert again.returncode == 0, again.stderr
    assert re.search(r"aminet-s-smoke-0 +pending +0 of 8 +- +1: LGFI w/o SKAF; 10: AMINet-S", again.stdout)
    assert "1 done, 2 pending" in again.stdout and contents(finished) == before


def test_the_whole_list_takes_no_timing_and_little_time(tmp_path, aminet):
    """Two seconds on a quiet machine, most of them PyTorch's import: here without it, in the process's own time."""
    begin = time.process_time()
    report = overview(Reproduction("mini", tmp_path, RECORDS, device="cpu"), runs("mini"))
    assert len(report["runs"]) == 210 and time.process_time() - begin < 2


def test_only_the_test_sets_that_runs_use_are_needed(tmp_path, monkeypatch):
    """`without-sa` is measured on CelebA alone: the list's other faces may be missing."""
    listed = run_list.listed()
    data = {"train": ["synthetic:8"], "val": ["synthetic:4:1"], "test": ["synthetic:4:2", "nowhere.zip"]}
    what = listed["scales"]["smoke"] | {"data": data}
    monkeypatch.setattr(run_list, "listed", lambda: listed | {"scales": listed["scales"] | {"part": what}})
    work = Reproduction("part", tmp_path, tmp_path / "records", device="cpu")
    assert work.go([work.specs["without-sa-part-0"]]) == []
    with pytest.raises(BadInput, match="no nowhere.zip here .*: give --test"):
        work.go([work.specs["aminet-part-0"]])


def test_foreign_records_are_passed_over(finished):
    for name, content in (("bench", {"kind": "bench"}), ("lost", {"kind": "evaluation"}),
                          ("odd", {"kind": "evaluation", "protocol": {"name": "paper"}, "weights": [], "config": {},
                                   "faces": {"sources": []}})):
        write_record(seal(content), finished / "records" / f"{name}.json")
    work, spec = smoke(finished, "aminet-smoke-0")
    assert work.status(spec).state == "done"
    problems = overview(work, [spec])["problems"]
    assert len(problems) == 2 and "lost.json is no whole record" in problems[0] and "odd.json" in problems[1]
    assert work.go([spec]) == []


@pytest.mark.parametrize("seconds", ["fast", [], None, float("inf"), 0])
def test_a_speed_that_is_none(finished, seconds):
    """That of a run is in its state; the `speed.json` of an earlier version is read no more."""
    work, spec = smoke(finished, "aminet-smoke-0")
    state = finished / spec.name / "state.safetensors"
    values, header = read_tensors(state)
    copies = {name: value.clone() for name, value in values.items()}  # they lie in the file, which is overwritten
    save_tensors(state, copies, header | {"progress": header["progress"] | {"seconds": seconds}})
    for folder in (finished, state.parent):
        (folder / "speed.json").write_text("[]")
    before, status = contents(finished), work.status(spec)
    assert status.state == ("unusable" if seconds != 0 else "done") and status.rate is None
    assert seconds == 0 or "header.progress.seconds is not what it should be" in status.note
    assert spec.name in format_overview(overview(work, [spec])) and contents(finished) == before


def test_names_of_folders_and_words_of_records_are_printed_escaped():
    listed = format_overview({"runs": [], "records": "\x1b[2J\n", "problems": []})
    measured = format_evaluation({"faces": {"images": 2}, "describe": "\x1b[2J\nfake: 99 dB",
                                  "means": {"psnr": {"mean": None}}, "gain": {"psnr": {"mean": None}}}, ["psnr"])
    assert all("\\x1b[2J\\n" in text and "\x1b" not in text for text in (listed, measured))


def test_ctrl_c_says_how_to_go_on_and_frees_the_run(finished, aminet, monkeypatch):
    def stopped(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Reproduction, "train_run", stopped)
    done = aminet("reproduce", "--scale", "smoke", "--only", "ffn-*", "--device", "cpu", "--out", finished)
    assert done.returncode == 130 and "the same command continues" in done.stderr
    work, spec = smoke(finished, "ffn-smoke-0")
    assert work.status(spec).state == "pending"


# Two processes


def test_a_run_in_work_is_passed_by(finished, monkeypatch, capsys):
    work, spec = smoke(finished, "aminet-s-smoke-0")
    with locked(finished / spec.name):
        assert work.status(spec).state == "pending"  # its holder may go on
        code = ("import sys; from aminet.paper.reproduce import *\n"
                "work = Reproduction('smoke', sys.argv[1], device='cpu')\n"
                "spec = work.specs['aminet-s-smoke-0']; print(work.status(spec).state)\n"
                "print(work.go([spec]))")
        other = subprocess.run([sys.executable, "-c", code, str(finished)], text=True, capture_output=True,
                               env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
        assert other.stdout.splitlines() == ["running", "[]"], other.stderr
        assert "aminet-s-smoke-0 is running in another process" in other.stderr
        assert not (finished / spec.name / "state.safetensors").exists()
    assert smoke(finished).status(spec).state == "pending"


def test_two_budgets_at_once(tmp_path):
    work = smoke(tmp_path / "runs")
    specs = [work.specs[f"{name}-smoke-0"] for name in ("skaf-7x7-avg", "skaf-7x7-avg-max")]
    command = [sys.executable, "-m", "aminet", "reproduce", "--scale", "smoke", "--only", "skaf-7x7-avg*", "--budget",
               "10", "--device", "cpu"]
    both = [subprocess.Popen(command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}) for _ in range(2)]
    states = set()
    while any(process.poll() is None for process in both):
        states |= {work.status(spec).state for spec in specs}
        time.sleep(0.05)
    for process in both:
        error = process.communicate()[1]
        assert process.returncode == 0, error
    assert "running" in states and "unusable" not in states
    for spec in specs:
        assert work.status(spec).state == "done"
        log = [json.loads(line) for line in open(tmp_path / "runs" / spec.name / "log.jsonl")]
        assert [line["images"] for line in log if "val_psnr" in line] == [0, 4, 8]  # trained once
