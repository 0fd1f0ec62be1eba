"""Search cells (space II) with two objectives (section 5.1; Figures 3 and 9 to 14).

    python experiments/search_cells.py --workdir RUN --dataset cifar10

runs LEMONADE on cells with the paper's settings: networks of 8 cells with F = 128 or 256 filters in
the last block, one operator per child, 100 generations of 200 proposed and 40 accepted children, 20
epochs each; error against the logarithm of the number of parameters. The paper ran it on CIFAR-10
for about 56 GPU-days (Titan X); "there were no significant changes in the Pareto-front after
approximately 24 GPU days". It found 21 cells, numbered from the largest, Cell 0, to the smallest
possible one. With other n and F (`lemonade_tf.search_spaces.augment`) and retrained from scratch,
they reached less than 3.4 % test error with 8.7M parameters and about 4.2 % with 1M. We have not
repeated this experiment.

    python experiments/search_cells.py --workdir RUN --quick

scales the search down to seconds on scikit-learn's digits, with F = 32 or 64. The settings are the
presets `paper` and `quick` of `lemonade_tf.presets`.
"""

from absl import app, flags
from common import run_script

from lemonade_tf.monitoring.progress import ProgressDisplay
from lemonade_tf.presets import make_config
from lemonade_tf.report import write_report
from lemonade_tf.runs import read_run
from lemonade_tf.search import search

WORKDIR = flags.DEFINE_string("workdir", None, "Run folder.", required=True)
DATASET = flags.DEFINE_string("dataset", None, "Name of a data set, or path of an .npz file.")
QUICK = flags.DEFINE_bool("quick", False, "Scale down to seconds to check that it runs.")
SEED = flags.DEFINE_integer("seed", 0, "Random seed.")


def main(_):
    settings = {"space": "cells", "workdir": WORKDIR.value, "seed": SEED.value}
    if DATASET.value is not None:
        settings["dataset"] = DATASET.value
    elif not QUICK.value:
        raise app.UsageError("--dataset is missing; expected cifar10, for example, or --quick.")
    config = make_config("quick" if QUICK.value else "paper", **settings)
    result = search(config, callbacks=[ProgressDisplay()])
    print(f"Report: {write_report(read_run(result.workdir))}")


if __name__ == "__main__":
    run_script(main)
