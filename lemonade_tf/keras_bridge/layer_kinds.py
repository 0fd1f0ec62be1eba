"""Converting Keras layers to layer kinds of a graph.

For each class of Keras layers, the table contains the layer kind that it becomes, and the required
values of settings that the kind does not have: those without effect. Initializers, regularizers and
constraints, which do not change what is computed, are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import GraphError
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.architecture.opaque import Opaque, Pointwise
from lemonade_tf.keras_bridge.activation_names import is_pointwise, known_activation
from lemonade_tf.keras_bridge.convex_sum import ConvexSum
from lemonade_tf.keras_bridge.unnamed_layers import (
    TRAINING_ONLY,
    applications_layer,
    training_only_class,
    training_only_kind,
)

_IMAGE_SIZE, _OTHER_SIZE = 224, 16  # in place of open sizes

_CHANNELS_LAST = {"data_format": "channels_last"}
_AS_IS = {"crop_to_aspect_ratio": False, "pad_to_aspect_ratio": False, "antialias": False}

# class of Keras layer -> (kind, required values of settings that the kind does not have)
KINDS: dict[type, tuple[type[kinds.Layer], Mapping[str, Any]]] = {
    keras.layers.Rescaling: (kinds.Rescaling, {}),
    keras.layers.Normalization: (kinds.Normalization, {"axis": -1, "invert": False}),
    keras.layers.Conv2D: (kinds.Conv2D, _CHANNELS_LAST),
    keras.layers.Conv2DTranspose: (kinds.Conv2DTranspose, _CHANNELS_LAST),
    keras.layers.DepthwiseConv2D: (kinds.DepthwiseConv2D, _CHANNELS_LAST),
    keras.layers.SeparableConv2D: (kinds.SeparableConv2D, _CHANNELS_LAST),
    keras.layers.BatchNormalization: (kinds.BatchNormalization, {"axis": -1, "renorm": False}),
    keras.layers.LayerNormalization: (
        kinds.LayerNormalization,
        {"axis": -1, "rms_scaling": False},
    ),
    keras.layers.GroupNormalization: (kinds.GroupNormalization, {"axis": -1}),
    applications_layer("LayerScale"): (kinds.LayerScale, {}),
    keras.layers.ReLU: (kinds.ReLU, {}),
    keras.layers.LeakyReLU: (kinds.LeakyReLU, {}),
    keras.layers.PReLU: (kinds.PReLU, {}),
    keras.layers.ELU: (kinds.ELU, {}),
    keras.layers.Activation: (kinds.Activation, {}),
    keras.layers.Softmax: (kinds.Activation, {"axis": -1}),
    keras.layers.MaxPooling2D: (kinds.MaxPooling2D, _CHANNELS_LAST),
    keras.layers.AveragePooling2D: (kinds.AveragePooling2D, _CHANNELS_LAST),
    keras.layers.GlobalAveragePooling2D: (kinds.GlobalAveragePooling2D, _CHANNELS_LAST),
    keras.layers.GlobalMaxPooling2D: (kinds.GlobalMaxPooling2D, _CHANNELS_LAST),
    keras.layers.ZeroPadding2D: (kinds.ZeroPadding2D, _CHANNELS_LAST),
    keras.layers.Cropping2D: (kinds.Cropping2D, _CHANNELS_LAST),
    keras.layers.UpSampling2D: (kinds.UpSampling2D, _CHANNELS_LAST),
    keras.layers.Resizing: (kinds.Resizing, {**_CHANNELS_LAST, **_AS_IS}),
    keras.layers.Reshape: (kinds.Reshape, {}),
    keras.layers.Permute: (kinds.Permute, {}),
    keras.layers.Flatten: (kinds.Flatten, _CHANNELS_LAST),
    keras.layers.Dropout: (kinds.Dropout, {}),
    **{training_only_class(name): (kinds.TrainingOnly, {}) for name in TRAINING_ONLY},
    keras.layers.Dense: (kinds.Dense, {}),
    keras.layers.Add: (kinds.Add, {}),
    keras.layers.Subtract: (kinds.Subtract, {}),
    keras.layers.Multiply: (kinds.Multiply, {}),
    keras.layers.Average: (kinds.Average, {}),
    keras.layers.Maximum: (kinds.Maximum, {}),
    keras.layers.Minimum: (kinds.Minimum, {}),
    keras.layers.Concatenate: (kinds.Concatenate, {"axis": -1}),
    ConvexSum: (kinds.ConvexSum, {}),
}


# --- Layers ------------------------------------------------------------------------------------


def input_kind(layer: keras.layers.InputLayer, given: kinds.Shape | None) -> kinds.Input:
    """Convert the input of a model to the Input of a graph.

    Args:
        layer: The input of the model.
        given: The shape to use if the model has open sizes (None); None for usual sizes.

    Raises:
        GraphError: If a given size is not a positive integer, or contradicts one of the model.
    """
    shape = tuple(layer.batch_shape[1:])
    if given is None:
        size = _IMAGE_SIZE if len(shape) == 3 else _OTHER_SIZE
        return kinds.Input(tuple(size if n is None else n for n in shape))
    given = tuple(given)
    if not all(isinstance(n, int) and n > 0 for n in given):
        raise GraphError(
            f"input_shape is {given}; expected positive integers, as in input_shape=(224, 224, 3)."
        )
    if len(given) != len(shape) or any(
        own not in (None, size) for own, size in zip(shape, given, strict=True)
    ):
        raise GraphError(
            f"input {layer.name!r} has shape {shape}, which contradicts input_shape={given}."
        )
    return kinds.Input(given)


def layer_kind(layer: keras.layers.Layer, rank: int) -> kinds.Layer:
    """Convert a Keras layer whose class is in the table to a layer of a graph.

    Args:
        layer: The Keras layer.
        rank: Number of dimensions of its input, including the batch.

    Raises:
        GraphError: If the layer is not in the table, or a setting has a value that the kind cannot
            express.
    """
    entry = table_entry(layer)
    if entry is None:
        raise GraphError(
            f"layer {layer.name!r} has the type {type(layer).__name__}, which is not supported."
        )
    kind, required = entry
    for setting, value in required.items():
        found = _setting(layer, setting, rank)
        if found != value:
            raise GraphError(
                f"layer {layer.name!r} ({type(layer).__name__}) has {setting}={found!r}; a graph"
                f" supports only {setting}={value!r}."
            )
    if kind is kinds.TrainingOnly:
        return training_only_kind(layer)
    if isinstance(layer, keras.layers.Softmax):
        arguments = {"activation": "softmax"}
    elif kind is kinds.Activation:
        arguments = {"activation": _known_activation(layer)}
    elif isinstance(layer, keras.layers.Normalization):
        arguments = {"mean": _plain(layer.input_mean), "variance": _plain(layer.input_variance)}
    else:
        arguments = {part.name: _plain(getattr(layer, part.name)) for part in fields(kind)}
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:
        raise GraphError(f"layer {layer.name!r}: {error}") from None


def depthwise_kind(kind: kinds.Layer, channels: int) -> kinds.DepthwiseConv2D | None:
    """Return a convolution with a group per channel as a depthwise one, which it is; else None.

    Args:
        kind: A layer.
        channels: The number of channels of its input.
    """
    if not isinstance(kind, kinds.Conv2D) or not kind.groups == channels > 1:
        return None
    if kind.strides[0] != kind.strides[1]:  # TensorFlow has no such depthwise convolution
        return None
    return kinds.DepthwiseConv2D(
        kind.kernel_size,
        kind.strides,
        kind.padding,
        kind.filters // channels,
        kind.use_bias,
        kind.dilation_rate,
    )


def table_entry(
    layer: keras.layers.Layer,
) -> tuple[type[kinds.Layer], Mapping[str, Any]] | None:
    """Return the entry of the table for a layer; None if there is none."""
    for kind, entry in KINDS.items():
        # Subclasses of others may compute something else; those of this package do not.
        if type(layer) is kind or (
            isinstance(layer, kind)
            and (type(layer).__module__.startswith("lemonade_tf.") or _only_configures(layer, kind))
        ):
            return entry
    return None


def _only_configures(layer: keras.layers.Layer, kind: type) -> bool:
    """Return whether all that a subclass adds to a class is how its layers are made."""
    added = type(layer).__mro__[: type(layer).__mro__.index(kind)]
    names = {name for each in added for name in vars(each)}
    return all(
        name in ("get_config", "from_config")
        or (name.startswith("__") and name not in ("__call__", "__new__", "__getattribute__"))
        for name in names
    )


def _setting(layer: keras.layers.Layer, name: str, rank: int) -> Any:
    """Return a setting of a layer, with -1 for the last axis."""
    value = _plain(getattr(layer, name))
    if name == "axis" and value in (rank - 1, (rank - 1,), (-1,)):
        return -1
    return value


def activation_name(layer: keras.layers.Layer) -> str:
    """Return the name of a layer's activation, for messages; "linear" if it has none."""
    function = getattr(layer, "activation", None) or keras.activations.linear
    return getattr(function, "__name__", type(function).__name__)


def activation_kind(layer: keras.layers.Layer) -> kinds.Layer | None:
    """Return the activation that is built into a layer as a layer of its own; None without one.

    Raises:
        GraphError: If no kind of layer computes it.
    """
    function = getattr(layer, "activation", None)
    if isinstance(function, keras.layers.ReLU | keras.layers.LeakyReLU | keras.layers.ELU):
        return layer_kind(function, 2)
    name = _known_activation(layer)
    if name == "linear":
        return None
    known = {"relu": kinds.ReLU(), "relu6": kinds.ReLU(6.0)}  # operators look for ReLU layers
    return known.get(name) or kinds.Activation(name)


def built_in_activation(
    layer: keras.layers.Layer, shape: kinds.Shape, key: str
) -> kinds.Layer | None:
    """Return the activation that a layer has built in, as a node; None if it has none.

    Args:
        layer: The layer.
        shape: The shape of its output.
        key: That of an opaque node for an unknown activation.
    """
    try:
        return activation_kind(layer)
    except GraphError:
        make = Pointwise if is_pointwise(getattr(layer, "activation", None)) else Opaque
        return make(activation_name(layer), key, (shape,), (shape,))


def _known_activation(layer: keras.layers.Layer) -> str:
    name = known_activation(getattr(layer, "activation", None))
    if name is None:
        raise GraphError(
            f"layer {layer.name!r} has the activation {activation_name(layer)!r}, which is not"
            " known."
        )
    return name


def _plain(value: Any) -> Any:
    """Return a setting as Python values, with tuples in place of lists."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return tuple(value) if isinstance(value, list) else value
