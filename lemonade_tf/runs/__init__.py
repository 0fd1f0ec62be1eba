"""A run folder as a value, for whatever reads one: the report, the status, retraining."""

from lemonade_tf.runs.run import Run, read_run

__all__ = ["Run", "read_run"]
