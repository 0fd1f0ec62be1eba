"""Whether a data set is still the one that a run started with."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.runs.same_images import check_same_images, describe_images
from lemonade_tf.store import ImagesRecord, StoreError

DIGITS = load_dataset("digits")


def test_the_same_images_pass():
    check_same_images(Path("run"), DIGITS, describe_images(DIGITS).as_stored())


@pytest.mark.parametrize("name", [field.name for field in fields(ImagesRecord)])
def test_a_difference_is_named(name):
    recorded = replace(describe_images(DIGITS), **{name: "another"})
    message = rf"digits has changed since the search in run started: {name} was another, now"
    with pytest.raises(StoreError, match=message):
        check_same_images(Path("run"), DIGITS, recorded)
