"""Settings of TensorFlow for training many small networks; to be made before anything runs."""

from __future__ import annotations

import tensorflow as tf


def set_up(threads: int | None = None) -> None:
    """Set the number of threads, and turn off what costs more than it gains here.

    Rewriting graphs (grappler) is a good part of what a child's first step costs, and makes the
    others hardly faster.

    Args:
        threads: How many threads an operation may use; None for one a core. Results depend on
            it in the last digits.

    Raises:
        RuntimeError: TensorFlow has run already with another number of threads.
    """
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    if threads is None or tf.config.threading.get_intra_op_parallelism_threads() == threads:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:
        raise RuntimeError(
            f"threads is {threads}, but TensorFlow has run already in this process with another"
            " number; set up a worker in a process of its own, before anything else runs in it."
        ) from error
