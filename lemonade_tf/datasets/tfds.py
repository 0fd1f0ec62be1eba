"""Load an image classification data set of TensorFlow Datasets, if that package is installed.

    tfds:NAME, such as tfds:oxford_flowers102 or tfds:cats_vs_dogs:4.0.0

The package loads TensorFlow, which the process of a search must not do. So another process reads
the data set, downloading it if necessary, and writes the files that `pictures` describes;
`tfds_process` is its code. Splits are "train", and, if there are any, "validation" and "test".
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from os import PathLike, fspath
from pathlib import Path

from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.dataset_error import DatasetError, one_line
from lemonade_tf.datasets.names import TFDS_PREFIX
from lemonade_tf.datasets.pictures import Size, cache_of, load_converted


def load_tfds(
    name: str,
    data_dir: str | PathLike[str] | None,
    cache: Path,
    image_size: Size | None = None,
) -> Dataset:
    """Load a data set of TensorFlow Datasets; convert it first if that has not been done.

    Args:
        name: "tfds:" and its name there.
        data_dir: The folder of TensorFlow Datasets; by default its own.
        cache: The folder for the folder of the converted files.
        image_size: Height and width of the images; by default as for pictures.

    Raises:
        DatasetError: If the package is missing, or the data set cannot be read.
    """
    sources = {"tfds": name, "image_size": image_size and list(image_size)}

    def write(folder: Path) -> None:
        if find_spec("tensorflow_datasets") is None:
            raise DatasetError(
                f"{name} needs the package TensorFlow Datasets, which is not installed. Run `pip"
                " install tensorflow-datasets`."
            )
        request = {
            "name": name.removeprefix(TFDS_PREFIX),
            "folder": str(folder),
            "data_dir": None if data_dir is None else fspath(data_dir),
            "image_size": image_size,
            "sources": sources,
        }
        answer = subprocess.run(
            [sys.executable, "-m", "lemonade_tf.datasets.tfds_process"],
            input=json.dumps(request),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        *_, last = answer.stdout.splitlines() or [""]
        if answer.returncode or last != "ok":
            raise DatasetError(
                f"{name} cannot be read ({one_line(last or 'the process ended')}); expected a data"
                " set of images with one label each. See https://www.tensorflow.org/datasets."
            )

    return load_converted(name, cache_of("tfds", f"{name} {image_size}", cache), sources, write)
