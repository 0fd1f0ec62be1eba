"""Arrays in Python as a data set."""

import numpy as np
import pytest

from lemonade_tf.datasets.dataset_error import DatasetError, DatasetNameError
from lemonade_tf.datasets.given_arrays import is_arrays, save_arrays
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.datasets.names import join_datasets

X = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
Y = np.arange(40) % 4


@pytest.mark.parametrize(
    ("dataset", "num_validation", "num_test"),
    [
        ((X, Y), 4, None),
        ([X[..., 0], Y.tolist()], 4, None),
        ((X.tolist(), Y.tolist()), 4, None),
        ((list(X), list(Y)), 4, None),
        (((X, Y), (X[:9], Y[:9])), 4, 9),
        (((X, Y), (X[:20], Y[:20]), (X[:9], Y[:9])), 20, 9),
        ({"X_train": X, "y_train": np.eye(4)[Y], "x_val": X[:8], "y_val": Y[:8]}, 8, None),
    ],
    ids=[
        "pair",
        "list",
        "pair of lists",
        "list of images",
        "as in keras.datasets",
        "three parts",
        "names",
    ],
)
def test_arrays_become_a_data_set(tmp_path, dataset, num_validation, num_test):
    assert is_arrays(dataset)
    path = save_arrays(dataset, tmp_path / "data")
    loaded = load_dataset(path)
    assert len(loaded.x_validation) == num_validation
    assert loaded.input_shape == (8, 8, 1)
    assert num_test == (None if loaded.x_test is None else len(loaded.x_test))
    assert np.bincount(loaded.y_train).min() >= 9
    before = (tmp_path / "data").stat().st_mtime_ns
    assert save_arrays(dataset, tmp_path / "data") == path
    assert (tmp_path / "data").stat().st_mtime_ns == before  # it was there


def test_other_arrays_are_another_data_set(tmp_path):
    brighter = X.copy()
    brighter[3, 2, 1] ^= 1
    paths = {save_arrays((x, Y), tmp_path) for x in (X, brighter, X.astype(np.float32))}
    assert len(paths) == 3
    assert {path.name for path in tmp_path.iterdir()} == {path.rpartition("/")[2] for path in paths}


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (X, r"dataset is a ndarray; expected \(x_train, y_train\), "),
        ((X, Y, X, Y), r"dataset is a tuple of 4; expected \(x_train, y_train\)"),
        (((X, Y, Y),), r"dataset is a tuple of 1; expected"),
        ((X, [object()] * 40), r"dataset: y_train is a list of 40, no array of numbers; expected"),
        ((X, [[1, 2], [3]]), r"dataset: y_train is no array of numbers \(.*inhomogeneous"),
        ((X, Y.astype("M8[s]")), r"^dataset: y_train has dtype datetime64\[s\]; expected non-neg"),
        ((X / 255, Y), r"^dataset: x_train has pixels from 0 to 1; .* Multiply them by 255\.$"),
        (((X, Y), (X / 255, Y)), r"^dataset: x_test has images of shape .* expected the same"),
        (
            {"x_train": X, "labels": Y},
            "^dataset has no array y_train, only x_train, labels;",
        ),
    ],
)
def test_other_values_are_refused_and_leave_no_file(tmp_path, dataset, message):
    with pytest.raises(DatasetError, match=message) as raised:
        save_arrays(dataset, tmp_path)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"saved as .*file/arrays-\w{12}\.npz .*data_dir"):
        save_arrays((X, Y), tmp_path / "file")


def test_names_and_paths_are_no_arrays(tmp_path):
    for dataset in ("digits", tmp_path / "a.npz", ("digits", tmp_path / "a.npz"), ["digits"]):
        assert not is_arrays(dataset)
    for dataset in (7, iter([X, Y]), (X, Y)):
        with pytest.raises(DatasetNameError, match=r"got a .*; expected names or paths of"):
            join_datasets(dataset)
