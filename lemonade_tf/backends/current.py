"""The choice of the backend: the one on which Keras runs."""

from __future__ import annotations

from importlib import import_module

import keras

from lemonade_tf.backends.base import Backend

# By name, so that only the file of the backend in use is imported.
_BACKENDS = {"tensorflow": ("lemonade_tf.backends.backend_tensorflow", "TensorFlowBackend")}


def current_backend() -> Backend:
    """Return the backend on which Keras runs.

    Raises:
        NotImplementedError: If this package does not support it.
    """
    name = keras.backend.backend()
    if name not in _BACKENDS:
        raise NotImplementedError(
            f"the Keras backend is {name!r}, from the environment variable KERAS_BACKEND or"
            f" ~/.keras/keras.json; expected {' or '.join(_BACKENDS)}. Set KERAS_BACKEND before"
            " Keras is imported."
        )
    module, backend = _BACKENDS[name]
    return getattr(import_module(module), backend)()
