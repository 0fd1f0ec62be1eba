import keras
import numpy as np
import pytest

from lemonade_tf.architecture import Graph, GraphError, Layer, Node
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.keras_bridge import ConvexSum, to_keras


def test_layers_have_the_names_of_nodes(graph):
    names = {layer.name for layer in to_keras(graph, learnable=True).layers}
    assert names == set(graph)


def test_plain_form_has_stock_layers_only(graph):
    model = to_keras(graph)
    for layer in model.layers:
        assert type(layer).__module__.startswith("keras."), layer.name
    assert {layer.name for layer in model.layers} == set(graph) | {"skip_sum_x", "skip_sum_y"}
    assert isinstance(model.get_layer("skip_sum"), keras.layers.Add)


def test_both_forms_have_the_same_parameters(graph, shapes):
    assert to_keras(graph).count_params() == count_parameters(graph)
    assert to_keras(shapes).count_params() == count_parameters(graph)
    assert to_keras(graph, learnable=True).count_params() == count_parameters(graph) + 1


def test_output_shapes_equal_those_of_the_graph(graph):
    model = to_keras(graph, learnable=True)
    for name, shape in graph.shapes().items():
        assert model.get_layer(name).output.shape == (None, *shape)


def test_both_forms_compute_the_same_bits(graph, images):
    plain, learnable = to_keras(graph), to_keras(graph, learnable=True)
    np.testing.assert_array_equal(plain(images), learnable(images))


def test_a_convex_sum_computes_equation_8(graph, images):
    # lambda is the share of the second input, the skip
    model = to_keras(graph, learnable=True)
    ends = keras.Model(model.input, [model.get_layer(n).output for n in ("separable", "silu")])
    x, y = (np.asarray(end, np.float64) for end in ends(images))
    share = float(graph["skip_sum"].weights["lambda"])
    found = keras.Model(model.input, model.get_layer("skip_sum").output)(images)
    np.testing.assert_allclose(found, (1 - share) * x + share * y, rtol=1e-6, atol=1e-6)


def test_lambda_starts_at_exactly_zero(shapes):
    (share,) = to_keras(shapes, learnable=True).get_layer("skip_sum").weights
    assert (share.name, share.shape, float(share.value)) == ("lambda", (), 0.0)
    assert share.trainable


def test_a_convex_sum_can_be_created_from_its_configuration():
    layer = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(ConvexSum(name="here"))
    )
    assert isinstance(layer, ConvexSum)
    assert layer.name == "here"


def test_logits_are_the_input_of_the_softmax(graph, images):
    logits = to_keras(graph, logits=True)(images)
    np.testing.assert_array_equal(keras.ops.softmax(logits), to_keras(graph)(images))


def test_without_a_softmax_logits_are_the_output(images):
    graph = Graph()
    graph.add("images", kinds.Input((8, 8, 3)))
    graph.output = graph.add("mean", kinds.GlobalAveragePooling2D(), ["images"])
    assert to_keras(graph, logits=True).output.shape == (None, 3)


def test_a_clone_of_a_model_has_new_weights(graph):
    clone = keras.models.clone_model(to_keras(graph))
    kernel = np.asarray(clone.get_layer("conv").kernel.value)
    assert np.ptp(kernel) > 0
    assert not np.array_equal(kernel, graph["conv"].weights["kernel"])


def test_training_a_model_does_not_change_the_graph(graph):
    before = {n: {k: v.copy() for k, v in node.weights.items()} for n, node in graph.items()}
    for weight in to_keras(graph, learnable=True).weights:
        weight.assign(weight + 1)
    for name, node in graph.items():
        for key, value in node.weights.items():
            np.testing.assert_array_equal(value, before[name][key])


def test_the_same_seed_gives_the_same_dropout(graph, images):
    def drop(seed):
        layer = to_keras(graph, seed=seed).get_layer("drop")
        return np.asarray(layer(images.astype(np.float32), training=True))

    np.testing.assert_array_equal(drop(1), drop(1))
    assert not np.array_equal(drop(1), drop(2))


def test_an_unknown_kind_is_refused():
    class Mystery(Layer):
        def output_shape(self, *inputs):
            return inputs[0]

    nodes = {"images": Node(kinds.Input((8, 8, 3))), "odd": Node(Mystery(), ("images",))}
    graph = Graph.from_nodes(nodes, "odd")
    with pytest.raises(GraphError, match="layer 'odd' is a Mystery, which has no counterpart"):
        to_keras(graph)
