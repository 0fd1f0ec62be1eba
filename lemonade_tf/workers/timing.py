"""Timing a network: a few steps of its training, and its evaluation, by the clock.

The learning rate is 0, so the weights stay the same and the time does not depend on them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from lemonade_tf.architecture.text import from_json
from lemonade_tf.backends.batch_transform import NO_AUGMENTATION, BatchTransform
from lemonade_tf.backends.current import current_backend
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.executors.device_turn import device_turn
from lemonade_tf.keras_bridge.files import load_graph
from lemonade_tf.keras_bridge.saving import save_model
from lemonade_tf.keras_bridge.weights import read_weights
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.training.evaluation import predict
from lemonade_tf.training.fit import make_trainer
from lemonade_tf.training.out_of_memory import effective_batch_size
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.training.streaming import place_images, place_targets
from lemonade_tf.workers.measured_objectives import measure_on
from lemonade_tf.workers.tasks import Timing, TimingTask

# Steps per call of the compiled loop. If XLA compiles it, many steps take less time than the call.
NUM_STEPS, NUM_STEPS_BY_XLA = 3, 100
MIN_SECONDS = 0.25  # calls are repeated until they took this long


def time_network(
    task: TimingTask,
    dataset: Dataset,
    settings: TrainingSettings,
    *,
    images: Any = None,
    transform: BatchTransform = NO_AUGMENTATION,
) -> Timing:
    """Measure how long a network takes in this process, at the real batch size.

    Args:
        task: The network; its weights are random.
        dataset: The images.
        settings: The training settings.
        images: The training images as `place_images` returned them, if it was called already.
        transform: Transform of each training batch.
    """
    backend = current_backend()
    images = place_images(dataset.x_train, None) if images is None else images
    labels = place_targets(dataset.y_train, images)
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    graph = initial_weights(from_json(task.architecture), rng=rng)
    model = backend.training_model(graph, seed=0)
    fixed = time.perf_counter() - start

    batch_size = effective_batch_size(settings, len(dataset.x_train))
    steps_per_epoch = len(dataset.x_train) // batch_size
    planned = settings.epochs * steps_per_epoch
    trainer = make_trainer(model, settings, transform, images=images, num_steps=planned)
    num_steps = NUM_STEPS_BY_XLA if trainer.jit_compile else NUM_STEPS
    indices = rng.integers(len(dataset.x_train), size=(num_steps, batch_size), dtype=np.int32)
    rates = np.zeros(num_steps, np.float32)  # weight decay is scaled by the rate as well

    def train() -> None:
        draws = transform.draw(num_steps, batch_size, rng=rng)
        trainer.run_epoch(images, labels, indices, rates, draws)

    trainer.compile(images, labels, indices, rates, transform.draw(num_steps, batch_size, rng=rng))
    with device_turn() if trainer.jit_compile else nullcontext():
        first_epoch, training = _time_calls(train)
    compiling = trainer.seconds_compiling + first_epoch
    forward = backend.forward(model)
    some = dataset.x_train[: settings.evaluation_batch_size]
    compiling_forward, evaluation = _time_calls(
        lambda: predict(forward, some, batch_size=len(some))
    )
    fixed += compiling + compiling_forward
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        save_model(read_weights(model, graph), Path(folder) / "network.h5", {})
        load_graph(Path(folder) / "network.h5")
        fixed += time.perf_counter() - start
    measuring = 0.0
    if task.objectives:
        size = settings.evaluation_batch_size
        probabilities = predict(forward, dataset.x_validation, batch_size=size)
        start = time.perf_counter()
        measure_on(dataset, task.objectives, read_weights(model, graph), probabilities)
        measuring = time.perf_counter() - start
    return Timing(fixed, training / num_steps, evaluation / len(some), measuring)


def _time_calls(call: Callable[[], Any]) -> tuple[float, float]:
    """Return the extra seconds of the first call, and the seconds of a later one."""
    start = time.perf_counter()
    call()
    first = time.perf_counter() - start
    count, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < MIN_SECONDS or not count:
        call()
        count += 1
    return max(0.0, first - spent / count), spent / count
