"""The content of the files of CIFAR, and the errors of malformed content."""

import io
import pickle

import numpy as np
import pytest
from cifar_files import python2_pickle, rows

from lemonade_tf.datasets import cifar_batches
from lemonade_tf.datasets.cifar_batches import read_batch
from lemonade_tf.datasets.dataset_error import DatasetError


def _read(content, label_key="labels", num_classes=10):
    return read_batch(io.BytesIO(content), "batch", label_key, num_classes, "cifar.tar.gz")


def _as_rows(images):
    return images.transpose(0, 3, 1, 2).reshape(len(images), 3072)


def test_planes_become_channels():
    row = (np.arange(3072).reshape(1, 3072) % 251).astype(np.uint8)
    images, labels = _read(python2_pickle({"data": row, "labels": [7]}))
    assert images.shape == (1, 32, 32, 3)
    assert labels.tolist() == [7]
    for y, x, channel in [(0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1), (5, 9, 2), (31, 31, 2)]:
        assert images[0, y, x, channel] == (1024 * channel + 32 * y + x) % 251


def test_many_images_are_converted_in_chunks(monkeypatch):
    monkeypatch.setattr(cifar_batches, "_CHUNK", 3)
    images, _ = _read(python2_pickle({"data": rows(10), "labels": [0] * 10}))
    np.testing.assert_array_equal(_as_rows(images), rows(10))


def test_keys_may_be_bytes():
    content = {b"batch_label": b"x", b"labels": [i % 10 for i in range(20)], b"data": rows()}
    images, labels = _read(pickle.dumps(content, protocol=4))
    np.testing.assert_array_equal(_as_rows(images), rows())
    assert labels.tolist() == content[b"labels"]


def test_labels_may_be_an_array():
    labels = np.arange(20) % 10
    _, read = _read(pickle.dumps({"labels": labels, "data": rows()}))
    np.testing.assert_array_equal(read, labels)
    assert read.dtype == np.int32


def test_labels_beyond_the_number_of_classes_are_refused():
    content = python2_pickle({"data": rows(2), "fine_labels": [99, 100]})
    with pytest.raises(DatasetError, match="fine_labels with the value 100; expected 0 to 99"):
        _read(content, "fine_labels", 100)


GOOD = {"data": rows(3), "labels": [1, 2, 3]}
BAD_CONTENT = {
    "cifar-100 under this name": (
        {"data": rows(3), "fine_labels": [1, 2, 3], "coarse_labels": [1, 1, 1]},
        r"has keys coarse_labels, data, fine_labels; expected data and labels\. .*replace it with",
    ),
    "no images": ({"labels": [1]}, r"has keys labels; expected data and labels"),
    "nothing": ({}, r"has keys nothing; expected"),
    "many keys": (dict.fromkeys("abcdefghijkl", 1), r"keys a, b, c, d, e, f, g, h, 4 more;"),
    "images of 64 x 64": (
        {**GOOD, "data": np.zeros((3, 12288), np.uint8)},
        r"data of shape \(3, 12288\); expected \(images, 3072\)",
    ),
    "four axes": (
        {**GOOD, "data": np.zeros((3, 32, 32, 3), np.uint8)},
        r"data of shape \(3, 32, 32, 3\); expected \(images, 3072\)",
    ),
    "no image": ({"data": rows(0), "labels": []}, r"data of shape \(0, 3072\); .*at least one"),
    "floats": ({**GOOD, "data": rows(3) / 255}, r"data of type float64; expected .* uint8"),
    "no array": ({**GOOD, "data": [1, 2]}, r"data of type list; expected a NumPy array"),
    "lengths": ({**GOOD, "labels": [1, 2]}, r"has 3 images and 2 labels; expected one label per"),
    "too large": (
        {**GOOD, "labels": [1, 10, 2]},
        r"has labels with the value 10; .* 0 to 9\.",
    ),
    "negative": (
        {**GOOD, "labels": [1, 2, -1]},
        r"has labels with the value -1; .* 0 to 9\.",
    ),
    "huge": (
        {**GOOD, "labels": [1, 2, 2**70]},
        r"the value 1180591620717411303424",
    ),
    "fractions": ({**GOOD, "labels": [1, 2, 0.5]}, r"labels that are not a list of integers"),
    "text": ({**GOOD, "labels": ["cat"] * 3}, r"labels that are not a list of integers"),
    "bool": ({**GOOD, "labels": np.ones(3, bool)}, r"labels that are not a list of integers"),
    "one-hot": ({**GOOD, "labels": np.eye(3)}, r"labels that are not a list of integers"),
    "nested": ({**GOOD, "labels": [[1], 2, 3]}, r"labels that are not a list of integers"),
    "number": ({**GOOD, "labels": 3}, r"labels that are not a list .* from 0 to 9 per image"),
}


@pytest.mark.parametrize("case", BAD_CONTENT)
def test_malformed_content_is_refused(case):
    content, message = BAD_CONTENT[case]
    with pytest.raises(DatasetError, match=message) as raised:
        _read(pickle.dumps(content))
    assert str(raised.value).startswith("batch has ")
    assert "\n" not in str(raised.value)
