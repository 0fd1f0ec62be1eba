"""The precision of training steps, and that everything else computes in float32."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from graphs import cells, every_layer, gated, grown, images

from lemonade_tf.backends.batch_transform import BatchTransform
from lemonade_tf.backends.current import current_backend
from lemonade_tf.backends.inference_tensorflow import inference_pass
from lemonade_tf.backends.precision_tensorflow import tensor_float_32, training_precision
from lemonade_tf.keras_bridge import to_keras

config = tf.config.experimental
# In bfloat16: these layers, and those that compute the logits.
FLOAT32 = {"image", "scaled", "normal", "squeezed", "mean", "dropout"}


class Spy(BatchTransform):
    """Records whether TF32 is on when a step is traced, and when it runs."""

    def __init__(self):
        self.traced, self.ran = [], []

    def draw(self, num_steps, batch_size, *, rng):
        return {}

    def apply(self, inputs, targets, draws):
        self.traced.append(config.tensor_float_32_execution_enabled())
        recorded = tf.py_function(self._run, [inputs], tf.float32)
        return tf.ensure_shape(recorded, inputs.shape), targets

    def _run(self, inputs):
        self.ran.append(config.tensor_float_32_execution_enabled())
        return inputs


@pytest.fixture(autouse=True)
def set_up():
    """Set up this process like a worker."""
    before = config.tensor_float_32_execution_enabled()
    current_backend().set_up()
    yield
    config.enable_tensor_float_32_execution(before)


def trained(graph, precision, steps=3, transform=None):
    """Return the loss of some steps, and the trainer's state after them."""
    model = current_backend().training_model(graph, seed=0)
    options = {} if transform is None else {"transform": transform}
    trainer = current_backend().trainer(
        model, momentum=0.9, weight_decay=5e-4, precision=precision, **options
    )
    x = images(graph, 16)
    labels = np.arange(16, dtype=np.int32) % graph.shapes()[graph.output][-1]
    indices = np.arange(16, dtype=np.int32).reshape(1, 16).repeat(steps, axis=0)
    rates = np.full(steps, 0.01, np.float32)
    place = current_backend().place
    return trainer.run_epoch(place(x), place(labels), indices, rates, {}), trainer.state()


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_tf32_is_on_in_training_steps_only(network, precision):
    assert not config.tensor_float_32_execution_enabled()
    spy = Spy()
    trained(network, precision, transform=spy)
    is_on = precision != "float32"
    assert spy.traced == [is_on]
    assert spy.ran == [is_on] * 3
    assert not config.tensor_float_32_execution_enabled()


def test_an_error_in_a_step_turns_tf32_off_again(network):
    class Failing(Spy):
        def apply(self, inputs, targets, draws):
            raise KeyError("in tracing")

    with pytest.raises(KeyError):
        trained(network, "bfloat16", transform=Failing())
    assert not config.tensor_float_32_execution_enabled()


def test_full_precision_is_without_tf32():
    config.enable_tensor_float_32_execution(True)
    with current_backend().full_precision():
        assert not config.tensor_float_32_execution_enabled()
    assert config.tensor_float_32_execution_enabled()


def test_timed_inference_has_the_default_of_tensorflow():
    """Users of a file get it."""
    found = []

    class Layer(keras.layers.Layer):
        def call(self, inputs):
            def run(x):
                found.append(config.tensor_float_32_execution_enabled())
                return x

            return tf.ensure_shape(tf.py_function(run, [inputs], tf.float32), inputs.shape)

    model = keras.Sequential([keras.Input((2,)), Layer()])
    found.clear()
    inference_pass(model, np.zeros((3, 2), np.uint8))()
    assert found == [True]
    assert not config.tensor_float_32_execution_enabled()


def test_xla_compiles_with_the_precision_of_the_context():
    """`Trainer` must therefore compile in it, not only run."""
    x = tf.ones((2, 2))
    for enabled, expected in ((False, 1), (True, 0)):
        with tensor_float_32(enabled):
            product = tf.function(lambda x, y: x @ y, jit_compile=True)
            text = product.experimental_get_compiler_ir(x, x)(stage="hlo")
        assert text.count("operand_precision={highest,highest}") == expected


def test_the_layers_that_compute_in_bfloat16():
    graph = every_layer()
    model = current_backend().training_model(graph)
    outputs = keras.Model(model.input, {each.name: each.output for each in model.layers})
    before = [layer.dtype_policy for layer in model.layers]

    @tf.function(autograph=False)
    def run(x):
        return outputs(x, training=True)

    x = tf.constant(images(graph), tf.float32)
    with training_precision(model, "bfloat16"):
        found = {name: tensor.dtype.name for name, tensor in run(x).items()}
    float32 = {name for name, dtype in found.items() if dtype == "float32"}
    assert float32 == FLOAT32 | {"row"}  # the row of logits, without its softmax
    assert set(found.values()) == {"float32", "bfloat16"}
    assert [layer.dtype_policy for layer in model.layers] == before
    assert "bfloat16" not in {variable.dtype for variable in model.variables}


@pytest.mark.parametrize("graph", [every_layer, gated, grown, cells])
def test_a_step_in_bfloat16_is_close_to_float32(graph):
    (loss, state), (rounded_loss, rounded) = (
        trained(graph(), precision, steps=1) for precision in ("float32", "bfloat16")
    )
    assert loss != rounded_loss
    assert rounded_loss == pytest.approx(loss, rel=0.02)
    assert [value.dtype for value in rounded.values()] == [v.dtype for v in state.values()]
    step, rounded_step = (
        np.concatenate([np.ravel(v) for key, v in values.items() if key.startswith("momentum")])
        for values in (state, rounded)
    )
    sizes = np.linalg.norm(step) * np.linalg.norm(rounded_step)
    assert step @ rounded_step > 0.9 * sizes  # the cosine of the angle between both


def test_on_a_cpu_tf32_equals_float32(network):
    (loss, state), (other_loss, other) = (
        trained(network, precision) for precision in ("float32", "tf32")
    )
    assert loss == other_loss
    for key, value in state.items():
        np.testing.assert_array_equal(value, other[key])


def test_lambda_is_not_rounded_to_bfloat16():
    """1 - 0.001 is 1 in bfloat16."""
    graph = grown()
    [sum_name] = [n for n, node in graph.items() if type(node.layer).__name__ == "ConvexSum"][:1]
    graph.set_weights(sum_name, {"lambda": np.float32(0.001)})
    model = to_keras(graph, learnable=True)
    layer = model.get_layer(sum_name)
    x, y = tf.ones((1, 2)), 101 * tf.ones((1, 2))
    with training_precision(model, "bfloat16"):
        found = layer([tf.cast(x, tf.bfloat16), tf.cast(y, tf.bfloat16)])
    assert found.dtype == tf.bfloat16
    assert found.numpy().astype(np.float32) == pytest.approx(1.1, rel=2**-8)
