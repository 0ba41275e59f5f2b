"""Weights and records: what is written is read back; everything else is refused in one line."""
import json
import pickle

import pytest
import torch

from aminet import PRESETS, AMINet, BadInput
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
    from safetensors.torch import save_file
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
    record = evaluate(saved, images, {"images": 3, "fingerprint": "a"}, metrics=("psnr", "ssim"))
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
