"""Where does growth come from: does a function that is kept help a network that grows?

    python experiments/growth.py --workdir OUT [--dataset digits] [--seeds 10]

Wen et al. ("AutoGrow: automatic layer growing in deep convolutional networks", KDD 2020) report
that networks which grow by morphisms end slightly worse than networks whose new layers are random:
93.57 against 94.27 % accuracy on CIFAR-10. Here the smallest initial network of space I is trained
for --epochs epochs, grown by doubling the filters of one convolution and by a new block, both at
random sites, trained as long again, and so on, --stages times. The learning rate decays to 0 in
each stage, as it does for each child of a search. The variants have the same architectures, images
and epochs:

- zero: exact and alive, as in searches; new filters are random, and the weights that consume them
  zero; a new block starts as the identity;
- copied: exact and alive, Net2WiderNet; new filters are copies of old ones, and the weights that
  consume them are split among the copies in unequal shares; new blocks as above;
- dead: exact, but new filters and the weights that consume them are both zero, so that they never
  receive a gradient; new blocks as above;
- random: not exact; new filters, the weights that consume them and new blocks are random;
- scratch: the last architecture from new weights, for as many epochs as all stages together.

The script prints the test errors after the last stage, mean and standard deviation over seeds, the
validation error that growing itself added, before any training, and Wilcoxon's signed-rank test of
each variant against `zero`. OUT/growth-SEED.jsonl has all results; rerun an interrupted command to
continue. Ten seeds on digits take ten minutes on one CPU core. Expected: see docs/measured.md.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from absl import flags
from common import run_script, train_network
from judging import signed_rank
from resumable import check_settings, finished

from lemonade_tf.architecture.text import to_json
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.inheritance.batch_statistics import measure_statistics
from lemonade_tf.keras_bridge import load_graph, save_model, to_keras
from lemonade_tf.keras_bridge.weights import read_weights
from lemonade_tf.operators import InsertConvolution, WidenConvolution, record, replay
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.search_spaces import NETWORKS
from lemonade_tf.training.settings import TrainingSettings

WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the results.", required=True)
DATASET = flags.DEFINE_string("dataset", "digits", "Data set, as for lemonade-tf search.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of official archives, if it is one.")
SEEDS = flags.DEFINE_integer("seeds", 10, "Number of seeds, starting at 0.", lower_bound=1)
STAGES = flags.DEFINE_integer("stages", 3, "How many times networks grow.", lower_bound=1)
EPOCHS = flags.DEFINE_integer("epochs", 4, "Epochs before and after each growth.", lower_bound=1)
QUICK = flags.DEFINE_bool("quick", False, "Scale down to seconds to check that it runs.")

VARIANTS = ("zero", "copied", "dead", "random", "scratch")
NUM_MEASURED = 256  # images for the statistics of new batch norms, as in searches


def variants():
    """Return the variants to compare."""
    return ("zero", "random") if QUICK.value else VARIANTS


def grown(graph, rng):
    """Return the records of a doubled convolution and a new block, and the shapes of the result."""
    made = []
    for operator in (WidenConvolution(factors=(2,)), InsertConvolution()):
        sites = operator.candidates(graph)
        made.append(record(operator, sites[int(rng.integers(len(sites)))]))
        graph = replay(graph, made[-1:], rng=rng).graph
    return made, graph


def start_of(parent, made, variant, images, rng):
    """Return a parent's child with the weights that a variant starts from.

    Args:
        parent: The trained parent.
        made: The records of the operators.
        variant: "zero", "copied", "dead" or "random".
        images: Training images to measure statistics on.
        rng: Draws new weights.
    """
    widen = WidenConvolution(split=variant == "copied")
    change = replay(parent, made, rng=rng, operators=(InsertConvolution(), widen))
    model = to_keras(change.graph, learnable=True)
    measure_statistics(change.statistics_repairs, change.graph, model, images)
    graph = read_weights(model, change.graph)
    if variant in ("dead", "random"):
        new = initial_weights(graph, rng=rng)
        for name in graph.topological_order():
            if name not in parent and variant == "random":
                graph.set_weights(name, new[name].weights)
            elif name in parent and graph[name].weights:
                weights = _changed(graph[name], parent[name], new[name], variant)
                graph.set_weights(name, weights)
    return graph


def _changed(node, before, new, variant):
    """Return the weights of a node that grew: new ones zero, or random wherever they were zero."""
    weights = dict(node.weights)
    for key, value in weights.items():
        if value.ndim < 2 or value.shape == before.weights[key].shape:
            continue
        value = value.copy()
        inputs, outputs = before.weights[key].shape[-2:]
        if variant == "dead":
            value[..., outputs:] = 0
        value[..., inputs:, :] = 0 if variant == "dead" else new.weights[key][..., inputs:, :]
        weights[key] = value
    return weights


def train(dataset, settings, graph, seed, output):
    """Train a weighted graph; return its result."""
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder) / "start.h5"
        save_model(graph, start, {"id": "start"})
        return train_network(
            dataset,
            settings,
            output,
            seed,
            architecture=to_json(graph.copy(weights=False)),
            parent_file=str(start),
        )


def run_seed(seed, dataset, settings, stages):
    """Grow a network in all ways; return a result per variant."""
    rng = np.random.default_rng(seed)
    first = NETWORKS.initial_graphs(
        dataset.input_shape, dataset.num_classes, rescaling=dataset.rescaling(), rng=rng
    )[0]
    plan, shapes = [], first.copy(weights=False)
    for _ in range(stages):
        made, shapes = grown(shapes, rng)
        plan.append(made)
    images = dataset.x_train[rng.permutation(len(dataset.x_train))[:NUM_MEASURED]]
    longer = replace(settings, epochs=settings.epochs * (stages + 1))
    found = []
    with tempfile.TemporaryDirectory() as folder:
        root, file = Path(folder) / "first.h5", Path(folder) / "grown.h5"
        train(dataset, settings, first, seed, root)
        for variant in variants():
            after = []
            if variant == "scratch":
                start = initial_weights(shapes, rng=np.random.default_rng([seed, stages]))
                result = train(dataset, longer, start, seed, file)
            parent = load_graph(root)
            for stage, made in enumerate([] if variant == "scratch" else plan):
                weights_rng = np.random.default_rng([seed, stage])
                start = start_of(parent, made, variant, images, weights_rng)
                after.append(error_of(start, dataset) - error_of(parent, dataset))
                result = train(dataset, settings, start, seed * 100 + stage + 1, file)
                parent = load_graph(file)
            print(f"seed {seed}, {variant}: test error {100 * result.test_error:.2f} %", flush=True)
            found.append(
                {
                    "variant": variant,
                    "parameters": result.parameters,
                    "error": result.error,
                    "test_error": result.test_error,
                    "added_by_growing": after,
                }
            )
    return found


def error_of(graph, dataset):
    """Return the validation error of a weighted graph."""
    predicted = np.asarray(to_keras(graph)(dataset.x_validation, training=False))
    return float(np.mean(predicted.argmax(axis=1) != dataset.y_validation))


def table(results):
    """Print errors and tests."""
    errors = {
        v: np.array([run[n]["test_error"] for run in results]) for n, v in enumerate(variants())
    }
    print(
        f"\n{len(results)} seeds; mean parameters at the end"
        f" {np.mean([run[0]['parameters'] for run in results]):,.0f}"
    )
    for number, (variant, values) in enumerate(errors.items()):
        added = [e for run in results for e in run[number]["added_by_growing"]]
        line = f"{variant:8} test error {100 * values.mean():.2f} % ({100 * values.std():.2f})"
        if added:
            line += f"; growing added {100 * np.mean(added):.2f} % (validation, before training)"
        if variant != "zero":
            line += f"; zero has less with {signed_rank(values - errors['zero'])} seeds"
        print(line)


def main(_):
    dataset = load_dataset(DATASET.value, DATA_DIR.value)
    epochs, stages = (1, 1) if QUICK.value else (EPOCHS.value, STAGES.value)
    settings = TrainingSettings(epochs=epochs, pad=0, flip=False, cutout=0, mixup=0.0)
    workdir = Path(WORKDIR.value)
    workdir.mkdir(parents=True, exist_ok=True)
    check_settings(
        workdir,
        {
            "dataset": DATASET.value,
            "epochs": epochs,
            "stages": stages,
            "variants": variants(),
        },
    )
    results = []
    for seed in range(1 if QUICK.value else SEEDS.value):
        file = workdir / f"growth-{seed}.jsonl"
        results.append(finished(file, lambda seed=seed: run_seed(seed, dataset, settings, stages)))
    table(results)


if __name__ == "__main__":
    run_script(main)
