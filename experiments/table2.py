"""Train networks of a search and the baselines alike, and compare them by size (Table 2).

    python experiments/table2.py --run RUN [--random RANDOM] --data_dir data --workdir OUT

RUN is a search on CIFAR-10 and RANDOM a random search (`random_search.py`). In each size class of
Table 2, the script takes the network of each front with the lowest validation error, MobileNets V1
and V2, and a NASNet, and trains all of them from scratch on training and validation images as in
A.4.4: 600 epochs, batches of 64, a learning rate of 0.025 with cosine annealing, crops, flips,
Cutout and mixup. It prints the test errors beside those of the paper, and OUT/retrained.csv has
those measured here. Rerun an interrupted command to continue it: networks resume from their last
checkpoint, on a CPU bit for bit.

That is up to 20 networks, days on a GPU. `--classes 1` trains the smallest class only, and
`--networks mobilenet_v2-0.15,2-5` single networks: baselines, and ids of RUN's front.

    python experiments/table2.py --workdir OUT --quick

first searches on scikit-learn's digits in OUT/search. It only checks that the script runs.
"""

from pathlib import Path

from absl import flags
from common import chosen_numbers, run_script, train_and_print

from lemonade_tf.baselines.transferred import baseline_networks
from lemonade_tf.keras_bridge import load_graph
from lemonade_tf.monitoring.progress import ProgressDisplay
from lemonade_tf.presets import make_config
from lemonade_tf.runs import read_run
from lemonade_tf.search import search
from lemonade_tf.search_spaces.adaptation import adapt_network

RUN = flags.DEFINE_string("run", None, "Run folder of a search.")
RANDOM = flags.DEFINE_string("random", None, "Run folder of a random search.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the trained networks.", required=True)
DATASET = flags.DEFINE_string("dataset", "cifar10", "Data set to train on.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of the official archives.")
CLASSES = flags.DEFINE_list("classes", ["1", "2", "3", "4"], "Size classes, the smallest is 1.")
NETWORKS = flags.DEFINE_list("networks", None, "Train these only: ids of RUN's front, baselines.")
EPOCHS = flags.DEFINE_integer("epochs", None, "Epochs; default: 600.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "Images per step; default: 64.")
LEARNING_RATE = flags.DEFINE_float("learning_rate", None, "Default: 0.025.")
WORKERS = flags.DEFINE_integer("workers", None, "Worker processes; default: as for a search.")
SEED = flags.DEFINE_integer("seed", 0, "Random seed.")
QUICK = flags.DEFINE_bool("quick", False, "Scale down to a minute to check that it runs.")

LEMONADE, RANDOM_SEARCH = "LEMONADE", "random search"
KINDS = {"mobilenet_v1": "MobileNet V1", "mobilenet_v2": "MobileNet V2", "nasnet": "NASNet"}

# By size class: the parameters of its largest network in the paper, and the ids of the baselines.
AT_MOST = 68e3, 232e3, 1.2e6, 3.4e6
BASELINES = (
    ("mobilenet_v1-0.1", "mobilenet_v2-0.15", "nasnet-n2-F96"),
    ("mobilenet_v1-0.25", "mobilenet_v2-0.3", "nasnet-n4-F192"),
    ("mobilenet_v1-0.5", "mobilenet_v2-0.6", "nasnet-n6-F384"),
    ("mobilenet_v1-1.0", "mobilenet_v2-1.2", "nasnet-n6-F768"),
)
# The paper's networks by size class: parameters as printed there, and test error in percent.
PAPER = {
    "MobileNet V1": (("40K", 11.5), ("221K", 6.8), ("834K", 5.0), ("3.2M", 4.5)),
    "MobileNet V2": (("68K", 11.5), ("232K", 6.3), ("850K", 4.6), ("3.2M", 3.8)),
    "NASNet": (("38K", 12.0), ("193K", 6.8), ("926K", 4.7), ("3.3M", 3.7)),
    RANDOM_SEARCH: (("48K", 10.0), ("180K", 6.3), ("1.2M", 5.3), ("2.0M", 4.4)),
    LEMONADE: (("47K", 8.9), ("190K", 5.5), ("882K", 4.6), ("3.4M", 3.6)),
}


def class_of(parameters):
    """Return the size class of a network, None if it is larger than the paper's."""
    return next((number for number, limit in enumerate(AT_MOST) if parameters <= limit), None)


def best_by_class(run, classes):
    """Return the records of a front with the lowest validation error of each size class."""
    best = {}
    for record in sorted(run.front(), key=lambda record: record.ranked_error):
        number = class_of(record.objectives["parameters"])
        if number in classes:
            best.setdefault(number, record)
    return list(best.values())


def find_networks(runs):
    """Return what to train: files of networks by id, their methods by id, and ids of baselines."""
    runs = {method: read_run(path) for method, path in runs.items() if path is not None}
    classes, names = chosen_numbers("classes", CLASSES.value, len(AT_MOST)), NETWORKS.value
    if names is None:
        baselines = [id_ for number in classes for id_ in BASELINES[number]]
        found = [(method, run, best_by_class(run, classes)) for method, run in runs.items()]
    else:
        run = runs.get(LEMONADE)
        front = {record.id: record for record in run.front()} if run else {}
        baselines = [name for name in names if name not in front]
        found = [(LEMONADE, run, [front[name] for name in names if name in front])]
    files, methods = {}, {}
    for method, run, records in found:
        for record in records:
            id_ = record.id if method == LEMONADE else f"random-{record.id}"
            files[id_], methods[id_] = run.store.models.path(record.id), method
    return files, methods, baselines


def make_graphs(files, baselines):
    """Return the function that makes all networks for the images of a data set."""

    def graphs(images):
        task = images.input_shape, images.num_classes
        found = {
            id_: adapt_network(load_graph(path), *task, images.rescaling())
            for id_, path in files.items()
        }
        return found | baseline_networks(*task, rescaling=images.rescaling(), names=baselines)

    return graphs


def method_of(id_, methods):
    return methods.get(id_) or KINDS[id_.partition("-")[0]]


def table(rows, methods):
    """Return the lines of the table: measured here, and the paper's figures."""
    lines = [f"{'':14} {'parameters, error, measured here':>46}   {'the paper, 600 epochs':>21}"]
    for row in sorted(rows, key=lambda row: row["parameters"]):
        method, number = method_of(row["id"], methods), class_of(row["parameters"])
        paper = "" if number is None else "{:>13} {:5.1f} %".format(*PAPER[method][number])
        here = f"{row['id']}: {row['parameters']:>9,}"
        lines.append(f"{method:14} {here:>37} {100 * row['test_error']:6.2f} %   {paper}")
    return lines


def main(_):
    workdir = Path(WORKDIR.value)
    runs, dataset = {LEMONADE: RUN.value, RANDOM_SEARCH: RANDOM.value}, DATASET.value
    given = {
        "epochs": EPOCHS.value,
        "batch_size": BATCH_SIZE.value,
        "learning_rate": LEARNING_RATE.value,
    }
    settings = {name: value for name, value in given.items() if value is not None}
    if QUICK.value:
        quick = make_config(
            "quick", workdir=str(workdir / "search"), workers=WORKERS.value, num_generations=0
        )
        runs = {LEMONADE: search(quick, callbacks=[ProgressDisplay()], resume=True).workdir}
        dataset, settings = "digits", {"epochs": 1}
    settings = {
        "dataset": dataset,
        "data_dir": DATA_DIR.value,
        "workers": WORKERS.value,
        "seed": SEED.value,
        **settings,
    }
    files, methods, baselines = find_networks(runs)
    if QUICK.value:
        files, baselines = dict(list(files.items())[:1]), BASELINES[0][:1]
    rows = train_and_print(workdir, make_graphs(files, baselines), settings)
    print(*table(rows, methods), f"Table: {workdir / 'retrained.csv'}", sep="\n")


if __name__ == "__main__":
    run_script(main)
