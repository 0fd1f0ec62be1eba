"""Read CIFAR-10 and CIFAR-100 as they are published: the folder, or the archive it comes in.

    DATA_DIR/cifar-10-batches-py/    data_batch_1 to data_batch_5, test_batch
    DATA_DIR/cifar-100-python/       train, test

Each file is a pickled dictionary. Its `data` are uint8 (images, 3072): the red plane of a 32 x 32
image row by row, then the green, then the blue. Its `labels`, in CIFAR-100 `fine_labels`, are the
classes. Other images in this layout are read as well, however many there are.

Without the folder, `DATA_DIR/cifar-10-python.tar.gz` (or `cifar-100-...`) is read, without
unpacking it; without that, it is fetched first. Nothing that a file names is run (see `pickles`).

References:
    Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lemonade_tf.datasets.download import download
from lemonade_tf.datasets.npz import DatasetError, Examples, one_line
from lemonade_tf.datasets.pickles import read_pickle

DATA_DIR = Path("data")  # in the current directory
_SIDE = 32  # pixels
_ROW = 3 * _SIDE**2
_CHUNK = 4096  # images that are turned from planes into pixels at a time
_MOST_LISTED = 8


@dataclass(frozen=True)
class Layout:
    """How a data set of CIFAR's kind is published.

    Args:
        name: What it is called here.
        folder: What its files are in.
        train: The files with training images.
        test: The file with test images.
        label_key: The key of the classes in a file.
        num_classes: How many classes there are.
        url: Where its archive is published.
        sha256: The archive's checksum, the one that Keras checks too.
    """

    name: str
    folder: str
    train: tuple[str, ...]
    test: str
    label_key: str
    num_classes: int
    url: str
    sha256: str

    @property
    def archive(self) -> str:
        """The name of the archive."""
        return self.url.rsplit("/", 1)[1]


CIFAR10 = Layout(
    name="cifar10",
    folder="cifar-10-batches-py",
    train=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test="test_batch",
    label_key="labels",
    num_classes=10,
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
)
CIFAR100 = Layout(
    name="cifar100",
    folder="cifar-100-python",
    train=("train",),
    test="test",
    label_key="fine_labels",
    num_classes=100,
    url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
)


def read_cifar(layout: Layout, data_dir: Path | None = None) -> tuple[Examples, Examples]:
    """Read the training and the test images, fetching them if they are not there.

    Args:
        layout: CIFAR10 or CIFAR100.
        data_dir: The folder that holds the data set's folder or its archive, or is to hold the
            archive; by default `data` in the current directory.

    Returns:
        Training and test examples: images, uint8 (n, 32, 32, 3), and labels, int32 (n,).

    Raises:
        DatasetError: If a file is missing and cannot be fetched, or is not what it should be.
    """
    data_dir = DATA_DIR if data_dir is None else data_dir.expanduser()
    folder, archive = data_dir / layout.folder, data_dir / layout.archive
    if data_dir.name == layout.folder and (data_dir / layout.test).is_file():
        raise DatasetError(
            f"{data_dir} is the folder of the data set itself; give the one that it is in, "
            f"--data_dir {data_dir.parent}."
        )
    if folder.is_dir():
        examples = _from_folder(layout, folder)
    else:
        if not archive.is_file():
            download(layout.url, archive, sha256=layout.sha256)
        examples = _from_archive(layout, archive)
    test = examples.pop(layout.test)
    return _joined([examples.pop(name) for name in layout.train]), test


def _from_folder(layout: Layout, folder: Path) -> dict[str, Examples]:
    """Read the files of a folder: examples by the name of their file."""
    examples = {}
    for name in (*layout.train, layout.test):
        path = folder / name
        try:
            with path.open("rb") as file:
                examples[name] = _examples(layout, str(path), read_pickle(file, str(path)))
        except FileNotFoundError as error:
            raise DatasetError(
                f"There is no file {path}; unpack {layout.archive} from {layout.url} again, or "
                f"move {folder} away, and the archive is used."
            ) from error
        except OSError as error:
            raise DatasetError(
                f"{path} cannot be read ({one_line(error)}); make it a file that you may read."
            ) from error
    return examples


def _from_archive(layout: Layout, archive: Path) -> dict[str, Examples]:
    """Read the files of an archive in the order they are in, since going back is slow."""
    wanted = {f"{layout.folder}/{name}": name for name in (*layout.train, layout.test)}
    examples, members = {}, []
    mend = f"put {layout.archive} from {layout.url} in its place, or delete it, and it is fetched"
    try:
        with gzip.open(archive) as content:
            with tarfile.open(fileobj=content, mode="r:") as tar:
                for member in tar:
                    members.append(member.name)
                    if member.name not in wanted or not member.isfile():
                        continue
                    where = f"{archive}: {member.name}"
                    pickled = read_pickle(tar.extractfile(member), where)
                    examples[wanted[member.name]] = _examples(layout, where, pickled)
            while content.read(1 << 20):  # the checksum of the content comes after its end
                pass
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DatasetError(
            f"{archive} cannot be read as a .tar.gz ({one_line(error)}); {mend}."
        ) from error
    for member, name in wanted.items():
        if name not in examples:
            raise DatasetError(
                f"{archive} has no file {member}; it holds {_listed(members)}. Is it another "
                f"archive under this name? Then {mend}."
            )
    return examples


def _examples(layout: Layout, where: str, content: dict[str, Any]) -> Examples:
    """Take the images and labels out of the content of a file."""
    if not {"data", layout.label_key} <= set(content):
        raise DatasetError(
            f"{where} has the keys {_listed(sorted(content))}; expected data and "
            f"{layout.label_key}. Is it a file of another data set? Then put that of "
            f"{layout.archive} in its place."
        )
    rows = content["data"]
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8:
        kind = rows.dtype if isinstance(rows, np.ndarray) else type(rows).__name__
        raise DatasetError(
            f"{where} has data of the type {kind}; expected a NumPy array of uint8, pixels from 0 "
            "to 255. Store them so."
        )
    if rows.ndim != 2 or rows.shape[1] != _ROW or len(rows) == 0:
        raise DatasetError(
            f"{where} has data of the shape {rows.shape}; expected (images, {_ROW}), the red, "
            f"green and blue plane of {_SIDE} x {_SIDE} pixels, and at least one image."
        )
    labels = _labels(layout, where, content[layout.label_key])
    if len(labels) != len(rows):
        raise DatasetError(
            f"{where} has {len(rows)} images and {len(labels)} {layout.label_key}; expected one "
            "for each image. Fetch it again."
        )
    return _pixels(rows), labels


def _labels(layout: Layout, where: str, labels: object) -> np.ndarray:
    """Check labels, and bring them to int32 (n,)."""
    if isinstance(labels, np.ndarray) and labels.ndim == 1:
        labels = labels.tolist()
    if not isinstance(labels, list) or any(type(label) is not int for label in labels):
        raise DatasetError(
            f"{where} has {layout.label_key} that are no list of whole numbers; expected one, the "
            f"number of its class from 0 to {layout.num_classes - 1} for each image."
        )
    for label in labels:
        if not 0 <= label < layout.num_classes:
            raise DatasetError(
                f"{where} has {label} among its {layout.label_key}; expected 0 to "
                f"{layout.num_classes - 1}. Number the classes so, or use an .npz file."
            )
    return np.array(labels, np.int32)


def _pixels(rows: np.ndarray) -> np.ndarray:
    """Turn planes (n, 3072) into pixels (n, 32, 32, 3), some at a time to save memory."""
    images = np.empty((len(rows), _SIDE, _SIDE, 3), np.uint8)
    for start in range(0, len(rows), _CHUNK):
        planes = rows[start : start + _CHUNK].reshape(-1, 3, _SIDE, _SIDE)
        images[start : start + _CHUNK] = planes.transpose(0, 2, 3, 1)
    return images


def _joined(parts: list[Examples]) -> Examples:
    if len(parts) == 1:
        return parts[0]
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _listed(names: Iterable[str]) -> str:
    """List some names in a line."""
    names = list(names)
    more = [f"{len(names) - _MOST_LISTED} more"] if len(names) > _MOST_LISTED else []
    return ", ".join([" ".join(name.split()) for name in names[:_MOST_LISTED]] + more) or "nothing"
