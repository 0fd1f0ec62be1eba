"""Stratified splits of training examples."""

import numpy as np
import pytest

from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.datasets.splits import hold_out, hold_out_validation, with_validation_images


@pytest.mark.parametrize(
    ("num_images", "num_held_out"), [(10, 1), (26, 3), (24, 2), (49_000, 4900), (60_000, 5000)]
)
def test_a_tenth_but_at_most_5000_are_held_out(num_images, num_held_out):
    labels = np.arange(num_images) % 2
    train, validation = hold_out_validation(labels, "labels")
    assert len(validation) == num_held_out
    assert sorted([*train, *validation]) == list(range(num_images))


def test_one_example_per_class_is_kept():
    labels = np.array([*range(10), 7])
    train, validation = hold_out_validation(labels, "labels")
    assert labels[validation].tolist() == [7]
    assert sorted(labels[train]) == list(range(10))
    with pytest.raises(DatasetError, match="labels has 11 classes in 11 images; expected more"):
        hold_out_validation(np.arange(11), "labels")


def test_each_class_contributes_in_proportion():
    labels = np.repeat([0, 1, 2], [100, 200, 300])
    _, held_out = hold_out(labels, 60)
    np.testing.assert_allclose(np.bincount(labels[held_out]), [10, 20, 30], atol=1)


@pytest.mark.parametrize(
    ("sizes", "num", "expected"),
    [
        ([180] * 10, 180, [18] * 10),
        ([97, 2, 1], 10, [9, 1, 0]),  # one of each class is kept
        ([2] * 5, 3, [1, 1, 1, 0, 0]),
        ([50, 2, 2, 2, 44], 4, [1, 1, 1, 1, 0]),
        ([900] + [2] * 50, 60, [10] + [1] * 50),
    ],
)
def test_a_class_of_two_is_held_out_as_far_as_the_size_allows(sizes, num, expected):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(sizes)), sizes))
    kept, held_out = hold_out(labels, num)
    counts = np.bincount(labels[held_out], minlength=len(sizes))
    np.testing.assert_allclose(sorted(counts), sorted(expected), atol=1)
    assert np.count_nonzero(counts) == np.count_nonzero(expected)
    assert len(held_out) == num
    assert sorted([*kept, *held_out]) == list(range(len(labels)))


def test_the_split_of_the_digits_is_stratified():
    digits = load_dataset("digits")
    for labels, counts in (
        (digits.y_validation, [30, 30, 29, 30, 30, 30, 30, 30, 29, 29]),
        (digits.y_test, [30, 31, 29, 31, 30, 30, 31, 29, 29, 30]),
    ):
        assert np.bincount(labels).tolist() == counts


def test_validation_images_follow_training_images(monkeypatch):
    monkeypatch.setattr("lemonade_tf.datasets.splits._ROWS", 500)  # copied at a time
    digits = load_dataset("digits")
    joined = with_validation_images(digits)
    assert len(joined.x_train) == len(joined.y_train) == 1497
    np.testing.assert_array_equal(joined.x_train[:1200], digits.x_train)
    np.testing.assert_array_equal(joined.x_train[1200:], digits.x_validation)
    np.testing.assert_array_equal(joined.y_train[1200:], digits.y_validation)
    assert (joined.x_train.dtype, joined.y_train.dtype) == (np.uint8, np.int32)
    assert joined.rescaling() == digits.rescaling()  # of the training images alone
