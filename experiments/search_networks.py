"""Search space I: whole networks, two objectives (section 5.1; Figure 2).

    python experiments/search_networks.py --workdir RUN --dataset PATH.npz

runs LEMONADE with the paper's settings: 100 generations, 200 proposed and 40 accepted children a
generation, 20 epochs each, error against the logarithm of the number of parameters. The paper
ran it on CIFAR-10, for seven days on eight Titan X GPUs (56 GPU-days, 4,000 networks), and found
networks from 10,000 to 10,000,000 parameters, the best with 3.5 % test error at 4M parameters
after being trained again from scratch. It has not been repeated here.

    python experiments/search_networks.py --workdir RUN --quick

is the same search scaled down to seconds, on scikit-learn's digits. The settings are the presets
`paper` and `quick` of `lemonade_tf.config`.
"""

from absl import app, flags

from lemonade_tf.config import make_config
from lemonade_tf.monitoring.progress import ProgressDisplay
from lemonade_tf.report import write_report
from lemonade_tf.runs import read_run
from lemonade_tf.search import search

WORKDIR = flags.DEFINE_string("workdir", None, "The folder of the run.", required=True)
DATASET = flags.DEFINE_string("dataset", None, "A data set's name, or the path of an .npz file.")
QUICK = flags.DEFINE_bool("quick", False, "Scale down to seconds, to see that it works.")
SEED = flags.DEFINE_integer("seed", 0, "Of everything random.")


def main(_):
    settings = {"space": "networks", "workdir": WORKDIR.value, "seed": SEED.value}
    if DATASET.value is not None:
        settings["dataset"] = DATASET.value
    config = make_config("quick" if QUICK.value else "paper", **settings)
    result = search(config, callbacks=[ProgressDisplay()])
    print(f"Report: {write_report(read_run(result.workdir))}")


if __name__ == "__main__":
    app.run(main)
