"""A run folder, for tests of its contents."""

import pytest
from run_folders import CONFIG

from lemonade_tf.store import RunStore


@pytest.fixture
def store(tmp_path):
    return RunStore.create(tmp_path / "run", CONFIG)
