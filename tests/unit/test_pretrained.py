"""Pretrained networks: where a file is looked for, what is refused, what the networks are. Nothing is downloaded."""
import hashlib
import os
import re

import pytest
import torch
from torchvision.models import AlexNet

from aminet import files
from aminet.errors import BadInput
from aminet.faces.portraits import portraits
from aminet.metrics import pretrained as P
from aminet.metrics.yunet import detector

GOOD, BAD = b"the right bytes", b"the wrong bytes"
SUM = hashlib.sha256(GOOD).hexdigest()


@pytest.fixture
def network(tmp_path, monkeypatch):
    """A network `net` whose first file can be had from tmp_path/web, and three folders to look for it."""
    for name in ("web", "one", "two", "hub"):
        (tmp_path / name).mkdir()
    files = (P.NetworkFile("net.pth", len(GOOD), SUM, (tmp_path / "web" / "net.pth").as_uri()),
             P.NetworkFile("net_half.safetensors", len(GOOD), SUM))
    monkeypatch.setitem(P.NETWORKS, "net", files)
    monkeypatch.setenv("AMINET_WEIGHTS", os.pathsep.join((str(tmp_path / "one"), str(tmp_path / "two"))))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    return tmp_path


def test_folders_are_searched_in_order(network):
    cache = network / "hub" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    for folder, name in ((cache, "net.pth"), (network / "two", "net_half.safetensors"), (network / "two", "net.pth"),
                         (network / "one", "net_half.safetensors")):
        (folder / name).write_bytes(GOOD)
        assert P.locate("net") == folder / name


def test_a_download_is_checked_and_kept(network, capfd):
    (network / "web" / "net.pth").write_bytes(GOOD)
    path = P.locate("net")
    assert path == network / "hub" / "hub" / "checkpoints" / "net.pth" and path.read_bytes() == GOOD
    assert "100%" in capfd.readouterr().err  # a progress bar
    (network / "web" / "net.pth").unlink()
    assert P.locate("net") == path  # the second time it is there
    assert [file.name for file in path.parent.iterdir()] == ["net.pth"]


@pytest.mark.parametrize("content, why", [(None, "No such file"), (BAD, "invalid hash")])
def test_a_failed_download_leaves_nothing(network, content, why):
    if content:
        (network / "web" / "net.pth").write_bytes(content)
    with pytest.raises(BadInput, match=why) as caught:
        P.locate("net")
    message = str(caught.value)
    assert "\n" not in message and "net.pth (0.0 MB)" in message and "AMINET_WEIGHTS" in message
    assert P.NETWORKS["net"][0].source in message
    assert not list((network / "hub" / "hub" / "checkpoints").iterdir())


@pytest.mark.parametrize("folder", ["one", "hub/hub/checkpoints"])
def test_another_file_of_that_name_is_refused_and_kept(network, folder):
    (network / "web" / "net.pth").write_bytes(GOOD)
    (network / folder).mkdir(parents=True, exist_ok=True)
    path = network / folder / "net.pth"
    path.write_bytes(BAD)
    with pytest.raises(BadInput, match=re.escape(str(path))) as caught:
        P.locate("net")
    assert SUM in str(caught.value) and hashlib.sha256(BAD).hexdigest() in str(caught.value)
    assert path.read_bytes() == BAD
    path.write_bytes(GOOD)  # the right one, at last: the check is not remembered for another file
    os.utime(path, ns=(1, 1))
    assert P.locate("net") == path


def test_a_detector_that_is_none_meets_no_parser(network, monkeypatch):
    """OpenCV would raise an error of its own."""
    (network / "two" / P.NETWORKS["yunet"][0].name).write_bytes(b"")
    detector.cache_clear()
    with pytest.raises(BadInput, match="is not the file it should be"):
        detector(128, 128)


def test_a_file_is_read_once_while_it_does_not_change(network):
    path = network / "one" / "net.pth"
    path.write_bytes(GOOD)
    files._sha256.cache_clear()
    for _ in range(3):
        P.locate("net")
    assert (files._sha256.cache_info().misses, files._sha256.cache_info().hits) == (1, 2)


def test_what_cannot_be_downloaded_says_where_it_is(network, monkeypatch):
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("tried to download"))
    for name, words in (("arcface", r"w600k_mbf.onnx \(13.6 MB\).*buffalo_s, for non-commercial research"),
                        ("landmarks", r"2d106det.onnx \(5.0 MB\).*buffalo_s, for non-commercial research")):
        with pytest.raises(BadInput, match=words + ".*AMINET_WEIGHTS"):
            P.locate(name)


def test_the_table():
    files = [file for files in P.NETWORKS.values() for file in files]
    assert len({file.name for file in files}) == len({file.sha256 for file in files}) == len(files) == 11
    for file in files:
        assert re.fullmatch("[0-9a-f]{64}", file.sha256) and file.bytes > 1e5
        if pinned := re.search(r"-([0-9a-f]{8})\.pth$", file.name):  # as torch.hub names its files
            assert file.sha256.startswith(pinned[1]) and file.source.endswith(file.name)
    assert all(files[0].source for files in P.NETWORKS.values())


def frozen(network: torch.nn.Module) -> bool:
    return not network.training and all(p.dtype == torch.float32 and not p.requires_grad for p in network.parameters())


def test_vgg19(pretrained):
    path, = pretrained("vgg19")
    before = torch.get_rng_state()
    network, name = P.vgg19()
    assert torch.equal(torch.get_rng_state(), before) and name == path.name
    assert len(network) == 37 and frozen(network)
    mean, deviation = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    relu5_4 = network[:36]((portraits()["collins"][None] / 255 - mean) / deviation)
    assert relu5_4.shape == (1, 512, 8, 8) and relu5_4.min() == 0
    if name.startswith("vgg19_caffe"):
        assert relu5_4.mean() == pytest.approx(0.0099, abs=1e-4)


def test_alexnet(pretrained):
    pretrained("alexnet")
    before = torch.get_rng_state()
    network = P.features("alexnet")
    assert torch.equal(torch.get_rng_state(), before)
    assert len(network) == 13 and frozen(network)
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 256, 1, 1)


def test_torchvisions_own_file(tmp_path, monkeypatch):
    """A pickle with the prefix `features.` and a classifier that is not needed."""
    torch.manual_seed(0)
    state = {f"features.{key}": value for key, value in AlexNet().features.state_dict().items()}
    torch.save(state | {"classifier.1.weight": torch.zeros(3)}, tmp_path / "alexnet.pth")
    monkeypatch.setattr(P, "locate", lambda name: tmp_path / f"{name}.pth")
    for key, value in P.features("alexnet").state_dict().items():
        assert torch.equal(value, state[f"features.{key}"])


def test_inception(pretrained):
    pretrained("inception")
    before = torch.get_rng_state()
    network = P.inception.__wrapped__()
    assert torch.equal(torch.get_rng_state(), before) and frozen(network)
    features, = network(torch.randint(256, (1, 3, 64, 64), dtype=torch.uint8))
    assert features.shape == (1, 2048) and 0 < features.mean() < 1
    norms = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert len(norms) == 94 and all((layer.weight == 1).all() for layer in norms)
