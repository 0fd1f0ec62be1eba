"""Random chains of exact operators on trained networks: they keep the function, and can learn.

    pytest tests/test_exact_chains.py -m slow --chains 500 -s

prints the figures in docs/measured.md.
"""

import numpy as np
import pytest
import tensorflow as tf
from graphs import SMALL_CELLS, random_chain
from reference import logits

from lemonade_tf.architecture import check
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.keras_bridge import read_weights, to_keras
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.search_spaces import NETWORKS
from lemonade_tf.training.fit import fit
from lemonade_tf.training.settings import TrainingSettings

MAX_LENGTH = 10
MAX_PARAMETERS = 3_000_000  # a chain of widenings by 4 would not end
PER_OPERATOR = 1e-6

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.fixture(scope="module", params=[NETWORKS, SMALL_CELLS], ids=lambda space: space.name)
def space(request):
    return request.param


@pytest.fixture(scope="module")
def trained(space, digits):
    """The four initial networks of a space, trained for an epoch."""
    graphs = []
    rng = np.random.default_rng(0)
    shape, classes = digits.input_shape, digits.num_classes
    for graph in space.initial_graphs(shape, classes, rescaling=digits.rescaling()):
        graph = initial_weights(graph, rng=rng)
        graphs.append(train(graph, digits, epochs=1, images=1200)[0])
    return graphs


def train(graph, digits, *, epochs, images, learning_rate=0.05):
    """Return the graph trained a little, and whether each of its weights moved."""
    model = to_keras(graph, learnable=True, logits=True)
    settings = TrainingSettings(learning_rate=learning_rate, weight_decay=0.0, batch_size=64)
    rng = np.random.default_rng(1)
    x, y = digits.x_train[:images], digits.y_train[:images]
    fit(model, x, y, epochs=epochs, settings=settings, rng=rng)
    after = read_weights(model, graph)
    moved = {
        (name, key): bool((after[name].weights[key] != value).any())
        for name, node in graph.items()
        for key, value in node.weights.items()
    }
    return after, moved


def chain(graph, operators, length, rng):
    """Return the result of a chain of exact operators that stays small enough."""
    applied = []
    for _ in range(10 * length):  # at some point, all that is left may be too large
        if len(applied) == length:
            break
        for operator, _site, _parent, change in random_chain(
            graph, operators, 1, rng, retrained=False
        ):
            if count_parameters(change.graph) <= MAX_PARAMETERS:
                check(change.graph)
                applied.append(operator.name)
                graph = change.graph
    return graph, applied


def relative(a, b):
    return float(np.abs(a - b).max() / np.abs(a).max())


def keras_logits(graph, images):
    model = to_keras(graph, learnable=True, logits=True)
    assert to_keras(graph).count_params() == count_parameters(graph)
    return np.asarray(model(images.astype(np.float32), training=False))


def test_chains_keep_the_function_and_can_learn(request, space, trained, digits):
    numbers = range(request.config.getoption("--chains"))
    if space is SMALL_CELLS:  # eight times as deep, and test_cell_chains tries 300 of them
        numbers = range(0, 2 * len(numbers), 13)
    images = digits.x_validation[:16]
    before32 = [keras_logits(graph, images) for graph in trained]
    before64 = [logits(graph, images[:4]) for graph in trained]
    worst32, worst64, late, dead = np.zeros(MAX_LENGTH + 1), 0.0, {}, []
    for number in numbers:
        rng = np.random.default_rng(number)
        start, length = number % 4, 1 + number // 4 % MAX_LENGTH
        parent = {n: dict(node.weights) for n, node in trained[start].items()}
        graph, applied = chain(trained[start], space.exact, length, rng)
        change32 = relative(before32[start], keras_logits(graph, images))
        worst32[length] = max(worst32[length], change32)
        worst64 = max(worst64, relative(before64[start], logits(graph, images[:4])))
        for name, node in trained[start].items():  # the parent is what it was
            assert all(node.weights[key] is value for key, value in parent[name].items())
        unmoved = still(graph, digits, steps=3)
        if unmoved:
            late[number] = (applied, unmoved, still(graph, digits, steps=6))
            dead += [(number, weight) for weight in without_gradient(graph, unmoved, digits)]
    print(f"\n{len(numbers)} chains of 1 to {MAX_LENGTH} exact operators on trained {space.name}")
    print("largest relative change of the logits, float32 through Keras, by length:")
    print("  " + "  ".join(f"{n}: {worst32[n]:.1e}" for n in range(1, MAX_LENGTH + 1)))
    print(f"float64 through NumPy: {worst64:.1e}")
    print(f"chains with a weight that had not moved after three steps: {len(late)}")
    for number, (applied, unmoved, rest) in late.items():
        print(
            f"  chain {number}: {', '.join(applied)}: {unmoved}; after six steps: {rest or 'none'}"
        )
    assert worst64 < 1e-10
    assert (worst32[1:] <= PER_OPERATOR * np.arange(1, MAX_LENGTH + 1)).all()
    assert not dead
    assert space is SMALL_CELLS or len(late) <= 0.05 * len(numbers)  # eight times as many weights


def still(graph, digits, *, steps):
    """Return the weights that have not moved after some steps."""
    _, moved = train(graph, digits, epochs=1, images=64 * steps)
    return [f"{name}.{key}" for (name, key), has in moved.items() if not has]


def without_gradient(graph, weights, digits):
    """Return those of the weights that have no gradient after three steps and so never move.

    Deep in a skip whose lambda is still small there is one, but a step may be less than half a
    unit in the last place of a scale or an offset.
    """
    after, _ = train(graph, digits, epochs=1, images=192)
    model = to_keras(after, learnable=True, logits=True)
    variables = {
        f"{layer.name}.{v.name}": v.value for layer in model.layers for v in layer.trainable_weights
    }
    found = [variables[weight] for weight in weights]
    with tf.GradientTape() as tape:
        outputs = model(digits.x_train[:64].astype(np.float32), training=True)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(digits.y_train[:64], outputs)
        loss = tf.reduce_mean(losses)
    gradients = tape.gradient(loss, found)
    pairs = zip(weights, gradients, strict=True)
    return [name for name, g in pairs if g is None or not np.asarray(g).any()]
