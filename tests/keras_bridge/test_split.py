import numpy as np
from graphs import small

from lemonade_tf.keras_bridge import to_keras
from lemonade_tf.keras_bridge.split import split
from lemonade_tf.operators import AddSkip
from lemonade_tf.operators.skip import SkipSite

IMAGES = np.random.default_rng(0).uniform(0, 255, (5, 8, 8, 3)).astype(np.float32)


def test_both_parts_in_sequence_compute_the_whole():
    model = to_keras(small(), learnable=True)
    front, rest = split(model, ["pool_1"])
    values = front(IMAGES)
    assert values.shape == (5, 4, 4, 6)
    np.testing.assert_array_equal(rest(values), model(IMAGES))


def test_a_split_at_several_layers():
    site = SkipSite("relu_1", "relu_3", "concatenate")
    graph = AddSkip().apply(small(), site, rng=np.random.default_rng(0)).graph
    model = to_keras(graph, learnable=True)
    front, rest = split(model, ["skip_pool_1", "pool_2"])
    values = front(IMAGES)
    assert [tuple(v.shape) for v in values] == [(5, 2, 2, 6), (5, 2, 2, 8)]
    np.testing.assert_array_equal(rest(values), model(IMAGES))


def test_the_parts_share_layers_with_the_whole():
    model = to_keras(small(), learnable=True)
    _, rest = split(model, ["pool_1"])
    assert rest.get_layer("conv_3") is model.get_layer("conv_3")
    names = [layer.name for layer in rest.layers]
    assert "conv_1" not in names
    assert len(rest.weights) == len(model.weights) - 5  # conv_1 and bn_1
