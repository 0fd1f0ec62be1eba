"""Layers that compute opaque nodes in a model with one layer per node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from lemonade_tf.keras_bridge.origins import LayerOrigin, fill


class OpaqueCall(keras.layers.Layer):
    """Calls a layer or an operation of an imported model as the model does.

    Args:
        origin: How it is made and called.
        inputs: The tensors on which the new layer is built.
        name: The name of the node.
    """

    def __init__(self, origin: LayerOrigin, inputs: Sequence[Any], name: str) -> None:
        super().__init__(name=name, dtype="float32", autocast=False)
        assert origin.blueprint is not None
        self._origin = origin
        self._operation = origin.blueprint.build()
        args, kwargs = fill(origin.arguments, inputs)
        self._operation(*args, **kwargs)  # creates its weights

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the output, or a list of the outputs."""
        tensors: Sequence[Any] = inputs if isinstance(inputs, list | tuple) else [inputs]
        args, kwargs = fill(self._origin.arguments, tensors)
        if getattr(self._operation, "_call_has_training_arg", False):
            own = self._origin.training
            kwargs = {**kwargs, "training": training if own is None else own}
        outputs = keras.tree.flatten(self._operation(*args, **kwargs))
        return outputs[0] if len(outputs) == 1 else outputs


class SelectOutput(keras.layers.Layer):
    """Returns one of the outputs of an `OpaqueCall`.

    Args:
        index: Which of them.
        name: The name of the node.
    """

    def __init__(self, index: int, name: str) -> None:
        super().__init__(name=name, dtype="float32", autocast=False)
        self._index = index

    def call(self, inputs: Any) -> Any:
        """Return the output."""
        return inputs[self._index]
