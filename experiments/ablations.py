"""Which parts of LEMONADE matter? Ablations and baselines at equal numbers of networks.

    python experiments/ablations.py --workdir OUT [--preset digits] [--seeds 10]
        [--dataset cifar10 --data_dir DIR]

Every method trains the same number of networks (on digits by default), each child for as many
epochs:

- density: LEMONADE, `lemonade-tf search`;
- uniform: parents and children sampled uniformly (A.2; Figure 5), `--sampling uniform`;
- improvement: children sampled by their promise, `--sampling improvement`, beyond the paper;
- none: without inheritance, children start from new weights, `--inheritance none`;
- paper: approximate operators start from new weights in the affected layers, as written in A.1,
  instead of fitted ones, `--approximate_start random`;
- default: as `improvement`, from initial networks with a quarter of the paper's filters: the
  default of short searches, beyond the paper, but for its tie-break between errors, as the errors
  alone are compared here;
- nsga2: pymoo's NSGA-II on the same space, from new weights (see scratch_training.py);
- random: random networks of sizes in the same range, from new weights (section 5.1, baseline 3).

For each seed, the networks of the front of `density` are also trained from new weights for as many
epochs as their lineage has seen (without distillation): is it the architecture, or the longer
training? And those of its fronts after generation 1 and after the last one, from new weights for
--final_epochs epochs (section 5.1, baseline 4).

The script prints, for validation and test errors: the hypervolumes (see judging.py) and the errors
by size at equal networks, epochs, trained multiply-adds (forward passes of the trained network;
epochs of distillation count like those of training) and seconds of the worker processes; the epochs
that each method needs to reach the final hypervolume of random search; the improvement over the
mean random network; and, for each pair of methods, Wilcoxon's signed-rank test over seeds and Mann
and Whitney's, without a correction for their number.

OUT/METHOD-SEED.jsonl has all networks, in order; figures are fronts.png (Figures 3 and 7),
sampled.png (Figure 5) and progress.png. Rerun an interrupted command to continue; with more
--seeds, only new ones are run. Processes of different seeds (--first_seed, --seeds) may share OUT;
then rerun the command with all seeds to compare them.

With the preset digits (164 networks each), a seed takes about an hour on one CPU core; with
--preset minute (34 networks of at most 100,000 parameters), six minutes. Expected: see
docs/measured.md.
"""

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

from absl import app, flags
from common import run_script
from comparison_report import (
    ALONG,
    RETRAINED,
    Judge,
    fronts_figure,
    print_epochs_needed,
    print_equal,
    print_improvement,
    print_retrained,
    progress_figure,
    sampled_figure,
)
from judging import check_classes
from resumable import check_settings, finished
from scratch_training import nsga2, train_from_scratch

from lemonade_tf.architecture.cost import count_multiply_adds
from lemonade_tf.baselines.random_search import random_search
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.objectives.lookup import run_limits
from lemonade_tf.presets import make_config
from lemonade_tf.report import write_figure
from lemonade_tf.runs import read_run
from lemonade_tf.search import search
from lemonade_tf.search.initial_networks import recorded_initial_networks
from lemonade_tf.search.lineage import rebuild_networks
from lemonade_tf.search.worker_processes import search_workers

SEARCHES = {
    "density": {},
    "uniform": {"sampling": "uniform"},
    "improvement": {"sampling": "improvement"},
    "none": {"inheritance": "none"},
    "paper": {"approximate_start": "random"},
    "default": {"sampling": "improvement", "initial_width": 0.25},
}
METHODS = (*SEARCHES, "nsga2", "random")
PRESETS = ("digits", "minute")
# In place of a preset's own.
PAPER = {"sampling": "density", "tie_break": "none"}
LARGEST = 10_000_000  # parameters of the reference point, if there is no limit
QUICK_SETTINGS = {
    "preset": "quick",
    "limit": {"parameters": 30_000},
    "num_generations": 1,
    "num_accepted": 2,
    "epochs": 1,
}

WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the results.", required=True)
PRESET = flags.DEFINE_enum("preset", "digits", PRESETS, "Settings of the searches.")
SEEDS = flags.DEFINE_integer("seeds", 10, "Number of seeds.", lower_bound=1)
FIRST_SEED = flags.DEFINE_integer(
    "first_seed", 0, "The first one; processes of different seeds may share OUT.", lower_bound=0
)
CHOSEN = flags.DEFINE_list("methods", ",".join(METHODS), "Methods to compare; density is needed.")
FINAL_EPOCHS = flags.DEFINE_integer(
    "final_epochs", 20, "Epochs of the fronts that are trained from new weights.", lower_bound=1
)
DATASET = flags.DEFINE_string("dataset", "digits", "Data set.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of official archives, if it is one.")
MAX_PARAMETERS = flags.DEFINE_float("max_parameters", None, "Limit; default: that of the preset.")
GENERATIONS = flags.DEFINE_integer("num_generations", None, "Default: those of the preset.")
INITIAL_WIDTH = flags.DEFINE_float(
    "initial_width", 1.0, "Filters of the initial networks, as a share of the paper's."
)
WORKERS = flags.DEFINE_integer("workers", None, "Worker processes; default: as for a search.")
QUICK = flags.DEFINE_bool("quick", False, "Scale down to seconds to check that it runs.")


def settings_of(seed):
    """Return the settings of the searches with a seed."""
    given = QUICK_SETTINGS if QUICK.value else {"preset": PRESET.value}
    more = {
        "initial_width": INITIAL_WIDTH.value,
        "data_dir": DATA_DIR.value,
        "num_generations": GENERATIONS.value,
        "limit": None if MAX_PARAMETERS.value is None else {"parameters": MAX_PARAMETERS.value},
    }
    more = {name: value for name, value in more.items() if value is not None}
    return {**given, **PAPER, **more, "dataset": DATASET.value, "seed": seed}


@cache
def load_images():
    """Return the images."""
    return load_dataset(DATASET.value, DATA_DIR.value)


def checked_settings():
    """Return the settings that results of a folder share."""
    settings = settings_of(0) | {"final_epochs": FINAL_EPOCHS.value}
    settings.pop("data_dir", None)  # which may move
    settings.pop("tie_break")  # constant, and not in results of earlier versions
    return settings


def networks_of(result):
    """Return the networks of a complete search; end the script if Ctrl-C stopped it."""
    if not result.complete:
        raise KeyboardInterrupt
    run = read_run(result.workdir)
    graphs = rebuild_networks(run, [record.id for record in run.trained], load_images())
    return [
        {
            "id": record.id,
            "parameters": record.objectives["parameters"],
            "error": record.error,
            "test_error": record.test_error,
            "epochs": record.epochs + len(record.distillation_losses),
            "seconds": record.seconds["total"],
            "multiply_adds": count_multiply_adds(graphs[record.id]) * record.num_images,
        }
        for record in run.trained
    ]


def run_method(method, seed, workdir, executor):
    """Run a method with a seed, or continue; return its networks in order."""
    folder, density = workdir / f"{method}-{seed}", workdir / f"density-{seed}"
    settings = settings_of(seed)
    if method in SEARCHES:
        given = {**settings, **SEARCHES[method], "workdir": str(folder)}
        return networks_of(search(**given, resume=True, executor=executor))
    run = read_run(density)
    if method == "random":
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was interrupted
        return networks_of(random_search(run, str(folder), seed=seed, executor=executor))
    config = make_config(**settings)
    limits = run_limits(run.config.settings, run.config.prepared)
    start = recorded_initial_networks(config, run.store, load_images(), limits)
    return nsga2(executor, start.space, limits, start.graphs, config, len(run.trained))


def retrain(seed, workdir, executor):
    """Train networks of the search from new weights; return them with what the search found."""
    run, training = read_run(workdir / f"density-{seed}"), make_config(**settings_of(seed)).training
    final = 1 if QUICK.value else FINAL_EPOCHS.value
    lineage, *fronts = RETRAINED
    chosen = [(lineage, record, record.lineage_epochs) for record in run.front()]
    for name, generation in zip(fronts, (1, None), strict=True):
        chosen += [(name, record, final) for record in run.front(generation)]
    graphs = rebuild_networks(run, [r.id for _, r, _ in chosen], load_images())
    found = train_from_scratch(
        executor,
        [graphs[record.id] for _, record, _ in chosen],
        [replace(training, epochs=epochs) for _, _, epochs in chosen],
        seed,
    )
    return [
        {
            **found[number],
            "id": record.id,
            "why": why,
            "search_error": record.error,
            "search_test_error": record.test_error,
        }
        for number, (why, record, _) in enumerate(chosen)
        if number in found
    ]


def main(_):
    asked = ["density", "nsga2"] if QUICK.value else CHOSEN.value
    chosen = [method for method in METHODS if method in asked]
    unknown = [method for method in CHOSEN.value if method not in METHODS]
    if unknown or "density" not in chosen:
        raise app.UsageError(
            f"--methods is {','.join(CHOSEN.value)}; expected density and some of"
            f" {', '.join(METHODS[1:])}."
        )
    workdir = Path(WORKDIR.value)
    workdir.mkdir(parents=True, exist_ok=True)
    data = load_images()
    check_classes(DATASET.value, data)
    results, retrained = {method: [] for method in chosen}, []
    config = make_config(**settings_of(0), workers=WORKERS.value)
    check_settings(workdir, checked_settings())
    with search_workers(config) as executor:
        first, count = FIRST_SEED.value, 1 if QUICK.value else SEEDS.value
        for seed in range(first, first + count):
            for method in chosen:
                found = finished(
                    workdir / f"{method}-{seed}.jsonl",
                    lambda method=method, seed=seed: run_method(method, seed, workdir, executor),
                )
                results[method].append(found)
                print(f"{method}, seed {seed}: {len(found)} networks", flush=True)
            retrained.append(
                finished(
                    workdir / f"retrained-{seed}.jsonl",
                    lambda seed=seed: retrain(seed, workdir, executor),
                )
            )
    # Where all initial networks are below the limit, a method trains some more than others.
    results = {
        method: [run[: len(own)] for run, own in zip(runs, results["density"], strict=True)]
        for method, runs in results.items()
    }
    judge = Judge(data, config.limit.get("parameters", LARGEST))
    for along in ALONG:
        print_equal(results, judge, along)
    if "random" in results:
        print_epochs_needed(results, judge)
        print_improvement(results, judge)
    print_retrained(retrained, judge)
    for name, figure in (
        ("fronts", fronts_figure(results)),
        ("sampled", sampled_figure(results)),
        ("progress", progress_figure(results, judge)),
    ):
        write_figure(workdir / f"{name}.png", figure)
        print(f"Figure: {workdir / name}.png")


if __name__ == "__main__":
    run_script(main)
