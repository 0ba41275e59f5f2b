"""Training: resumed equals uninterrupted, stops lose nothing, bad runs say what to do."""
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from aminet import PRESETS, BadInput
from aminet.protocol import PROTOCOLS, psnr
from aminet.synthetic import faces
from aminet.train import Recipe, Run, batch_of, restore
from aminet.weights import load_weights, read_tensors

TINY = replace(PRESETS["pocket"], channels=4)


@pytest.fixture(scope="module")
def data():
    return faces(10, 0), faces(4, 1)


def run(data, out, images, resume=False, **recipe):
    recipe = Recipe(**{"images": images, "batch": 4, "lr": 1e-3, "ema": 0.9, "val_every": 8} | recipe)
    return Run(TINY, recipe, *data, out, resume=resume, device="cpu", preset="tiny")


def tensors(folder, name="state"):
    return read_tensors(folder / f"{name}.safetensors")[0]


def test_resume_is_bit_exact(data, tmp_path):
    torch.set_num_threads(1)
    run(data, tmp_path / "whole", 24).train(bar=False)
    run(data, tmp_path / "parts", 12).train(bar=False)  # stops in the middle of an epoch and of a validation period
    run(data, tmp_path / "parts", 24, resume=True).train(bar=False)
    whole, parts = tensors(tmp_path / "whole"), tensors(tmp_path / "parts")
    assert whole.keys() == parts.keys() and all(torch.equal(whole[k], parts[k]) for k in whole)


def test_it_learns(data, tmp_path):
    trained = Run(TINY, Recipe(batch=4, lr=3e-3), data[0][:4], data[1], tmp_path, device="cpu")
    losses = [trained.step()["loss"].item() for _ in range(90)]
    assert sum(losses[-10:]) < 0.97 * sum(losses[:10])


def test_validation_picks_the_best_and_the_log_says_so(data, tmp_path):
    run(data, tmp_path, 32).train(bar=False)
    scores = [line for line in map(json.loads, open(tmp_path / "log.jsonl")) if "val_psnr" in line]
    assert [line["images"] for line in scores] == [8, 16, 24, 32]
    model, header = load_weights(tmp_path / "best.safetensors")
    assert header["val_psnr"] == max(line["val_psnr"] for line in scores)
    assert json.loads((tmp_path / "best.json").read_text()) == header
    assert header["preset"] == "tiny" and header["recipe"]["seed"] == 0
    again = psnr(restore(model, data[1]), data[1], PROTOCOLS["paper"]).mean()
    assert again == pytest.approx(header["val_psnr"], abs=1e-3)


def test_batches_cover_every_face_once_an_epoch():
    marked = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 128, 128).contiguous() * 20
    recipe = Recipe(batch=5)
    epoch = torch.cat([batch_of(marked, step, recipe)[1] for step in (2, 3)])  # the second epoch
    assert sorted(((epoch.mean((1, 2, 3)) + 1) * 127.5 / 20).round().int().tolist()) == list(range(10))


def test_an_existing_run_is_not_overwritten(data, tmp_path):
    run(data, tmp_path, 8).train(bar=False)
    with pytest.raises(BadInput, match="--resume"):
        run(data, tmp_path, 8)
    with pytest.raises(BadInput, match="recipe differs in lr"):
        run(data, tmp_path, 8, resume=True, lr=5e-4)


def test_nan_stops_and_keeps_the_last_good_state(data, tmp_path):
    trained = run(data, tmp_path, 8)
    trained.train(bar=False)
    before = (tmp_path / "state.safetensors").read_bytes()
    broken = run(data, tmp_path, 16, resume=True)
    with torch.no_grad():
        broken.plain.head.weight.fill_(torch.nan)
    with pytest.raises(BadInput, match="last good state"):
        broken.train(bar=False)
    assert (tmp_path / "state.safetensors").read_bytes() == before


def test_out_of_memory_halves_the_parts_and_keeps_the_batch(data, tmp_path, monkeypatch):
    torch.set_num_threads(1)
    config = replace(TINY, frm_norm="none")  # BatchNorm sees the parts; without it parts and whole are equal
    whole, parts = (Run(config, Recipe(images=8, batch=4, val_every=8), *data, tmp_path / name, device="cpu")
                    for name in ("whole", "parts"))
    forward = parts.model.forward

    def small_memory(x):
        if len(x) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(x)

    monkeypatch.setattr(parts.model, "forward", small_memory)
    means = whole.step()
    with pytest.warns(UserWarning, match="1 images at a time from now on, .* the batch stays 4"):
        assert parts.step()["loss"].item() == pytest.approx(means["loss"].item(), abs=1e-6)
    assert parts.micro == 1 and parts.seen == whole.seen == 4
    for name, value in whole.plain.state_dict().items():
        torch.testing.assert_close(parts.plain.state_dict()[name], value, atol=1e-4, rtol=0)
    assert [json.loads(line) for line in open(parts.journal)] == [{"images": 0, "micro_batch": 2},
                                                                  {"images": 0, "micro_batch": 1}]
    monkeypatch.setattr(parts.model, "forward", lambda x: small_memory(torch.cat([x, x])))
    with pytest.raises(BadInput, match="out of GPU memory with 1 images at a time: choose a smaller"):
        parts.step()


def test_a_refused_run_leaves_no_folder(data, tmp_path):
    with pytest.raises(BadInput, match="no faces"):
        Run(TINY, Recipe(images=8, batch=4), data[0][:0], data[1], tmp_path / "new", device="cpu")
    with pytest.raises(BadInput, match="no run to resume"):
        run(data, tmp_path / "new", 8, resume=True)
    assert not (tmp_path / "new").exists()


def test_full_disk_keeps_the_state(data, tmp_path, monkeypatch):
    trained = run(data, tmp_path, 8)
    trained.train(bar=False)
    before = (tmp_path / "state.safetensors").read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadInput, match="No space left on device; what was there before is kept"):
        trained.save()
    assert (tmp_path / "state.safetensors").read_bytes() == before
    assert not list(tmp_path.glob(".state*"))


@pytest.mark.parametrize("options, words", [
    (dict(batch=0), "positive"), (dict(images=3, batch=4), "less than one batch"), (dict(ema=1.0), r"\[0, 1\)"),
    (dict(schedule="cosine"), "--images"), (dict(schedule="step", images=100), "unknown schedule"),
])
def test_bad_recipes(options, words):
    with pytest.raises(BadInput, match=words):
        Recipe(**options)


def test_cosine_ends_at_zero():
    recipe = Recipe(images=100, batch=4, schedule="cosine", lr=1.0)
    assert recipe.rate(0) == 1 and recipe.rate(50).item() == pytest.approx(0.5) and recipe.rate(100) < 1e-6


def test_ctrl_c_leaves_a_state_that_resumes(tmp_path, aminet):
    command = [sys.executable, "-m", "aminet", "train", "pocket", "--faces", "synthetic:8", "--val", "synthetic:2:1",
               "--out", "run", "--batch", "2", "--images", "1000000", "--device", "cpu"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True,
                               env=os.environ | {"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"})
    log = tmp_path / "run" / "log.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and "loss" in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "--resume" in error and "Traceback" not in error
    seen = read_tensors(tmp_path / "run" / "state.safetensors")[1]["progress"]["seen"]
    assert seen >= 100
    done = aminet(*command[3:-4], "--images", seen + 2, "--device", "cpu", "--resume")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == seen + 2


def test_two_processes_see_the_batches_of_one(tmp_path):
    """gloo, 2 CPU processes: the same faces, and weights that agree with those of one process but for BatchNorm."""
    env = os.environ | {"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    command = ["train", "pocket/w/o FRM", "--faces", "synthetic:8", "--val", "synthetic:2:1", "--batch", "4",
               "--images", "8", "--device", "cpu", "--lr", "1e-3"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "aminet"]
    for launcher, out in (([sys.executable, "-m", "aminet"], "one"), (launch, "two")):
        done = subprocess.run([*launcher, *command, "--out", out], cwd=tmp_path, env=env, text=True,
                              capture_output=True, timeout=240)
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = tensors(tmp_path / "one", "best"), tensors(tmp_path / "two", "best")
    assert read_tensors(tmp_path / "two" / "best.safetensors")[1]["processes"] == 2
    for name in one:  # Adam divides by a root: tiny gradient differences may show, as large as a step
        torch.testing.assert_close(one[name], two[name], atol=5e-4, rtol=0)
    drift = torch.cat([(one[n] - two[n]).flatten().abs() for n in one]).median()
    assert drift < 1e-6


def test_a_log_that_a_crash_cut_short_does_not_stop_a_resume(data, tmp_path):
    run(data, tmp_path, 8).train(bar=False)
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"images": 8, "lo')
    run(data, tmp_path, 16, resume=True).train(bar=False)
    assert [json.loads(line)["images"] for line in open(tmp_path / "log.jsonl")][-1] == 16


def test_a_file_in_the_way(data, tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(BadInput, match="cannot write"):  # before training
            run(data, out, 8)


def test_nothing_to_resume(data, tmp_path):
    with pytest.raises(BadInput, match="leave out --resume"):
        run(data, tmp_path, 8, resume=True)


def test_a_runs_folder_names_its_weights(data, tmp_path):
    run(data, tmp_path, 8).train(bar=False)
    assert load_weights(tmp_path)[1] == load_weights(tmp_path / "best.safetensors")[1]
    with pytest.raises(BadInput, match="state of a run"):
        load_weights(tmp_path / "state.safetensors")
