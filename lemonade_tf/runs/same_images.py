"""What a run keeps on record of its images, to tell later whether they are still the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.store import StoreError


def describe_images(dataset: Dataset) -> dict[str, Any]:
    """Return what config.json says of the images."""
    return {
        "num_classes": dataset.num_classes,
        "input_shape": list(dataset.input_shape),
        "num_images": {
            "training": len(dataset.x_train),
            "validation": len(dataset.x_validation),
            "test": 0 if dataset.x_test is None else len(dataset.x_test),
        },
        "images_sha256": dataset.digest(),
    }


def check_same_images(run: Path, dataset: Dataset, before: Mapping[str, Any]) -> None:
    """Check that a data set is the one that a search began with.

    Args:
        run: The folder of the search.
        dataset: The images now.
        before: What its config.json says of them. What it does not say is not checked: only a
            folder that was made by other means lacks any of it.

    Raises:
        StoreError: It is not.
    """
    for name, value in describe_images(dataset).items():
        if name in before and before[name] != value:
            raise StoreError(
                f"the data set {dataset.name} is not what the search in {run} began with"
                f" ({name} was {before[name]}, now {value}); restore it."
            )
