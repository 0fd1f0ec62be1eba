"""Data sets by name, and several in one setting."""

import numpy as np
import pytest

from lemonade_tf.datasets.dataset_error import DatasetError, UnknownDatasetError
from lemonade_tf.datasets.loading import load_dataset, load_datasets


def _npz(path, shape=(8, 8, 1)):
    images = np.random.default_rng(0).integers(0, 256, (40, *shape), dtype=np.uint8)
    np.savez(path, x_train=images, y_train=np.arange(40) % 4)
    return path


def test_an_unknown_name_lists_the_known_ones():
    message = r"unknown data set 'mnist9'; expected one of cifar10, cifar100, digits, imagenet16, "
    message += "imagenet32, imagenet64, tfds:NAME, or the path of a folder"
    with pytest.raises(UnknownDatasetError, match=message):
        load_dataset("mnist9")


def test_a_file_of_any_suffix_is_read_as_npz(tmp_path):
    path = _npz(tmp_path / "a.npz").rename(tmp_path / "images")
    assert load_dataset(path).num_classes == 4


def test_extra_data_sets_are_returned_by_name(tmp_path):
    first, extra = load_datasets(f"digits,{_npz(tmp_path / 'a.npz')}")
    assert first.name == "digits"
    assert [*extra] == ["a"]
    assert extra["a"].num_classes == 4


def test_a_single_data_set_has_no_extra_ones():
    first, extra = load_datasets("digits")
    assert (first.name, extra) == ("digits", {})


def test_a_path_with_a_comma_is_named(tmp_path):
    path = _npz(tmp_path / "a.npz").rename(tmp_path / "a,b.npz")
    with pytest.raises(DatasetError, match=r"a,b.npz contains a comma, which separates data sets"):
        load_datasets(str(path))


def test_data_sets_of_different_image_shapes_are_refused(tmp_path):
    path = _npz(tmp_path / "a.npz", (9, 8, 1))
    with pytest.raises(DatasetError, match="a has images of 9x8x1, digits of 8x8x1; expected the"):
        load_datasets(f"digits,{path}")
