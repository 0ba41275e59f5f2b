"""AD-GNN: its size, its dynamic graphs, and where they take their neighbours from."""
from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from aminet import BadInput
from aminet.baselines.ad_gnn import ADGNN, CDG, NEIGHBOURS, SDG, ADGNNConfig, CrossScale, DynamicGraph, patches, picture
from aminet.ledger import Cost, counted, thop_counted


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_the_size_is_near_the_published():
    with torch.device("meta"):
        model = ADGNN()
    cost = counted(model)[""]
    assert cost == Cost(15_758_669, 14_626_178_400, 28_238_848)
    assert cost.params == pytest.approx(15.8e6, rel=0.01) and cost.macs == pytest.approx(15.0e9, rel=0.03)  # Table X
    assert thop_counted(model)[1] == 14_626_840_432


def test_patches_and_back():
    x = torch.arange(2 * 3 * 4 * 8.0).reshape(2, 3, 4, 8)
    nodes = patches(x, 2, 2)
    assert nodes.shape == (2, 8, 12)
    assert torch.equal(nodes[1, 5].reshape(3, 2, 2), x[1, :, 2:, 2:4])  # row by row
    assert torch.equal(picture(nodes, 2, 2, 4), x)


@pytest.mark.parametrize("itself", [True, False])
def test_a_graph_by_hand(itself):
    graph, nodes, values = DynamicGraph(itself), torch.randn(2, 9, 6), torch.randn(2, 9, 4)
    y = graph(nodes, nodes, values)
    for face in range(2):
        centred = nodes[face] - nodes[face].mean(0)
        for i in range(9):
            cosine = F.cosine_similarity(centred[i : i + 1], centred)
            others = [j for j in cosine.argsort(descending=True).tolist() if itself or j != i][:NEIGHBOURS]
            weights = (graph.sharpness * cosine[others]).softmax(0)
            torch.testing.assert_close(y[face, i], weights @ values[face, others])


def test_a_small_graph_has_fewer_edges():
    for itself, keys, edges in ((False, 4, 3), (True, 4, 4), (True, 1, 1)):
        indices, weights = DynamicGraph(itself).edges(torch.randn(1, 4, 6), torch.randn(1, keys, 6))
        assert indices.shape == weights.shape == (1, 4, edges)
        torch.testing.assert_close(weights.sum(-1), torch.ones(1, 4))


def test_a_graph_has_right_slopes():
    graph = DynamicGraph(False).double()
    nodes, values = (torch.randn(1, 8, n, dtype=torch.float64, requires_grad=True) for n in (4, 3))
    assert torch.autograd.gradcheck(lambda nodes, values: graph(nodes, nodes, values), (nodes, values))


def test_an_sdg_reaches_a_remote_like_and_nothing_else():
    """Six equal corners of otherwise random faces find each other across the picture."""
    module, x = SDG(4), torch.randn(1, 4, 16, 16)
    places = [(0, 0), (0, 14), (14, 0), (14, 14), (6, 8), (8, 2)]
    for i, j in places:
        x[:, :, i : i + 2, j : j + 2] = x[:, :, :2, :2]
    slope = torch.autograd.functional.jacobian(lambda x: module(x)[0, :, :2, :2].sum(), x)[0].abs().sum(0)
    linked = F.avg_pool2d(slope[None, None], 2)[0, 0] > 0.05 * slope.max()
    assert {(2 * i, 2 * j) for i, j in linked.nonzero().tolist()} == set(places)


def test_the_graph_across_scales_takes_the_original_of_what_it_finds():
    """A patch that the halved feature repeats somewhere is answered with the 4x4 pixels that were halved there."""
    module, x = CrossScale(4), torch.randn(1, 4, 16, 16)
    with torch.no_grad():
        module.graph.sharpness.fill_(1000.0)  # the best alone
        x[:, :, :2, :2] = F.avg_pool2d(x[:, :, 6:10, 4:8], 2)
        drawn = []
        module.shrink.register_forward_pre_hook(lambda _, inputs: drawn.append(inputs[0]))
        assert module(x).shape == x.shape
        assert drawn[0].shape == (1, 4, 32, 32)  # twice the size
        torch.testing.assert_close(drawn[0][:, :, :4, :4], module.value(x)[:, :, 6:10, 4:8])


def test_cdg_joins_both_graphs():
    module, x = CDG(4), torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(module(x), x + module.join(torch.cat([x, module.across(x), module.within(x)], dim=1)))


@pytest.mark.parametrize("level", [0.0, 0.5, -1.0])
def test_trains_on_a_blank_face(level):
    model = ADGNN(ADGNNConfig(channels=8, blocks=1))
    model(torch.full((2, 3, 8, 8), level)).abs().mean().backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().max() < 100 for p in model.parameters())


def test_the_bicubic_face_is_added():
    model, x = ADGNN(ADGNNConfig(channels=8, blocks=1)).eval(), torch.rand(1, 3, 4, 8) * 2 - 1
    with torch.no_grad():
        assert model(x).shape == (1, 3, 32, 64)
        for p in model.tail[-1].parameters():
            p.zero_()
        assert torch.equal(model(x), F.interpolate(x, scale_factor=8, mode="bicubic"))


def test_bad_values():
    with pytest.raises(BadInput, match="channels=7: expected a multiple of 2"):
        ADGNNConfig(channels=7)
    with pytest.raises(BadInput, match="multiples of 4"):
        ADGNN(ADGNNConfig(channels=8, blocks=1))(torch.zeros(1, 3, 16, 18))
