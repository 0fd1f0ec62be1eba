"""Compare the fixed cost of a child, besides its training steps, with plain Keras: seconds.

    python benchmarks/fixed_cost.py [--quick]

The fixed cost covers everything besides steady steps: building the model, tracing, compiling, the
first step, the first evaluation. Both sides build a network, train it for two epochs of one batch
and evaluate it twice. The cost is the total time minus two epochs and two evaluations as long as
the last ones. Ours builds the training model and trains with `training.fit`, as a worker does;
plain Keras is a functional model, `compile`, `model.fit` and `model.evaluate`. Networks have 3, 10
and 30 blocks. Each pair has a new width, so that no cache holds the network, and both processes
have trained such a network before. Prints the ratio for each number of blocks, the median over
pairs. Targets: 0.35 for 3 blocks, 0.25 for 10, 0.2 for 30. The last line is the largest ratio
relative to its target; all three targets are met if it is at most 1.0.
"""

import gc
import time

import numpy as np
from common import BATCH, CLASSES, IMAGE, Side, chain, random_images
from script import Parser, run_benchmark

TARGETS = {3: 0.35, 10: 0.25, 30: 0.2}
NUM_EPOCHS, IMAGES = 2, BATCH


def cost_of_ours(network, turns):
    """Train a child as a worker does; the turn's result is its fixed cost in seconds."""
    from lemonade_tf.backends.batch_transform import NoAugmentation
    from lemonade_tf.backends.current import current_backend
    from lemonade_tf.training.evaluation import error_rate, predict
    from lemonade_tf.training.fit import fit
    from lemonade_tf.training.settings import TrainingSettings

    class Timed(NoAugmentation):
        """Records the start of each epoch, which calls `draw` first."""

        def draw(self, *args, **kwargs):
            clock.append(time.perf_counter())
            return super().draw(*args, **kwargs)

    current_backend().set_up()
    gc.freeze()  # like a worker, for objects that are never freed
    graph = network.graph()
    images, labels = random_images(IMAGES)
    turns.next()
    started, clock = time.perf_counter(), []
    model = current_backend().training_model(graph, seed=0)
    settings = TrainingSettings(batch_size=BATCH)
    rng = np.random.default_rng(0)
    fit(
        model,
        current_backend().place(images),
        current_backend().place(labels),
        epochs=NUM_EPOCHS,
        settings=settings,
        rng=rng,
        transform=Timed(),
    )
    trained, forward = time.perf_counter(), current_backend().forward(model)
    error_rate(predict(forward, images), labels)
    evaluated = time.perf_counter()
    error_rate(predict(forward, images), labels)
    turns.end(_beyond_steady(started, trained - clock[-1], evaluated))


def cost_of_keras(network, turns):
    """Train a child with `compile`, `fit` and `evaluate`."""
    import keras

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            clock.append(time.perf_counter())

    keras.backend.clear_session()
    images, labels = random_images(IMAGES)
    turns.next()
    started, clock = time.perf_counter(), []
    model = plain_model(network)
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(images, labels, BATCH, NUM_EPOCHS, verbose=0, callbacks=[Clock()])
    trained = time.perf_counter()
    model.evaluate(images, labels, verbose=0)
    evaluated = time.perf_counter()
    model.evaluate(images, labels, verbose=0)
    turns.end(_beyond_steady(started, trained - clock[-1], evaluated))


def _beyond_steady(started, epoch, evaluated):
    """Return the seconds since `started` without epochs and evaluations as long as the last."""
    now = time.perf_counter()
    return now - started - NUM_EPOCHS * epoch - 2 * (now - evaluated)


def plain_model(network):
    """Return a network as users write it in Keras."""
    from keras import Input, Model, layers

    inputs = Input(IMAGE)
    x = layers.Rescaling(1 / 127.5, -1.0)(inputs)
    for number, width in enumerate(network.filters, 1):
        x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
        if number in network.pooled:
            x = layers.MaxPooling2D(2)(x)
    return Model(inputs, layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(x)))


def compare(num_blocks, number, sides):
    """Return the fixed costs of one network in seconds: ours and plain Keras's."""
    network = chain(num_blocks, (12 + number, 24 + number, 48 + number))
    costs = []
    for side in sides if number % 2 else sides[::-1]:
        side.start(network)
        costs.append(side.turn())
    return costs if number % 2 else costs[::-1]


def main():
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 and 10 blocks, two pairs each")
    quick = parser.parse_args().quick
    pairs = {3: 2, 10: 2} if quick else {3: 11, 10: 9, 30: 7}
    over = {}
    with Side(cost_of_ours) as ours, Side(cost_of_keras) as plain:
        compare(3, 0, (ours, plain))  # warm-up
        print("blocks   ours   Keras   ratio (range of pairs)   target")
        for num_blocks, number in pairs.items():
            costs = [compare(num_blocks, n, (ours, plain)) for n in range(1, number + 1)]
            seconds = np.median(costs, axis=0)
            ratios = np.divide(*np.transpose(costs))
            over[num_blocks] = np.median(ratios) / TARGETS[num_blocks]
            print(
                f"{num_blocks:6} {seconds[0]:6.2f} s {seconds[1]:5.2f} s   {np.median(ratios):.2f}"
                f" ({ratios.min():.2f} to {ratios.max():.2f})   {TARGETS[num_blocks]}",
                flush=True,
            )
    print(f"ratio: {max(over.values()):.2f}")


if __name__ == "__main__":
    run_benchmark(main)
