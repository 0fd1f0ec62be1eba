"""Export a network: write it, run the file in its own runtime, compare, and only then keep it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lemonade_tf.export import fine_tuning
from lemonade_tf.export.checking import Exported, check_fit, checked, folded, reference_outputs
from lemonade_tf.export.formats import INT8, NONE, ExportError, Format, find_format
from lemonade_tf.export.network_source import find_network, opened
from lemonade_tf.export.publishing import check_output, publish_all, unfinished_folder
from lemonade_tf.objectives.boards import find_board
from lemonade_tf.runs import Run, read_run

FOLDER = "exports"  # in the run folder


def export(
    workdir: str | os.PathLike[str],
    name: str,
    format: str,
    *,
    quantize: str | None = None,
    output: str | os.PathLike[str] | None = None,
    fold: bool = True,
    fine_tune: int = 0,
    board: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Exported:
    """Export a network of a run.

    Args:
        workdir: The run folder.
        name: The id of a network with a file, "retrained/ID", or the path of a .h5 or .keras file
            of a model for the images of the run.
        format: "keras", "h5", "saved_model", "tflite", "onnx", "openvino", "c" or "python".
        quantize: For tflite and c: "none", "float16", or "int8", which some training images
            calibrate. Defaults to none for tflite and to int8 for c.
        output: The file to write, with the suffix of the format; by default in RUN/exports.
        fold: Whether to fold batch normalizations into the layers before them.
        fine_tune: Epochs of training for int8, see `export.fine_tuning`; 0 for none.
        board: A board in `objectives.boards`, or a file that describes one: whether the int8
            network fits it is in the result.
        cache_dir: Folder for converted images, as for a search; by default that of the search.
        on_stage: Called with a sentence before work that may take a while.

    Raises:
        ExportError: If it cannot be exported, or the file does not compute what it should; then
            there is no file.
        FileError: If the file of the network cannot be read.
        ObjectiveError: If there is no such board.
        RetrainError: If the data set of the run cannot be read.
        StoreError: If the folder holds no run, the data set has changed, or a file cannot be
            written.
    """
    chosen = find_format(format)
    quantize = chosen.quantize(quantize)
    _check_fine_tuning(fine_tune, quantize, fold)
    chosen.check_packages()
    target = None if board is None else find_board(board)
    run = read_run(os.fspath(workdir))
    stem = find_network(run, name).stem
    path = _default_output(run, stem, chosen, quantize) if output is None else Path(output)
    check_output(path, chosen)
    # The folder comes first, so that one that cannot be written to is found at once.
    with unfinished_folder(path) as folder:
        on_stage(f"Reading the images of {run.dataset}.")
        with opened(run, name, cache_dir) as (content, images, dataset):
            reference, tuned = reference_outputs(content, images), None
            content = folded(content) if fold else content
            if fine_tune:
                on_stage(f"Fine-tuning for int8, epochs: {fine_tune}.")
                content, tuned = fine_tuning.fine_tune(content, dataset, images, fine_tune)
            on_stage(f"Writing {path}, and comparing it on {len(images.labels)} images.")
            stem = path.name.removesuffix(chosen.suffix)
            exported, running = checked(content, images, reference, chosen, quantize, folder, stem)
            fit = None if target is None else check_fit(content, target, running.lite, quantize)
            files = tuple(publish_all(exported.files, path.parent))
            return replace(exported, files=files, fit=fit, fine_tuned=tuned)


def _check_fine_tuning(epochs: int, quantize: str, fold: bool) -> None:
    if epochs < 0:
        raise ExportError(f"--fine_tune is {epochs}; expected a number of epochs, such as 10.")
    if epochs and quantize != INT8:
        raise ExportError("--fine_tune is for int8; add --quantize int8, or omit it.")
    if epochs and not fold:
        raise ExportError("--fine_tune folds batch normalizations; omit --no-fold.")


def _default_output(run: Run, stem: str, format: Format, quantize: str) -> Path:
    usual = quantize == NONE or (format.default_quantize == quantize)
    kind = "" if usual else f".{quantize}"
    return run.store.path / FOLDER / f"{stem}{kind}{format.suffix}"
