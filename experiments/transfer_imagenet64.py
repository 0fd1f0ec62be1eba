"""Transfer cells to ImageNet64x64 (section 5.2; Figures 4 and 8).

    python experiments/transfer_imagenet64.py --run RUN --data_dir data --workdir OUT

builds networks for ImageNet64x64 from five cells of a search on CIFAR-10 (`--space cells`), spread
over all sizes, with n = 2, 4, 6, 8 cells per block and F = 64, 128, 256, 512 filters. It trains
them and MobileNets V2, NASNets and wide residual networks in the same way, that of Chrabaszcz et
al. (2017): 40 epochs of stochastic gradient descent (`lemonade_tf.retraining.recipes`). The errors
of all networks are in OUT/retrained.csv. The script prints the front of all cells and that of a
single one (`--cell`; by default the one with the largest hypervolume), and plots them with the
baselines: OUT/plots/top5.png (Figure 4) and top1.png (Figure 8).

These are 116 networks, weeks on a GPU. `--cells 0,2`, `--cells_per_block 2`, `--filters 64,128` and
`--baselines mobilenet_v2,wrn-36-1` choose fewer. Rerun an interrupted command to continue it:
networks resume from their last checkpoint, on a CPU bit for bit. `--strategy mirrored` trains each
network on all GPUs of the machine. `--dry_run` reads no images: it lists the networks and what
training them takes.

Expected, from the caption of Figure 4 in the paper, which used 5 of 21 cells: "A single Cell,
namely Cell 2, outperforms all baselines. Utilizing all 5 Cells (red line) further improves the
results." We have not repeated this experiment on all of ImageNet.

    python experiments/transfer_imagenet64.py --workdir OUT --quick

first searches cells on scikit-learn's digits in OUT/search, and moves two of them back to digits.
"""

from pathlib import Path

import numpy as np
from absl import app, flags
from common import run_script

from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.baselines.transferred import (
    MOBILENETS,
    NASNETS,
    WRNS,
    baseline_networks,
    cell_networks,
    find_cells,
)
from lemonade_tf.evolution import hypervolume, pareto_front
from lemonade_tf.monitoring.progress import ProgressDisplay
from lemonade_tf.objectives import PARAMETERS
from lemonade_tf.presets import make_config
from lemonade_tf.report import format_axis, new_figure, write_figure
from lemonade_tf.retraining import TransferConfig, train_graphs
from lemonade_tf.retraining.recipes import RECIPES
from lemonade_tf.runs import read_run
from lemonade_tf.search import search
from lemonade_tf.search_spaces.space import DEFAULT_RESCALING

RUN = flags.DEFINE_string("run", None, "Run folder of the search for cells.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the trained networks.", required=True)
DATASET = flags.DEFINE_string("dataset", "imagenet64", "Data set to move to.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder that contains imagenet64/.")
CELLS = flags.DEFINE_list("cells", None, "Numbers of cells; default: 5 spread over all sizes.")
CELL = flags.DEFINE_integer("cell", None, "The cell whose own front is shown.")
CELLS_PER_BLOCK = flags.DEFINE_list("cells_per_block", ["2", "4", "6", "8"], "Values of n.")
FILTERS = flags.DEFINE_list("filters", ["64", "128", "256", "512"], "Values of F.")
BASELINES = flags.DEFINE_list(
    "baselines",
    ["mobilenet_v2", "nasnet", "wrn"],
    "Baselines to train: kinds, or single networks such as mobilenet_v2-0.3, nasnet-n2-F96 and"
    " wrn-36-1; empty for none.",
)
EPOCHS = flags.DEFINE_integer("epochs", None, "Epochs; default: 40.")
STRATEGY = flags.DEFINE_enum("strategy", "one_per_gpu", ["one_per_gpu", "mirrored"], "See retrain.")
WORKERS = flags.DEFINE_integer("workers", None, "Worker processes; default: as for a search.")
SEED = flags.DEFINE_integer("seed", 0, "Random seed.")
DRY_RUN = flags.DEFINE_bool("dry_run", False, "List the networks for ImageNet64x64, and end.")
QUICK = flags.DEFINE_bool("quick", False, "Scale down to a minute to check that it runs.")

BASELINE_NAMES = {MOBILENETS: "MobileNet V2", NASNETS: "NASNet", WRNS: "WRN"}
ERRORS = {"test_top5_error": ("top5.png", "top-5"), "test_error": ("top1.png", "top-1")}
NUM_IMAGES = 1_281_167  # training images of ImageNet
QUICK_BASELINES = "mobilenet_v2-0.1", "nasnet-n1-F24", "wrn-10-1"


def integers(flag):
    """Return the integers of a flag."""
    values = [value.strip() for value in flag.value]
    wrong = [value for value in values if not (value.isascii() and value.isdigit())]
    if wrong or not values:
        raise app.UsageError(
            f"--{flag.name} has {wrong[0]!r}; expected integers separated by commas, such as 0,2."
            if wrong
            else f"--{flag.name} is empty; expected integers separated by commas, such as 0,2."
        )
    return [int(value) for value in values]


def make_graphs(workdir):
    """Return the function that makes all networks of a run for images, classes and a rescaling."""
    numbers = None if CELLS.value is None else integers(CELLS)
    sizes = ([1], [16]) if QUICK.value else (integers(CELLS_PER_BLOCK), integers(FILTERS))
    cells = find_cells(read_run(workdir), numbers, num_cells=2 if QUICK.value else 5)
    if CELL.value is not None and CELL.value not in cells:
        raise app.UsageError(
            f"--cell is {CELL.value}; expected one of the cells that are trained,"
            f" {', '.join(map(str, cells))}."
        )
    names = [name for name in BASELINES.value if name]
    if QUICK.value and names:
        names = QUICK_BASELINES

    def graphs(input_shape, num_classes, rescaling):
        task = input_shape, num_classes
        return {
            **cell_networks(
                cells, *task, rescaling=rescaling, cells_per_block=sizes[0], filters=sizes[1]
            ),
            **baseline_networks(*task, rescaling=rescaling, names=names),
        }

    return graphs


def front(rows, error):
    """Return the rows that are non-dominated in parameters and an error, by size."""
    if not rows:
        return []
    points = np.array([[row["parameters"], row[error]] for row in rows])
    chosen = [rows[index] for index in pareto_front(points, keep_equal=False)]
    return sorted(chosen, key=lambda row: row["parameters"])


def of_cell(rows, number):
    return [row for row in rows if row["id"].startswith(f"cell{number}-")]


def best_cell(rows):
    """Return the number of the cell whose front has the largest hypervolume in log parameters."""
    numbers = sorted({int(row["id"][4:].partition("-")[0]) for row in rows})
    reference = np.array([np.log(max(row["parameters"] for row in rows)) + 1, 1.0])

    def volume(number):
        points = [[np.log(row["parameters"]), row["test_error"]] for row in of_cell(rows, number)]
        return hypervolume(np.array(points), reference)

    return max(numbers, key=volume)


def figure(rows, error, title, number):
    """Plot an error against the parameters: the front of all cells, of one, and the baselines."""
    canvas, axes = new_figure()
    cells = [row for row in rows if row["id"].startswith("cell")]
    series = {
        "all cells": (
            front(cells, error),
            {"color": "C3", "drawstyle": "steps-post", "linewidth": 4},
        ),
        f"Cell {number}": (
            front(of_cell(cells, number), error),
            {"color": "C0", "drawstyle": "steps-post"},
        ),
    }
    for color, (prefix, name) in zip(("C1", "C2", "C4"), BASELINE_NAMES.items(), strict=True):
        some = [row for row in rows if row["id"].startswith(prefix)]
        some.sort(key=lambda row: row["parameters"])
        series[name] = some, {"color": color, "linestyle": ":"}
    for name, (some, style) in series.items():
        if some:  # thick lines remain visible under others
            axes.plot(
                [row["parameters"] for row in some],
                [100 * row[error] for row in some],
                marker="o",
                markersize=style.get("linewidth", 2) + 2,
                label=name,
                **style,
            )
    others = [row for row in cells if row not in series["all cells"][0]]
    axes.scatter(
        [row["parameters"] for row in others],
        [100 * row[error] for row in others],
        s=16,
        color="0.7",
        label="cells, not on the front" if others else None,
        zorder=1,
    )
    format_axis(axes, "x", PARAMETERS)
    axes.set_ylabel(f"{title} test error (%)")
    axes.set_title(f"Transfer: {title} test error", loc="left")
    axes.legend(frameon=False)
    return canvas


def list_networks(graphs):
    """Print the sizes of networks, the smallest first, and what training all of them takes."""
    costs = [(count_parameters(g), count_multiply_adds(g), id_) for id_, g in graphs.items()]
    for parameters, multiply_adds, id_ in sorted(costs):
        print(f"{id_:20} {parameters:>12,} parameters {multiply_adds / 1e6:>10,.1f}M multiply-adds")
    # Two operations per multiply-add; the backward pass takes twice as many as the forward pass.
    epochs = EPOCHS.value or RECIPES["imagenet64"].epochs
    operations = 6 * sum(cost[1] for cost in costs) * NUM_IMAGES * epochs
    print(
        f"{len(costs)} networks, {epochs} epochs of {NUM_IMAGES:,} images each: {operations:.1e}"
        " floating-point operations"
    )


def outcome(record):
    """Describe a network that was trained, or failed."""
    if record.failure is not None:
        return f"{record.id} failed: {record.failure}"
    errors = {"top-1": record.test_error, "top-5": record.test_top5_error}
    texts = [f"{name} {100 * error:.2f} %" for name, error in errors.items() if error is not None]
    return f"{record.id}: test error {', '.join(texts)}"


def main(_):
    workdir, given, dataset = Path(WORKDIR.value), RUN.value, DATASET.value
    settings = {"epochs": 1} if QUICK.value else {}
    if EPOCHS.value is not None:
        settings["epochs"] = EPOCHS.value
    if QUICK.value:
        quick = make_config(
            "quick",
            space="cells",
            filters=(16,),
            workdir=str(workdir / "search"),
            cells_per_block=1,
        )
        found = search(quick, callbacks=[ProgressDisplay()], resume=True)
        given, dataset = found.workdir, "digits"
    elif given is None:
        raise app.UsageError("--run is missing; expected a run folder, or --quick.")
    config = TransferConfig.from_flat(
        {
            "recipe": "imagenet64",
            "dataset": dataset,
            "data_dir": DATA_DIR.value,
            "strategy": STRATEGY.value,
            "workers": WORKERS.value,
            "seed": SEED.value,
            **settings,
        }
    )
    graphs = make_graphs(given)
    if DRY_RUN.value:
        list_networks(graphs((64, 64, 3), 1000, DEFAULT_RESCALING))
        return
    result = train_graphs(
        workdir,
        lambda images: graphs(images.input_shape, images.num_classes, images.rescaling()),
        config,
        on_stage=lambda stage: print(stage, flush=True),
        on_network_end=lambda record: print(outcome(record), flush=True),
    )
    cells = [row for row in result.rows if row["id"].startswith("cell")]
    if not cells:
        return
    number = best_cell(cells) if CELL.value is None else CELL.value
    for error, (name, title) in ERRORS.items():
        if error not in result.rows[0] or result.rows[0][error] is None:
            continue
        for label, rows in (("all cells", cells), (f"Cell {number}", of_cell(cells, number))):
            print(f"Front of {label}, {title} test error")
            for row in front(rows, error):
                print(f"  {row['id']:20} {row['parameters']:>12,} {100 * row[error]:8.2f} %")
        write_figure(workdir / "plots" / name, figure(result.rows, error, title, number))
    print(f"Figures: {workdir / 'plots'}; table: {workdir / 'retrained.csv'}")


if __name__ == "__main__":
    run_script(main)
