import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from lemonade_tf.datasets import array_files
from lemonade_tf.datasets.array_files import ArrayFiles
from lemonade_tf.datasets.loading import load_datasets
from lemonade_tf.datasets.source import NamedDatasets, SharedDatasets


@pytest.fixture
def named(tmp_path):
    rng = np.random.default_rng(0)
    for name, num in (("large", 1500), ("small", 50)):
        images = rng.integers(0, 256, (num, 4, 4, 3), dtype=np.uint8)
        np.savez(tmp_path / f"{name}.npz", x_train=images, y_train=np.arange(num) % 3)
    return NamedDatasets(f"{tmp_path / 'large.npz'},{tmp_path / 'small.npz'}")


def test_shared_data_sets_are_those_that_were_loaded(named, tmp_path, monkeypatch):
    monkeypatch.setattr(array_files, "_LARGE", 10_000)
    expected, expected_extra = named.load()
    with ArrayFiles(tmp_path / "cache") as files:
        loaded = load_datasets(named.dataset, allocate=files.allocate)
        content = pickle.dumps(SharedDatasets.of(*loaded))
        assert len(content) < expected.x_train.nbytes / 2  # without the large arrays
        source = pickle.loads(content)
        copies = {path: str(tmp_path / Path(path).name) for path in source.paths}
        for path, copy in copies.items():
            shutil.copy(path, copy)
        assert len(copies) == 1
        first, extra = source.load()
        moved, _ = source.with_paths(copies).load()
    assert moved.digest() == expected.digest()  # though the files are gone
    assert [isinstance(d.x_train, np.memmap) for d in (first, extra["small"])] == [True, False]
    for found, wanted in ((first, expected), (extra["small"], expected_extra["small"])):
        assert found.digest() == wanted.digest()
        assert (found.name, found.num_classes) == (wanted.name, 3)
        assert found.known_rescaling == wanted.rescaling()
