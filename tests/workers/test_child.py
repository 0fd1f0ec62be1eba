import os
import pickle
import re
import subprocess
import sys
import weakref
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from graphs import cells

from lemonade_tf.architecture.cells import extract_cell
from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.architecture.text import same_architecture, to_json
from lemonade_tf.keras_bridge import FileError, load_graph, load_record, save_model
from lemonade_tf.operators import APPROXIMATE, SiteError, record, replay
from lemonade_tf.training.fit import TrainingDiverged, fit
from lemonade_tf.training.settings import STARTS
from lemonade_tf.workers import child as child_module
from lemonade_tf.workers.child import train_child
from lemonade_tf.workers.tasks import ChildTask

PHASES = [
    "load",
    "operators",
    "build",
    "repair",
    "distill",
    "train",
    "compile",
    "wait",
    "evaluate",
    "save",
]


def task(parent_file, output, *operators, seed=5):
    return ChildTask(
        id="17",
        operators=operators,
        output=str(output),
        weights_seed=np.random.SeedSequence(seed),
        training_seed=np.random.SeedSequence(seed + 1),
        parent_file=parent_file,
        record={"parent": "3", "generation": 2},
    )


def without_times(result):
    return replace(result, seconds={}, images_per_second=None)


@pytest.fixture(scope="module")
def pruning(parent_file):
    prune = next(operator for operator in APPROXIMATE if operator.name == "prune_filters")
    site = next(s for s in prune.candidates(load_graph(parent_file)) if s.node == "conv_2")
    return record(prune, site)


def test_a_child_of_an_exact_operator(parent_file, digits, settings, insertion, tmp_path):
    given = task(parent_file, tmp_path / "17.h5", insertion)
    result = train_child(given, digits, settings)
    assert (result.id, result.failure) == ("17", None)
    assert 0 <= result.error < 0.5
    assert 0 <= result.test_error < 0.5
    assert list(result.seconds) == [*PHASES, "total"]
    assert min(result.seconds.values()) >= 0
    assert result.seconds["total"] >= sum(result.seconds[phase] for phase in PHASES)
    assert result.seconds["compile"] > 0
    assert result.images_per_second > result.num_images / result.seconds["total"]
    assert (result.epochs, result.num_images) == (4, 4 * 320)
    assert len(result.losses) == 4
    assert result.distillation_losses == ()

    graph = load_graph(given.output)
    expected = replay(load_graph(parent_file), [insertion], rng=np.random.default_rng(0)).graph
    assert same_architecture(graph, expected)
    assert result.parameters == count_parameters(graph)
    assert result.multiply_adds == count_multiply_adds(graph)


def test_the_file_contains_the_record(parent_file, digits, settings, insertion, tmp_path):
    given = task(parent_file, tmp_path / "17.h5", insertion)
    names = tuple("abcdefghij")
    result = train_child(given, replace(digits, class_names=names), settings)
    record = load_record(given.output)
    counts = record.pop("class_errors")
    assert sum(images for _, _, images in counts) == len(digits.x_validation)
    wrong = sum(errors for _, errors, _ in counts)
    assert wrong == round(result.error * len(digits.x_validation))
    assert record == {
        "class_names": list(names),
        "id": "17",
        "operators": [insertion],
        "objectives": {
            "error": result.error,
            "parameters": result.parameters,
            "multiply_adds": result.multiply_adds,
        },
        "test_error": result.test_error,
        "parent": "3",
        "generation": 2,
    }


def test_a_child_of_an_approximate_operator_is_distilled(
    parent_file, digits, settings, pruning, insertion, tmp_path
):
    given = task(parent_file, tmp_path / "17.h5", pruning, insertion)
    result = train_child(given, digits, settings)
    assert result.failure is None
    assert len(result.distillation_losses) == 2
    assert result.num_images == (4 + 2) * 320
    before, after = result.epsilon["before"], result.epsilon["after"]
    assert 0 < after["kl"] < before["kl"]
    entropy = before["cross_entropy"] - before["kl"]  # of the parent
    assert after["cross_entropy"] - after["kl"] == pytest.approx(entropy)


def test_a_block_of_an_exact_operator_is_not_distilled(
    parent_file, digits, settings, pruning, insertion, tmp_path, monkeypatch
):
    found = []

    def distill(_, names, **__):
        found.extend(names)
        return child_module.FitResult()

    monkeypatch.setattr(child_module, "distill", distill)
    short = replace(settings, epochs=1)
    train_child(task(parent_file, tmp_path / "17.h5", insertion, pruning), digits, short)
    assert found == ["conv_2", "bn_2", "conv_3", "bn_3"]


def test_an_exact_child_has_no_epsilon(parent_file, digits, settings, insertion, tmp_path):
    result = train_child(task(parent_file, tmp_path / "17.h5", insertion), digits, settings)
    assert result.epsilon is None
    assert result.distillation_losses == ()


def test_better_starts_are_closer_to_the_parent(parent_file, digits, settings, pruning, tmp_path):
    found = {}
    for start in STARTS:
        given = replace(settings, epochs=1, distillation_epochs=1, approximate_start=start)
        result = train_child(task(parent_file, tmp_path / f"{start}.h5", pruning), digits, given)
        found[start] = result.epsilon["before"]["kl"]
    assert found["fitted"] < 0.7 * found["inherited"]
    assert found["inherited"] < 0.5 * found["random"]


@pytest.mark.slow
def test_all_copies_of_a_cell_are_changed_repaired_and_distilled(digits, settings, tmp_path):
    parent = cells(2, length=0, num_classes=10)  # one convolution per cell, F = 16
    parent_file, output = str(tmp_path / "3.h5"), tmp_path / "17.h5"
    save_model(parent, parent_file, {})
    prune = {"operator": "prune_filters_in_cells", "site": {"node": "conv_1", "fraction": "1/2"}}
    result = train_child(task(parent_file, output, prune), digits, settings)
    assert result.failure is None
    assert len(result.distillation_losses) == settings.distillation_epochs
    cell, cells_per_block, filters = extract_cell(load_graph(output))
    assert (cell.nodes["conv_1"].layer.filters, cells_per_block, filters) == (2, 2, 16)


def test_the_same_seeds_give_the_same_file(
    parent_file, digits, settings, pruning, insertion, tmp_path, assert_equal_weights
):
    outputs = [tmp_path / "a.h5", tmp_path / "b.h5"]
    results = [
        train_child(task(parent_file, output, insertion, pruning), digits, settings)
        for output in outputs
    ]
    assert_equal_weights(load_graph(outputs[0]), load_graph(outputs[1]))
    first, second = map(without_times, results)
    assert first == second


@pytest.mark.slow
def test_the_file_has_the_recorded_error_in_plain_keras(
    parent_file, digits, settings, insertion, tmp_path
):
    """Keras evaluates the file in a process that cannot import this package."""
    skip = {
        "operator": "add_skip",
        "site": {"source": "relu_1", "target": "relu_2", "kind": "convex_sum"},
    }
    given = task(parent_file, tmp_path / "17.h5", insertion, skip)
    result = train_child(given, digits, settings)
    assert result.failure is None
    np.savez(tmp_path / "test.npz", x=digits.x_test, y=digits.y_test)
    code = (
        "import sys; sys.modules['lemonade_tf'] = None\n"
        "import keras, numpy as np\n"
        "model, test = keras.models.load_model('17.h5'), np.load('test.npz')\n"
        "found = model.predict(test['x'], verbose=0).argmax(axis=1)\n"
        "print((found != test['y']).mean())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert float(done.stdout) == result.test_error


def test_without_test_images_there_is_no_test_error(parent_file, digits, settings, tmp_path):
    data = replace(digits, x_test=None, y_test=None)
    assert train_child(task(parent_file, tmp_path / "a.h5"), data, settings).test_error is None


def test_divergence_is_a_failure_without_a_file(parent_file, digits, settings, insertion, tmp_path):
    wild = replace(settings, learning_rate=1e30)
    result = train_child(task(parent_file, tmp_path / "a.h5", insertion), digits, wild)
    assert re.match(r"diverged: the loss is (nan|inf) after epoch [12] of 4", result.failure)
    assert result.error is result.ranked_error is result.test_error is None
    assert result.parameters > 0
    assert "total" in result.seconds
    assert os.listdir(tmp_path) == []


FULL = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")


@pytest.mark.parametrize("where", ["workers.child", "training.distillation"])
def test_a_child_out_of_memory_is_trained_with_half_the_batch_size(
    where, parent_file, digits, settings, pruning, tmp_path, monkeypatch, assert_equal_weights
):
    """The result equals that of half the batch size from the start."""
    settings = replace(settings, epochs=1, distillation_epochs=1)
    half = replace(settings, batch_size=16, statistics_images=128, evaluation_batch_size=128)
    expected = train_child(task(parent_file, tmp_path / "half.h5", pruning), digits, half)

    def fit_or_fail(*args, **kwargs):
        result = fit(*args, **kwargs)
        if kwargs["settings"].batch_size == settings.batch_size:
            raise FULL
        return result

    monkeypatch.setattr(f"lemonade_tf.{where}.fit", fit_or_fail)
    result = train_child(task(parent_file, tmp_path / "17.h5", pruning), digits, settings)
    assert (result.failure, result.batch_size) == (None, 16)
    assert without_times(result) == without_times(expected)
    assert_equal_weights(load_graph(tmp_path / "17.h5"), load_graph(tmp_path / "half.h5"))


def test_evaluation_out_of_memory_is_repeated_with_half_the_batch_size(
    parent_file, digits, settings, tmp_path, monkeypatch
):
    sizes = []

    def predict_or_fail(_, images, *, batch_size):
        sizes.append(batch_size)
        if batch_size == settings.evaluation_batch_size:
            raise FULL
        return np.eye(10)[(digits.y_validation + (np.arange(len(images)) % 4 == 0)) % 10]

    monkeypatch.setattr(child_module, "predict", predict_or_fail)
    monkeypatch.setattr(child_module, "error_on_test_images", lambda *_, batch_size: 0.5)
    result = train_child(task(parent_file, tmp_path / "17.h5"), digits, settings)
    assert (result.failure, result.error, result.batch_size) == (None, 0.25, 16)
    assert result.error < result.ranked_error < result.error + 1 / len(digits.y_validation)
    assert (result.test_error, sizes) == (0.5, [256, 128])


@pytest.mark.parametrize("error", [FULL, MemoryError("no more")], ids=["TensorFlow", "Python"])
def test_out_of_memory_twice_is_a_failure(
    error, parent_file, digits, settings, tmp_path, monkeypatch
):
    tried = []

    def fail(*_, settings, **__):
        tried.append(settings.batch_size)
        raise error

    monkeypatch.setattr(child_module, "fit", fail)
    result = train_child(task(parent_file, tmp_path / "a.h5"), digits, settings)
    assert tried == [32, 16]
    assert result.failure == (
        f"out of memory with batches of 16 images, for a network of {result.parameters:,}"
        f" parameters and {result.multiply_adds:,} multiply-adds; use fewer --workers, so that each"
        " has more memory, or a smaller --batch_size."
    )
    assert (result.error, result.batch_size) == (None, 16)
    assert os.listdir(tmp_path) == []


def test_the_first_attempt_is_freed_before_the_second(
    parent_file, digits, settings, tmp_path, monkeypatch
):
    models = []

    def fail(model, *_, **__):
        models.append(weakref.ref(model))
        if len(models) == 2:
            raise TrainingDiverged(f"the first is {models[0]()}")
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(child_module, "fit", fail)
    result = train_child(task(parent_file, tmp_path / "a.h5"), digits, settings)
    assert result.failure == "diverged: the first is None"


@pytest.mark.slow
def test_a_network_larger_than_memory_is_a_failure(tmp_path):
    """Half a batch of the concatenation takes twice the memory; it is never written to."""
    code = """
import os
import numpy as np
from lemonade_tf.architecture import Graph, layers
from lemonade_tf.architecture.text import to_json
from lemonade_tf.workers.child import train_child
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.workers.tasks import ChildTask

memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
num_copies = 2 * memory // (4 * 2048 * 2048 * 4)
graph = Graph()
graph.add("input", layers.Input((2048, 2048, 1)))
graph.add("wide", layers.Concatenate(), ["input"] * num_copies)
graph.add("pool", layers.GlobalAveragePooling2D(), ["wide"])
graph.add("logits", layers.Dense(1), ["pool"])
graph.output = graph.add("softmax", layers.Activation("softmax"), ["logits"])
images, labels = np.zeros((8, 2048, 2048, 1), np.uint8), np.zeros(8, np.int32)
dataset = Dataset("huge", images, labels, images, labels, None, None, 1)
seed = np.random.SeedSequence(0)
task = ChildTask("0", (), "0.h5", seed, seed, architecture=to_json(graph))
print(f"a network of {num_copies + 1:,} parameters")
print(train_child(task, dataset, TrainingSettings(epochs=1)).failure)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    size, failure = done.stdout.splitlines()
    assert failure.startswith(f"out of memory with batches of 4 images, for {size} and ")


def test_weights_that_are_not_finite_are_divergence(
    parent_file, digits, settings, tmp_path, monkeypatch
):
    def spoil(model, *_, **__):
        variance = model.get_layer("bn_1").moving_variance
        variance.assign(np.full(variance.shape, np.inf))
        return child_module.FitResult()

    monkeypatch.setattr(child_module, "fit", spoil)
    result = train_child(task(parent_file, tmp_path / "a.h5"), digits, settings)
    assert (
        result.failure == "diverged: moving_variance of 'bn_1' is not finite after the last epoch."
    )
    assert result.error is None


def test_an_unreadable_parent_and_a_wrong_operator_are_raised(
    parent_file, digits, settings, insertion, tmp_path
):
    with pytest.raises(FileError, match=r"none\.h5 does not exist"):
        train_child(task("none.h5", tmp_path / "a.h5"), digits, settings)
    elsewhere = {**insertion, "site": {"node": "input", "kernel_size": 3}}
    with pytest.raises(SiteError, match="does not apply"):
        train_child(task(parent_file, tmp_path / "a.h5", elsewhere), digits, settings)


def test_a_task_requires_a_parent_or_an_architecture():
    with pytest.raises(ValueError, match=r"task '17' has neither parent_file nor architecture"):
        task(None, "a.h5")


@pytest.mark.parametrize("is_pruned", [False, True])
def test_an_initial_network_inherits_the_weights_of_a_file(
    parent_file, tmp_path, digits, settings, is_pruned
):
    prune = {"operator": "prune_filters", "site": {"node": "conv_3", "fraction": "1/4"}}
    before = load_graph(parent_file)
    given = replace(
        task(parent_file, tmp_path / "a.h5", *[prune][:is_pruned]),
        architecture=to_json(before.copy(weights=False)),
    )
    still = replace(settings, epochs=1, learning_rate=1e-12)
    result = train_child(given, digits, still)
    assert result.failure is None
    assert not result.distillation_losses
    after = load_graph(tmp_path / "a.h5")
    assert after["conv_3"].layer.filters == (35 if is_pruned else 46)
    for name in ("conv_1", "conv_2", *(() if is_pruned else ("conv_3", "logits"))):
        kernels = [graph[name].weights["kernel"] for graph in (before, after)]
        np.testing.assert_allclose(*kernels, atol=1e-6)


def test_tasks_and_results_pickle(parent_file, insertion):
    given = task(parent_file, "a.h5", insertion)
    copy = pickle.loads(pickle.dumps(given))
    assert replace(copy, weights_seed=0, training_seed=0) == replace(
        given, weights_seed=0, training_seed=0
    )
    assert copy.weights_seed.entropy == given.weights_seed.entropy
