"""Inference time: measure it, and predict it from the graph of a network.

A forward pass takes milliseconds, but building a model takes a second, and a search proposes
hundreds of children per generation. So a sample of networks is measured once, before a search
(`measuring`, `table`), and a linear model of the work of their layers (`features`, `model`)
predicts the time of all others.

Importing this package loads no backend; measuring loads Keras when it is called.
"""

from lemonade_tf.latency.model import LatencyModel, fit
from lemonade_tf.latency.protocol import DEFAULT, PAPER, PROTOCOLS, Measurement, Protocol, measure
from lemonade_tf.latency.runtime import INT8, KERAS, LITE, RUNTIMES, Runtime
from lemonade_tf.latency.table import LatencyTable, TableError

__all__ = [
    # How a network runs.
    "INT8",
    "KERAS",
    "LITE",
    "RUNTIMES",
    "Runtime",
    # How a time is measured.
    "DEFAULT",
    "Measurement",
    "PAPER",
    "PROTOCOLS",
    "Protocol",
    "measure",
    # Tables and predictions.
    "LatencyModel",
    "LatencyTable",
    "TableError",
    "fit",
]
