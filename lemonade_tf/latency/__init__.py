"""Inference time: how it is measured, and how it is foretold from a network's graph.

A pass of a network takes milliseconds, but to build it takes a second, and children are proposed by
the hundred. So some networks are measured once, before a search (`measuring`, `table`), and the
time of others follows from what their layers do (`features`, `model`).

Importing this package loads no backend; what measures loads Keras when it is called.
"""

from lemonade_tf.latency.model import LatencyModel, fit
from lemonade_tf.latency.protocol import DEFAULT, PAPER, PROTOCOLS, Measurement, Protocol, measure
from lemonade_tf.latency.table import WAYS, LatencyTable, TableError

__all__ = [
    "DEFAULT",
    "LatencyModel",
    "LatencyTable",
    "Measurement",
    "PAPER",
    "PROTOCOLS",
    "Protocol",
    "TableError",
    "WAYS",
    "fit",
    "measure",
]
