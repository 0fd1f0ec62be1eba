"""Five objectives at once (A.3; Figure 6).

    python experiments/search_five_objectives.py --workdir RUN

searches networks for scikit-learn's digits by error, parameters, multiply-adds, bytes of the file,
and bytes of the activations that are live at a time: the preset `digits` but for its objectives and
a limit, a few minutes on two idle CPU cores. In four cheap objectives, children at the upper ends
are among the most likely ones; on digits, where there is nothing to gain beyond some 100,000
parameters, most of the time would go into them. So none has more than ten million multiply-adds,
four times those of the largest initial network; other data sets have no limit here.

It prints the hypervolume of the trained initial networks and of the front, and how many networks
are on the front; RUN/plots/panels.png is Figure 6 of this search, and RUN/plots/parallel.html the
front to pick a network from.

The paper's five are the errors on CIFAR-10 and on CIFAR-100, both expensive, and parameters,
multiply-adds and the time of inference on a batch of 100 images, on a Titan X, averaged over 5,000
passes. "The experiment ran for 5 days on 16 GPUs in parallel. The resulting Pareto front consists
of approximately 300 neural network architectures." It has not been repeated here.

    python experiments/search_five_objectives.py --workdir RUN --dataset cifar10,cifar100

is that search: the paper's five objectives, 100 generations of 40 children, each trained on both
data sets, on your hardware. The time is foretold for each proposal, and measured for the networks
of the front. With one data set, the objectives are those above; others are named by `--objectives`,
your own among them (see the README).

    python experiments/search_five_objectives.py --workdir RUN --quick

takes seconds, to see that it works.

Expected: see docs/measured.md.
"""

from absl import app, flags

from lemonade_tf.config import make_config
from lemonade_tf.datasets.names import parse_datasets
from lemonade_tf.monitoring.progress import ProgressDisplay
from lemonade_tf.report import write_report
from lemonade_tf.runs import read_run
from lemonade_tf.runs.quality import front_hypervolume
from lemonade_tf.search import search

WORKDIR = flags.DEFINE_string("workdir", None, "The folder of the run.", required=True)
DATASET = flags.DEFINE_string(
    "dataset", "digits", "A data set's name, or the path of an .npz; several separated by commas."
)
DIGITS_LIMIT = {"multiply_adds": 10e6}
FIVE = ["error", "parameters", "multiply_adds", "file_bytes", "peak_memory"]
PAPERS = ["error", "parameters", "multiply_adds", "latency"]  # and the error on the second
OBJECTIVES = flags.DEFINE_list(
    "objectives",
    None,
    f"What is minimised, by name; by default {', '.join(FIVE)}, and of several data sets the"
    f" errors, {', '.join(PAPERS[1:])}.",
)
QUICK = flags.DEFINE_bool("quick", False, "Scale down to seconds, to see that it works.")
SEED = flags.DEFINE_integer("seed", 0, "Of everything random.")


def main(_):
    five = FIVE if len(parse_datasets(DATASET.value)) == 1 else PAPERS
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
    initial = [line["objectives"] for line in run.front(0)]
    before = front_hypervolume(run.objectives, initial, run.config["reference"])
    print(
        f"{len(run.trained)} networks, {len(run.front())} on the front; hypervolume of the initial"
        f" networks {before:.4f}, of the front {result.hypervolume:.4f}"
    )
    print(f"Report: {write_report(run)}")


if __name__ == "__main__":
    app.run(main)
