"""experiments/equal_time.py: how searches are judged."""

import importlib.util
import math
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "experiments" / "equal_time.py"


@pytest.fixture(scope="module")
def script():
    pytest.importorskip("absl")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)
        spec = importlib.util.spec_from_file_location("equal_time_script", SCRIPT)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


NETWORKS = [
    {"seconds": 5, "parameters": 500, "error": 0.4, "test_error": 0.3},
    {"seconds": 9, "parameters": 10_000, "error": 0.2, "test_error": 0.1},
    {"seconds": 9, "parameters": 10_000, "error": 0.3, "test_error": 0.0},  # dominated
    {"seconds": 99, "parameters": 10_000, "error": 0.0, "test_error": 0.0},  # too late
]


def test_a_front_is_chosen_by_validation_and_judged_by_any_error(script):
    volume, log_volume, *lowest = script.quality(NETWORKS, 10, 0.001, "test_error")
    # Sizes in decimal logarithms, from 1,000 parameters up: 3 to 4 at 0.3, 4 to 7 at 0.1.
    assert volume == pytest.approx(0.6 + 3 * 0.8)
    logs = [math.log10(0.9 / (error + 0.001)) for error in (0.3, 0.1)]
    assert log_volume == pytest.approx(logs[0] + 3 * logs[1])
    assert lowest == [0.3, 0.3, 0.3, 0.3, 0.1, 0.1, 0.1]


def test_without_a_network_everything_is_an_error(script):
    assert script.quality(NETWORKS, 1, 0.001, "error") == [0.0, 0.0, *[1.0] * 7]
