"""The ids of networks: "GENERATION-ATTEMPT", such as "12-7".

The initial networks are generation 0. The attempt counts the draws of a generation, those included
that led to no proposal. An augmented network (A.4.3) has its cells per block and filters in its id,
such as "12-7-n4-F128", and that of its cell in a Shake-Shake network (Table 1)
"12-7-shake-n4-F128".
"""

from __future__ import annotations

import re

_ID = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")
_FILE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")


def network_id(generation: int, attempt: int) -> str:
    """Return the id of the network of a generation and an attempt."""
    return f"{generation}-{attempt}"


def parse_network_id(id_: str) -> tuple[int, int]:
    """Return the generation and the attempt of a network, which sort networks by age.

    Raises:
        ValueError: If it is not the id of a network of a search.
    """
    match = _ID.fullmatch(id_)
    if match is None:
        raise ValueError(f"id is {id_!r}; expected GENERATION-ATTEMPT, such as '12-7'.")
    return int(match[1]), int(match[2])


def is_network_id(id_: str) -> bool:
    """Return whether a text is the id of a network of a search."""
    return _ID.fullmatch(id_) is not None


def augmented_id(id_: str, cells_per_block: int, filters: int, *, shake_shake: bool = False) -> str:
    """Return the id of an augmented network, or of a cell in a Shake-Shake network."""
    return f"{id_}{'-shake' if shake_shake else ''}-n{cells_per_block}-F{filters}"


def is_file_id(id_: str) -> bool:
    """Return whether a text can be the id of a trained network, which is part of a file name."""
    return _FILE_ID.fullmatch(id_) is not None
