"""Load CIFAR-10 and CIFAR-100 from the published folder or archive; download the archive if needed.

    DATA_DIR/cifar-10-batches-py/    data_batch_1 to data_batch_5, test_batch
    DATA_DIR/cifar-100-python/       train, test

If the folder is missing, `DATA_DIR/cifar-10-python.tar.gz` (or `cifar-100-python.tar.gz`) is read
without unpacking it; if that is missing too, it is downloaded first. `cifar_batches` describes the
files.

References:
    Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np

from lemonade_tf.datasets.array_files import Allocate
from lemonade_tf.datasets.cifar_batches import names_in_line, read_batch
from lemonade_tf.datasets.dataset import Dataset, Examples
from lemonade_tf.datasets.dataset_error import DatasetError, one_line
from lemonade_tf.datasets.download import download
from lemonade_tf.datasets.splits import hold_out_validation, take_rows

_MAX_RATIO, _SMALL = 20, 2**26  # of the unpacked to the packed size; bytes that are accepted
_PIECE = 2**20  # bytes


@dataclass(frozen=True)
class CifarLayout:
    """The files of a published data set in the format of CIFAR.

    Attributes:
        name: The name of the data set.
        folder: The name of the folder that contains the files.
        train: The names of the files with training images.
        test: The name of the file with test images.
        label_key: The key of the labels in a file.
        num_classes: The number of classes.
        url: The URL of the archive.
        sha256: The checksum of the archive, as in Keras.
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
        """The file name of the archive."""
        return self.url.rsplit("/", 1)[1]


CIFAR10 = CifarLayout(
    name="cifar10",
    folder="cifar-10-batches-py",
    train=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test="test_batch",
    label_key="labels",
    num_classes=10,
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
)
CIFAR100 = CifarLayout(
    name="cifar100",
    folder="cifar-100-python",
    train=("train",),
    test="test",
    label_key="fine_labels",
    num_classes=100,
    url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
)


def load_cifar(layout: CifarLayout, data_dir: Path, allocate: Allocate = np.empty) -> Dataset:
    """Load 45,000 training, 5,000 validation and 10,000 test images.

    The number of classes is that of the layout, even if the files contain fewer.

    Args:
        layout: CIFAR10 or CIFAR100.
        data_dir: The folder that contains the folder or the archive of the data set.
        allocate: Allocates the arrays of images.

    Raises:
        DatasetError: If a file is missing and cannot be downloaded, or is malformed.
    """
    (images, labels), (x_test, y_test) = read_cifar(layout, data_dir)
    train, validation = hold_out_validation(labels, f"{layout.name}: the training set")
    return Dataset(
        name=layout.name,
        x_train=take_rows(images, train, allocate),
        y_train=labels[train],
        x_validation=take_rows(images, validation, allocate),
        y_validation=labels[validation],
        x_test=take_rows(x_test, np.arange(len(x_test)), allocate),
        y_test=y_test,
        num_classes=layout.num_classes,
    )


def read_cifar(layout: CifarLayout, data_dir: Path) -> tuple[Examples, Examples]:
    """Read the training and the test examples; download the archive if needed.

    Args:
        layout: CIFAR10 or CIFAR100.
        data_dir: The folder that contains the folder or the archive of the data set.

    Returns:
        Training and test examples: images, uint8 (n, 32, 32, 3), and labels, int32 (n,).

    Raises:
        DatasetError: If a file is missing and cannot be downloaded, or is malformed.
    """
    folder, archive = data_dir / layout.folder, data_dir / layout.archive
    if data_dir.name == layout.folder and (data_dir / layout.test).is_file():
        raise DatasetError(
            f"{data_dir} is the folder of the data set itself; expected the folder that contains"
            f" it: --data_dir {data_dir.parent}."
        )
    if folder.is_dir():
        examples = _read_folder(layout, folder)
    else:
        if not archive.is_file():
            download(layout.url, archive, sha256=layout.sha256)
        examples = _read_archive(layout, archive)
    test = examples.pop(layout.test)
    images, labels = zip(*[examples.pop(name) for name in layout.train], strict=True)
    if len(images) == 1:
        return (images[0], labels[0]), test
    return (np.concatenate(images), np.concatenate(labels)), test


def _read_folder(layout: CifarLayout, folder: Path) -> dict[str, Examples]:
    """Read the files of a folder: examples by file name."""
    examples = {}
    for name in (*layout.train, layout.test):
        path = folder / name
        try:
            with path.open("rb") as file:
                examples[name] = read_batch(
                    file, str(path), layout.label_key, layout.num_classes, layout.archive
                )
        except FileNotFoundError as error:
            raise DatasetError(
                f"{path} does not exist. Unpack {layout.archive} from {layout.url} again, or move"
                f" {folder} away to use the archive."
            ) from error
        except OSError as error:
            raise DatasetError(
                f"{path} cannot be read ({one_line(error)}); expected a readable file."
            ) from error
    return examples


class _Bounded(io.RawIOBase):
    """Reads an unpacked archive, up to a size that depends on the packed one.

    A malicious archive unpacks to a thousand times its size, of which `tarfile` reads as much at a
    time as the archive says.

    Args:
        file: The unpacked archive.
        num_bytes: The size of the packed one.
    """

    def __init__(self, file: gzip.GzipFile, num_bytes: int) -> None:
        self._file, self._left = file, _MAX_RATIO * num_bytes + _SMALL

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset from the start, forwards by reading."""
        while offset > self.tell() and self.read(min(offset - self.tell(), _PIECE)):
            pass
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes, in small pieces because there may be much fewer."""
        pieces = []
        while size:
            piece = self._file.read(min(size, _PIECE) if size > 0 else _PIECE)
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece) if size > 0 else 0
            self._left -= len(piece)
            if self._left < 0:
                raise OSError("it is much larger when unpacked")
        return b"".join(pieces)


def _read_archive(layout: CifarLayout, archive: Path) -> dict[str, Examples]:
    """Read the files of an archive: examples by file name."""
    names = {f"{layout.folder}/{name}": name for name in (*layout.train, layout.test)}
    examples, members = {}, []
    fix = f"Replace it with {layout.archive} from {layout.url}, or delete it to download it again"
    try:
        with gzip.open(archive) as unpacked:
            content = cast(IO[bytes], _Bounded(unpacked, archive.stat().st_size))
            # Members are read in the order of the archive: seeking backwards decompresses again.
            with tarfile.open(fileobj=content, mode="r:") as tar:
                for member in tar:
                    members.append(member.name)
                    is_plain = member.isreg() and not member.issparse()
                    file = tar.extractfile(member) if is_plain else None
                    if member.name not in names or file is None:
                        continue
                    examples[names[member.name]] = read_batch(
                        file,
                        f"{archive}: {member.name}",
                        layout.label_key,
                        layout.num_classes,
                        layout.archive,
                    )
            while content.read(1 << 20):  # gzip verifies the checksum at the end of the file
                pass
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DatasetError(
            f"{archive} is not a readable .tar.gz ({one_line(error)}). {fix}."
        ) from error
    for member, name in names.items():
        if name not in examples:
            raise DatasetError(
                f"{archive} has no file {member}; found {names_in_line(members)}. Is it a different"
                f" archive? {fix}."
            )
    return examples
