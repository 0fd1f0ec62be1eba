"""Changes of bytes and of JSON values, as a damaged disk or a stranger could make them.

All functions take `rng`, a `random.Random` or what Hypothesis draws in its place.
"""

import json
from copy import deepcopy

# Values that readers may not expect.
ODD = (
    *(None, True, 0, -1, 1, 3, 2**31, 2**64, 10**30, -1.5, 0.5, 1e308, 5e-324),
    *("", "x", "error", "0-0", "9-999999", "../../x", "x" * 300, "\x1b[2J\n", "\u202e", "1e999"),
    *([], {}, [[]], [0], [-1, -1], [10**12] * 3, {"a": 1}, {"operator": "remove", "site": {}}),
)


def mutated_bytes(rng, content):
    """Return bytes with some parts changed, removed, repeated or moved."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(data) + 1)
        size = rng.choice((1, 2, 4, 8, 100))
        kind = rng.choice(("flip", "number", "random", "cut", "repeat", "copy", "end"))
        if kind == "flip" and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == "number":
            value = rng.choice((0, 1, 2**7, 2**15, 2**16 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1))
            data[at : at + size] = value.to_bytes(100, "little")[:size]
        elif kind == "random":
            data[at : at + size] = bytes(rng.randrange(256) for _ in range(size))
        elif kind == "cut":
            del data[at : at + size]
        elif kind == "repeat":
            data[at:at] = data[at : at + size] * rng.choice((1, 2, 20))
        elif kind == "copy":
            source = rng.randrange(len(data) + 1)
            data[at : at + size] = data[source : source + size]
        elif rng.randrange(4) == 0:
            del data[at:]
    return bytes(data)


def mutated_json(rng, value):
    """Return a JSON value with some values inside replaced, removed, repeated or nested."""
    value = deepcopy(value)
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = list(_places(value))
        if not places:
            return deepcopy(rng.choice(ODD))
        holder, key = rng.choice(places)
        kind = rng.choice(("odd", "odd", "odd", "swap", "remove", "deep", "number", "key"))
        if kind == "odd":
            holder[key] = deepcopy(rng.choice(ODD))
        elif kind == "swap":
            other, name = rng.choice(places)
            holder[key] = deepcopy(other[name]) if name in _keys(other) else None
        elif kind == "remove":
            del holder[key]
        elif kind == "deep":
            for _ in range(rng.choice((1, 3, 100))):
                holder[key] = [holder[key]]
        elif kind == "number" and isinstance(holder[key], int | float):
            holder[key] = holder[key] * rng.choice((-1, 0, 2, 10**9)) + rng.choice((0, 1, 0.5))
        elif isinstance(holder, dict):
            holder[rng.choice(("x", "", "error", "\n"))] = holder[key]
    return value


def _places(value):
    """Yield (list or object, index or key) of everything inside a JSON value."""
    for key in _keys(value):
        yield value, key
        yield from _places(value[key])


def _keys(value):
    if isinstance(value, dict):
        return list(value)
    return range(len(value)) if isinstance(value, list) else ()


def mutated_text(rng, value):
    """Return a mutated JSON value as text, which sometimes is no JSON."""
    text = json.dumps(mutated_json(rng, value))
    if rng.randrange(20) == 0:
        return rng.choice(("[" * 5000, "NaN", "9" * 5000, text[:-1], "1e999", '"\\ud800"'))
    return text
