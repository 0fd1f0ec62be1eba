"""Children trained in each precision: what computes in it, and what they are saved as."""

from contextlib import contextmanager
from dataclasses import replace

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from lemonade_tf.backends.current import current_backend
from lemonade_tf.backends.training_tensorflow import TensorFlowTrainer
from lemonade_tf.keras_bridge import load_graph
from lemonade_tf.operators import APPROXIMATE, record
from lemonade_tf.workers.child import train_child
from lemonade_tf.workers.tasks import ChildTask

SKIP = {"source": "relu_1", "target": "relu_2", "kind": "convex_sum"}


@pytest.fixture(scope="module")
def operators(parent_file, insertion):
    """An approximate operator, an inserted block, and a convex sum."""
    graph = load_graph(parent_file)
    prune = next(operator for operator in APPROXIMATE if operator.name == "prune_filters")
    site = next(s for s in prune.candidates(graph) if s.node == "conv_2")
    return (record(prune, site), insertion, {"operator": "add_skip", "site": SKIP})


def train(parent_file, output, operators, digits, settings):
    """Train a child as in a worker, in which TF32 is off by default."""
    config = tf.config.experimental
    before = config.tensor_float_32_execution_enabled()
    current_backend().set_up()
    try:
        seeds = map(np.random.SeedSequence, (5, 6))
        task = ChildTask("17", operators, str(output), *seeds, parent_file=parent_file)
        result = train_child(task, digits, settings)
    finally:
        config.enable_tensor_float_32_execution(before)
    assert result.failure is None
    return result


@contextmanager
def recorded(monkeypatch):
    """Collect the dtype of each call of a convolution and whether TF32 is on, by phase."""
    calls, in_training = {True: set(), False: set()}, [False]
    convolve = keras.layers.Conv2D.call

    def call(layer, inputs):
        is_on = tf.config.experimental.tensor_float_32_execution_enabled()
        calls[in_training[0]].add((layer.compute_dtype, is_on))
        return convolve(layer, inputs)

    def of_training(method):
        def run(*args, **kwargs):
            in_training[0] = True
            try:
                return method(*args, **kwargs)
            finally:
                in_training[0] = False

        return run

    with monkeypatch.context() as patch:
        patch.setattr(keras.layers.Conv2D, "call", call)
        for name in ("compile", "run_epoch"):
            patch.setattr(TensorFlowTrainer, name, of_training(getattr(TensorFlowTrainer, name)))
        yield calls


@pytest.mark.parametrize(
    ("precision", "in_training"),
    [
        ("float32", ("float32", False)),
        ("tf32", ("float32", True)),
        ("bfloat16", ("bfloat16", True)),
    ],
)
def test_only_training_steps_compute_in_the_precision(
    precision, in_training, parent_file, digits, settings, operators, tmp_path, monkeypatch
):
    """Repairs, the parent's probabilities, epsilon and evaluation are in float32."""
    settings = replace(settings, precision=precision, epochs=1, distillation_epochs=1)
    with recorded(monkeypatch) as calls:
        result = train(parent_file, tmp_path / "17.h5", operators, digits, settings)
    assert len(result.losses) == len(result.distillation_losses) == 1
    assert result.epsilon is not None
    assert calls == {True: {in_training}, False: {("float32", False)}}


def test_a_child_trained_in_bfloat16_is_saved_in_float32(
    parent_file, digits, settings, operators, tmp_path
):
    given = replace(settings, learning_rate=0.05, epochs=2, distillation_epochs=1)
    expected = train(parent_file, tmp_path / "float32.h5", operators, digits, given)
    path = tmp_path / "17.h5"
    result = train(parent_file, path, operators, digits, replace(given, precision="bfloat16"))
    assert result.losses != expected.losses
    assert result.losses[-1] < 0.7 * result.losses[0]
    assert result.losses[-1] == pytest.approx(expected.losses[-1], rel=0.1)
    assert result.epsilon["after"]["kl"] == pytest.approx(expected.epsilon["after"]["kl"], rel=0.2)
    assert result.error == pytest.approx(expected.error, abs=0.05)

    model = keras.models.load_model(path)
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    found = model.predict(digits.x_validation, verbose=0).argmax(axis=1)
    assert (found != digits.y_validation).mean() == result.error
    dtypes = set()
    with h5py.File(path) as file:
        file["model_weights"].visititems(
            lambda _, item: dtypes.add(item.dtype) if isinstance(item, h5py.Dataset) else None
        )
        assert "bfloat16" not in file.attrs["model_config"]
    assert dtypes == {np.dtype("float32")}
    graph = load_graph(path)
    assert float(graph["skip_sum_1"].weights["lambda"]) != 0
