"""Start a search from the Keras models of the user (`initial_models`).

Another process opens the files, because they may come from a stranger, and this one never loads
Keras; see `workers.model_conversion`. It writes them as network files to RUN/initial_models, from
which initial networks inherit their weights like those of a previous run, so the search can be
resumed without the originals. Their own rescaling of pixels stays, since weights depend on it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from lemonade_tf.architecture import GraphError
from lemonade_tf.config import ConfigError
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.errors import quoted
from lemonade_tf.executors.environment import server_environment
from lemonade_tf.keras_bridge import FileError, load_graph
from lemonade_tf.search.warm_start import WarmStartNetwork
from lemonade_tf.search_spaces.adaptation import adapt_network
from lemonade_tf.store import INITIAL_MODELS, describe_file

MAX_SECONDS = 600.0  # per model, by the clock; the other process also has a limit of CPU time
_SAMPLE = 256  # images
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from lemonade_tf.workers.model_conversion import main; main()"
)
_logger = logging.getLogger(__name__)


def initial_model_networks(
    paths: Sequence[str], dataset: Dataset, workdir: Path
) -> tuple[WarmStartNetwork, ...]:
    """Convert Keras models, and adapt them to a data set.

    Args:
        paths: The files.
        dataset: The first data set of the search.
        workdir: Its run folder.

    Raises:
        ConfigError: If a file cannot be read, or its model does not fit.
    """
    folder = workdir / INITIAL_MODELS
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return tuple(
            _network(path, folder / f"{name}.h5", dataset)
            for path, name in zip(paths, _names(paths), strict=True)
        )
    except ConfigError:
        remove_initial_models(workdir)
        raise


def remove_initial_models(workdir: Path) -> None:
    """Remove the converted models of a search that did not start."""
    shutil.rmtree(workdir / INITIAL_MODELS)
    with suppress(OSError):
        workdir.rmdir()  # unless it holds something else


def _network(path: str, target: Path, dataset: Dataset) -> WarmStartNetwork:
    """Convert one model, and adapt it."""
    source = Path(path).expanduser()
    try:
        if not source.is_file():
            raise FileError("it is not a file; expected a Keras model, .keras or .h5")
        for note in convert_model(source, target, dataset):
            _logger.warning("--initial_models: %s: %s.", path, note)
        graph = adapt_network(load_graph(target), dataset.input_shape, dataset.num_classes)
    except (FileError, GraphError) as error:
        reason = quoted(error).rstrip(".")
        raise ConfigError(f"--initial_models: {path} cannot be used: {reason}.") from error
    return WarmStartNetwork(target.stem, str(target.absolute()), describe_file(target), graph)


def _names(paths: Sequence[str]) -> Iterator[str]:
    """Yield a file name per path, without suffix: its own, or with a number if it is taken."""
    taken: set[str] = set()
    for path in paths:
        stem, number = Path(path).stem, 2
        name = stem
        while name in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name)
        yield name


def convert_model(source: Path, target: Path, dataset: Dataset) -> list[str]:
    """Convert a file in another process; return what was changed.

    Raises:
        FileError: If it cannot be converted.
    """
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder) / "sample.npz"
        rows = np.linspace(0, len(dataset.x_validation) - 1, _SAMPLE).astype(int)
        rows = np.unique(rows)
        np.savez(sample, x=dataset.x_validation[rows], y=dataset.y_validation[rows])
        request = {
            "source": str(source.absolute()),
            "target": str(target.absolute()),
            "input_shape": dataset.input_shape,
            "num_classes": dataset.num_classes,
            "sample": str(sample),
        }
        answer = _answer(request)
    if "error" in answer:
        raise FileError(quoted(answer["error"]))
    return [quoted(note) for note in answer["notes"]]


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    path = [os.path.abspath(entry) for entry in sys.path]
    environment = server_environment(os.environ, threads=1, share_gpus=False)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, json.dumps(path)],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            check=False,
            timeout=MAX_SECONDS,
            env={**environment, "CUDA_VISIBLE_DEVICES": ""},
        )
    except subprocess.TimeoutExpired:
        raise FileError(f"reading it takes longer than {MAX_SECONDS:.0f} seconds") from None
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    if done.returncode < 0:
        raise FileError(
            "the process that read it ended with"
            f" {signal.Signals(-done.returncode).name}: it takes too much memory or time, or is"
            " damaged"
        )
    raise FileError(quoted((done.stderr.splitlines() or ["the process that read it failed"])[-1]))
