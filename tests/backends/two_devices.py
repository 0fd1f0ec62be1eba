"""Training on two logical CPUs against one; `test_mirrored_training_tensorflow` runs this file.

It needs a process of its own, because TensorFlow divides a device only before it has run.
"""

import gc
import os

import numpy as np
import pytest
import tensorflow as tf
from graphs import see_saw, small
from tensorflow.python.framework import ops
from tensorflow.python.framework.func_graph import FuncGraph

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.architecture.regularization import Regularization
from lemonade_tf.backends.backend_tensorflow import TensorFlowBackend
from lemonade_tf.backends.batch_transform import NO_AUGMENTATION
from lemonade_tf.backends.mirrored_training_tensorflow import MirroredTrainer
from lemonade_tf.backends.training_tensorflow import TensorFlowTrainer
from lemonade_tf.keras_bridge.weights import read_weights
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.training.augmentation import Augmentation
from lemonade_tf.training.distillation import only_trainable

SHAPE, CLASSES, STEPS = (12, 12, 3), 4, 20
BACKEND = TensorFlowBackend()
AUGMENTATION = Augmentation(SHAPE, CLASSES, (127.5,) * 3, pad=1, cutout=4)


@pytest.fixture(autouse=True, scope="module")
def _set_up():
    os.environ["LEMONADE_LOGICAL_CPUS"] = "2"
    BACKEND.set_up(1, "mirrored")
    assert len(tf.config.list_logical_devices("CPU")) == 2


def smooth(num_blocks=3, dropout=0.0):
    """A network with tanh instead of ReLU, whose gradient does not amplify rounding."""
    graph = Graph()
    at = graph.add("input", kinds.Input(SHAPE))
    at = graph.add("rescaling", kinds.Rescaling(1 / 127.5, -1.0), [at])
    for number in range(num_blocks):
        at = graph.add(f"conv_{number}", kinds.Conv2D(5 + 3 * number, 3), [at])
        at = graph.add(f"bn_{number}", kinds.BatchNormalization(momentum=0.9), [at])
        at = graph.add(f"tanh_{number}", kinds.Activation("tanh"), [at])
    if dropout:
        at = graph.add("dropout", kinds.Dropout(dropout), [at])
    at = graph.add("pool", kinds.GlobalAveragePooling2D(), [at])
    graph.output = graph.add("logits", kinds.Dense(CLASSES), [at])
    return initial_weights(graph, rng=np.random.default_rng(0))


def trainer(graph, strategy, transform=NO_AUGMENTATION, precision="float32"):
    """Return a model and its trainer on one device or on both."""
    BACKEND.set_up(None, strategy)
    model = BACKEND.training_model(graph, seed=1)
    made = BACKEND.trainer(
        model, momentum=0.9, weight_decay=5e-4, transform=transform, precision=precision
    )
    assert isinstance(made, MirroredTrainer if strategy == "mirrored" else TensorFlowTrainer)
    return model, made


def run(training, transform=NO_AUGMENTATION, *, batch_size=16, steps=STEPS, seed=0):
    """Train for some steps, and return the mean loss and the state."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (64, *SHAPE), dtype=np.uint8)
    labels = rng.integers(0, CLASSES, 64, dtype=np.int32)
    indices = rng.integers(0, 64, (steps, batch_size), dtype=np.int32)
    draws = transform.draw(steps, batch_size, rng=rng)
    rates = np.full(steps, 0.05, np.float32)
    mirrored = isinstance(training, MirroredTrainer)
    BACKEND.set_up(None, "mirrored" if mirrored else "one_per_gpu")
    loss = training.run_epoch(BACKEND.place(images), BACKEND.place(labels), indices, rates, draws)
    return loss, training.state()


def largest_difference(states):
    one, two = states
    assert one.keys() == two.keys()
    return max(np.abs(one[name] - two[name]).max() for name in one)


def on_one_and_two(graph, transform=NO_AUGMENTATION, **options):
    """Train on one device and on two; return the losses and the largest difference."""
    losses, states = zip(
        *(
            run(trainer(graph, strategy, transform)[1], transform, **options)
            for strategy in ("one_per_gpu", "mirrored")
        ),
        strict=True,
    )
    return losses, largest_difference(states)


def count_kept_alive():
    """Return the numbers of traced functions alive, and of registered gradients."""
    gc.collect()
    live = sum(isinstance(thing, FuncGraph) for thing in gc.get_objects())
    return live, len(ops.gradient_registry._registry)


def test_networks_of_different_shapes_train_as_on_one_device_and_are_freed():
    counts = []
    for graph in (
        smooth(3),
        small(shape=SHAPE),
        smooth(1),
        small(shape=SHAPE, widths=(4, 5)),
        smooth(6),
    ):
        losses, difference = on_one_and_two(graph, AUGMENTATION)
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        assert difference < (1e-4 if "relu_1" in graph else 1e-5)
        counts.append(count_kept_alive())
    assert len(set(counts[1:])) == 1


def test_bfloat16():
    losses = [
        run(trainer(smooth(), strategy, precision="bfloat16")[1], steps=5)[0]
        for strategy in ("one_per_gpu", "mirrored")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


@pytest.mark.parametrize("batch_size", [2, 15])
def test_batches_are_split_unequally_if_they_must(batch_size):
    losses, difference = on_one_and_two(smooth(), AUGMENTATION, batch_size=batch_size)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert difference < 1e-4


def test_a_batch_smaller_than_the_number_of_devices_is_refused():
    _, training = trainer(smooth(), "mirrored")
    with pytest.raises(ValueError, match=r"a batch of 1 images cannot be split among 2 devices; u"):
        run(training, batch_size=1)


def test_a_training_continues_on_another_number_of_devices():
    graph = smooth()
    _, one = trainer(graph, "one_per_gpu")
    _, two = trainer(graph, "mirrored")
    run(one, steps=3)
    two.restore(one.state())
    after_two = run(two, steps=3, seed=1)[1]
    assert largest_difference([run(one, steps=3, seed=1)[1], after_two]) < 1e-5
    _, again = trainer(graph, "mirrored")
    again.restore(after_two)
    expected = run(two, steps=3, seed=2)[1]
    assert largest_difference([run(again, steps=3, seed=2)[1], expected]) == 0


def test_both_devices_hold_the_same_weights():
    model, training = trainer(smooth(), "mirrored", AUGMENTATION)
    run(training, AUGMENTATION)
    for variable in model.variables:
        first, second = variable.value.values
        np.testing.assert_array_equal(first.numpy(), second.numpy())


def test_frozen_layers_stay_unchanged():
    graph = smooth()
    BACKEND.set_up(None, "mirrored")
    model = BACKEND.training_model(graph)
    with only_trainable(model, ["conv_2"]):
        run(BACKEND.trainer(model, momentum=0.9, weight_decay=5e-4))
    trained = read_weights(model, graph)
    for name, node in graph.items():
        for key, value in node.weights.items():
            assert np.array_equal(value, trained[name].weights[key]) == (name != "conv_2")


def test_dropout_draws_other_masks_on_each_device():
    model, training = trainer(smooth(dropout=0.5), "mirrored")
    [state] = [v for v in model.variables if "seed" in v.name]

    def seeds():
        return [int(copy.numpy()[0]) for copy in state.value.values]

    before = seeds()
    assert before[1] == before[0] + 1
    training.restore(training.state())
    assert seeds() == before
    run(training)
    assert seeds() == before


def test_regularization_draws_other_numbers_on_each_device():
    graph = smooth(num_blocks=1)
    branches = [graph.add(f"branch_{i}", kinds.Conv2D(5, 3), ["tanh_0"]) for i in range(2)]
    mean = graph.add("mean", kinds.Average(), branches)
    both = graph.add("both", kinds.Add(), ["tanh_0", mean])
    graph.set_layer("pool", graph["pool"].layer, inputs=[both])
    regularization = Regularization(shake_shake=True, drop_path=0.5)
    BACKEND.set_up(None, "mirrored")
    model = BACKEND.training_model(
        initial_weights(graph, rng=np.random.default_rng(0)),
        seed=1,
        regularization=regularization,
        num_steps=STEPS,
    )
    assert np.isfinite(run(BACKEND.trainer(model, momentum=0.9, weight_decay=0.0))[0])
    seeds = [v for v in model.variables if "seed" in v.name]
    assert len(seeds) == 3  # one mean, two paths
    for variable in model.variables:
        first, second = (copy.numpy() for copy in variable.value.values)
        # The second number counts the steps, of which the schedule of drop path depends.
        expected = first + np.array([1, 0]) if any(variable is each for each in seeds) else first
        np.testing.assert_array_equal(second, expected)
        assert len(first.shape) != 1 or first.dtype.kind != "i" or first[1] == STEPS


def test_a_process_keeps_its_number_of_devices():
    BACKEND.set_up(None, "one_per_gpu")
    os.environ["LEMONADE_LOGICAL_CPUS"] = "3"
    BACKEND.set_up(None, "mirrored")  # the strategy of this process
    assert BACKEND.place(np.zeros(2)).shape == (2,)
    with pytest.raises(ValueError, match="strategy is 'tpu'; expected one of one_per_gpu, mir"):
        BACKEND.set_up(None, "tpu")


@pytest.mark.parametrize(("label", "rate"), [(0, 0.01), (1, 100.0)])
def test_each_step_moves_lambda_back_into_0_to_1(label, rate):
    model, trainer_ = trainer(see_saw(), "mirrored")
    images, labels = np.ones((4, 1, 1, 1), np.uint8), np.full(4, label, np.int32)
    indices, rates = np.arange(4, dtype=np.int32)[None], np.float32([rate])
    trainer_.run_epoch(BACKEND.place(images), BACKEND.place(labels), indices, rates, {})
    share = float(read_weights(model, see_saw())["both"].weights["lambda"])
    # Nesterov's momentum of 0.9 makes the first step 1.9 times as long.
    assert share == pytest.approx((1.9 * rate * 4 / (1 + np.e**2), 1.0)[label], rel=1e-5)
