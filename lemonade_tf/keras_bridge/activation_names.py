"""Which activation of Keras a function is, whatever library it comes from."""

from __future__ import annotations

from typing import Any

import keras

from lemonade_tf.architecture import layers as kinds

# Where keras.ops and TensorFlow have another name. A function of keras.ops with one of Keras's
# names computes the same by default, with one exception: gelu approximates.
_OTHER_NAMES = {
    "exp": "exponential",
    "hard_swish": "hard_silu",
    "identity": "linear",
    "log_softmax_v2": "log_softmax",
    "softmax_v2": "softmax",
    "swish": "silu",
}
_TENSORFLOW = {
    "elu",
    "exponential",
    "gelu",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
}


# Functions without a name in Keras that treat each value by itself, and are finite.
_POINTWISE = (keras.ops.abs, keras.ops.cos, keras.ops.gelu, keras.ops.sin, keras.ops.square)


def is_pointwise(function: Any) -> bool:
    """Return whether a function without a name in Keras treats each value by itself."""
    return any(function is each for each in _POINTWISE)


def known_activation(function: Any) -> str | None:
    """Return the name of the activation of Keras that a function is; None for any other.

    Functions of `keras.activations` are known, and those of `keras.ops` and TensorFlow (as in
    tf.nn.relu) that compute the same.
    """
    if function is None:
        return "linear"
    own = getattr(function, "__name__", "")
    name = _OTHER_NAMES.get(own, own)
    if name not in kinds.ACTIVATIONS:
        return None
    if function is getattr(keras.activations, name):
        return name
    if function is getattr(keras.ops, own, None):  # its `identity` makes a matrix
        return None if name in ("gelu", "linear") else name
    is_tensorflow = str(getattr(function, "__module__", "")).startswith("tensorflow.")
    return name if is_tensorflow and name in _TENSORFLOW else None
