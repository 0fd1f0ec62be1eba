"""Compare the weights that children of approximate operators start from (A.1).

    python experiments/approximate_starts.py [--dataset digits] [--network 0 ...] [--seeds 3]

The script trains initial networks of space I without augmentation, creates children of each with
every approximate operator (at up to `--sites` random sites per operator), and distills each child
for 0, 1, 2 and 5 epochs from three kinds of starting weights: "random", new weights in all affected
layers, as written in A.1; "inherited", the parent's weights where they fit; "fitted", these brought
closest to the parent by least squares. For each operator and start it prints the medians over
children of the Kullback-Leibler divergence from the parent (training images) and of the child's
error minus its parent's (validation images).

Three digits networks with two seeds take 13 minutes on one CPU core. Expected: fitted weights
without distillation have a lower error than inherited ones after two epochs; see
docs/measured.md.
"""

import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from absl import flags
from common import run_script, train_network

from lemonade_tf.architecture.text import to_json
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.keras_bridge import load_graph
from lemonade_tf.operators import APPROXIMATE, record
from lemonade_tf.search_spaces import NETWORKS
from lemonade_tf.training.settings import STARTS, TrainingSettings

DATASET = flags.DEFINE_string("dataset", "digits", "Data set, as for lemonade-tf search.")
DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of the data sets, as for lemonade-tf search."
)
NUMBERS = flags.DEFINE_multi_enum(
    "network",
    ["0", "1", "2", "3"],
    ["0", "1", "2", "3"],
    "Initial network to train; repeat the flag for several.",
)
EPOCHS = flags.DEFINE_integer("epochs", 8, "Training epochs of the parents.", lower_bound=1)
SITES = flags.DEFINE_integer("sites", 4, "Maximum number of sites per operator.", lower_bound=1)
SEEDS = flags.DEFINE_integer("seeds", 3, "Number of seeds, starting at 0.", lower_bound=1)
QUICK = flags.DEFINE_bool("quick", False, "Scale down to seconds to check that it runs.")

DISTILLED = (0, 1, 2, 5)  # epochs
NO_AUGMENTATION = TrainingSettings(pad=0, flip=False, cutout=0, mixup=0.0)


def distilled(dataset, parent_file, operators, start, seed, folder):
    """Return the divergence of a child from its parent and its error, by epochs of distillation."""
    found = {}
    for epochs in DISTILLED:
        settings = replace(
            NO_AUGMENTATION, epochs=0, distillation_epochs=epochs, approximate_start=start
        )
        output = folder / "child.h5"
        result = train_network(
            dataset, settings, output, seed, operators, parent_file=str(parent_file)
        )
        after = result.epsilon["after"]["kl"] if epochs else None
        found[epochs] = [after, result.error]
    found[0][0] = result.epsilon["before"]["kl"]
    return found


def compare(dataset, graph, seed, folder, found, most_sites, epochs):
    """Distill children of one trained network and add their results to `found`."""
    rng = np.random.default_rng(seed)
    parent_file = folder / "parent.h5"
    settings = replace(NO_AUGMENTATION, epochs=epochs)
    parent = train_network(dataset, settings, parent_file, seed, architecture=to_json(graph))
    print(f"seed {seed}, {parent.parameters:,} parameters: error {parent.error:.4f}", flush=True)
    for operator in APPROXIMATE:
        sites = operator.candidates(load_graph(parent_file))
        for number in rng.permutation(len(sites))[:most_sites]:
            made = (record(operator, sites[number]),)
            for start in STARTS:
                child = distilled(dataset, parent_file, made, start, seed, folder)
                for epochs, (kl, error) in child.items():
                    found[operator.name, start, epochs].append((kl, error - parent.error))


def table(found):
    """Print the medians over children, per operator and over all operators."""
    for (_, start, epochs), values in list(found.items()):
        found["all", start, epochs].extend(values)
    print(
        "operator               start      epochs  children  divergence  error above the parent's"
    )
    for (name, start, epochs), values in found.items():
        kl, error = np.median(values, axis=0)
        print(f"{name:22} {start:10} {epochs:6} {len(values):9} {kl:11.4f} {100 * error:10.2f} %")


def main(_):
    quick = QUICK.value
    dataset = load_dataset(DATASET.value, DATA_DIR.value)
    graphs = NETWORKS.initial_graphs(
        dataset.input_shape, dataset.num_classes, rescaling=dataset.rescaling()
    )
    sites, epochs = (1, 2) if quick else (SITES.value, EPOCHS.value)
    found = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(1 if quick else SEEDS.value):
            for number in [0] if quick else map(int, NUMBERS.value):
                compare(dataset, graphs[number], seed, Path(folder), found, sites, epochs)
    table(found)


if __name__ == "__main__":
    run_script(main)
