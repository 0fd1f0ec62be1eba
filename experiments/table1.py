"""Train found cells in the Shake-Shake architecture with its regularization (Table 1).

    python experiments/table1.py --run RUN --data_dir data --workdir OUT

RUN is a search on CIFAR-10 with `--space cells`. Table 1 has four networks of LEMONADE: Cell 9 with
0.5M and 1.1M parameters, and Cell 2 with 4.7M and 13.1M. "We employ the discovered cells within the
Shake-Shake architecture and also use Shake-Shake regularization (Gastaldi, 2017)" (section 5.1).
The script takes the two cells at the same places of RUN's front (of 22, the paper's largest is 0),
chooses for each network the filters with which it comes closest to the paper's parameters, trains
all four from scratch on training and validation images, and prints them beside the paper's table.
OUT/retrained.csv has what was measured here. Rerun an interrupted command to continue it.

The paper does not state how these networks were trained. The defaults are those of its other
networks (A.4.4): 600 epochs, batches of 64, a learning rate of 0.025 with cosine annealing, weight
decay 5e-4, crops, flips, Cutout and mixup. Gastaldi trains for 1,800 epochs with batches of 128, a
learning rate of 0.2, a weight decay of 1e-4, crops and flips. There is no auxiliary classifier.
How a cell fits into a residual block is not stated either: see `search_spaces.shake_shake`.

What cannot be repeated: the paper shows its cells as pictures without numbers of filters, so
neither the cells nor the parameters of its four networks can be computed. The architecture, with
Gastaldi's own blocks, has his 2.9M, 11.7M and 26.2M parameters (a test). Other rows of Table 1 are
from other papers. The largest network takes about 3e17 floating-point operations for 600 epochs,
hours on a large GPU. On small machines,

    python experiments/table1.py --run RUN --data_dir data --workdir OUT --scale 0.02 --rows 1 \
        --cells_per_block 1 --epochs 10

trains a network of a fiftieth of the size. `--noshake_shake`, with another OUT, leaves the
regularization out; `--drop_path 0.2` adds ScheduledDropPath, which Table 1 does not use.

    python experiments/table1.py --workdir OUT --quick

first searches on scikit-learn's digits in OUT/search. It only checks that the script runs.
"""

from pathlib import Path

from absl import app, flags
from common import chosen_numbers, run_script, train_and_print

from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.baselines.transferred import find_cells
from lemonade_tf.monitoring.progress import ProgressDisplay
from lemonade_tf.presets import make_config
from lemonade_tf.runs import read_run
from lemonade_tf.search import search
from lemonade_tf.search_spaces import shake_shake

RUN = flags.DEFINE_string("run", None, "Run folder of a search of cells.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the trained networks.", required=True)
DATASET = flags.DEFINE_string("dataset", "cifar10", "Data set to train on.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of the official archives.")
ROWS = flags.DEFINE_list("rows", ["1", "2", "3", "4"], "LEMONADE's networks in Table 1, by size.")
CELLS = flags.DEFINE_list("cells", None, "Cells in place of Cell 9 and Cell 2; 0 is the largest.")
SCALE = flags.DEFINE_float("scale", 1.0, "Factor of the paper's parameters.", lower_bound=0.0)
CELLS_PER_BLOCK = flags.DEFINE_integer("cells_per_block", 4, "Residual blocks per stage.")
SHAKE_SHAKE = flags.DEFINE_bool("shake_shake", True, "Whether to use Shake-Shake regularization.")
DROP_PATH = flags.DEFINE_float("drop_path", 0.0, "Final probability of ScheduledDropPath.")
EPOCHS = flags.DEFINE_integer("epochs", None, "Epochs; default: 600.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "Images per step; default: 64.")
LEARNING_RATE = flags.DEFINE_float("learning_rate", None, "Default: 0.025.")
WORKERS = flags.DEFINE_integer("workers", None, "Worker processes; default: as for a search.")
SEED = flags.DEFINE_integer("seed", 0, "Random seed.")
QUICK = flags.DEFINE_bool("quick", False, "Scale down to seconds to check that it runs.")

LARGEST_CELL = 21  # Cell 0 is the largest of the paper, Cell 21 the smallest.
# LEMONADE in Table 1: the cell, its parameters, as printed there, and the test error in percent.
PAPER = (
    (9, 0.5e6, "0.5M", 4.57),
    (9, 1.1e6, "1.1M", 3.69),
    (2, 4.7e6, "4.7M", 3.05),
    (2, 13.1e6, "13.1M", 2.58),
)
OTHERS = (
    ("DPP-Net", "0.5M", 4.62),
    ("DPP-Net", "1.0M", 4.78),
    ("NASNet V2", "3.3M", 2.65),
    ("ENAS", "4.6M", 2.89),
    ("PLNT", "5.7M", 2.49),
    ("DPP-Net", "11.4M", 4.36),
    ("PLNT", "14.3M", 2.30),
)


def chosen_cells(run):
    """Return (number, cell) of the run by the number of the paper's cell in its place."""
    if CELLS.value is None:
        last = len(run.front()) - 1
        numbers = [round(cell / LARGEST_CELL * last) for cell in (9, 2)]
    elif len(CELLS.value) == 2 and all(name.isdigit() for name in CELLS.value):
        numbers = [int(name) for name in CELLS.value]
    else:
        raise app.UsageError(f"--cells is {','.join(CELLS.value)!r}; expected two, such as 9,2.")
    cells = find_cells(run, sorted(set(numbers)))
    return {of: (number, cells[number]) for of, number in zip((9, 2), numbers, strict=True)}


def closest(parameters, build):
    """Return F, a multiple of 4, and the network of `build(F)` that is closest in parameters."""
    below, above = 4, 8
    while count_parameters(build(above)) < parameters:
        below, above = above, 2 * above
    while above - below > 4:
        middle = (below + above) // 8 * 4
        if count_parameters(build(middle)) < parameters:
            below = middle
        else:
            above = middle
    filters = min(below, above, key=lambda f: abs(count_parameters(build(f)) - parameters))
    return filters, build(filters)


def make_graphs(cells, rows):
    """Return the function that makes the networks for the images of a data set, and fills `rows`.

    Args:
        cells: What `chosen_cells` returned.
        rows: Becomes the numbers of the rows by the id of the network.
    """

    def graphs(images):
        found = {}
        for row in chosen_numbers("rows", ROWS.value, len(PAPER)):
            paper_cell, parameters, _, _ = PAPER[row]
            number, cell = cells[paper_cell]

            def build(filters, cell=cell):
                return shake_shake(
                    images.input_shape,
                    images.num_classes,
                    cell=cell,
                    cells_per_block=CELLS_PER_BLOCK.value,
                    filters=filters,
                    rescaling=images.rescaling(),
                ).copy(weights=False)

            filters, graph = closest(SCALE.value * parameters, build)
            id_ = f"cell{number}-shake-n{CELLS_PER_BLOCK.value}-F{filters}"
            found[id_], rows[id_] = graph, row
        return found

    return graphs


def table(trained, rows):
    """Return the lines of the table: measured here, and the paper's figures."""
    lines = [f"{'':16} {'parameters, error, measured here':>46}   {'the paper':>14}"]
    for row in trained:
        cell, _, parameters, error = PAPER[rows[row["id"]]]
        here = f"{row['id']}: {row['parameters']:>10,} {100 * row['test_error']:6.2f} %"
        lines.append(f"{f'LEMONADE Cell {cell}':16} {here:>46}   {parameters:>6} {error:.2f} %")
    lines += [f"{name:16} {'':46}   {size:>6} {error:.2f} %" for name, size, error in OTHERS]
    return lines


def main(_):
    workdir, source = Path(WORKDIR.value), RUN.value
    given = {
        "epochs": EPOCHS.value,
        "batch_size": BATCH_SIZE.value,
        "learning_rate": LEARNING_RATE.value,
    }
    settings = {name: value for name, value in given.items() if value is not None}
    settings |= {"dataset": DATASET.value, "data_dir": DATA_DIR.value}
    if QUICK.value:
        flags.FLAGS.rows, flags.FLAGS.scale, flags.FLAGS.cells_per_block = ["1"], 0.005, 1
        quick = make_config(
            "quick",
            space="cells",
            workdir=str(workdir / "search"),
            workers=WORKERS.value,
            num_generations=0,
        )
        source = search(quick, callbacks=[ProgressDisplay()], resume=True).workdir
        settings = {"dataset": "digits", "epochs": 1}
    if source is None:
        raise app.UsageError("--run is missing; expected the run folder of a search of cells.")
    rows = {}
    regularization = {"shake_shake": SHAKE_SHAKE.value, "drop_path": DROP_PATH.value}
    trained = train_and_print(
        workdir,
        make_graphs(chosen_cells(read_run(source)), rows),
        {**settings, **regularization, "workers": WORKERS.value, "seed": SEED.value},
    )
    print(*table(trained, rows), f"Table: {workdir / 'retrained.csv'}", sep="\n")


if __name__ == "__main__":
    run_script(main)
