"""Keras models in inference on TensorFlow, compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lemonade_tf.backends.base import Forward, Inputs
from lemonade_tf.backends.precision_tensorflow import tensor_float_32


class TensorFlowForward(Forward):
    """The compiled inference function of a model; see `Forward`."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._traced: dict[Any, Any] = {}

    def probabilities(self, images: Inputs) -> np.ndarray:
        """Return the softmax of the model's outputs."""
        return self._run(tf.nn.softmax, images).numpy()

    def outputs(self, images: Inputs) -> list[np.ndarray]:
        """Return the outputs of a model with one or several of them."""
        return [tensor.numpy() for tensor in self._run(tf.nest.flatten, images)]

    def _run(self, finish: Callable[[Any], Any], images: Inputs) -> Any:
        if finish not in self._traced:
            # The batch size is unknown, so that the smaller last batch is not traced separately.
            specs = tf.nest.map_structure(
                lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), images
            )
            function = tf.function(partial(self._trace, finish), autograph=False)
            self._traced[finish] = function.get_concrete_function(specs)
        return self._traced[finish](tf.nest.map_structure(tf.constant, images))

    def _trace(self, finish: Callable[[Any], Any], images: Any) -> Any:
        self.num_traces += 1
        inputs = tf.nest.map_structure(lambda tensor: tf.cast(tensor, tf.float32), images)
        return finish(self._model(inputs, training=False))


def inference_pass(model: keras.Model, images: Inputs) -> Callable[[], Any]:
    """Return an inference pass over a batch, to time; see `Backend.inference_pass`."""

    def infer(batch: Any) -> Any:
        inputs = tf.nest.map_structure(lambda tensor: tf.cast(tensor, tf.float32), batch)
        return model(inputs, training=False)

    specs = tf.nest.map_structure(lambda array: tf.TensorSpec(array.shape, array.dtype), images)
    function = tf.function(infer, autograph=False).get_concrete_function(specs)

    def run() -> Any:
        with tensor_float_32(True):  # TensorFlow's default
            outputs = function(tf.nest.map_structure(tf.constant, images))
            return tf.nest.map_structure(lambda tensor: tensor.numpy(), outputs)

    return run
