"""Compare the outputs of an exported file with those of the network, on real images.

A file in floats has to give the same probabilities up to rounding. In float16 and int8 the outputs
differ; what counts is the error. A loss of more than half a point is reported, a large one refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lemonade_tf.export.formats import FLOAT16, NONE, ExportError

# Of probabilities. Runtimes sum in another order; trained networks differ by some 1e-6.
TOLERANCES = {NONE: 1e-3, FLOAT16: 0.1}
REPORTED_LOSS, LARGEST_LOSS = 0.005, 0.10  # of the images


@dataclass(frozen=True)
class Images:
    """Labeled images to compare on.

    Attributes:
        images: Raw pixels, float32 (n, height, width, channels).
        labels: Class indices, (n,).
        part: "test", or "validation" if the run has no test images.
    """

    images: np.ndarray
    labels: np.ndarray
    part: str


def some_images(images: Any, labels: Any, part: str, most: int) -> Images:
    """Return at most so many of the images of a data set, evenly distributed."""
    rows = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), most)).astype(int))
    return Images(np.asarray(images[rows], np.float32), np.asarray(labels)[rows], part)


@dataclass(frozen=True)
class Comparison:
    """An exported file against the network.

    Attributes:
        largest_difference: The largest absolute difference of two probabilities.
        error: The error of the file, a fraction.
        reference_error: The error of the network.
        num_images: The number of images.
        part: "test" or "validation".
    """

    largest_difference: float
    error: float
    reference_error: float
    num_images: int
    part: str

    @property
    def loss(self) -> float:
        """By how much the error has grown, a fraction."""
        return self.error - self.reference_error


def compare(
    outputs: np.ndarray, reference: np.ndarray, labels: np.ndarray, *, part: str, quantize: str
) -> Comparison:
    """Compare the outputs of a file with those of the network.

    Args:
        outputs: The outputs of the file, (n, classes).
        reference: Those of the network, (n, classes).
        labels: The class indices, (n,).
        part: Which images, "test" or "validation".
        quantize: How the file is quantized.

    Raises:
        ExportError: If they differ too much.
    """
    if outputs.shape != reference.shape or not np.isfinite(outputs).all():
        raise ExportError(
            f"the exported file returned {outputs.shape} values"
            f" ({np.isfinite(outputs).mean():.0%} finite); expected {reference.shape}. It was"
            " removed."
        )
    found = Comparison(
        largest_difference=float(np.abs(outputs - reference).max()),
        error=float((outputs.argmax(axis=1) != labels).mean()),
        reference_error=float((reference.argmax(axis=1) != labels).mean()),
        num_images=len(labels),
        part=part,
    )
    tolerance = TOLERANCES.get(quantize)
    if tolerance is not None and found.largest_difference > tolerance:
        raise ExportError(
            f"the outputs of the exported file differ by up to {found.largest_difference:.2g} from"
            f" those of the network on {len(labels)} images; expected at most {tolerance:g}. It"
            " was removed."
        )
    if found.loss > LARGEST_LOSS:
        raise ExportError(
            f"the error of the exported file on {len(labels)} {part} images is {found.error:.2%},"
            f" that of the network {found.reference_error:.2%}: {quantize} loses too much for this"
            " network. It was removed; use --fine_tune 10, --quantize float16, or another network."
        )
    return found
