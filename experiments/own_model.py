"""Vary a trained MobileNetV2, and compare with MobileNetV2 scaled by hand.

    python experiments/own_model.py --dataset PICTURES --workdir OUT

trains Keras's MobileNetV2 (`--alpha 0.35`) from scratch for `--epochs 20`, as a user's own model,
and starts a search from its file (`--initial_models`): 4 generations of 8 children, 3 epochs each
(half as many of distillation), with the error, the parameters and the latency on this machine as
objectives. The alternative by hand is MobileNetV2 with other values of alpha, `--alphas
0.1,0.2,0.35,0.5,0.75`, each trained from scratch for as many epochs as the search's budget allows.
The budget is the multiply-adds of all training and distillation, that of the first model included.
All networks have the same images, augmentation, batches and learning rates.

OUT/base, OUT/search and OUT/scaled are run folders, so `lemonade-tf report OUT/search` works. Rerun
an interrupted command to continue it. The script prints the front of each, and their hypervolumes
with a common reference point, and plots them to OUT/fronts.png.

    python experiments/own_model.py --workdir OUT --quick

uses scikit-learn's digits, networks of one convolution and no latency, and only checks that the
script runs.
"""

from pathlib import Path

from absl import app, flags
from common import run_script

from lemonade_tf.architecture.cost import count_multiply_adds
from lemonade_tf.baselines.comparison import compare, comparison_figure, comparison_table
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.keras_bridge import from_keras
from lemonade_tf.monitoring.progress import ProgressDisplay
from lemonade_tf.objectives import MULTIPLY_ADDS
from lemonade_tf.presets import make_config
from lemonade_tf.report import write_figure
from lemonade_tf.runs import read_run
from lemonade_tf.search import search

WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the runs.", required=True)
DATASET = flags.DEFINE_string("dataset", None, "Data set, such as a folder of class folders.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of official archives, if it is one.")
ALPHA = flags.DEFINE_float("alpha", 0.35, "Width of the model to start from.")
ALPHAS = flags.DEFINE_list("alphas", ["0.1", "0.2", "0.35", "0.5", "0.75"], "Widths by hand.")
EPOCHS = flags.DEFINE_integer("epochs", 20, "Epochs of the model to start from.")
CHILD_EPOCHS = flags.DEFINE_integer("child_epochs", 3, "Epochs of a child.")
GENERATIONS = flags.DEFINE_integer("num_generations", 4, "Generations of the search.")
ACCEPTED = flags.DEFINE_integer("num_accepted", 8, "Children per generation.")
SEED = flags.DEFINE_integer("seed", 0, "Random seed.")
QUICK = flags.DEFINE_bool("quick", False, "Scale down to a minute to check that it runs.")


def tiny_network(images, alpha, num_classes):
    """Return an untrained network of one convolution, for `--quick`."""
    from keras import Model, layers

    features = layers.Rescaling(1 / 127.5, -1)(images)
    features = layers.Conv2D(int(80 * alpha), 3, padding="same", use_bias=False)(features)
    features = layers.ReLU()(layers.BatchNormalization()(features))
    outputs = layers.Dense(num_classes, "softmax")(layers.GlobalAveragePooling2D()(features))
    return Model(images, outputs)


def mobilenet(images, alpha, num_classes):
    """Return an untrained MobileNetV2 of Keras for raw pixels."""
    from keras import applications, layers

    scaled = layers.Rescaling(1 / 127.5, -1)(images)
    return applications.MobileNetV2(
        input_tensor=scaled, alpha=alpha, weights=None, classes=num_classes
    )


def write_models(folder, alphas, shape, num_classes):
    """Write untrained networks of several widths, and return their files and multiply-adds."""
    import keras

    folder.mkdir(parents=True, exist_ok=True)
    files, multiply_adds = [], []
    for alpha in alphas:
        keras.utils.set_random_seed(SEED.value)
        make = tiny_network if QUICK.value else mobilenet
        model = make(keras.Input(shape), alpha, num_classes)
        files.append(str(folder / f"alpha-{alpha}.keras"))
        multiply_adds.append(count_multiply_adds(from_keras(model)))
        if not Path(files[-1]).exists():
            model.save(files[-1])
    return files, multiply_adds


def run_search(name, files, epochs, generations):
    """Run or continue a search that starts from Keras files, and return its run."""
    workdir, base = Path(WORKDIR.value), Path(WORKDIR.value) / "base"
    settings = {
        "dataset": "digits" if QUICK.value else DATASET.value,
        "data_dir": DATA_DIR.value,
        "workdir": str(workdir / name),
        "initial_models": tuple(files),
        "objectives": ("error", "parameters", *(() if QUICK.value else ("latency",))),
        # The same predictions for all.
        "latency_table": None if QUICK.value or name == "base" else str(base),
        "num_generations": generations,
        "num_accepted": 2 if QUICK.value else ACCEPTED.value,
        "num_proposed": 10 if QUICK.value else 5 * ACCEPTED.value,
        "epochs": epochs,
        "distillation_epochs": max(1, epochs // 2),
        "keep_all": True,
        "seed": SEED.value,
    }
    given = {name: value for name, value in settings.items() if value is not None}
    search(make_config(None, **given), callbacks=[ProgressDisplay()], resume=True)
    return read_run(workdir / name)


def trained_multiply_adds(run):
    """Return the multiply-adds of all training and distillation of a run, forward passes only."""
    return sum(r.num_images * run.computed(MULTIPLY_ADDS, r) for r in run.trained)


def print_front(name, run):
    print(f"{name:8} {'parameters':>12} {'latency, ms':>12} {'validation':>11} {'test error':>11}")
    for record in run.front():
        latency = 1e3 * record.objectives.get("latency", float("nan"))
        print(
            f"{record.id:>8} {record.objectives['parameters']:>12,} {latency:>12.3f}"
            f" {100 * record.error:>9.2f} % {100 * record.test_error:>9.2f} %"
        )


def main(_):
    if DATASET.value is None and not QUICK.value:
        raise app.UsageError("--dataset is missing; expected a folder of pictures, or --quick.")
    workdir = Path(WORKDIR.value)
    images = load_dataset("digits" if QUICK.value else DATASET.value, DATA_DIR.value)
    task = images.input_shape, images.num_classes
    alphas = [0.1] if QUICK.value else [float(alpha) for alpha in ALPHAS.value]
    own = 0.1 if QUICK.value else ALPHA.value
    epochs, child_epochs, generations = EPOCHS.value, CHILD_EPOCHS.value, GENERATIONS.value
    if QUICK.value:
        epochs, child_epochs, generations = 1, 1, 1
    start, _ = write_models(workdir / "models", [own], *task)
    base = run_search("base", start, epochs, 0)
    found = run_search("search", [str(base.store.models.path("0-0"))], child_epochs, generations)
    budget = trained_multiply_adds(base) + trained_multiply_adds(found)
    files, costs = write_models(workdir / "models", alphas, *task)
    by_hand = 1 if QUICK.value else max(1, int(budget / (len(images.x_train) * sum(costs))))
    print(f"Budget: {budget:.3g} multiply-adds, {by_hand} epochs for each alpha.", flush=True)
    scaled = run_search("scaled", files, by_hand, 0)
    runs = [found, scaled]
    for name, run in zip(("search", "scaled"), runs, strict=True):
        print_front(name, run)
    print(comparison_table(compare(runs)))
    write_figure(workdir / "fronts.png", comparison_figure(runs))
    print(f"Figure: {workdir / 'fronts.png'}")


if __name__ == "__main__":
    run_script(main)
