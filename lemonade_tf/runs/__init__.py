"""Run folders as values, for all readers: reports, status, retraining, comparisons."""

from lemonade_tf.runs.run import Run, read_run

__all__ = ["Run", "read_run"]
