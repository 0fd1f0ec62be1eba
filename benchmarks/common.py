"""Share networks, alternating processes and tables among the benchmarks of training.

Each side of a comparison runs in a separate process with its own number of threads, and only one of
them works at a time: A, B, B, A, ... Other load on the machine therefore affects both sides alike,
and the ratio within a pair is what counts.
"""

import gc
import multiprocessing
import time
from dataclasses import dataclass

import numpy as np

IMAGE = (32, 32, 3)
CLASSES = 10
BATCH = 64


@dataclass(frozen=True)
class Network:
    """Blocks of a convolution, batch norm and ReLU, two max poolings between, and a classifier."""

    filters: tuple[int, ...]
    separable: bool = False

    def __str__(self):
        if len(self.filters) > 3:
            return f"{len(self.filters)} blocks, {self.filters[0]} to {self.filters[-1]}"
        return f"{'separable ' if self.separable else ''}{list(self.filters)}"

    @property
    def pooled(self):
        """The numbers of the blocks before a pooling layer: at one and two thirds of the depth."""
        return (len(self.filters) // 3, 2 * len(self.filters) // 3)

    def graph(self):
        """Return the graph with newly initialized weights."""
        from lemonade_tf.architecture import Graph, layers
        from lemonade_tf.operators.initial import NORMALIZATION, initial_weights

        convolution = layers.SeparableConv2D if self.separable else layers.Conv2D
        graph = Graph()
        at = graph.add("input", layers.Input(IMAGE))
        at = graph.add("rescaling", layers.Rescaling(1 / 127.5, -1.0), [at])
        for number, width in enumerate(self.filters, 1):
            at = graph.add(f"conv_{number}", convolution(width, 3), [at])
            at = graph.add(f"bn_{number}", NORMALIZATION, [at])
            at = graph.add(f"relu_{number}", layers.ReLU(), [at])
            if number in self.pooled:
                at = graph.add(f"pool_{number}", layers.MaxPooling2D(2), [at])
        at = graph.add("global_pool", layers.GlobalAveragePooling2D(), [at])
        at = graph.add("logits", layers.Dense(CLASSES), [at])
        graph.output = graph.add("softmax", layers.Activation("softmax"), [at])
        return initial_weights(graph, rng=np.random.default_rng(0))


def chain(num_blocks, widths=(16, 32, 64)):
    """Return a network of many blocks, a third of them of each width."""
    return Network(tuple(widths[3 * i // num_blocks] for i in range(num_blocks)))


INITIAL = (
    Network((14, 26, 46)),
    Network((24, 46, 92)),
    Network((34, 66, 130)),
    Network((68, 132, 264)),
    Network((40, 72, 128), separable=True),
    Network((72, 136, 256), separable=True),
    Network((96, 192, 384), separable=True),
)
NETWORKS = (*INITIAL, chain(30))


def random_images(number):
    """Return random uint8 images and their int32 classes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (number, *IMAGE), dtype=np.uint8)
    return images, rng.integers(0, CLASSES, number, dtype=np.int32)


# --- Ours ------------------------------------------------------------------------------------


def train_ours(job, turns, threads):
    """Train a network with `training.fit` and all augmentation; each turn is an epoch."""
    from lemonade_tf.backends.current import current_backend
    from lemonade_tf.training.augmentation import Augmentation
    from lemonade_tf.training.fit import fit
    from lemonade_tf.training.settings import TrainingSettings

    class InTurns(Augmentation):
        """Starts a turn in `draw`, which each epoch calls first."""

        def draw(self, *args, **kwargs):
            turns.next()
            return super().draw(*args, **kwargs)

    current_backend().set_up(threads)
    network, num_steps, num_turns = job
    images, labels = (current_backend().place(array) for array in random_images(num_steps * BATCH))
    fit(
        current_backend().training_model(network.graph(), seed=0),
        images,
        labels,
        epochs=num_turns,
        settings=TrainingSettings(batch_size=BATCH),
        rng=np.random.default_rng(0),
        transform=InTurns(IMAGE, CLASSES, (127.5, 127.5, 127.5), pad=4, cutout=16),
    )
    turns.end()


# --- Taking turns ------------------------------------------------------------------------------


class Side:
    """A process that works on jobs one turn at a time, on request.

    Args:
        work: Called as work(job, turns, *args) for each job; a module-level function.
        *args: Passed to `work` for every job.
    """

    def __init__(self, work, *args):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, work, args), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._pipe.close()
        self._process.join(10)
        self._process.kill()

    def start(self, job):
        """Send a job; its turns follow."""
        self._pipe.send(job)

    def turn(self):
        """Run one turn and return its result, by default its seconds."""
        self._pipe.send("go")
        try:
            return self._pipe.recv()
        except EOFError:
            raise SystemExit("a benchmark process failed; see its error above.") from None


class Turns:
    """The turns of a job, in the process that works on it."""

    def __init__(self, pipe):
        self._pipe, self._started = pipe, None

    def next(self):
        """End the current turn, if there is one, and start the next on request."""
        self.end()
        self._pipe.recv()
        self._started = time.perf_counter()

    def end(self, result=None):
        """End the turn and report a result, by default the seconds since its start."""
        if self._started is not None:
            seconds = time.perf_counter() - self._started
            self._pipe.send(seconds if result is None else result)
            self._started = None


def _serve(pipe, work, args):
    try:
        while True:
            work(pipe.recv(), Turns(pipe), *args)
            gc.collect()
    except EOFError:
        pass


def pairs(ours, theirs, job, rounds):
    """Return seconds per turn, (rounds, 2): ours and theirs, without the first turn of each."""
    for side in (ours, theirs):
        side.start(job)
    for side in (ours, theirs):
        side.turn()  # compiles
    taken = np.empty((rounds, 2))
    for number in range(rounds):
        both = [(0, ours), (1, theirs)]
        for column, side in both if number % 2 == 0 else both[::-1]:
            taken[number, column] = side.turn()
    return taken


# --- Speeds --------------------------------------------------------------------------------------


def compare_speed(train_theirs, name, *, quick):
    """Print our and their images per second and their ratio for each network.

    Args:
        train_theirs: Called like `train_ours`.
        name: Column header of their speed.
        quick: Whether to use fewer networks, fewer and shorter turns, and one number of threads.

    Returns:
        The median ratio over networks, for the number of threads where it is lower.
    """
    medians = []
    for threads in (None,) if quick else (1, None):
        print("one thread" if threads else "all threads")
        print(
            f"  {'network':30} {'ours':>8} {name:>12}   ratio (range of rounds)   images per second"
        )
        with Side(train_ours, threads) as ours, Side(train_theirs, threads) as theirs:
            networks = (INITIAL[0], INITIAL[4]) if quick else NETWORKS
            medians.append(np.median([_compare(n, ours, theirs, quick) for n in networks]))
        print(f"  median {medians[-1]:.2f}")
    return float(min(medians))


def _compare(network, ours, theirs, quick):
    num_steps, rounds = (4, 3) if quick else (_steps_per_turn(network), 7)
    taken = pairs(ours, theirs, (network, num_steps, rounds + 1), rounds)
    of_rounds = taken[:, 1] / taken[:, 0]
    speeds = num_steps * BATCH / np.median(taken, axis=0)
    print(
        f"  {network!s:30} {speeds[0]:8,.0f} {speeds[1]:12,.0f}   {np.median(of_rounds):.2f}"
        f" ({of_rounds.min():.2f} to {of_rounds.max():.2f})",
        flush=True,
    )
    return np.median(of_rounds)


def _steps_per_turn(network):
    """Return the number of steps that take about half a second on one or two cores."""
    from lemonade_tf.architecture.cost import count_multiply_adds

    return int(np.clip(1.5e10 / (3 * BATCH * count_multiply_adds(network.graph())), 4, 32))
