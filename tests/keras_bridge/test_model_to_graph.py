import keras
import numpy as np
import pytest

from lemonade_tf.architecture import GraphError
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.backends.batch_normalization_tensorflow import FusedBatchNormalization
from lemonade_tf.keras_bridge import from_keras, to_keras

layers = keras.layers


def functional(*stack, shape=(8, 8, 3)):
    tensor = start = keras.Input(shape, name="images")
    for layer in stack:
        tensor = layer(tensor)
    return keras.Model(start, tensor)


@pytest.mark.parametrize(
    "batch_normalization", [keras.layers.BatchNormalization, FusedBatchNormalization]
)
def test_a_round_trip_returns_the_graph(graph, assert_same, batch_normalization):
    model = to_keras(graph, learnable=True, batch_normalization=batch_normalization)
    assert_same(graph, from_keras(model))


def test_a_round_trip_of_the_plain_form_keeps_the_function(graph, images):
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


def test_a_sequential_model_is_converted():
    model = keras.Sequential(
        [keras.Input((8, 8, 3), name="images"), layers.Conv2D(4, 3, name="conv")]
    )
    graph = from_keras(model)
    assert list(graph) == ["images", "conv"]
    np.testing.assert_array_equal(graph["conv"].weights["bias"], np.zeros(4))


def test_batch_normalization_of_the_last_axis_is_converted():
    model = functional(layers.BatchNormalization(axis=3, name="norm"))
    assert from_keras(model)["norm"].layer == kinds.BatchNormalization()


@pytest.mark.parametrize(
    ("compute", "layer"),
    [
        (lambda x: x + 3, kinds.Rescaling(1.0, 3.0)),
        (lambda x: 3 + x, kinds.Rescaling(1.0, 3.0)),
        (lambda x: x - 3, kinds.Rescaling(1.0, -3.0)),
        (lambda x: 3.5 - x, kinds.Rescaling(-1.0, 3.5)),
        (lambda x: x * (1 / 6), kinds.Rescaling(1 / 6)),
        (lambda x: 2 * x, kinds.Rescaling(2.0)),
        (lambda x: keras.ops.add(x1=x, x2=3), kinds.Rescaling(1.0, 3.0)),
        (lambda x: x + x, kinds.Add()),
        (lambda x: x * x, kinds.Multiply()),
    ],
)
def test_sums_products_and_differences_become_layers(compute, layer, images):
    start = keras.Input((8, 8, 3), name="images")
    model = keras.Model(start, compute(start))
    graph = from_keras(model)
    assert graph[graph.output].layer == layer
    x = images.astype(np.float32)
    np.testing.assert_array_equal(to_keras(graph)(x), model(x))


class _Doubled(keras.Model):
    """A functional model with a custom call."""

    def call(self, inputs, training=None):
        return 2 * super().call(inputs, training=training)


def test_a_model_with_a_custom_call_is_refused():
    start = keras.Input((8, 8, 3))
    doubled = _Doubled(start, layers.ReLU()(start), name="doubled")
    with pytest.raises(GraphError, match="'doubled' is a _Doubled with a custom call"):
        from_keras(doubled)


class _TrainedOtherwise(keras.Model):
    """A functional model with a custom training step."""

    def train_step(self, data):
        return {}


def test_a_functional_model_with_a_custom_training_step_is_converted():
    start = keras.Input((8, 8, 3), name="start")
    model = _TrainedOtherwise(start, layers.ReLU(name="relu")(start))
    assert list(from_keras(model)) == ["start", "relu"]


def test_inner_models_are_replaced_by_their_layers(images):
    def block(name):
        start = keras.Input((8, 8, 4), name="start")
        tensor = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(start)
        return keras.Model(start, layers.Add(name=f"{name}_sum")([start, tensor]), name=name)

    top = keras.Sequential([layers.Flatten(name="flat"), layers.Dense(2, name="conv")], name="top")
    stem = keras.Sequential([layers.Conv2D(4, 1, name="stem_conv"), block("first")], name="stem")
    model = functional(stem, block("second"), top, layers.ReLU(name="last"))
    graph = from_keras(model)
    assert {"stem_conv", "first_sum", "second_sum", "flat"} <= set(graph)
    assert {"first_conv", "first_conv_activation", "second_conv", "top_conv"} <= set(graph)
    assert graph["second_conv"].inputs == ("first_sum",)
    assert "start" not in " ".join(graph)
    np.testing.assert_array_equal(to_keras(graph)(images), model(images))


def test_an_outer_layer_keeps_its_name_rather_than_an_inner_one():
    inner = functional(layers.ReLU(name="same"), shape=(8, 8, 3))
    graph = from_keras(functional(inner, layers.ReLU(name="same")))
    assert graph.output == "same"
    assert graph["same"].inputs == (f"{inner.name}_same",)


def test_an_inline_activation_gets_a_free_name():
    model = functional(
        layers.Conv2D(4, 3, activation="relu", name="conv"), layers.ReLU(name="conv_activation")
    )
    graph = from_keras(model)
    assert len(graph) == 4
    assert isinstance(graph[graph.output].layer, kinds.ReLU)


def test_statistics_of_adapt_are_kept(images):
    adapted = layers.Normalization(name="normal")
    adapted.adapt(images.astype(np.float32))
    given = layers.Normalization(mean=[1.0, 2.0, 3.0], variance=4.0 * np.ones(3), name="given")
    model = functional(adapted, given)
    graph = from_keras(model)
    assert graph["given"].layer == kinds.Normalization((1.0, 2.0, 3.0), (4.0, 4.0, 4.0))
    assert set(graph["normal"].weights) == {"mean", "variance", "count"}
    again = to_keras(graph)
    np.testing.assert_array_equal(again(images), model(images))
    assert again.count_params() == model.count_params() == 7


def test_open_sizes_are_given_or_usual_ones():
    model = functional(layers.Conv2D(4, 3, name="conv"), shape=(None, None, 3))
    assert from_keras(model).shapes()["images"] == (224, 224, 3)
    assert from_keras(model, input_shape=(9, 8, 3)).shapes()["conv"] == (7, 6, 4)
    assert from_keras(model, input_shape={"images": (9, 8, 3)}).shapes()["conv"] == (7, 6, 4)
    for shape in ((9, 8, 1), (9, 8), (9, 8, 3, 1)):
        with pytest.raises(
            GraphError, match=r"\(None, None, 3\), which contradicts input_shape=\(9, 8"
        ):
            from_keras(model, input_shape=shape)
    for shape in ((None, 8, 3), (0, 8, 3)):
        with pytest.raises(GraphError, match="expected positive integers"):
            from_keras(model, input_shape=shape)


def test_an_inner_model_of_open_size_is_converted(images):
    base = functional(layers.Conv2D(4, 3, name="conv"), shape=(None, None, 3))
    model = functional(base, layers.GlobalAveragePooling2D(), layers.Dense(2))
    np.testing.assert_array_equal(to_keras(from_keras(model))(images), model(images))


def test_a_model_that_is_not_functional_is_refused():
    with pytest.raises(GraphError, match="expected a functional Keras model, or a Sequential"):
        from_keras(keras.Sequential([layers.Dense(3)]))
    with pytest.raises(GraphError, match="expected a functional"):
        from_keras("model.h5")
