"""Random search against LEMONADE (section 5.1, baseline 3; Figure 3 and Table 2).

    python experiments/random_search.py --run RUN --workdir OUT [--seed 0]

The script trains as many random networks as the run in RUN trained, of sizes in the same range,
with the same settings but from scratch. It prints a comparison of both runs and plots both fronts
to OUT/plots/comparison.png. It takes about as long as the run did. OUT is an ordinary run folder:
`lemonade-tf report OUT` works.

    python experiments/random_search.py --workdir OUT --quick

first runs a small LEMONADE search on scikit-learn's digits in OUT/lemonade and writes the random
networks to OUT/random. It takes a minute and only checks that the script runs.

Expected: LEMONADE has the larger hypervolume. The paper trained 4,000 networks each on CIFAR-10 and
retrained the front for 600 epochs. Its Table 2 reports 48k parameters and 10.0 % test error for
random search against 47k and 8.9 % for LEMONADE; 180k and 6.3 % against 190k and 5.5 %; 1.2M and
5.3 % against 882k and 4.6 %; 2.0M and 4.4 % against 3.4M and 3.6 %.
"""

from pathlib import Path

from absl import app, flags
from common import run_script

from lemonade_tf.baselines.comparison import compare, comparison_figure, comparison_table
from lemonade_tf.baselines.random_search import random_search
from lemonade_tf.monitoring.progress import ProgressDisplay
from lemonade_tf.presets import make_config
from lemonade_tf.report import write_figure, write_report
from lemonade_tf.runs import read_run
from lemonade_tf.search import search

RUN = flags.DEFINE_string("run", None, "Run folder of the LEMONADE search to compare with.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the new run.", required=True)
SEED = flags.DEFINE_integer("seed", 0, "Random seed.")
WORKERS = flags.DEFINE_integer("workers", None, "Worker processes; default: as for a search.")
QUICK = flags.DEFINE_bool("quick", False, "Scale down to seconds to check that it runs.")


def main(_):
    given, workdir = RUN.value, Path(WORKDIR.value)
    if QUICK.value:
        config = make_config("quick", workdir=str(workdir / "lemonade"), workers=WORKERS.value)
        result = search(config, callbacks=[ProgressDisplay()])
        if not result.complete:
            raise app.UsageError(
                f"{result.workdir} holds an incomplete search; choose another --workdir."
            )
        given = result.workdir
        workdir = workdir / "random"
    elif given is None:
        raise app.UsageError(
            "--run is missing; expected the folder of a LEMONADE search, or --quick."
        )
    lemonade = read_run(given)
    result = random_search(
        lemonade, workdir, seed=SEED.value, workers=WORKERS.value, callbacks=[ProgressDisplay()]
    )
    runs = [lemonade, read_run(workdir)]
    if not result.complete:
        raise SystemExit(
            f"{workdir} holds {len(runs[1].history)} random networks; expected"
            f" {len(lemonade.trained)}. Rerun this command with another --workdir."
        )
    write_report(runs[1])
    write_figure(workdir / "plots" / "comparison.png", comparison_figure(runs))
    print(comparison_table(compare(runs)))


if __name__ == "__main__":
    run_script(main)
