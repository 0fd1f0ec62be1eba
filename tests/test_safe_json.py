"""JSON from a stranger is a plain value, or a ValueError."""

import json

import pytest

from lemonade_tf.safe_json import read_json


@pytest.mark.parametrize(
    "value",
    [{"a": [1, -2.5, None, True, "ü 😀"]}, [], 2**127, "x" * 10**6, [[[0] * 100] * 10] * 10],
    ids=["object", "list", "integer", "text", "wide"],
)
def test_json_is_read(value):
    assert read_json(json.dumps(value)) == value
    assert read_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ("[" * 100_000 + "]" * 100_000, "nested more than 64 deep"),
        ('{"a":' * 70 + "1" + "}" * 70, "nested more than 64 deep"),
        ("NaN", "contains NaN"),
        ("[-Infinity]", "contains -Infinity"),
        ("1e999", "contains 1e999, which is too large"),
        ("9" * 5000, "an integer of 5000 digits"),
        ('{"a": "\\ud800"}', "surrogates not allowed"),
        (b'"\xff"', "invalid start byte"),
    ],
    ids=["cut", "deep", "deep-object", "nan", "infinity", "large", "digits", "surrogate", "bytes"],
)
def test_other_texts_are_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        read_json(text)
