"""ONNX files of any bytes: a network whose result has the shape of its input, or BadInput."""
import numpy as np
import pytest
import torch
from hostile import mutated, survives
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from aminet.deploy.export import to_onnx
from aminet.deploy.runtime import GRAPH, open_onnx, weights_in

X = np.zeros((1, 3, 128, 128), np.float32)


def small(node: str, *more: np.ndarray, **options) -> bytes:
    """A network of one node."""
    names = [f"x{i}" for i in range(len(more))]
    shape = ["n", *X.shape[1:]]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("image", "restored")]
    graph = helper.make_graph([helper.make_node(node, ["image", *names], ["restored"], **options)], "small", ends[:1],
                              ends[1:], [numpy_helper.from_array(value, name) for value, name in zip(more, names)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


EXPORTED = to_onnx(torch.nn.Conv2d(3, 3, 1).eval(), {"preset": "small"})
SEEDS = [EXPORTED, small("Conv", np.ones((3, 3, 1, 1), np.float32), pads=[0] * 4), small("Relu"),
         small("Expand", np.array([1, 3, 128, 128])), small("Tile", np.array([1, 1, 1, 1]))]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_seeds_are_networks(seed):
    assert open_onnx(seed, 1, bounded=True)(X).shape == X.shape and 0 <= len(seed) - weights_in(seed) < GRAPH


@given(mutated(SEEDS))
def test_networks(data):
    survives(lambda: open_onnx(data, 1, bounded=True)(X))


@given(st.one_of(mutated(SEEDS), st.binary(max_size=200)))
def test_weights_are_counted(data):
    """Its own parser of protobuf ends, whatever it reads."""
    try:
        assert weights_in(data) >= 0
    except (IndexError, KeyError, StopIteration):
        pass
