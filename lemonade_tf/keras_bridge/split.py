"""A Keras model in two, which go on sharing its layers."""

from __future__ import annotations

from collections.abc import Sequence

import keras


def split(model: keras.Model, ends: Sequence[str]) -> tuple[keras.Model, keras.Model]:
    """Return the part of a model up to some layers, and the rest.

    Args:
        model: A functional model of one input.
        ends: The names of layers that every path from the input passes.

    Returns:
        A model that puts out what those layers do, and one that takes that and puts out what the
        whole does: a list, or where there is but one, that. Neither has weights of its own.
    """
    tensors = [model.get_layer(name).output for name in ends]
    return keras.Model(model.input, tensors), keras.Model(tensors, model.output)
