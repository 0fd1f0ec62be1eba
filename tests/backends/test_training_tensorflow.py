"""What the training step keeps alive in TensorFlow, and which GPU kernels it requires."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from graphs import see_saw
from tensorflow.python.framework import kernels  # there is no public list of them

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.backends.batch_normalization_tensorflow import FusedBatchNormalization
from lemonade_tf.backends.batch_transform import NO_AUGMENTATION
from lemonade_tf.backends.current import current_backend
from lemonade_tf.backends.training_tensorflow import TensorFlowTrainer, cross_entropy
from lemonade_tf.keras_bridge import read_weights, to_keras
from lemonade_tf.operators.initial import initial_weights


def test_a_trained_model_is_freed(network, digits):
    model = current_backend().training_model(network)
    backend = current_backend()
    trainer, forward = (
        backend.trainer(model, momentum=0.9, weight_decay=5e-4),
        backend.forward(model),
    )
    place = current_backend().place
    indices, rates = np.arange(32, dtype=np.int32).reshape(2, 16), np.float32([0.1, 0.1])
    trainer.run_epoch(place(digits.x_train), place(digits.y_train), indices, rates, {})
    forward.probabilities(digits.x_test)
    (traced,) = forward._traced.values()
    references = [
        weakref.ref(held) for held in (model, trainer._program((), True).graph, traced.graph)
    ]
    del traced, model, trainer, forward
    gc.collect()
    assert [reference() for reference in references] == [None] * 3


@pytest.mark.parametrize("jit_compile", ["never", pytest.param("always", marks=pytest.mark.slow)])
def test_compiling_takes_no_step_and_an_epoch_as_many_as_requested(network, digits, jit_compile):
    place = current_backend().place
    images, labels = place(digits.x_train), place(digits.y_train)
    indices, rates = np.arange(64, dtype=np.int32).reshape(4, 16), np.float32([0.1] * 4)

    def trainer():
        model = current_backend().training_model(network)
        return current_backend().trainer(
            model, momentum=0.9, weight_decay=5e-4, jit_compile=jit_compile
        )

    chosen, whole = trainer(), trainer()
    before = chosen.state()
    chosen.compile(images, labels, np.zeros_like(indices), np.zeros_like(rates), {})
    assert chosen.num_traces == 1
    np.testing.assert_equal(chosen.state(), before)
    loss = chosen.run_epoch(images, labels, indices, rates, {}, num_steps=3)
    expected = whole.run_epoch(images, labels, indices[:3], rates[:3], {})
    assert chosen.num_traces == (2 if jit_compile == "always" else 1)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    for name, value in whole.state().items():
        np.testing.assert_allclose(chosen.state()[name], value, rtol=1e-5, atol=1e-6)


def test_without_a_gpu_xla_is_used_only_on_request(network):
    model = current_backend().training_model(network)

    def is_compiled(**options):
        return current_backend().trainer(model, momentum=0.9, weight_decay=0, **options).jit_compile

    assert not is_compiled(num_steps=10**9)
    assert is_compiled(jit_compile="always")


@pytest.mark.slow
def test_an_epoch_compiled_by_xla_trains_the_same_weights(network, digits):
    place = current_backend().place
    images, labels = place(digits.x_train), place(digits.y_train)
    indices, rates = np.arange(64, dtype=np.int32).reshape(4, 16), np.float32([0.1] * 4)
    losses, weights = [], []
    for jit_compile in (False, True):
        model = current_backend().training_model(network)
        trainer = TensorFlowTrainer(model, 0.9, 5e-4, NO_AUGMENTATION, jit_compile=jit_compile)
        losses.append([trainer.run_epoch(images, labels, indices, rates, {}) for _ in range(2)])
        weights.append(model.get_weights())
    np.testing.assert_allclose(*losses, rtol=1e-4)
    for plain, compiled in zip(*weights, strict=True):
        np.testing.assert_allclose(plain, compiled, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_gradient_of_ten_blocks_of_few_channels():
    """It is closer to float64 than Keras's. (tanh, as a ReLU may change sign by rounding.)"""
    graph = Graph()
    at = graph.add("input", kinds.Input((32, 32, 3)))
    for number in range(10):
        at = graph.add(f"conv_{number}", kinds.Conv2D(13 + 2 * (number % 5), 3), [at])
        at = graph.add(f"bn_{number}", kinds.BatchNormalization(), [at])
        at = graph.add(f"tanh_{number}", kinds.Activation("tanh"), [at])
    at = graph.add("pool", kinds.GlobalAveragePooling2D(), [at])
    graph.output = graph.add("logits", kinds.Dense(10), [at])
    graph = initial_weights(graph, rng=np.random.default_rng(0))
    ours = _gradient(to_keras(graph, learnable=True, batch_normalization=FusedBatchNormalization))
    stock = _gradient(to_keras(graph))
    expected = _gradient(_in_float64(to_keras(graph)))
    size = np.linalg.norm(expected)
    assert np.linalg.norm(ours - expected) < 1e-5 * size
    assert np.linalg.norm(ours - expected) < np.linalg.norm(stock - expected)


def _in_float64(model):
    """Return a copy of a model that computes in float64."""
    copy = keras.models.clone_model(
        model,
        input_tensors=keras.Input(model.input_shape[1:], dtype="float64"),
        clone_function=lambda layer: type(layer).from_config(
            {**layer.get_config(), "dtype": "float64"}
        ),
    )
    copy.set_weights(model.get_weights())
    return copy


def _gradient(model):
    """Return the gradient of all weights, concatenated, for the same 64 random images."""
    rng = np.random.default_rng(1)
    images = rng.normal(size=(64, *model.input_shape[1:])).astype(model.dtype)
    labels = rng.integers(10, size=64)

    @tf.function(autograph=False)
    def gradients(images):
        loss = cross_entropy(tf.constant(labels), model(images, training=True))
        return tf.gradients(loss, [weight.value for weight in model.trainable_variables])

    return np.concatenate([np.ravel(gradient) for gradient in gradients(images)])


@pytest.mark.skipif(not tf.test.is_built_with_cuda(), reason="TensorFlow without GPUs")
def test_operations_on_bytes_of_images_have_gpu_kernels(network, digits):
    """Otherwise every step would copy all images from the GPU to the host."""
    given = (
        current_backend().place(digits.x_train),
        current_backend().place(digits.y_train),
        tf.constant(np.arange(32, dtype=np.int32).reshape(2, 16)),
        tf.constant(np.float32([0.1, 0.1])),
        {},
        tf.constant(2),
        tf.constant(0.0),
    )
    model = current_backend().training_model(network)
    trainer = current_backend().trainer(model, momentum=0.9, weight_decay=5e-4)
    function = trainer._program(given, whole=True)
    definition = function.graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    on_bytes = {
        (node.op, key)
        for node in nodes
        for key, value in node.attr.items()
        if value.type == tf.uint8.as_datatype_enum and node.op != "Placeholder"
    }
    assert {op for op, _ in on_bytes} >= {"ResourceGather", "Cast"}
    for op, key in on_bytes:
        assert _has_gpu_kernel(op, key), op
    assert not _has_gpu_kernel("GatherV2", "Tparams")  # required to gather from a tensor of bytes


def _has_gpu_kernel(op, key):
    """Return whether an operation has a GPU kernel for uint8 in a type attribute."""
    registered = kernels.get_registered_kernels_for_op(op).kernel
    return any(
        kernel.device_type == "GPU"
        and all(
            tf.uint8.as_datatype_enum in constraint.allowed_values.list.type
            for constraint in kernel.constraint
            if constraint.name == key
        )
        for kernel in registered
    )


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("by", ["plain", pytest.param("xla", marks=pytest.mark.slow), "keras"])
def test_each_step_moves_lambda_back_into_0_to_1(by, label):
    images, labels = np.ones((4, 1, 1, 1), np.uint8), np.full(4, label, np.int32)
    rate = (0.1, 100.0)[label]
    if by == "keras":  # a user who trains load_model(path, learnable=True)
        model = to_keras(see_saw(), learnable=True)
        model.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy")
        model.fit(images, labels, batch_size=4, verbose=0)
    else:
        backend = current_backend()
        model, place = backend.training_model(see_saw()), backend.place
        mode = "always" if by == "xla" else "never"
        trainer = backend.trainer(model, momentum=0.0, weight_decay=0.0, jit_compile=mode)
        indices, rates = np.arange(4, dtype=np.int32)[None], np.float32([rate])
        trainer.run_epoch(place(images), place(labels), indices, rates, {})
    share = float(read_weights(model, see_saw())["both"].weights["lambda"])
    # The gradient is 4 / (1 + e^2) for class 0: the step leads below 0, and is reflected there.
    assert share == pytest.approx((rate * 4 / (1 + np.e**2), 1.0)[label], rel=1e-5)
    assert 0 < share <= 1
