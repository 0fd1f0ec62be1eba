"""The built-in objectives."""

from __future__ import annotations

from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.architecture.memory import peak_memory
from lemonade_tf.objectives.file_bytes import file_bytes
from lemonade_tf.objectives.inference_time import INT8_LATENCY, LATENCY, LITE_LATENCY
from lemonade_tf.objectives.int8_size import int8_arena, int8_bytes
from lemonade_tf.objectives.network_errors import BALANCED_ERROR, ERROR, INT8_ERROR, TOP5_ERROR
from lemonade_tf.objectives.objective import Objective

PARAMETERS = Objective("parameters", "log", count_parameters)
MULTIPLY_ADDS = Objective("multiply_adds", "log", count_multiply_adds)
FILE_BYTES = Objective("file_bytes", "log", file_bytes, unit="B")
PEAK_MEMORY = Objective("peak_memory", "log", peak_memory, unit="B")
INT8_BYTES = Objective("int8_bytes", "log", int8_bytes, unit="B")
INT8_ARENA = Objective("int8_arena", "log", int8_arena, unit="B")
OBJECTIVES = (
    ERROR,
    PARAMETERS,
    MULTIPLY_ADDS,
    FILE_BYTES,
    PEAK_MEMORY,
    INT8_BYTES,
    INT8_ARENA,
    LATENCY,
    LITE_LATENCY,
    INT8_LATENCY,
    TOP5_ERROR,
    BALANCED_ERROR,
    INT8_ERROR,
)
