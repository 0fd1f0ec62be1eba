import numpy as np
import pytest

from lemonade_tf.architecture import GraphError, check
from lemonade_tf.keras_bridge import read_weights, to_keras


def test_a_new_model_has_the_weights_of_the_graph(graph, assert_same):
    assert_same(graph, read_weights(to_keras(graph, learnable=True), graph))


def test_current_weights_are_read(graph, shapes):
    model = to_keras(graph, learnable=True)
    model.get_layer("skip_sum").weights[0].assign(0.75)
    model.get_layer("norm").moving_mean.assign(np.full(4, 3.0))
    read = read_weights(model, shapes)
    check(read)
    assert read["skip_sum"].weights["lambda"] == np.float32(0.75)
    np.testing.assert_array_equal(read["norm"].weights["moving_mean"], np.full(4, 3))
    assert not shapes.has_weights
    assert graph["skip_sum"].weights["lambda"] != np.float32(0.75)


def test_weights_that_were_read_do_not_change_with_the_model(graph):
    model = to_keras(graph, learnable=True)
    read = read_weights(model, graph)
    kernel = model.get_layer("conv").kernel
    kernel.assign(kernel + 1)
    np.testing.assert_array_equal(read["conv"].weights["kernel"], graph["conv"].weights["kernel"])


def test_a_model_of_another_graph_is_refused(graph):
    other = graph.copy()
    other.redirect("logits", "both")
    other.remove("logits")
    model = to_keras(other, learnable=True)
    with pytest.raises(GraphError, match="no layer 'logits'"):
        read_weights(model, graph)
