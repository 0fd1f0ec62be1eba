"""Data sets of TensorFlow Datasets, with a stand-in for that package."""

import pytest

from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.datasets.loading import load_dataset

PACKAGE = """
import numpy as np

class Image: pass

class ClassLabel:
    names = ["cat", "dog"]

class Builder:
    class info:
        features = {"image": Image(), "label": ClassLabel()}
        splits = {"train": 0, "test": 0}

    def __init__(self, name):
        if name == "text":
            self.info.features = {"text": object()}

    def download_and_prepare(self): pass

    def as_dataset(self, split, shuffle_files):
        num = {"train": 30, "test": 6}[split]
        for number in range(num):
            pixels = np.full((12, 16, 3), number, np.uint8)
            yield {"image": pixels, "label": -1 if number == 5 else number % 2}

def builder(name, data_dir):
    return Builder(name)

def as_numpy(dataset):
    return dataset
"""


def test_a_data_set_is_read_by_another_process(tmp_path, monkeypatch):
    (tmp_path / "tensorflow_datasets.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    dataset = load_dataset("tfds:pets", cache_dir=tmp_path / "cache")
    assert dataset.class_names == ("cat", "dog")
    assert dataset.input_shape == (12, 16, 3)
    assert (len(dataset.x_train), len(dataset.x_validation), len(dataset.x_test)) == (26, 3, 5)
    assert (dataset.x_train[:, 0, 0, 0] % 2 == dataset.y_train).all()
    with pytest.raises(
        DatasetError, match=r"it has the features text\); expected .* one label each"
    ):
        load_dataset("tfds:text", cache_dir=tmp_path / "cache")


def test_a_missing_package_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("lemonade_tf.datasets.tfds.find_spec", lambda _: None)
    with pytest.raises(DatasetError, match="Run `pip install tensorflow-datasets`"):
        load_dataset("tfds:pets", cache_dir=tmp_path)
