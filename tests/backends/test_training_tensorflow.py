"""What the training step leaves in TensorFlow, and needs of devices that may not be here."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels  # there is no public list of them

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.backends.base import backend, compile_trainer
from lemonade_tf.backends.training_tensorflow import cross_entropy
from lemonade_tf.keras_bridge import to_keras
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.training.settings import TrainingSettings


def test_nothing_holds_a_model_that_was_trained(network, digits):
    model = to_keras(network, learnable=True, fused=True, logits=True)
    trainer, forward = compile_trainer(model, TrainingSettings()), backend().forward(model)
    place = backend().place
    indices, rates = np.arange(32, dtype=np.int32).reshape(2, 16), np.float32([0.1, 0.1])
    trainer.run_epoch(place(digits.x_train), place(digits.y_train), indices, rates, {})
    forward.probabilities(digits.x_test)
    (traced,) = forward._traced.values()
    references = [weakref.ref(held) for held in (model, trainer._epoch.graph, traced.graph)]
    del traced, model, trainer, forward
    gc.collect()
    assert [reference() for reference in references] == [None] * 3


@pytest.mark.slow
def test_the_gradient_of_ten_blocks_of_few_channels():
    """It is nearer to that of float64 than Keras's; no ReLU, whose changes of sign are chance."""
    graph = Graph()
    at = graph.add("input", kinds.Input((32, 32, 3)))
    for number in range(10):
        at = graph.add(f"conv_{number}", kinds.Conv2D(13 + 2 * (number % 5), 3), [at])
        at = graph.add(f"bn_{number}", kinds.BatchNormalization(), [at])
        at = graph.add(f"tanh_{number}", kinds.Activation("tanh"), [at])
    at = graph.add("pool", kinds.GlobalAveragePooling2D(), [at])
    graph.output = graph.add("logits", kinds.Dense(10), [at])
    graph = initial_weights(graph, rng=np.random.default_rng(0))
    ours = _gradient(to_keras(graph, learnable=True, fused=True))
    stock = _gradient(to_keras(graph))
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        expected = _gradient(to_keras(graph))
    finally:
        keras.config.set_dtype_policy(policy)
    size = np.linalg.norm(expected)
    assert np.linalg.norm(ours - expected) < 1e-5 * size
    assert np.linalg.norm(ours - expected) < np.linalg.norm(stock - expected)


def _gradient(model):
    """Return the gradient of all weights together, for the same 64 random images."""
    rng = np.random.default_rng(1)
    images = rng.normal(size=(64, *model.input_shape[1:])).astype(model.dtype)
    labels = rng.integers(10, size=64)

    @tf.function(autograph=False)
    def gradients(images):
        loss = cross_entropy(tf.constant(labels), model(images, training=True))
        return tf.gradients(loss, [weight.value for weight in model.trainable_variables])

    return np.concatenate([np.ravel(gradient) for gradient in gradients(images)])


@pytest.mark.skipif(not tf.test.is_built_with_cuda(), reason="TensorFlow without GPUs")
def test_all_that_touches_the_bytes_of_images_runs_on_a_gpu(network, digits):
    """Else all images would go from the GPU to the host in every step."""
    given = (
        backend().place(digits.x_train),
        backend().place(digits.y_train),
        tf.constant(np.arange(32, dtype=np.int32).reshape(2, 16)),
        tf.constant(np.float32([0.1, 0.1])),
        {},
    )
    model = to_keras(network, learnable=True, fused=True, logits=True)
    trainer = compile_trainer(model, TrainingSettings())
    function = tf.function(trainer._trace_epoch, autograph=False).get_concrete_function(*given)
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
    assert not _has_gpu_kernel("GatherV2", "Tparams")  # what a tensor of bytes would need


def _has_gpu_kernel(op, key):
    """Return whether a kernel takes uint8 for an attribute of an operation."""
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
