"""Layer kinds whose Keras class is not in `keras.layers` under their name."""

from __future__ import annotations

import inspect
import json
from typing import Any

import keras

from lemonade_tf.architecture import GraphError
from lemonade_tf.architecture import layers as kinds

# Layers that change values in training only, each channel in the same way, so that channels can be
# added and removed. (Color jitter and the like require three channels.)
TRAINING_ONLY = (
    "ActivityRegularization",
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "RandomBrightness",
    "RandomContrast",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomRotation",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
    "SpatialDropout2D",
    "StochasticDepth",
)
_NOT_SETTINGS = ("name", "trainable", "dtype")


def applications_layer(name: str) -> type[keras.layers.Layer]:
    """Return a layer class of keras.applications.ConvNeXt, which Keras does not export."""
    from keras.src.applications import convnext

    return getattr(convnext, name)


def layer_scale(layer: kinds.LayerScale, name: str) -> keras.layers.Layer:
    """Return the Keras layer of a layer scale, built, with a weight of the name gamma."""
    keras_layer = applications_layer("LayerScale")(**kinds.arguments(layer), name=name)
    keras_layer.gamma = keras_layer.add_weight(
        shape=(layer.projection_dim,),
        initializer=keras.initializers.Constant(layer.init_values),
        name="gamma",  # Keras's own `build` gives it a name by number, in files, too
    )
    keras_layer.built = True
    return keras_layer


def training_only_kind(layer: keras.layers.Layer) -> kinds.TrainingOnly:
    """Convert a layer whose class is one of `TRAINING_ONLY`."""
    defaults = {"seed": None, "data_format": "channels_last", "noise_shape": None}
    config = {
        key: value
        for key, value in layer.get_config().items()
        if key not in _NOT_SETTINGS and (key not in defaults or value != defaults[key])
    }
    if "noise_shape" in config:
        raise GraphError(
            f"layer {layer.name!r} has noise_shape={config['noise_shape']}, which may depend on the"
            " number of channels; a graph supports only noise_shape=None."
        )
    return kinds.TrainingOnly(type(layer).__name__, json.dumps(config, sort_keys=True))


def training_only_layer(
    layer: kinds.TrainingOnly, name: str, seed: int | None
) -> keras.layers.Layer:
    """Return the Keras layer of a kind that `training_only_kind` made.

    Args:
        layer: The kind.
        name: The name of its node.
        seed: The random seed; None for that of its settings.
    """
    if layer.layer not in TRAINING_ONLY:
        raise GraphError(
            f"layer {name!r} is the unknown layer {layer.layer!r}; expected one of"
            f" {', '.join(TRAINING_ONLY)}."
        )
    settings: dict[str, Any] = json.loads(layer.settings)
    kind = training_only_class(layer.layer)
    if seed is not None and "seed" in inspect.signature(kind.__init__).parameters:
        settings["seed"] = seed
    return kind.from_config({**settings, "name": name})


def training_only_class(name: str) -> Any:
    """Return the Keras class of one of `TRAINING_ONLY`."""
    is_unexported = name == "StochasticDepth"
    return applications_layer(name) if is_unexported else getattr(keras.layers, name)


class SelectChannels(keras.layers.Layer):
    """Returns some of the channels of its input, in models that have a layer for every node.

    Args:
        layer: Which channels.
        name: The name of the node.
    """

    def __init__(self, layer: kinds.ChannelSlice, name: str) -> None:
        super().__init__(name=name)
        self._slice = layer

    def call(self, inputs: Any) -> Any:
        """Return the channels."""
        return inputs[..., self._slice.start : self._slice.stop]


def slice_channels(layer: kinds.ChannelSlice, name: str, tensor: Any) -> Any:
    """Return the channels of a symbolic tensor, by an operation with the name of the node."""
    part = tensor[..., layer.start : layer.stop]
    part._keras_history.operation.name = name
    return part
