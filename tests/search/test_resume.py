"""Resuming a search gives the same result as an uninterrupted one, or is refused with a reason."""

from dataclasses import replace
from unittest.mock import patch

import pytest
from runs import CONFIG, change_images, make_run
from toy_training import SETTINGS, Break, accepted, cut, results, toy_executor, toy_search

from lemonade_tf.architecture.text import canonical_hash, from_json
from lemonade_tf.config import ConfigError
from lemonade_tf.monitoring.callback import Callback
from lemonade_tf.presets import make_config
from lemonade_tf.runs import read_run
from lemonade_tf.search import SearchError, search
from lemonade_tf.store import RandomSearchRecord, RunStore, StoreError

# --- The same result -------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 3, 4, 5, 9, 12, 15])
def test_a_resumed_search_ends_like_an_uninterrupted_one(tmp_path, whole, after):
    workdir = cut(tmp_path / "run", after)
    before = (workdir / "history.jsonl").read_bytes()
    result = toy_search(workdir, in_process=True, resume=True)
    assert result.complete
    assert results(workdir) == whole
    assert (workdir / "history.jsonl").read_bytes().startswith(before)
    assert result.hypervolume > 0


def test_a_search_can_be_resumed_repeatedly(tmp_path, whole):
    workdir = cut(tmp_path / "run", 2)
    for _ in range(4):
        cut(workdir, 3, resume=True)
    assert toy_search(workdir, in_process=True, resume=True).complete
    assert results(workdir) == whole


def test_a_folder_without_a_run_starts_one(tmp_path, whole):
    assert toy_search(tmp_path / "run", in_process=True, resume=True).complete
    assert results(tmp_path / "run") == whole


def test_resuming_a_finished_run_trains_nothing(tmp_path, whole):
    toy_search(tmp_path / "run", in_process=True)
    ended = Break(1)
    result = toy_search(tmp_path / "run", in_process=True, resume=True, callbacks=[ended])
    assert result.complete
    assert ended.left == 1
    assert results(tmp_path / "run") == whole


@pytest.mark.parametrize("first", [0, 1])
def test_more_generations_give_the_same_as_a_longer_search(tmp_path, whole, first):
    toy_search(tmp_path / "run", in_process=True, num_generations=first)
    toy_search(tmp_path / "run", in_process=True, resume=True, num_generations=3)
    assert results(tmp_path / "run") == whole
    assert RunStore.open(tmp_path / "run").read_config().settings["num_generations"] == 3


def test_all_initial_networks_are_parents_in_the_first_generation(tmp_path, whole):
    """Their files are kept for that, though some are dominated."""
    toy_search(tmp_path / "run", in_process=True, num_generations=0)
    store = RunStore.open(tmp_path / "run")
    files = {path.stem for path in (tmp_path / "run" / "models").glob("*.h5")}
    assert files == {record.id for record in store.history.read()} == {"0-0", "0-1", "0-2", "0-3"}
    assert len(store.read_front()) < 4 if hasattr(store, "read_front") else True
    assert len(read_run(tmp_path / "run").front()) < 4
    parents = {r.parent for r in whole["history"].values() if r.generation == 1}
    assert parents <= files


def test_settings_that_are_not_given_are_taken_from_the_run(tmp_path):
    workdir = cut(tmp_path / "run", 6, seed=5, num_accepted=3)
    with patch("toy_training.SETTINGS", {}):
        toy_search(workdir, in_process=True, resume=True)
    toy_search(tmp_path / "again", in_process=True, seed=5, num_accepted=3)
    assert results(workdir) == results(tmp_path / "again")


def test_the_augmentation_that_follows_from_the_size_of_the_images_is_recorded(tmp_path):
    workdir = tmp_path / "run"
    config = make_config("paper", workdir=str(workdir), num_generations=0)
    assert config.training.pad is config.training.cutout is None
    for resume in (False, True):  # with the same config
        assert search(config, executor=toy_executor(), resume=resume).complete
        settings = RunStore.open(workdir).read_config().settings
        assert (settings["pad"], settings["cutout"], settings["flip"]) == (1, 4, True)
    with pytest.raises(ConfigError, match="--cutout was 4, now 3"):
        search(workdir=str(workdir), executor=toy_executor(), resume=True, cutout=3)


def test_widths_are_multiples_of_a_number_in_a_resumed_search(tmp_path):
    settings = {"width_multiple": 8, "num_proposed": 20, "num_accepted": 8}
    whole = tmp_path / "whole"
    toy_search(whole, in_process=True, **settings)
    workdir = cut(tmp_path / "run", 15, **settings)
    toy_search(workdir, in_process=True, resume=True, **settings)
    assert results(workdir) == results(whole)
    operators = [o for record in results(whole)["history"].values() for o in record.operators]
    of_widths = [o for o in operators if o["operator"] in ("widen_convolution", "prune_filters")]
    assert len(of_widths) > 5
    assert all(("multiple" in o["site"]) == (o in of_widths) for o in operators)
    with pytest.raises(ConfigError, match=r"--width_multiple was 8, now 1"):
        toy_search(workdir, in_process=True, resume=True, **{**settings, "width_multiple": 1})


def test_children_without_inheritance_start_from_new_weights(tmp_path):
    tasks, executor = [], toy_executor()
    train = executor.run

    def run(given, *, deadline=None):
        return train((tasks.append(task) or task for task in given), deadline=deadline)

    executor.run = run
    settings = {**SETTINGS, "inheritance": "none", "workdir": str(tmp_path / "whole")}
    assert search(executor=executor, **settings).complete
    whole = results(tmp_path / "whole")
    assert len(tasks) == len(whole["history"]) == 16
    for task in tasks:
        record = whole["history"][task.id]
        assert (task.operators, task.parent_file, record.lineage_epochs) == ((), None, 1)
        assert canonical_hash(from_json(task.architecture)) == record.architecture_hash
        assert task.record["operators"] == list(record.operators)
        assert (record.parent is None) == (record.generation == 0)
        assert task.settings.distillation_epochs == 0
    workdir = cut(tmp_path / "run", 6, inheritance="none")
    assert toy_search(workdir, in_process=True, resume=True).complete
    assert results(workdir) == whole
    with pytest.raises(ConfigError, match="--inheritance was none, now parent"):
        search(workdir=str(workdir), executor=toy_executor(), resume=True, inheritance="parent")


def test_the_state_of_callbacks_is_restored(tmp_path):
    seen = []

    class Watch(Callback):
        def on_search_begin(self, state):
            seen.append((state.num_trained, state.num_recalled, state.generation, len(state.front)))
            seen.append(state.hypervolume > 0)

    workdir = cut(tmp_path / "run", 9)
    front = len((workdir / "front.csv").read_text().splitlines()) - 1
    toy_search(workdir, in_process=True, resume=True, callbacks=[Watch()])
    assert seen == [(9, 9, 2, front), True]


def test_failed_children_stay_failed(tmp_path, whole, monkeypatch):
    monkeypatch.setenv("TOY_FAULT", "raise:" + accepted(whole, 1)[0])
    toy_search(tmp_path / "run", in_process=True)
    workdir = cut(tmp_path / "cut", 9)
    monkeypatch.delenv("TOY_FAULT")
    toy_search(workdir, in_process=True, resume=True)
    assert results(workdir) == results(tmp_path / "run")
    failures = [line.failure for line in results(workdir)["history"].values()]
    assert len(failures) - failures.count(None) == 1


@pytest.mark.parametrize("error", [StoreError("front.csv: No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", [1, 3, 5])
def test_an_interruption_between_the_record_and_the_front_is_repaired(
    tmp_path, whole, monkeypatch, error, call
):
    calls, write = [], RunStore.write_front

    def fail(*arguments):
        calls.append(arguments)
        if len(calls) == call:
            raise error
        write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "write_front", fail)
        with pytest.raises(type(error)):
            toy_search(tmp_path / "run", in_process=True)
    assert toy_search(tmp_path / "run", in_process=True, resume=True).complete
    assert results(tmp_path / "run") == whole


# --- What is refused -------------------------------------------------------------------------


def test_settings_without_an_effect_are_refused(tmp_path):
    workdir = cut(tmp_path / "run", 5)
    with pytest.raises(ConfigError, match="--latency_protocol has no effect here"):
        toy_search(workdir, resume=True, latency_protocol="paper")


def test_an_executor_without_an_effect_of_the_strategy_is_refused(tmp_path):
    workdir = cut(tmp_path / "run", 5, strategy="mirrored")
    with pytest.raises(ConfigError, match=r"--strategy has no effect here; .* --gpus_per_child 2"):
        search(workdir=str(workdir), resume=True, executor="ray")


def test_a_search_without_a_trained_initial_network_cannot_be_resumed(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_FAULT", "diverge")
    message = r"no initial network could be trained\. .*start over in another --workdir"
    for resume in (False, True):
        with pytest.raises(SearchError, match=message):
            toy_search(tmp_path / "run", in_process=True, resume=resume)


def test_changed_settings_are_listed(tmp_path):
    workdir = cut(tmp_path / "run", 5)
    before = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError) as error:
        toy_search(workdir, resume=True, seed=7, epochs=9, workers=1, max_hours=3.0)
    for words in ("--seed was 0, now 7", "--epochs was 2, now 9", "--num_generations"):
        assert words in str(error.value)
    assert "--workers was" not in str(error.value)
    assert before == {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}


def test_resume_requires_workdir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="--resume needs --workdir"):
        search(resume=True)
    assert list(tmp_path.iterdir()) == []


def test_fewer_generations_than_finished_are_refused(tmp_path):
    toy_search(tmp_path / "run", in_process=True, num_generations=2)
    with pytest.raises(ConfigError, match=r"--num_generations is 1; the search .* finished 2"):
        toy_search(tmp_path / "run", in_process=True, num_generations=1, resume=True)
    assert not RunStore.open(tmp_path / "run").is_locked()


def test_fewer_generations_than_started_are_refused(tmp_path):
    workdir = cut(tmp_path / "run", 9)  # in the second of four each, after three initial networks
    for number, words in (
        (0, "has already finished 1"),
        (1, "is in generation 2. Choose at least"),
    ):
        with pytest.raises(ConfigError, match=f"--num_generations is {number}; .*run {words}"):
            toy_search(workdir, in_process=True, num_generations=number, resume=True)
    assert toy_search(workdir, in_process=True, num_generations=2, resume=True).complete
    assert max(line.generation for line in RunStore.open(workdir).history.read()) == 2


def test_a_random_search_cannot_be_resumed(tmp_path):
    config = replace(CONFIG, random_search=RandomSearchRecord("runs/1", "parameters", [1, 2]))
    folder = make_run(tmp_path / "run", config=config)
    with pytest.raises(ConfigError, match="run is a random search, which cannot be resumed"):
        search(workdir=str(folder), resume=True)


def test_a_run_of_format_1_cannot_be_resumed(tmp_path):
    (tmp_path / "config.json").write_text('{"seed": 3}')
    with pytest.raises(StoreError, match="is a run folder of format 1; expected format 2"):
        toy_search(tmp_path, resume=True)


def test_a_folder_in_use_by_another_process_is_refused(tmp_path):
    workdir = cut(tmp_path / "run", 5)
    holder = RunStore.open(workdir)
    holder.lock()
    with pytest.raises(StoreError, match="in use by another process"):
        toy_search(workdir, resume=True)
    holder.release()


def test_a_changed_data_set_is_refused(tmp_path):
    workdir = cut(tmp_path / "run", 5)
    change_images(workdir, sha256="0" * 64)
    with pytest.raises(StoreError, match=r"digits has changed since .*sha256 was 000"):
        toy_search(workdir, resume=True)


def test_a_version_that_proposes_other_children_is_refused(tmp_path):
    workdir = cut(tmp_path / "run", 6)
    store = RunStore.open(workdir)
    proposals = store.proposals.read()
    other = replace(proposals[0], parent="0-1" if proposals[0].parent != "0-1" else "0-2")
    store.proposals.replace([other, *proposals[1:]])
    with pytest.raises(StoreError, match="has different children for generation 1"):
        toy_search(workdir, in_process=True, resume=True)


def test_a_version_that_rebuilds_other_networks_is_refused_and_changes_nothing(tmp_path):
    class Watch(Callback):
        events = 0

        def on_search_begin(self, state):
            self.events += 1

        def on_search_end(self, state):
            self.events += 1

    workdir, watch = cut(tmp_path / "run", 6, keep_all=True), Watch()
    store = RunStore.open(workdir)
    first, *others = store.history.read()
    store.history.replace([replace(first, architecture_hash="0" * 64), *others])
    before = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    given = {"in_process": True, "resume": True, "keep_all": False, "callbacks": [watch]}
    with pytest.raises(StoreError, match=f"the network {first.id}, rebuilt .* differs from the"):
        toy_search(workdir, **given)
    assert before == {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    assert watch.events == 0
    assert not store.is_locked()


def test_other_versions_are_a_warning(tmp_path, caplog):
    workdir = cut(tmp_path / "run", 5)
    store = RunStore.open(workdir)
    config = store.read_config()
    store.write_config(replace(config, versions={**config.versions, "numpy": "1.0"}))
    toy_search(workdir, in_process=True, resume=True)
    assert "numpy was 1.0, now " in caplog.text
