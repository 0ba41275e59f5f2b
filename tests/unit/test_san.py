"""SAN: its size, the square root of a covariance, and the attention made of it."""
from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from aminet import BadInput
from aminet.baselines.san import SAN, NonLocal, SANConfig, SecondOrderAttention, covariance, square_root
from aminet.ledger import Cost, counted


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_the_size_is_the_published():
    with torch.device("meta"):
        cost = counted(SAN())[""]
    assert cost == Cost(15_970_132, 4_786_153_472, 84_410_368)
    idle, centring, roots = 36_928 + 1_096, 20 * 64 * 256**2, 20 * 12 * 64**3  # of the authors' network and its count
    assert cost.params + idle == pytest.approx(16.01e6, rel=0.001)
    assert cost.macs == pytest.approx(4.89e9, rel=0.005)
    assert cost.macs + centring - roots == pytest.approx(4.89e9, rel=0.001)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_square_root(scale):
    x = torch.randn(3, 6, 100)
    matrix = scale * (x @ x.mT / 100 + torch.eye(6))
    root = square_root(matrix)
    torch.testing.assert_close(root @ root, matrix, rtol=0.01, atol=0.001 * scale)
    torch.testing.assert_close(root, root.mT)


def test_square_root_step_by_step():
    """What the iteration makes of each eigenvalue; a small one, 1e-3 of the trace here, is not there yet."""
    basis = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    values = torch.tensor([0.5, 0.4, 0.099, 0.001], dtype=torch.float64)
    y, z = values, torch.ones(4, dtype=torch.float64)
    for _ in range(5):
        t = (3 - z * y) / 2
        y, z = y * t, t * z
    root = square_root((basis * values @ basis.T)[None])[0]
    torch.testing.assert_close(root, basis * y @ basis.T, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(y[:2], values[:2].sqrt(), rtol=1e-3, atol=0)
    assert 0 < y[3] < values[3].sqrt()


@pytest.mark.parametrize("pixels", [torch.zeros(2, 8, 4, 4), torch.full((2, 8, 4, 4), 1e4),
                                    1e-20 * torch.randn(2, 8, 4, 4), 1e8 * torch.randn(2, 8, 1, 1).expand(-1, -1, 4, 4),
                                    1e6 * torch.randn(2, 1, 4, 4).expand(-1, 8, -1, -1), torch.randn(2, 8, 1, 1)],
                         ids=["zero", "flat", "tiny", "flat per channel", "rank one", "one pixel"])
def test_slopes_are_finite(pixels):
    x = pixels.clone().requires_grad_()
    y = square_root(covariance(x))
    y.mean(dim=2).sum().backward()
    assert y.isfinite().all() and x.grad.isfinite().all()


def test_square_root_has_right_slopes():
    x = torch.randn(1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: square_root(covariance(x)), x)


def test_statistics_stay_in_float32_under_autocast():
    x = 10 + torch.randn(2, 8, 12, 12)
    with torch.autocast("cpu", torch.bfloat16):
        rough = square_root(covariance(x))
        assert square_root(covariance(x.bfloat16())).dtype == torch.float32
    assert torch.equal(rough, square_root(covariance(x)))


def test_attention_by_hand():
    module, x = SecondOrderAttention(4), torch.randn(1, 4, 8, 8)
    matrix = torch.cov(x[0].reshape(4, 64), correction=0)
    values, vectors = torch.linalg.eigh(matrix)
    rows = ((vectors * values.sqrt()) @ vectors.T).mean(dim=1)
    weights, biases = zip(*[(m.weight[:, :, 0, 0], m.bias) for m in (module.gate[0], module.gate[2])])
    gate = torch.sigmoid(weights[1] @ F.relu(weights[0] @ rows + biases[0]) + biases[1])
    torch.testing.assert_close(module(x), x * gate[:, None, None], rtol=1e-3, atol=1e-3)


def test_quarters_by_hand():
    module, x = NonLocal(16), torch.randn(2, 16, 4, 8)
    assert torch.equal(module(x), x)  # the last 1x1 starts at zero
    torch.nn.init.normal_(module.project.weight)
    expected = torch.zeros_like(x)
    for rows in (slice(0, 2), slice(2, 4)):
        for columns in (slice(0, 4), slice(4, 8)):
            part = x[:, :, rows, columns]
            q, k, v = module.qkv(part).flatten(2).chunk(3, dim=1)  # (B, C/8, pixels)
            y = v @ (q.mT @ k).softmax(dim=-1).mT
            expected[:, :, rows, columns] = part + module.project(y.reshape(2, -1, 2, 4))
    torch.testing.assert_close(module(x), expected)


def test_the_source_is_added_behind_each_group():
    model, x = SAN(SANConfig(channels=8, groups=2, blocks=1)).eval(), torch.rand(1, 3, 4, 6)
    for group in model.groups:
        torch.nn.init.zeros_(group.body[-1].weight), torch.nn.init.zeros_(group.body[-1].bias)
    torch.nn.init.constant_(model.gamma, 0.5)
    with torch.no_grad():
        torch.testing.assert_close(model(x), model.tail(3 * model.head(x)))  # 1 + 2 x 0.5, and 1 of the long shortcut
    with pytest.raises(BadInput, match="multiples of 2"):
        model(torch.zeros(1, 3, 5, 6))
