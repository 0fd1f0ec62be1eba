"""Random search."""

import os
import signal
from dataclasses import replace
from math import log

import numpy as np
import pytest
from runs import CONFIG, line, make_run, with_settings
from toy_training import toy_executor

from lemonade_tf import load_graph
from lemonade_tf.architecture import check
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.text import canonical_hash
from lemonade_tf.baselines import random_search
from lemonade_tf.baselines.random_search import (
    SIZE_TOLERANCE,
    random_networks,
    random_walk,
    size_of,
)
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.monitoring.callback import Callback
from lemonade_tf.monitoring.status import read_status, status_lines
from lemonade_tf.objectives import MULTIPLY_ADDS, PARAMETERS, Limit
from lemonade_tf.operators import replay
from lemonade_tf.presets import make_config
from lemonade_tf.report import table_rows, write_report
from lemonade_tf.runs import read_run
from lemonade_tf.runs.quality import reference_point
from lemonade_tf.runs.same_images import describe_images
from lemonade_tf.search import SearchError
from lemonade_tf.search_spaces import NETWORKS
from lemonade_tf.store import StoreError

INITIAL = [g.copy(weights=False) for g in NETWORKS.initial_graphs((8, 8, 1), 10)]
BOUNDS = (4_000, 400_000)


def draw(count, seed=0, bounds=BOUNDS, size=PARAMETERS, **more):
    return random_networks(NETWORKS, INITIAL, count, size=size, bounds=bounds, seed=seed, **more)


@pytest.fixture(scope="module")
def networks():
    return draw(30)


def test_networks_are_in_the_space_and_within_the_size_range(networks):
    assert len(networks) == 30
    for walk in networks:
        check(walk.graph)
        assert NETWORKS.allows(walk.graph)
        assert BOUNDS[0] <= count_parameters(walk.graph) <= BOUNDS[1]


def test_all_networks_are_different(networks):
    assert len({canonical_hash(walk.graph) for walk in networks}) == len(networks)


def test_networks_are_within_the_limits(networks):
    most = float(np.median([MULTIPLY_ADDS.value(walk.graph) for walk in networks]))
    found = draw(10, limits=[Limit(MULTIPLY_ADDS, most)])
    assert max(MULTIPLY_ADDS.value(walk.graph) for walk in found) <= most


def test_sizes_are_spread_over_the_range_on_a_log_scale(networks):
    places = [
        log(count_parameters(walk.graph) / BOUNDS[0]) / log(BOUNDS[1] / BOUNDS[0])
        for walk in networks
    ]
    counts, _ = np.histogram(places, bins=3, range=(0, 1))
    assert counts.min() >= 4  # of 10 expected


def test_a_walk_is_recorded(networks):
    for walk in networks[:5]:
        rng = np.random.default_rng(0)
        graph = replay(INITIAL[walk.initial], walk.operators, rng=rng).graph
        assert canonical_hash(graph) == canonical_hash(walk.graph)


def test_a_larger_number_extends_the_networks_of_the_same_seed(networks):
    again = draw(3)
    assert [w.operators for w in again] == [w.operators for w in networks[:3]]
    assert draw(1, seed=1)[0].operators != again[0].operators


@pytest.mark.parametrize("target", [1_000, 30_000, 3_000_000])
def test_a_walk_ends_near_its_target(target):
    rng = np.random.default_rng(0)
    given = {"size": PARAMETERS, "target": target, "bounds": (1, 1e9), "rng": rng}
    walk = random_walk(NETWORKS, INITIAL, **given)
    assert target / SIZE_TOLERANCE <= count_parameters(walk.graph) <= target * SIZE_TOLERANCE
    assert len(walk.operators) >= random_search.NUM_FREE_STEPS


def test_a_walk_that_cannot_reach_its_target_gives_up(monkeypatch):
    monkeypatch.setattr(random_search, "MAX_PROPOSALS", 30)
    given = {"size": PARAMETERS, "target": 10, "bounds": (5, 20)}
    assert random_walk(NETWORKS, INITIAL, **given, rng=np.random.default_rng(0)) is None


def test_a_range_without_networks_is_reported(monkeypatch):
    monkeypatch.setattr(random_search, "MAX_PROPOSALS", 15)
    monkeypatch.setattr(random_search, "MAX_WALKS", 2)
    with pytest.raises(SearchError, match=r"found only 0 of 3 networks with 5 to 20 parameters"):
        draw(3, bounds=(5, 20))


def test_the_size_is_the_first_cheap_objective_of_a_run_without_parameters(tmp_path):
    for number, (names, expected) in enumerate(
        [
            (["error", "multiply_adds"], MULTIPLY_ADDS),
            (["error", "multiply_adds", "parameters"], PARAMETERS),
        ]
    ):
        config = with_settings(CONFIG, objectives=names)
        config = replace(config, reference_point=dict.fromkeys(names, 1.0))
        assert size_of(read_run(make_run(tmp_path / str(number), (), config))) == expected


def test_a_run_without_a_trained_network_is_refused(tmp_path):
    run = read_run(make_run(tmp_path / "run", history=(line("0-0", None, 5, failure="diverged"),)))
    with pytest.raises(SearchError, match="no trained network; choose a run"):
        random_search.random_search(run, str(tmp_path / "random"), seed=0)
    assert not (tmp_path / "random").exists()


def test_changed_images_are_refused(tmp_path):
    run = read_run(make_run(tmp_path / "run", HISTORY, CONFIG))
    with pytest.raises(StoreError, match=r"digits has changed since the search in .*run started"):
        random_search.random_search(run, str(tmp_path / "random"), seed=0)
    assert not (tmp_path / "random").exists()


HISTORY = (
    line("0-0", 0.3, 5_000),
    line("0-1", 0.2, 20_000),
    line("1-0", 0.1, 9_000),
    line("1-1", None, 90_000, failure="diverged"),
)


QUICK = replace(
    CONFIG,
    settings=make_config("quick", max_hours=1e-7, mode="asynchronous").as_json(),
    images=describe_images(load_dataset("digits")),
)
REASON = "it is a random search, which cannot be resumed"


class StopAfter(Callback):
    """Asks for the end after so many networks, as Ctrl-C once does."""

    def __init__(self, number):
        self.left = number

    def on_network_end(self, state, record):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(("stop_after", "complete"), [(1, False), (9, True)])
def test_a_stopped_random_search_is_not_complete(tmp_path, monkeypatch, stop_after, complete):
    given = read_run(make_run(tmp_path / "run", HISTORY, QUICK))
    callbacks = [StopAfter(stop_after)]
    result = random_search.random_search(
        given, str(tmp_path / "random"), seed=0, callbacks=callbacks, executor=toy_executor()
    )
    assert (result.complete, result.stopped) == (complete, not complete)
    assert len(read_run(result.workdir).history) == (len(given.trained) if complete else stop_after)
    state = status_lines(read_status(result.workdir), "RUN")[0]
    assert state == ("RUN: finished" if complete else f"RUN: not running; {REASON}")


@pytest.mark.slow
def test_a_random_search_can_be_compared_with_its_run(tmp_path):
    reference = {"error": 0.95, "parameters": 1_234_567}
    given = read_run(make_run(tmp_path / "run", HISTORY, replace(QUICK, reference_point=reference)))
    result = random_search.random_search(given, str(tmp_path / "random"), seed=5, workers=2)
    assert result.complete
    run = read_run(result.workdir)

    assert len(run.history) == len(given.trained)
    assert run.config.settings["epochs"] == given.config.settings["epochs"]
    assert run.config.settings["learning_rate"] == given.config.settings["learning_rate"]
    assert run.config.random_search.range == [5_000, 20_000]
    for entry in run.history:
        assert (entry.generation, entry.parent, entry.operators) == (1, None, [])
        assert 5_000 <= entry.objectives["parameters"] <= 20_000
        assert len(entry.losses) == given.config.settings["epochs"]
        assert not entry.distillation_losses

    assert run.config.reference_point == reference
    assert run.config.reference_point != reference_point(run.objectives, INITIAL, 10)
    assert run.hypervolumes()[-1] == pytest.approx(result.hypervolume)
    files = {path.name for path in (result.workdir / "models").iterdir()}
    assert files == {f"{entry.id}.h5" for entry in run.front()}

    data = load_dataset("digits")
    initial = NETWORKS.initial_graphs(data.input_shape, 10, rescaling=data.rescaling())
    for entry in run.front():
        graph = load_graph(run.store.models.path(entry.id))
        (walk,) = [p for p in run.store.proposals.read() if p.id == entry.id]
        first = initial[int(walk.parent.removeprefix("0-"))].copy(weights=False)
        made = replay(first, walk.operators, rng=np.random.default_rng(0)).graph
        assert canonical_hash(made) == canonical_hash(graph) == entry.architecture_hash

    write_report(run)
    assert {row[-1] for row in table_rows(run)[1]} == {"random"}
