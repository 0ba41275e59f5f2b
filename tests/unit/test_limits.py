"""The limits: a stress does what it says, at its first level nothing; levels are paired; what breaks is found."""
import json

import numpy as np
import pytest
import torch
from PIL import Image

from aminet import AMINet, AMINetConfig
from aminet.degrade import degrade, upsample
from aminet.errors import BadInput
from aminet.faces.synthetic import FaceParams, draw_faces, faces, random_params
from aminet.paper import limits as L
from aminet.paper.records import read_record, write_record
from aminet.protocol import PROTOCOLS, psnr
from aminet.training.weights import save_weights

OF_PICTURES = [name for name, stress in L.STRESSES.items() if stress.on != "scene"]
OF_SCENES = [name for name in L.STRESSES if name not in OF_PICTURES]


@pytest.fixture(scope="module")
def hr():
    return faces(2, 5)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    config = AMINetConfig(channels=4, depths=(1, 1, 1, 1), ffn_expansion=2.0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, AMINet(config).state_dict(), {"config": config.to_dict(), "images": 0})
    return path


@pytest.fixture(scope="module")
def record(weights):
    return L.measure_limits(weights, ["synthetic:2:5"], ["strength", "noise", "bright"], ["psnr"], progress=False)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "some").mkdir()
    for i, face in enumerate(faces(4, 5)):
        Image.fromarray(face.permute(1, 2, 0).numpy()).save(tmp_path / "some" / f"{i}.png")
    lines = [f"some,{i}.png,test,{'ab'[i // 2]}" for i in range(4)]
    (tmp_path / "manifest.csv").write_text("\n".join(["archive,file,split,identity", *lines]))
    return tmp_path / "some"


# The stresses


@pytest.mark.parametrize("name", OF_PICTURES)
def test_the_first_level_changes_nothing(name, hr):
    stress = L.STRESSES[name]
    truth, lr = L.under(stress, stress.levels[0], hr)
    assert torch.equal(truth, hr) and torch.equal(lr, degrade(hr))


@pytest.mark.parametrize("name", OF_SCENES)
def test_a_scene_keeps_its_people(name):
    stress, source = L.STRESSES[name], L.Source.parse("synthetic:1:5")
    drawn = [L.under(stress, level, torch.empty(0), source) for level in stress.levels]
    assert len({truth.numpy().tobytes() for truth, _ in drawn}) == len(stress.levels)
    assert all(torch.equal(lr, degrade(truth)) for truth, lr in drawn)
    assert set(stress.act(stress.levels[-1])) <= set(FaceParams.__dataclass_fields__) - {"identity", "background"}


def test_controls_are_those_of_the_face():
    own = random_params(5_000_000)
    same, = draw_faces(1, 5, yaw=own.yaw, skin=own.skin)
    assert torch.equal(same.image, faces(1, 5)[0])
    with pytest.raises(BadInput, match="yaw"):
        faces(1, 5, yaw=90)


@pytest.mark.parametrize("name", ["blur", "noise", "jpeg"])
def test_bicubic_is_worse_at_every_level(name, hr):
    stress = L.STRESSES[name]
    values = [psnr(upsample(lr), truth, PROTOCOLS["paper"]).mean()
              for truth, lr in (L.under(stress, level, hr) for level in stress.levels)]
    assert (np.diff(values) < 0).all() and values[0] - values[-1] > 0.5, values


@pytest.mark.parametrize("name", ["dark", "bright", "shift", "roll", "smaller", "larger"])
def test_the_truth_changes_with_the_frame(name, hr):
    stress = L.STRESSES[name]
    truth, lr = L.under(stress, stress.levels[-1], hr)
    assert torch.equal(lr, degrade(truth)) and not torch.equal(truth, hr)


def test_exposure_is_of_light():
    assert L.exposed(torch.tensor([0, 100, 201], dtype=torch.uint8), 2.2).tolist() == [0, 200, 255]
    assert L.exposed(torch.tensor([0, 100, 201], dtype=torch.uint8), -2.2).tolist() == [0, 50, 100]


def test_blur_and_noise_have_their_strength():
    point = torch.zeros(1, 1, 65, 65, dtype=torch.uint8)
    point[..., 28:37, 28:37] = 255
    spread = L.blurred(point, 3)[0, 0].float()
    x = torch.arange(65.0) - 32
    variance = (spread.sum(0) * x**2).sum() / spread.sum()
    assert float(variance) == pytest.approx(3**2 + 80 / 12, rel=0.03)  # that of the square of 9, too
    grey = torch.full((4, 3, 16, 16), 128, dtype=torch.uint8)
    noise = L.noisy(grey, 10).float() - 128
    assert float(noise.std()) == pytest.approx(10, rel=0.05) and abs(float(noise.mean())) < 0.5
    assert torch.equal(L.noisy(grey, 10), L.noisy(grey, 10))


def test_moves_are_exact(hr):
    assert torch.equal(L.moved(hr, shift=8)[..., 8:], hr[..., :-8])
    assert torch.equal(L.moved(hr, roll=90), hr.rot90(1, (2, 3)))
    twice = L.moved(hr, scale=2).float()
    middle = torch.nn.functional.avg_pool2d(twice, 2)
    assert float((middle - hr[..., 32:96, 32:96].float()).abs().mean()) < 2


def test_a_face_is_levelled_before_its_identity_and_shape(weights, monkeypatch):
    seen = []

    def results(sr, hr, rule, metrics, people, bicubic):
        seen.append((metrics, hr))
        return {"means": dict.fromkeys([*metrics, "bicubic_psnr", "iou_nose"])}

    monkeypatch.setattr(L, "results", results)
    hr, model = faces(1, 5), L.load_weights(weights)[0]
    truth, lr = L.under(L.STRESSES["roll"], 90, hr)
    found = L.measured(model, L.STRESSES["roll"], 90, truth, lr, ["psnr", "identity", "iou"], np.zeros(1))
    assert set(found["means"]) == {"psnr", "bicubic_psnr", "identity", "iou"}  # not the IoU of each part
    (plain, turned), (same, back) = seen
    assert (plain, same) == (["psnr"], ["identity", "iou"]) and torch.equal(turned, truth) and torch.equal(back, hr)


# The record


def test_the_record_is_sealed_and_whole(record, tmp_path):
    assert read_record(write_record(record, tmp_path / "record.json")) == record
    assert record["kind"] == "limits" and record["weights"]["name"] == "tiny.safetensors"
    assert record["faces"]["images"] == record["faces"]["measured"] == 2
    for name, stress in record["stresses"].items():
        assert [row["level"] for row in stress["rows"]] == list(L.STRESSES[name].levels)
        for row in stress["rows"]:
            found = [row["means"]["psnr"], row["means"]["bicubic_psnr"], row["gain"]["psnr"], row["change"]["psnr"]]
            assert all(each["low"] <= each["mean"] <= each["high"] for each in found)
            network, bicubic, gain, change = (each["mean"] for each in found)
            assert gain == pytest.approx(network - bicubic, abs=1e-4)
            first = stress["rows"][0]
            assert change == pytest.approx(network - first["means"]["psnr"]["mean"], abs=1e-4)
            assert row["gain_change"]["psnr"]["mean"] == pytest.approx(gain - first["gain"]["psnr"]["mean"], abs=1e-4)


def test_numbers_are_those_of_the_faces(record):
    noise, bright = (record["stresses"][name]["rows"] for name in ("noise", "bright"))
    assert noise[0]["means"] == bright[0]["means"] != noise[1]["means"]
    hr = faces(2, 5)
    for row in noise:
        bicubic = upsample(L.noisy(degrade(hr), row["level"]))
        assert row["means"]["bicubic_psnr"]["mean"] == pytest.approx(
            psnr(bicubic, hr, PROTOCOLS["paper"]).mean(), abs=1e-4)


def test_files_are_drawn_by_a_fixed_seed_and_people_count(weights, folder):
    def measured(images):
        return L.measure_limits(weights, [str(folder)], ["bright"], ["psnr"], images, progress=False)

    two, again, everything = measured(2), measured(2), measured(None)
    assert two["stresses"] == again["stresses"] and two["stresses"] != everything["stresses"]
    assert (two["faces"]["images"], two["faces"]["measured"]) == (4, 2)
    assert "people" not in everything["faces"]
    hr = faces(4, 5)
    means = psnr(upsample(degrade(hr)), hr, PROTOCOLS["paper"]).reshape(2, 2).mean(1)  # of two people
    row = everything["stresses"]["bright"]["rows"][0]["means"]["bicubic_psnr"]
    assert (row["low"], row["high"]) == pytest.approx(sorted(means), abs=1e-4)


def test_photographs_are_sorted_by_yaw(weights, folder, monkeypatch):
    """With the drawn faces' own landmarks, which stand in for those that the network finds."""
    yaws = [0, -14, 2, 26, 5, -8, 4]
    drawn = [next(draw_faces(1, seed, yaw=yaw)) for seed, yaw in enumerate(yaws)]
    hr, landmarks = torch.stack([face.image for face in drawn]), torch.stack([face.landmarks for face in drawn])
    monkeypatch.setattr(L, "find_landmarks", lambda faces: landmarks)
    bins = L.by_yaw(hr, None)
    found = {low: index.tolist() for low, index in bins.items() if len(index)}
    assert found == {0: [0, 2, 4, 5, 6], 10: [1], 20: [3]}
    assert len(L.by_yaw(hr, 2)[0]) == 2
    monkeypatch.setattr(L, "locate", lambda name: None)
    monkeypatch.setattr(L, "networks_of", lambda *names: {})
    monkeypatch.setattr(L, "open_faces", lambda *_, **__: (hr, {"images": 7, "sources": ["some"]}))
    record = L.measure_limits(weights, [str(folder)], ["turn"], ["psnr"], progress=False)
    rows = record["stresses"]["turn"]["rows"]
    assert [(row["level"], row["images"]) for row in rows] == [(0, 5), (10, 1), (20, 1), (30, 0), (45, 0), (60, 0)]
    assert rows[0]["gain"]["psnr"]["mean"] and rows[1]["means"] == {} and "change" not in rows[0]
    assert L.breaks(record)[0]["last"] == rows[0]["gain"]["psnr"]["mean"]


def test_bad_requests_are_refused_before_the_faces_are_read(weights, folder, monkeypatch):
    monkeypatch.setattr(L, "open_faces", None)
    for words, options in {
            "unknown stress 'rain'": {"stresses": ["rain"]}, "skin needs drawn faces": {"stresses": ["skin"]},
            "need psnr": {"metrics": ["ssim"]}, "no fid": {"metrics": ["psnr", "fid"]},
            "unknown metric beauty": {"metrics": ["psnr", "beauty"]}, "1 or more": {"images": 0}}.items():
        with pytest.raises(BadInput, match=words):
            L.measure_limits(weights, [str(folder)], **{"metrics": ["psnr"]} | options)
    with pytest.raises(BadInput, match="synthetic:N"):
        L.measure_limits(weights, ["synthetic:3"], metrics=["psnr"], images=2)
    with pytest.raises(BadInput, match="no such"):
        L.measure_limits("nothing.safetensors", [str(folder)], metrics=["psnr"])


# What breaks


def test_crossing():
    assert L.crossing([(0, 2.0), (10, 1.0), (20, 0.0)], 1.0) == 10
    assert L.crossing([(0, 2.0), (10, 1.0), (20, -1.0)], 0.0) == 15
    assert L.crossing([(1, 2.0), (0.5, 1.0)], 1.5) == 0.75  # levels may fall
    assert L.crossing([(0, 2.0), (10, 1.0)], 0.0) is None
    assert L.crossing([(0, -1.0), (10, 1.0)], 0.0) == 0


def test_breaks_and_its_table(record):
    def row(level, gain, identity):
        means = {"psnr": {"mean": 20 + gain}, "bicubic_psnr": {"mean": 20}, "identity": {"mean": identity}}
        return {"level": level, "images": 9, "means": means, "gain": {"psnr": {"mean": gain}}}

    rows = [row(0, 2, 0.5), row(4, 1.5, 0.45), row(8, 0.5, 0.35), row(12, 0.3, None), {"level": 16, "means": {}}]
    found, = L.breaks({"stresses": {"blur": {"unit": "pixels", "rows": rows}}})
    assert found == {"stress": "blur", "unit": "pixels", "first": 2, "last": 0.3, "halved": 6, "gone": None,
                     "other": pytest.approx(6)}
    text = L.format_limits(record)
    assert all(name in text for name in ("strength", "noise", "bright", "halved at", "tiny.safetensors"))
    assert len([line for line in text.splitlines() if line.startswith("noise")]) == len(L.STRESSES["noise"].levels) + 1


# The command


def test_the_command_keeps_what_is_there(aminet, refuses, weights):
    command = ["limits", weights, "--faces", "synthetic:1:5", "--stress", "bright", "--metrics", "psnr"]
    done = aminet(*command, "--records", "records")
    assert done.returncode == 0, done.stderr
    assert "bright" in done.stdout and "limits-tiny-synthetic_1_5.json" in done.stderr
    refuses("exists and is kept", *command, "--records", "records")
    assert json.loads(aminet(*command, "--json").stdout)["stresses"]["bright"]["on"] == "frame"
    refuses("unknown stress", "limits", weights, "--stress", "rain", "--metrics", "psnr")
    words = aminet("limits", "--help").stdout
    assert all(name in words for name in L.STRESSES)
