"""Train on images that do not fit on the device: parts of an epoch are placed there one by one.

An epoch is split into chunks of steps. A background thread gathers the images of the next chunk
from the host's memory or a memory-mapped file, in the order of the file, and places them on the
device while the device trains on the current chunk. All chunks have the same shape, so they run the
same compiled program; the last one takes fewer steps of it.

Images, order, random numbers and the sum of losses are those of training on resident images, so on
a CPU the result is the same bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any

import numpy as np

from lemonade_tf.backends.base import Trainer
from lemonade_tf.backends.current import current_backend
from lemonade_tf.datasets.array_files import read_ahead

_CHUNK_BYTES = 2**27  # transferring it takes milliseconds, training on it much longer
_GATHERED_BYTES = 2**23  # copied at a time
_CHUNKS_ON_DEVICE = 2  # the current one and the next


@dataclass(frozen=True, eq=False)
class StreamedImages:
    """Images on the host of which a device holds only parts.

    Attributes:
        array: (n, height, width, channels), raw pixels, perhaps a memory map.
        device_bytes: Bytes on the device that they may take.
    """

    array: np.ndarray
    device_bytes: float

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of all images."""
        return self.array.shape

    def steps_per_chunk(self, num_steps: int, batch_size: int) -> int:
        """Return the number of steps for which images are placed at a time: at least one.

        If possible, it divides the number of steps, since XLA compiles shorter chunks separately.
        """
        step_bytes = batch_size * prod(self.shape[1:]) * self.array.itemsize
        limit = min(self.device_bytes / _CHUNKS_ON_DEVICE, _CHUNK_BYTES)
        largest = min(num_steps, max(1, int(limit // step_bytes)))
        for size in range(largest, largest // 2, -1):
            if num_steps % size == 0:
                return size
        return -(-num_steps // -(-num_steps // largest))


def place_images(array: np.ndarray, device_bytes: float | None) -> Any:
    """Place images on the device, or return `StreamedImages` if they take too much of its memory.

    Args:
        array: (n, height, width, channels).
        device_bytes: Bytes that they may take there; None for any number.
    """
    if device_bytes is not None and array.nbytes > device_bytes:
        return StreamedImages(array, device_bytes)
    return current_backend().place(array)


def place_targets(array: np.ndarray, images: Any) -> Any:
    """Place targets where training on the given images expects them."""
    return array if isinstance(images, StreamedImages) else current_backend().place(array)


@dataclass(frozen=True)
class _Chunk:
    """The arguments of some steps of an epoch, see `Trainer.run_steps`; not yet on the device."""

    rows: np.ndarray
    indices: np.ndarray
    learning_rates: np.ndarray
    draws: Mapping[str, np.ndarray]
    num_steps: int


class StreamingTrainer(Trainer):
    """A trainer on `StreamedImages`, with targets on the host.

    Args:
        trainer: Trains on the parts that are on the device.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._copy_facts()

    def compile(
        self,
        images: StreamedImages,
        targets: np.ndarray,
        indices: np.ndarray,
        learning_rates: np.ndarray,
        draws: Mapping[str, np.ndarray],
    ) -> None:
        """Compile the steps of a chunk; see `Trainer.compile`."""
        chunk = next(_chunks(images, indices, learning_rates, draws))
        empty, no_targets = (
            current_backend().place(np.zeros((chunk.indices.size, *array.shape[1:]), array.dtype))
            for array in (images.array, targets)
        )
        self._trainer.compile(empty, no_targets, chunk.indices, chunk.learning_rates, chunk.draws)
        self._copy_facts()

    def run_steps(
        self,
        images: StreamedImages,
        targets: np.ndarray,
        indices: np.ndarray,
        learning_rates: np.ndarray,
        draws: Mapping[str, np.ndarray],
        num_steps: int,
        total: float,
    ) -> float:
        """Take the steps chunk by chunk; see `Trainer.run_steps`."""

        def placed(chunk: _Chunk) -> list[Any]:
            return [
                current_backend().place(gather(array, chunk.rows, chunk.indices.size))
                for array in (images.array, targets)
            ]

        chunks = list(_chunks(images, indices, learning_rates, draws, num_steps))
        with ThreadPoolExecutor(max_workers=1) as thread:
            pending = thread.submit(placed, chunks[0])
            for chunk, following in zip(chunks, [*chunks[1:], None], strict=True):
                placed_images, placed_targets = pending.result()
                if following is not None:
                    pending = thread.submit(placed, following)
                total = self._trainer.run_steps(
                    placed_images,
                    placed_targets,
                    chunk.indices,
                    chunk.learning_rates,
                    chunk.draws,
                    chunk.num_steps,
                    total,
                )
                del placed_images, placed_targets  # before another chunk is placed
                if not isfinite(total):
                    break
        self._copy_facts()
        return total

    def state(self) -> dict[str, np.ndarray]:
        """Copy what steps change."""
        return self._trainer.state()

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned."""
        self._trainer.restore(state)

    def _copy_facts(self) -> None:
        self.num_traces = self._trainer.num_traces
        self.seconds_compiling = self._trainer.seconds_compiling
        self.jit_compile = self._trainer.jit_compile


def _chunks(
    images: StreamedImages,
    indices: np.ndarray,
    learning_rates: np.ndarray,
    draws: Mapping[str, np.ndarray],
    num_steps: int | None = None,
) -> Iterator[_Chunk]:
    """Split an epoch, or its first steps, into chunks of the same shape."""
    batch_size = indices.shape[1]
    size = images.steps_per_chunk(len(indices), batch_size)
    positions = np.arange(size * batch_size, dtype=np.int32).reshape(size, batch_size)
    last = len(indices) if num_steps is None else num_steps
    for start in range(0, last, size):
        stop = min(start + size, last)
        yield _Chunk(
            indices[start:stop].ravel(),
            positions,
            _padded(learning_rates[start:stop], size),
            {name: _padded(values[start:stop], size) for name, values in draws.items()},
            stop - start,
        )


def _padded(values: np.ndarray, size: int) -> np.ndarray:
    """Return values (n, ...) extended to (size, ...); what is added belongs to no step."""
    if len(values) == size:
        return values
    return np.concatenate([values, np.zeros((size - len(values), *values.shape[1:]), values.dtype)])


def gather(array: np.ndarray, rows: np.ndarray, size: int) -> np.ndarray:
    """Gather rows of an array in the order of the array, so that a disk reads it in one direction.

    Args:
        array: (n, ...), perhaps a memory map.
        rows: The rows to gather, in any order.
        size: The number of rows to return; the content of those after the gathered ones is 0.
    """
    gathered = np.zeros((size, *array.shape[1:]), array.dtype)
    order = np.argsort(rows, kind="stable")
    read_ahead(array, rows[order])
    at_a_time = max(1, _GATHERED_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(order), at_a_time):
        some = order[start : start + at_a_time]
        gathered[some] = array[rows[some]]
    return gathered
