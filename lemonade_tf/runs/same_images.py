"""The check that a data set has not changed since a run started."""

from __future__ import annotations

from pathlib import Path

from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.store import ImagesRecord, StoreError


def describe_images(dataset: Dataset) -> ImagesRecord:
    """Return the description of a data set that config.json records."""
    return ImagesRecord(
        num_classes=dataset.num_classes,
        input_shape=list(dataset.input_shape),
        num_images={
            "training": len(dataset.x_train),
            "validation": len(dataset.x_validation),
            "test": 0 if dataset.x_test is None else len(dataset.x_test),
        },
        sha256=dataset.digest(),
        class_names=None if dataset.class_names is None else list(dataset.class_names),
    )


def check_same_images(run: Path, dataset: Dataset, recorded: ImagesRecord) -> None:
    """Check that a data set is the one that a search started with.

    Args:
        run: The folder of the search.
        dataset: The images now.
        recorded: Their description in config.json of the run.

    Raises:
        StoreError: If it is not.
    """
    found = describe_images(dataset).as_json()
    for name, value in recorded.as_json().items():
        if found[name] != value and (name, value) != ("class_names", None):
            raise StoreError(
                f"the data set {dataset.name} has changed since the search in {run} started: {name}"
                f" was {value}, now {found[name]}; restore the data set."
            )
