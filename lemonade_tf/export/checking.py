"""Write a network, run the file in its own runtime, and compare; and whether it fits a board."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lemonade_tf.export.folding import fold_batch_normalization
from lemonade_tf.export.formats import INT8, Format
from lemonade_tf.export.micro import has_micro, measure_arena
from lemonade_tf.export.output_comparison import Comparison, Images, compare
from lemonade_tf.export.running import Running, load, of_graph
from lemonade_tf.export.writing import Content, lite_content, write
from lemonade_tf.objectives.boards import Board, Fit
from lemonade_tf.objectives.int8_size import int8_arena

if TYPE_CHECKING:
    from lemonade_tf.export.fine_tuning import FineTuned


@dataclass(frozen=True)
class Exported:
    """An exported network.

    Attributes:
        format: The name of its format.
        quantize: How it is quantized.
        files: Its files, the one to load first; the names of the classes, if any, are the last.
        num_bytes: Their size without that of the names; for source code, that of the array in it.
        comparison: How it compares with the network.
        fit: Whether it fits the board, if one was given.
        fine_tuned: What fine-tuning did, if it was asked for.
    """

    format: str
    quantize: str
    files: tuple[Path, ...]
    num_bytes: int
    comparison: Comparison
    fit: Fit | None = None
    fine_tuned: FineTuned | None = None


def folded(content: Content) -> Content:
    """Return a network with folded batch normalizations."""
    graph = fold_batch_normalization(content.graph)
    return Content(content.name, graph, content.class_names, content.calibration)


def reference_outputs(content: Content, images: Images) -> np.ndarray:
    """Return the outputs of the network itself, (n, classes)."""
    return of_graph(content.graph).predict(images.images)


def checked(
    content: Content,
    images: Images,
    reference: np.ndarray,
    format: Format,
    quantize: str,
    folder: Path,
    stem: str,
) -> tuple[Exported, Running]:
    """Write the files of a network into a folder, run them and compare.

    Args:
        content: The network to write.
        images: Images.
        reference: The outputs of the network for them, (n, classes).
        format: The format.
        quantize: How to quantize.
        folder: An empty folder.
        stem: The name of the files, without suffix.

    Returns:
        The files, and the loaded file.

    Raises:
        ExportError: If it cannot be exported, or does not compute what it should.
    """
    files = write(content, format, quantize, folder, stem)
    running = load(files[0], format)
    num_bytes = sum(map(_num_bytes, files)) if running.lite is None else len(running.lite)
    outputs = running.predict(images.images)
    comparison = compare(outputs, reference, images.labels, part=images.part, quantize=quantize)
    if content.class_names:
        labels = folder / f"{stem}.labels.txt"
        labels.write_text("".join(f"{name}\n" for name in content.class_names), encoding="utf-8")
        files.append(labels)
    return Exported(format.name, quantize, tuple(files), num_bytes, comparison), running


def check_fit(content: Content, board: Board, lite: bytes | None, quantize: str) -> Fit:
    """Return whether a network fits a board.

    Args:
        content: The network.
        board: The board.
        lite: The content of its .tflite file, if it was exported to one.
        quantize: How that is quantized; any other file is quantized to int8 first.

    Raises:
        ExportError: If the network cannot be quantized, or LiteRT Micro cannot run it.
    """
    micro = lite if lite is not None and quantize == INT8 else lite_content(content, INT8)
    is_measured = has_micro()
    arena = measure_arena(micro) if is_measured else int8_arena(content.graph)
    return Fit(board, len(micro), arena, is_measured)


def _num_bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
