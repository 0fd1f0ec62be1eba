"""The weights of layers whose input or output channels change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lemonade_tf.architecture.channel_runs import repeat_channels
from lemonade_tf.architecture.layers import (
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    GroupNormalization,
    Layer,
    LayerNormalization,
    LayerScale,
    PReLU,
    SeparableConv2D,
)

Fresh = Callable[[str, tuple[int, ...]], np.ndarray]  # (name of the weight, shape) -> values

ABSORBERS = (Conv2D, SeparableConv2D, Dense, Conv2DTranspose)

# Layers with weights per channel, besides depthwise convolutions, and what fresh channels get.
CARRIERS = (BatchNormalization, GroupNormalization, LayerNormalization, LayerScale, PReLU)
_FRESH_WEIGHTS = {
    "gamma": 1.0,
    "beta": 0.0,
    "moving_mean": 0.0,
    "moving_variance": 1.0,
    "alpha": 0.0,
}


def split_among_copies(kernel: np.ndarray, source: np.ndarray, axis: int) -> np.ndarray:
    """Return an absorber's kernel for new channels, with zeros for fresh ones.

    The k copies of a channel get 1, 2, ..., k parts of k (k + 1) / 2 of its weights. With equal
    parts, as in Net2Net, copies that have equal filters would get equal gradients and stay equal
    indefinitely. The first k - 1 parts are rounded to multiples of the spacing of floats at the
    weight itself. Then all sums and differences are exact, and the parts add up to the weight to
    the last bit.
    """
    taken = take(kernel, source, axis)
    counts = np.bincount(source[source >= 0], minlength=1)
    if counts.max(initial=0) < 2:
        return taken
    copies = np.where(source < 0, 1, counts[source])
    rank = np.array([np.sum(source[:j] == old) for j, old in enumerate(source)])  # 0 to k - 1
    along = [1] * kernel.ndim
    along[axis] = -1
    copies, rank = copies.reshape(along), rank.reshape(along)
    spacing = np.spacing(np.abs(taken))

    def part(r: Any) -> np.ndarray:
        return np.rint(taken * ((r + 1) / (copies * (copies + 1) / 2)) / spacing) * spacing

    others = sum(part(r) * (r < copies - 1) for r in range(int(copies.max()) - 1))
    return np.where(rank < copies - 1, part(rank), taken - others).astype(kernel.dtype)


def take(array: np.ndarray, source: np.ndarray, axis: int, fill: Any = 0.0) -> np.ndarray:
    """Return an array whose index j along an axis is index source[j] of the given one.

    Args:
        array: The array.
        source: The indices; negative where the values of `fill` are used.
        axis: The axis.
        fill: A number, or an array of the new shape.
    """
    taken = np.take(array, np.maximum(source, 0), axis=axis)  # fresh ones are overwritten below
    is_fresh = source < 0
    if is_fresh.any():
        where: list[Any] = [slice(None)] * array.ndim
        where[axis] = is_fresh
        taken[tuple(where)] = fill[tuple(where)] if isinstance(fill, np.ndarray) else fill
    return taken


def absorb(layer: Layer, weights: dict[str, np.ndarray], source: np.ndarray) -> dict[str, Any]:
    """Return the weights of an absorber whose input changed."""
    if not weights:
        return weights
    if isinstance(layer, SeparableConv2D):
        pointwise = split_among_copies(
            weights["pointwise_kernel"], repeat_channels(source, layer.depth_multiplier), 2
        )
        # The depthwise kernel of a fresh channel is not zero but the identity: only the pointwise
        # kernel is zero. With zeros in both, both would have zero gradients and never change.
        depthwise = take(weights["depthwise_kernel"], source, 2)
        height, width = layer.kernel_size
        depthwise[height // 2, width // 2, source < 0] = 1.0
        return {**weights, "depthwise_kernel": depthwise, "pointwise_kernel": pointwise}
    if isinstance(layer, Conv2D):  # its blocks are tied, so all of them change like the first
        source = source[: len(source) // layer.groups]
    axis = -2 if not isinstance(layer, Conv2DTranspose) else -1
    return {**weights, "kernel": split_among_copies(weights["kernel"], source, axis)}


def produce(
    layer: Any, weights: dict[str, np.ndarray], source: np.ndarray, fresh: Fresh
) -> tuple[Layer, dict[str, Any]]:
    """Return the layer and the weights of a producer whose output changed."""
    size = "units" if isinstance(layer, Dense) else "filters"
    layer = replace(layer, **{size: len(source)})
    kernel = "pointwise_kernel" if isinstance(layer, SeparableConv2D) else "kernel"
    new = dict(weights)
    if weights:
        axis = filters_axis(layer)
        shape = list(weights[kernel].shape)
        shape[axis] = len(source)
        values = fresh(kernel, tuple(shape)) if (source < 0).any() else 0.0
        new[kernel] = take(weights[kernel], source, axis, fill=values)
        if "bias" in weights:
            new["bias"] = take(weights["bias"], source, 0)
    return layer, new


def filters_axis(layer: Layer) -> int:
    """Return the axis of a producer's kernel that counts its filters or units."""
    return -2 if isinstance(layer, Conv2DTranspose) else -1


def carry(
    layer: Layer, weights: Mapping[str, np.ndarray], source: np.ndarray, channels: int
) -> tuple[Layer, dict[str, Any]]:
    """Return the layer and the weights of a carrier whose channels changed.

    Args:
        layer: The layer.
        weights: Its weights.
        source: The source of each new channel.
        channels: The number of channels before.
    """
    fresh = dict(_FRESH_WEIGHTS)
    if isinstance(layer, LayerScale):
        layer = replace(layer, projection_dim=len(source))
        fresh["gamma"] = layer.init_values
    elif isinstance(layer, GroupNormalization) and layer.is_per_channel(channels):
        layer = replace(layer, groups=-1 if layer.groups == -1 else len(source))
    elif isinstance(layer, PReLU) and weights and layer.shares(weights["alpha"].ndim):
        return layer, dict(weights)  # one alpha for all channels
    return layer, {k: take(v, source, -1, fill=fresh[k]) for k, v in weights.items()}


def carry_depthwise(
    weights: Mapping[str, np.ndarray], consumed: np.ndarray, source: np.ndarray, fresh: Fresh
) -> dict[str, Any]:
    """Return the weights of a depthwise convolution whose input and output channels changed."""
    if not weights:
        return {}
    shape = (*weights["kernel"].shape[:2], len(consumed), weights["kernel"].shape[3])
    values = fresh("kernel", shape) if (consumed < 0).any() else 0.0
    new = {"kernel": take(weights["kernel"], consumed, 2, fill=values)}
    return {**new, **({"bias": take(weights["bias"], source, 0)} if "bias" in weights else {})}
