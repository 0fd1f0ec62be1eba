"""Compile a restored model as the imported one was.

`keras.Model.get_compile_config` can only name losses, metrics and optimizers, and fails for classes
that are not registered. So the arguments of `compile` are kept themselves.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import keras

from lemonade_tf.errors import quoted


def compile_arguments(model: keras.Model) -> Mapping[str, Any] | None:
    """Return the arguments that a model was compiled with; None if it was not compiled."""
    if not model.compiled or not hasattr(model, "_compile_config"):
        return None
    return dict(model._compile_config.config)


def compile_again(model: keras.Model, arguments: Mapping[str, Any]) -> None:
    """Compile a model with the arguments of another, but an optimizer and metrics of its own.

    Warns if that fails, as for a learning rate that is a function.
    """
    try:
        with warnings.catch_warnings():  # functions that Keras cannot save are no problem here
            warnings.filterwarnings("ignore", ".*lambda", UserWarning)
            new: Any = keras.tree.map_structure(_new, dict(arguments))
        model.compile(**new)
        if model.optimizer is not None:
            model.optimizer.build(model.trainable_variables)
    except Exception as error:  # the code of foreign classes may raise anything
        warnings.warn(
            f"the model is not compiled, as {type(error).__name__}: {quoted(error)}. Call compile"
            " before you train it.",
            stacklevel=2,
        )


def _new(value: Any) -> Any:
    """Return a new optimizer or metric; other values have no state."""
    if isinstance(value, keras.optimizers.Optimizer | keras.metrics.Metric):
        return type(value).from_config(value.get_config())
    return value
