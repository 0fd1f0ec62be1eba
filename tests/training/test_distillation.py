import numpy as np
import pytest

from lemonade_tf.keras_bridge import load_graph, read_weights, to_keras
from lemonade_tf.operators import APPROXIMATE
from lemonade_tf.training.distillation import distill, only_trainable
from lemonade_tf.training.evaluate import predict
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.training.step import backend


def training_model(graph):
    return to_keras(graph, learnable=True, fused=True, logits=True)


@pytest.fixture(scope="module")
def pruned(parent_file):
    """The parent, and a child with half the filters of its second convolution."""
    parent = load_graph(parent_file)
    prune = next(operator for operator in APPROXIMATE if operator.name == "prune_filters")
    site = next(s for s in prune.candidates(parent) if s.node == "conv_2")
    return parent, prune.apply(parent, site, rng=np.random.default_rng(0))


def run(graph, affected, teacher, digits, epochs=3):
    model = training_model(graph)
    result = distill(
        model,
        affected,
        backend().place(digits.x_train),
        teacher,
        settings=TrainingSettings(distillation_epochs=epochs, batch_size=32),
        rng=np.random.default_rng(0),
    )
    return result, model


def test_the_child_comes_closer_to_the_parent(pruned, digits):
    parent, change = pruned
    teacher = predict(backend().forward(training_model(parent)), digits.x_train)
    result, model = run(change.graph, change.affected, teacher, digits)
    assert len(result.losses) == 3
    assert result.losses[-1] < result.losses[0]
    assert result.num_traces == 1

    def distance(of):
        student = predict(backend().forward(of), digits.x_train)
        return -(teacher * np.log(student + 1e-9)).sum(axis=1).mean()

    assert distance(model) < distance(training_model(change.graph))


def test_all_else_stays_bit_for_bit(pruned, digits, assert_equal_weights):
    parent, change = pruned
    teacher = predict(backend().forward(training_model(parent)), digits.x_train)
    _, model = run(change.graph, change.affected, teacher, digits)
    after = read_weights(model, change.graph)
    affected = frozenset(change.affected)
    assert {"conv_1", "bn_1", "logits"} - affected  # something with weights is frozen
    assert_equal_weights(change.graph, after, but=affected)
    for name in affected & {"conv_2", "bn_2"}:
        for key, value in change.graph[name].weights.items():
            assert not np.array_equal(after[name].weights[key], value), (name, key)


def test_nothing_affected_nothing_done(network, digits, assert_equal_weights):
    teacher = np.full((320, 10), 0.1, np.float32)
    for affected in ((), ("relu_1", "pool_1")):
        result, model = run(network, affected, teacher, digits)
        assert result.losses == ()
        assert_equal_weights(network, read_weights(model, network))


def test_layers_are_trainable_again_afterwards(network):
    model = training_model(network)
    model.get_layer("conv_3").trainable = False
    with only_trainable(model, ["conv_1"]):
        assert [v.path for v in model.trainable_variables] == ["conv_1/kernel"]
    assert not model.get_layer("conv_3").trainable
    assert len(model.trainable_variables) == len(training_model(network).trainable_variables) - 1


def test_the_learning_rate_is_that_of_distillation(pruned, digits):
    parent, change = pruned
    teacher = predict(backend().forward(training_model(parent)), digits.x_train)

    def distilled(**rates):
        model = training_model(change.graph)
        settings = TrainingSettings(distillation_epochs=1, batch_size=32, **rates)
        rng, images = np.random.default_rng(0), backend().place(digits.x_train)
        distill(model, change.affected, images, teacher, settings=settings, rng=rng)
        return read_weights(model, change.graph)["conv_2"].weights["kernel"]

    slow = distilled(distillation_learning_rate=0.001)
    np.testing.assert_array_equal(
        slow, distilled(distillation_learning_rate=0.001, learning_rate=0.5)
    )
    assert not np.array_equal(slow, distilled(distillation_learning_rate=0.01))
