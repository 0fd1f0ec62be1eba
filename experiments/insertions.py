"""Measure how the batch norm statistics of inserted blocks affect training mode (section 3.1).

    python experiments/insertions.py [--dataset digits] [--seeds 3]

At inference, an inserted block is the identity with any batch norm statistics, as long as scale and
offset match them. In training mode, the statistics of the batch are used instead. If the given
statistics are inaccurate, the child starts training as a different function than its parent.

The script trains an initial network of space I without augmentation, inserts one and three blocks
at random sites, and prints the difference of the softmax in training mode from the parent's,
averaged over images and classes, and for the most probable class: with statistics 0 and 1, with the
operator's estimate from the preceding batch norms, and with statistics measured on 256 training
images, as in a search. For comparison it prints how much the same network differs when the other
images of the batch change.

Expected: see docs/measured.md.
"""

import tempfile
from pathlib import Path

import numpy as np
from absl import flags
from common import run_script, train_network

from lemonade_tf.architecture.text import to_json
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.inheritance.batch_statistics import measure_statistics
from lemonade_tf.keras_bridge import load_graph, to_keras
from lemonade_tf.operators import InsertConvolution, record, replay
from lemonade_tf.operators.morphisms import identity_normalization
from lemonade_tf.search_spaces import NETWORKS
from lemonade_tf.training.settings import TrainingSettings

DATASET = flags.DEFINE_string("dataset", "digits", "Data set, as for lemonade-tf search.")
DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of the data sets, as for lemonade-tf search."
)
EPOCHS = flags.DEFINE_integer("epochs", 8, "Training epochs of the network.", lower_bound=1)
SEEDS = flags.DEFINE_integer("seeds", 3, "Number of seeds, starting at 0.", lower_bound=1)
QUICK = flags.DEFINE_bool("quick", False, "Scale down to seconds to check that it runs.")

STATISTICS = ("0 and 1", "estimated", "measured")
NUM_MEASURED, BATCH = 256, 64


def trained(dataset, seed, epochs):
    """Return a trained initial network."""
    graph = NETWORKS.initial_graphs(
        dataset.input_shape, dataset.num_classes, rescaling=dataset.rescaling()
    )[0]
    settings = TrainingSettings(epochs=epochs, pad=0, flip=False, cutout=0, mixup=0.0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.h5"
        train_network(dataset, settings, path, seed, architecture=to_json(graph))
        return load_graph(path)


def inserted(parent, number, rng):
    """Return the change that inserts `number` blocks at random sites."""
    insert, records, graph = InsertConvolution(), [], parent
    for _ in range(number):
        sites = insert.candidates(graph)
        records.append(record(insert, sites[rng.integers(len(sites))]))
        graph = replay(parent, records, rng=rng).graph
    return replay(parent, records, rng=rng)


def child_of(change, statistics, images):
    """Return the Keras model of a child whose new batch norms have the given statistics."""
    graph = change.graph.copy()
    if statistics == "0 and 1":
        for repair in change.statistics_repairs:
            width = graph.shapes()[repair.node][-1]
            epsilon = graph[repair.node].layer.epsilon
            weights = identity_normalization(np.zeros(width), np.ones(width), epsilon)
            graph.set_weights(repair.node, weights)
    model = to_keras(graph, learnable=True)
    if statistics == "measured":
        measure_statistics(change.statistics_repairs, graph, model, images)
    return model


def apart(first, second, batches):
    """Return the mean and the top-class difference of two models' softmax in training mode."""
    mean, top = [], []
    for one, other in batches:
        p, q = (np.asarray(m(x, training=True)) for m, x in ((first, one), (second, other)))
        p, q = p[: BATCH // 2], q[: BATCH // 2]
        mean.append(np.abs(p - q).mean())
        top.append(np.abs(p - q)[np.arange(len(p)), p.argmax(1)].mean())
    return np.mean(mean), np.mean(top)


def compare(dataset, seed, epochs):
    """Print the differences for one seed."""
    rng = np.random.default_rng(seed)
    parent = trained(dataset, seed, epochs)
    shuffled = dataset.x_train[rng.permutation(len(dataset.x_train))]
    measured_on, rest = shuffled[:NUM_MEASURED], shuffled[NUM_MEASURED:]
    batches = [rest[at : at + BATCH] for at in range(0, len(rest) - 2 * BATCH, BATCH)][:8]
    same = [(b, b) for b in batches]
    half = BATCH // 2  # keep the first half of each batch and replace the second
    following = zip(batches, batches[1:] + batches[:1], strict=True)
    mixed = [np.concatenate([one[:half], other[half:]]) for one, other in following]
    model, pairs = to_keras(parent), list(zip(batches, mixed, strict=True))
    found = {("parent, other images in batch", 0): apart(model, model, pairs)}
    for number in (1, 3):
        change = inserted(parent, number, rng)
        for statistics in STATISTICS:
            child = child_of(change, statistics, measured_on)
            found[statistics, number] = apart(model, child, same)
    for (name, number), (mean, top) in found.items():
        print(f"{seed:4} {name:30} {number:10} {mean:14.5f} {top:18.5f}", flush=True)


def main(_):
    dataset = load_dataset(DATASET.value, DATA_DIR.value)
    print("seed statistics                     insertions    mean change   top-class change")
    for seed in range(1 if QUICK.value else SEEDS.value):
        compare(dataset, seed, 1 if QUICK.value else EPOCHS.value)


if __name__ == "__main__":
    run_script(main)
