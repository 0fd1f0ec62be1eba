"""Networks from the literature have the numbers of parameters that are published for them."""

import numpy as np
import pytest

from lemonade_tf.architecture import check
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.layers import Conv2D, DepthwiseConv2D
from lemonade_tf.baselines import mobilenet_v1, mobilenet_v2, nasnet, wide_resnet
from lemonade_tf.search_spaces import shake_shake

CIFAR = (32, 32, 3)
SMALL = {
    "v1": lambda **task: mobilenet_v1(**task, alpha=0.1),
    "v2": lambda **task: mobilenet_v2(**task, alpha=0.15),
    "nasnet": lambda **task: nasnet(**task, cells_per_block=2, filters=96),
    "wide_resnet": lambda **task: wide_resnet(**task, depth=10, width=1),
    "shake_shake": lambda **task: shake_shake(**task, cells_per_block=1, filters=16),
}


def trainable(network):
    weights = [weights for _, node in network.items() for weights in node.weights.items()]
    return sum(value.size for key, value in weights if not key.startswith("moving_"))


# Table 2 of the paper: 40K, 221K, 834K, 3.2M.
@pytest.mark.parametrize(
    ("alpha", "parameters"), [(0.1, 40_911), (0.25, 221_114), (0.5, 834_666), (1.0, 3_239_114)]
)
def test_mobilenet_v1(alpha, parameters):
    assert count_parameters(mobilenet_v1(CIFAR, 10, alpha=alpha)) == parameters


# Table 2: 68K, 232K, 850K, 3.2M.
@pytest.mark.parametrize(
    ("alpha", "parameters"), [(0.15, 67_546), (0.3, 231_746), (0.6, 847_269), (1.2, 3_224_204)]
)
def test_mobilenet_v2(alpha, parameters):
    assert count_parameters(mobilenet_v2(CIFAR, 10, alpha=alpha)) == parameters


# Table 2: 38K, 193K, 926K, 3.3M.
@pytest.mark.parametrize(
    ("cells", "filters", "parameters"),
    [(2, 96, 38_862), (4, 192, 194_514), (6, 384, 929_242), (6, 768, 3_365_290)],
)
def test_nasnet(cells, filters, parameters):
    network = nasnet(CIFAR, 10, cells_per_block=cells, filters=filters)
    assert count_parameters(network) == parameters
    assert network.shapes()["normal_2_0"][-1] == filters


# Gastaldi, Table 1: 26 2x32d, 2x64d and 2x96d have 2.9M, 11.7M and 26.2M.
@pytest.mark.parametrize(
    ("filters", "parameters"), [(128, 2_923_162), (256, 11_653_978), (384, 26_192_922)]
)
def test_shake_shake(filters, parameters):
    assert trainable(shake_shake(CIFAR, 10, filters=filters)) == parameters


# Zagoruyko and Komodakis, Table 5: 11.0M, 8.9M, 0.6M (without moving statistics).
@pytest.mark.parametrize(
    ("depth", "width", "parameters"),
    [(16, 8, 10_961_370), (40, 4, 8_949_210), (40, 1, 563_930)],
)
def test_wide_resnet(depth, width, parameters):
    assert trainable(wide_resnet(CIFAR, 10, depth=depth, width=width)) == parameters


@pytest.mark.parametrize("network", [mobilenet_v1, mobilenet_v2])
def test_three_strides_of_mobilenets_are_replaced(network):
    layers = [node.layer for _, node in network(CIFAR, 10, alpha=0.25).items()]
    convolutions = [layer for layer in layers if isinstance(layer, Conv2D | DepthwiseConv2D)]
    assert sum(layer.strides == (2, 2) for layer in convolutions) == 2


@pytest.mark.parametrize("name", SMALL)
def test_networks_for_other_images(name):
    task = {"input_shape": (21, 28, 1), "num_classes": 7}
    network = SMALL[name](**task, rng=np.random.default_rng(0))
    check(network)
    again = SMALL[name](**task, rng=np.random.default_rng(0))
    assert network.shapes()[network.output] == (7,)
    assert network.shapes()[network.input] == (21, 28, 1)
    assert all(
        np.array_equal(value, again[node].weights[key])
        for node, entry in network.items()
        for key, value in entry.weights.items()
    )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: mobilenet_v1(CIFAR, 10, alpha=0.01), "leaves no channel of 32"),
        (lambda: nasnet(CIFAR, 10, filters=100), "multiple of 24"),
        (lambda: nasnet(CIFAR, 10, cells_per_block=0), "at least 1"),
        (lambda: wide_resnet(CIFAR, 10, depth=27), "multiple of 6"),
        (lambda: wide_resnet(CIFAR, 1), "at least 2"),
        (lambda: shake_shake(CIFAR, 10, filters=6), "positive multiple of 4"),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()
