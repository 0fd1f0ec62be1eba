"""Batch normalizations are folded where the function stays the same, and nowhere else."""

import numpy as np
import pytest
from reference import forward as all_outputs

from lemonade_tf.architecture import Graph, check
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.export import fold_batch_normalization
from lemonade_tf.operators.initial import initial_weights


def _with_normalization(layer, **arguments):
    """Return a network of a layer with a batch normalization, with random weights."""
    graph = Graph()
    at = graph.add("input", kinds.Input((7, 6, 4) if not isinstance(layer, kinds.Dense) else (4,)))
    at = graph.add("layer", layer, [at])
    at = graph.add("norm", kinds.BatchNormalization(**arguments), [at])
    graph.output = graph.add("relu", kinds.ReLU(), [at])
    return _random(graph)


def _random(graph):
    rng = np.random.default_rng(0)
    graph = initial_weights(graph, rng=rng)
    for name, node in graph.items():
        new = {k: rng.uniform(0.2, 1.2, w.shape) for k, w in node.weights.items()}
        graph.set_weights(name, {k: w.astype(np.float32) for k, w in new.items()})
    return graph


def forward(graph, images):
    """Return the output of a network."""
    return all_outputs(graph, images)[graph.output]


def _images(graph):
    return np.random.default_rng(1).normal(size=(3, *graph.shapes()[graph.input]))


@pytest.mark.parametrize(
    "layer",
    [
        kinds.Conv2D(6, 3),
        kinds.Conv2D(6, 3, strides=2, padding="valid", use_bias=True),
        kinds.Conv2D(6, 3, groups=2),
        kinds.Conv2DTranspose(5, 3, strides=2),
        kinds.DepthwiseConv2D(3, depth_multiplier=2),
        kinds.DepthwiseConv2D(3, use_bias=True),
        kinds.SeparableConv2D(5, 3),
        kinds.SeparableConv2D(5, 3, depth_multiplier=2, use_bias=True),
        kinds.Dense(3),
    ],
    ids=str,
)
@pytest.mark.parametrize("arguments", [{}, {"center": False, "scale": False, "epsilon": 0.1}])
def test_every_kind_of_layer_keeps_its_function(layer, arguments):
    graph = _with_normalization(layer, **arguments)
    before = dict(graph.items())
    folded = fold_batch_normalization(graph)
    check(folded)
    assert "norm" not in folded
    assert dict(graph.items()) == before
    images = _images(graph)
    np.testing.assert_allclose(
        forward(folded, images), forward(graph, images), rtol=1e-5, atol=1e-5
    )


def test_what_others_read_and_what_is_no_convolution_stays():
    graph = Graph()
    at = graph.add("input", kinds.Input((5, 5, 4)))
    graph.add("first_norm", kinds.BatchNormalization(), [at])
    graph.add("conv", kinds.Conv2D(4, 3), ["first_norm"])
    graph.add("norm", kinds.BatchNormalization(), ["conv"])
    graph.output = graph.add("sum", kinds.Add(), ["conv", "norm"])
    folded = fold_batch_normalization(_random(graph))
    assert {"first_norm", "norm"} <= set(folded)


def test_a_normalization_at_the_output_and_two_in_a_row_are_folded():
    graph = Graph()
    at = graph.add("input", kinds.Input((5, 5, 4)))
    at = graph.add("conv", kinds.Conv2D(4, 3), [at])
    at = graph.add("norm", kinds.BatchNormalization(), [at])
    graph.output = graph.add("again", kinds.BatchNormalization(), [at])
    graph = _random(graph)
    folded = fold_batch_normalization(graph)
    assert list(folded) == ["input", "conv"]
    images = _images(graph)
    np.testing.assert_allclose(
        forward(folded, images), forward(graph, images), rtol=1e-5, atol=1e-5
    )
