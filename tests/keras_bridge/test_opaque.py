"""Layers and operations of unknown kind: carried as they are, and edits do not cross them."""

import re

import keras
import numpy as np
import pytest

from lemonade_tf import Surgery
from lemonade_tf.architecture import GraphError
from lemonade_tf.architecture.channel_groups import channel_groups
from lemonade_tf.architecture.cost import count_parameters, uncounted_layers
from lemonade_tf.architecture.opaque import Opaque
from lemonade_tf.architecture.text import to_json
from lemonade_tf.keras_bridge import from_keras, read_weights, to_keras
from lemonade_tf.operators import SiteError

layers, ops = keras.layers, keras.ops


class Louder(layers.Dense):
    """A subclass that computes something else."""

    def call(self, inputs):
        return 2 * super().call(inputs)


class Attending(layers.Layer):
    """A layer with layers and a weight of its own."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.inner = Louder(units)
        self.twin = layers.Dense(units, trainable=False)

    def build(self, shape):
        self.inner.build(shape)
        self.twin.build(shape)
        self.shift = self.add_weight(shape=(), initializer="ones", name="kernel")

    def call(self, inputs):
        return self.inner(inputs) + self.twin(inputs) + self.shift

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class Doubled(keras.Model):
    """A functional model with a custom call."""

    def call(self, inputs, training=None):
        return 2 * super().call(inputs, training=training)


def _doubled(x):
    start = keras.Input(x.shape[1:])
    return Doubled(start, layers.Conv2D(3, 1)(start), name="odd")(x)


def _twice(x):
    start = keras.Input(x.shape[1:])
    inner = keras.Model(start, layers.Conv2D(3, 1)(start), name="odd")
    return inner(inner(x))


SCALE = np.linspace(0, 1, 3).astype("float32")

CASES = {
    "axis": lambda x: layers.BatchNormalization(axis=1, name="odd")(x),
    "axes": lambda x: layers.Normalization((1, 2), 8 * [8 * [1]], 8 * [8 * [2]], name="odd")(x),
    "lambda": lambda x: layers.Lambda(lambda y: SCALE * y, name="odd")(x),
    "function": lambda x: layers.Activation(lambda y: y - 1, name="odd")(x),
    "own activation": lambda x: layers.Conv2D(3, 1, activation=lambda y: y + 1, name="odd")(x),
    "subclass": lambda x: Louder(3, name="odd")(x),
    "composite": lambda x: Attending(3, name="odd")(x),
    "in training": lambda x: layers.BatchNormalization(name="odd")(x, training=True),
    "attention": lambda x: layers.MultiHeadAttention(2, 2, name="odd")(x, value=x),
    "state": lambda x: x * layers.LSTM(3, return_state=True, name="odd")(x[:, 0])[1][:, None, None],
    "expm1": ops.expm1,
    "array": lambda x: x + np.arange(8, dtype="float32")[:, None],
    "division": lambda x: 1 / (2 + x),
    "split": lambda x: ops.concatenate(ops.split(x, [1], axis=1)[::-1], axis=1),
    "custom model": _doubled,
    "model called twice": _twice,
    "integers": lambda x: ops.cast(ops.cast(ops.abs(x) % 250, "uint8") + 200, "float32"),
}


@pytest.mark.filterwarnings("ignore:.*does not support masking")
@pytest.mark.parametrize("case", CASES)
def test_every_operation_comes_back_as_it_was(case, images):
    start = keras.Input((8, 8, 3), name="images")
    before = layers.Conv2D(3, 3, padding="same", name="before")(start)
    model = keras.Model(start, layers.Conv2D(2, 1, name="after")(CASES[case](before)))
    for weight in model.weights:
        weight.assign(weight + np.random.default_rng(0).normal(size=weight.shape) ** 2)
    graph = from_keras(model)
    again = to_keras(graph)
    np.testing.assert_array_equal(again(images), model(images))
    assert [w.name for w in again.weights] == [w.name for w in model.weights]
    assert [op.name for op in again.operations] == [op.name for op in model.operations]
    assert len(again.trainable_weights) == len(model.trainable_weights)
    assert count_parameters(graph) >= model.count_params()
    assert any(isinstance(graph[name].layer, Opaque) for name in uncounted_layers(graph))
    fixed = channel_groups(graph).why_fixed(channel_groups(graph).groups_of("before"))
    assert (fixed is None) == (case == "own activation")  # whose convolution takes any channels
    with pytest.raises(GraphError, match="which the file of a network cannot contain"):
        to_json(graph)
    single = to_keras(graph, layer_per_node=True)
    for name, node in read_weights(single, graph).items():
        for key, value in node.weights.items():
            np.testing.assert_array_equal(value, graph[name].weights[key])
    np.testing.assert_allclose(single(images), model(images), atol=1e-5, rtol=1e-5)


POINTWISE = {
    "approximate": ops.gelu,
    "layer": layers.Activation(ops.gelu),
    "built in": layers.Conv2D(5, 1, activation=ops.gelu),
    "slope": lambda x: ops.celu(x, 2.0),
    "even": lambda x: ops.square(x) + ops.abs(x),
    "bounds": lambda x: ops.minimum(ops.maximum(ops.clip(x, -1, 3), -0.5), 2),
}


@pytest.mark.parametrize("case", POINTWISE)
def test_channels_pass_unknown_functions_of_single_values(case, images):
    start = keras.Input((8, 8, 3), name="images")
    x = POINTWISE[case](layers.Conv2D(4, 3, padding="same", name="before")(start))
    model = keras.Model(start, layers.Conv2D(2, 1, name="after")(x))
    surgery, small = Surgery(model), images / 255
    assert not uncounted_layers(surgery.graph)
    assert any(isinstance(node.layer, Opaque) for _, node in surgery.graph.items())
    np.testing.assert_array_equal(surgery.model()(small), model(small))
    surgery.widen("before", 1.5)
    surgery.widen("before", 1.5, split=True)
    np.testing.assert_allclose(surgery.model()(small), model(small), rtol=1e-4, atol=1e-5)
    surgery.prune("before", channels=range(4, 9))  # the new ones
    np.testing.assert_array_equal(surgery.graph["before"].weights["kernel"].shape, (3, 3, 3, 4))
    assert surgery.model()(small).shape == model(small).shape


class Named(layers.Conv2D):
    """A subclass that computes what its base does, with an entry in its configuration."""

    def __init__(self, *args, note="", **options):
        super().__init__(*args, **options)
        self.note = note

    def get_config(self):
        return {**super().get_config(), "note": self.note}


def test_layers_of_subclasses_that_compute_the_same_can_be_edited(images):
    start = keras.Input((8, 8, 3), name="images")
    x = Named(4, 3, activation="relu", note="mine", name="named")(start)
    x = Louder(4, name="louder")(layers.Conv2D(2, 1)(x))
    model = keras.Model(start, x)
    surgery = Surgery(model)
    surgery.widen("named", 1.5)
    layer = surgery.model().get_layer("named")
    assert (type(layer), layer.note, layer.filters) == (Named, "mine", 6)
    np.testing.assert_allclose(surgery.model()(images), model(images), rtol=1e-4, atol=1e-4)
    with pytest.raises(SiteError, match="'louder' is a Louder, which is carried as it is"):
        surgery.widen("louder")


class Forgetful(layers.Layer):
    """Its configuration lacks its arguments, so that a copy is another layer."""

    def __init__(self, num=1, by_factor=1, scale=1, extra=None, **options):
        super().__init__(**options)
        self.num, self.by_factor, self.scale = num, by_factor, scale

    def build(self, input_shape):
        self.scales = self.add_weight(shape=(self.num, 1), name="scales")

    def call(self, inputs):
        larger = ops.repeat(ops.repeat(inputs, self.by_factor, 1), self.by_factor, 2)
        return self.scale * larger * ops.sum(self.scales)

    def get_config(self):
        return {"name": self.name}


FORGOTTEN = {
    "weights": ({"num": 2}, "its weights have the shapes [(1, 1)] instead of [(2, 1)]."),
    "sizes": (
        {"by_factor": 2},
        "its outputs have the shapes [(None, 8, 8, 3)] instead of [(None, 16, 16, 3)].",
    ),
    "values": ({"scale": 3}, "its outputs have other values."),
}


@pytest.mark.parametrize("case", FORGOTTEN)
def test_a_layer_whose_copy_is_another_is_refused(case):
    options, reason = FORGOTTEN[case]
    start = keras.Input((8, 8, 3))
    end = Forgetful(**options, extra=object(), name="scaled")(start)
    with pytest.raises(
        GraphError,
        match=re.escape(
            f"layer 'scaled' (Forgetful) cannot be made again from its configuration: {reason} Give"
        ),
    ):
        from_keras(keras.Model(start, end))
    assert len(start._keras_history.operation._outbound_nodes) == 1  # the model is as it was


class Keeping(Forgetful):
    """Keeps an argument that Keras does not record."""

    def __init__(self, extra, num=1, by_factor=1, scale=1, **options):
        super().__init__(num, by_factor, scale, **options)
        self._extra = extra


@pytest.mark.parametrize("kind", [Forgetful, Keeping])
def test_a_layer_whose_arguments_are_kept_comes_back_as_it_was(kind, images):
    start = keras.Input((8, 8, 3))
    options = {"num": 2, "by_factor": 2, "scale": 3}
    special = {"extra": object()} if kind is Keeping else {}
    layer = kind(**options, **special, name="scaled", dtype="float64", trainable=False)
    inner = layer(start)
    model = keras.Model(start, layers.Conv2D(2, 1)(inner))
    again = to_keras(from_keras(model))
    np.testing.assert_array_equal(again(images), model(images))
    layer = again.get_layer("scaled")
    assert {name: getattr(layer, name) for name in options} == options
    assert not layer.trainable
    assert layer.dtype == "float64"


def test_a_layer_that_cannot_be_made_again_is_refused():
    class Odd(layers.Layer):
        """Without get_config, as custom layers often are."""

        def __init__(self, setting, name):
            super().__init__(name=name)

        def call(self, inputs):
            return inputs

    start = keras.Input((8, 8, 3))
    with pytest.raises(GraphError, match=r"layer 'odd' \(Odd\) cannot be made again"):
        from_keras(keras.Model(start, Odd([object()], "odd")(start)))


# --- The user's own layers -----------------------------------------------------------------------


class Unnamed(layers.Layer):
    """A layer whose configuration is made by Keras, and lacks the name."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")

    def call(self, inputs):
        return inputs @ self.kernel


class Counting(layers.Layer):
    """A layer that counts its calls."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")
        self.noise = keras.random.SeedGenerator(3)

    def call(self, inputs):
        self.calls.assign_add(1.0)
        return inputs + keras.random.normal(ops.shape(inputs), seed=self.noise)

    def get_config(self):
        return super().get_config()


class Wrapping(layers.Layer):
    """A layer around another, without get_config."""

    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, inputs):
        return ops.relu(self.inner(inputs))


def _with(layer):
    inputs = keras.Input((4, 4, 3))
    features = layers.Conv2D(5, 3, padding="same", name="conv")(inputs)
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layer(features))))


def test_the_name_of_a_layer_survives_a_configuration_without_it():
    model = _with(Unnamed(4, name="mine"))
    copy = to_keras(from_keras(model))
    assert [layer.name for layer in copy.layers] == [layer.name for layer in model.layers]
    kernels = [each.get_layer("mine").kernel.numpy() for each in (copy, model)]
    np.testing.assert_array_equal(*kernels)


def test_the_state_of_the_users_layers_is_unchanged():
    layer = Counting()
    model = _with(layer)
    layer.noise.state.assign(layer.noise.state + 5)
    before = [variable.numpy() for variable in layer.variables]
    from_keras(model)
    for variable, value in zip(layer.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_a_layer_within_a_layer_is_never_shared_with_the_users_model():
    with pytest.raises(GraphError, match=r"'wrap' \(Wrapping\) cannot be made again"):
        from_keras(_with(Wrapping(layers.Dense(4), name="wrap")))
