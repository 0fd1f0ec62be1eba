"""Inference time as an objective, predicted from the graph.

The paper counts the time of a forward pass among the cheap objectives (A.3), and measures it for
every proposal. Here hundreds of proposals are compared per generation, in a process without Keras.
So a search measures a table of sample networks once, before it starts, and minimizes the time that
a latency model predicts; the same table and seed give the same search. The actual times of the
networks of the front are measured after each generation and recorded beside the predictions.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from lemonade_tf.architecture.graph import Graph
from lemonade_tf.latency.model import LatencyModel, fit
from lemonade_tf.latency.runtime import INT8, KERAS, LITE, RUNTIMES, Runtime
from lemonade_tf.latency.table import LatencyTable, check_format
from lemonade_tf.objectives.objective import Objective
from lemonade_tf.objectives.prepare_context import PrepareContext

_WEIGHTS = "weights"


def prepared_table(table: LatencyTable) -> dict[str, Any]:
    """Return a table and the weights of its latency model as plain values."""
    return {_WEIGHTS: fit(table).as_json(), **table.as_json()}


def _prepare(runtime: Runtime, context: PrepareContext) -> dict[str, Any]:
    """Measure a table in this process."""
    return prepared_table(context.measure_table(runtime))


def _predict_seconds(graph: Graph, prepared: Mapping[str, Any]) -> float:
    """Predict the seconds per image of a network."""
    check_format(prepared)
    runtime = RUNTIMES[prepared["runtime"]]
    return LatencyModel.from_json(runtime, prepared[_WEIGHTS]).seconds(graph)


def _objective(runtime: Runtime) -> Objective:
    return Objective(
        runtime.name,
        "log",
        compute=_predict_seconds,
        prepare=partial(_prepare, runtime),
        unit="s",
    )


LATENCY, LITE_LATENCY, INT8_LATENCY = map(_objective, (KERAS, LITE, INT8))
