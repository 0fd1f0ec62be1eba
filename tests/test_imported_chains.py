"""Random chains of operators on networks imported from Keras, and on initial ones, 64x64 images.

    pytest tests/test_imported_chains.py -m slow --chains 1000 -s

prints what it found. A chain has up to 20 operators; every second chain has exact ones only.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from graphs import APPROXIMATE, EXACT, gated, images, initial
from keras_networks import randomised, residual
from reference import logits

from lemonade_tf.architecture import check
from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.keras_bridge import from_keras, to_keras

MAX_LENGTH = 20
GROWTH = 3  # how many times the parameters and the multiply-adds of its start a chain may come to
TOLERANCE_64 = 1e-9
TOLERANCE_32 = 1e-4
STEPS = 4  # a weight inside two skips that are still closed moves from the third on

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def starts():
    applications = {
        "MobileNetV2": lambda: keras.applications.MobileNetV2(
            (64, 64, 3), alpha=0.35, weights=None, classes=10
        ),
        "MobileNetV3Small": lambda: keras.applications.MobileNetV3Small(
            (64, 64, 3), alpha=0.35, weights=None, classes=10
        ),
        "residual": residual,
    }
    graphs = {name: from_keras(randomised(make())) for name, make in applications.items()}
    graphs |= {f"initial {index}": initial(index, (64, 64, 3)) for index in (0, 3)}
    return {**graphs, "gated": gated()}


def chain(graph, operators, length, rng):
    """Apply operators at random sites; check every child. Returns the child and what was done."""
    most = GROWTH * count_parameters(graph), GROWTH * count_multiply_adds(graph)
    applied = []
    for _ in range(length):
        operator = operators[int(rng.integers(len(operators)))]
        sites = operator.candidates(graph)
        if not sites:
            continue
        site = sites[int(rng.integers(len(sites)))]
        child = operator.apply(graph, site, rng=rng).graph
        check(child)
        before, after = count_parameters(graph), count_parameters(child)
        assert (after >= before) if operator.exact else (after <= before), site
        if after <= most[0] and count_multiply_adds(child) <= most[1]:
            graph = child
            applied.append(operator.name)
    return graph, applied


def relative(first, second):
    return float(np.abs(first - second).max() / np.abs(first).max())


def keras_logits(graph, x):
    model = to_keras(graph, logits=True)
    return np.asarray(model(x.astype(np.float32), training=False))


def without_gradient(graph, x):
    """Return the weights that get no gradient in the last of some steps of SGD."""
    model = to_keras(graph, learnable=True, logits=True)
    variables = [(layer.name, v) for layer in model.layers for v in layer.trainable_weights]
    labels = np.arange(len(x)) % model.output_shape[-1]
    optimizer = keras.optimizers.SGD(0.01)
    for _ in range(STEPS):
        with tf.GradientTape() as tape:
            outputs = model(x.astype(np.float32), training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs))
        gradients = tape.gradient(loss, [v.value for _, v in variables])
        optimizer.apply(gradients, [v for _, v in variables])
    pairs = zip(variables, gradients, strict=True)
    return {(name, v.name) for (name, v), g in pairs if g is None or not np.asarray(g).any()}


def test_random_chains(request, starts):
    num_chains = request.config.getoption("--chains")
    names = list(starts)
    few = {name: images(graph, 1) for name, graph in starts.items()}
    many = {name: images(graph, 8, seed=1) for name, graph in starts.items()}
    before = {name: logits(graph, few[name]) for name, graph in starts.items()}
    before32 = {name: keras_logits(graph, few[name]) for name, graph in starts.items()}
    counts, worst64, worst32, dead = dict.fromkeys(names, 0), {}, {}, []
    for number in range(num_chains):
        rng = np.random.default_rng(number)
        exact, name = number % 2 == 0, names[number // 2 % len(names)]
        operators = EXACT if exact else (*EXACT, *APPROXIMATE)
        length = int(rng.integers(1, MAX_LENGTH + 1))
        graph, applied = chain(starts[name], operators, length, rng)
        counts[name] += len(applied)
        if not exact:
            continue
        change = relative(before[name], logits(graph, few[name]))
        worst64[name] = max(change, worst64.get(name, 0))
        assert change < TOLERANCE_64, (number, name, applied)
        if number // 2 // len(names) % 4 == 0:  # Keras takes longer
            change = relative(before32[name], keras_logits(graph, few[name]))
            worst32[name] = max(change, worst32.get(name, 0))
            assert change < TOLERANCE_32, (number, name, applied)
        if number // 2 // len(names) % 8 == 0:
            still = without_gradient(graph, many[name])
            still = still and still - without_gradient(starts[name], many[name])
            dead += [(number, name, weight, applied) for weight in sorted(still)]
    print(f"\n{num_chains} chains, operators applied: {counts}")
    print("largest relative change of the logits after a chain of exact operators")
    print("  float64 through NumPy:", {name: f"{value:.1e}" for name, value in worst64.items()})
    print("  float32 through Keras:", {name: f"{value:.1e}" for name, value in worst32.items()})
    print(f"weights that got no gradient in step {STEPS}: {len(dead)}", *dead, sep="\n  ")
    assert not dead
