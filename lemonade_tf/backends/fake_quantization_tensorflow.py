"""A model that computes as its int8 network will: the model to fine-tune for it.

Weights and activations are rounded to the values that 8 bits can express, and stay floats. The
gradient of rounding is taken as 1 (straight-through; Jacob et al., 2018), so the float weights
learn what is lost least by rounding them. As in LiteRT,

- a kernel has 255 values per output channel, symmetric about 0, up to its largest weight;
- an activation has 256 values per tensor, which include 0, from its smallest to its largest value,
  here in the batch.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import keras
import tensorflow as tf

_TINY = 1e-8  # a channel of zeros has a range, too


def fake_quantized(model: keras.Model, outputs: Collection[str]) -> keras.Model:
    """Return a model with the variables of another that rounds as int8 does.

    Args:
        model: A functional model. Its layers compute as in inference.
        outputs: The names of the layers whose outputs are rounded. An activation function that is
            fused with the layer before is rounded, and that layer is not.
    """

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        rounded = layer.name in outputs
        if isinstance(layer, keras.layers.InputLayer) or not (layer.weights or rounded):
            return layer(*args, **kwargs)
        return _Rounding(layer, rounded)(*args)

    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


class _Rounding(keras.layers.Layer):
    """A layer with rounded kernels and, maybe, rounded outputs.

    Args:
        inner: The layer; its variables are shared.
        rounds_outputs: Whether its outputs are rounded.
    """

    def __init__(self, inner: keras.layers.Layer, rounds_outputs: bool) -> None:
        super().__init__(name=f"{inner.name}_rounded")
        self.inner, self._rounds_outputs = inner, rounds_outputs

    def call(self, inputs: Any) -> Any:
        """Return the outputs of the layer."""
        inner = self.inner
        trained, others = (
            [self._kernel(variable) for variable in variables]
            for variables in (inner.trainable_variables, inner.non_trainable_variables)
        )
        outputs = inner.stateless_call(trained, others, inputs)[0]
        return _rounded(outputs) if self._rounds_outputs else outputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the layer's outputs."""
        return self.inner.compute_output_shape(input_shape)

    def _kernel(self, variable: Any) -> Any:
        value = variable.value
        if not variable.name.endswith("kernel"):
            return value
        if isinstance(self.inner, keras.layers.DepthwiseConv2D):  # (height, width, in, multiplier)
            flat = tf.reshape(value, (*value.shape[:2], -1))
            return tf.reshape(_rounded_channels(flat), value.shape)
        if isinstance(self.inner, keras.layers.Conv2DTranspose):  # (height, width, out, in)
            return tf.einsum("hwio->hwoi", _rounded_channels(tf.einsum("hwoi->hwio", value)))
        return _rounded_channels(value)


def _rounded(values: tf.Tensor) -> tf.Tensor:
    """Round an activation, (batch, ...), to 256 values."""
    least, largest = (f(tf.stop_gradient(values)) for f in (tf.reduce_min, tf.reduce_max))
    return tf.quantization.fake_quant_with_min_max_vars(
        values, tf.minimum(least, 0.0), tf.maximum(largest, _TINY)
    )


def _rounded_channels(kernel: tf.Tensor) -> tf.Tensor:
    """Round a kernel, (..., out), to 255 values per output channel."""
    axes = list(range(kernel.shape.rank - 1))
    largest = tf.maximum(tf.reduce_max(tf.abs(tf.stop_gradient(kernel)), axis=axes), _TINY)
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(
        kernel, -largest, largest, narrow_range=True
    )
