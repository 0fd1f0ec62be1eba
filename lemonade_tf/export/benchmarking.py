"""All formats of a network side by side: size, time and error, each in its own runtime."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lemonade_tf.errors import LemonadeError, quoted
from lemonade_tf.export.checking import checked, folded, reference_outputs
from lemonade_tf.export.formats import FLOAT16, FORMATS, INT8, NONE, ExportError
from lemonade_tf.export.network_source import opened
from lemonade_tf.export.output_comparison import Comparison
from lemonade_tf.latency.protocol import DEFAULT, measure
from lemonade_tf.runs import read_run
from lemonade_tf.runs.choosing import LOWEST_ERROR, choose

# Source code contains what other formats contain.
KINDS = tuple(
    (name, quantize)
    for name in FORMATS
    if name not in ("c", "python")
    for quantize in ((NONE, FLOAT16, INT8) if FORMATS[name].default_quantize else (NONE,))
)


@dataclass(frozen=True)
class Row:
    """A format of a network.

    Attributes:
        format: Its name.
        quantize: How it is quantized.
        runtime: What ran it.
        num_bytes: The size of its files; None if it failed, like the following.
        seconds: Seconds per image, one image at a time on one thread.
        comparison: How it compares with the network.
        failure: Why there are no values.
    """

    format: str
    quantize: str
    runtime: str
    num_bytes: int | None = None
    seconds: float | None = None
    comparison: Comparison | None = None
    failure: str | None = None


def benchmark(
    workdir: str | os.PathLike[str],
    name: str | None = None,
    *,
    cache_dir: str | os.PathLike[str] | None = None,
) -> tuple[str, list[Row]]:
    """Export a network to all formats and measure each. Use an otherwise idle machine.

    Args:
        workdir: The run folder.
        name: The network, as for `export`; by default the one with the least validation error.
        cache_dir: As for `export`.

    Returns:
        The name of the network, and a row per format.

    Raises:
        ExportError: If there is no such network.
        LemonadeError: If the run, its images or the network cannot be read.
    """
    run = read_run(os.fspath(workdir))
    if not run.trained:
        raise ExportError(f"{run.store.path} has no front: no network has been trained yet.")
    rows = []
    name = name or choose(run, LOWEST_ERROR).id
    with opened(run, name, cache_dir) as (content, images, _):
        reference, to_write = reference_outputs(content, images), folded(content)
        for kind, quantize in KINDS:
            format = FORMATS[kind]
            try:
                format.check_packages()
                with tempfile.TemporaryDirectory() as folder:
                    exported, running = checked(
                        to_write, images, reference, format, quantize, Path(folder), content.name
                    )
                    seconds = measure(running.single_pass(images.images[0]), DEFAULT).seconds
                row = Row(
                    kind,
                    quantize,
                    format.runtime,
                    exported.num_bytes,
                    seconds,
                    exported.comparison,
                )
            except LemonadeError as error:
                row = Row(kind, quantize, format.runtime, failure=quoted(error))
            rows.append(row)
    return content.name, rows
