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
- nsga2: pymoo's NSGA-II on the same space, from new weights (see scratch_training.py);
- random: random networks of sizes in the same range, from new weights (section 5.1, baseline 3).

For each seed, the networks of the front of `density` are also trained from new weights for as many
epochs as their lineage has seen: is it the architecture, or the longer training? And those of its
fronts after generation 1 and after the last one, from new weights for --final_epochs epochs
(section 5.1, baseline 4).

The script prints, for validation and test errors: the hypervolumes (see judging.py) at equal
networks, at equal epochs and at equal trained multiply-adds (forward passes; epochs of distillation
count like those of training), the lowest error by decade of parameters, the epochs that each method
needs to reach the final hypervolume of random search, and, for differences, Wilcoxon's signed-rank
test over seeds. OUT/METHOD-SEED.jsonl has all networks, in order; figures are fronts.png (Figures 3
and 7), sampled.png (Figure 5) and progress.png. Rerun an interrupted command to continue; with more
--seeds, only new ones are run.

With the preset digits (164 networks each), a seed takes about an hour on one CPU core; with
--preset minute (34 networks of at most 100,000 parameters), ten minutes. Expected: see
docs/measured.md.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from absl import app, flags
from common import run_script
from judging import front_of, plot_bands, quality, signed_rank
from scratch_training import nsga2, train_from_scratch

from lemonade_tf.architecture.cost import count_multiply_adds
from lemonade_tf.baselines.random_search import random_search
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.objectives.lookup import run_limits
from lemonade_tf.presets import make_config
from lemonade_tf.report import write_figure
from lemonade_tf.report.figure import blank_figure, style
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
}
METHODS = (*SEARCHES, "nsga2", "random")
RETRAINED = ("lineage", "generation 1", "last generation")
PRESETS = ("digits", "minute")
# Whatever a preset has.
PAPER = {"sampling": "density", "initial_width": 1.0, "learning_rate": 0.01}
DECADES = (1_000, 10_000, 100_000, 1_000_000)
LARGEST = 10_000_000  # parameters of the reference point, if the preset has no limit
QUICK_SETTINGS = {
    "preset": "quick",
    "limit": {"parameters": 30_000},
    "num_generations": 1,
    "num_accepted": 2,
    "epochs": 1,
}
KINDS = {"error": "validation error", "test_error": "test error"}

WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the results.", required=True)
PRESET = flags.DEFINE_enum("preset", "digits", PRESETS, "Settings of the searches.")
SEEDS = flags.DEFINE_integer("seeds", 10, "Number of seeds, starting at 0.", lower_bound=1)
CHOSEN = flags.DEFINE_list("methods", ",".join(METHODS), "Methods to compare; density is needed.")
FINAL_EPOCHS = flags.DEFINE_integer(
    "final_epochs", 20, "Epochs of the fronts that are trained from new weights.", lower_bound=1
)
DATASET = flags.DEFINE_string("dataset", "digits", "Data set.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of official archives, if it is one.")
MAX_PARAMETERS = flags.DEFINE_float("max_parameters", None, "Limit; default: that of the preset.")
GENERATIONS = flags.DEFINE_integer("num_generations", None, "Default: those of the preset.")
WORKERS = flags.DEFINE_integer("workers", None, "Worker processes; default: as for a search.")
QUICK = flags.DEFINE_bool("quick", False, "Scale down to seconds to check that it runs.")


# --- Running --------------------------------------------------------------------------------------


def settings_of(seed):
    """Return the settings of the searches with a seed."""
    given = QUICK_SETTINGS if QUICK.value else {"preset": PRESET.value}
    more = {
        "data_dir": DATA_DIR.value,
        "num_generations": GENERATIONS.value,
        "limit": None if MAX_PARAMETERS.value is None else {"parameters": MAX_PARAMETERS.value},
    }
    more = {name: value for name, value in more.items() if value is not None}
    return {**given, **PAPER, **more, "dataset": DATASET.value, "seed": seed}


def load_images():
    """Return the images."""
    return load_dataset(DATASET.value, DATA_DIR.value)


def finished(file, run):
    """Return the networks of a file, which is written by `run` if it is missing."""
    if not file.exists():
        lines = "".join(json.dumps(network) + "\n" for network in run())
        unfinished = file.with_suffix(".part")
        unfinished.write_text(lines)
        unfinished.rename(file)
    return [json.loads(line) for line in file.read_text().splitlines()]


def networks_of(folder):
    """Return the networks of a run folder."""
    run = read_run(folder)
    graphs = rebuild_networks(run, [record.id for record in run.trained], load_images())
    return [
        {
            "id": record.id,
            "parameters": record.objectives["parameters"],
            "error": record.error,
            "test_error": record.test_error,
            "epochs": record.epochs + len(record.distillation_losses),
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
        search(**given, resume=True, executor=executor)
        return networks_of(folder)
    run = read_run(density)
    if method == "random":
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was interrupted
        random_search(run, str(folder), seed=seed, executor=executor)
        return networks_of(folder)
    config = make_config(**settings)
    limits = run_limits(run.config.settings, run.config.prepared)
    start = recorded_initial_networks(config, run.store, load_images(), limits)
    return nsga2(executor, start.space, limits, start.graphs, config, len(run.trained))


def retrain(seed, workdir, executor):
    """Train networks of the search from new weights; return them with what the search found."""
    run, training = read_run(workdir / f"density-{seed}"), make_config(**settings_of(seed)).training
    final = 1 if QUICK.value else FINAL_EPOCHS.value
    chosen = [("lineage", record, record.lineage_epochs) for record in run.front()]
    for name, generation in (("generation 1", 1), ("last generation", None)):
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


# --- Judging --------------------------------------------------------------------------------------


class Judge:
    """Judges networks by the number of images and the largest size."""

    def __init__(self, data, largest):
        self._half = {
            "error": 0.5 / len(data.y_validation),
            "test_error": 0.5 / len(data.y_test),
        }
        self.largest = largest
        self.decades = [*(each for each in DECADES if each < largest), largest]

    def quality(self, networks, kind):
        """Return both hypervolumes, and the lowest error by decade."""
        half = self._half[kind]
        return quality(networks, kind, half, largest=self.largest, sizes=self.decades)

    def curve(self, networks, kind, along, points):
        """Return the hypervolume of the log error at points along a cumulative sum."""
        spent = spent_on(networks, along)
        counts = np.searchsorted(spent, np.asarray(points) * (1 + 1e-9), side="right")
        known = {n: self.quality(networks[:n], kind)[1] for n in sorted(set(counts.tolist()))}
        return np.array([known[n] for n in counts.tolist()])


def spent_on(networks, along):
    """Return the cumulative networks, epochs or multiply-adds."""
    each = [1 if along == "networks" else network[along] for network in networks]
    return np.cumsum(each)


def print_equal(results, judge, along):
    """Print the comparison after equal networks, epochs or trained multiply-adds."""
    seeds = range(len(results["density"]))
    budget = [min(spent_on(runs[s], along)[-1] for runs in results.values()) for s in seeds]
    cut = {
        method: [runs[s][: int((spent_on(runs[s], along) <= budget[s]).sum())] for s in seeds]
        for method, runs in results.items()
    }
    for kind, words in KINDS.items():
        print(
            f"\nEqual {along.replace('_', '-')} ({np.mean(budget):.3g}), {words}: mean over seeds"
        )
        header = "".join(f"{f'<={size:,}':>12}" for size in judge.decades)
        print(f"{'':9}{'networks':>9}{'hypervolume':>18}{'of log error':>18}{header}")
        values = {
            method: np.array([judge.quality(run, kind) for run in runs])
            for method, runs in cut.items()
        }
        for method, found in values.items():
            mean, deviation = found.mean(axis=0), found.std(axis=0)
            spread = "".join(f"{f'{mean[n]:.3f} ({deviation[n]:.3f})':>18}" for n in range(2))
            errors = "".join(f"{100 * error:>10.2f} %" for error in mean[2:])
            count = np.mean([len(run) for run in cut[method]])
            print(f"{method:9}{count:>9.0f}{spread}{errors}")
        for method, found in values.items():
            if method != "density":
                difference = values["density"] - found
                ahead = ", of log error ".join(signed_rank(difference[:, n]) for n in range(2))
                print(f"density ahead of {method} with {ahead} seeds")


def print_epochs_needed(results, judge):
    """Print the share of the epochs of random search that its final hypervolume takes others."""
    print("\nEpochs to the final hypervolume of random search (log validation error), as a share")
    print("of those of random search: median over seeds, and seeds that do not reach it")
    for method, runs in results.items():
        shares = []
        for run, other in zip(runs, results["random"], strict=True):
            goal = judge.quality(other, "error")[1]
            spent = spent_on(run, "epochs")
            reached = judge.curve(run, "error", "epochs", spent) >= goal
            share = spent[reached.argmax()] / spent_on(other, "epochs")[-1]
            shares.append(share if reached.any() else np.inf)
        print(f"{method:9}{np.median(shares):>8.2f}{np.isinf(shares).sum():>4} of {len(shares)}")


def print_retrained(retrained, judge):
    """Print the errors that searches found beside those of training from new weights."""
    print("\nNetworks of the front of density from new weights, for the epochs of their lineage")
    for kind, words in KINDS.items():
        pairs = [
            [(n[f"search_{kind}"], n[kind], n["epochs"]) for n in run if n["why"] == "lineage"]
            for run in retrained
        ]
        found, fresh, epochs = np.mean([np.mean(each, axis=0) for each in pairs], axis=0)
        per_seed = [np.mean([new - old for old, new, _ in each]) for each in pairs]
        print(
            f"{words}: {100 * found:.2f} % found, {100 * fresh:.2f} % from new weights (mean"
            f" epochs {epochs:.1f}); the search is better with {signed_rank(per_seed)} seeds"
        )
    print("Fronts of density, all networks from new weights for equal epochs: hypervolumes")
    for kind, words in KINDS.items():
        values = {
            why: np.array(
                [judge.quality([n for n in run if n["why"] == why], kind) for run in retrained]
            )
            for why in RETRAINED[1:]
        }
        for why, found in values.items():
            mean = found.mean(axis=0)
            print(f"{words}, {why}: {mean[0]:.3f}, of log error {mean[1]:.3f}")
        difference = values["last generation"] - values["generation 1"]
        print(f"the last is ahead with {signed_rank(difference[:, 1])} seeds (of log error)")


# --- Figures --------------------------------------------------------------------------------------


def fronts_figure(results):
    """Plot the test errors of all fronts against the parameters, whole and zoomed in."""
    figure = blank_figure(12, 5)
    for axes, zoom in zip(figure.subplots(1, 2), (False, True), strict=True):
        style(axes)
        for number, (method, runs) in enumerate(results.items()):
            for seed, run in enumerate(runs):
                front = front_of(run)
                x = [network["parameters"] for network in front]
                y = [100 * network["test_error"] for network in front]
                label = method if seed == 0 else None
                axes.plot(x, y, ".-", color=f"C{number}", lw=0.6, ms=5, alpha=0.7, label=label)
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter("")  # of less than two decades, its numbers overlap
        axes.set_xlabel("parameters")
        axes.set_ylabel("test error (%)")
        if zoom:
            axes.set_ylim(0, 6)
    axes.legend(frameon=False)
    return figure


def sampled_figure(results):
    """Plot all networks of density and of uniform sampling, their fronts and a histogram."""
    figure = blank_figure(12, 5)
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    style(left)
    style(right)
    shown = [method for method in ("density", "uniform") if method in results]
    sizes = {m: [n["parameters"] for run in results[m] for n in run] for m in shown}
    edges = np.geomspace(*np.percentile(np.concatenate(list(sizes.values())), (0, 100)), 16)
    for number, method in enumerate(shown):
        errors = [100 * n["error"] for run in results[method] for n in run]
        left.plot(sizes[method], errors, ".", color=f"C{number}", ms=4, alpha=0.35)
        front = front_of([network for run in results[method] for network in run])
        x, y = ([n[name] for n in front] for name in ("parameters", "error"))
        left.step(x, 100 * np.array(y), where="post", color=f"C{number}", label=method)
        right.hist(sizes[method], edges, color=f"C{number}", alpha=0.5, label=method)
    left.set_yscale("symlog", linthresh=1)
    left.set_ylim(bottom=0)
    left.set_ylabel("validation error (%)")
    right.set_ylabel("networks")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xlabel("parameters")
        axes.legend(frameon=False)
    return figure


def progress_figure(results, judge):
    """Plot the hypervolume against networks, epochs and trained multiply-adds."""
    figure = blank_figure(15, 4.5)
    for axes, along in zip(
        figure.subplots(1, 3), ("networks", "epochs", "multiply_adds"), strict=True
    ):
        style(axes)
        for number, (method, runs) in enumerate(results.items()):
            end = min(spent_on(run, along)[-1] for run in runs)
            x = np.linspace(end / 60, end, 60)
            values = np.array([judge.curve(run, "test_error", along, x) for run in runs])
            plot_bands(axes, x, values, method, f"C{number}")
        axes.set_xlabel(along.replace("multiply_adds", "trained multiply-adds"))
    figure.axes[0].set_ylabel("hypervolume (log test error, log parameters)")
    figure.axes[0].legend(frameon=False)
    return figure


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
    results, retrained = {method: [] for method in chosen}, []
    config = make_config(**settings_of(0), workers=WORKERS.value)
    with search_workers(config) as executor:
        for seed in range(1 if QUICK.value else SEEDS.value):
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
    judge = Judge(load_images(), config.limit.get("parameters", LARGEST))
    for along in ("networks", "epochs", "multiply_adds"):
        print_equal(results, judge, along)
    if "random" in results:
        print_epochs_needed(results, judge)
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
