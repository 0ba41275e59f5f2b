"""FSRNet: its size, its classes of parsing, who is taught by what, and the losses by hand."""
from __future__ import annotations

import pytest
import torch

from aminet import BadInput
from aminet.baselines.fsrnet import PART_OF, PARTS, Bottleneck, FSRNet, FSRNetConfig, Hourglass, parts
from aminet.faces.priors import heatmaps
from aminet.faces.synthetic import CLASSES, draw_faces
from aminet.ledger import Cost, counted


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def tiny() -> FSRNet:
    return FSRNet(FSRNetConfig(channels=8))


def test_the_size_is_the_published():
    with torch.device("meta"):
        cost = counted(FSRNet())[""]
    assert cost == Cost(3_283_733, 15_382_085_632, 0)
    assert cost.params == pytest.approx(3.29e6, rel=0.005) and cost.macs == pytest.approx(15.4e9, rel=0.005)


def test_each_class_is_a_part_of_its_name_or_of_skin_or_background():
    assert len(PART_OF) == len(CLASSES)
    for name, part in zip(CLASSES, (PARTS[index] for index in PART_OF)):
        assert part == (name if name in PARTS else "skin" if name.endswith("_g") else "background")


def test_parts_of_a_drawn_face():
    parsing = next(draw_faces(1, 3)).mask.long()[None]
    drawn = parts(parsing)
    assert drawn.shape == (1, 11, 64, 64)
    torch.testing.assert_close(drawn.sum(1), torch.ones(1, 64, 64))
    torch.testing.assert_close(drawn[0, PARTS.index("nose")].sum() * 4,
                               (parsing == CLASSES.index("nose")).sum().float())


def test_a_bottleneck_is_half_as_wide():
    assert [m.out_channels for m in Bottleneck(8, 12).body if hasattr(m, "out_channels")] == [6, 6, 12]
    x = torch.randn(2, 8, 4, 4)
    module = Bottleneck(8, 8)
    torch.nn.init.zeros_(module.body[-1].weight)
    assert torch.equal(module(x), x)


def test_an_hourglass_sees_the_whole_of_its_image():
    x = torch.randn(1, 8, 16, 16, requires_grad=True)
    Hourglass(8, 3).eval()(x)[..., 0, 0].sum().backward()
    assert x.grad[..., -1, -1].any()


def test_everything_is_drawn_from_the_coarse_face():
    model, x = tiny().eval(), torch.rand(1, 3, 32, 48) * 2 - 1
    with torch.inference_mode():
        face, coarse, maps = model.everything(x)
        assert face.shape == coarse.shape == x.shape and maps.shape == (1, 79, 16, 24)
        assert torch.equal(model(x), face) and face.abs().max() < 1
        model.coarse[-2].weight.mul_(-1)
        other_face, _, other_maps = model.everything(x)
    assert not torch.equal(other_face, face) and not torch.equal(other_maps, maps)


@torch.no_grad()
def test_the_loss_by_hand():
    model, x = tiny(), torch.rand(2, 3, 128, 128) * 2 - 1
    target, landmarks = torch.rand(2, 3, 128, 128) * 2 - 1, 128 * torch.rand(2, 68, 2)
    parsing = torch.randint(19, (2, 128, 128))
    face, coarse, maps = model.everything(x)
    squares = {"mse": (face - target).square().mean(), "coarse": (coarse - target).square().mean(),
               "landmarks": (maps[:, :68] - heatmaps(landmarks, 64)).square().sum() / target.numel(),
               "parsing": (maps[:, 68:] - parts(parsing)).square().sum() / target.numel()}
    loss, values = model.loss(x, target, landmarks, parsing)
    assert set(values) == {"pixel", *squares}
    torch.testing.assert_close(loss, sum(squares.values()))
    torch.testing.assert_close(values["pixel"], (face - target).abs().mean())
    del squares["parsing"]
    loss, values = model.loss(x, target, landmarks)
    assert set(values) == {"pixel", *squares}
    torch.testing.assert_close(loss, sum(squares.values()))


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 3, 32, 40), (1, 3, 0, 32)])
def test_bad_shapes(shape):
    with pytest.raises(BadInput, match="multiples of 16"):
        tiny()(torch.zeros(shape))
