"""Search networks with five objectives (A.3; Figure 6).

    python experiments/search_five_objectives.py --workdir RUN

minimizes error, parameters, multiply-adds, file size and peak activation memory on scikit-learn's
digits: the preset `digits` with other objectives and a limit, a few minutes on two idle CPU cores.
With four cheap objectives, the density favors the largest children. On digits, where networks over
about 100,000 parameters gain nothing, most of the time would be spent on them. Children are
therefore limited to ten million multiply-adds, four times those of the largest initial network.
Other data sets have no limit.

The script prints the hypervolume of the trained initial networks and of the front, and the number
of networks on the front. RUN/plots/panels.png is Figure 6 for this search; in
RUN/plots/parallel.html you can select a network from the front.

The paper's five objectives are the errors on CIFAR-10 and on CIFAR-100, both expensive, and
parameters, multiply-adds and the inference time of a batch of 100 images on a Titan X, averaged
over 5,000 passes. "The experiment ran for 5 days on 16 GPUs in parallel. The resulting Pareto front
consists of approximately 300 neural network architectures." We have not repeated this experiment.

    python experiments/search_five_objectives.py --workdir RUN --dataset cifar10,cifar100

runs that search on your hardware: the paper's five objectives, 100 generations of 40 children, each
trained on both data sets. Inference time is predicted for each proposal and measured for the
networks on the front. With one data set, the objectives are those of the first command;
`--objectives` selects others, including custom ones (see docs/objectives.md).

    python experiments/search_five_objectives.py --workdir RUN --quick

scales the search down to seconds to check that it runs.

Expected: see docs/measured.md.
"""

from absl import flags
from common import run_script

from lemonade_tf.datasets.names import parse_datasets
from lemonade_tf.monitoring.progress import ProgressDisplay
from lemonade_tf.presets import make_config
from lemonade_tf.report import write_report
from lemonade_tf.runs import read_run
from lemonade_tf.runs.quality import front_hypervolume
from lemonade_tf.search import search

WORKDIR = flags.DEFINE_string("workdir", None, "Run folder.", required=True)
DATASET = flags.DEFINE_string(
    "dataset", "digits", "Name of a data set or path of an .npz file; several separated by commas."
)
DIGITS_LIMIT = {"multiply_adds": 10e6}
FIVE = ["error", "parameters", "multiply_adds", "file_bytes", "peak_memory"]
PAPER = ["error", "parameters", "multiply_adds", "latency"]  # and the error on the second data set
OBJECTIVES = flags.DEFINE_list(
    "objectives",
    None,
    f"Objectives to minimize. Default: {', '.join(FIVE)}; with several data sets: their errors,"
    f" {', '.join(PAPER[1:])}.",
)
QUICK = flags.DEFINE_bool("quick", False, "Scale down to seconds to check that it runs.")
SEED = flags.DEFINE_integer("seed", 0, "Random seed.")


def main(_):
    five = FIVE if len(parse_datasets(DATASET.value)) == 1 else PAPER
    config = make_config(
        "quick" if QUICK.value else None,
        dataset=DATASET.value,
        objectives=tuple(OBJECTIVES.value or five),
        workdir=WORKDIR.value,
        seed=SEED.value,
        limit=DIGITS_LIMIT if DATASET.value == "digits" else {},
    )
    result = search(config, callbacks=[ProgressDisplay()])
    run = read_run(result.workdir)
    initial = [line.objectives for line in run.front(0)]
    before = front_hypervolume(run.objectives, initial, run.config.reference_point)
    print(
        f"{len(run.trained)} networks, {len(run.front())} on the front; hypervolume of the initial"
        f" networks {before:.4f}, of the front {result.hypervolume:.4f}"
    )
    print(f"Report: {write_report(run)}")


if __name__ == "__main__":
    run_script(main)
