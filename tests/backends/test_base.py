import keras
import numpy as np
import pytest
import tensorflow as tf

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.backends.batch_transform import BatchTransform
from lemonade_tf.backends.current import current_backend
from lemonade_tf.keras_bridge import to_keras
from lemonade_tf.training.fit import make_trainer
from lemonade_tf.training.schedule import cosine
from lemonade_tf.training.settings import TrainingSettings

NO_DRAWS: dict = {}


@pytest.fixture
def linear():
    """A linear network for 2x2 images with two channels and three classes."""
    rng = np.random.default_rng(0)
    graph = Graph()
    graph.add("input", kinds.Input((2, 2, 2)))
    graph.add("flat", kinds.Flatten(), ["input"])
    weights = {"kernel": rng.normal(size=(8, 3)) / 8, "bias": rng.normal(size=3)}
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    graph.output = graph.add("dense", kinds.Dense(3), ["flat"], weights)
    return graph


@pytest.fixture
def data():
    rng = np.random.default_rng(1)
    images = rng.integers(0, 5, (12, 2, 2, 2)).astype(np.uint8)
    return images, rng.integers(0, 3, 12).astype(np.int32)


def softmax(logits):
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def reference(graph, images, targets, indices, rates, settings):
    """Train a linear network by the formulas in float64; return its weights and losses."""
    weights = {k: v.astype(np.float64) for k, v in graph["dense"].weights.items()}
    momenta = {k: np.zeros_like(v) for k, v in weights.items()}
    losses = []
    for batch, rate in zip(indices, rates, strict=True):
        x, t = images[batch].reshape(len(batch), -1).astype(np.float64), targets[batch]
        p = softmax(x @ weights["kernel"] + weights["bias"])
        losses.append(-(t * np.log(p)).sum(axis=1).mean())
        slope = (p - t) / len(batch)
        gradients = {"kernel": x.T @ slope, "bias": slope.sum(axis=0)}
        gradients["kernel"] += settings.weight_decay * weights["kernel"]
        for name, gradient in gradients.items():
            momenta[name] = settings.momentum * momenta[name] - rate * gradient
            ahead = settings.momentum * momenta[name] - rate * gradient
            weights[name] += ahead if settings.nesterov else momenta[name]
    return weights, losses


@pytest.mark.parametrize(("soft", "nesterov"), [(False, True), (True, True), (False, False)])
def test_steps_equal_the_formulas(linear, data, soft, nesterov):
    images, labels = data
    settings = TrainingSettings(learning_rate=0.1, weight_decay=0.03, nesterov=nesterov)
    targets = np.eye(3)[labels]
    if soft:
        targets = softmax(np.random.default_rng(2).normal(size=(12, 3)))
    indices = np.random.default_rng(3).permutation(12).astype(np.int32).reshape(3, 4)
    rates = cosine(settings.learning_rate, 3)
    weights, losses = reference(linear, images, targets, indices, rates, settings)

    model = to_keras(linear)
    trainer = make_trainer(model, settings)
    given = targets.astype(np.float32) if soft else labels
    place = current_backend().place
    loss = trainer.run_epoch(place(images), place(given), indices, rates, NO_DRAWS)

    assert loss == pytest.approx(np.mean(losses), rel=1e-6)
    for variable in model.get_layer("dense").weights:
        np.testing.assert_allclose(variable.value, weights[variable.name], rtol=0, atol=2e-6)


def test_only_kernels_decay(network, data):
    # The gradient of the loss is zero, so only weight decay changes weights.
    settings = TrainingSettings(weight_decay=0.5, momentum=0.0)
    model = to_keras(network, learnable=True, logits=True)
    uniform = np.full((4, 10), 0.1, np.float32)
    model.get_layer("logits").set_weights([np.zeros((46, 10)), np.zeros(10)])
    before = {w.path: np.asarray(w.value).copy() for w in model.trainable_variables}
    images = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 1)).astype(np.uint8)
    rates = np.float32([0.1])
    place = current_backend().place
    make_trainer(model, settings).run_epoch(
        place(images), place(uniform), np.int32([[0, 1, 2, 3]]), rates, NO_DRAWS
    )
    for weight in model.trainable_variables:
        factor = 0.95 if weight.name.endswith("kernel") else 1.0
        np.testing.assert_allclose(weight.value, factor * before[weight.path], atol=1e-6)


def test_the_step_is_traced_once_for_all_epochs(linear, data):
    trainer = make_trainer(to_keras(linear), TrainingSettings())
    images, labels = map(current_backend().place, data)
    for _ in range(3):
        indices = np.arange(12, dtype=np.int32).reshape(3, 4)
        trainer.run_epoch(images, labels, indices, cosine(0.1, 3), NO_DRAWS)
    assert trainer.num_traces == 1


def test_inference_is_traced_once_for_all_batch_sizes(linear, data):
    model = to_keras(linear)
    forward = current_backend().forward(model)
    images, _ = data
    for size in (12, 5, 1):
        found = forward.probabilities(images[:size])
        expected = keras.ops.softmax(model(images[:size]))
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert forward.num_traces == 1


def test_an_epoch_stops_at_a_loss_that_is_not_finite(linear, data):
    images, labels = data
    model = to_keras(linear)
    trainer = make_trainer(model, TrainingSettings())
    indices = np.arange(12, dtype=np.int32).reshape(3, 4)
    floats = images.astype(np.float32)
    floats[0] = np.inf
    place = current_backend().place
    loss = trainer.run_epoch(place(floats), place(labels), indices, cosine(0.1, 3), NO_DRAWS)
    assert not np.isfinite(loss)


class Brighter(BatchTransform):
    """Adds a number drawn per step, and smooths the labels."""

    def draw(self, num_steps, batch_size, *, rng):
        return {"more": rng.uniform(0, 9, num_steps).astype(np.float32)}

    def apply(self, images, targets, draws):
        soft = 0.8 * keras.ops.one_hot(targets, 3) + 0.2 / 3
        return images + draws["more"], soft


def test_the_batch_transform_is_part_of_the_step(linear, data):
    images, labels = data
    settings = TrainingSettings()
    indices = np.arange(12, dtype=np.int32).reshape(3, 4)
    rates = cosine(0.1, 3)
    draws = Brighter().draw(3, 4, rng=np.random.default_rng(0))
    model = to_keras(linear)
    trainer = make_trainer(model, settings, Brighter())
    place = current_backend().place
    trainer.run_epoch(place(images), place(labels), indices, rates, draws)

    added = np.empty(12)
    added[indices] = draws["more"][:, None]
    brighter = images + added[:, None, None, None]
    soft = 0.8 * np.eye(3)[labels] + 0.2 / 3
    weights, _ = reference(linear, brighter, soft, indices, rates, settings)
    for variable in model.get_layer("dense").weights:
        np.testing.assert_allclose(variable.value, weights[variable.name], rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"), True),
        (tf.errors.InternalError(None, None, "Dst tensor is not initialized."), True),
        (tf.errors.InternalError(None, None, "failed to query the device"), False),
        (
            tf.errors.NotFoundError(
                None,
                None,
                "No algorithm worked! Error messages: Profiling failure: RESOURCE_EXHAUSTED: Out of"
                " memory while trying to allocate 4294967296 bytes.",
            ),
            True,
        ),
        (tf.errors.InternalError(None, None, "CUBLAS_STATUS_ALLOC_FAILED"), True),
        (tf.errors.UnknownError(None, None, "Failed to allocate scratch memory"), True),
        (tf.errors.NotFoundError(None, None, "no such file"), False),
        (MemoryError(), True),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_errors_are_recognized(error, expected):
    assert current_backend().is_out_of_memory(error) is expected


def test_an_unsupported_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(
        NotImplementedError, match=r"the Keras backend is 'jax', .*; expected tensorflow"
    ):
        current_backend()


def test_training_equals_keras(network, digits):
    """Compare the whole step, including batch normalization, with Keras's optimizer."""
    images, labels = digits.x_train[:64], digits.y_train[:64]
    ours = current_backend().training_model(network)
    theirs = to_keras(network, logits=True)
    settings = TrainingSettings(weight_decay=0.0, learning_rate=0.05)
    indices = np.arange(64, dtype=np.int32).reshape(2, 32)
    rates = np.float32([0.05, 0.05])
    place = current_backend().place
    make_trainer(ours, settings).run_epoch(place(images), place(labels), indices, rates, NO_DRAWS)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for batch in indices:
        with tf.GradientTape() as tape:
            value = loss(labels[batch], theirs(images[batch], training=True))
        weights = theirs.trainable_variables
        optimizer.apply(tape.gradient(value, weights), weights)
    for found, expected in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(found.value, expected.value, rtol=1e-4, atol=2e-5)
