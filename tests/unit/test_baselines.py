"""All compared methods alike: shapes, gradients, and that they learn; and SPARNet's and SFMNet's own modules."""
from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from aminet import BadInput
from aminet.baselines.registry import build, config_class, methods, network_class, preset, read_config
from aminet.baselines.sfmnet import CrossAttention, FrequencyBlock, Fusion, SFMNet, SFMNetConfig, spectrum
from aminet.baselines.sparnet import FAU, SPARNet, SPARNetConfig, SpatialAttention
from aminet.config import HR
from aminet.deploy.timing import fill_zeros
from aminet.ledger import Cost, counted

# As small as trains: fields beside `channels`, and the side of the input.
TINY = {
    "sparnet": (dict(channels=4), 64), "sfmnet": (dict(channels=16), 16),
    "rcan": (dict(channels=8, groups=2, blocks=2), 8), "han": (dict(channels=8, groups=2, blocks=2), 8),
    "san": (dict(channels=16, groups=2, blocks=2), 8), "sisn": (dict(channels=8, groups=2, blocks=2), 32),
    "swinir": (dict(channels=16, groups=1, blocks=2), 8), "sctanet": (dict(channels=16, groups=1, blocks=2), 8),
    "ctcnet": (dict(channels=8), 128), "restormer": (dict(channels=8), 16), "laat": (dict(channels=8), 32),
    "facn": (dict(channels=16, blocks=2), 16), "spadnet": (dict(channels=8, blocks=2), 16),
    "ad_gnn": (dict(channels=16, blocks=2), 8), "elsface": (dict(channels=8), 4),
    "fsrnet": (dict(channels=8), 16), "dicnet": (dict(channels=8, steps=2), 8),
}
EACH = pytest.mark.parametrize("network", methods())
VARIANTS = pytest.mark.parametrize("network", [*methods(), "sparnet+edff", "sparnet+hd", "sfmnet+edff"])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def tiny(network: str):
    network, _, switch = network.partition("+")
    fields, side = TINY.get(network, (dict(channels=8), 16))
    return build(config_class(network)(**fields, **({switch: True} if switch else {}))), side


def task(side: int, faces: int = 2, enlarged: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth random images, and what bicubic enlargement makes of them at an eighth of the size (small: a quarter);
    not `enlarged`: what is left of images eight times as large."""
    full = side if enlarged else 8 * side
    sharp = F.interpolate(torch.rand(faces, 3, full // 4, full // 4) * 2 - 1, size=(full, full), mode="bicubic")
    if not enlarged:
        return F.avg_pool2d(sharp, 8), sharp
    return F.interpolate(F.avg_pool2d(sharp, min(8, side // 4)), size=(side, side), mode="bicubic"), sharp


def objective(model, x: torch.Tensor, sharp: torch.Tensor) -> tuple[torch.Tensor, float]:
    """What the model minimises, and the L1 of its image. Priors are random."""
    if not hasattr(model, "loss"):
        loss = (model(x) - sharp).abs().mean()
        return loss, loss.item()
    known = {"landmarks": HR * torch.rand(len(x), 68, 2), "parsing": torch.randint(19, (len(x), HR, HR)),
             "attributes": torch.randint(2, (len(x), 40)).float()}
    loss, values = model.loss(x, sharp, **{name: known[name] for name in model.config.priors})
    return loss, values["pixel"].item()


def example(network: str, faces: int = 2):
    """A tiny model with its task, at the size of a face where a network that takes one learns from priors."""
    model, side = tiny(network)
    enlarged = model.config.enlarged
    return model, *task(HR if model.config.priors and enlarged else side, faces, enlarged)


# Sizes


@pytest.mark.parametrize("config, params, published, conv, matmul, published_macs", [
    (SPARNetConfig(), 10_518_867, 10.519e6, 7_130_234_880, 0, 7.13e9),
    (SPARNetConfig(edff=True), 12_154_437, 12.154e6, 10_959_654_912, 0, None),
    (SPARNetConfig(hd=True), 83_355_795, 83.356e6, 70_845_382_656, 0, None),
    (SFMNetConfig(), 8_799_622, 8.800e6, 30_545_936_384, 111_149_056, 30.7e9),
    (SFMNetConfig(edff=True), 10_669_738, 10.670e6, 43_942_584_320, 111_149_056, None),
], ids=["sparnet", "sparnet-edff", "sparnet-hd", "sfmnet", "sfmnet-edff"])
def test_sizes_are_the_published(config, params, published, conv, matmul, published_macs):
    with torch.device("meta"):
        cost = counted(build(config))[""]
    assert cost == Cost(params, conv, matmul)
    assert params == pytest.approx(published, abs=500)  # all the digits there are
    if published_macs:
        assert cost.macs == pytest.approx(published_macs, rel=0.002)


# Networks


@VARIANTS
def test_restores_a_face(network):
    model, _ = tiny(network)
    side = HR if model.config.enlarged else HR // 8
    with torch.inference_mode():
        y = model.eval()(torch.rand(1, 3, side, side) * 2 - 1)
    assert y.shape == (1, 3, HR, HR) and y.isfinite().all()


@VARIANTS
def test_every_parameter_is_trained(network):
    model, x, sharp = example(network)
    fill_zeros(model)  # weights that start at zero let no gradient through to others
    objective(model.train(), x, sharp)[0].backward()
    for name, p in model.named_parameters():
        if network.startswith("sfmnet") and ".idle." in name:  # as in its authors' code
            assert p.grad is None
            continue
        assert p.grad is not None and p.grad.isfinite().all(), name
        assert p.grad.any(), name


def test_the_frequency_tail_needs_a_loss_of_its_own():
    model, x, sharp = example("sfmnet")
    (model(x) - sharp).abs().mean().backward()
    silent = {name for name, p in model.named_parameters() if p.grad is None and ".idle." not in name}
    assert silent == {"frequency.tail.weight", "frequency.bend.weight"}


@EACH
def test_learns_one_batch_by_heart(network):
    model, x, sharp = example(network, faces=1 if network == "ctcnet" else 2)  # it takes long
    model.to(memory_format=torch.channels_last).train()
    x = x.contiguous(memory_format=torch.channels_last)
    optimiser, losses = torch.optim.Adam(model.parameters(), 3e-3), []
    while len(losses) < 50 and not (losses and losses[-1] < 0.9 * losses[0]):
        optimiser.zero_grad()
        loss, pixel = objective(model, x, sharp)
        loss.backward()
        optimiser.step()
        losses.append(pixel)
    assert losses[-1] < 0.9 * losses[0]


@EACH
def test_channels_last_changes_nothing(network):
    model, side = tiny(network)
    x, _ = task(side, enlarged=model.config.enlarged)
    with torch.inference_mode():
        y = model.eval()(x)
        again = model.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(again, y, atol=1e-4, rtol=1e-4)


@VARIANTS
def test_the_state_is_the_whole_network(network):
    (model, side), (other, _) = tiny(network), tiny(network)
    x, _ = task(side, enlarged=model.config.enlarged)
    other.load_state_dict(model.state_dict())
    with torch.inference_mode():
        assert torch.equal(model.eval()(x), other.eval()(x))


@VARIANTS
def test_config_survives_json(network):
    for config in (preset(f"aminet/{network}"), preset(f"pocket/{network}")):
        values = json.loads(json.dumps(config.to_dict()))
        assert values["network"] == network.partition("+")[0]
        again = read_config(values)
        assert again == config and type(again) is type(config)
        with torch.device("meta"):
            model = build(again)
        assert type(model) is network_class(config.network) and model.config == config


@EACH
@pytest.mark.parametrize("values", [dict(channels=0), dict(channels=8.0), dict(channels="8"), dict(wings=2)])
def test_bad_configs(network, values):
    with pytest.raises(BadInput):
        read_config({"network": network} | values)


@EACH
def test_every_number_has_its_range(network):
    default = config_class(network)()
    for name in (name for name, value in default.to_dict().items() if type(value) is int):
        for value in (0, 10**6, True):
            with pytest.raises(BadInput, match=f"{name}={value}: expected a (whole number|multiple of [248]) from"):
                replace(default, **{name: value})


@EACH
@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 64, 63), (1, 3, 0, 64)])
def test_shapes_that_do_not_fit(network, shape):
    model, _ = tiny(network)
    if 63 in shape and model.config.multiple == 1:
        pytest.skip("takes any width")
    advice = "enlarge a 16x16 face" if model.config.enlarged else "give it the 16x16 face itself"
    with pytest.raises(BadInput, match=rf"{type(model).__name__} takes .* multiples of .* not .*: {advice}"):
        model(torch.zeros(shape))


def test_sparnet_needs_64_pixels():
    with pytest.raises(BadInput, match="multiples of 32, 64 or more"):
        SPARNet(SPARNetConfig(channels=4))(torch.zeros(1, 3, 64, 32))


def test_bad_heads_and_names():
    with pytest.raises(BadInput, match="multiple of 8"):
        SFMNetConfig(channels=12)
    for name in ("sparrow", ""):
        with pytest.raises(BadInput, match="unknown network"):
            read_config({"network": name})


# SPARNet's modules


def test_the_untrained_sparnet_has_no_global_skip():
    x, _ = task(64)
    model = SPARNet(SPARNetConfig(channels=4)).eval()
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


def test_sparnet_hd_is_wider():
    config = preset("pocket/sparnet+hd")
    assert preset("aminet/sparnet+hd").widths == (128, 256, 512, 512) and config.widths == (32, 64, 128, 128)
    assert "hd" not in SPARNetConfig().to_dict()  # as in older records
    model = build(replace(config, channels=4)).eval()
    norms = [module for module in model.modules() if isinstance(module, torch.nn.InstanceNorm2d)]
    assert len(norms) > 100 and all(norm.affine and not norm.track_running_stats for norm in norms)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())


# SFMNet's modules


def test_both_outputs_are_added_to_the_input():
    model, side = tiny("sfmnet")
    x, _ = task(side)
    for p in [*model.spatial.tail.parameters(), *model.frequency.tail.parameters()]:
        torch.nn.init.zeros_(p)
    with torch.inference_mode():
        spatial, frequency = model.both(x)
        assert torch.equal(spatial, x) and torch.equal(model(x), x) and torch.equal(frequency, x)


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
    x, target = torch.full((1, 3, side, side), level, requires_grad=True), torch.full((1, 3, side, side), -level)
    model.loss(x, target)[0].backward()
    assert all(p.grad.isfinite().all() for name, p in model.named_parameters() if ".idle." not in name)
    assert x.grad.isfinite().all()


def test_sfmnets_loss_by_hand():
    model, x, sharp = example("sfmnet")
    with torch.inference_mode():
        face, drawn = model.both(x)
        loss, values = model.loss(x, sharp)
        a, b, c = ((y + 1) / 2 for y in (face, drawn, sharp))
        p, q = torch.fft.rfft2(b), torch.fft.rfft2(c)
        amplitude, phase = (p.abs() - q.abs()).abs().mean(), (p.angle() - q.angle()).abs().mean()
    expected = (a - c).abs().mean() + (b - c).abs().mean() + 0.01 * amplitude + 0.01 * phase
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=0)  # but for signs of real bins
    assert values["pixel"].item() == pytest.approx((face - sharp).abs().mean().item())
    assert values["amplitude"].item() == pytest.approx(amplitude.item(), rel=1e-4)


def test_sfmnet_trains_under_autocast():
    model, x, sharp = example("sfmnet")
    exact = model.loss(x, sharp)[0]
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.loss(x, sharp)[0]
    loss.backward()
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(exact.item(), rel=0.1)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


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
    a, b = module.spatial(s), module.frequency(f)
    a = a + module.attention(a, b)
    b = b + module.attention(b, a)
    gates = module.gates(torch.cat([a, b], 1)).sigmoid()
    torch.testing.assert_close(module(s, f), a * gates[:, :16] + b * gates[:, 16:])


def test_a_residual_group_by_hand():
    group, x = tiny("sfmnet")[0].encoders[0].spatial[0], torch.randn(1, 16, 4, 6)
    torch.nn.init.constant_(group.scale, 0.5)
    one, two, last, bend = group.body
    y = F.relu(x + one.last(F.relu(one.first(x))))
    y = F.relu(y + two.last(F.relu(two.first(y))))
    torch.testing.assert_close(group(x), 0.5 * x + bend(last(y)))


def test_four_skips_a_branch_end_before_the_last_fusion():
    model, side = tiny("sfmnet")
    ends, inner = [], []
    for skip in [*model.spatial.skips, *model.frequency.skips]:
        skip.register_forward_hook(lambda _, args, out: ends.append((args, out)))
    for stage in [*model.encoders, *model.decoders]:
        stage.register_forward_hook(lambda _, args, out: inner.append(out))
    with torch.inference_mode():
        model(task(side)[0])
    assert [args[0].shape[-1] for args, _ in ends] == [2, 2, 4, 4, 8, 8, 16, 16]
    for k in range(3):  # the bottleneck's is that of the third stage, and so on
        assert ends[2 * k][0][0] is inner[2 - k][0] and ends[2 * k + 1][0][0] is inner[2 - k][1]
    assert all(torch.equal(out, args[0] + args[1]) for args, out in ends)


def test_the_frequency_branch_runs_alone():
    """Nothing of the spatial branch reaches it."""
    model, side = tiny("sfmnet")
    x, _ = task(side)
    assert isinstance(model, SFMNet)
    with torch.inference_mode():
        before = model.both(x)
        torch.nn.init.zeros_(model.spatial.head[0].weight)
        after = model.both(x)
    assert torch.equal(before[1], after[1]) and not torch.equal(before[0], after[0])
