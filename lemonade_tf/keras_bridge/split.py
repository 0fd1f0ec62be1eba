"""Splitting a Keras model into two models that share its layers."""

from __future__ import annotations

from collections.abc import Sequence

import keras


def split(model: keras.Model, ends: Sequence[str]) -> tuple[keras.Model, keras.Model]:
    """Split a model after some layers.

    Args:
        model: A functional model with one input.
        ends: Names of layers that cut every path from the input.

    Returns:
        A model that outputs the values of those layers, and one that takes these values as inputs
        and outputs what the whole model does. For a single layer, the value is not in a list.
        Both share the weights of the whole model.
    """
    tensors = [model.get_layer(name).output for name in ends]
    return keras.Model(model.input, tensors), keras.Model(tensors, model.output)
