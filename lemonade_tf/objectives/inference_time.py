"""Inference time as an objective: measured of some networks, foretold of the others.

The paper counts the time of a forward pass among the cheap objectives (A.3), and measures it for
every proposal. Here proposals are judged by the hundred in a process without Keras, so what is
minimised is the time that `lemonade_tf.latency` foretells from the graph: the same table and seed
give the same search. What the networks of the front really take is measured when a generation is
over, and put on record beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.latency import WAYS, LatencyModel, LatencyTable, fit
from lemonade_tf.latency.table import check_format
from lemonade_tf.objectives.objective import Objective
from lemonade_tf.objectives.prepare_context import PrepareContext
from lemonade_tf.search_spaces import CELLS, NETWORKS

_WEIGHTS = "weights"


def prepared_of(table: LatencyTable) -> dict[str, Any]:
    """Return what the objective computes with: a table, and the model that it gives."""
    return {_WEIGHTS: fit(table).as_json(), **table.as_json()}


def _prepare(way: str, before: PrepareContext) -> dict[str, Any]:
    """Measure a table with the networks that the search may come to."""
    from lemonade_tf.latency.measuring import measure_table

    [propose] = [space.propose for space in (NETWORKS, CELLS) if space.name == before.space]
    table = measure_table(
        way,
        before.graphs,
        propose,
        num_classes=before.num_classes,
        threads=before.threads,
        rng=np.random.default_rng(0),  # not the search's: its table may serve others
    )
    return prepared_of(table)


def _seconds(graph: Graph, prepared: Mapping[str, Any]) -> float:
    """Return the seconds of an image, as foretold."""
    check_format(prepared)
    return LatencyModel.from_json(prepared["way"], prepared[_WEIGHTS]).seconds(graph)


LATENCY, LITE_LATENCY = (
    Objective(way, "log", compute=_seconds, prepare=partial(_prepare, way), unit="s")
    for way in WAYS
)
