"""Find the images and labels of each part of a data set among the names of arrays.

    x_train        y_train
    x_validation   y_validation     or x_val, x_valid
    x_test         y_test
    class_names                     texts, if the classes have names

Case does not matter, and neither does the order of the two words: `X_train` and the `train_images`
and `train_labels` of other data sets mean the same. A name that looks like one of these but is none
is an error: images that nobody uses would be a surprise.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterable, Mapping

from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.errors import quoted

PARTS = ("train", "validation", "test")
CLASS_NAMES = "class_names"
_NAMES = tuple(f"{axis}_{part}" for part in PARTS for axis in "xy")
_AXES: Mapping[str, str] = {"x": "x|images?", "y": "y|labels?|targets?"}
_SPELLINGS = {"train": "train|training", "validation": "val|valid|validation", "test": "test"}
_PATTERNS = {
    f"{axis}_{part}": re.compile(f"({first})_?({second})|({second})_?({first})")
    for axis, first in _AXES.items()
    for part, second in _SPELLINGS.items()
}
_RESEMBLES = re.compile(
    f"({'|'.join(_AXES.values())})([_.-].*)?|.*[_.-]({'|'.join(_AXES.values())})"
)
_LEAST_SIMILARITY = 0.75  # x_trian has 0.86, and extra 0.67
_MAX_SHOWN = 8

_logger = logging.getLogger(__name__)


def find_arrays(where: str, names: Iterable[str]) -> dict[str, str]:
    """Find the arrays of a data set by name.

    Args:
        where: Names the file in messages.
        names: The names of its arrays.

    Returns:
        The names of arrays by "x_train", "y_train" and so on; a part that is missing is absent.

    Raises:
        DatasetError: If there are no training images or labels, a part has images or labels only,
            two names mean the same, or a name resembles one of those that are known.
    """
    names = list(names)
    found: dict[str, str] = {}
    others = []
    for name in names:
        meaning = next((m for m, p in _PATTERNS.items() if p.fullmatch(name.lower())), None)
        if name == CLASS_NAMES:
            continue
        if meaning is None:
            others.append(name)
        elif meaning in found:
            raise DatasetError(
                f"{where} has both {found[meaning]} and {name}; expected one array {meaning}."
                " Remove the other."
            )
        else:
            found[meaning] = name
    _check_pairs(where, found, names)
    unused = []
    for name in others:
        if not _resembles(name):
            unused.append(name)
            continue
        near = difflib.get_close_matches(name.lower(), _NAMES, n=1)
        question = f" (did you mean {near[0]}?)" if near else ""
        raise DatasetError(
            f"{where} has an array {quoted(name)}{question}; expected {', '.join(_NAMES)}. Rename"
            " it, or remove it."
        )
    if unused:
        _logger.warning("%s: no use for %s.", where, listed(unused))
    return found


def listed(names: Iterable[object]) -> str:
    """Return names separated by commas; if there are many, the first."""
    names = list(names)
    more = f" and {len(names) - _MAX_SHOWN:,} more" if len(names) > _MAX_SHOWN else ""
    return quoted(", ".join(map(str, names[:_MAX_SHOWN]))) + more


def _resembles(name: str) -> bool:
    """Return whether an array may be meant to hold images or labels."""
    name = name.lower()
    if re.fullmatch(r".*[_.-]names?", name):  # such as label_names
        return False
    near = difflib.get_close_matches(name, _NAMES, n=1, cutoff=_LEAST_SIMILARITY)
    return bool(_RESEMBLES.fullmatch(name) or near)


def _check_pairs(where: str, found: Mapping[str, str], names: Iterable[str]) -> None:
    """Check that there are training images, and that images have labels."""
    for part in PARTS:
        pair = f"x_{part}", f"y_{part}"
        if part != "train" and not set(pair) & set(found):
            continue
        for name in pair:
            if name not in found:
                there = f"only {listed(names)}" if names else "nor any other"
                raise DatasetError(
                    f"{where} has no array {name}, {there}; expected both x_{part} and y_{part}."
                )
