from dataclasses import replace

import numpy as np
import pytest

from lemonade_tf.architecture.shared import shared_part
from lemonade_tf.backends.current import current_backend
from lemonade_tf.keras_bridge import load_graph, read_weights
from lemonade_tf.operators import APPROXIMATE, AddSkip, Change
from lemonade_tf.operators.skip import SkipSite
from lemonade_tf.training.distillation import distill, distillation_targets, only_trainable
from lemonade_tf.training.evaluation import predict
from lemonade_tf.training.settings import TrainingSettings


def training_model(graph):
    return current_backend().training_model(graph)


@pytest.fixture(scope="module")
def pruned(parent_file):
    """The parent, and a child with half the filters of its second convolution."""
    parent = load_graph(parent_file)
    prune = next(operator for operator in APPROXIMATE if operator.name == "prune_filters")
    site = next(s for s in prune.candidates(parent) if s.node == "conv_2")
    return parent, prune.apply(parent, site, rng=np.random.default_rng(0))


SETTINGS = TrainingSettings(distillation_epochs=3, batch_size=32)


def targets_of(parent, change, model, digits, **settings):
    return distillation_targets(
        parent,
        training_model(parent),
        change,
        model,
        digits.x_train,
        current_backend().place(digits.x_train),
        replace(SETTINGS, **settings),
    )


def run(parent, change, digits, **settings):
    model = training_model(change.graph)
    targets = targets_of(parent, change, model, digits, **settings)
    rng, settings = np.random.default_rng(0), replace(SETTINGS, **settings)
    return distill(targets, change.affected, settings=settings, rng=rng), model


def test_the_child_comes_closer_to_the_parent(pruned, digits):
    parent, change = pruned
    result, model = run(parent, change, digits)
    assert len(result.losses) == 3
    assert result.losses[-1] < result.losses[0]
    assert result.num_traces == 1
    teacher = predict(current_backend().forward(training_model(parent)), digits.x_train)

    def distance(of):
        student = predict(current_backend().forward(of), digits.x_train)
        return -(teacher * np.log(student + 1e-9)).sum(axis=1).mean()

    assert distance(model) < distance(training_model(change.graph))


@pytest.mark.parametrize("memory", [1.0, 0.0])
def test_weights_of_other_nodes_stay_bit_for_bit(pruned, digits, assert_equal_weights, memory):
    parent, change = pruned
    _, model = run(parent, change, digits, distillation_memory=memory)
    after = read_weights(model, change.graph)
    affected = frozenset(change.affected)
    assert {"conv_1", "bn_1", "logits"} - affected  # something with weights is frozen
    assert_equal_weights(change.graph, after, exclude=affected)
    for name in affected & {"conv_2", "bn_2"}:
        for key, value in change.graph[name].weights.items():
            assert not np.array_equal(after[name].weights[key], value), (name, key)


def test_without_affected_weights_nothing_is_trained(network, digits, assert_equal_weights):
    for affected in ((), ("relu_1", "pool_1")):
        result, model = run(network, Change(network, affected), digits)
        assert result.losses == ()
        assert_equal_weights(network, read_weights(model, network))


# --- The part that child and parent share --------------------------------------------------------


def test_caching_the_shared_part_does_not_change_the_result(pruned, digits):
    parent, change = pruned
    targets = targets_of(parent, change, training_model(change.graph), digits)
    assert targets.shared == {"input", "rescaling", "conv_1", "bn_1", "relu_1", "pool_1"}
    assert targets.inputs.shape == (320, *parent.shapes()["pool_1"])
    names = [layer.name for layer in targets.student.layers]
    assert "conv_1" not in names
    assert {"conv_2", "conv_3", "logits"} <= set(names)
    plain = targets_of(
        parent, change, training_model(change.graph), digits, distillation_memory=0.0
    )
    assert plain.shared == frozenset()
    np.testing.assert_allclose(targets.teacher, plain.teacher, atol=1e-6)
    cached, model = run(parent, change, digits)
    again, other = run(parent, change, digits, distillation_memory=0.0)
    np.testing.assert_allclose(cached.losses, again.losses, rtol=1e-5)
    for first, second in zip(model.weights, other.weights, strict=True):
        np.testing.assert_allclose(first.value, second.value, rtol=0, atol=2e-4)


def test_the_shared_part_is_not_cached_beyond_the_memory_limit(pruned, digits):
    parent, change = pruned
    needed = 320 * np.prod(parent.shapes()["pool_1"]) * 8 / 2**30
    model = training_model(change.graph)
    assert targets_of(parent, change, model, digits, distillation_memory=needed).shared
    less = targets_of(parent, change, model, digits, distillation_memory=0.999 * needed)
    assert not less.shared
    assert less.student is model


def test_a_shared_part_without_multiply_adds_is_not_cached(network, digits):
    prune = next(operator for operator in APPROXIMATE if operator.name == "prune_filters")
    site = next(s for s in prune.candidates(network) if s.node == "conv_1")
    change = prune.apply(network, site, rng=np.random.default_rng(0))
    targets = targets_of(network, change, training_model(change.graph), digits)
    assert not targets.shared  # it would be the rescaled images


def test_a_shared_part_with_two_outputs(network, digits):
    rng = np.random.default_rng(0)
    connect = AddSkip()
    site = SkipSite("relu_1", "relu_3", "concatenate")
    parent = connect.apply(network, site, rng=rng).graph
    prune = next(operator for operator in APPROXIMATE if operator.name == "prune_filters")
    sites = {s.node: s for s in prune.candidates(parent)}
    change = prune.apply(parent, sites["conv_3"], rng=rng)
    part = shared_part(parent, change.graph, changing=change.affected)
    targets = targets_of(parent, change, training_model(change.graph), digits)
    assert len(part.boundary) == len(targets.inputs) == 2
    result, _ = run(parent, change, digits)
    plain, _ = run(parent, change, digits, distillation_memory=0.0)
    np.testing.assert_allclose(result.losses, plain.losses, rtol=1e-4)


# --- The rest ------------------------------------------------------------------------------------


def test_layers_are_trainable_again_afterwards(network):
    model = training_model(network)
    model.get_layer("conv_3").trainable = False
    with only_trainable(model, ["conv_1"]):
        assert [v.path for v in model.trainable_variables] == ["conv_1/kernel"]
    assert not model.get_layer("conv_3").trainable
    assert len(model.trainable_variables) == len(training_model(network).trainable_variables) - 1


def test_distillation_uses_its_own_learning_rate(pruned, digits):
    def distilled(**rates):
        parent, change = pruned
        _, model = run(parent, change, digits, distillation_epochs=1, **rates)
        return read_weights(model, change.graph)["conv_2"].weights["kernel"]

    slow = distilled(distillation_learning_rate=0.001)
    np.testing.assert_array_equal(
        slow, distilled(distillation_learning_rate=0.001, learning_rate=0.5)
    )
    assert not np.array_equal(slow, distilled(distillation_learning_rate=0.01))
