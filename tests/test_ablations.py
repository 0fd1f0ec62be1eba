"""experiments/ablations.py and its modules: how methods are judged, and NSGA-II on the space."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "experiments"

# Code that runs in another process, as flags are those of one script.
JUDGING = """
import json, sys
import judging
networks = [
    {"parameters": 500, "error": 0.4, "test_error": 0.3},
    {"parameters": 10_000, "error": 0.2, "test_error": 0.1},
    {"parameters": 10_000, "error": 0.3, "test_error": 0.0},  # dominated
]
print(json.dumps([
    list(map(float, judging.quality(networks, "test_error", 0.001, largest=1e7, sizes=[9e3, 1e4]))),
    judging.quality([], "error", 0.001, largest=1e7, sizes=[1]),
    judging.signed_rank([1, 2, 3, 4, 5, -6]),
    judging.signed_rank([0, 0]),
    judging.compared([4, 5, 6, 7, 8], [1, 2, 3, 2, 1]),
    judging.lower_equal_higher([1, 2, 3, 4, 5, 9], [2, 4, 6, 8, 10, 3]),
    judging.lower_equal_higher([1, 1], [1, 1]),
    judging.signed_rank([a / 300 - b / 300 for a, b in ((2, 1), (8, 1), (6, 7), (3, 4), (9, 10))]),
]))
"""

REPORT = """
import json
import comparison_report as report
networks = [
    {"parameters": 3_000, "error": 0.2, "test_error": 0.1},
    {"parameters": 500, "error": 0.3, "test_error": 0.4},
    {"parameters": 900, "error": 0.3, "test_error": 0.0},  # dominated
    {"parameters": 5_000, "error": 0.1, "test_error": 0.2},  # by luck better on validation images
]
few = [{"test_error": error} for error in (0.3, 0.4)]
print(json.dumps([
    report.offered(networks, "test_error", [499, 500, 3_500, 9_000]).tolist(),
    len(report.between(networks, 500, 3_000)),
    report.relative_improvement(networks, [*few, {"test_error": 0.8}]),
    report.relative_improvement(networks, few),
    report.relative_improvement([], 3 * few),
    report.spent_on([{"epochs": 2}, {"epochs": 5}], "epochs").tolist(),
]))
"""

PRINTED = """
import json
from types import SimpleNamespace
import comparison_report as report

def run(*errors, seconds=1.0):
    return [
        {
            "parameters": 8_000 - 1_000 * n, "error": error, "test_error": error, "epochs": 4,
            "multiply_adds": 10, "seconds": seconds, "why": "lineage" if n else "generation 1",
            "search_error": 0.3, "search_test_error": 0.5,
        }
        for n, error in enumerate(errors)
    ]

results = {
    "density": [run(0.2, 0.2, 0.1), run(0.3, 0.2, 0.1)],
    "random": [run(0.4, 0.4, 0.3, seconds=0.6), run(0.5, 0.5, 0.2, seconds=0.6)],
    "nsga2": [run(0.0, 0.0, 0.0, seconds=2.0), run(0.1, 0.1, 0.1, seconds=2.0)],
}
data = SimpleNamespace(y_validation=[0] * 100, y_test=[0] * 100)
judge = report.Judge(data, 100_000)
for along in report.ALONG:
    report.print_equal(results, judge, along)
report.print_epochs_needed(results, judge)
report.print_improvement(results, judge)
report.print_retrained([run(0.1, 0.2), run(0.4)], judge)  # one of them without a lineage
runs, budgets = report.cut_equally([results["density"], results["nsga2"]], "seconds")
print(json.dumps([budgets, [[len(each) for each in run] for run in runs]]))
"""

SETTINGS = """
import fcntl, json, sys
from pathlib import Path
from types import SimpleNamespace
from absl import app, flags
from lemonade_tf import LemonadeError
import ablations
folder = Path(sys.argv[1])
flags.FLAGS(["ablations.py", "--workdir", str(folder), "--preset", "minute", "--data_dir", "a"])
ablations.check_settings(folder, ablations.checked_settings())
flags.FLAGS.data_dir = "b"
ablations.check_settings(folder, ablations.checked_settings())
flags.FLAGS.final_epochs, flags.FLAGS.initial_width = 3, 0.5
try:
    ablations.check_settings(folder, ablations.checked_settings())
except app.UsageError as error:
    message = str(error)
file, runs = folder / "density-0.jsonl", iter([[{"error": 0.1}]])
found = [ablations.finished(file, lambda: next(runs)) for _ in range(2)]
with (folder / "density-1.part").open("a") as output:
    fcntl.flock(output, fcntl.LOCK_EX)
    try:
        ablations.finished(folder / "density-1.jsonl", lambda: [])
    except LemonadeError as error:
        found.append(str(error))
(folder / "density-1.part").unlink()
try:
    ablations.networks_of(SimpleNamespace(complete=False, workdir=folder))
except KeyboardInterrupt:
    found.append("stopped")
files = sorted(path.name for path in folder.iterdir())
(folder / "settings.json").unlink()
try:
    ablations.check_settings(folder, {})
except app.UsageError as error:
    found.append(str(error))
print(json.dumps([message, found, files]))
"""

NSGA2 = """
import json
from types import SimpleNamespace
from scratch_training import nsga2
from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.architecture.text import canonical_hash, from_json
from lemonade_tf.objectives.builtin import PARAMETERS
from lemonade_tf.objectives.limits import Limit
from lemonade_tf.presets import make_config
from lemonade_tf.search_spaces import NETWORKS

class Toy:
    def __init__(self):
        self.hashes = []

    def run(self, tasks):
        for task in reversed(tasks):
            graph = from_json(task.architecture)
            self.hashes.append(canonical_hash(graph))
            assert (task.parent_file, task.operators, task.settings.epochs) == (None, (), 3)
            failure = "diverged" if len(self.hashes) == 5 else None
            parameters = count_parameters(graph)
            result = SimpleNamespace(
                id=task.id, failure=failure, parameters=parameters, error=1 / parameters**0.3,
                test_error=0.5, epochs=3, multiply_adds=count_multiply_adds(graph), num_images=10,
                seconds={"total": 1.5},
            )
            yield SimpleNamespace(failure=None, result=result)

found, initial = [], [g.copy(weights=False) for g in NETWORKS.initial_graphs((8, 8, 1), 10)][:1]
for seed in (1, 1, 2):
    toy = Toy()
    config = make_config("quick", seed=seed, epochs=3, num_proposed=12, num_accepted=6)
    found.append(nsga2(toy, NETWORKS, [Limit(PARAMETERS, 30_000)], initial, config, 16))
    assert len(set(toy.hashes)) == len(toy.hashes)
print(json.dumps(found))
"""


def lines_of(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def run(code, *arguments):
    return json.loads(lines_of(code, *arguments)[-1])


def test_a_front_is_chosen_by_validation_and_judged_by_any_error():
    (volume, log_volume, *lowest), nothing, ahead, equal, apart, lower, tied, images = run(JUDGING)
    # Sizes in decimal logarithms, from 1,000 parameters up: 3 to 4 at 0.3, 4 to 7 at 0.1.
    assert volume == pytest.approx(0.6 + 3 * 0.8)
    logs = [math.log10(0.9 / (error + 0.001)) for error in (0.3, 0.1)]
    assert log_volume == pytest.approx(logs[0] + 3 * logs[1])
    assert lowest == [0.3, 0.1]
    assert nothing == [0, 0, 1]
    assert ahead == "5 of 6 (p = 0.438)"  # exact: 28 of the 64 signs have a sum of ranks as extreme
    assert equal == "0 of 2 (p = 1.000)"
    assert apart.startswith("5 of 5 (p = 0.062; unpaired 0.01")  # all ours above all theirs
    assert lower == ["5/0/1", "0.438"]
    assert tied == ["0/2/0", "1.000"]
    assert images == "2 of 5 (p = 1.000)"  # 4 differ by one image, though not in floating point


def test_test_errors_are_of_networks_chosen_by_validation():
    offered, between, improvement, too_few, nothing, spent = run(REPORT)
    assert offered == [1.0, 0.4, 0.1, 0.2]
    assert between == 2  # more than 500, at most 3,000
    assert improvement == pytest.approx(0.8 / 0.5 - 1)
    assert too_few is nothing is None
    assert spent == [2, 7]


def test_methods_are_compared_after_the_smaller_budget_of_a_pair():
    *lines, last = lines_of(PRINTED)
    # The last two networks of NSGA-II would be complete after 4 and 6 seconds. After the 1.8 of
    # random search it has none, so that density would be ahead in both seeds.
    assert json.loads(last) == [[3.0, 3.0], [[3, 3], [1, 1]]]
    ahead = [line for line in lines if line.startswith("density ahead of nsga2")]
    in_networks, *_, in_seconds = ahead[::2]
    assert len(ahead) == 8  # four budgets, two kinds of errors
    assert in_networks.startswith("density ahead of nsga2 in 0 of 2 ")
    assert in_seconds.startswith("density ahead of nsga2 in 1 of 2 ")
    # Random search has its hypervolume after all of its twelve epochs, density after four or less.
    needed = {line.split()[0]: line.split()[1:] for line in lines if line.endswith(" 0 of 2")}
    assert needed["random"] == ["1.00", "0", "of", "2"]
    assert float(needed["density"][0]) < 1
    better = "density" + " " * 20
    assert any(line.startswith(better) and "%, 2" in line for line in lines)
    assert "test error: 50.00 % found, 20.00 % from new weights (mean epochs 4.0)" in "".join(lines)


def test_results_are_kept_and_not_mixed_with_those_of_other_settings(tmp_path):
    message, found, files = run(SETTINGS, tmp_path)
    assert "was started with other settings (final_epochs, initial_width); choose" in message
    once, again, shared, stopped, unknown = found
    assert (once, again, stopped) == ([{"error": 0.1}], [{"error": 0.1}], "stopped")
    assert "density-1.jsonl is being made by another process" in shared
    assert "has results but no settings.json" in unknown
    assert files == ["density-0.jsonl", "settings.json"]


@pytest.mark.slow
def test_nsga2_trains_different_networks_of_the_space_within_the_limits():
    first, again, other = run(NSGA2)
    assert first == again != other
    for networks in (first, other):
        assert len(networks) == 16
        assert all(625 <= network["parameters"] <= 30_000 for network in networks)
        assert len({network["id"] for network in networks}) == 16  # a failed one is left out
        assert {network["seconds"] for network in networks} == {1.5}
        # Survivors of a front of one population are spread over sizes.
        sizes = [network["parameters"] for network in networks]
        assert max(sizes) > 2 * min(sizes)
