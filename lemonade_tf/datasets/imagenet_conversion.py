"""Convert the files of the downsampled ImageNet into files that processes map into memory.

`converted_files` describes them. In the manifest, the facts about an original are its name, size
and time.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lemonade_tf.datasets.converted_files import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    check_space,
    move_to_end,
    replacing_folder,
    write_images,
    write_manifest,
)
from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.datasets.imagenet_batches import Batch, read_batch
from lemonade_tf.datasets.imagenet_sources import TEST, TRAIN, Source, advice
from lemonade_tf.datasets.splits import hold_out_validation

_MAX_REMAINDER = 9  # images more in the last of ten files


def source_facts(sources: Mapping[str, Source]) -> dict[str, Any]:
    """Return the facts about originals that tell whether they have changed, by name."""
    return {name: _facts(source) for name, source in sources.items()}


def _facts(source: Source) -> dict[str, Any]:
    return {
        "file": source.path.name,
        "member": source.member,
        "bytes": source.num_bytes,
        "modified": source.modified,
    }


def convert(name: str, sources: Mapping[str, Source], side: int, target: Path, option: str) -> None:
    """Convert the originals; print a line per file.

    Args:
        name: The name of the data set.
        sources: All originals by name.
        side: The side of the images, in pixels.
        target: The folder to create; an existing one is replaced.
        option: The option with which the user can choose another place.

    Raises:
        DatasetError: If an original is malformed, or the disk is full.
    """
    start = time.monotonic()
    with replacing_folder(target, option) as unfinished:
        # They take as much space as the originals, unpacked.
        needed = sum(source.num_bytes for source in sources.values() if not source.is_npz)
        check_space(unfinished, needed, option)
        print(f"Converting {name} once, into {target}", flush=True)
        _write(name, sources, side, unfinished)
    print(
        f"Converted {name} in {time.monotonic() - start:.0f} s; the originals may be deleted",
        flush=True,
    )


def _write(name: str, sources: Mapping[str, Source], side: int, folder: Path) -> None:
    """Write the converted files."""
    shape, digests = (side, side, 3), {}
    training = _check_batches({each: sources[each] for each in TRAIN}, side)
    labels = write_images(folder / TRAIN_IMAGES, shape, _parts(training, side, digests))
    test = _check_test(sources[TEST], side)
    test_labels = write_images(folder / TEST_IMAGES, shape, _parts(test, side, digests))
    num_classes = int(labels.max()) + 1
    _check_classes(name, labels, test_labels, num_classes)
    _, held_out = hold_out_validation(labels, f"{name}: the training set")
    np.save(folder / TRAIN_LABELS, move_to_end(folder / TRAIN_IMAGES, labels, held_out))
    np.save(folder / TEST_LABELS, test_labels)
    print("  computing checksums and channel statistics", flush=True)
    write_manifest(
        name,
        folder,
        source_facts(sources),
        num_classes=num_classes,
        num_validation=len(held_out),
    )


def _parts(
    batches: Iterator[tuple[Source, Batch]], side: int, digests: dict[str, str]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield images and labels of some originals; check that none has the images of another.

    Args:
        batches: The originals.
        side: The side of the images, in pixels.
        digests: The names of originals by the digest of their images, to which these are added.
    """
    for source, batch in batches:
        digest, start = hashlib.sha256(), 0
        for images in batch.images:
            digest.update(images.data)
            yield images, batch.labels[start : start + len(images)]
            start += len(images)
        copied = digests.setdefault(digest.hexdigest(), source.name)
        if copied != source.name:
            raise _swapped(source, side, f"has the same images as {copied}")
        print(f"  {source}: {len(batch.labels):,} images", flush=True)


def _check_batches(sources: Mapping[str, Source], side: int) -> Iterator[tuple[Source, Batch]]:
    """Read the files with training images, and check that they belong together."""
    counts: list[int] = []
    has_mean: bool | None = None
    for source in sources.values():
        batch = read_batch(source, side)
        counts.append(len(batch.labels))
        most = counts[0] + (_MAX_REMAINDER if source.name == TRAIN[-1] else 0)
        if not counts[0] <= counts[-1] <= most:
            raise _swapped(
                source, side, f"has {counts[-1]:,} images and {TRAIN[0]} has {counts[0]:,}"
            )
        has_mean = batch.has_mean if has_mean is None else has_mean
        if batch.has_mean != has_mean:
            raise _swapped(source, side, f"differs from {TRAIN[0]}: one of them has no mean")
        yield source, batch


def _check_test(source: Source, side: int) -> Iterator[tuple[Source, Batch]]:
    batch = read_batch(source, side)
    if batch.has_mean:
        raise _swapped(source, side, "has the mean of the training images")
    yield source, batch


def _swapped(source: Source, side: int, problem: str) -> DatasetError:
    return DatasetError(
        f"{source} {problem}; expected the official {source.name}. Is it another file under this"
        f" name? Delete it and {advice(side, source.name)}."
    )


def _check_classes(
    name: str, labels: np.ndarray, test_labels: np.ndarray, num_classes: int
) -> None:
    """Check that training has images of all classes, and the test no others."""
    absent = np.setdiff1d(np.arange(num_classes), labels)
    if len(absent) or num_classes < 2:
        numbers = ", ".join(str(each + 1) for each in absent[:5]) or "2"
        raise DatasetError(
            f"{name} has training images with labels up to {num_classes}, but none with label"
            f" {numbers}; expected all from 1 on, and at least two. Number the classes from 1."
        )
    if test_labels.max() >= num_classes:
        raise DatasetError(
            f"{name} has test images with label {test_labels.max() + 1}, but training images only"
            f" up to {num_classes}; expected the same classes. Replace {TEST}."
        )
