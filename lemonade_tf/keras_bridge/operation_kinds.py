"""Converting Keras operations, such as x + y or keras.ops.mean(x, axis=(1, 2)), to layer kinds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import GraphError
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.keras_bridge.activation_names import is_pointwise

Number = float | tuple[float, ...]  # one for all channels, or one per channel

# Operations of two operands: the kind for two tensors, and functions that make the kind for a
# tensor and a number, and for a number and a tensor; None where there is none.
_BINARY: dict[str, tuple[kinds.Layer | None, Any, Any]] = {
    "Add": (kinds.Add(), lambda n: kinds.Rescaling(1.0, n), lambda n: kinds.Rescaling(1.0, n)),
    "Multiply": (kinds.Multiply(), kinds.Rescaling, kinds.Rescaling),
    "Subtract": (
        kinds.Subtract(),
        lambda n: kinds.Rescaling(1.0, _each(n, lambda v: -v)),
        lambda n: kinds.Rescaling(-1.0, n),
    ),
    "Divide": (None, lambda n: kinds.Rescaling(_each(n, lambda v: 1 / v)), None),
    "TrueDivide": (None, lambda n: kinds.Rescaling(_each(n, lambda v: 1 / v)), None),
    "Maximum": (kinds.Maximum(), lambda n: _relu_of(n), lambda n: _relu_of(n)),
    "Minimum": (kinds.Minimum(), None, None),
}

# Operations that are an activation by a name of Keras, and the arguments with which they are.
_ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "Celu": ("celu", {"alpha": 1}),
    "Exp": ("exponential", {}),
    "Gelu": ("gelu", {"approximate": False}),
    "HardShrink": ("hard_shrink", {"threshold": 0.5}),
    "HardSigmoid": ("hard_sigmoid", {}),
    "HardSilu": ("hard_silu", {}),
    "HardTanh": ("hard_tanh", {}),
    "LogSigmoid": ("log_sigmoid", {}),
    "LogSoftmax": ("log_softmax", {"axis": -1}),
    "Mish": ("mish", {}),
    "Selu": ("selu", {}),
    "Sigmoid": ("sigmoid", {}),
    "Silu": ("silu", {}),
    "SoftShrink": ("soft_shrink", {"threshold": 0.5}),
    "Softmax": ("softmax", {"axis": -1}),
    "Softplus": ("softplus", {}),
    "Softsign": ("softsign", {}),
    "SparsePlus": ("sparse_plus", {}),
    "SparseSigmoid": ("sparse_sigmoid", {}),
    "Squareplus": ("squareplus", {"b": 4}),
    "Tanh": ("tanh", {}),
    "TanhShrink": ("tanh_shrink", {}),
}


def operation_kind(
    operation: Any, values: Sequence[Any], shapes: Sequence[kinds.Shape]
) -> kinds.Layer:
    """Convert an operation to a layer.

    Args:
        operation: An operation of Keras.
        values: The arguments of its call.
        shapes: The shapes of its tensors, without the batch.

    Raises:
        GraphError: If no kind of layer computes it.
    """
    name = type(operation).__name__
    if not _is_of_keras(operation):
        raise _unknown(operation)
    if name in _BINARY:
        return _binary_kind(operation, values, shapes)
    if name in _ACTIVATIONS:
        activation, required = _ACTIVATIONS[name]
        if all(getattr(operation, key) == value for key, value in required.items()):
            return kinds.Activation(activation)
    elif name in _OTHERS:
        kind = _OTHERS[name](operation, values, shapes[0])
        if kind is not None:
            return kind
    raise _unknown(operation)


# Operations that treat each value by itself, and are finite, whatever their other arguments.
_POINTWISE = {"Absolute", "Abs", "Clip", "Cos", "Sign", "Sin", "Square"}
_POINTWISE |= _ACTIVATIONS.keys() - {"Exp", "LogSoftmax", "Softmax"}


def is_pointwise_call(operation: Any, values: Sequence[Any], shapes: Sequence[kinds.Shape]) -> bool:
    """Return whether a call that no kind of layer computes treats each value by itself.

    Args:
        operation: A layer or an operation of Keras.
        values: The arguments of its call.
        shapes: The shapes of its tensors, without the batch.
    """
    if len(shapes) != 1:
        return False
    if type(operation) is keras.layers.Activation:
        return is_pointwise(operation.activation)
    name = type(operation).__name__
    others = [value for value in values if not isinstance(value, keras.KerasTensor)]
    are_numbers = all(isinstance(_number(value, shapes[0]), float) for value in others)
    known = _POINTWISE | {"Maximum", "Minimum"}
    return _is_of_keras(operation) and name in known and are_numbers


def split_kinds(operation: Any, shape: kinds.Shape) -> list[kinds.ChannelSlice]:
    """Return the slices of channels that a split consists of; none for any other operation.

    Args:
        operation: An operation of Keras.
        shape: The shape of its tensor, without the batch.
    """
    is_split = type(operation).__name__ == "Split" and _is_of_keras(operation)
    if not is_split or not _is_last(operation.axis, shape):
        return []
    parts = operation.indices_or_sections
    if isinstance(parts, int):
        bounds = [shape[-1] * number // parts for number in range(parts + 1)]
    else:
        bounds = [0, *map(int, parts), shape[-1]]
    pairs = list(pairwise(bounds))
    if not all(0 <= start < stop for start, stop in pairs):
        return []
    return [kinds.ChannelSlice(start, stop) for start, stop in pairs]


def _is_of_keras(operation: Any) -> bool:
    return type(operation).__module__.startswith("keras.")


def _unknown(operation: Any) -> GraphError:
    return GraphError(
        f"{operation.name!r} is the operation {type(operation).__name__} of operands or arguments"
        " that no kind of layer has."
    )


# --- Numbers -----------------------------------------------------------------------------------


def _each(number: Number, function: Callable[[float], float]) -> Number:
    """Apply a function to a number, or to the number of each channel."""
    return tuple(map(function, number)) if isinstance(number, tuple) else function(number)


def _number(value: Any, shape: kinds.Shape) -> Number | None:
    """Return a constant operand of a tensor as one number, or one per channel; None for others.

    Args:
        value: An operand.
        shape: The shape of the tensor, without the batch.
    """
    if isinstance(value, str | bool) or value is None or hasattr(value, "assign"):
        return None  # the last is a variable, which may change
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        return None
    if array.size == 1 and array.ndim <= len(shape) + 1:
        return float(array.reshape(()))
    sizes = array.shape
    if len(sizes) > len(shape) + 1 or sizes != (*[1] * (len(sizes) - 1), shape[-1]):
        return None
    return tuple(map(float, array.ravel()))


def _binary_kind(
    operation: Any, values: Sequence[Any], shapes: Sequence[kinds.Shape]
) -> kinds.Layer:
    of_tensors, number_second, number_first = _BINARY[type(operation).__name__]
    first, second = values
    are_tensors = [isinstance(value, keras.KerasTensor) for value in values]
    kind = None
    if all(are_tensors):
        kind = of_tensors
    else:
        make = number_second if are_tensors[0] else number_first
        number = _number(second if are_tensors[0] else first, shapes[0])
        if make is not None and number is not None:
            try:
                kind = make(number)
            except (ZeroDivisionError, OverflowError):
                kind = None
    if kind is None:
        raise _unknown(operation)
    return kind


def _relu_of(number: Number) -> kinds.Layer | None:
    """Return what computes max(x, number)."""
    return kinds.ReLU() if number == 0 else None


# --- Single operations -------------------------------------------------------------------------


def _is_last(axis: Any, shape: kinds.Shape) -> bool:
    """Return whether an axis of a tensor, with the batch, is the one of the channels."""
    return axis in (-1, len(shape))


def _axes(axis: Any, shape: kinds.Shape) -> tuple[int, ...]:
    axes = (axis,) if isinstance(axis, int) else tuple(axis or ())
    return tuple(sorted(a % (len(shape) + 1) for a in axes))


def _pooling(kind: type[kinds.GlobalPooling2D]) -> Any:
    def convert(operation: Any, values: Sequence[Any], shape: kinds.Shape) -> kinds.Layer | None:
        is_bounded = getattr(operation, "initial", None) is not None
        if len(shape) != 3 or _axes(operation.axis, shape) != (1, 2) or is_bounded:
            return None
        return kind(keepdims=bool(operation.keepdims))

    return convert


def _slice(operation: Any, values: Sequence[Any], shape: kinds.Shape) -> kinds.Layer | None:
    """Convert x[..., a:b], x[:, a:b, c:d] and x[:, ::a, ::b]."""
    slices = _slices(values[1], len(shape) + 1)
    if slices is None or slices[0] != slice(None):
        return None
    parts = [part.indices(size) for part, size in zip(slices[1:], shape, strict=True)]
    whole = [(0, size, 1) for size in shape]
    if any(start >= stop or step < 1 for start, stop, step in parts):
        return None
    (start, stop, step), same = parts[-1], parts[:-1] == whole[:-1]
    if same:
        return kinds.ChannelSlice(start, stop) if step == 1 else None
    if len(shape) != 3 or parts[-1] != whole[-1]:
        return None
    if all(step == 1 for _, _, step in parts):
        (top, bottom, _), (left, right, _) = parts[:2]
        return kinds.Cropping2D(((top, shape[0] - bottom), (left, shape[1] - right)))
    if all((start, stop) == (0, size) for (start, stop, _), size in zip(parts, shape, strict=True)):
        return kinds.MaxPooling2D(1, (parts[0][2], parts[1][2]))
    return None


def _slices(key: Any, rank: int) -> list[slice] | None:
    """Return the slice of each axis that an index selects; None if it is no row of slices."""
    parts = list(key) if isinstance(key, tuple) else [key]
    if sum(part is Ellipsis for part in parts) > 1:
        return None
    at = next((i for i, part in enumerate(parts) if part is Ellipsis), len(parts))
    missing = rank - sum(part is not Ellipsis for part in parts)
    parts = [*parts[:at], *[slice(None)] * missing, *parts[at + 1 :]]
    are_plain = all(
        isinstance(part, slice)
        and all(isinstance(n, int | None) for n in (part.start, part.stop, part.step))
        for part in parts
    )
    return parts if are_plain and len(parts) == rank else None


def _pad(operation: Any, values: Sequence[Any], shape: kinds.Shape) -> kinds.Layer | None:
    widths = np.asarray(operation.pad_width)
    fills = [value for value in values[1:] if value is not None]
    if operation.mode != "constant" or any(_number(fill, shape) != 0 for fill in fills):
        return None
    if widths.shape != (4, 2) or widths[[0, 3]].any():
        return None
    return kinds.ZeroPadding2D(tuple(map(tuple, widths[1:3].tolist())))


def _relu(operation: Any, values: Sequence[Any], shape: kinds.Shape) -> kinds.Layer:
    return kinds.ReLU(operation.max_value, operation.negative_slope, operation.threshold)


def _clip(operation: Any, values: Sequence[Any], shape: kinds.Shape) -> kinds.Layer | None:
    largest = _number(operation.x_max, shape)
    if _number(operation.x_min, shape) != 0 or not isinstance(largest, float) or largest <= 0:
        return None
    return kinds.ReLU(largest)


def _transpose(operation: Any, values: Sequence[Any], shape: kinds.Shape) -> kinds.Layer | None:
    axes = operation.axes
    return kinds.Permute(tuple(axes[1:])) if axes is not None and axes[0] == 0 else None


def _reshape(operation: Any, values: Sequence[Any], shape: kinds.Shape) -> kinds.Layer | None:
    new = operation.newshape
    are_known = isinstance(new, tuple | list) and all(isinstance(n, int) for n in new)
    return kinds.Reshape(tuple(new[1:])) if are_known and len(new) > 1 and new[0] == -1 else None


def _window(kind: type[kinds.Pooling2D]) -> Any:
    def convert(operation: Any, values: Sequence[Any], shape: kinds.Shape) -> kinds.Layer | None:
        if len(shape) != 3 or operation.data_format == "channels_first":
            return None
        size, strides = operation.pool_size, operation.strides
        strides = size if strides is None else strides
        height, width = (size, size) if isinstance(size, int) else size
        down, right = (strides, strides) if isinstance(strides, int) else strides
        return kind((height, width), (down, right), operation.padding)

    return convert


def _resize(operation: Any, values: Sequence[Any], shape: kinds.Shape) -> kinds.Layer | None:
    other = (operation.antialias, operation.crop_to_aspect_ratio, operation.pad_to_aspect_ratio)
    if any(other) or operation.data_format == "channels_first":
        return None
    height, width = operation.size
    return kinds.Resizing(height, width, operation.interpolation)


_OTHERS: dict[str, Any] = {
    "AveragePool": _window(kinds.AveragePooling2D),
    "Clip": _clip,
    "Concatenate": lambda op, values, shape: (
        kinds.Concatenate() if _is_last(op.axis, shape) else None
    ),
    "Elu": lambda op, values, shape: kinds.ELU(op.alpha),
    "GetItem": _slice,
    "LeakyRelu": lambda op, values, shape: kinds.LeakyReLU(op.negative_slope),
    "Max": _pooling(kinds.GlobalMaxPooling2D),
    "MaxPool": _window(kinds.MaxPooling2D),
    "Mean": _pooling(kinds.GlobalAveragePooling2D),
    "Negative": lambda op, values, shape: kinds.Rescaling(-1.0),
    "Pad": _pad,
    "ReLU": _relu,
    "Relu": lambda op, values, shape: kinds.ReLU(),
    "Relu6": lambda op, values, shape: kinds.ReLU(6.0),
    "Reshape": _reshape,
    "Resize": _resize,
    "Transpose": _transpose,
}
