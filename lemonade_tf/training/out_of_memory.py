"""Networks that the memory does not hold: half the images at a time, once, and a line that says so.

The paper does not speak of it. Half the batch is another training, of twice as many steps, so it
is only for children that would have none; their record names the batch they had. What happens
here is for errors that the backend raises. Where it is killed or crashes instead, as TensorFlow's
convolutions on a CPU do, that is for the executor to tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lemonade_tf.training.settings import TrainingSettings


def batch_of(settings: TrainingSettings, num_images: int) -> int:
    """Return how many images a step of training has: all, where there are fewer than a batch."""
    return min(settings.batch_size, num_images)


def attempts(settings: TrainingSettings, num_images: int) -> Iterator[TrainingSettings]:
    """Yield the settings, then those with half as many images at a time, in training and elsewhere.

    The second are left out where a step of training has one image already.

    Args:
        settings: How to train, if the memory suffices.
        num_images: The number of training images.
    """
    yield settings
    batch = batch_of(settings, num_images)
    if batch > 1:
        yield replace(
            settings,
            batch_size=batch // 2,
            statistics_images=max(1, settings.statistics_images // 2),
            fit_images=max(1, settings.fit_images // 2),
            distillation_memory=settings.distillation_memory / 2,
            evaluation_batch_size=max(1, settings.evaluation_batch_size // 2),
        )


def out_of_memory(batch_size: int, parameters: int | None, multiply_adds: int | None) -> str:
    """Say in one line what did not fit into memory, and what to do.

    Args:
        batch_size: Images of a step in the last attempt.
        parameters: Of the network; None if the memory did not suffice to make it.
        multiply_adds: The same, for one image.
    """
    size = "before the network was made"
    if parameters is not None and multiply_adds is not None:
        size = f"for a network of {parameters:,} parameters and {multiply_adds:,} multiply-adds"
    return (
        f"out of memory, with batches of {batch_size} images, {size}; fewer workers at a time"
        " leave each more of it, and smaller batches need less."
    )
