"""The precision in which TensorFlow multiplies: float32, TF32 or bfloat16.

TF32 rounds the factors of float32 products to 10 bits, on NVIDIA GPUs with tensor cores. TensorFlow
has one switch for the process, on by default, which kernels read when they run and XLA reads when
it compiles. A network morphism then changes the outputs by 1e-3 instead of 1e-6. So the switch is
off except in training, where `training_precision` covers tracing, compiling and running.

In bfloat16, layers compute with 8-bit significands by Keras's policy "mixed_bfloat16", while their
variables stay in float32. A model is built in float32, and its layers compute in bfloat16 only
while a training step is traced. Whatever else runs the same model computes in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from lemonade_tf.backends.base import Precision

_BFLOAT16 = keras.DTypePolicy("mixed_bfloat16")
# Raw pixels need more than 8 bits, and a mean over a whole image adds many values. The mean is also
# what the logits are computed from. Dropout has no kernel for bfloat16 on a GPU.
_FLOAT32_LAYERS = (
    keras.layers.InputLayer,
    keras.layers.Rescaling,
    keras.layers.Normalization,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.Dropout,
)
_FLOAT32_ACTIVATIONS = (keras.activations.softmax, keras.activations.softplus)


@contextmanager
def tensor_float_32(enabled: bool) -> Iterator[None]:
    """Turn TF32 on or off in this process, until the end of the context."""
    config = tf.config.experimental
    before = config.tensor_float_32_execution_enabled()
    config.enable_tensor_float_32_execution(enabled)
    try:
        yield
    finally:
        config.enable_tensor_float_32_execution(before)


@contextmanager
def training_precision(model: keras.Model, precision: Precision) -> Iterator[None]:
    """Multiply in a precision, in the training steps of a model.

    The context must cover tracing, compiling and running the steps.

    Args:
        model: A model built in float32.
        precision: The precision; in "bfloat16", TF32 is used for what remains in float32.
    """
    with tensor_float_32(precision != "float32"):
        if precision != "bfloat16":
            yield
            return
        layers = [each for each in model.layers if not _stays_float32(each, model)]
        policies = [layer.dtype_policy for layer in layers]
        for layer in layers:
            layer.dtype_policy = _BFLOAT16
        try:
            yield
        finally:
            for layer, policy in zip(layers, policies, strict=True):
                layer.dtype_policy = policy


def _stays_float32(layer: keras.layers.Layer, model: keras.Model) -> bool:
    """Return whether a layer computes in float32 in any precision, such as that of the logits."""
    if isinstance(layer, keras.layers.Activation) and layer.activation in _FLOAT32_ACTIVATIONS:
        return True
    return isinstance(layer, _FLOAT32_LAYERS) or layer.name in model.output_names
