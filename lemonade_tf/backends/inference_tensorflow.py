"""A Keras model in inference as one call on TensorFlow, to be timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def pass_over(model: keras.Model, images: np.ndarray) -> Callable[[], np.ndarray]:
    """Return a pass of a model: from raw pixels in the host's memory to what it puts out there.

    Args:
        model: One input, one output.
        images: The batch, (n, height, width, channels).
    """

    def infer(batch: Any) -> Any:
        return model(tf.cast(batch, tf.float32), training=False)

    spec = tf.TensorSpec(images.shape, images.dtype)
    function = tf.function(infer, autograph=False).get_concrete_function(spec)
    return lambda: function(tf.constant(images)).numpy()
