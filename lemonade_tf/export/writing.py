"""Write a network in each format: the first of the files is the one to load."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.backends.base import LiteError
from lemonade_tf.backends.current import current_backend
from lemonade_tf.errors import LemonadeError, quoted
from lemonade_tf.export.c_source import c_sources
from lemonade_tf.export.formats import INT8, NONE, ExportError, Format
from lemonade_tf.export.python_source import python_source
from lemonade_tf.keras_bridge.graph_to_model import to_keras
from lemonade_tf.keras_bridge.keras_defaults import keras_defaults
from lemonade_tf.store import disk_error, explained

_BYTES_PER_LAYER = 4096  # of names and settings, in the files of all formats


@dataclass(frozen=True)
class Content:
    """What is exported.

    Attributes:
        name: The name of the network, which source code of it has.
        graph: The network, with weights.
        class_names: The names of its classes; may be empty.
        calibration: Raw training images, (n, height, width, channels), for int8.
    """

    name: str
    graph: Graph
    class_names: Sequence[str]
    calibration: np.ndarray


def write(content: Content, format: Format, quantize: str, folder: Path, stem: str) -> list[Path]:
    """Write the files of a network into a folder, and return them, the one to load first.

    Args:
        content: The network.
        format: The format.
        quantize: "none", "float16" or "int8".
        folder: An empty folder.
        stem: The name of the files, without suffix.

    Raises:
        ExportError: If the format cannot express the network.
        StoreError: If the disk is full, or the files cannot be written.
    """
    path = folder / f"{stem}{format.suffix}"
    _check_space(content.graph, format, folder)
    try:
        with keras_defaults(), _quiet(), explained(folder.parent):
            return _WRITERS[format.name](content, path, quantize)
    except LiteError as error:
        raise ExportError(quoted(error)) from error
    except (LemonadeError, MemoryError):
        raise
    except Exception as error:  # converters raise anything
        full = disk_error(folder.parent, errno.ENOSPC)
        if full is not None and os.strerror(errno.ENOSPC) in str(error):
            raise full from error
        raise ExportError(
            f"the network {content.name} cannot be exported as {format.name}:"
            f" {type(error).__name__}: {quoted(error)}"
        ) from error


def _check_space(graph: Graph, format: Format, folder: Path) -> None:
    """Check the space before writing: on a full disk, HDF5 ends the process."""
    needed = format.space * 4 * count_parameters(graph) + _BYTES_PER_LAYER * len(graph)
    with explained(folder.parent):
        if shutil.disk_usage(folder).free < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _model(content: Content) -> keras.Model:
    return to_keras(content.graph, layer_per_node=True)


def _keras(content: Content, path: Path, quantize: str) -> list[Path]:
    _model(content).save(path)
    return [path]


def _exported_by_keras(kind: str) -> Callable[[Content, Path, str], list[Path]]:
    def export(content: Content, path: Path, quantize: str) -> list[Path]:
        model = _model(content)
        model(np.zeros((1, *model.input_shape[1:]), np.float32))  # ONNX requires a call before
        model.export(str(path), format=kind, verbose=False)
        weights = path.with_suffix(".bin")
        return [path, weights] if weights.is_file() else [path]

    return export


def lite_content(content: Content, quantize: str) -> bytes:
    """Return the content of a .tflite file of a network.

    Raises:
        ExportError: If int8 has no images to calibrate it.
        LiteError: If LiteRT cannot convert the network.
    """
    if quantize == INT8 and not len(content.calibration):
        raise ExportError(
            "int8 needs training images, which calibrate the ranges of activations, and the data"
            " set of the run has none; use --quantize float16."
        )
    return current_backend().to_lite(
        content.graph,
        quantize=None if quantize == NONE else quantize,  # pyright: ignore[reportArgumentType]
        calibration=content.calibration if quantize == INT8 else None,
    )


def _lite(content: Content, path: Path, quantize: str) -> list[Path]:
    path.write_bytes(lite_content(content, quantize))
    return [path]


def _c(content: Content, path: Path, quantize: str) -> list[Path]:
    lite = lite_content(content, quantize)
    text = f"{describe(content)}\n{_quantization(lite)}" if quantize == INT8 else describe(content)
    header, source = c_sources(lite, path.stem, content.class_names, text)
    path.write_text(source, encoding="utf-8")
    path.with_suffix(".h").write_text(header, encoding="utf-8")
    return [path, path.with_suffix(".h")]


def _quantization(lite: bytes) -> str:
    """Return the lines that state how to convert pixels to the input, and outputs back."""
    (scale, zero), (out_scale, out_zero) = current_backend().lite_model(lite).quantization()
    return (
        f"The input is uint8: round(pixel / {scale:.9g}) + {zero}, clipped to 0 to 255.\n"
        f"The output is uint8: probability = (value - {out_zero}) * {out_scale:.9g}."
    )


def _python(content: Content, path: Path, quantize: str) -> list[Path]:
    model = _model(content)
    text = python_source(model, content.class_names, describe(content))
    weights = path.with_suffix(".weights.h5")
    model.save_weights(weights)
    path.write_text(text, encoding="utf-8")
    return [path, weights]


def describe(content: Content) -> str:
    """Return what a network takes and returns, in lines."""
    graph, shapes = content.graph, content.graph.shapes()
    shape = " x ".join(map(str, shapes[graph.input]))
    return (
        f"The network {content.name}, found by lemonade_tf.\n\n"
        f"Input: raw pixels, 0 to 255, {shape} (height, width, channels).\n"
        f"Output: the probabilities of {shapes[graph.output][-1]} classes."
    )


_WRITERS: Mapping[str, Callable[[Content, Path, str], list[Path]]] = {
    "keras": _keras,
    "h5": _keras,
    "saved_model": _exported_by_keras("tf_saved_model"),
    "tflite": _lite,
    "onnx": _exported_by_keras("onnx"),
    "openvino": _exported_by_keras("openvino"),
    "c": _c,
    "python": _python,
}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the logs and the warnings of converters."""
    levels: dict[str, Any] = {
        name: logging.getLogger(name).level for name in ("absl", "tensorflow", "tf2onnx")
    }
    try:
        for name in levels:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
