"""Networks by name, and that a new method is one file and one line."""
from __future__ import annotations

import pytest
import torch

from aminet import BadInput
from aminet import baselines as package
from aminet.baselines.registry import adds_face, build, config_class, methods, network_class, preset, read_config
from aminet.config import AMINET
from aminet.degrade import degrade, network_input, to_float, upsample
from aminet.faces.portraits import portraits
from aminet.paper import reproduce
from aminet.paper import runs as run_list
from aminet.paper.records import read_record

TOY = '''"""A toy method."""
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from aminet.config import Config


@dataclass(frozen=True)
class ToyConfig(Config):
    network: ClassVar[str] = "toy"
    enlarged: ClassVar[bool] = False
    channels: int = 16


class Toy(nn.Module):
    def __init__(self, config=ToyConfig()):
        super().__init__()
        self.config = config
        self.body = nn.Sequential(nn.Conv2d(3, config.channels, 3, padding=1), nn.ReLU(),
                                  nn.Conv2d(config.channels, 192, 3, padding=1), nn.PixelShuffle(8))

    def forward(self, image):
        return self.body(image) + nn.functional.interpolate(image, scale_factor=8, mode="bicubic")
'''


def forget():
    for function in (run_list.listed, run_list.specify, methods):
        function.cache_clear()


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """One file in the folder of methods, and one line in the list of runs."""
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "toy.py").write_text(TOY)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / "methods")])
    (tmp_path / "runs.yaml").write_text(run_list.LIST.read_text() + "  - {name: toy, change: toy, rows: []}\n")
    monkeypatch.setattr(run_list, "LIST", tmp_path / "runs.yaml")
    forget()
    yield
    forget()


def test_a_new_method_is_one_file_and_one_line(toy, tmp_path):
    assert "toy" in methods() and preset("pocket/toy") == config_class("toy")(channels=8)
    work = reproduce.Reproduction("smoke", out=tmp_path / "runs", device="cpu")
    assert not work.go(run_list.choose(run_list.runs("smoke"), "toy-*"))
    record = read_record(tmp_path / "runs" / "records" / "toy-smoke-0-synthetic_4_2-paper.json")
    assert record["config"] == {"network": "toy", "channels": 8} and record["means"]["psnr"]["mean"] > 5


@pytest.mark.parametrize("network", methods())
def test_from_bicubic_the_untrained_network_returns_the_enlarged_face(network):
    """The same face that the tables call bicubic, up to its rounding. The switch adds no parameter."""
    config = preset(f"pocket/{network}+from_bicubic")
    assert read_config(config.to_dict()) == config and "from_bicubic" not in preset(f"pocket/{network}").to_dict()
    restored, plain = build(config).eval(), build(preset(f"pocket/{network}"))
    hr = portraits()["hopper"][None]
    bicubic = to_float(upsample(degrade(hr)))
    with torch.inference_mode():
        found = restored(network_input(hr, config.enlarged))
    assert torch.equal(found, bicubic) if config.enlarged else (found.clamp(-1, 1) - bicubic).abs().max() < 2 / 127.5
    assert {name: value.shape for name, value in restored.state_dict().items()} == {
        name: value.shape for name, value in plain.state_dict().items()}


def test_what_a_method_adds_of_its_own():
    assert AMINET.from_bicubic
    for network, mode in (("ad_gnn", "bicubic"), ("sctanet", "bicubic"), ("dicnet", "bilinear"), ("rcan", "")):
        config, lr = preset(f"pocket/{network}"), torch.rand(1, 3, 16, 16) * 2 - 1
        enlarged = torch.nn.functional.interpolate(lr, scale_factor=8, mode=mode) if mode else 0
        assert torch.equal(config.finish(torch.ones(1, 3, 128, 128), lr), 1 + enlarged + torch.zeros(1, 3, 128, 128))
    assert preset("pocket/sfmnet+edff+from_bicubic") == config_class("sfmnet")(
        channels=16, edff=True, from_bicubic=True)


def test_who_adds_the_enlarged_face():
    names = ("", "/restormer", "/dicnet", "/sparnet+from_bicubic", "/sparnet", "/rcan", "/facn")
    assert [adds_face(preset(f"pocket{name}")) for name in names] == [True] * 4 + [False] * 3


def test_the_toy_is_gone():
    assert "toy" not in methods()
    with pytest.raises(BadInput, match="unknown network 'toy'"):
        network_class("toy")


@pytest.mark.parametrize("name, match", [
    ("pocket/sparnets", "did you mean .sparnet."), ("pocket/unet", "row .unet.: Methods: ad_gnn, .* Rows: w/o SA; "),
    ("pocket/sparnet+wings", "no switch 'wings': choose one of edff, from_bicubic, hd"),
    ("pocket/sparnet+channels", "no switch"), ("huge/sparnet", "unknown preset"), ("huge", "unknown preset"),
    ("rcan", "rcan has no size: pocket/rcan"), ("sparnet+edff", "has no size"),
    ("pocket/__init__", "unknown method or row"), ("pocket/../amigan", "unknown method or row")])
def test_names_of_nothing(name, match):
    with pytest.raises(BadInput, match=match):
        preset(name)


def test_methods_are_as_much_narrower_as_the_preset():
    assert preset("aminet/sparnet+edff") == config_class("sparnet")(edff=True)
    assert preset("pocket/sparnet") == config_class("sparnet")(channels=8)
    assert preset("pocket/sfmnet") == config_class("sfmnet")(channels=16)
