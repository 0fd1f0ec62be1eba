"""experiments/equal_time.py: how searches are judged."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "experiments"

NETWORKS = [
    {"seconds": 5, "parameters": 500, "error": 0.4, "test_error": 0.3},
    {"seconds": 9, "parameters": 10_000, "error": 0.2, "test_error": 0.1},
    {"seconds": 9, "parameters": 10_000, "error": 0.3, "test_error": 0.0},  # dominated
    {"seconds": 99, "parameters": 10_000, "error": 0.0, "test_error": 0.0},  # too late
]
TIED = [
    {"seconds": 5, "parameters": 500, "error": 0.2, "ranked_error": 0.25, "test_error": 0.3},
    {"seconds": 9, "parameters": 10_000, "error": 0.2, "ranked_error": 0.21, "test_error": 0.1},
]
# In another process, as flags are those of one script.
CODE = """
import json, sys
import equal_time
networks = json.loads(sys.argv[1])
times = (10, "test_error"), (1, "error")
found = [equal_time.quality_after(networks, seconds, 0.001, kind) for seconds, kind in times]
print(json.dumps([list(map(float, each)) for each in found]))
"""


def judged(networks):
    command = [sys.executable, "-c", CODE, json.dumps(networks)]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_a_front_is_chosen_by_validation_and_judged_by_any_error():
    (volume, log_volume, *lowest), nothing = judged(NETWORKS)
    # Sizes in decimal logarithms, from 1,000 parameters up: 3 to 4 at 0.3, 4 to 7 at 0.1.
    assert volume == pytest.approx(0.6 + 3 * 0.8)
    logs = [math.log10(0.9 / (error + 0.001)) for error in (0.3, 0.1)]
    assert log_volume == pytest.approx(logs[0] + 3 * logs[1])
    assert lowest == [0.3, 0.3, 0.3, 0.3, 0.1, 0.1, 0.1]
    assert nothing == [0.0, 0.0, *[1.0] * 7]  # of no network within a second


def test_a_search_that_breaks_ties_has_its_own_front():
    assert judged(TIED)[0][2:] == [0.3, 0.3, 0.3, 0.3, 0.1, 0.1, 0.1]
    without = [{k: v for k, v in each.items() if k != "ranked_error"} for each in TIED]
    assert judged(without)[0][2:] == [0.3] * 7  # the larger one is dominated
