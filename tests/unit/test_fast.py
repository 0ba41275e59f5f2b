"""`faster` computes what the network computes, for every preset and every row of the ablation tables."""
from dataclasses import replace

import pytest
import torch
from torch import nn

from aminet.config import ABLATIONS, PRESETS, AMINetConfig
from aminet.deploy.fast import PixelMajorAttention, faster
from aminet.errors import BadInput
from aminet.model import AMINet
from aminet.sa import SelfAttention

TINY = dict(channels=4, heads=(1, 2, 2, 4), depths=(2, 2, 1, 1), blocks=1)
CONFIGS = {name: replace(config, **TINY) for name, config in PRESETS.items()}
CONFIGS |= {row: replace(CONFIGS["aminet"], **change) for row, change in ABLATIONS.items()}
CONFIGS |= {f"{k}={v}": replace(CONFIGS["aminet"], **{k: v}) for k, v in (
    ("gate", "features"), ("scale", "sqrt"), ("frm_norm", "instance"), ("frm_norm", "none"),
    ("norm", False), ("residual", False))}


def trained(config: AMINetConfig) -> AMINet:
    """A network as if trained: no tail of zeros, no neutral norms, PReLUs or temperatures."""
    torch.manual_seed(0)
    model = AMINet(replace(config, zero_tail=False)).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.3, 2)
                module.bias.normal_(0, 0.3)
                module.weight.uniform_(0.5, 1.5)
            elif isinstance(module, nn.PReLU):
                module.weight.uniform_(0, 0.5)
            elif isinstance(module, SelfAttention) and module.temperature is not None:
                module.temperature.uniform_(1, 3)
    return model


@pytest.mark.parametrize("name", CONFIGS)
def test_same_output(name):
    model = trained(CONFIGS[name])
    image = torch.rand(2, 3, 32, 64) * 2 - 1
    with torch.no_grad():
        expected = model(image)
    assert (expected - image).std() > 1e-2  # the network does something
    torch.testing.assert_close(faster(model)(image), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["aminet", "aminet-8c"])
def test_same_output_at_full_width(name):
    model = trained(PRESETS[name])
    image = torch.rand(1, 3, 128, 128) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(faster(model)(image), model(image), atol=1e-4, rtol=0)


@pytest.mark.parametrize("scale", ["temperature", "sqrt"])
def test_attention(scale):
    torch.manual_seed(1)
    sa = SelfAttention(12, heads=3, scale=scale)
    x = torch.randn(2, 12, 8, 16)
    with torch.no_grad():
        torch.testing.assert_close(PixelMajorAttention(sa)(x), sa(x))
        assert PixelMajorAttention(sa)(0 * x).eq(0).all()  # a zero vector has no direction, and no NaN


def test_leaves_the_model_alone():
    model = trained(CONFIGS["pocket"]).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    fast = faster(model)
    fast(torch.rand(1, 3, 32, 32))
    assert model.training and all(p.requires_grad for p in model.parameters())
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_folds_what_can_be_folded():
    """Of FRM's and the hourglass's norms only the FRM's first one, which has no convolution before it, stays."""
    model = trained(CONFIGS["aminet"])
    left = [name for name, module in faster(model).named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(left) == 8 and all(name.endswith("refine.body.0") for name in left)


def test_bad_size():
    with pytest.raises(BadInput, match="multiples of"):
        faster(trained(CONFIGS["aminet"]))(torch.rand(1, 3, 30, 32))
