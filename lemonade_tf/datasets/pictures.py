"""Load a data set from a folder of class folders with pictures, or from a zip of one.

`picture_tree` describes the folders, `picture_pixels` how pictures become images of one size.
Images are grey if all pictures are, else they have three channels. They are converted once into
files that all processes map into memory (`converted_files`), so the memory need not hold them.
These stay, in a folder of their own in the cache folder. They are converted again if a picture was
added, removed or changed, or with another image size.

If there is no folder of test or validation pictures, a stratified tenth of the others, at most
5,000, is held out for each; with folders of both training and validation pictures, no test images
are held out. As for all data sets, the split does not depend on the seed of the search.

Pictures that cannot be read are left out and reported.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import UnidentifiedImageError

from lemonade_tf.datasets.converted_files import (
    CONVERTED,
    check_space,
    locked,
    map_dataset,
    read_manifest,
    replacing_folder,
)
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.dataset_error import DatasetError, one_line
from lemonade_tf.datasets.picture_parts import write_parts
from lemonade_tf.datasets.picture_pixels import (
    Header,
    default_size,
    read_header,
    read_pixels,
    without_warnings,
)
from lemonade_tf.datasets.picture_tree import (
    SUFFIXES,
    Picture,
    PictureSource,
    PictureTree,
    find_pictures,
)

Size = tuple[int, ...]  # height, width

_CHUNK = 256  # pictures read at a time
_NUM_NAMED = 5  # unreadable pictures named in the report
_VERSION = 1  # of the conversion
_SEED = 1912  # of the order of the images
_MESSAGE_SECONDS = 15.0

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_logger = logging.getLogger(__name__)


def load_pictures(name: str, path: Path, cache: Path, image_size: Size | None = None) -> Dataset:
    """Load a data set of pictures; convert them first if that has not been done.

    Args:
        name: The name of the data set, also in errors.
        path: The folder, or the zip.
        cache: The folder for the folder of the converted files.
        image_size: Height and width of the images; by default those of `default_size`.

    Raises:
        DatasetError: If there are no pictures in class folders, or the converted files cannot be
            written.
    """
    source = PictureSource(path, is_zip=path.is_file())
    tree = find_pictures(name, source)
    sources = {"pictures": _signature(tree), "image_size": image_size and list(image_size)}

    def write(folder: Path) -> None:
        with source.opened() as read, without_warnings():
            _convert(name, tree, read, folder, image_size, sources)

    def folder_of(size: Size | None) -> Path:
        return cache_of("pictures", f"{os.fspath(path.absolute())} {size}", cache)

    if image_size is not None:  # a run has its size, even if that was the default
        default = folder_of(None)
        if (manifest := _own_manifest(default, sources | {"image_size": None})) is not None:
            dataset = map_dataset(name, default, manifest)
            if dataset.input_shape[:2] == tuple(image_size):
                _warn(name, manifest)
                return dataset
    return load_converted(name, folder_of(image_size), sources, write)


def cache_of(kind: str, key: str, cache: Path) -> Path:
    """Return the folder of converted files of a data set that is identified by a key.

    The key of the folder contains the user, as the cache folder may be everybody's.
    """
    digest = hashlib.sha256(os.fsencode(f"{os.getuid()} {key}")).hexdigest()[:16]
    return cache / f"lemonade_tf-{kind}-{digest}" / CONVERTED


def load_converted(
    name: str, target: Path, sources: Mapping[str, Any], write: Callable[[Path], None]
) -> Dataset:
    """Map the converted files of a data set; write them first if there are none of these sources.

    Args:
        name: The name of the data set.
        target: The folder of the files.
        sources: What changes when the originals do.
        write: Writes the files and their manifest into a new folder.

    Raises:
        DatasetError: If `write` raises it, or the files cannot be written.
    """
    manifest = _own_manifest(target, sources)
    if manifest is None:
        with locked(target.parent):
            manifest = _own_manifest(target, sources)  # another process may have been faster
            if manifest is None:
                start = time.monotonic()
                print(f"Converting {name} once, into {target}", flush=True)
                with replacing_folder(target, "--cache_dir") as folder:
                    write(folder)
                print(f"Converted {name} in {time.monotonic() - start:.0f} s", flush=True)
                manifest = _own_manifest(target, sources)
    if manifest is None:
        raise DatasetError(f"{target} changed while it was read; rerun the command.")
    _warn(name, manifest)
    return map_dataset(name, target, manifest)


def _warn(name: str, manifest: Mapping[str, Any]) -> None:
    """Log what was noticed when the originals were converted."""
    for note in manifest.get("notes", ()):
        _logger.warning("%s: %s", name, note)


def _own_manifest(target: Path, sources: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the manifest of converted files that this user wrote."""
    if target.parent.exists() and target.parent.stat().st_uid != os.getuid():
        raise DatasetError(
            f"{target.parent} belongs to another user; expected a folder of your own. Choose one"
            " with --cache_dir."
        )
    return read_manifest(target, sources)


def _signature(tree: PictureTree) -> str:
    """Return what changes when a picture is added, removed, renamed or written."""
    digest = hashlib.sha256(f"{_VERSION} {tree.class_names}".encode())
    for part, pictures in tree.parts.items():
        for each in pictures:
            digest.update(os.fsencode(f"{part} {each.path} {each.facts}\n"))
    return digest.hexdigest()


def _convert(
    name: str,
    tree: PictureTree,
    read: Callable[[str], bytes],
    folder: Path,
    image_size: Size | None,
    sources: Mapping[str, Any],
) -> None:
    """Write the images of all parts, and the manifest."""
    unreadable: dict[str, str] = {}
    pictures = [each for part in tree.parts.values() for each in part]
    headers: dict[str, Header] = {}
    for each, header in _each(pictures, read, read_header, unreadable):
        headers[each.path] = header
    _check_readable(name, len(pictures), unreadable)
    height, width = image_size or default_size(list(headers.values()))
    is_grey = all(header.is_grey for header in headers.values())
    shape = (height, width, 1 if is_grey else 3)
    check_space(folder, len(pictures) * int(np.prod(shape)), "--cache_dir")

    def images_of(part: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        # In random order, so that any first images are a sample of all classes.
        given = [each for each in tree.parts.get(part, ()) if each.path in headers]
        order = np.random.RandomState(_SEED).permutation(len(given))
        found = _each(
            [given[number] for number in order],
            read,
            lambda content: read_pixels(content, shape),
            unreadable,
        )
        for some in _chunks(found):
            labels = np.array([each.label for each, _ in some], np.int32)
            yield np.stack([pixels for _, pixels in some]), labels

    def notes() -> Sequence[str]:
        _check_readable(name, len(pictures), unreadable)
        return _notes(tree, len(pictures), unreadable)

    write_parts(
        name,
        folder,
        shape,
        {part: images_of(part) for part in tree.parts},
        class_names=tree.class_names,
        sources=sources,
        notes=notes,
    )


def _each(
    pictures: Sequence[Picture],
    read: Callable[[str], bytes],
    function: Callable[[bytes], _Result],
    unreadable: dict[str, str],
) -> Iterator[tuple[Picture, _Result]]:
    """Yield a function of the content of each picture; record those for which it fails."""

    def attempt(picture: Picture) -> _Result | Exception:
        try:
            return function(read(picture.path))
        except Exception as error:  # Pillow raises anything for a damaged picture
            return error

    printed = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for number, some in enumerate(_chunks(pictures)):
            for picture, result in zip(some, threads.map(attempt, some), strict=True):
                if isinstance(result, Exception):
                    unreadable[picture.path] = _reason(result)
                else:
                    yield picture, result
            if time.monotonic() - printed > _MESSAGE_SECONDS:
                printed = time.monotonic()
                print(f"  {(number + 1) * _CHUNK:,} of {len(pictures):,} pictures", flush=True)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no PNG, JPEG, WebP or BMP"
    return one_line(error)


def _chunks(items: Iterable[_Item]) -> Iterator[tuple[_Item, ...]]:
    iterator = iter(items)
    while some := tuple(islice(iterator, _CHUNK)):
        yield some


def _check_readable(name: str, count: int, unreadable: Mapping[str, str]) -> None:
    if 2 * len(unreadable) > count:
        raise DatasetError(
            f"{name}: {_named(unreadable, count)}; expected most of them to be pictures. Replace"
            " them."
        )


def _notes(tree: PictureTree, count: int, unreadable: Mapping[str, str]) -> list[str]:
    notes = []
    if unreadable:
        notes.append(f"{_named(unreadable, count)}; left out.")
    if tree.num_ignored:
        notes.append(
            f"files in class folders that are not {', '.join(SUFFIXES)} are left out:"
            f" {tree.num_ignored:,}."
        )
    if tree.num_loose:
        notes.append(f"pictures that are in no class folder are left out: {tree.num_loose:,}.")
    return notes


def _named(unreadable: Mapping[str, str], count: int) -> str:
    first = sorted(unreadable)[:_NUM_NAMED]
    named = ", ".join(f"{one_line(path)} ({unreadable[path]})" for path in first)
    more = f" and {len(unreadable) - _NUM_NAMED:,} more" if len(unreadable) > _NUM_NAMED else ""
    return f"{len(unreadable):,} of {count:,} pictures cannot be read: {named}{more}"
