"""Keras's own defaults, whatever this process has set for the user's models.

Keras builds a layer by settings of the process wherever its arguments leave something open: the
order of the axes (`image_data_format`), the types of weights and computations (`floatx`, the global
dtype policy) and `epsilon`. They come from `~/.keras/keras.json`, or are set in Python. A graph has
a fixed meaning: images are (height, width, channels), and everything is float32.

Nearly all of them are asked for when a layer is built. (Rescaling by a value per channel also asks
for the order of the axes when it runs.)

The settings hold for all threads of a process (the dtype policy for one thread), so no other thread
should build Keras models in the meantime.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras


def set_keras_defaults() -> None:
    """Set Keras's own defaults for this process, such as a worker, for good."""
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")


@contextmanager
def keras_defaults() -> Iterator[None]:
    """Set Keras's own defaults, until the end of the context; also a decorator of functions."""
    floatx, epsilon = keras.config.floatx(), keras.config.epsilon()
    data_format, policy = keras.config.image_data_format(), keras.config.dtype_policy()
    set_keras_defaults()
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_epsilon(epsilon)
        keras.config.set_image_data_format(data_format)
        keras.config.set_dtype_policy(policy)
