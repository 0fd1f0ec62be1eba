from pathlib import Path

import pytest

from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.runs.same_images import check_same_images, describe_images
from lemonade_tf.store import StoreError

DIGITS = load_dataset("digits")


def test_the_same_images():
    check_same_images(Path("run"), DIGITS, {"seed": 3, **describe_images(DIGITS)})
    check_same_images(Path("run"), DIGITS, {"num_classes": 10})  # of a run by other means


@pytest.mark.parametrize("name", describe_images(DIGITS))
def test_other_images(name):
    before = {**describe_images(DIGITS), name: "another"}
    words = rf"the data set digits is not what the search in run began with \({name} was another,"
    with pytest.raises(StoreError, match=words):
        check_same_images(Path("run"), DIGITS, before)
