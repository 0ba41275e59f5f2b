"""Records: a second look adds what is missing and touches nothing else; what cannot be measured is noticed first."""
import hashlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import numpy as np
import pytest
import torch
from commit_weights import commit

from aminet import PRESETS, AMINet
from aminet.errors import BadInput
from aminet.faces.synthetic import faces
from aminet.metrics import parsing
from aminet.metrics.measure import METRICS
from aminet.metrics.pretrained import NETWORKS
from aminet.paper import evaluate as E
from aminet.paper import records as R
from aminet.paper.comparison import parse_record
from aminet.training.weights import load_weights, save_weights

CHOSEN = "2020-01-01T00:00:00Z"
ABOUT = {"sources": ["some.zip"], "images": 6, "fingerprint": "a", "people": [0, 0, 1, 2, 2, 2]}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    model = AMINet(PRESETS["pocket"])
    torch.nn.init.normal_(model.tail.weight, std=0.01)
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    save_weights(path, model.state_dict(), {"config": PRESETS["pocket"].to_dict(), "images": 0, "chosen": CHOSEN})
    return path


@pytest.fixture(scope="module")
def images():
    return faces(6, 5)


@pytest.fixture(scope="module")
def first(weights, images):
    return E.evaluate(weights, images, ABOUT, metrics=("psnr", "ssim"), command="first")


def test_a_second_look_adds_what_is_missing(weights, images, first, tmp_path, monkeypatch):
    changed = first | {"values": first["values"] | {"psnr": [99.0] * 6}, "created": "2021-02-03T04:05:06Z",
                       "versions": first["versions"] | {"torch": "1.0"}}
    changed["measured"] = [first["measured"][0] | {"when": changed["created"]}]
    before = R.seal(changed)
    record = E.evaluate(weights, images, ABOUT, metrics=("psnr", "vifp", "ssim"), command="second", record=before)
    assert R.read_record(R.write_record(record, tmp_path / "record.json")) == record  # a new seal, that fits
    for part in ("means", "gain", "values"):
        assert {k: v for k, v in record[part].items() if "vifp" not in k} == before[part]
        assert set(record[part]) - set(before[part]) == {"vifp"} | ({"bicubic_vifp"} if part != "gain" else set())
    assert record["created"] == before["created"] and record["command"] == "first"
    assert record["versions"] == before["versions"]
    old, new = record["measured"]
    assert old == before["measured"][0] and old["metrics"] == ["psnr", "ssim"] and old["command"] == "first"
    assert new["metrics"] == ["vifp"] and new["command"] == "second" and new["when"] > old["when"]
    assert new["versions"] == first["versions"] and new["device"] == "cpu"
    monkeypatch.setattr(E, "restore", None)  # a third look measures nothing
    assert E.evaluate(weights, images, ABOUT, metrics=("vifp", "psnr"), record=record) is record


def test_other_protocols_are_other_records(weights, images, first):
    with pytest.raises(BadInput, match="the record is of protocol paper"):
        E.evaluate(weights, images, ABOUT, "dic", metrics=("vifp",), record=first)


def test_validation_chose_before_the_look(weights, images, first, tmp_path):
    assert first["weights"]["chosen"] == CHOSEN < first["created"] and "note" not in first["weights"]
    early = R.seal(first | {"created": "2019-12-31T23:59:59Z"})
    with pytest.raises(BadInput, match=f"chosen at {CHOSEN}, after the first look"):
        E.evaluate(weights, images, ABOUT, metrics=("vifp",), record=early)
    model = AMINet(PRESETS["pocket"])
    config = {"config": PRESETS["pocket"].to_dict()}
    save_weights(tmp_path / "late.safetensors", model.state_dict(), config | {"chosen": "2999-01-01T00:00:00Z"})
    with pytest.raises(BadInput, match="chosen at 2999"):
        E.evaluate(tmp_path / "late.safetensors", images, ABOUT)
    save_weights(tmp_path / "silent.safetensors", model.state_dict(), config)
    record = E.evaluate(tmp_path / "silent.safetensors", images[:1], ABOUT | {"people": [0]}, metrics=("psnr",))
    assert "do not say when they were chosen" in record["weights"]["note"] and "chosen" not in record["weights"]


def test_measuring_again_keeps_the_first_look(weights, images, first):
    again = E.evaluate(weights, images, ABOUT, metrics=("psnr",), replaces=first, command="again")
    assert again["created"] == first["created"] and set(again["means"]) == {"psnr", "bicubic_psnr"}
    assert [each["command"] for each in again["measured"]] == ["first", "again"]
    early = R.seal(first | {"created": "2019-12-31T23:59:59Z"})  # the faces were seen, then training went on
    early["weights"]["sha256"] = "those of an earlier point of the training"
    with pytest.raises(BadInput, match=f"chosen at {CHOSEN}, after the first look"):
        E.evaluate(weights, images, ABOUT, metrics=("psnr",), replaces=early)
    other = R.seal(first | {"created": "2019-12-31T23:59:59Z", "config": {}})
    assert len(E.evaluate(weights, images, ABOUT, metrics=("psnr",), replaces=other)["measured"]) == 1


def test_measurements_at_once_are_all_kept(weights, images, first, tmp_path):
    """Each of four processes found no record, and measured another metric."""
    target = tmp_path / "record.json"
    records = [E.evaluate(weights, images, ABOUT, metrics=(name,), command=name) for name in ("psnr", "ssim", "vifp")]
    for record in (*records, first):
        R.add_record(record, target)
    whole = R.read_record(target)
    assert set(whole["values"]) == {f"{of}{name}" for of in ("", "bicubic_") for name in ("psnr", "ssim", "vifp")}
    assert [each["command"] for each in whole["measured"]] == ["psnr", "ssim", "vifp", "first"]
    assert whole["created"] == records[0]["created"] and whole["values"]["psnr"] == records[0]["values"]["psnr"]
    again = target.read_bytes()
    R.add_record(records[1], target)  # nothing new
    assert target.read_bytes() == again
    with pytest.raises(BadInput, match="has become the record of other weights or faces"):
        R.add_record(R.seal(first | {"faces": first["faces"] | {"fingerprint": "b"}}), target)
    assert target.read_bytes() == again


def test_four_that_write_at_once_lose_none(first, tmp_path, monkeypatch):
    """Each sees the record a moment before it writes its own: one waits for the other."""
    def slowly(record, path):
        time.sleep(0.05)
        return write(record, path)

    write, parts = R.write_record, [{"psnr"}, {"bicubic_psnr"}, {"ssim"}, {"bicubic_ssim"}]
    monkeypatch.setattr(R, "write_record", slowly)
    records = [R.seal(first | {of: {name: value for name, value in first[of].items() if name in part}
                               for of in ("means", "values", "gain")} | {"measured": []}) for part in parts]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(R.add_record, records, [tmp_path / "record.json"] * 4))
    whole = R.read_record(tmp_path / "record.json")
    assert all(whole[of] == first[of] for of in ("means", "values", "gain"))


@pytest.mark.parametrize("package, metric", [("pyrtools", "vif"), ("lpips", "lpips"), ("torch_fidelity", "fid")])
def test_a_missing_package_leaves_out_its_metric(weights, images, package, metric, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    found, problems = E.available_metrics(("psnr", metric, "ssim"))
    assert found == ("psnr", "ssim") and len(problems) == 1
    assert problems[0].startswith(f"{metric} is left out: the package {package.replace('_', '-')} is not installed")
    monkeypatch.setattr(E, "restore", lambda *_: pytest.fail("the network was run"))
    with pytest.raises(BadInput, match=f"{metric} cannot be measured: the package"):
        E.evaluate(weights, images, ABOUT, metrics=("psnr", metric))


def test_a_record_notes_the_versions_that_are_there():
    assert E.versions_of(("torch", "no-such-package")) == {"torch": version("torch")}


@pytest.mark.parametrize("metric", ["lpips", "identity", "iou", "nme", "pose", "fid"])
def test_missing_networks_are_noticed_before_anything_is_measured(weights, images, metric, tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    for name, value in (("AMINET_WEIGHTS", ""), ("TORCH_HOME", str(tmp_path))):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setattr(E, "restore", lambda *_: pytest.fail("the network was run"))
    with pytest.raises(BadInput, match="AMINET_WEIGHTS"):
        E.evaluate(weights, images, ABOUT, metrics=("psnr", metric))


def test_undefined_values_are_counted_and_null(weights, images, tmp_path, monkeypatch):
    network, bicubic = [0.5, np.nan, 0.7, 0.9, 0.5, 0.4], [0.3, np.nan, np.nan, 0.5, 0.3, 0.4]
    found = iter((np.array(network), np.array(bicubic)))
    monkeypatch.setattr("aminet.metrics.perceptual.identity", lambda sr, hr: next(found))
    monkeypatch.setattr(E, "locate", lambda name: weights)
    monkeypatch.setattr(E, "missing_network", lambda name: None)
    record = E.evaluate(weights, images, ABOUT, metrics=("identity",))
    assert record["undefined"] == {"identity": 1, "bicubic_identity": 2}
    assert record["values"]["bicubic_identity"] == [0.3, None, None, 0.5, 0.3, 0.4]
    assert record["means"]["identity"]["mean"] == pytest.approx(0.6)
    assert record["gain"]["identity"]["mean"] == pytest.approx((0.2 + 0.4 + 0.2 + 0) / 4)
    path = R.write_record(record, tmp_path / "record.json")
    assert R.read_record(path) == record and "NaN" not in path.read_text()


def test_fid_is_of_the_set(weights, images, monkeypatch):
    """Small features instead of Inception's: the record's structure and its arithmetic, without pretrained weights."""
    def features(x):
        return torch.nn.functional.adaptive_avg_pool2d(x.double() / 255, 4).flatten(1).numpy()

    monkeypatch.setattr(E, "inception_features", features)
    monkeypatch.setattr(E, "locate", lambda name: weights)
    monkeypatch.setattr(E, "missing_network", lambda name: None)
    record = E.evaluate(weights, images, ABOUT, metrics=("fid", "psnr"))
    assert set(record["values"]) == {"psnr", "bicubic_psnr"} and list(record["means"]["fid"]) == ["mean"]
    draws = {name: np.array(drawn) for name, drawn in record["draws"].items()}
    assert set(draws) == {"fid", "bicubic_fid"} and all(drawn.shape == (100,) for drawn in draws.values())
    bicubic = features(E.upsample(E.degrade(images)))
    assert record["means"]["bicubic_fid"]["mean"] == pytest.approx(E.fid(bicubic, features(images)))
    assert draws["bicubic_fid"] == pytest.approx(E.fid_draws(bicubic, features(images), ABOUT["people"]), abs=6e-4)
    gain = record["gain"]["fid"]
    assert gain["mean"] == pytest.approx(record["means"]["fid"]["mean"] - record["means"]["bicubic_fid"]["mean"])
    assert gain["low"] <= gain["high"]
    assert (gain["low"], gain["high"]) == pytest.approx(
        np.quantile(draws["fid"] - draws["bicubic_fid"], (0.025, 0.975)), abs=2e-3)
    assert record["networks"]["inception"] == {"file": weights.name, "sha256": E.sha256(weights)}
    assert "torch-fidelity" in record["versions"]
    with pytest.raises(BadInput, match="two faces or more"):
        E.evaluate(weights, images[:1], ABOUT, metrics=("fid",))


def test_iou_comes_with_that_of_each_part(weights, images, tmp_path, monkeypatch):
    """Thirds of the brightness instead of BiSeNet's classes: background, skin or nose, and hair in one face alone."""
    def parse(pictures):
        classes = np.array([0, 1, 10])[np.asarray(pictures, int).mean(1).astype(int) // 86]
        classes[0, :9] = 17
        return classes.astype(np.uint8)

    monkeypatch.setattr(parsing, "parse", parse)
    monkeypatch.setattr(E, "locate", lambda name: weights)
    monkeypatch.setattr(E, "missing_network", lambda name: None)
    record = E.evaluate(weights, images, ABOUT, metrics=("psnr", "iou"))
    assert set(record["values"]) == {"psnr", "iou", "bicubic_psnr", "bicubic_iou"}
    of_parts = {f"iou_{part}" for part in parsing.PARTS}
    assert set(record["gain"]) == {"psnr", "iou"} | of_parts
    assert set(record["means"]) == set(record["gain"]) | {f"bicubic_{name}" for name in record["gain"]}
    bicubic = parsing.part_iou(parse(E.upsample(E.degrade(images))), parse(images))
    assert record["values"]["bicubic_iou"] == pytest.approx(np.nanmean(bicubic, axis=1), abs=1e-5)
    for part, found in zip(parsing.PARTS, bicubic.T):
        mean = record["means"][f"bicubic_iou_{part}"]["mean"]
        assert mean is None if np.isnan(found).all() else mean == pytest.approx(np.nanmean(found))
    assert record["means"]["iou_hair"] == {"mean": 1, "low": 1, "high": 1} and record["undefined"]["iou_hair"] == 5
    assert record["means"]["iou_hat"]["mean"] is None and record["gain"]["iou_hat"]["mean"] is None
    assert record["networks"] == {"bisenet": {"file": weights.name, "sha256": E.sha256(weights)}}
    found = parse_record("record.json", record).samples  # the tables' reader
    assert found["iou"].values.shape == (1, 6) and found["iou_skin"].values is None and found["iou_skin"].low > 0
    assert E.evaluate(weights, images, ABOUT, metrics=("iou",), record=record) is record


@pytest.mark.parametrize("people", [[], [0]])
def test_a_record_must_name_everybody_or_nobody(weights, images, people):
    record = E.evaluate(weights, images, ABOUT, metrics=("psnr",))
    with pytest.raises(BadInput, match="people for 6 images"):
        parse_record("record.json", R.seal(record | {"faces": record["faces"] | {"people": people}}))


def test_metrics_are_added_from_the_committed_copy(weights, images, first, tmp_path):
    """The record is of the weights as trained, in fp32; their copy in fp16 is what is at hand."""
    state, header = load_weights(weights)
    run, target = tmp_path / "runs" / "net", tmp_path / "records" / "record.json"
    save_weights(run / "best.safetensors", state.state_dict(), header)
    R.write_record(first, target)
    other = R.write_record(R.seal(first | {"weights": first["weights"] | {"chosen": "2021-02-03T04:05:06Z"}}),
                           tmp_path / "records" / "other.json").read_bytes()
    copy, twin, *records = commit(run, tmp_path)
    assert twin.exists() and copy.stat().st_size < 0.6 * weights.stat().st_size and records == [target]
    assert (tmp_path / "records" / "other.json").read_bytes() == other  # of another training
    noted = R.read_record(target)
    assert noted == R.seal(first | {"weights": first["weights"] | {"committed": E.sha256(copy)}})
    save_weights(run / "best.safetensors", state.state_dict(), header | {"recipe": {"seed": 1}})
    with pytest.raises(BadInput, match="another run"):
        commit(run, tmp_path)
    assert R.earlier(target, weights, ABOUT) == R.earlier(target, copy, ABOUT) == noted
    with pytest.raises(BadInput, match="other weights or faces"):
        R.earlier(target, copy, ABOUT | {"fingerprint": "b"})
    record = E.evaluate(copy, images, ABOUT, metrics=("psnr", "vifp"), record=noted)
    R.add_record(record, target)
    assert R.read_record(target) == record and record["weights"] == noted["weights"]
    assert record["values"]["psnr"] == first["values"]["psnr"]
    assert [look.get("weights") for look in record["measured"]] == [None, E.sha256(copy)]
    fresh = E.evaluate(copy, images, ABOUT, metrics=("psnr", "ssim"), command="by another process")
    R.add_record(fresh, target)  # which had found no record
    both = R.read_record(target)
    assert both["weights"] == noted["weights"] and both["values"]["psnr"] == first["values"]["psnr"]
    assert [look.get("weights") for look in both["measured"]] == [None, E.sha256(copy), E.sha256(copy)]
    assert fresh["measured"][0].get("weights") is None  # its own record is of the copy
    again = target.read_bytes()
    R.add_record(fresh, target)
    assert target.read_bytes() == again


def test_a_record_names_the_networks_it_used(weights, images, first, pretrained):
    paths = dict(zip(("alexnet", "yunet", "arcface"), pretrained("alexnet", "yunet", "arcface")))
    record = E.evaluate(weights, images, ABOUT, metrics=("lpips", "identity"), record=first)
    assert set(record["networks"]) == set(paths) and "networks" not in first
    for name, path in paths.items():
        assert record["networks"][name] == {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        assert record["networks"][name]["sha256"] in {file.sha256 for file in NETWORKS[name]}
    assert {"lpips", "torchvision", "onnxruntime"} <= set(record["versions"]) - set(first["versions"])
    assert 0 < record["means"]["bicubic_lpips"]["mean"] < 1 and -1 < record["means"]["identity"]["mean"] < 1


def test_every_metric_has_its_networks_named():
    assert set(E.NEEDS) <= set(E.PACKAGES) <= {*METRICS, E.RECOGNITION}
    assert {name for names in E.NEEDS.values() for name in names} <= set(NETWORKS)


def test_no_metric_is_no_measurement(weights, images):
    with pytest.raises(BadInput, match="no metric to measure"):
        E.evaluate(weights, images, ABOUT, metrics=())
