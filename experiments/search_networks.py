"""Search whole networks (space I) with two objectives (section 5.1; Figure 2).

    python experiments/search_networks.py --workdir RUN --dataset PATH.npz

runs LEMONADE with the paper's settings: 100 generations of 200 proposed and 40 accepted children,
20 epochs each; error against the logarithm of the number of parameters. The paper ran it on
CIFAR-10 for seven days on eight Titan X GPUs (56 GPU-days, 4,000 networks) and found networks from
10,000 to 10,000,000 parameters. Retrained from scratch, the best reached 3.5 % test error with 4M
parameters. We have not repeated this experiment.

    python experiments/search_networks.py --workdir RUN --quick

scales the search down to seconds on scikit-learn's digits. The settings are the presets `paper` and
`quick` of `lemonade_tf.presets`.
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
    settings = {"space": "networks", "workdir": WORKDIR.value, "seed": SEED.value}
    if DATASET.value is not None:
        settings["dataset"] = DATASET.value
    elif not QUICK.value:
        raise app.UsageError("--dataset is missing; expected cifar10, for example, or --quick.")
    config = make_config("quick" if QUICK.value else "paper", **settings)
    result = search(config, callbacks=[ProgressDisplay()])
    print(f"Report: {write_report(read_run(result.workdir))}")


if __name__ == "__main__":
    run_script(main)
