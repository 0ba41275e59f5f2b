"""Weights and records: what is written is read back; everything else is refused in one line."""
import json
import pickle
import resource

import pytest
import torch
from safetensors.torch import save_file

from aminet import PRESETS, AMINet, BadInput
from aminet.baselines.registry import build, methods
from aminet.baselines.registry import preset as preset_of
from aminet.degrade import degrade, upsample
from aminet.faces.synthetic import faces
from aminet.paper.evaluate import evaluate
from aminet.paper.records import earlier, read_record, seal, write_record
from aminet.protocol import PROTOCOLS, psnr
from aminet.training.weights import load_weights, save_weights

HEADER = {"preset": "pocket", "config": PRESETS["pocket"].to_dict(), "images": 0}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = AMINet(PRESETS["pocket"]).eval()
    torch.nn.init.normal_(model.tail.weight, std=0.01)
    return model


@pytest.fixture
def saved(model, tmp_path):
    save_weights(tmp_path / "net.safetensors", model.state_dict(), HEADER)
    return tmp_path / "net.safetensors"


def test_round_trip(model, saved):
    loaded, header = load_weights(saved)
    assert header == json.loads(json.dumps(HEADER)) and not loaded.training
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), loaded.state_dict().values()))


def test_half_is_half_the_size_and_close(model, saved, tmp_path):
    save_weights(tmp_path / "half.safetensors", model.state_dict(), HEADER, half=True)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.55 * saved.stat().st_size
    x = torch.rand(1, 3, 128, 128) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(load_weights(tmp_path / "half.safetensors")[0](x), model(x), atol=5e-3, rtol=0)


def test_bad_weights(saved, tmp_path, model):
    truncated, pickled, plain = (tmp_path / f"{n}.safetensors" for n in ("truncated", "pickled", "plain"))
    truncated.write_bytes(saved.read_bytes()[:-100])
    pickled.write_bytes(pickle.dumps({"weight": 1}))
    save_file({"weight": torch.ones(1)}, plain)
    wrong = tmp_path / "wrong.safetensors"
    save_weights(wrong, model.state_dict(), HEADER | {"config": PRESETS["aminet-s"].to_dict()})
    for path, words in ((truncated, "not a whole safetensors file"), (pickled, "pickles are never loaded"),
                        (plain, "was not written by aminet"), (wrong, "does not fit its own configuration"),
                        (tmp_path / "none.safetensors", "no such file"), ("nothing", "no weights 'nothing'")):
        with pytest.raises(BadInput, match=words) as caught:
            load_weights(path)
        assert "\n" not in str(caught.value)


def test_record(saved, tmp_path):
    images = faces(3, 5)
    record = evaluate(saved, images, {"sources": [], "images": 3, "fingerprint": "a"}, metrics=("psnr", "ssim"))
    bicubic = psnr(upsample(degrade(images)), images, PROTOCOLS["paper"])
    assert record["means"]["bicubic_psnr"]["mean"] == pytest.approx(bicubic.mean())
    assert record["values"]["bicubic_psnr"] == pytest.approx(bicubic, abs=1e-4)
    assert record["gain"]["psnr"]["mean"] == pytest.approx(
        record["means"]["psnr"]["mean"] - record["means"]["bicubic_psnr"]["mean"])
    path = write_record(record, tmp_path / "r.json")
    assert read_record(path) == record
    assert earlier(path, saved, {"fingerprint": "a"}) == record
    with pytest.raises(BadInput, match="other weights or faces"):
        earlier(path, saved, {"fingerprint": "b"})
    assert earlier(tmp_path / "new.json", saved, {"fingerprint": "a"}) is None
    path.write_text(path.read_text().replace('"psnr":[', '"psnr":[99,', 1))
    with pytest.raises(BadInput, match="edited"):
        read_record(path)


def test_seal_sees_every_change():
    record = seal({"a": 1, "b": [1.5]})
    assert record["sha256"] != seal({"a": 1, "b": [1.6]})["sha256"]
    assert record["sha256"] == seal({"b": [1.5], "a": 1})["sha256"]


@pytest.mark.parametrize("config", [
    [], None, {"paths": 3}, {"kernels": [[5]]}, {"ffn_expansion": -1.0}, {"ffn_expansion": float("nan")},
    {"norm": "yes"}, {"channels": 10**9}, {"channels": True}, {"heads": [1, 2, 4]}, {"unknown": 1},
])
def test_a_header_is_input_too(model, tmp_path, config):
    save_weights(tmp_path / "net.safetensors", model.state_dict(), HEADER | {"config": config})
    with pytest.raises(BadInput):
        load_weights(tmp_path / "net.safetensors")


@pytest.mark.parametrize("name", ["aminet-8c", *methods()])
def test_every_network_loads_as_it_was(tmp_path, name):
    """And draws as many random numbers as its construction does, which a seeded program may count on."""
    config = preset_of(f"pocket/{name}" if name in methods() else name)
    torch.manual_seed(3)
    network = build(config)
    state = torch.get_rng_state()
    save_weights(tmp_path / "net.safetensors", network.state_dict(), {"config": config.to_dict()})
    torch.manual_seed(3)
    loaded = load_weights(tmp_path / "net.safetensors")[0]
    assert torch.equal(torch.get_rng_state(), state)
    ours, theirs = (dict([*each.named_parameters(), *each.named_buffers()]) for each in (loaded, network))
    assert ours.keys() == theirs.keys() and all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_a_header_of_millions_of_names_is_not_parsed(tmp_path, monkeypatch):
    (tmp_path / "net.safetensors").write_bytes((2**25).to_bytes(8, "little") + b"{}")
    monkeypatch.setattr("safetensors.safe_open", lambda *_, **__: pytest.fail("it was parsed"))
    with pytest.raises(BadInput, match="header too large"):
        load_weights(tmp_path / "net.safetensors")


def test_a_small_file_gets_little_memory(tmp_path):
    """Its header asks for 16 G parameters."""
    path, before = tmp_path / "net.safetensors", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    config = PRESETS["pocket"].to_dict() | {"channels": 1024}
    save_file({"head.bias": torch.ones(1)}, path, {"aminet": json.dumps({"config": config})})
    with pytest.raises(BadInput, match="does not fit its own configuration"):
        load_weights(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20 / 10  # KiB on Linux: 100 MiB


@pytest.mark.parametrize("key, change, words", [
    ("head.weight", lambda value: value.bool(), "of head.weight it has .'others'"),
    ("head.weight", lambda value: value.int(), "of head.weight it has .'integers'"),
    ("head.weight", lambda value: value[:1], "of head.weight it has"),
    ("encoders.0.local.refine.norm.num_batches_tracked", lambda value: value.float(), "not .'integers'"),
    ("head.weight", lambda value: value * torch.nan, "holds NaN or infinity in head.weight"),
    ("head.weight", lambda value: value.double() + 1e300, "holds NaN or infinity in head.weight"),
])
def test_numbers_that_are_none(model, tmp_path, key, change, words):
    state = model.state_dict()
    key = key if key in state else next(name for name in state if name.endswith("num_batches_tracked"))
    save_weights(tmp_path / "net.safetensors", state | {key: change(state[key])}, HEADER)
    with pytest.raises(BadInput, match=words):
        load_weights(tmp_path / "net.safetensors")


@pytest.mark.parametrize("header, words", [
    (HEADER | {"chosen": 5}, "header.chosen is not"), (HEADER | {"chosen": "\x1b[2J"}, "header.chosen is not"),
    (HEADER | {"data": {"train": []}}, "header.data.train is not"), (HEADER | {"images": -1}, "header.images is not"),
    (HEADER | {"trials": [{}]}, "header.trials...lr is missing"), (HEADER | {"val_psnr": 10**400}, "header.val_psnr"),
    ("[" * 100_000, "is no JSON"), ("5", "header is not"), ("{", "is no JSON")],
    ids=["number", "escape", "list", "negative", "trial", "huge", "deep", "five", "cut"])
def test_headers_that_are_none(model, tmp_path, header, words):
    text = header if isinstance(header, str) else json.dumps(header)
    save_file(model.state_dict(), tmp_path / "net.safetensors", {"aminet": text})
    for path in (tmp_path / "net.safetensors", tmp_path):
        with pytest.raises(BadInput, match=words if path.suffix else "holds no best.safetensors"):
            load_weights(path)


@pytest.mark.parametrize("name", ["x" * 300, "x" * 300 + ".safetensors", "a\nb", "caf\udce9.safetensors", "\x1b[2J"])
def test_odd_names(name):
    with pytest.raises(BadInput) as error:
        load_weights(name)
    assert str(error.value).isprintable()


def test_bytes_are_no_picture_for_a_network(model):
    with pytest.raises(BadInput, match=r"takes floats in \[-1, 1\], not torch.uint8: use aminet.degrade.to_float"):
        model(torch.zeros(1, 3, 128, 128, dtype=torch.uint8))
