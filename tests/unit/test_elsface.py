"""ELSFace: its size, its styles, the recursion of its streams, the high-frequency block and the sharp loss."""
from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from aminet import BadInput
from aminet.baselines.elsface import HFEB, ELSFace, ELSFaceConfig, StyleEncoder, blur, sharpened
from aminet.ledger import Cost, counted, thop_counted


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_the_size_is_the_published():
    with torch.device("meta"):
        model = ELSFace()
    cost = counted(model)[""]
    assert cost == Cost(6_685_653, 6_485_610_240, 23_708_160)
    assert cost.params == pytest.approx(6.69e6, rel=0.002) and cost.macs == pytest.approx(6.51e9, rel=0.002)
    assert thop_counted(model) == (6_683_823, 6_485_727_360)


@pytest.mark.parametrize("side", [4, 16, 24])
def test_styles_scale_the_channels_of_both_streams(side):
    encoder, x = StyleEncoder(4), torch.rand(2, 3, side, side)
    assert [style.shape for style in encoder(x)] == 2 * [(2, 4, 1, 1)]
    with torch.no_grad():
        encoder.layers[-1].weight.zero_()
        assert torch.equal(torch.cat(encoder(x)), torch.ones(4, 4, 1, 1))  # where they start


def test_a_silent_style_leaves_one_stream():
    model, x = ELSFace(ELSFaceConfig(channels=8)).eval(), torch.rand(1, 3, 4, 4)
    runs = {"cnn": 0, "rstb": 0, "details": 0}
    for name in runs:
        getattr(model, name).register_forward_hook(
            lambda *_, name=name: runs.update({name: runs[name] + 1}))
    with torch.no_grad():
        model.styles.layers[-1].weight.zero_()
        y = model(x)
        assert runs == {"cnn": 2, "rstb": 3, "details": 1}  # as often as the paper runs them
        model.styles.layers[-1].bias[:4] = 0  # the CNN stream sees nothing, and its convolutions give a constant
        other = torch.rand(1, 3, 4, 4)
        texture = []
        model.cnn.register_forward_hook(lambda _, inputs, output: texture.append(output))
        assert not torch.equal(model(x), y) and not torch.equal(model(x), model(other))
        assert torch.equal(texture[-1], texture[1])


def test_hfeb_by_hand_and_at_its_limit():
    module, x = HFEB(4), torch.randn(2, 4, 8, 12)
    y = module.body(x)
    low = F.pixel_shuffle(module.up[0](F.avg_pool2d(y, 2)), 2)
    torch.testing.assert_close(module(x), y - low)
    with torch.no_grad():  # an enlargement that repeats every pixel: what is left has no mean over 2x2
        module.up[0].weight.zero_()
        module.up[0].bias.zero_()
        for channel in range(4):
            module.up[0].weight[4 * channel : 4 * channel + 4, channel, 1, 1] = 1
        left = F.avg_pool2d(module(x), 2)
        torch.testing.assert_close(left, torch.zeros_like(left), atol=1e-6, rtol=0)


def test_blur_by_hand():
    x = torch.randn(1, 2, 32, 48)
    offset = torch.arange(-25, 26.0)
    weights = torch.exp(-(offset**2) / (2 * 8.0**2))
    weights /= weights.sum()
    padded = F.pad(x, (25, 25, 25, 25), mode="reflect")
    expected = F.conv2d(padded, (weights[:, None] * weights).expand(2, 1, 51, 51), groups=2)
    torch.testing.assert_close(blur(x), expected)
    flat = torch.full((1, 3, 32, 32), 0.7)
    torch.testing.assert_close(blur(flat), flat)
    torch.testing.assert_close(sharpened(flat), flat)


def test_the_loss_weighs_what_is_sharp():
    model, x = ELSFace(ELSFaceConfig(channels=8)), torch.rand(2, 3, 4, 4) * 2 - 1
    target = torch.rand(2, 3, 32, 32) * 2 - 1
    loss, values = model.loss(x, target)
    with torch.no_grad():
        y = model(x)
        pixel, sharp = F.l1_loss(y, target), F.l1_loss(sharpened(y), sharpened(target))
    torch.testing.assert_close(values, {"pixel": pixel, "sharp": sharp})
    torch.testing.assert_close(loss.detach(), pixel + 0.05 * sharp)
    board = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 2.0 - 1
    error = sharpened(board.expand(1, 3, 32, 32)).abs().mean()  # the finest detail is one and a half times as wrong
    assert error == pytest.approx(1.5, abs=0.01)


def test_trains_under_autocast_in_channels_last():
    model = ELSFace(ELSFaceConfig(channels=8)).to(memory_format=torch.channels_last)
    x, target = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = model.loss(x, target)
    loss.backward()
    assert loss.dtype == torch.float32 and all(p.grad.isfinite().all() for p in model.parameters())


def test_bad_values():
    for channels in (7, 0, 1026):
        with pytest.raises(BadInput, match="expected a multiple of 2 from 2 to 1024"):
            ELSFaceConfig(channels=channels)
    with pytest.raises(BadInput, match="multiples of 4"):
        ELSFace(ELSFaceConfig(channels=8))(torch.zeros(1, 3, 16, 18))
