"""Out-of-memory handling: one more attempt with half the batch size, and an error message.

The paper does not cover it. Half the batch size means twice as many steps, which is a different
training, so only a child that would otherwise fail is trained that way, and its record contains the
batch size. This handles errors that the backend raises. Where it crashes or is killed instead, as
TensorFlow's convolutions on a CPU do, the executor reports the failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lemonade_tf.training.settings import TrainingSettings


def effective_batch_size(settings: TrainingSettings, num_images: int) -> int:
    """Return the number of images per training step: all images if they do not fill a batch."""
    return min(settings.batch_size, num_images)


def settings_to_try(settings: TrainingSettings, num_images: int) -> Iterator[TrainingSettings]:
    """Yield the settings, then settings that need half the memory.

    The latter have half the batch size, in training and everywhere else. They are left out if a
    training step has a single image already.

    Args:
        settings: The settings of the first attempt.
        num_images: The number of training images.
    """
    yield settings
    batch_size = effective_batch_size(settings, num_images)
    if batch_size > 1:
        yield replace(
            settings,
            batch_size=batch_size // 2,
            statistics_images=max(1, settings.statistics_images // 2),
            fit_images=max(1, settings.fit_images // 2),
            distillation_memory=settings.distillation_memory / 2,
            evaluation_batch_size=max(1, settings.evaluation_batch_size // 2),
        )


def describe_out_of_memory(
    batch_size: int, parameters: int | None, multiply_adds: int | None
) -> str:
    """Describe in one line what did not fit into memory, and what to do.

    Args:
        batch_size: Images per step in the last attempt.
        parameters: Of the network; None if memory was exhausted before it was built.
        multiply_adds: Of the network for one image; None as above.
    """
    size = "before the network was built"
    if parameters is not None and multiply_adds is not None:
        size = f"for a network of {parameters:,} parameters and {multiply_adds:,} multiply-adds"
    return (
        f"out of memory with batches of {batch_size} images, {size}; use fewer --workers, so that"
        " each has more memory, or a smaller --batch_size."
    )
