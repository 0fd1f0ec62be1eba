"""Find the pictures in a folder of class folders, or in a zip of one.

    flowers/daisy/1.jpg              flowers/train/daisy/1.jpg
    flowers/rose/2.png               flowers/validation/daisy/7.jpg     (or val, valid)
                                     flowers/test/rose/9.jpg

The folder of a class gives it its name, and its number is its rank in alphabetical order. A folder
or a zip may contain the folder that is meant, as a zip made of `flowers` does, beside other files.
Hidden files, and those that are no pictures by their suffix, are left out, and so are pictures that
are in no class folder.

Nothing is unpacked to the disk, so names in a zip cannot lead out of a folder. A zip whose members
are, unpacked, much larger than itself is refused.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lemonade_tf.datasets.dataset_error import DatasetError, one_line
from lemonade_tf.datasets.npz_names import listed
from lemonade_tf.errors import printable, quoted

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
PARTS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val"),
    "test": ("test", "testing"),
}
_MAX_DEPTH = 5  # folder, part, class, and two more to name what is too deep
_MAX_RATIO, _SMALL = 100, 2**28  # of the unpacked to the packed size; bytes that are accepted
_MAX_PICTURE = 2**28  # bytes of a picture in a zip
_UNREADABLE = (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile)

Tree = dict[str, Any]  # names to folders, which are trees, or to the facts about files


@dataclass(frozen=True)
class Picture:
    """A picture file.

    Attributes:
        path: Its path below the root, with slashes.
        label: The index of its class.
        facts: What changes when its content does.
    """

    path: str
    label: int
    facts: tuple[Any, ...]


@dataclass(frozen=True)
class PictureTree:
    """The pictures of a data set.

    Attributes:
        parts: The pictures of "train" and perhaps "validation" and "test", in order of their class
            and path.
        class_names: The names of the classes.
        num_ignored: How many other files there are in class folders.
        num_loose: How many pictures there are beside the class folders.
    """

    parts: Mapping[str, list[Picture]]
    class_names: tuple[str, ...]
    num_ignored: int
    num_loose: int


@dataclass(frozen=True)
class PictureSource:
    """A folder or a zip.

    Attributes:
        path: Its path.
        is_zip: Whether it is a zip.
    """

    path: Path
    is_zip: bool

    def tree(self) -> Tree:
        """Return the names of all files.

        Raises:
            DatasetError: If it cannot be read, or is a zip that is much larger when unpacked.
        """
        try:
            return _zip_tree(self.path) if self.is_zip else _folder_tree(self.path)
        except DatasetError:
            raise
        except _UNREADABLE as error:
            raise DatasetError(
                f"{self.path} cannot be read ({one_line(error)}); expected a folder of class"
                " folders with pictures, or a zip of one."
            ) from error

    def opened(self) -> AbstractContextManager[Callable[[str], bytes]]:
        """Return a context with a function that reads the picture of a path, in any thread."""
        return _OpenZip(self.path) if self.is_zip else nullcontext(self._read)

    def _read(self, path: str) -> bytes:
        file = self.path / path
        if not file.is_file():  # reading a pipe would block
            raise OSError("no file, or a link to nothing")
        return file.read_bytes()


class _OpenZip:
    """Reads pictures of a zip."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Callable[[str], bytes]:
        self._archive = zipfile.ZipFile(self._path)
        return self._archive.read  # at most as many bytes as the archive says

    def __exit__(self, *_: object) -> None:
        self._archive.close()


def _folder_tree(path: Path, depth: int = 0) -> Tree:
    tree: Tree = {}
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith((".", "__")):
                continue
            if entry.is_dir():
                tree[entry.name] = (
                    _folder_tree(Path(entry), depth + 1) if depth < _MAX_DEPTH else {}
                )
            else:
                tree[entry.name] = _facts(entry)
    return tree


def _facts(entry: os.DirEntry[str]) -> tuple[int, ...]:
    """Return what changes when the content of a file does; nothing of a link to nothing."""
    try:
        facts = entry.stat()
    except OSError:
        return ()
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _zip_tree(path: Path) -> Tree:
    tree: Tree = {}
    total = 0
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    for info in infos:
        names = info.filename.split("/")
        if info.filename.startswith("/") or ".." in names or "\\" in info.filename:
            raise DatasetError(
                f"{path} has a member {quoted(info.filename)}, which leads out of its folder;"
                " expected CLASS/PICTURE. Zip the folder again."
            )
        if info.is_dir() or any(name.startswith((".", "__")) for name in names):
            continue
        total += info.file_size
        if info.file_size > _MAX_PICTURE:
            raise DatasetError(
                f"{path}: {quoted(info.filename)} has {info.file_size:,} bytes; expected pictures"
                f" of at most {_MAX_PICTURE:,}. Leave it out."
            )
        folder = tree
        for name in names[:-1]:
            folder = folder.setdefault(name, {})
            if not isinstance(folder, dict):
                raise ValueError(f"{quoted(info.filename)} is in a file")
        folder[names[-1]] = (info.file_size, info.CRC)
    if total > _MAX_RATIO * path.stat().st_size + _SMALL:
        raise DatasetError(
            f"{path} is much larger when unpacked ({total:,} of {path.stat().st_size:,} bytes);"
            " expected pictures, which hardly compress. Use a folder instead."
        )
    return tree


def find_pictures(name: str, source: PictureSource) -> PictureTree:
    """Find the pictures of a data set.

    Args:
        name: The name of the data set, for errors.
        source: Its folder or zip.

    Raises:
        DatasetError: If there are no class folders, only one, an empty one, or one with folders.
    """
    tree, prefix = source.tree(), ""
    while len(inner := _folders(tree)) == 1 and _folders(tree[inner[0]]) and not _num_loose(tree):
        tree = tree[inner[0]]
        prefix += f"{inner[0]}/"
    by_part = _parts(name, tree)
    if by_part is None:
        by_part = {"train": ("", tree)}
    class_names = _class_names(name, *by_part["train"])
    parts, num_ignored = {}, 0
    num_loose = sum(_num_loose(classes) for _, classes in by_part.values())
    if by_part["train"][1] is not tree:
        num_loose += _num_loose(tree)
    for part, (folder, classes) in by_part.items():
        parts[part] = []
        unknown = sorted(set(_folders(classes)) - set(class_names))
        if unknown:
            raise DatasetError(
                f"{name}: {folder} has class folders {listed(unknown)}, which the training folder"
                " lacks; expected the classes of the training folder."
            )
        for label, class_name in enumerate(class_names):
            files = classes.get(class_name, {})
            where = f"{folder}{class_name}"
            pictures = _pictures(name, where, files)
            num_ignored += len(files) - len(pictures)
            if not pictures and part == "train":
                raise DatasetError(
                    f"{name}: the class folder {quoted(where)} has no pictures"
                    f" ({', '.join(SUFFIXES)}); expected at least one. Add some, or remove the"
                    " folder."
                )
            parts[part] += [
                Picture(f"{prefix}{where}/{file}", label, files[file]) for file in pictures
            ]
    return PictureTree(
        {part: pictures for part, pictures in parts.items() if pictures},
        tuple(map(printable, class_names)),
        num_ignored,
        num_loose,
    )


def _folders(tree: Tree) -> list[str]:
    return [name for name, content in tree.items() if isinstance(content, dict)]


def _num_loose(tree: Tree) -> int:
    return sum(_is_picture(name) for name, content in tree.items() if not isinstance(content, dict))


def _parts(name: str, tree: Tree) -> dict[str, tuple[str, Tree]] | None:
    """Return the folders of the parts and their names; None if there are none."""
    folders = _folders(tree)
    found: dict[str, tuple[str, Tree]] = {}
    for part, spellings in PARTS.items():
        named = [each for each in folders if each.lower() in spellings]
        if len(named) > 1:
            raise DatasetError(
                f"{name} has the folders {listed(named)}; expected one folder for each part."
                " Merge them."
            )
        if named:
            found[part] = f"{named[0]}/", tree[named[0]]
    if "train" not in found or not _folders(found["train"][1]):
        return None
    others = sorted(set(folders) - {folder[:-1] for folder, _ in found.values()})
    if others:
        raise DatasetError(
            f"{name} has the folders {listed(others)} beside {found['train'][0]}; expected only"
            " train, validation and test, or only class folders."
        )
    return found


def _class_names(name: str, folder: str, tree: Tree) -> list[str]:
    where = f"{name}: {folder}" if folder else name
    names = sorted(_folders(tree))
    if not names:
        has = f"{num_loose:,} pictures but no" if (num_loose := _num_loose(tree)) else "no"
        raise DatasetError(
            f"{where} has {has} class folders; expected a folder for each class with its pictures,"
            " such as cat/1.jpg and dog/2.jpg."
        )
    if len(names) == 1:
        raise DatasetError(
            f"{where} has one class folder, {quoted(names[0])}; expected at least two classes."
        )
    return names


def _pictures(name: str, where: str, files: Tree) -> list[str]:
    """Return the names of the pictures in a class folder."""
    nested = sorted(_folders(files))
    if nested:
        raise DatasetError(
            f"{name}: the class folder {quoted(where)} has the folder {quoted(nested[0])}; expected"
            " pictures directly in the folder of their class. Move them up."
        )
    return sorted(file for file in files if _is_picture(file))


def _is_picture(file: str) -> bool:
    return file.lower().endswith(SUFFIXES)
