import keras
import numpy as np
import pytest

from lemonade_tf.architecture import GraphError
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.keras_bridge import from_keras, to_keras

layers = keras.layers


def functional(*stack, shape=(8, 8, 3)):
    tensor = start = keras.Input(shape, name="images")
    for layer in stack:
        tensor = layer(tensor)
    return keras.Model(start, tensor)


@pytest.mark.parametrize("fused", [False, True])
def test_round_trip_gives_the_graph_back(graph, assert_same, fused):
    assert_same(graph, from_keras(to_keras(graph, learnable=True, fused=fused)))


def test_round_trip_of_the_plain_form_keeps_the_function(graph, images):
    plain = from_keras(to_keras(graph))
    assert isinstance(plain["skip_sum"].layer, kinds.Add)
    assert plain["skip_sum"].inputs == ("skip_sum_x", "skip_sum_y")
    np.testing.assert_array_equal(to_keras(plain)(images), to_keras(graph)(images))


@pytest.mark.parametrize("name", kinds.ACTIVATIONS)
def test_every_activation_round_trips(name):
    model = functional(layers.Activation(name, name="here"))
    assert from_keras(model)["here"].layer == kinds.Activation(name)


def test_an_inline_activation_becomes_a_node(images):
    model = functional(
        layers.Conv2D(4, 3, activation="relu", name="conv"),
        layers.SeparableConv2D(4, 3, activation="tanh", name="separable"),
        layers.Flatten(name="flat"),
        layers.Dense(5, activation="softmax", name="dense"),
    )
    graph = from_keras(model)
    assert graph["conv_activation"].layer == kinds.ReLU()
    assert graph["separable_activation"].layer == kinds.Activation("tanh")
    assert graph["flat"].inputs == ("separable_activation",)
    assert graph.output == "dense_activation"
    np.testing.assert_allclose(to_keras(graph)(images), model(images), atol=1e-6)


def test_a_sequential_model_is_read():
    model = keras.Sequential(
        [keras.Input((8, 8, 3), name="images"), layers.Conv2D(4, 3, name="conv")]
    )
    graph = from_keras(model)
    assert list(graph) == ["images", "conv"]
    np.testing.assert_array_equal(graph["conv"].weights["bias"], np.zeros(4))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (layers.ReLU(negative_slope=0.1, name="odd"), "'odd' .ReLU. has negative_slope=0.1"),
        (layers.ReLU(threshold=1.0, name="odd"), "threshold=1.0"),
        (layers.Conv2D(6, 3, groups=3, name="odd"), "'odd' .Conv2D. has groups=3"),
        (layers.Conv2D(6, 3, dilation_rate=2, name="odd"), r"dilation_rate=\(2, 2\)"),
        (layers.BatchNormalization(axis=1, name="odd"), "has axis=1.*axis=-1 only"),
        (layers.GlobalAveragePooling2D(keepdims=True, name="odd"), "keepdims=True"),
        (layers.UpSampling2D(name="odd"), "'odd' is of the kind UpSampling2D"),
        (layers.Activation("mish", name="odd"), "'odd' has the activation 'mish'"),
        (layers.Conv2D(6, 3, dtype="float16", name="odd"), "computes in float16"),
    ],
)
def test_what_a_graph_cannot_express_is_refused(layer, message):
    with pytest.raises(GraphError, match=message):
        from_keras(functional(layer))


def test_batch_normalization_of_the_last_axis_is_read():
    model = functional(layers.BatchNormalization(axis=3, name="norm"))
    assert from_keras(model)["norm"].layer == kinds.BatchNormalization()


def test_a_subclass_is_not_taken_for_its_base():
    class Louder(layers.Dense):
        def call(self, inputs):
            return 2 * super().call(inputs)

    with pytest.raises(GraphError, match="'odd' is of the kind Louder"):
        from_keras(functional(Louder(3, name="odd")))


def test_shared_layers_are_refused():
    conv = layers.Conv2D(3, 3, padding="same", name="twice")
    with pytest.raises(GraphError, match="'twice' is used 2 times"):
        from_keras(functional(conv, conv))


def test_operations_are_refused():
    start = keras.Input((8, 8, 3))
    with pytest.raises(GraphError, match="is the operation Multiply and not a layer"):
        from_keras(keras.Model(start, start * 2.0))


def test_training_mode_for_good_is_refused():
    start = keras.Input((8, 8, 3))
    model = keras.Model(start, layers.BatchNormalization(name="norm")(start, training=True))
    with pytest.raises(GraphError, match="'norm' was called with training=True"):
        from_keras(model)


def test_several_outputs_are_refused():
    start = keras.Input((8, 8, 3))
    with pytest.raises(GraphError, match="1 inputs and 2 outputs"):
        from_keras(keras.Model(start, [layers.ReLU()(start), layers.Flatten()(start)]))


def test_an_image_of_unknown_size_is_refused():
    with pytest.raises(GraphError, match=r"'images' has the shape \(None, None, 3\)"):
        from_keras(functional(layers.ReLU(), shape=(None, None, 3)))


def test_what_is_not_functional_is_refused():
    with pytest.raises(GraphError, match="not a functional or a built Sequential"):
        from_keras(keras.Sequential([layers.Dense(3)]))
    with pytest.raises(GraphError, match="not a functional"):
        from_keras("model.h5")
