"""The shared part of two networks: what ends it, and what is never shared."""

import numpy as np
import pytest
from graphs import small

from lemonade_tf.architecture import layers as L
from lemonade_tf.architecture.shared import shared_part


def test_network_shares_everything_with_itself():
    graph = small()
    part = shared_part(graph, graph.copy())
    assert part.nodes == set(graph)
    assert part.boundary == (graph.output,)


def test_everything_before_the_first_change_is_shared():
    graph, other = small(), small()
    kernel = other["conv_3"].weights["kernel"] + 1
    other.set_weights("conv_3", {"kernel": kernel})
    part = shared_part(graph, other)
    assert part.boundary == ("pool_2",)
    assert part.nodes == graph.ancestors("conv_3")
    assert part.num_values(graph) == np.prod(graph.shapes()["pool_2"])


@pytest.mark.parametrize("layer", [L.Conv2D(6, 5), L.Conv2D(6, 3, padding="valid")])
def test_changed_layer_is_not_shared(layer):
    graph, other = small().copy(weights=False), small().copy(weights=False)
    other.set_layer("conv_1", layer)
    if layer.padding == "valid":
        other.set_layer("pool_2", L.MaxPooling2D(2, padding="same"))
    assert shared_part(graph, other).boundary == ("rescaling",)


def test_nodes_that_will_be_trained_are_not_shared():
    graph = small()
    part = shared_part(graph, graph, changing=["bn_2"])
    assert part.boundary == ("conv_2",)


def test_node_with_a_new_consumer_is_on_the_boundary():
    graph, other = small(), small()
    other.add("more", L.ReLU(), ["relu_1"])
    part = shared_part(graph, other)
    assert part.boundary == ("relu_1", graph.output)


def test_dropout_is_not_shared():
    def dropping():
        graph = small()
        name = graph.add("dropout", L.Dropout(0.5), ["pool_1"])
        graph.redirect("pool_1", name, exclude=[name])
        return graph

    assert shared_part(dropping(), dropping()).boundary == ("pool_1",)
