"""AMINet and its modules: shapes, switches, gradients, equations, exact sizes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aminet import (
    ABLATIONS,
    EDFF,
    LGFI,
    PRESETS,
    RDFE,
    SKAF,
    AMINet,
    AMINetConfig,
    AttentionUnit,
    BadInput,
    FeatureRefinement,
    Hourglass,
    SelfAttention,
    preset,
)
from aminet.transformer import FeedForward, LayerNorm, TransformerBlock

TINY = AMINetConfig(channels=4, zero_tail=False, blocks=1)
SWITCHES = {
    **ABLATIONS,
    "no norm": dict(norm=False),
    "no residual": dict(residual=False),
    "gate features": dict(gate="features"),
    "the figure to the letter": dict(gate="features", norm=False, residual=False),
    "scale sqrt": dict(scale="sqrt"),
    "frm_norm instance": dict(frm_norm="instance"),
    "frm_norm none": dict(frm_norm="none"),
    "dilated": dict(dilated=True),
    "cap 8": dict(cap=8),
    "heads and depths": dict(heads=(2, 2, 4, 8), depths=(4, 3, 2, 1)),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# The network


def test_import_needs_torch_alone():
    code = """
import sys, torch
before = set(sys.modules)
from aminet import *
new = {name.split(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
print(sorted(new - {"torch"}), sorted({"PIL", "matplotlib", "torchvision", "scipy", "skimage", "safetensors",
                                       "accelerate", "cv2"} & set(sys.modules)))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "['aminet'] []"


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (2, 3, 64, 96)])
def test_untrained_network_returns_its_input_exactly(shape):
    x = torch.rand(shape) * 2 - 1
    with torch.inference_mode():
        assert torch.equal(AMINet(replace(TINY, zero_tail=True)).eval()(x), x)
        y = AMINet(TINY).eval()(x)
    assert y.shape == shape and not torch.allclose(y, x)


@pytest.mark.parametrize("name", SWITCHES)
def test_every_switch_runs_forward_and_backward(name):
    config = replace(TINY, **SWITCHES[name])
    model, x = AMINet(config).train(), torch.rand(1, 3, 64, 64) * 2 - 1
    y = model(x)
    assert y.shape == x.shape and y.isfinite().all()
    (y - x.flip(-1)).abs().mean().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert silent == []
    # No part is dead: something reaches the very first layer and the middle of the network.
    assert model.head.weight.grad.abs().sum() > 0
    assert sum(p.grad.abs().sum() for p in model.bottleneck.parameters()) > 0


def test_switches_change_the_network():
    x = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        outputs = {}
        for name in ("gate features", "no norm", "no residual", "scale sqrt"):
            torch.manual_seed(0)
            outputs[name] = AMINet(replace(TINY, **SWITCHES[name])).eval()(x)
        torch.manual_seed(0)
        default = AMINet(TINY).eval()(x)
    assert all(not torch.equal(y, default) for y in outputs.values())


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 3, 48, 32), (1, 3, 32, 40), (1, 3, 0, 32)])
def test_bad_input_shapes(shape):
    with pytest.raises(BadInput, match=r"AMINet takes \(B, 3, H, W\) .* multiples of 32, .*: enlarge a 16x16"):
        AMINet(TINY)(torch.zeros(shape))


def test_multiple_follows_the_deepest_hourglass():
    for depths, multiple in (((3, 3, 2, 2), 32), ((1, 1, 1, 1), 16), ((4, 3, 2, 1), 16), ((7, 1, 1, 1), 128)):
        assert AMINetConfig(depths=depths).multiple == multiple
    config = replace(TINY, depths=(2, 2, 1, 1))
    assert AMINet(config)(torch.zeros(2, 3, 16, 48)).shape == (2, 3, 16, 48)


def test_exact_size_of_the_default():
    model = AMINet(PRESETS["aminet"])
    blocks = [m for m in model.modules() if isinstance(m, LGFI)]
    assert len(blocks) == 8 and len(model.edffs) == 3
    assert size(model) == 12_623_547
    assert {
        "SA": sum(size(b.sa) for b in blocks),
        "RDFE": sum(size(b.local) for b in blocks),
        "SKAF in LGFI with its 1x1": sum(size(b.skaf) + size(b.reduce) for b in blocks),
        "LN": sum(size(b.norm) for b in blocks),
        "EDFF": size(model.edffs),
        "down": size(model.downs),
        "up": size(model.ups),
        "head and tail": size(model.head) + size(model.tail),
    } == {"SA": 248_718, "RDFE": 5_387_488, "SKAF in LGFI with its 1x1": 4_412_648, "LN": 1_232,
          "EDFF": 1_252_446, "down": 437_472, "up": 882_000, "head and tail": 1_543}


# The configuration


@pytest.mark.parametrize("name", [*PRESETS, *(f"pocket/{row}" for row in ABLATIONS)])
def test_config_survives_json(name):
    config = preset(name)
    again = AMINetConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config and hash(again) == hash(config)


@pytest.mark.parametrize("values, words", [
    (dict(gate="map"), "gate='map': expected one of maps, features"), (dict(gate=None), "gate=None"),
    (dict(scale="none"), "scale='none'"), (dict(frm_norm="group"), "frm_norm='group'"), (dict(block="cnn"), "block="),
    (dict(local="mlp"), "local='mlp'"), (dict(skaf="lgfi"), "skaf='lgfi'"), (dict(norm=1), "norm=1: expected bool"),
    (dict(channels=0), "channels=0: expected a whole number from 1 to 1024"), (dict(channels=2.5), "channels=2.5"),
    (dict(channels="8"), "channels='8'"), (dict(channels=True), "channels=True"), (dict(channels=[8]), "channels="),
    (dict(cap=2), "cap=2: expected one of 4, 8"), (dict(cap=4.0), "cap=4.0"), (dict(blocks=101), "blocks=101"),
    (dict(ffn_expansion=0), "ffn_expansion=0: expected a number above 0 to 100"),
    (dict(ffn_expansion=math.nan), "ffn_expansion=nan"), (dict(ffn_expansion=100.1), "ffn_expansion=100.1"),
    (dict(heads=(1, 2, 4)), "four numbers"), (dict(depths=(3, 3, 2)), "four numbers"), (dict(heads=4), "a tuple"),
    (dict(depths=(3, 3, 2, 0)), "a tuple, each a whole number from 1 to 7"), (dict(heads=(0, 1, 1, 1)), "heads="),
    (dict(heads=(3, 2, 4, 4)), "must divide"), (dict(channels=5, heads=(2, 2, 4, 4)), "must divide"),
    (dict(paths=()), "1 or more"), (dict(paths=(3, 9)), "each one of 3, 5, 7"), (dict(paths=(3, 3)), "at most once"),
    (dict(kernels=()), "1 or more"), (dict(kernels=(3, 5)), "each one of 5, 7"), (dict(pools=("avg", "min")), "pools="),
])
def test_bad_configs(values, words):
    with pytest.raises(BadInput, match=words) as error:
        AMINetConfig(**values)
    assert len(str(error.value).splitlines()) == 1


def test_bad_names():
    for name in ("aminet-xl", "aminet/w/o LN", ""):
        with pytest.raises(BadInput, match="unknown"):
            preset(name)
    with pytest.raises(BadInput, match="wings"):
        AMINetConfig.from_dict({"wings": 2})


# The modules


@pytest.mark.parametrize("module", [
    SelfAttention(8, 2), SelfAttention(8, 4, "sqrt"), RDFE(8), RDFE(8, paths=(7,)), FeatureRefinement(8, 3),
    Hourglass(8, 3), FeedForward(8), LayerNorm(8), TransformerBlock(8, 2), LGFI(8, 2),
], ids=lambda module: type(module).__name__)
def test_modules_keep_the_shape(module):
    with torch.inference_mode():
        assert module.eval()(torch.randn(2, 8, 16, 24)).shape == (2, 8, 16, 24)


@pytest.mark.parametrize("scale", ["temperature", "sqrt"])
def test_attention_rows_sum_to_one(scale):
    module = SelfAttention(12, 3, scale)
    weights, values = module.attention(torch.randn(2, 12, 16, 24))
    assert weights.shape == (2, 3, 4, 4) and values.shape == (2, 3, 4, 16 * 24)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 4))


def test_attention_by_hand():
    module, x = SelfAttention(6, 1, "sqrt"), torch.randn(1, 6, 8, 8)
    q, k, v = module.depthwise(module.qkv(x))[0].reshape(3, 6, 64)  # Eqs. 1-3
    a = torch.softmax(q @ k.T / 64**0.5, dim=-1)  # Eq. 4
    torch.testing.assert_close(module(x), module.project((a @ v).reshape(1, 6, 8, 8)))  # Eq. 5


def test_the_literal_scale_saturates_with_the_number_of_pixels():
    literal, learned = SelfAttention(8, 1, "sqrt"), SelfAttention(8)
    for conv in (literal.qkv, literal.depthwise):  # keeps the variance; torch's default divides it by 9
        nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
    learned.load_state_dict(literal.state_dict(), strict=False)  # all but the temperature
    # Features are not white noise: each channel has a level of its own. Then a LayerNorm, as in LGFI.
    features = LayerNorm(8)(2 * torch.randn(1, 8, 1, 1) + torch.randn(1, 8, 128, 128))

    def largest(module: SelfAttention, side: int) -> float:
        return module.attention(features[..., :side, :side])[0].amax(-1).mean().item()

    with torch.inference_mode():
        few, many = largest(literal, 16), largest(literal, 128)
        calm = largest(learned, 128)
    # The literal logits grow with the square root of the pixels: one channel takes nearly all.
    assert many > 0.9 and many > few + 0.1
    # Cosines differ by at most 2: at temperature 1 no weight exceeds e^2 / (e^2 + 7) = 0.51.
    assert calm < 0.52 < many


def test_attention_unit_is_one_map_from_all_branches():
    unit, features = AttentionUnit(4, 3), [torch.randn(2, 4, 8, 8) for _ in range(3)]
    weight = unit(features)
    assert weight.shape == (2, 4, 8, 8) and 0 < weight.min() and weight.max() < 1
    expected = F.conv2d(torch.cat(features, 1), unit.mix.weight, unit.mix.bias).sigmoid()
    torch.testing.assert_close(weight, expected)


def test_hourglass_multiplies_by_one_map():
    module, x = Hourglass(4, 3).eval(), torch.randn(1, 4, 16, 24)
    weight = module.attention(x)
    assert weight.shape == (1, 1, 16, 24) and 0 < weight.min() and weight.max() < 1
    torch.testing.assert_close(module(x), x * weight)


def test_rdfe_by_hand():
    module, x = RDFE(4, depth=1).eval(), torch.randn(1, 4, 8, 8)
    f = [F.conv2d(x, conv.weight, padding=k // 2, groups=4)  # Eq. 6
         for conv, k in zip(module.first, (3, 5, 7))]
    weight = module.attention_unit(f)  # Eq. 7
    f = [F.conv2d(g * weight, conv.weight, padding=k // 2, groups=4).relu()  # Eq. 8
         for g, conv, k in zip(f, module.second, (3, 5, 7))]
    fused = module.fuse(torch.cat(f, 1)) + x  # Eq. 9
    refine = module.refine
    torch.testing.assert_close(module(x), fused + refine.hourglass(refine.body(fused)))  # Eq. 10


@pytest.mark.parametrize("options", [
    dict(), dict(kernels=(7,)), dict(kernels=(5,), dilated=True), dict(pools=()), dict(pools=("max",)),
])
def test_skaf_maps_lie_between_zero_and_one(options):
    module, x = SKAF(6, **options), torch.randn(2, 6, 16, 24)
    w1, w2 = module(x)
    assert w1.shape == w2.shape == (2, 1, 16, 24)
    assert all(0 < w.min() and w.max() < 1 for w in (w1, w2)) and not torch.equal(w1, w2)


def test_skaf_by_hand_and_its_two_gates():
    module, x = SKAF(4), torch.randn(1, 4, 8, 8)
    five, seven = module.convs
    x3 = torch.cat([F.conv2d(x, five.weight, five.bias, padding=2),
                    F.conv2d(x, seven.weight, seven.bias, padding=3)], 1)  # Eqs. 11-12
    pooled = torch.stack([x3.mean(1), x3.max(1).values], 1)
    maps = torch.sigmoid(F.conv2d(pooled, module.mix.weight, module.mix.bias, padding=3))  # Eq. 13
    for got, expected in zip(module(x), (maps[:, :1], maps[:, 1:])):  # Eq. 14
        torch.testing.assert_close(got, expected)
    module.gate = "features"
    for got, expected in zip(module(x), (x * maps[:, :1], x * maps[:, 1:])):  # Fig. 2
        torch.testing.assert_close(got, expected)


def test_edff_is_equation_16():
    module, encoder, decoder = EDFF(4), torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    mixed = F.conv2d(torch.cat([encoder, decoder], 1), module.reduce.weight, module.reduce.bias)  # Eq. 15
    w = module.skaf.maps(mixed)
    expected = encoder * w[:, 0:1] + decoder * w[:, 1:2]  # Eq. 16
    torch.testing.assert_close(module(encoder, decoder), expected)
    assert not torch.allclose(module(decoder, encoder), expected)
    assert torch.equal(EDFF(4, skaf=False)(encoder, decoder), encoder + decoder)


def test_lgfi_weights_its_two_branches():
    x = torch.randn(1, 4, 8, 8)
    module = LGFI(4).eval()
    u = module.norm(x)
    a, r = module.sa(u), module.local(u)
    w1, w2 = module.skaf(module.reduce(torch.cat([a, r], 1)))
    torch.testing.assert_close(module(x), x + a * w1 + r * w2)
    plain = LGFI(4, config=replace(TINY, skaf="edff", residual=False)).eval()
    u = plain.norm(x)
    torch.testing.assert_close(plain(x), plain.sa(u) + plain.local(u))


def test_a_removed_branch_passes_u_on():
    x = torch.randn(1, 4, 8, 8)
    for removed, branch in ((dict(sa=False), 0), (dict(local="none"), 1)):
        module = LGFI(4, config=replace(TINY, **removed)).eval()
        assert torch.equal(module.branches(x)[branch], module.norm(x))


def test_layer_norm_is_over_the_channels_of_a_pixel():
    x = torch.randn(2, 8, 4, 4) * 3 + 5
    y = LayerNorm(8)(x)
    torch.testing.assert_close(y.mean(1), torch.zeros(2, 4, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var(1, unbiased=False), torch.ones(2, 4, 4), atol=1e-3, rtol=0)
