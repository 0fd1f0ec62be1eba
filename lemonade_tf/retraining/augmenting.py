"""Model augmentation of a network of a run (A.4.3), like `lemonade-tf augment`.

A network of cells is scaled by the number of cells per block and the number of filters, or its cell
is employed in the Shake-Shake architecture (Table 1). `retrain` trains the file from scratch, like
the networks of the run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cells import NUM_BLOCKS, Cell, CellError, extract_cell
from lemonade_tf.architecture.text import MAX_NODES
from lemonade_tf.config import ConfigError
from lemonade_tf.datasets.array_files import ArrayFiles
from lemonade_tf.keras_bridge import load_graph
from lemonade_tf.retraining.augmented import KEY, SHAKE_SHAKE
from lemonade_tf.retraining.chosen import check_id
from lemonade_tf.retraining.first_dataset import cache_dir_of, checked_dataset
from lemonade_tf.retraining.folder import RetrainError
from lemonade_tf.runs import Run, read_run
from lemonade_tf.search.lineage import rebuild_networks
from lemonade_tf.search_spaces import CELLS, augment, shake_shake
from lemonade_tf.search_spaces.shake_shake import BLOCKS_PER_STAGE, num_nodes
from lemonade_tf.store import explained
from lemonade_tf.store.atomic import make_folder
from lemonade_tf.store.file_names import AUGMENTED
from lemonade_tf.store.network_ids import augmented_id


@dataclass(frozen=True)
class Augmented:
    """An augmented network that is not written yet.

    Attributes:
        graph: The network, with weights.
        path: Its file.
        record: What the file tells of its origin.
    """

    graph: Graph
    path: Path
    record: Mapping[str, Any]

    def write(self) -> None:
        """Write the file, which loads Keras.

        Raises:
            StoreError: If it cannot be written.
        """
        from lemonade_tf.keras_bridge import save_model

        with explained(self.path):
            make_folder(self.path.parent)
            save_model(self.graph, self.path, self.record)


def augment_run(
    workdir: str | os.PathLike[str],
    id_: str,
    *,
    cells_per_block: int | None = None,
    filters: int | None = None,
    shake_shake: bool = False,
    output: str | os.PathLike[str] | None = None,
) -> Augmented:
    """Return the network of a run's cell with other numbers of cells and filters.

    Weights are inherited where their shapes match, if the file of the network is still there. A
    Shake-Shake network has new weights.

    Args:
        workdir: The run folder.
        id_: A network that the search trained.
        cells_per_block: n, the cells of stride 1 in each block, or the residual blocks in each
            stage of a Shake-Shake network; None for that of the network, or 4.
        filters: F, the filters in the last block, a multiple of 4; None for that of the network.
        shake_shake: Whether to employ the cell in the Shake-Shake architecture.
        output: The file to write, with the suffix .h5; by default, RUN/augmented/ID-nN-FF.h5, or
            RUN/augmented/ID-shake-nN-FF.h5.

    Raises:
        ConfigError: If there is no such network, n or F does not fit, or the output exists.
        FileError: If the file of the network cannot be read.
        RetrainError: If the run is not one of cells.
        StoreError: If the folder holds no run or a damaged one, or the network cannot be rebuilt.
    """
    run = read_run(os.fspath(workdir))
    if run.config.space != CELLS.name:
        raise RetrainError(
            f"{run.store.path} is a run in the space {run.config.space!r}; only networks of cells"
            f" can be augmented, those of --space {CELLS.name}."
        )
    check_id(run, id_)
    _check_output(output)
    make = _in_shake_shake if shake_shake else _augmented
    graph, size = make(run, id_, _network(run, id_), cells_per_block, filters)
    record = {
        "id": augmented_id(id_, *size, shake_shake=shake_shake),
        KEY: {
            "run_id": run.store.run_id,
            "network": id_,
            **({SHAKE_SHAKE: list(size)} if shake_shake else {}),
        },
    }
    default = run.store.path / AUGMENTED / f"{record['id']}.h5"
    return Augmented(graph, default if output is None else Path(output), record)


def _check_output(output: str | os.PathLike[str] | None) -> None:
    if output is None:
        return
    if Path(output).suffix != ".h5":
        raise ConfigError(f"--output is {os.fspath(output)}; expected the suffix .h5.")
    if Path(output).exists():  # it may be a network of a run
        raise ConfigError(f"--output: {os.fspath(output)} exists; choose another file.")


def _network(run: Run, id_: str) -> Graph:
    """Return a network with the weights in its file, or rebuilt without weights."""
    path = run.store.models.path(id_)
    if path.is_file():
        return load_graph(path)
    cache_dir = cache_dir_of(run)
    with ArrayFiles(cache_dir) as files:
        return rebuild_networks(run, [id_], checked_dataset(run, files, cache_dir))[id_]


def _augmented(
    run: Run, id_: str, graph: Graph, cells_per_block: int | None, filters: int | None
) -> tuple[Graph, tuple[int, int]]:
    """Return the augmented network, with weights, and its n and F."""
    cell, own_cells_per_block, own_filters = _cell(run, id_, graph)
    cells_per_block = own_cells_per_block if cells_per_block is None else cells_per_block
    filters = own_filters if filters is None else filters
    # A file has at most MAX_NODES nodes: per cell, those inside it, its input, and few others.
    largest = (MAX_NODES // (len(cell.nodes) + 2) - 2 * NUM_BLOCKS) // NUM_BLOCKS
    _check_cells_per_block(cells_per_block, largest, cell)
    with _reported(filters):
        scaled = augment(graph, cells_per_block=cells_per_block, filters=filters)
    return scaled, (cells_per_block, filters)


def _in_shake_shake(
    run: Run, id_: str, graph: Graph, cells_per_block: int | None, filters: int | None
) -> tuple[Graph, tuple[int, int]]:
    """Return the Shake-Shake network of a network's cell, with weights, and its n and F."""
    cell, _, own_filters = _cell(run, id_, graph)
    cells_per_block = BLOCKS_PER_STAGE if cells_per_block is None else cells_per_block
    filters = own_filters if filters is None else filters
    largest = MAX_NODES // num_nodes(cell, 1)
    _check_cells_per_block(cells_per_block, largest, cell)
    shapes, rescaling = graph.shapes(), graph["rescaling"].layer
    with _reported(filters):
        network = shake_shake(
            shapes[graph.input],
            shapes["logits"][-1],
            cell=cell,
            cells_per_block=cells_per_block,
            filters=filters,
            rescaling=rescaling,
        )
    return network, (cells_per_block, filters)


def _cell(run: Run, id_: str, graph: Graph) -> tuple[Cell, int, int]:
    """Return the cell, n and F of a network of a run."""
    try:
        return extract_cell(graph)
    except CellError as error:
        raise RetrainError(f"the network {id_} of {run.store.path}: {error}") from error


def _check_cells_per_block(cells_per_block: int, largest: int, cell: Cell) -> None:
    if not 1 <= cells_per_block <= largest:
        raise ConfigError(
            f"--cells_per_block is {cells_per_block}; expected 1 to {largest} for cells of"
            f" {len(cell.nodes)} layers."
        )


@contextmanager
def _reported(filters: int) -> Iterator[None]:
    """Report a number of filters with which no network can be made."""
    try:
        yield
    except CellError as error:
        raise ConfigError(f"--{error}") from error
    except MemoryError as error:
        raise ConfigError(
            f"--filters is {filters}; the weights of such a network do not fit into memory."
        ) from error
