"""Networks in LiteRT, TensorFlow's runtime for phones (once TensorFlow Lite).

A network is converted for one image at a time, its weights as constants: batch normalization is
folded into the convolution before it, and a ReLU is part of the layer that it follows. It is run on
one thread, by XNNPACK's kernels, which is how LiteRT runs by default.

*int8* is full integer quantisation after training (Jacob et al., 2018): weights, activations, input
and output are whole numbers of 8 bits, whose ranges are those that some training images give.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from lemonade_tf.architecture import Graph
from lemonade_tf.errors import LemonadeError
from lemonade_tf.keras_bridge.graph_to_model import to_keras


class LiteError(LemonadeError):
    """LiteRT cannot convert a network, or cannot run it."""


def to_lite(
    network: Graph | keras.Model,
    *,
    logits: bool = False,
    quantise: Literal["int8"] | None = None,
    calibration: np.ndarray | None = None,
) -> bytes:
    """Return a network as the content of a .tflite file, for one image at a time.

    Args:
        network: A graph, or a model with one input and one output.
        logits: Whether a graph's network stops before a softmax at its end. In whole numbers that
            gives 256ths only, among which the most probable class is lost where there are many.
        quantise: "int8" for full integer quantisation; its input and output are uint8.
        calibration: Training images, raw pixels (n, height, width, channels), whose activations
            give the ranges; needed with `quantise`. A hundred or more.

    Raises:
        LiteError: The network cannot be converted.
        ValueError: `quantise` is not known, or there are no images for it.
    """
    if quantise not in (None, "int8"):
        raise ValueError(f"quantise is {quantise!r}; expected 'int8' or None.")
    if quantise and (calibration is None or not len(calibration)):
        raise ValueError("int8 needs calibration: some training images, raw pixels; none given.")
    model = to_keras(network, logits=logits) if isinstance(network, Graph) else network
    try:
        with _quiet():
            converter = tf.lite.TFLiteConverter.from_concrete_functions([_of_one_image(model)])
            if quantise:
                _quantise(converter, calibration)
            return converter.convert()
    except Exception as error:  # the converter raises errors of many types, and plain Exception
        line = " ".join(str(error).split())[:300]
        raise LiteError(
            f"LiteRT cannot convert the network {model.name!r}: {type(error).__name__}: {line}"
        ) from error


class LiteModel:
    """A network in LiteRT, ready to run; not for several threads at a time.

    Args:
        content: Of a .tflite file for one image at a time, as `to_lite` returns it.
        threads: How many an operation may use.

    Raises:
        LiteError: The content cannot be run.
    """

    def __init__(self, content: bytes, *, threads: int = 1) -> None:
        try:
            with _quiet():
                self._interpreter = _interpreter()(model_content=content, num_threads=threads)
                self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise LiteError(f"LiteRT cannot run the network: {error}") from error
        [self._input] = self._interpreter.get_input_details()
        [self._output] = self._interpreter.get_output_details()

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return what the network puts out, (n, classes), for images (n, height, width, channels).

        Args:
            images: Raw pixels. A quantised network gets them in its whole numbers, and what it
                puts out is turned back.
        """
        given = _quantised(np.asarray(images, np.float32), self._input)
        outputs = []
        for image in given:
            self.set_image(image)
            self.run()
            outputs.append(self._interpreter.get_tensor(self._output["index"])[0])
        return _real(np.stack(outputs), self._output)

    def set_image(self, image: np.ndarray) -> None:
        """Hand over an image (height, width, channels), of the type of the network's input."""
        self._interpreter.set_tensor(self._input["index"], image[None])

    @property
    def run(self) -> Callable[[], None]:
        """The pass over the image that was handed over, to be called."""
        return self._interpreter.invoke


def _of_one_image(model: keras.Model) -> Any:
    function = tf.function(lambda images: model(images, training=False), autograph=False)
    spec = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)
    return function.get_concrete_function(spec)


def _quantise(converter: Any, images: np.ndarray) -> None:
    def representative() -> Iterator[list[np.ndarray]]:
        for image in images:
            yield [np.asarray(image, np.float32)[None]]

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8


def _quantised(images: np.ndarray, details: Any) -> np.ndarray:
    """Return images in the type of the input: whole numbers q of (q - zero) * scale."""
    if not np.issubdtype(details["dtype"], np.integer):
        return images.astype(details["dtype"])
    scale, zero = details["quantization"]
    limits = np.iinfo(details["dtype"])
    return np.clip(np.round(images / scale) + zero, limits.min, limits.max).astype(details["dtype"])


def _real(values: np.ndarray, details: Any) -> np.ndarray:
    if not np.issubdtype(details["dtype"], np.integer):
        return values
    scale, zero = details["quantization"]
    return (values.astype(np.float32) - zero) * np.float32(scale)


def _interpreter() -> Any:
    """Return the interpreter of the package that follows tf.lite, if it is installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        return tf.lite.Interpreter
    return Interpreter


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence that tf.lite tells of its successor, and what it says of every conversion."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
