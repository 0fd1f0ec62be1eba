"""The configuration of a TensorFlow process that trains many small networks."""

from __future__ import annotations

import tensorflow as tf


def set_up(threads: int | None = None) -> None:
    """Set the number of threads and turn off graph rewriting; see `Backend.set_up`.

    Graph rewriting (Grappler) takes a large part of the time of a child's first step and hardly
    makes the other steps faster.
    """
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    if threads is None or tf.config.threading.get_intra_op_parallelism_threads() == threads:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:
        raise RuntimeError(
            f"threads is {threads}, but TensorFlow has already run in this process with another"
            " number; set up workers in a process in which nothing has run yet."
        ) from error
