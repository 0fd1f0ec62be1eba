"""The process that reads a data set of TensorFlow Datasets; see `tfds`.

The request on stdin is JSON; the last line on stdout is "ok", or what went wrong.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lemonade_tf.datasets.picture_parts import write_parts
from lemonade_tf.datasets.picture_pixels import Header, default_size, resized
from lemonade_tf.datasets.picture_tree import PARTS
from lemonade_tf.errors import LemonadeError, quoted

_NUM_HEADERS = 1000  # images from which the default size is computed


def main() -> None:
    """Convert the data set of the request on stdin."""
    request = json.load(sys.stdin)
    try:
        convert(**request)
    except Exception as error:  # the package raises anything
        print(f"\n{quoted(error)}")
    else:
        print("\nok")


def convert(
    name: str,
    folder: str,
    data_dir: str | None,
    image_size: list[int] | None,
    sources: Mapping[str, Any],
) -> None:
    """Write the images of a data set, see `pictures`.

    Args:
        name: The name of the data set.
        folder: The folder for the files.
        data_dir: The folder of TensorFlow Datasets.
        image_size: Height and width of the images.
        sources: What the manifest records.

    Raises:
        LemonadeError: If it is no data set of images with one label each.
    """
    import tensorflow_datasets as tfds  # pyright: ignore[reportMissingImports] (optional)

    builder: Any = tfds.builder(name, data_dir=data_dir)
    builder.download_and_prepare()
    image, label, class_names = _features(builder.info.features)
    splits = {
        part: next(each for each in builder.info.splits if each in spellings)
        for part, spellings in PARTS.items()
        if any(each in spellings for each in builder.info.splits)
    }
    if "train" not in splits:
        raise LemonadeError(f"it has the splits {', '.join(builder.info.splits)}; expected train")

    def examples(part: str) -> Iterator[tuple[np.ndarray, int]]:
        for example in tfds.as_numpy(builder.as_dataset(split=splits[part], shuffle_files=False)):
            yield example[image], int(example[label])

    sample = (pixels.shape for pixels, _ in islice(examples("train"), _NUM_HEADERS))
    headers = [Header(*shape[:2], is_grey=shape[2] == 1) for shape in sample]
    height, width = image_size or default_size(headers)
    shape = (height, width, 1 if all(each.is_grey for each in headers) else 3)

    def images_of(part: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for pixels, number in examples(part):
            if number >= 0:  # test images without labels have -1
                picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
                yield resized(picture, shape)[None], np.array([number], np.int32)

    write_parts(
        f"tfds:{name}",
        Path(folder),
        shape,
        {part: images_of(part) for part in splits},
        class_names=class_names,
        sources=sources,
    )


def _features(features: Mapping[str, Any]) -> tuple[str, str, list[str]]:
    """Return the names of the image and of the label, and those of the classes."""
    images = [name for name, each in features.items() if type(each).__name__ == "Image"]
    labels = [name for name, each in features.items() if type(each).__name__ == "ClassLabel"]
    if len(images) != 1 or not labels:
        raise LemonadeError(f"it has the features {', '.join(features)}")
    label = "label" if "label" in labels else labels[0]
    return images[0], label, list(features[label].names)


if __name__ == "__main__":
    main()
