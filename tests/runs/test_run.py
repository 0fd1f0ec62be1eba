"""A run as read from its folder."""

import numpy as np
import pytest
from runs import HISTORY, line, make_run, make_run_in

from lemonade_tf.runs import read_run
from lemonade_tf.runs.choosing import choose
from lemonade_tf.runs.quality import front_hypervolume


@pytest.fixture
def run(tmp_path):
    return read_run(make_run(tmp_path / "run"))


def ids(networks):
    return [network.id for network in networks]


def test_the_front_after_each_generation(run):
    assert ids(run.front(0)) == ["0-0", "0-1", "0-2"]
    assert ids(run.front(1)) == ["0-0", "1-0", "0-2"]
    assert ids(run.front(2)) == ids(run.front()) == ["2-1", "1-0", "0-2"]
    assert run.num_generations == 2


def test_failed_networks_are_not_trained(run):
    assert len(run.history) == len(HISTORY)
    assert "1-3" not in ids(run.trained)


def test_of_equal_networks_the_older_generation_is_on_the_front(tmp_path):
    history = (line("0-0", 0.3, 1000), line("1-0", 0.3, 1000))
    assert ids(read_run(make_run(tmp_path / "run", history)).front()) == ["0-0"]


def test_of_equal_networks_the_oldest_is_on_the_front_in_any_order_of_completion(tmp_path):
    history = (
        line("1-10", 0.3, 1000),
        line("1-9", 0.3, 1000),
        line("2-0", 0.2, 2000),
        line("1-11", 0.2, 2000),
    )
    run = read_run(make_run(tmp_path / "run", history))
    assert ids(run.front()) == ids(run.front(2)) == ["1-9", "1-11"]
    assert ids(run.trained) == ["1-10", "1-9", "2-0", "1-11"]


def test_ties_between_errors_are_broken_where_the_search_did(tmp_path):
    values = (("0-0", 1000, 0.215), ("1-0", 2000, 0.203), ("1-1", 3000, 0.206), ("1-2", 4000, 0.3))
    history = [line(i, 0.2, size, ranked_errors={"error": e}) for i, size, e in values]
    run = read_run(make_run(tmp_path / "run", history))
    assert ids(run.front()) == ["0-0", "1-0"]
    assert choose(run, "lowest error").id == choose(run, "lowest error: error<=20%").id == "1-0"
    assert choose(run, "smallest: error<=0.2").id == "0-0"
    usual = [line(i, 0.2, size) for i, size, _ in values]
    other = read_run(make_run(tmp_path / "usual", usual))
    assert ids(other.front()) == [choose(other, "lowest error").id] == ["0-0"]
    # The hypervolume is that of the errors alone.
    assert run.hypervolumes().tolist() == other.hypervolumes().tolist()


def test_values_with_equal_logarithms_differ(tmp_path):
    small, large = 10**15, 10**15 + 1
    assert np.log10(small) == np.log10(large)
    history = (line("0-0", 0.1, large), line("0-1", 0.1, small))
    assert ids(read_run(make_run(tmp_path / "run", history)).front()) == ["0-1"]


def test_the_hypervolume_never_decreases_and_ends_at_that_of_the_front(run):
    values = run.hypervolumes()
    assert len(values) == len(run.trained)
    assert (np.diff(values) >= 0).all()
    # By hand: steps of the front in error times log10(parameters), from the smallest network on.
    steps = [(0.25, 800, 4_000), (0.15, 4_000, 50_000), (0.10, 50_000, 500_000)]
    expected = sum((0.9 - error) * np.log10(after / size) for error, size, after in steps)
    assert values[-1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("num_objectives", [2, 3, 5, 7])
def test_every_hypervolume_is_that_of_the_front_so_far(tmp_path, num_objectives):
    run = make_run_in(tmp_path / "run", num_objectives)
    values, reference = run.hypervolumes(), run.config.reference_point
    for count in (1, 7, 30, 60):
        points = [line.objectives for line in run.trained[:count]]
        expected = front_hypervolume(run.objectives, points, reference)
        assert values[count - 1] == pytest.approx(expected, rel=1e-12)


def test_cheap_objectives_come_first(tmp_path):
    run = make_run_in(tmp_path / "run", 7)
    top5_error, *cheap = run.objectives[:0:-1]
    vars(run)["objectives"] = (top5_error, run.error, *reversed(cheap))
    assert run.error.name == "error"
    assert [objective.name for objective in run.others] == [
        "parameters",
        "multiply_adds",
        "file_bytes",
        "latency",
        "peak_memory",
        "top5_error",
    ]
    sizes = [line.objectives["parameters"] for line in run.front()]
    assert sizes == sorted(sizes)
