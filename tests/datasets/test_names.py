"""Settings that list several data sets, and the names of the extra ones."""

from pathlib import Path

import pytest

from lemonade_tf.datasets.dataset_error import DatasetNameError
from lemonade_tf.datasets.names import extra_dataset_names, file_id, join_datasets, parse_datasets


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ("digits", "digits"),
        (Path("a/b.npz"), "a/b.npz"),
        (["cifar10", Path("b.npz")], "cifar10,b.npz"),
        (("digits",), "digits"),
    ],
)
def test_join_datasets_returns_a_comma_separated_setting(given, setting):
    assert join_datasets(given) == setting


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("digits", ("digits",)),
        (" a folder/x.npz ", (" a folder/x.npz ",)),  # a single path stays unchanged
        ("cifar10, cifar100", ("cifar10", "cifar100")),
        ("a,,b", ("a", "", "b")),
    ],
)
def test_parse_datasets_splits_at_commas(setting, parts):
    assert parse_datasets(setting) == parts


def test_extra_data_sets_are_named_by_the_stem_of_their_path():
    assert extra_dataset_names("digits") == ()
    assert extra_dataset_names("any thing/at-all.npz") == ()  # the first needs no valid name
    names = extra_dataset_names("my images.npz,cifar100,a/b/flowers_2.npz")
    assert names == ("cifar100", "flowers_2")


@pytest.mark.parametrize("name", ["flowers-2", "a b", "", "x" * 41, "é"])
def test_invalid_names_are_refused(name):
    with pytest.raises(DatasetNameError, match=f"data set '{name}'; expected 1 to 40 letters"):
        extra_dataset_names(f"digits,{name}.npz" if name else "digits,")


@pytest.mark.parametrize("setting", ["a/x.npz,b/x.npz", "cifar10,cifar10", "y,x,x.npz"])
def test_duplicate_names_are_refused(setting):
    with pytest.raises(DatasetNameError, match=r"names data sets .*; expected a different name"):
        extra_dataset_names(setting)


def test_only_files_of_extra_data_sets_carry_the_name():
    assert file_id("3-1", None) == "3-1"
    assert file_id("3-1", "cifar100") == "3-1.cifar100"
