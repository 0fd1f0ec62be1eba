"""The choice of the backend: the one on which Keras runs."""

from __future__ import annotations

import keras

from lemonade_tf.backends.base import Backend


def current_backend() -> Backend:
    """Return the backend on which Keras runs.

    Raises:
        NotImplementedError: If this package does not support it.
    """
    name = keras.backend.backend()
    if name != "tensorflow":
        raise NotImplementedError(
            f"the Keras backend is {name!r}; expected 'tensorflow'. Set KERAS_BACKEND=tensorflow"
            " before Keras is imported."
        )
    from lemonade_tf.backends.backend_tensorflow import TensorFlowBackend

    return TensorFlowBackend()
