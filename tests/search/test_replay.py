"""What can be replayed, and what is refused."""

import pytest
from toy_training import Break, cut, results, toy_executor, toy_search

from lemonade_tf.config import ConfigError, SearchConfig
from lemonade_tf.runs import read_run
from lemonade_tf.search import SearchError, search
from lemonade_tf.store import RunStore, StoreError

ASYNCHRONOUS = {"mode": "asynchronous", "in_process": True}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished asynchronous search."""
    workdir = tmp_path_factory.mktemp("finished") / "run"
    toy_search(workdir, workers=7, max_hours=9.0, seed=5, **ASYNCHRONOUS)
    return str(workdir)


def replay(workdir, run, **settings):
    """Replay a run, with its settings where none are given."""
    return search(workdir=str(workdir), replay=run, executor=toy_executor(), **settings)


def test_settings_that_are_not_given_are_those_of_the_run(tmp_path, run):
    assert replay(tmp_path / "again", run, workers=1).complete
    assert results(tmp_path / "again") == results(run)
    found, expected = (RunStore.open(path).read_config() for path in (tmp_path / "again", run))
    own = {"workdir": str(tmp_path / "again"), "workers": 1, "max_hours": None, "replay": run}
    assert found.settings == {**expected.settings, **own}
    assert found.reference_point == expected.reference_point


def test_a_config_is_compared_as_a_whole(tmp_path, run):
    settings = {**RunStore.open(run).read_config().settings, "replay": run}
    config = SearchConfig.from_flat({**settings, "workdir": str(tmp_path / "again")})
    assert search(config, executor=toy_executor()).complete
    config = SearchConfig(mode="asynchronous", replay=run)
    with pytest.raises(ConfigError, match=r"cannot replay with different settings: .*--filters"):
        search(config, executor=toy_executor())


def test_a_replay_can_be_replayed(tmp_path, run):
    replay(tmp_path / "first", run)
    replay(tmp_path / "second", str(tmp_path / "first"))
    assert results(tmp_path / "second") == results(run)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": 6}, "cannot replay with different settings: --seed was 5, now 6"),
        ({"num_generations": 4}, "--num_generations was 3, now 4"),
        ({"preset": "digits"}, "--num_proposed was 10, now 80"),
        ({"ray_address": "auto"}, "--ray_address has no effect here; .* use --executor ray"),
        ({"mode": "generational"}, "--mode generational; expected --mode asynchronous"),
    ],
)
def test_different_settings_are_refused(tmp_path, run, settings, message):
    with pytest.raises(ConfigError, match=message):
        replay(tmp_path / "again", run, **settings)
    assert not (tmp_path / "again").exists()


def test_a_search_with_generations_is_refused(tmp_path):
    toy_search(tmp_path / "run", in_process=True, num_generations=0)
    with pytest.raises(ConfigError, match="was not made with --mode asynchronous"):
        replay(tmp_path / "again", str(tmp_path / "run"))


@pytest.mark.parametrize("after", [2, 9])
def test_a_run_that_is_not_finished_is_refused(tmp_path, after):
    workdir = cut(tmp_path / "run", after, mode="asynchronous")
    with pytest.raises(ConfigError, match=r"is not finished; finish it with .* --resume"):
        replay(tmp_path / "again", str(workdir))
    toy_search(workdir, resume=True, **ASYNCHRONOUS)
    assert replay(tmp_path / "again", str(workdir)).complete


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(StoreError, match="nothing is not a folder; expected the --workdir of"):
        replay(tmp_path / "again", str(tmp_path / "nothing"))


def test_resuming_requires_the_replayed_run(tmp_path, run):
    toy_search(tmp_path / "other", seed=6, **ASYNCHRONOUS)
    with pytest.raises(KeyboardInterrupt):
        replay(tmp_path / "again", run, callbacks=[Break(9)])
    for other in (str(tmp_path / "other"), None):
        with pytest.raises(ConfigError, match="cannot resume with different settings: --replay"):
            replay(tmp_path / "again", other, resume=True)
    store = RunStore.open(run)
    history = store.history.read()
    store.history.replace([history[1], history[0], *history[2:]])
    with pytest.raises(ConfigError, match="is not the run that was replayed so far"):
        replay(tmp_path / "again", run, resume=True)
    store.history.replace(history)
    assert replay(tmp_path / "again", run, resume=True).complete
    assert results(tmp_path / "again") == results(run)


@pytest.mark.parametrize("num_generations", [2, 4])
def test_a_replay_is_as_long_as_the_replayed_run(tmp_path, run, num_generations):
    with pytest.raises(KeyboardInterrupt):
        replay(tmp_path / "again", run, callbacks=[Break(4)])
    message = f"--num_generations is {num_generations}, but 3 in .*choose 3"
    with pytest.raises(ConfigError, match=message):
        replay(tmp_path / "again", run, resume=True, num_generations=num_generations)
    assert replay(tmp_path / "again", run, resume=True).complete


# --- Results that differ ---------------------------------------------------------------------


def test_failures_are_copied(tmp_path, run, monkeypatch):
    """An initial network and two children fail; a replay could not make them fail again."""
    ids = [record.id for record in read_run(run).history]
    monkeypatch.setenv("TOY_FAULT", f"raise:{ids[1]}")
    toy_search(tmp_path / "run", seed=5, **ASYNCHRONOUS)
    children = [record.id for record in read_run(tmp_path / "run").history][4:]
    monkeypatch.setenv("TOY_FAULT", f"raise:{ids[1]},{children[0]},{children[-1]}")
    toy_search(tmp_path / "failed", seed=5, **ASYNCHRONOUS)
    monkeypatch.delenv("TOY_FAULT")
    failed = {r.id for r in read_run(tmp_path / "failed").history if r.failure is not None}
    assert {ids[1], children[0]} <= failed
    replay(tmp_path / "again", str(tmp_path / "failed"))
    assert results(tmp_path / "again") == results(tmp_path / "failed")


def test_a_new_failure_ends_the_replay(tmp_path, run, monkeypatch):
    victim = read_run(run).history[8].id
    monkeypatch.setenv("TOY_FAULT", f"raise:{victim}")
    with pytest.raises(SearchError, match=f"network {victim} failed, but not in .*: ValueError"):
        replay(tmp_path / "again", run)
    assert len(read_run(tmp_path / "again").history) == 8
    monkeypatch.delenv("TOY_FAULT")
    assert replay(tmp_path / "again", run, resume=True).complete
    assert results(tmp_path / "again") == results(run)


def test_another_result_ends_the_replay(tmp_path, run, monkeypatch):
    """As with a GPU, or another version of Keras."""
    victim = read_run(run).history[8].id
    train = toy_executor()._setup().__class__._train

    def train_differently(self, task):
        result = train(self, task)
        if task.id == victim:
            object.__setattr__(result, "error", result.error + 0.001)
        return result

    monkeypatch.setattr("toy_training.Toy._train", train_differently)
    with pytest.raises(SearchError, match=f"network {victim} has the error .*, in .* GPU kernels"):
        replay(tmp_path / "again", run)


def test_another_proposal_ends_the_replay(tmp_path, run, monkeypatch):
    from lemonade_tf.search import graph_evolution

    propose = graph_evolution._propose

    def propose_differently(setup, parent, *, rng):
        return propose(setup, parent, rng=rng if parent.generation else rng.spawn(1)[0])

    monkeypatch.setattr(graph_evolution, "_propose", propose_differently)
    with pytest.raises(SearchError, match="other children are proposed for slot 0 than in"):
        replay(tmp_path / "again", run)
