"""Run folders as values, for all that read them: reports, status, retraining, comparisons."""

from lemonade_tf.runs.run import Run, read_run

__all__ = ["Run", "read_run"]
