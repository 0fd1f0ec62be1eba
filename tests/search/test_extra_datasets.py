"""A search over several data sets: one architecture, a network for each (A.3)."""

import csv
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from data_sets import write_data_sets
from toy_training import Break, cut, results, toy_executor, toy_search

from lemonade_tf.architecture.text import from_json, same_architecture
from lemonade_tf.baselines.random_search import random_search
from lemonade_tf.config import ConfigError
from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.datasets.loading import load_dataset, load_datasets
from lemonade_tf.evolution import Individual
from lemonade_tf.operators import OPERATORS, record, replay
from lemonade_tf.presets import make_config
from lemonade_tf.report import table_rows, write_report
from lemonade_tf.runs import read_run
from lemonade_tf.search import search as run_search
from lemonade_tf.search.child_tasks import ChildTasks
from lemonade_tf.search.extra_datasets import extra_datasets
from lemonade_tf.search.warm_start import WarmStartNetwork
from lemonade_tf.search_spaces import CELLS, NETWORKS
from lemonade_tf.store import HISTORY, ModelFiles, RecordList, RunStore, StoreError, describe_file


@pytest.fixture(scope="module")
def data_sets(tmp_path_factory):
    return write_data_sets(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def search(data_sets):
    """A toy search on both."""

    def run(workdir, **settings):
        given = {"dataset": data_sets, "preset": "quick", "num_generations": 2, **settings}
        return toy_search(workdir, in_process=True, **given)

    return run


@pytest.fixture(scope="module")
def whole(search, tmp_path_factory):
    """The folder of a search that was not interrupted."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    assert search(workdir).complete
    return workdir


# --- The run folder ----------------------------------------------------------------------------


def test_the_error_on_each_data_set_is_an_objective(whole):
    run = read_run(whole)
    names = ["error", "error_odd", "parameters"]
    assert run.config.settings["objectives"] == names
    assert [o.name for o in run.objectives] == names
    assert run.config.reference_point["error"] == pytest.approx(0.9)
    assert run.config.reference_point["error_odd"] == 0.5
    for line in run.trained:
        assert list(line.objectives) == names
        assert line.objectives["error"] != line.objectives["error_odd"]
        odd = line.extra_datasets["odd"]
        assert 0 < odd.test_error < 1
        assert odd.losses != line.losses
        assert odd.batch_size == line.batch_size
        assert line.seconds == {"train": 0.06, "total": 0.06}
        assert line.num_images == 200


def test_the_settings_describe_all_images(whole):
    config = read_run(whole).config
    assert [Path(name).name for name in config.dataset.split(",")] == ["tens.npz", "odd.npz"]
    assert config.images.num_classes == 10
    odd = config.extra_datasets["odd"]
    assert odd.num_classes == 2
    assert odd.num_images == {"training": 135, "validation": 15, "test": 50}
    assert odd.sha256 != config.images.sha256


def test_the_front_has_a_file_and_a_test_error_for_each(whole):
    run = read_run(whole)
    with (whole / "front.csv").open() as file:
        rows = list(csv.DictReader(file))
    header = ["id", "file", "error", "error_odd", "parameters", "test_error", "test_error_odd"]
    assert list(rows[0]) == header
    lines = {line.id: line for line in run.trained}
    names = set()
    for row in rows:
        line = lines[row["id"]]
        assert float(row["test_error_odd"]) == line.extra_datasets["odd"].test_error
        run.store.models.check(row["id"], line.file)
        run.store.models.check(f"{row['id']}.odd", line.extra_datasets["odd"].file)
        names |= {f"{row['id']}.h5", f"{row['id']}.odd.h5"}
    assert {path.name for path in (whole / "models").iterdir()} == names


def test_the_files_of_a_network_are_of_one_architecture(whole):
    for line in read_run(whole).front():
        first, other = (
            from_json((whole / "models" / f"{line.id}{name}.h5").read_text())
            for name in ("", ".odd")
        )
        assert list(first) == list(other)
        assert (first.shapes()[first.output], other.shapes()[other.output]) == ((10,), (2,))


def test_the_report(whole):
    header, rows = table_rows(read_run(whole))
    assert header[:4] == ["id", "parameters", "error odd", "validation error"]
    assert header[4:] == ["test error", "test error odd", "made by"]
    assert all(cell.endswith(" %") for row in rows for cell in row[2:6])
    assert write_report(read_run(whole)).is_file()


def test_one_data_set_leaves_no_extra_records(tmp_path):
    toy_search(tmp_path / "run", in_process=True, num_generations=0)
    run = read_run(tmp_path / "run")
    assert run.config.extra_datasets == {}
    assert all(record.extra_datasets == {} for record in run.history)
    header = (tmp_path / "run" / "front.csv").read_text().splitlines()[0]
    assert header == "id,file,error,parameters,test_error"


# --- Interruptions and failures ----------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 4, 6])
def test_a_stopped_search_resumes_to_the_same_result(tmp_path, search, whole, data_sets, after):
    given = {"dataset": data_sets, "preset": "quick", "num_generations": 2}
    workdir = cut(tmp_path / "run", after, **given)
    assert search(workdir, resume=True).complete
    assert results(workdir) == results(whole)


@pytest.mark.parametrize(
    ("before", "call"), [(ModelFiles.adopt, 2), (ModelFiles.adopt, 12), (RecordList.append, 5)]
)
def test_killed_between_the_files_and_the_line_of_a_network(tmp_path, search, whole, before, call):
    """The second call to adopt is for the first network's file on the first data set."""
    calls = []

    def killed(self, *arguments):
        if isinstance(self, ModelFiles) or self.path.name == HISTORY:
            calls.append(arguments)
        if len(calls) == call:
            raise KeyboardInterrupt
        return before(self, *arguments)

    workdir, owner = tmp_path / "run", {ModelFiles.adopt: ModelFiles}.get(before, RecordList)
    with patch.object(owner, before.__name__, killed), pytest.raises(KeyboardInterrupt):
        search(workdir)
    assert search(workdir, resume=True).complete
    assert results(workdir) == results(whole)


def test_a_failure_on_one_data_set_is_a_failure_of_the_network(
    tmp_path, search, whole, monkeypatch
):
    failing = next(line.id for line in read_run(whole).history if line.generation == 1)
    monkeypatch.setenv("TOY_FAULT", f"raise:{failing}.odd")
    search(tmp_path / "run", keep_all=True)
    lines = {line.id: line for line in read_run(tmp_path / "run").history}
    failed = [line for line in lines.values() if line.failure]
    assert [line.id for line in failed] == [failing]
    assert failed[0].failure == f"ValueError: on odd: no luck with {failing}"
    assert failed[0].file is None
    assert not list((tmp_path / "run").rglob(f"{failing}*.h5"))


def test_changed_images_of_an_extra_data_set_are_refused(tmp_path, search):
    workdir = tmp_path / "run"
    search(workdir, num_generations=0)
    store = RunStore.open(workdir)
    config = store.read_config()
    odd = replace(config.extra_datasets["odd"], sha256="0" * 64)
    store.write_config(replace(config, extra_datasets={"odd": odd}))
    with pytest.raises(StoreError, match=r"odd\.npz has changed since .*sha256 was 000"):
        search(workdir, resume=True)


def test_a_damaged_file_of_an_extra_data_set_is_refused(tmp_path, search):
    workdir = tmp_path / "run"
    search(workdir, num_generations=0)
    damaged = workdir / "models" / "0-0.odd.h5"
    damaged.write_text("{}")
    with pytest.raises(StoreError, match=r"0-0\.odd\.h5 has changed since the search wrote it"):
        search(workdir, resume=True)


def test_pinned_networks_keep_all_files(tmp_path, search):
    workdir = tmp_path / "run"
    search(workdir, num_generations=0, keep_all=True)
    dominated = {line.id for line in read_run(workdir).trained}
    dominated -= {line.id for line in read_run(workdir).front()}
    RunStore.open(workdir).models.pin(list(dominated))
    search(workdir, resume=True, keep_all=False)
    for id_ in dominated:
        assert (workdir / "models" / f"{id_}.h5").is_file()
        assert (workdir / "models" / f"{id_}.odd.h5").is_file()


def test_other_data_sets_are_refused_on_resuming(tmp_path, search, data_sets):
    workdir = tmp_path / "run"
    search(workdir, num_generations=0)
    for changed in (data_sets[0], "digits,cifar10"):
        with pytest.raises(ConfigError, match=f"--dataset was .*odd.npz, now {changed};.*--obj"):
            search(workdir, resume=True, dataset=changed)


# --- The first data set ------------------------------------------------------------------------


def task_of(individual, extra, tmp_path, inherits):
    return ChildTasks(3, RunStore(tmp_path), (), ("top5_error",), extra, None, None, inherits).task(
        individual
    )


@pytest.mark.parametrize(("parent", "inherits"), [(None, True), ("0-1", True), ("0-1", False)])
def test_the_task_on_the_first_data_set_is_the_same_without_extra_ones(
    data_sets, tmp_path, parent, inherits
):
    _, extra = load_datasets(",".join(data_sets))
    graph = NETWORKS.initial_graphs((8, 8, 1), 10)[0].copy(weights=False)
    generation = 0 if parent is None else 1
    individual = Individual(generation, 7, parent, (), graph, {})
    alone = task_of(individual, (), tmp_path, inherits)
    task = task_of(individual, extra_datasets(extra), tmp_path, inherits)
    for name in ("id", "output", "parent_file", "architecture", "record", "objectives", "dataset"):
        assert getattr(task, name) == getattr(alone, name)
    for name in ("weights_seed", "training_seed"):
        states = [getattr(t, name).generate_state(2).tolist() for t in (task, alone)]
        assert (
            states[0]
            == states[1]
            != getattr(task.extra_datasets[0], name).generate_state(2).tolist()
        )
    assert task.extra_datasets[0].dataset == "odd"
    assert task.extra_datasets[0].objectives == ()
    if parent is not None and inherits:
        assert task.extra_datasets[0].parent_file == str(tmp_path / "models" / "0-1.odd.h5")
        return
    assert task.parent_file is task.extra_datasets[0].parent_file is None
    other = from_json(task.extra_datasets[0].architecture)
    assert other.shapes()[other.output] == (2,)
    assert other["rescaling"].layer == load_dataset(data_sets[1]).rescaling()


def test_a_previous_run_provides_the_initial_networks_on_all_data_sets(data_sets, tmp_path):
    _, extra = load_datasets(",".join(data_sets))
    file = tmp_path / "8-1.h5"
    file.write_text("a network")
    graph = NETWORKS.initial_graphs((8, 8, 1), 10)[1].copy(weights=False)
    warm_start = WarmStartNetwork("8-1", str(file), describe_file(file), graph)
    tasks = ChildTasks(3, RunStore(tmp_path), [warm_start], (), extra_datasets(extra), None, None)
    task = tasks.task(Individual(0, 0, None, (), graph, {}))
    for each, num_classes in ((task, 10), (task.extra_datasets[0], 2)):
        start = from_json(each.architecture)
        assert (each.parent_file, start.shapes()[start.output]) == (str(file), (num_classes,))
    file.write_text("another")
    with pytest.raises(StoreError, match="is missing or has changed since the search started"):
        tasks.task(Individual(0, 0, None, (), graph, {}))


@pytest.mark.parametrize("space", [NETWORKS, CELLS])
def test_children_on_both_data_sets_differ_only_in_their_last_layers(data_sets, space):
    _, extra = load_datasets(",".join(data_sets))
    [odd] = extra_datasets(extra)
    rng = np.random.default_rng(0)
    for graph in space.initial_graphs((8, 8, 1), 10):
        parent = graph.copy(weights=False)
        for _ in range(8):
            child, operators = space.propose(parent, rng=rng)
            assert odd.allows(parent, operators)
            made = replay(odd.adapt(parent), operators, rng=rng).graph
            assert same_architecture(made, odd.adapt(child))
            assert list(made) == list(odd.adapt(child))
            parent = child


def test_a_child_whose_operators_do_not_apply_on_all_data_sets_is_not_proposed(tmp_path):
    """A narrow layer before the logits saves parameters if there are many classes, not if few."""
    labels = np.arange(1200) % 600
    np.savez(tmp_path / "many.npz", x_train=np.zeros((1200, 8, 8, 1), np.uint8), y_train=labels)
    [many] = extra_datasets({"many": load_dataset(tmp_path / "many.npz")})
    prune, remove = (
        next(o for o in OPERATORS if o.name == name) for name in ("prune_filters", "remove")
    )
    graph = NETWORKS.initial_graphs((8, 8, 1), 2)[0].copy(weights=False)
    operators = []
    for _ in range(6):
        site = next(s for s in prune.candidates(graph) if s.node == "conv_3")
        graph = prune.apply(graph, site, rng=np.random.default_rng(0)).graph
        operators.append(record(prune, site))
    assert many.allows(NETWORKS.initial_graphs((8, 8, 1), 2)[0], operators)
    site = next(s for s in remove.candidates(graph) if s.node == "conv_3")
    assert not many.allows(graph, [record(remove, site)])


# --- Refusals ----------------------------------------------------------------------------------


def test_images_of_different_sizes(tmp_path, data_sets):
    labels = np.arange(40) % 2
    np.savez(tmp_path / "large.npz", x_train=np.zeros((40, 9, 9, 1), np.uint8), y_train=labels)
    with pytest.raises(DatasetError, match=r"large has images of 9x9x1, .* of 8x8x1"):
        load_datasets(f"{data_sets[0]},{tmp_path / 'large.npz'}")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "digits,flowers-2.npz"}, "--dataset: .* data set 'flowers-2'; expected 1 to"),
        ({"dataset": "a/x.npz,b/x.npz"}, "--dataset: .* data sets x, x; expected a different"),
        ({"dataset": "digits,"}, "--dataset: .* data set ''"),
        (
            {"objectives": ("error", "error_cifar100", "parameters")},
            r"--objectives: 'error_cifar100' .* which --dataset digits does not list",
        ),
        (
            {"dataset": "digits,cifar10", "objectives": ("error_cifar10", "parameters")},
            "--objectives: .*expected error and at least one cheap",
        ),
        (
            {"dataset": "digits,cifar10", "limit": {"error_cifar10": 0.5}},
            "--limit: .* measured on the trained network",
        ),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        make_config(**settings)


def test_unlisted_errors_are_added_and_others_keep_their_place():
    def objectives(*names):
        return make_config(dataset=("digits", "cifar10"), objectives=names).objectives

    for one in ("flowers.npz", Path("flowers.npz"), [Path("flowers.npz")]):
        assert make_config(dataset=one).dataset == "flowers.npz"
    by_default = make_config(dataset="digits,cifar10").objectives
    assert by_default == ("error", "error_cifar10", "parameters")
    assert objectives("parameters", "error") == ("parameters", "error", "error_cifar10")
    given = ("error_cifar10", "parameters", "error")
    assert objectives(*given) == given


# --- Random search -----------------------------------------------------------------------------


def test_random_search_trains_on_all_data_sets(tmp_path, whole):
    result = random_search(read_run(whole), tmp_path / "run", seed=0, executor=toy_executor())
    assert {"error_odd", "test_error_odd"} <= result.front[0].keys()
    assert len(read_run(tmp_path / "run").trained) == len(read_run(whole).trained)


# --- Real training -----------------------------------------------------------------------------


@pytest.mark.slow
def test_trained_networks_of_a_stopped_and_resumed_search(tmp_path, data_sets):
    import keras

    given = {"preset": "quick", "dataset": data_sets, "num_generations": 1, "workers": 1}
    given |= {"num_accepted": 2, "limit": {"parameters": 60_000}}
    whole = run_search(workdir=str(tmp_path / "whole"), **given)
    workdir = str(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        run_search(workdir=workdir, callbacks=[Break(3)], **given)
    result = run_search(workdir=workdir, resume=True)
    assert results(workdir) == results(whole.workdir)
    for row in result.front:
        for name, column in zip(data_sets, ("error", "error_odd"), strict=True):
            data = load_dataset(name)
            path = (
                f"{workdir}/models/{row['id']}{column.removeprefix('error').replace('_', '.')}.h5"
            )
            for part, expected in (("validation", column), ("test", f"test_{column}")):
                images, labels = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
                found = keras.models.load_model(path).predict(images, verbose=0).argmax(axis=1)
                assert row[expected] == pytest.approx((found != labels).mean())
