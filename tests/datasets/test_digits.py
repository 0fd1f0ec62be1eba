"""The handwritten digits and their split."""

import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.datasets.loading import load_dataset


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


def _rows(images):
    return {row.tobytes() for row in images}


def test_sizes_and_types_of_the_parts(digits):
    assert [len(digits.y_train), len(digits.y_validation), len(digits.y_test)] == [
        1200,
        297,
        300,
    ]
    assert digits.input_shape == (8, 8, 1)
    assert digits.num_classes == 10
    for images in (digits.x_train, digits.x_validation, digits.x_test):
        assert images.dtype == np.uint8
        assert images.shape[1:] == (8, 8, 1)
        assert [images.min(), images.max()] == [0, 255]
    for labels in (digits.y_train, digits.y_validation, digits.y_test):
        assert labels.dtype == np.int32


def test_no_image_is_in_two_parts(digits):
    assert len(_rows(load_digits().images)) == 1797
    parts = [digits.x_train, digits.x_validation, digits.x_test]
    assert len(set.union(*map(_rows, parts))) == 1797


def test_classes_are_spread_evenly(digits):
    for labels in (digits.y_train, digits.y_validation, digits.y_test):
        counts = np.bincount(labels, minlength=10)
        assert counts.max() - counts.min() <= 0.05 * len(labels)


def test_the_split_never_changes(digits):
    assert digits.y_validation[:20].tolist() == VALIDATION_CLASSES
    assert int(digits.x_test.sum(dtype=np.int64)) == TEST_PIXEL_SUM


def test_pixels_are_rescaled_from_scikit_learn(digits):
    raw = {tuple(np.rint(i.ravel() * 255 / 16).astype(int)) for i in load_digits().images}
    assert tuple(digits.x_train[7].ravel().astype(int)) in raw


def test_missing_scikit_learn_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DatasetError, match="pip install scikit-learn"):
        load_dataset("digits")


# Recorded when the split was defined. It must not change, or results cannot be compared.
VALIDATION_CLASSES = [7, 4, 5, 9, 8, 9, 7, 3, 4, 6, 6, 7, 6, 7, 8, 0, 6, 2, 5, 5]
TEST_PIXEL_SUM = 1_497_628
