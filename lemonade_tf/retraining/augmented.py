"""The files of augmented networks (A.4.3), which are trained from scratch like those of the run.

An augmented network has an id of its own: that of the network, n and F, such as "5-3-n4-F128". The
network that has the same cell in the Shake-Shake architecture (Table 1) is "5-3-shake-n4-F128".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cells import CellError, extract_cell
from lemonade_tf.keras_bridge import load_graph, load_record
from lemonade_tf.retraining.folder import RetrainError
from lemonade_tf.runs import Run
from lemonade_tf.store.network_ids import augmented_id, is_network_id

KEY = "augmented"  # in the record of a file
SHAKE_SHAKE = "shake_shake"  # there, n and F of a Shake-Shake network


@dataclass(frozen=True)
class AugmentedNetwork:
    """The content of the file of an augmented network.

    Attributes:
        id: Its id.
        graph: The network, with weights.
    """

    id: str
    graph: Graph


def read_augmented(run: Run, path: str | os.PathLike[str]) -> AugmentedNetwork:
    """Read the file of an augmented network.

    Args:
        run: The run in which its network was found.
        path: The file.

    Raises:
        FileError: If the file cannot be read.
        RetrainError: If the network is not one of this run, augmented.
    """
    given = load_record(path).get(KEY)
    id_ = given.get("network") if isinstance(given, dict) else None
    if not (isinstance(given, dict) and isinstance(id_, str) and is_network_id(id_)):
        raise RetrainError(
            f"{os.fspath(path)} is not an augmented network; expected a file that `lemonade-tf"
            f" augment {run.store.path}` wrote, or the id of a network of the run."
        )
    if given.get("run_id") != run.store.run_id:
        raise RetrainError(
            f"{os.fspath(path)} is a network of another run than {run.store.path}; name the run"
            " from which it was made."
        )
    graph = load_graph(path)
    shapes, images = graph.shapes(), run.config.images
    expected = tuple(images.input_shape), (images.num_classes,)
    found = shapes[graph.input], shapes[graph.output]
    size = _shake_shake_size(given)
    try:
        cells_per_block, filters = extract_cell(graph)[1:] if size is None else size
    except CellError as error:
        raise RetrainError(f"{os.fspath(path)}: {error}") from error
    if found != expected:
        raise RetrainError(
            f"{os.fspath(path)} takes images of shape {found[0]} and has outputs of shape"
            f" {found[1]}; expected {expected[0]} and {expected[1]}, as the run has."
        )
    new_id = augmented_id(id_, cells_per_block, filters, shake_shake=size is not None)
    return AugmentedNetwork(new_id, graph)


def _shake_shake_size(given: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return n and F of a Shake-Shake network; None for other augmented networks."""
    size = given.get(SHAKE_SHAKE)
    if not (isinstance(size, list) and len(size) == 2):
        return None
    return (size[0], size[1]) if all(type(n) is int and 0 < n < 10**6 for n in size) else None
