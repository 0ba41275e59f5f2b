"""A run in a folder: resumed equals uninterrupted, stops lose nothing, bad runs say what to do."""
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from aminet import PRESETS, BadInput
from aminet.faces.synthetic import faces
from aminet.protocol import PROTOCOLS, psnr
from aminet.train import Recipe, batch_of, fit, restore
from aminet.training.device import asked_to_stop, exact, keep_memory, precision, tf32
from aminet.training.folder import Busy, lock_of
from aminet.training.games import L1Game
from aminet.training.trainer import Trainer
from aminet.training.weights import PRETRAINED, load_weights, read_tensors, save_tensors

TINY = replace(PRESETS["pocket"], channels=4, depths=(1, 1, 1, 1), paths=(3,), kernels=(5,), skaf="edff")


@pytest.fixture(scope="module")
def data():
    return faces(10, 0), faces(4, 1)


def run(data, out, images, resume=False, options=None, **recipe):
    recipe = Recipe(**{"images": images, "batch": 4, "lr": 1e-3, "ema": 0.9, "val_every": 8} | recipe)
    return Trainer(L1Game(TINY, recipe, "tiny"), *data, out, resume=resume, device="cpu", **(options or {}))


class Small(nn.Module):
    """A network of a few weights, for what takes many steps or a slow number format."""

    def __init__(self, config):
        super().__init__()
        self.config, self.tail = config, nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return x + self.tail(x)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr("aminet.training.games.build", Small)


def steps(trainer, n):
    """The losses of n batches, without a session's clock."""
    found = []

    def on_step(values):
        trainer.seen += trainer.recipe.batch
        trainer.follow()
        found.append({name: value.item() for name, value in values.items()})
        return len(found) == n

    fit(trainer.game, trainer.batches(), lambda: 1.0, on_step, trainer.gradients)
    return found


def tensors(folder, name="state"):
    return read_tensors(folder / f"{name}.safetensors")[0]


def log(folder):
    return [json.loads(line) for line in open(folder / "log.jsonl")]


# A run


@pytest.mark.parametrize("robust", [False, True])
def test_resume_is_bit_exact(data, tmp_path, robust):
    run(data, tmp_path / "whole", 24, robust=robust).train(bar=False)
    run(data, tmp_path / "parts", 12, robust=robust).train(bar=False)  # within an epoch and a validation period
    run(data, tmp_path / "parts", 24, resume=True, robust=robust).train(bar=False)
    whole, parts = tensors(tmp_path / "whole"), tensors(tmp_path / "parts")
    assert whole.keys() == parts.keys() and all(torch.equal(whole[k], parts[k]) for k in whole)


def test_it_learns(data, tmp_path, small):
    game = L1Game(TINY, Recipe(batch=4, lr=3e-3))
    losses = [step["loss"] for step in steps(Trainer(game, data[0][:4], data[1], tmp_path, device="cpu"), 90)]
    assert sum(losses[-10:]) < 0.97 * sum(losses[:10])


def test_the_loop_of_the_package_is_the_loop_of_the_course(data, tmp_path):
    """A trainer without averages, clock and folder is four lines of PyTorch."""
    trainer = run(data, tmp_path, 12, ema=0.0)
    trainer.train(bar=False)
    plain = L1Game(TINY, trainer.recipe)
    plain.to(memory_format=torch.channels_last).train()
    adam = torch.optim.Adam(plain.parameters(), lr=1e-3, betas=(0.9, 0.99))
    for step in range(3):
        x, target = (t.contiguous(memory_format=torch.channels_last) for t in batch_of(data[0], step, trainer.recipe))
        adam.zero_grad()
        plain.loss(x, target)[0].backward()
        adam.step()
    for name, value in plain.network.state_dict().items():
        assert torch.equal(value, trainer.network.state_dict()[name]), name


def test_validation_picks_the_best_and_the_log_says_so(data, tmp_path):
    run(data, tmp_path, 32).train(bar=False)
    scores = [line for line in log(tmp_path) if "val_psnr" in line]
    assert [line["images"] for line in scores] == [0, 8, 16, 24, 32]
    model, header = load_weights(tmp_path / "best.safetensors")
    assert header["val_psnr"] == max(line["val_psnr"] for line in scores[1:]) and header["images"] > 0
    assert json.loads((tmp_path / "best.json").read_text()) == header
    assert header["preset"] == "tiny" and header["recipe"]["seed"] == 0 and header["minutes"] >= 0
    again = psnr(restore(model, data[1]), data[1], PROTOCOLS["paper"]).mean()
    assert again == pytest.approx(header["val_psnr"], abs=1e-3)
    assert all(line["lr"] == 1e-3 and line["images_per_second"] > 0 for line in log(tmp_path) if "loss" in line)


def test_weights_and_statistics_are_averaged(data, tmp_path):
    trainer, kept = run(data, tmp_path, 8), []
    trainer.on_validation = lambda _, network: kept.append(network.state_dict()["tail.weight"].clone())
    weights = [trainer.network.state_dict()["tail.weight"].clone()]
    follow = trainer.follow
    trainer.follow = lambda: (weights.append(trainer.network.state_dict()["tail.weight"].clone()), follow())
    trainer.train(bar=False)
    mean = weights[0]
    for t, weight in enumerate(weights[1:], 1):
        mean = mean.lerp(weight, 1 - min(0.9, (1 + t) / (10 + t)))
    torch.testing.assert_close(kept[-1], mean)
    state = tensors(tmp_path)
    assert any(k.startswith("average.") and k.endswith("running_mean") for k in state)


def test_pictures_are_kept_by_a_callback(data, tmp_path):
    seen = []
    run(data, tmp_path, 16, options={"on_validation": lambda trainer, network: seen.append(
        (trainer.seen, network is trainer.network))}).train(bar=False)
    assert seen == [(0, False), (8, False), (16, False)]


def test_half_weights_load_and_restore_the_same(data, tmp_path):
    for half in (False, True):
        run(data, tmp_path / str(half), 8, options={"half": half}).train(bar=False)
    whole, half = (tmp_path / name / "best.safetensors" for name in ("False", "True"))
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    a, b = (restore(load_weights(path)[0], data[1]) for path in (whole, half))
    assert (a - b).abs().max() < 0.01


def test_a_start_is_loaded_and_noted(data, tmp_path):
    run(data, tmp_path / "first", 8).train(bar=False)
    weights = load_weights(tmp_path / "first")[0].state_dict()
    game = L1Game(TINY, Recipe(images=8, batch=4), "tiny", tmp_path / "first")
    assert all(torch.equal(v, weights[k]) for k, v in game.network.state_dict().items())
    Trainer(game, *data, tmp_path / "second", device="cpu").train(bar=False)
    start = load_weights(tmp_path / "second")[1]["start"]
    assert start["name"] == "best.safetensors" and start["images"] == 8 and len(start["sha256"]) == 64
    with pytest.raises(BadInput, match="is another network"):
        L1Game(replace(TINY, channels=8), Recipe(), start=tmp_path / "first")
    with pytest.raises(BadInput, match="its start differs"):  # a state of another start
        run(data, tmp_path / "second", 8, resume=True, ema=0.0, lr=2e-4, val_every=5000)


# The clock


def test_a_run_in_minutes_ends_in_time_at_step_size_zero(data, tmp_path):
    """In the process's own time, so that a busy machine does not count."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", time.process_time)
        begin = time.monotonic()
        trainer = run(data, tmp_path, None, minutes=0.2, schedule="cosine", warmup=0.02)
        result = trainer.train(bar=False, since=begin)
        assert time.monotonic() - begin < 13.5
    rates = [line["lr"] for line in log(tmp_path) if "lr" in line]
    assert rates == sorted(rates, reverse=True) and rates[-1] < 0.02e-3 and rates[0] == 1e-3
    assert result["images"] == trainer.seen > 12 and trainer.progress == 1 and trainer.validated == trainer.seen
    header = load_weights(tmp_path)[1]
    assert header["recipe"]["minutes"] == 0.2 and header["recipe"]["images"] is None
    scores = [line["images"] for line in log(tmp_path) if "val_psnr" in line]
    assert len(scores) == len(set(scores)) >= 2  # before the first step and at the end
    again = run(data, tmp_path, None, resume=True, minutes=0.2, schedule="cosine", warmup=0.02)
    before = log(tmp_path)
    assert again.train(bar=False)["trained_now"] == 0 and log(tmp_path) == before


def test_the_clock_goes_on_where_it_stood(data, tmp_path, monkeypatch):
    recipe = {"minutes": 1.0, "schedule": "cosine"}
    trainer = run(data, tmp_path, None, **recipe)
    monkeypatch.setattr(type(trainer.game), "check", lambda *_: "enough" if trainer.seen >= 12 else None)
    with pytest.raises(BadInput, match="enough"):
        trainer.train(bar=False, save_every=0.0)
    monkeypatch.undo()
    half = run(data, tmp_path, None, resume=True, **recipe)
    assert 0 < half.progress < 1 and half.seconds > 0
    half.seconds, half.progress = 59.9, 0.9  # as if the minute were nearly over
    assert half.train(bar=False)["trained_now"] <= 8 and half.progress == 1


def test_a_run_in_minutes_is_validated_at_its_quarters(data, tmp_path, small):
    """Where that costs little."""
    run(data, tmp_path, None, minutes=0.1, schedule="cosine").train(bar=False)
    scores = [line["images"] for line in log(tmp_path) if "val_psnr" in line]
    assert len(scores) == len(set(scores)) == 5 and scores[0] == 0
    quarters = [images / scores[-1] for images in scores[1:-1]]
    assert all(abs(quarter - n / 4) < 0.15 for n, quarter in enumerate(quarters, 1)), quarters


def test_a_call_of_a_longer_run_ends_in_time(data, tmp_path):
    trainer = run(data, tmp_path, 10**6, schedule="cosine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", time.process_time)
        begin = time.monotonic()
        trainer.train(minutes=0.1, bar=False)
        assert time.monotonic() - begin < 7.5
    assert 0 < trainer.seen < 10**6 and trainer.validated == trainer.seen
    assert run(data, tmp_path, 10**6, resume=True, schedule="cosine").seen == trainer.seen


def test_no_time_to_train_is_said(data, tmp_path):
    with pytest.raises(BadInput, match="0.001 minutes leave no time to train here: .*: give more --minutes"):
        run(data, tmp_path, None, minutes=0.001).train(bar=False)
    assert load_weights(tmp_path)[1]["images"] == 0


def test_a_longer_constant_run_continues_a_shorter_one(data, tmp_path, small):
    run(data, tmp_path, None, minutes=0.05).train(bar=False)
    longer = run(data, tmp_path, None, resume=True, minutes=100.0)
    assert 0 < longer.progress < 0.01 and not longer.finished()


# Devices


@pytest.mark.parametrize("native, kept, wanted", [(True, True, "bf16"), (False, True, "fp16"), (False, False, "no")])
def test_emulated_bf16_is_not_used(monkeypatch, native, kept, wanted):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert precision("auto", kept) == wanted and precision("cpu") == "no"


def test_two_trainings_in_one_process_on_two_devices(data, tmp_path, monkeypatch):
    """As notebooks 09 and 10 have them on a machine with a GPU: one in bf16, then one in float32."""
    monkeypatch.setattr("aminet.training.trainer.precision", lambda *_: "bf16")
    first = run(data, tmp_path / "bf16", 8)
    first.train(bar=False)
    monkeypatch.undo()
    second = run(data, tmp_path / "plain", 8)
    second.train(bar=False)
    formats = [load_weights(tmp_path / name)[1]["precision"] for name in ("bf16", "plain")]
    assert formats == ["bf16", "no"]
    assert [line["val_psnr"] for line in log(tmp_path / "bf16") if "val_psnr" in line] != []


def test_fp16_scales_the_loss_and_passes_over_a_batch_that_overflows(data, tmp_path, small, monkeypatch):
    monkeypatch.setattr("aminet.training.trainer.precision", lambda *_: "fp16")
    trainer = run(data, tmp_path, 16)
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)  # too large for the first batches
    before = trainer.network.state_dict()["tail.weight"].clone()
    steps(trainer, 1)
    assert torch.equal(trainer.network.state_dict()["tail.weight"], before)
    assert trainer.scaler.get_scale() < 2.0**40
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    steps(trainer, 2)
    after = trainer.network.state_dict()["tail.weight"]
    assert not torch.equal(after, before) and after.isfinite().all()
    trainer.save()
    again = run(data, tmp_path, 16, resume=True)
    assert again.scaler.get_scale() == 1024.0


def test_a_run_goes_on_on_another_kind_of_device(data, tmp_path, small, monkeypatch):
    """Begun in float32, continued in fp16: the scale of the loss is new."""
    run(data, tmp_path, 8).train(bar=False)
    monkeypatch.setattr("aminet.training.trainer.precision", lambda *_: "fp16")
    again = run(data, tmp_path, 16, resume=True)
    assert again.scaler.is_enabled() and steps(again, 1)


def test_adams_moments_come_back_in_the_layout_of_their_weights(data, tmp_path):
    """CUDA's fused Adam refuses others, and a CPU's computes nonsense with them."""
    run(data, tmp_path, 8).train(bar=False)
    again = run(data, tmp_path, 16, resume=True)
    adam = again.game.optimizers()["model"]
    assert adam.state and all(state[moment].stride() == weight.stride() for weight, state in adam.state.items()
                              for moment in ("exp_avg", "exp_avg_sq"))


def test_a_compiler_that_needs_more_memory_does_not_halve_the_parts(data, tmp_path, small, monkeypatch):
    def hungry(call):
        def compiled(x):
            if len(x) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            time.sleep(0.2)
            return call(x)
        return compiled

    monkeypatch.setattr(torch, "compile", hungry)
    trainer = run(data, tmp_path, 8)
    with pytest.warns(UserWarning, match="2 images at a time"):
        trainer.compile()
    assert trainer.micro == 4 and log(tmp_path)[-1]["compile"]["used"] is False


def test_memory_is_kept_where_there_is_glibc():
    assert keep_memory() == (platform.libc_ver()[0] == "glibc")


def test_measuring_is_done_without_tf32():
    before = torch.backends.cudnn.allow_tf32
    with exact():
        assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
        assert tf32(torch.device("cuda")) == {"tf32": False}
    assert torch.backends.cudnn.allow_tf32 == before and tf32(torch.device("cpu")) == {}


def test_compile_is_used_where_it_pays(data, tmp_path, small, monkeypatch):
    def noted(compiler, name):
        monkeypatch.setattr(torch, "compile", compiler)
        trainer = run(data, tmp_path / name, 8, options={"compiled": True})
        before = {k: v.clone() for k, v in trainer.network.state_dict().items()}
        trainer.compile()
        assert all(torch.equal(v, before[k]) for k, v in trainer.network.state_dict().items())  # nothing was learnt
        trainer.train(bar=False)
        return log(tmp_path / name)[0]["compile"]

    def broken(call):
        raise RuntimeError("no compiler\nhere")

    def slow(call):
        return lambda x: (time.sleep(0.5), call(x))[1]

    forward = Small.forward
    monkeypatch.setattr(Small, "forward", lambda self, x: (time.sleep(0.1), forward(self, x))[1])
    found = noted(broken, "broken")
    assert not found["used"] and found["failed"] == "RuntimeError: no compiler" and found["eager"] > 0.02
    assert noted(slow, "slow")["used"] is False and noted(lambda call: partial(forward, call), "fast")["used"] is True


def test_out_of_memory_halves_the_parts_and_keeps_the_batch(data, tmp_path, monkeypatch):
    config = replace(TINY, frm_norm="none")  # BatchNorm sees the parts; without it parts and whole are equal
    whole, parts = (Trainer(L1Game(config, Recipe(images=8, batch=4, val_every=8)), *data, tmp_path / name,
                            device="cpu") for name in ("whole", "parts"))
    forward = parts.network.forward

    def small_memory(x):
        if len(x) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(x)

    monkeypatch.setattr(parts.network, "forward", small_memory)
    means, = steps(whole, 1)
    with pytest.warns(UserWarning, match="1 images at a time from now on, .* the batch stays 4"):
        assert steps(parts, 1)[0]["loss"] == pytest.approx(means["loss"], abs=1e-6)
    assert parts.micro == 1 and parts.seen == whole.seen == 4
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(parts.network.state_dict()[name], value, atol=1e-4, rtol=0)
    assert log(tmp_path / "parts") == [{"images": 0, "micro_batch": 2}, {"images": 0, "micro_batch": 1}]
    monkeypatch.setattr(parts.network, "forward", lambda x: small_memory(torch.cat([x, x])))
    with pytest.raises(BadInput, match="out of memory with 1 images at a time: choose a smaller"):
        steps(parts, 1)


def test_two_processes_see_the_batches_of_one(tmp_path):
    """gloo, 2 CPU processes: the same faces, and weights that agree with those of one process but for BatchNorm."""
    env = os.environ | {"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    command = ["train", "pocket/w/o RDFE", "--faces", "synthetic:8", "--val", "synthetic:2:1", "--batch", "4", "--lr",
               "1e-3", "--device", "cpu"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "aminet"]
    for launcher, out in (([sys.executable, "-m", "aminet"], "one"), (launch, "two")):
        done = subprocess.run([*launcher, *command, "--images", "8", "--out", out], cwd=tmp_path, env=env, text=True,
                              capture_output=True, timeout=240)
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = tensors(tmp_path / "one", "best"), tensors(tmp_path / "two", "best")
    assert read_tensors(tmp_path / "two" / "best.safetensors")[1]["processes"] == 2
    for name in one:  # Adam divides by a root: tiny gradient differences may show, as large as a step
        torch.testing.assert_close(one[name], two[name], atol=5e-4, rtol=0)
    drift = torch.cat([(one[n] - two[n]).flatten().abs() for n in one]).median()
    assert drift < 1e-6
    # The first process's clock decides for both: a run in minutes.
    done = subprocess.run([*launch, *command, "--minutes", "0.15", "--schedule", "cosine", "--out", "clock"],
                          cwd=tmp_path, env=env, text=True, capture_output=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [line["images"] for line in log(tmp_path / "clock") if "val_psnr" in line][0] == 0
    done = subprocess.run([*launch, *command, "--images", "8", "--out", "two"], cwd=tmp_path, env=env, text=True,
                          capture_output=True, timeout=240)  # what the first one refuses ends both
    assert done.returncode and "two holds a run already" in done.stderr
    code = ("import sys; sys.path.insert(0, 'tests/unit'); from test_trainer import *; from pathlib import Path\n"
            "run((faces(10, 0), faces(4, 1)), Path(sys.argv[1]), 24).train(bar=False, save_every=0.0)")
    (tmp_path / "busy.py").write_text(code)
    done = subprocess.run([*launch[:-2], str(tmp_path / "busy.py"), str(tmp_path / "busy")], env=env, text=True,
                          capture_output=True, timeout=240)  # a save, or a validation, after every batch
    assert done.returncode == 0, done.stderr[-2000:]


# Nothing is lost


def test_an_existing_run_is_not_overwritten(data, tmp_path):
    run(data, tmp_path, 8).train(bar=False)
    with pytest.raises(BadInput, match="--resume"):
        run(data, tmp_path, 8)
    with pytest.raises(BadInput, match="recipe differs in lr"):
        run(data, tmp_path, 8, resume=True, lr=5e-4)


def test_a_state_of_an_earlier_version_is_continued(data, tmp_path):
    """It noted less of its recipe."""
    run(data, tmp_path, 8).train(bar=False)
    values, header = read_tensors(tmp_path / "state.safetensors")
    assert header["recipe"].pop("robust") is False
    save_tensors(tmp_path / "state.safetensors", values, header)
    with pytest.raises(BadInput, match="recipe differs in robust"):
        run(data, tmp_path, 16, resume=True, robust=True)
    assert run(data, tmp_path, 16, resume=True).train(bar=False)["images"] == 16


def test_weights_without_a_state_are_not_replaced(data, tmp_path):
    (tmp_path / "best.safetensors").write_bytes(b"somebody's")
    with pytest.raises(BadInput, match="there without a state: move it away"):
        run(data, tmp_path, 8)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name != ".lock"} == {
        "best.safetensors": b"somebody's"}


def test_lost_weights_of_a_finished_run_are_written_again(data, tmp_path):
    run(data, tmp_path, 8, val_every=100).train(bar=False)
    weights, before = (tmp_path / "best.safetensors").read_bytes(), log(tmp_path)
    for name in ("best.safetensors", "best.json"):
        (tmp_path / name).unlink()
    result = run(data, tmp_path, 8, resume=True, val_every=100).train(bar=False)
    assert result["trained_now"] == 0 and os.path.exists(result["weights"]) and log(tmp_path) == before
    again = read_tensors(tmp_path / "best.safetensors")[0]
    (tmp_path / "earlier.safetensors").write_bytes(weights)
    assert all(torch.equal(v, again[k]) for k, v in read_tensors(tmp_path / "earlier.safetensors")[0].items())


def test_a_finished_run_is_resumed_without_a_trace(data, tmp_path):
    first = run(data, tmp_path, 8).train(bar=False)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    again = run(data, tmp_path, 8, resume=True).train(bar=False)
    assert again == first | {"trained_now": 0, "seconds": again["seconds"]}
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_run_killed_before_its_first_state_starts_a_new_log(data, tmp_path):
    (tmp_path / "log.jsonl").write_text('{"images": 4, "loss": 1}\n{"images": 8, "loss": 1}\n')
    run(data, tmp_path, 8).train(bar=False)
    assert [line["images"] for line in log(tmp_path)] == [0, 8, 8]


@pytest.mark.parametrize("images", [0, 8, 12])
def test_a_kill_between_a_validation_and_its_state_leaves_one_line(data, tmp_path, images):
    """At the start, at a validation that is due, and at the last one."""
    killed = run(data, tmp_path, 12)
    validate = killed.validate

    def validate_and_die():
        validate()
        if killed.seen == images:
            raise InterruptedError

    killed.validate = validate_and_die
    with pytest.raises(InterruptedError):
        killed.train(bar=False, save_every=0.0)  # a state after each step
    run(data, tmp_path, 12, resume=True).train(bar=False, save_every=0.0)
    assert [line["images"] for line in log(tmp_path) if "val_psnr" in line] == [0, 4, 8, 12]


def test_a_kill_in_mid_save_leaves_nothing_behind(data, tmp_path):
    run(data, tmp_path, 8).train(bar=False)
    for name in (".state.safetensors.abcdef", ".best.safetensors.x", ".log.jsonl.y"):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / ".mine").write_text("not the trainer's")
    run(data, tmp_path, 16, resume=True).train(bar=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".lock", ".mine", "best.json", "best.safetensors", "log.jsonl", "state.safetensors"]


def test_a_second_training_in_the_folder_is_refused(data, tmp_path, refuses):
    (tmp_path / "run").mkdir()
    command = ["train", "pocket", "--faces", "synthetic:8", "--val", "synthetic:2:1", "--out", "run", "--images", "8",
               "--batch", "4", "--device", "cpu"]
    with lock_of(tmp_path / "run"):
        refuses("another process works in run", *command, env={"PYTHONPATH": os.getcwd()})
        refuses("holds no run to resume", *command, "--resume", env={"PYTHONPATH": os.getcwd()})
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    trainer = run(data, tmp_path / "mine", 8)
    with lock_of(tmp_path / "mine"):  # the holder of a lock may train there
        trainer.train(bar=False)
    with pytest.raises(Busy):  # another object, as of another process
        from filelock import FileLock

        with FileLock(tmp_path / "mine" / ".lock"):
            run(data, tmp_path / "mine", 16, resume=True)


def test_two_trainings_at_once_lose_none(tmp_path):
    command = [sys.executable, "-m", "aminet", "train", "pocket", "--faces", "synthetic:8", "--val", "synthetic:2:1",
               "--out", "run", "--images", "16", "--batch", "2", "--device", "cpu"]
    env = os.environ | {"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    both = [subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)]
    errors = [process.communicate(timeout=240)[1] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes == [0, 2], errors
    assert any("another process works in run" in e or "holds a run already" in e for e in errors)
    assert [line["images"] for line in log(tmp_path / "run") if "val_psnr" in line] == [0, 16]


def test_nan_stops_and_keeps_the_last_good_state(data, tmp_path):
    run(data, tmp_path, 8).train(bar=False)
    before = (tmp_path / "state.safetensors").read_bytes()
    broken = run(data, tmp_path, 16, resume=True)
    with torch.no_grad():
        broken.network.head.weight.fill_(torch.nan)
    with pytest.raises(BadInput, match="the loss is nan after .*; the last good state is in"):
        broken.train(bar=False)
    assert (tmp_path / "state.safetensors").read_bytes() == before
    fresh = run(data, tmp_path / "fresh", 8)
    fresh.save = lambda: None
    with torch.no_grad():
        fresh.network.head.weight.fill_(torch.inf)
    with pytest.raises(BadInput) as error:  # it has no good state
        fresh.train(bar=False)
    assert "last good state" not in str(error.value)


def test_a_refused_run_leaves_no_folder(data, tmp_path):
    with pytest.raises(BadInput, match="no faces"):
        Trainer(L1Game(TINY, Recipe(images=8, batch=4)), data[0][:0], data[1], tmp_path / "new", device="cpu")
    with pytest.raises(BadInput, match="no run to resume: leave out --resume"):
        run(data, tmp_path / "new", 8, resume=True)
    assert not (tmp_path / "new").exists()


def test_full_disk_keeps_the_state(data, tmp_path, monkeypatch):
    trainer = run(data, tmp_path, 8)
    trainer.train(bar=False)
    before = (tmp_path / "state.safetensors").read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadInput, match="No space left on device; what was there before is kept"):
        trainer.save()
    assert (tmp_path / "state.safetensors").read_bytes() == before
    assert not list(tmp_path.glob(".state*"))


@pytest.mark.parametrize("damage, words", [
    (lambda t, h: ({k: v for k, v in t.items() if not k.startswith("model.")}, h), "of model.* it has nothing"),
    (lambda t, h: ({k: v for k, v in t.items() if not k.startswith("average.")}, h), "of average.* it has nothing"),
    (lambda t, h: ({k: v for k, v in t.items() if "exp_avg_sq" not in k}, h), "lacks moments of Adam"),
    (lambda t, h: (t | {"adam of model.0.exp_avg": torch.zeros(1)}, h), "of adam of model.0.exp_avg it has"),
    (lambda t, h: (t | {"adam of model.9999.exp_avg": torch.zeros(1)}, h), "9999.exp_avg it has .*, not nothing"),
    (lambda t, h: (t | {"model.tail.bias": t["model.tail.bias"].bool()}, h), "of model.tail.bias it has"),
    (lambda t, h: (t | {"model.tail.bias": t["model.tail.bias"] + torch.inf}, h), "holds NaN or infinity"),
    (lambda t, h: (t, {k: v for k, v in h.items() if k != "progress"}), "its header has no progress"),
    (lambda t, h: (t, h | {"progress": h["progress"] | {"seen": "8"}}), "header.progress.seen is not"),
    (lambda t, h: (t, h | {"progress": h["progress"] | {"seen": -4}}), "header.progress.seen is not"),
    (lambda t, h: (t, h | {"progress": [1, 2]}), "header.progress is not"),
    (lambda t, h: (t, h | {"progress": h["progress"] | {"chosen": 5}}), "header.progress.chosen is not"),
    (lambda t, h: (t, h | {"recipe": None}), "header.recipe is not"),
])
def test_a_state_that_is_none(data, tmp_path, damage, words):
    run(data, tmp_path, 8).train(bar=False)
    save_tensors(tmp_path / "state.safetensors", *damage(*read_tensors(tmp_path / "state.safetensors")))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(BadInput, match=words):
        run(data, tmp_path, 16, resume=True).train(bar=False)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_foreign_lines_in_a_log_do_not_stop_a_resume(data, tmp_path):
    run(data, tmp_path, 8).train(bar=False)
    whole = (tmp_path / "log.jsonl").read_bytes()
    with open(tmp_path / "log.jsonl", "ab") as file:
        file.write(b'{}\nnull\n5\n[1]\n\xff\n{"images": "x"}\n{"images": 99, "loss": 1}\n{"images": 8, "lo')
    run(data, tmp_path, 8, resume=True).train(bar=False)
    assert (tmp_path / "log.jsonl").read_bytes() == whole


def train_command(*more):
    return ["train", "pocket", "--faces", "synthetic:8", "--val", "synthetic:2:1", "--out", "run", "--images", "8",
            "--batch", "4", "--device", "cpu", *more]


def test_a_log_without_an_end_is_read_in_parts(data, tmp_path, monkeypatch):
    run(data, tmp_path, 8).train(bar=False)
    whole = (tmp_path / "log.jsonl").read_bytes()
    (tmp_path / "log.jsonl").write_bytes(whole + bytes(10**6))
    parts = []
    monkeypatch.setattr("aminet.training.folder.read_json", lambda path, line: parts.append(line) or json.loads(line))
    run(data, tmp_path, 8, resume=True)
    assert max(map(len, parts)) <= 2**16 and (tmp_path / "log.jsonl").read_bytes() == whole


@pytest.mark.parametrize("make, options, words", [
    *((lambda out, name=name: (out.mkdir(), (out / name).write_text("mine")), (), "there without a state")
      for name in ("log.jsonl", "best.json")),
    *((lambda out, name=name: (out.mkdir(), os.mkfifo(out / name)), options, "is no file")
      for name in ("log.jsonl", "best.json", "state.safetensors") for options in ((), ("--resume",))),
    (lambda out: (out.mkdir(), (out / "state.safetensors").symlink_to("nowhere")), (), "is no file"),
    (lambda out: (out / ".lock").mkdir(parents=True), (), "run/.lock is no file: move it away"),
    (lambda out: None, ("--lr", "1e300"), "lr=1e+300: expected a number above 0 to 1"),
    (lambda out: out.write_text(""), (), "cannot write run"),
    (lambda out: out.symlink_to("nowhere"), (), "cannot write run"),
    (lambda out: (out.mkdir(), (out / "best.safetensors").write_text("")), (), "there without a state"),
    (lambda out: (out.mkdir(), (out / "state.safetensors").write_text("")), (), "holds a run already"),
    (lambda out: (out.mkdir(), (out / "state.safetensors").write_text("")), ("--resume",), "whole safetensors file"),
    (lambda out: save_tensors(out / "state.safetensors", {}, {}), ("--resume",), "is no state of a run"),
    (lambda out: shutil.copy(PRETRAINED / "pocket.safetensors", out), ("--out", "run/x"), "cannot write run/x"),
    (lambda out: None, ("--resume",), "holds no run to resume"),
    (lambda out: None, ("--out", "x" * 300), "cannot write"),
    (lambda out: None, ("--start", "pocket-s"), "--start pocket-s is another network"),
    (lambda out: None, ("--start", "x" * 300), "no weights"),
    (lambda out: None, ("--seed", "9223372036854775808"), "expected a whole number"),
    (lambda out: None, ("--batch", "1000000000"), "expected a whole number from 1 to 4096"),
])
def test_what_is_wrong_is_said_before_the_faces_are_read(tmp_path, refuses, monkeypatch, make, options, words):
    monkeypatch.setattr("aminet.faces.sources.open_training_faces", None)  # cannot be called
    make(tmp_path / "run")
    before = sorted(tmp_path.rglob("*"))
    refuses(words, *train_command(*options))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_state_of_another_run_is_seen_before_the_faces_are_read(data, tmp_path, refuses, monkeypatch):
    monkeypatch.setattr("aminet.faces.sources.open_training_faces", None)
    run(data, tmp_path / "run", 8).train(bar=False)
    refuses("is another run: its recipe differs in ema, lr, val_every", *train_command("--resume"))


def test_faces_of_another_size_are_refused(data, tmp_path):
    for faces_, val in ((data[0][..., :64, :64], data[1]), (data[0], data[1].float())):
        with pytest.raises(BadInput, match="are uint8"):
            Trainer(L1Game(TINY, Recipe(images=8, batch=4)), faces_, val, tmp_path / "new", device="cpu")
    assert not (tmp_path / "new").exists()


def test_a_file_in_the_way(data, tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(BadInput, match="cannot write"):  # before training
            run(data, out, 8)


def test_a_runs_folder_names_its_weights(data, tmp_path):
    run(data, tmp_path, 8).train(bar=False)
    assert load_weights(tmp_path)[1] == load_weights(tmp_path / "best.safetensors")[1]
    with pytest.raises(BadInput, match="state of a run"):
        load_weights(tmp_path / "state.safetensors")


# Signals


@pytest.fixture
def long_run(tmp_path):
    """A training without an end in a process of its own, that has logged a loss."""
    command = [sys.executable, "-m", "aminet", "train", "pocket", "--faces", "synthetic:8", "--val", "synthetic:2:1",
               "--out", "run", "--batch", "2", "--images", "1000000", "--device", "cpu"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True,
                               env=os.environ | {"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"})
    journal, deadline = tmp_path / "run" / "log.jsonl", time.monotonic() + 120
    while not (journal.exists() and "loss" in journal.read_text()) and time.monotonic() < deadline:
        time.sleep(0.5)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_stop_leaves_a_state_that_resumes(long_run, tmp_path, aminet, name):
    long_run.send_signal(getattr(signal, name))
    error = long_run.communicate(timeout=60)[1]
    assert long_run.returncode == 130 and "--resume" in error and "Traceback" not in error
    seen = read_tensors(tmp_path / "run" / "state.safetensors")[1]["progress"]["seen"]
    assert seen >= 2 and load_weights(tmp_path / "run")[1]["images"] == seen  # validated, too
    if name == "SIGINT":
        done = aminet(*long_run.args[3:-4], "--images", seen + 2, "--device", "cpu", "--resume")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["images"] == seen + 2


def test_an_ignored_hangup_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with asked_to_stop() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.wait(5)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_killed_at_any_moment_it_ends_the_same(data, tmp_path):
    """kill -9 some moments after the start, again and again, until the run is through."""
    code = ("import sys, torch; sys.path.insert(0, 'tests/unit'); torch.set_num_threads(1)\n"
            "from test_trainer import *; from pathlib import Path; out = Path(sys.argv[1])\n"
            "trainer = run((faces(10, 0), faces(4, 1)), out, 40, resume=(out / 'state.safetensors').exists())\n"
            "print('ready', flush=True); trainer.train(bar=False, save_every=0.0)")
    moments, kills = iter([0.1, 0.6, 0.3, 0.9]), 0
    while True:
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "killed")], stdout=subprocess.PIPE,
                                   env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}, text=True)
        assert process.stdout.readline() == "ready\n"
        try:
            assert process.wait(timeout=next(moments, 240)) == 0
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
    assert kills >= 3
    run(data, tmp_path / "whole", 40).train(bar=False)
    whole, killed = tensors(tmp_path / "whole"), tensors(tmp_path / "killed")
    assert whole.keys() == killed.keys() and all(torch.equal(whole[k], killed[k]) for k in whole)
    images = [line["images"] for line in log(tmp_path / "killed") if "val_psnr" in line]
    assert images == sorted(set(images)) and images[-1] == 40
