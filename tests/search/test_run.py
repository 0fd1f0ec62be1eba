import platform

import numpy as np
import pytest

from lemonade_tf.config import make_config
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.search.run import SearchRun
from lemonade_tf.search.setup import begin, versions


def test_versions_of_what_is_installed():
    found = versions(("numpy", "no-such-package"))
    assert found == {"python": platform.python_version(), "numpy": np.__version__}


def test_a_run_begins_with_a_folder_and_the_initial_networks(tmp_path):
    config = make_config("quick", workdir=str(tmp_path / "run"))
    data = load_dataset("digits")
    run = SearchRun(begin(config, data), data, (), started=0.0)
    recorded = run.store.read_config()
    assert recorded.reference_point["error"] == pytest.approx(0.9)
    assert recorded.reference_point["parameters"] == 10 * 399_534
    assert recorded.images.num_images == {"training": 1200, "validation": 297, "test": 300}
    assert run.state.num_expected == 4 + config.num_generations * config.num_accepted
    assert run.rows() == []
