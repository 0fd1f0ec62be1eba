"""Models of every form come back as they were, and with an edit and nothing else changed."""

import keras
import numpy as np
import pytest

from lemonade_tf import Surgery
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.keras_bridge import from_keras, to_keras
from lemonade_tf.operators import SiteError

layers = keras.layers
L2 = keras.regularizers.L2(1e-2)


def _image(**arguments):
    return keras.Input((8, 8, 3), **{"name": "image", **arguments})


def _functional(compute, start=None):
    start = _image() if start is None else start
    return keras.Model(start, compute(start), name="whole")


def _inline(x):
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(x)
    x = layers.Dense(5, activation="tanh", name="features")(layers.Flatten()(x))
    return layers.Dense(4, activation="softmax", name="predictions")(x)


def _configured(x):
    settings = {"kernel_regularizer": L2, "activity_regularizer": L2, "bias_constraint": "non_neg"}
    x = layers.Rescaling(1 / 255)(x)
    x = layers.Conv2D(4, 3, kernel_initializer="he_normal", **settings, name="conv")(x)
    x = layers.BatchNormalization(gamma_regularizer=L2, synchronized=True, name="norm")(x)
    x = layers.DepthwiseConv2D(3, depthwise_regularizer=L2, trainable=False)(x)
    return layers.Dense(3, **settings)(layers.Dropout(0.3, seed=5)(layers.Flatten()(x)))


def _clash(x):
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(x)
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(6, 3, name="mid")(x))
    return layers.Conv2D(5, 3, name="conv_activation_2")(layers.ReLU(name="conv_activation")(x))


def _inner(name="base", outputs=None, **settings):
    start = keras.Input((8, 8, 3), name="inner_image")
    x = layers.Conv2D(4, 3, activation="relu", name="conv", **settings)(start)
    x = layers.BatchNormalization(name="norm")(x)
    y = layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(start, {"x": x, "y": y} if outputs == "both" else y, name=name)


def _frozen(x):
    base = _inner()
    base.trainable = False
    return layers.Dense(2, name="head")(base(x, training=False))


def _partly_frozen(x):
    base = _inner()
    base.get_layer("conv").trainable = False
    return layers.Dense(2, name="head")(base(x))


def _several_outputs_inside(x):
    both = _inner(outputs="both")(x)
    return layers.Dense(2)(both["y"] + layers.GlobalMaxPooling2D()(both["x"]))


def _unused_output_inside(x):
    return layers.Dense(2)(_inner(outputs="both")(x)["y"])


def _deeply_nested(x):
    start = keras.Input((8, 8, 3), name="image")
    outer = keras.Model(start, layers.Dense(3, name="conv")(_inner()(start)), name="outer")
    return layers.Dense(2, name="head")(outer(x))


def _stacked(x):
    stem = keras.Sequential([layers.Conv2D(4, 1, name="conv"), layers.ReLU()], name="stem")
    top = keras.Sequential([layers.Flatten(), layers.Dense(2, name="conv")], name="top")
    return top(stem(x))


def _twice(x):
    conv = layers.Conv2D(3, 3, padding="same", name="conv", use_bias=False)
    relu = layers.ReLU(name="relu")
    return layers.Dense(2)(layers.Flatten()(relu(conv(relu(conv(x))))))


def _one_mode(x):
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, name="conv")(x), training=False)
    return layers.Dense(2)(layers.Flatten()(x))


def _own_input():
    base = _inner()
    return keras.Model(base.input, layers.Dense(3)(base(base.input)))


def _dictionaries():
    left, right = keras.Input((8, 8, 3), name="left"), keras.Input((8, 8, 3), name="right")
    x = layers.Conv2D(4, 3, name="conv")(left) - layers.Conv2D(4, 3)(right)
    outputs = {"a": layers.Conv2D(2, 1, name="a")(x), "b": [layers.ReLU()(x), x]}
    return keras.Model({"left": left, "right": right}, outputs)


class Own(keras.Model):
    """A functional model with a constructor and a configuration of its own."""

    def __init__(self, filters=4, **settings):
        start = _image()
        x = layers.Conv2D(filters, 3, name="conv")(start)
        super().__init__(start, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)), **settings)
        self.filters = filters

    def get_config(self):
        return {"filters": self.filters, "name": self.name}


class Trained(keras.Model):
    """A functional model with a custom training step."""

    def train_step(self, data):
        return {}


def _trained():
    start = _image()
    return Trained(start, layers.Conv2D(4, 3, name="conv")(start), name="trained")


def _open():
    start = keras.Input((None, None, 3), name="image", batch_size=7)
    return keras.Model(start, layers.Conv2D(2, 3, activation="relu", name="conv")(start))


def _of(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        start = _image()
        x = layers.Conv2D(4, 3, activation="relu", name="conv")(start)
        x = layers.BatchNormalization()(x) * 2
        return keras.Model(start, layers.Dense(2, dtype="float32")(layers.Flatten()(x)))
    finally:
        keras.config.set_dtype_policy(before)


MODELS = {
    "inline": lambda: _functional(_inline),
    "configured": lambda: _functional(_configured, _image(dtype="uint8")),
    "clash": lambda: _functional(_clash),
    "frozen": lambda: _functional(_frozen),
    "partly frozen": lambda: _functional(_partly_frozen),
    "several outputs inside": lambda: _functional(_several_outputs_inside),
    "unused output inside": lambda: _functional(_unused_output_inside),
    "deeply nested": lambda: _functional(_deeply_nested),
    "stacked": lambda: _functional(_stacked),
    "twice": lambda: _functional(_twice),
    "one mode": lambda: _functional(_one_mode),
    "own input": _own_input,
    "dictionaries": _dictionaries,
    "own class": Own,
    "trained": _trained,
    "open": _open,
    "sequential": lambda: keras.Sequential(
        [_image(), layers.Conv2D(4, 3, activation="elu", name="conv"), _inner_top(), layers.ReLU()]
    ),
    "mixed_float16": lambda: _of("mixed_float16"),
    "mixed_bfloat16": lambda: _of("mixed_bfloat16"),
}


def _inner_top():
    return keras.Sequential([layers.Flatten(), layers.Dense(3, name="conv")], name="top")


def _randomized(model):
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "float" in weight.dtype:
            weight.assign(weight + np.abs(rng.normal(0, 0.3, weight.shape)))
    return model


def _layers(model):
    """Yield every layer, those of inner models included, with its model."""
    for layer in model.layers:
        yield model, layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer)


def _inputs(model, images):
    return dict.fromkeys(("left", "right"), images) if len(model.inputs) > 1 else images


def _values(model, inputs, **mode):
    return [np.asarray(v) for v in keras.tree.flatten(model(inputs, **mode))]


@pytest.fixture(params=MODELS)
def model(request):
    return _randomized(MODELS[request.param]())


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras
def test_a_model_comes_back_as_it_was(model, images):
    model.compile("adam", "mse")
    graph = from_keras(model)
    assert count_parameters(graph) == model.count_params()
    again, inputs = to_keras(graph), _inputs(model, images)
    assert again.compiled
    assert again.name == model.name
    assert vars(again).get("output_names") == vars(model).get("output_names")
    for one, other in zip(again.inputs, model.inputs, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one._keras_history.operation.name == other._keras_history.operation.name
    expected, found = _values(model, inputs), model(inputs)
    keras.tree.assert_same_structure(again(inputs), found)
    for one, other in zip(_values(again, inputs), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(again.trainable_weights) == len(model.trainable_weights)
    assert again.losses == [] or float(sum(again.losses)) == float(sum(model.losses))
    pairs = list(zip(_layers(again), _layers(model), strict=True))
    for (_, one), (_, other) in pairs:
        assert (one.name, type(one)) == (other.name, type(other))
        if not isinstance(other, keras.Model):
            assert one.get_config() == other.get_config()
        assert one.trainable == other.trainable
    _assert_same_tensors(again, model, inputs)


def _assert_same_tensors(again, model, inputs):
    """Assert that every layer's `output` is the tensor that it is in the model."""
    if isinstance(model, keras.Sequential):
        return
    # The output of an inner model is a tensor within it.
    names = [layer.name for layer in model.layers if not isinstance(layer, keras.Model)]
    ends = (keras.Model(m.inputs, [m.get_layer(n).output for n in names]) for m in (again, model))
    flat = keras.tree.flatten(inputs)
    for one, other in zip(*(_values(m, flat) for m in ends), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("inline", "conv"),
        ("configured", "conv"),
        ("clash", "mid"),
        ("frozen", "conv"),
        ("partly frozen", "conv"),
        ("several outputs inside", "conv"),
        ("deeply nested", "base_conv"),
        ("stacked", "stem_conv"),
        ("one mode", "conv"),
        ("own input", "conv"),
        ("own class", "conv"),
        ("sequential", "conv"),
        ("mixed_float16", "conv"),
    ],
)
def test_an_edit_changes_nothing_else(name, layer, images):
    model = _randomized(MODELS[name]())
    surgery, inputs = Surgery(model), _inputs(model, images / 255)
    surgery.widen(layer, 1.5)
    again = surgery.model()
    tolerance = 0.05 if "mixed" in name else 1e-4
    for one, other in zip(_values(again, inputs), _values(model, inputs), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    assert len(again.trainable_weights) == len(model.trainable_weights)
    for (_, one), (_, other) in zip(_layers(again), _layers(model), strict=True):
        assert (one.name, one.trainable) == (other.name, other.trainable)
        if isinstance(one, layers.Conv2D) and one.filters != other.filters:
            assert one.get_config() == {**other.get_config(), "filters": one.filters}
        elif not isinstance(one, keras.Model | layers.InputLayer):
            assert one.get_config() == other.get_config()


def test_calls_of_a_layer_change_together_or_not_at_all(images):
    start = _image()
    conv = layers.Conv2D(4, 3, padding="same", name="conv")
    stem = layers.Conv2D(3, 1, name="stem")
    x = layers.Conv2D(3, 1, name="other")(layers.ReLU()(conv(stem(start))))
    x = layers.Flatten()(layers.ReLU()(conv(x)))
    model = _randomized(keras.Model(start, layers.Dense(2)(x)))
    surgery = Surgery(model)
    surgery.widen("conv")
    surgery.widen("stem")
    again = surgery.model()
    assert again.get_layer("conv").kernel.shape == (3, 3, 6, 8)
    assert again.get_layer("other").filters == 6
    assert len(again.weights) == len(model.weights)
    np.testing.assert_allclose(again(images), model(images), rtol=1e-4, atol=1e-4)
    with pytest.raises(SiteError, match=r"cannot separate 'conv': .* calls of one layer"):
        surgery.separate("conv")


def test_a_skip_out_of_an_inner_model_dissolves_it(images):
    x = layers.ReLU(name="inside")(start := keras.Input((8, 8, 3)))
    inner = keras.Model(start, layers.Conv2D(4, 3, padding="same", name="conv")(x), name="inner")
    image = _image()
    x = layers.ReLU(name="after")(layers.Conv2D(4, 1, name="last")(inner(image)))
    model = _randomized(keras.Model(image, layers.Conv2D(2, 1, name="end")(x)))
    surgery = Surgery(model)
    surgery.add_skip("inside", "after")
    again = surgery.model()
    names = [layer.name for layer in again.layers]
    assert "inner" not in names
    assert {"inside", "conv", "last", "after"} <= set(names)
    np.testing.assert_allclose(again(images), model(images), rtol=1e-5)
    surgery = Surgery(model)
    surgery.deepen("inside")
    assert len(surgery.model().get_layer("inner").layers) == len(inner.layers) + 2


class _Loss(keras.losses.Loss):
    def call(self, expected, found):
        return keras.ops.mean((expected - found) ** 2, axis=-1)


class Momentum(keras.optimizers.SGD):
    pass


def test_it_is_compiled_with_the_users_own_functions_and_classes():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    metric = keras.metrics.MeanAbsoluteError()
    model.compile(Momentum(0.25), _Loss(), metrics=[metric, lambda expected, found: found])
    again = to_keras(from_keras(model))
    assert type(again.optimizer) is Momentum
    assert float(again.optimizer.learning_rate) == 0.25
    assert again.optimizer is not model.optimizer  # nor the metric, which has state
    assert all(each is not metric for each in again._compile_metrics.metrics)
    again.fit(np.zeros((2, 4)), np.zeros((2, 2)), verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 0


def test_a_model_that_cannot_be_compiled_again_says_so():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    model.compile(keras.optimizers.SGD(lambda: 0.1), "mse")
    graph = from_keras(model)
    with pytest.warns(UserWarning, match="the model is not compiled, as"):
        to_keras(graph)
