"""The compared methods: exact sizes beside the published, shapes, gradients, and that they learn."""
from __future__ import annotations

import json
import math

import pytest
import torch
from torch.nn import functional as F

from aminet import BadInput
from aminet.baselines.sfmnet import CrossAttention, FrequencyBlock, Fusion, SFMNet, SFMNetConfig, spectrum
from aminet.baselines.sparnet import FAU, SPARNet, SPARNetConfig, SpatialAttention
from aminet.ledger import Cost, counted
from aminet.networks import METHODS, build, find, read_config

# As small as trains: SPARNet takes no less than 64 pixels, and a head of SFMNet attends among channels // 8.
TINY = {"sparnet": (SPARNetConfig(channels=4), 64), "sfmnet": (SFMNetConfig(channels=16), 16)}
BOTH = pytest.mark.parametrize("edff", [False, True], ids=["plain", "edff"])
EACH = pytest.mark.parametrize("network", METHODS)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def tiny(network: str, edff: bool = False):
    config, side = TINY[network]
    return build(type(config)(config.channels, edff)), side


def task(side: int, faces: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth random images, and what bicubic enlargement makes of them at a quarter of the size."""
    sharp = F.interpolate(torch.rand(faces, 3, side // 4, side // 4) * 2 - 1, size=(side, side), mode="bicubic")
    return F.interpolate(F.avg_pool2d(sharp, side // 4), size=(side, side), mode="bicubic"), sharp


# Sizes


@pytest.mark.parametrize("config, params, published, conv, matmul, published_macs", [
    (SPARNetConfig(), 10_518_867, 10.519e6, 7_130_234_880, 0, 7.13e9),
    (SPARNetConfig(edff=True), 12_154_437, 12.154e6, 10_959_654_912, 0, None),
    (SFMNetConfig(), 8_799_724, 8.800e6, 30_545_936_384, 111_149_056, 30.7e9),
    (SFMNetConfig(edff=True), 10_669_840, 10.670e6, 43_942_584_320, 111_149_056, None),
], ids=["sparnet", "sparnet-edff", "sfmnet", "sfmnet-edff"])
def test_sizes_are_the_published(config, params, published, conv, matmul, published_macs):
    with torch.device("meta"):
        cost = counted(build(config))[""]
    assert cost == Cost(params, conv, matmul)
    assert params == pytest.approx(published, abs=500)  # all the digits there are
    if published_macs:
        assert cost.macs == pytest.approx(published_macs, rel=0.002)


# Networks


@EACH
@BOTH
def test_keeps_the_shape(network, edff):
    config = find(network, "Config")(channels=8, edff=edff)
    with torch.inference_mode():
        y = build(config).eval()(torch.rand(2, 3, 64, 96) * 2 - 1)
    assert y.shape == (2, 3, 64, 96) and y.isfinite().all()


@EACH
@BOTH
def test_every_parameter_is_trained(network, edff):
    model, side = tiny(network, edff)
    x, sharp = task(side)
    images = model.train().both(x) if network == "sfmnet" else [model(x)]
    sum((y - sharp).abs().mean() for y in images).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all() and p.grad.any(), name


def test_the_frequency_tail_needs_a_loss_of_its_own():
    model, side = tiny("sfmnet")
    x, sharp = task(side)
    (model(x) - sharp).abs().mean().backward()
    silent = {name for name, p in model.named_parameters() if p.grad is None}
    assert silent == {"frequency.tail.weight", "frequency.tail.bias"}


@EACH
def test_learns_one_batch_by_heart(network):
    model, side = tiny(network)
    x, sharp = task(side)
    model.to(memory_format=torch.channels_last).train()
    x = x.contiguous(memory_format=torch.channels_last)
    optimiser, losses = torch.optim.Adam(model.parameters(), 3e-3), []
    while len(losses) < 30 and not (losses and losses[-1] < 0.6 * losses[0]):
        optimiser.zero_grad()
        loss = (model(x) - sharp).abs().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@EACH
def test_channels_last_changes_nothing(network):
    model, side = tiny(network)
    x, _ = task(side)
    with torch.inference_mode():
        y = model.eval()(x)
        again = model.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(again, y, atol=1e-4, rtol=1e-4)


@EACH
@BOTH
def test_the_state_is_the_whole_network(network, edff):
    (model, side), (other, _) = tiny(network, edff), tiny(network, edff)
    x, _ = task(side)
    other.load_state_dict(model.state_dict())
    with torch.inference_mode():
        assert torch.equal(model.eval()(x), other.eval()(x))


@EACH
@BOTH
def test_config_survives_json(network, edff):
    config = find(network, "Config")(channels=8, edff=edff)
    values = json.loads(json.dumps(config.to_dict()))
    assert values == {"network": network, "channels": 8, "edff": edff}
    again = read_config(values)
    assert again == config and type(again) is type(config)
    model = build(again)
    assert type(model).__name__ == METHODS[network] and model.config == config


@EACH
@pytest.mark.parametrize("values", [
    dict(channels=0), dict(channels=1032), dict(channels=8.0), dict(channels="8"), dict(edff=1), dict(wings=2),
])
def test_bad_configs(network, values):
    with pytest.raises(BadInput):
        read_config({"network": network} | values)


def test_bad_heads_and_names():
    with pytest.raises(BadInput, match="multiple of 8"):
        SFMNetConfig(channels=12)
    for name in ("sparrow", ""):
        with pytest.raises(BadInput, match="unknown network"):
            read_config({"network": name})


@pytest.mark.parametrize("network, shape", [
    *[("sparnet", shape) for shape in [(3, 64, 64), (1, 1, 64, 64), (1, 3, 64, 80), (1, 3, 32, 64), (1, 3, 0, 64)]],
    *[("sfmnet", shape) for shape in [(3, 16, 16), (1, 1, 16, 16), (1, 3, 16, 20), (1, 3, 12, 16), (1, 3, 0, 16)]],
])
def test_bad_input_shapes(network, shape):
    with pytest.raises(BadInput, match="multiples of"):
        tiny(network)[0](torch.zeros(shape))


# SPARNet's modules


def test_the_untrained_sparnet_has_no_global_skip():
    x, _ = task(64)
    model = SPARNet(TINY["sparnet"][0]).eval()
    for p in model.tail.parameters():
        torch.nn.init.zeros_(p)
    with torch.inference_mode():
        assert not model(x).any()


@pytest.mark.parametrize("scale, after, side", [("", 4, 16), ("down", 6, 8), ("up", 2, 32)])
def test_fau_scales(scale, after, side):
    module, x = FAU(4, after, 8, 2, scale).eval(), torch.randn(2, 4, 16, 16)
    y = module(x)
    assert y.shape == (2, after, side, side)
    body = module.body(x)
    torch.testing.assert_close(y, module.shortcut(x) + body * module.attention.attention(body))


def test_the_attention_is_one_map():
    module, x = SpatialAttention(4, 8, 3), torch.randn(2, 4, 16, 24)
    weight = module.attention(x)
    assert weight.shape == (2, 1, 16, 24) and 0 < weight.min() and weight.max() < 1


# SFMNet's modules


def test_the_spatial_output_is_added_to_the_input():
    model, side = tiny("sfmnet")
    x, _ = task(side)
    for p in [*model.spatial.tail.parameters(), *model.frequency.tail.parameters()]:
        torch.nn.init.zeros_(p)
    with torch.inference_mode():
        spatial, frequency = model.both(x)
        assert torch.equal(spatial, x) and torch.equal(model(x), x) and not frequency.any()


def test_the_spectrum_gives_the_image_back():
    x = torch.randn(2, 3, 8, 12)
    amplitude, phase = spectrum(x)
    assert amplitude.shape == phase.shape == (2, 3, 8, 7)
    torch.testing.assert_close(torch.fft.irfft2(torch.polar(amplitude, phase), s=(8, 12), norm="ortho"), x)
    torch.testing.assert_close(amplitude.square().mean(), x.square().mean(), rtol=0.1, atol=0)  # one scale


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, 1e-20])
def test_a_constant_image_has_no_phase_and_finite_slopes(level):
    x = torch.full((1, 1, 8, 8), level, requires_grad=True)
    amplitude, phase = spectrum(x)
    expected = torch.zeros(1, 1, 8, 5)
    expected[..., 0, 0] = math.pi if level < 0 else 0  # and not -pi, whatever the sign of the zero beside it
    torch.testing.assert_close(phase, expected)
    (amplitude.sum() + phase.sum()).backward()
    assert x.grad.isfinite().all() and x.grad.abs().max() < 10


@pytest.mark.parametrize("level", [0.0, 0.5, -1.0])
def test_sfmnet_trains_on_a_constant_image(level):
    model, side = tiny("sfmnet")
    x = torch.full((1, 3, side, side), level, requires_grad=True)
    sum(y.abs().mean() for y in model.both(x)).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters()) and x.grad.isfinite().all()


def test_frequency_block_has_right_slopes():
    module = FrequencyBlock(2).double()
    with torch.no_grad():
        module.amplitude[-1].bias -= 1  # so that residuals make some amplitudes negative
    x = torch.randn(1, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, x)


def test_the_transform_stays_in_float32_under_autocast():
    assert {t.dtype for t in spectrum(torch.randn(1, 2, 8, 8).bfloat16())} == {torch.float32}
    module, x = FrequencyBlock(8), torch.randn(1, 8, 12, 12)
    exact = module(x)
    with torch.autocast("cpu", torch.bfloat16):
        rough = module(x)
    rough.float().sum().backward()
    assert (rough - exact).abs().mean() < 0.1 * exact.abs().mean()
    assert all(p.grad.isfinite().all() for p in module.parameters())


def test_cross_attention_by_hand():
    module, x, other = CrossAttention(16), torch.randn(1, 16, 4, 6), torch.randn(1, 16, 4, 6)
    q, (k, v) = module.query(x)[0].reshape(8, 2, 24), module.key_value(other)[0].reshape(2, 8, 2, 24)
    a = torch.softmax(F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT, dim=-1)
    torch.testing.assert_close(module(x, other), module.project((a @ v).reshape(1, 16, 4, 6)))


def test_a_fusion_weighs_both_branches_and_attends_both_ways():
    module, s, f = Fusion(16), torch.randn(1, 16, 4, 6), torch.randn(1, 16, 4, 6)
    u, v = module.spatial(s), module.frequency(f)
    a, b = s + module.to_frequency(u, v), f + module.to_spatial(v, u)
    gates = module.gates(torch.cat([a, b], 1)).sigmoid()
    torch.testing.assert_close(module(s, f), a * gates[:, :16] + b * gates[:, 16:])


def test_the_frequency_branch_runs_alone():
    """Nothing of the spatial branch reaches it."""
    model, side = tiny("sfmnet")
    x, _ = task(side)
    assert isinstance(model, SFMNet)
    with torch.inference_mode():
        before = model.both(x)
        torch.nn.init.zeros_(model.spatial.head.weight)
        after = model.both(x)
    assert torch.equal(before[1], after[1]) and not torch.equal(before[0], after[0])
