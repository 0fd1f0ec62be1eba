"""A child on several data sets: merging of results, and real training."""

from dataclasses import replace

import numpy as np
import pytest

from lemonade_tf.architecture.text import to_json
from lemonade_tf.backends.batch_transform import NO_AUGMENTATION
from lemonade_tf.keras_bridge import load_graph, load_model, load_record
from lemonade_tf.search_spaces.adaptation import adapt_network
from lemonade_tf.workers.child import train_child
from lemonade_tf.workers.several_datasets import merge_results, train_on_all
from lemonade_tf.workers.tasks import ChildResult, ChildTask
from lemonade_tf.workers.worker import Worker

FIRST = ChildResult(
    "3-1",
    error=0.25,
    test_error=0.3,
    seconds={"load": 1.0, "train": 4.0, "total": 5.0},
    losses=(2.0, 1.0),
    epochs=2,
    batch_size=64,
    num_images=400,
    images_per_second=100.0,
    parameters=1000,
    multiply_adds=5000,
    measured={"top5_error": 0.1},
)
OTHER = replace(
    FIRST,
    error=0.5,
    test_error=None,
    seconds={"train": 2.0, "total": 2.0},
    num_images=100,
    images_per_second=50.0,
    measured={},
)


def test_results_are_merged():
    result = merge_results(FIRST, {"odd": OTHER})
    assert result.measured == {"top5_error": 0.1, "error_odd": 0.5}
    assert result.seconds == {"load": 1.0, "train": 6.0, "total": 7.0}
    assert (result.num_images, result.images_per_second) == (500, 500 / 6)
    assert result.extra_datasets == {"odd": OTHER}
    same = ("error", "test_error", "losses", "epochs", "batch_size", "parameters")
    assert all(getattr(result, name) == getattr(FIRST, name) for name in same)
    assert merge_results(FIRST, {}) is FIRST


def test_a_failure_on_one_data_set_is_a_failure_of_the_child():
    failed = ChildResult("3-1", failure="diverged: nan", seconds={"total": 2.0})
    result = merge_results(FIRST, {"odd": OTHER, "even": failed})
    assert result.failure == "on even: diverged: nan"
    assert result.seconds["total"] == 9.0
    assert (result.error, result.parameters, dict(result.measured)) == (None, 1000, {})


def make_task(folder, *names):
    """Return the task of a child on the first data set and on named extra ones."""
    seed = np.random.SeedSequence(0)
    tasks = [
        ChildTask("3-1", (), str(folder / f"{n}.h5"), seed, seed, architecture="{}", dataset=n)
        for n in (None, *names)
    ]
    return replace(tasks[0], extra_datasets=tuple(tasks[1:]))


def test_after_a_failure_nothing_is_trained_and_no_file_is_left(tmp_path):
    trained = []

    def train(task):
        trained.append(task.dataset)
        open(task.output, "w").close()
        return replace(FIRST, failure="too large" if task.dataset == "a" else None)

    result = train_on_all(make_task(tmp_path, "a", "b"), train)
    assert (result.failure, trained) == ("on a: too large", [None, "a"])
    assert list(tmp_path.iterdir()) == []


def test_an_exception_names_the_data_set_and_no_file_is_left(tmp_path):
    def train(task):
        open(task.output, "w").close()
        if task.dataset == "a":
            raise ValueError("no luck")
        return FIRST

    with pytest.raises(ValueError, match=r"^on a: no luck$"):
        train_on_all(make_task(tmp_path, "a", "b"), train)
    assert list(tmp_path.iterdir()) == []


def test_an_os_error_is_raised_unchanged(tmp_path):
    def train(task):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as error:
        train_on_all(make_task(tmp_path, "a"), train)
    assert error.value.errno == 28


# --- Real training ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def odd(digits):
    """Digits as inverted images, labeled by whether they are odd."""
    inverted = {f"x_{part}": 255 - getattr(digits, f"x_{part}") for part in PARTS}
    labels = {f"y_{part}": getattr(digits, f"y_{part}") % 2 for part in PARTS}
    return replace(digits, name="odd", num_classes=2, **inverted, **labels)


PARTS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def odd_parent(network, odd, settings, tmp_path_factory):
    """The file of the parent's network for `odd`."""
    path = str(tmp_path_factory.mktemp("odd") / "parent.odd.h5")
    graph = adapt_network(network, odd.input_shape, 2, odd.rescaling())
    seed = np.random.SeedSequence(3)
    task = ChildTask("parent", (), path, seed, seed, architecture=to_json(graph), dataset="odd")
    assert train_child(task, odd, settings).failure is None
    return path


def child(folder, parent_file, odd_parent, *operators):
    """Return the task of a child on both data sets."""
    first, second = (
        ChildTask(
            "3-1",
            operators,
            str(folder / f"{name}.h5"),
            np.random.SeedSequence(number),
            np.random.SeedSequence(10 + number),
            parent,
            dataset=name,
        )
        for number, (name, parent) in enumerate([(None, parent_file), ("odd", odd_parent)])
    )
    return replace(first, extra_datasets=(second,))


@pytest.fixture(scope="module")
def child_settings(settings):
    """Settings under which weights hardly change, so that their start is visible."""
    return replace(settings, epochs=1, learning_rate=1e-9)


def test_each_network_inherits_from_the_parents_network_for_its_data_set(
    digits, odd, child_settings, parent_file, odd_parent, insertion, tmp_path
):
    worker = Worker(digits, child_settings, NO_AUGMENTATION, {"odd": (odd, NO_AUGMENTATION)})
    task = child(tmp_path, parent_file, odd_parent, insertion)
    result = worker(task)
    assert result.failure is None
    for data, each, parent in (
        (digits, task, parent_file),
        (odd, task.extra_datasets[0], odd_parent),
    ):
        [before, after] = (
            load_model(path).predict(data.x_validation, verbose=0) for path in (parent, each.output)
        )
        assert after.shape == (100, data.num_classes)
        assert np.abs(after - before).max() < 0.15  # the statistics of the batch norms move a bit
        wrong = float((after.argmax(axis=1) != data.y_validation).mean())
        assert wrong == (result.error if data is digits else result.measured["error_odd"])
    assert list(load_graph(task.output)) == list(load_graph(task.extra_datasets[0].output))
    record = load_record(task.extra_datasets[0].output)
    assert record["dataset"] == "odd"
    assert record["objectives"]["error"] == result.measured["error_odd"]
    assert "dataset" not in load_record(task.output)


@pytest.mark.slow
def test_extra_data_sets_do_not_change_the_network_for_the_first(
    digits, odd, settings, parent_file, odd_parent, insertion, tmp_path, assert_equal_weights
):
    prune = {"operator": "prune_filters", "site": {"node": "conv_2", "fraction": "1/2"}}
    task = child(tmp_path, parent_file, odd_parent, insertion, prune)
    alone = replace(task, output=str(tmp_path / "alone.h5"), extra_datasets=())
    expected = Worker(digits, settings, NO_AUGMENTATION)(alone)
    result = Worker(digits, settings, NO_AUGMENTATION, {"odd": (odd, NO_AUGMENTATION)})(task)
    assert result.error == expected.error
    assert result.losses == expected.losses
    assert len(result.extra_datasets["odd"].distillation_losses) == settings.distillation_epochs
    assert_equal_weights(load_graph(task.output), load_graph(alone.output))
