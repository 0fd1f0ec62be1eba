"""A run folder, and the result of an uninterrupted search."""

import pytest
from run_folders import CONFIG
from toy_training import results, toy_search

from lemonade_tf.store import RunStore


@pytest.fixture
def store(tmp_path):
    return RunStore.create(tmp_path / "run", CONFIG)


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The results of an uninterrupted search."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    assert toy_search(workdir, in_process=True).complete
    return results(workdir)
