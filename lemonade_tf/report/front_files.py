"""What report.html shows of the files of a front: the drawn networks and their errors by class.

A file may be missing, because the search removes those of networks that leave the front, or come
from a stranger. Networks without a readable file are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lemonade_tf.drawing.outline import outline
from lemonade_tf.errors import LemonadeError, quoted
from lemonade_tf.keras_bridge import load_architecture, load_record
from lemonade_tf.store import NetworkRecord, RunConfig, RunStore

MAX_FILES = 60  # of a larger front, those with the lowest errors are read
MAX_BYTES = 300_000  # of all of it, as JSON
FrontFiles = dict[str, dict[str, Any]]  # by id, kept by who writes a page again and again


def front_files(
    store: RunStore, config: RunConfig, front: Sequence[NetworkRecord], known: FrontFiles
) -> FrontFiles:
    """Return "drawing" and "classes" of networks by id, those with the lowest errors first.

    Args:
        store: The run folder.
        config: Its settings.
        front: Its front.
        known: What was read before; new networks are added.
    """
    found: FrontFiles = {}
    room = MAX_BYTES
    by_error = sorted(front, key=lambda network: network.ranked_error)
    for network in by_error[:MAX_FILES]:
        if network.id not in known:
            try:
                known[network.id] = _read(store, config, network.id)
            except LemonadeError:  # the search may have removed the file since it was listed
                continue
        room -= len(repr(known[network.id]))
        if room < 0:
            break
        found[network.id] = known[network.id]
    return found


def _read(store: RunStore, config: RunConfig, id_: str) -> dict[str, Any]:
    path = store.models.path(id_)
    drawing = outline(load_architecture(path))
    return {"drawing": drawing, "classes": _classes(config, load_record(path))}


def _classes(config: RunConfig, record: Mapping[str, Any]) -> list[list[Any]]:
    """Return name, errors and validation images of classes; none in files of earlier versions."""
    rows = record.get("class_errors")
    names, num_classes = config.images.class_names, config.images.num_classes
    if not isinstance(rows, list) or not all(_is_valid(row, num_classes) for row in rows):
        return []
    return [
        [quoted(names[index]) if names else str(index), wrong, images]
        for index, wrong, images in rows
    ]


def _is_valid(row: Any, num_classes: int) -> bool:
    if not isinstance(row, list) or [type(value) for value in row] != [int, int, int]:
        return False
    index, wrong, images = row
    return 0 <= index < num_classes and 0 <= wrong <= images
