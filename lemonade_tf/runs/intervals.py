"""Confidence intervals of measured errors.

An error is the share of some images that are misclassified, so it is as uncertain as any binomial
share: of two networks whose intervals overlap, the better one may be the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import TYPE_CHECKING

from lemonade_tf.datasets.names import ERROR_PREFIX

if TYPE_CHECKING:
    from lemonade_tf.store import RunConfig

NORMAL_QUANTILE = 1.959964  # of 97.5 %, for intervals of 95 %


def wilson_interval(error: float, num_images: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of an error.

    Unlike the error plus or minus two standard errors, Wilson's interval is right for few images
    and for errors near 0: no mistake in 300 images means an error of up to 1.3 %.

    Args:
        error: The measured error, a fraction.
        num_images: The number of images that it was measured on, at least 1.

    References:
        Wilson: Probable inference, the law of succession, and statistical inference. Journal of the
        American Statistical Association 22, 1927.
    """
    square = NORMAL_QUANTILE**2 / num_images
    center = (error + square / 2) / (1 + square)
    half = sqrt(square * (error * (1 - error) + square / 4)) / (1 + square)
    return max(0.0, center - half), min(1.0, center + half)


def error_intervals(
    config: RunConfig, errors: Mapping[str, float | None]
) -> dict[str, tuple[float, float]]:
    """Return the intervals of those values that are errors, by name.

    Args:
        config: Of the run, with the numbers of images.
        errors: Objectives and test errors of a network by name; other values and None are left out.
    """
    found = {}
    for name, value in errors.items():
        num_images = num_images_of(config, name)
        if num_images and value is not None and 0 <= value <= 1:
            found[name] = wilson_interval(value, num_images)
    return found


def num_images_of(config: RunConfig, name: str) -> int:
    """Return the number of images that an error was measured on; 0 if the name is no error's."""
    part = "test" if name.startswith("test_error") else "validation"
    if name in ("error", "top5_error", "int8_error", "test_error"):
        return config.images.num_images.get(part, 0)
    dataset = name.removeprefix("test_").removeprefix(ERROR_PREFIX)
    images = config.extra_datasets.get(dataset)
    return 0 if images is None else images.num_images.get(part, 0)
