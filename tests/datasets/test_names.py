"""Several data sets in one setting, and what each is called."""

from pathlib import Path

import pytest

from lemonade_tf.datasets.names import DataNameError, datasets_of, file_id, further_names, joined


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ("digits", "digits"),
        (Path("a/b.npz"), "a/b.npz"),
        (["cifar10", Path("b.npz")], "cifar10,b.npz"),
        (("digits",), "digits"),
    ],
)
def test_data_sets_are_one_setting(given, setting):
    assert joined(given) == setting


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("digits", ("digits",)),
        (" a folder/x.npz ", (" a folder/x.npz ",)),  # one path is taken as it is
        ("cifar10, cifar100", ("cifar10", "cifar100")),
        ("a,,b", ("a", "", "b")),
    ],
)
def test_a_setting_is_taken_apart(setting, parts):
    assert datasets_of(setting) == parts


def test_further_ones_are_called_by_their_files():
    assert further_names("digits") == ()
    assert further_names("any thing/at-all.npz") == ()  # the first has no name
    assert further_names("my images.npz,cifar100,a/b/flowers_2.npz") == ("cifar100", "flowers_2")


@pytest.mark.parametrize("name", ["flowers-2", "a b", "", "x" * 41, "é"])
def test_what_cannot_be_part_of_a_name(name):
    with pytest.raises(DataNameError, match=f"called '{name}'; expected up to 40 letters"):
        further_names(f"digits,{name}.npz" if name else "digits,")


@pytest.mark.parametrize("setting", ["a/x.npz,b/x.npz", "cifar10,cifar10", "y,x,x.npz"])
def test_names_are_different(setting):
    with pytest.raises(DataNameError, match=r"of the same name, .*; expected different ones"):
        further_names(setting)


def test_files_of_the_first_have_the_plain_name():
    assert file_id("3-1", None) == "3-1"
    assert file_id("3-1", "cifar100") == "3-1.cifar100"
