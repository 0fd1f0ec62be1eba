"""Find the files of the downsampled ImageNet in the folder where a user has put them.

Each of train_data_batch_1 to train_data_batch_10 and val_data may be a pickle or an `.npz` file, in
the folder itself, in a folder of the name of an official archive, or in the archive.

References:
    Chrabaszcz, Loshchilov & Hutter, "A Downsampled Variant of ImageNet as an Alternative to the
    CIFAR Datasets", 2017, arXiv:1707.08819.
    https://patrykchrabaszcz.github.io/Imagenet32/
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lemonade_tf.datasets.dataset_error import DatasetError, one_line

TRAIN = tuple(f"train_data_batch_{number}" for number in range(1, 11))
TEST = "val_data"
_SITE = "https://image-net.org/download-images"
_MAX_RATIO, _SMALL = 20, 2**26  # of the unpacked to the packed size; bytes that are accepted


@dataclass(frozen=True)
class Source:
    """Where one of the official files is.

    Attributes:
        name: Its official name, without suffix.
        path: The file, or the archive that contains it.
        member: Its name in the archive; None if it is not in one.
        num_bytes: Its size, unpacked.
        is_npz: Whether it is an `.npz` file; otherwise it is a pickle.
        modified: When the file, or the archive, was written: nanoseconds.
    """

    name: str
    path: Path
    member: str | None
    num_bytes: int
    is_npz: bool
    modified: int

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}: {self.member}"


def find_sources(folder: Path, side: int) -> dict[str, Source]:
    """Return the official files that are there, by name, in order.

    Args:
        folder: The folder of the data set; archives may also be in the folder above it.
        side: The side of the images, in pixels.

    Raises:
        DatasetError: If an archive cannot be read.
    """
    found: dict[str, Source] = {}
    for source in (*_loose(folder, side), *_packed(folder, side)):
        found.setdefault(source.name, source)
    return {name: found[name] for name in (*TRAIN, TEST) if name in found}


def advice(side: int, name: str | None = None) -> str:
    """Return where to get a file of the data set, or all of them.

    Args:
        side: The side of the images, in pixels.
        name: The name of a file; by default all.
    """
    archives = _archives(side) if name is None else [_archive_of(side, name)]
    return f"download {', '.join(archives)} from {_SITE}, which requires an account"


def _archives(side: int) -> list[str]:
    parts = ("train_part1", "train_part2", "val") if side >= 64 else ("train", "val")
    return [f"Imagenet{side}_{part}.zip" for part in parts]


def _archive_of(side: int, name: str) -> str:
    first, *others = _archives(side)
    if name == TEST:
        return others[-1]
    return others[0] if len(others) == 2 and TRAIN.index(name) >= len(TRAIN) // 2 else first


def _loose(folder: Path, side: int) -> Iterator[Source]:
    """Yield the files that are not in an archive."""
    unpacked = sorted(path for path in folder.glob(f"[Ii]magenet{side}_*") if path.is_dir())
    for parent in (folder, *unpacked):
        for name in (*TRAIN, TEST):
            for suffix in ("", ".npz"):
                path = parent / f"{name}{suffix}"
                if path.is_file():
                    facts = path.stat()
                    size, modified = facts.st_size, facts.st_mtime_ns
                    yield Source(name, path, None, size, suffix == ".npz", modified)


def _packed(folder: Path, side: int) -> Iterator[Source]:
    """Yield the files in archives."""
    for parent in (folder, folder.parent):
        for path in sorted(parent.glob(f"[Ii]magenet{side}_*.zip")):
            yield from _members(path, side)


def _members(path: Path, side: int) -> Sequence[Source]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
        modified = path.stat().st_mtime_ns
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DatasetError(
            f"{path} is not a readable .zip ({one_line(error)}); perhaps its download was"
            f" interrupted: delete it and {advice(side)}."
        ) from error
    sources = []
    for info in infos:
        file = PurePosixPath(info.filename)
        if file.suffix not in ("", ".npz") or file.stem not in (*TRAIN, TEST):
            continue
        if info.file_size > _MAX_RATIO * info.compress_size + _SMALL:
            raise DatasetError(
                f"{path}: {info.filename} is much larger when unpacked ({info.file_size:,} of"
                f" {info.compress_size:,} bytes); expected images, which hardly compress. Delete it"
                f" and {advice(side, file.stem)}."
            )
        is_npz = file.suffix == ".npz"
        sources.append(Source(file.stem, path, info.filename, info.file_size, is_npz, modified))
    return sources
