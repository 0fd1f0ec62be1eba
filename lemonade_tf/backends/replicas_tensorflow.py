"""Replicas of a model on several devices, by a `tf.distribute.Strategy`.

A replica computes the gradients of its part of each batch; their sums over all replicas update
every copy of the weights alike. Models are built in the scope of the strategy, which gives each
weight a copy per device.

A process has one strategy for all networks: a new strategy per network crashes TensorFlow at the
second shape.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf


@dataclass(frozen=True, eq=False)
class Replicas:
    """The replicas of this process, one per device, and their strategy.

    Attributes:
        strategy: The strategy; that of several machines has replicas in other processes, too.
        first: The number of the first replica of this process among all replicas.
    """

    strategy: tf.distribute.Strategy
    first: int = 0

    @property
    def total(self) -> int:
        """The number of replicas on all machines."""
        return self.strategy.num_replicas_in_sync

    @property
    def devices(self) -> Sequence[str]:
        """The devices of this process."""
        return self.strategy.extended.worker_devices

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which models are built."""
        return self.strategy.scope()

    def copies(self, variable: Any) -> tuple[tf.Variable, ...]:
        """Return the copy of each device of a variable that was created in the scope."""
        return self.strategy.experimental_local_results(variable)

    def on_each_device(self, make: Callable[[], Any]) -> list[Any]:
        """Call a function once per device, for a tensor or a variable on it."""
        values = []
        for device in self.devices:
            with tf.device(device):
                values.append(make())
        return values

    def run(self, function: Callable[[int], tf.Tensor]) -> tf.Tensor:
        """Trace a function once per device, with the number of the device in this process.

        Returns:
            The result on the first device.
        """

        @tf.autograph.experimental.do_not_convert
        def call() -> tf.Tensor:
            return function(replica_number() - self.first)

        return self.strategy.experimental_local_results(self.strategy.run(call))[0]

    def part(self, number: int, batch_size: int) -> slice:
        """Return the part of a batch for a device of this process.

        Parts differ by one image if the number of replicas does not divide the size of the batch.

        Raises:
            ValueError: If there are more replicas than images.
        """
        if batch_size < self.total:
            raise ValueError(
                f"a batch of {batch_size} images cannot be split among {self.total} devices; use"
                " larger batches, or --strategy one_per_gpu."
            )
        rank = self.first + number
        return slice(rank * batch_size // self.total, (rank + 1) * batch_size // self.total)


@dataclass(frozen=True, eq=False)
class ReplicatedArray:
    """An array with a copy on each device.

    Attributes:
        copies: The copies.
    """

    copies: Sequence[tf.Variable]

    @property
    def shape(self) -> tf.TensorShape:
        """The shape of the array."""
        return self.copies[0].shape


def replicate(array: np.ndarray, replicas: Replicas) -> ReplicatedArray:
    """Copy an array to each device."""
    return ReplicatedArray(
        replicas.on_each_device(lambda: tf.Variable(array, trainable=False))  # pyright: ignore[reportArgumentType] (stub)
    )


def broadcast(content: bytes, replicas: Replicas) -> bytes:
    """Return the content that the process of the first replica passes; called in all processes."""
    [size] = _sum_of_first(np.array([len(content)]), replicas)
    if not size:  # TensorFlow crashes on an empty sum
        return b""
    padded = np.zeros(-size % 8 + size, np.uint8)
    if replicas.first == 0:
        padded[:size] = np.frombuffer(content, np.uint8)
    return _sum_of_first(padded.view(np.int64), replicas).tobytes()[:size]


def _sum_of_first(array: np.ndarray, replicas: Replicas) -> np.ndarray:
    """Return the array of the first replica, by adding zeros of all others."""
    counter = itertools.count(replicas.first)
    copies = replicas.on_each_device(
        lambda: tf.constant(array if next(counter) == 0 else np.zeros_like(array))
    )

    def total() -> tf.Tensor:
        return replicas.run(lambda i: sum_over_replicas([copies[i]])[0])

    traced: Any = tf.function(total, autograph=False).get_concrete_function()
    return traced().numpy()


# --- In a replica --------------------------------------------------------------------------------


def replica_number() -> int:
    """Return the number of the replica that is being traced, among all replicas."""
    context: Any = tf.distribute.get_replica_context()
    return int(tf.get_static_value(context.replica_id_in_sync_group))  # pyright: ignore[reportArgumentType] (it is static)


def num_replicas() -> int:
    """Return the number of replicas of the model that is being traced; 1 without a strategy."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def sum_over_replicas(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Return the sum of each tensor over all replicas.

    `tf.distribute.ReplicaContext.all_reduce` does the same, but for its gradient it keeps every
    network registered until the process ends.
    """
    context: Any = tf.distribute.get_replica_context()
    return context.merge_call(_sums, args=tuple(tensors))


@tf.autograph.experimental.do_not_convert
def _sums(strategy: Any, *values: Any) -> Any:
    pairs = [(value, value) for value in values]
    return strategy.extended.batch_reduce_to(tf.distribute.ReduceOp.SUM, pairs)
