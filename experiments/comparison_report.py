"""Print and draw a comparison of methods: their hypervolumes, fronts and progress.

The results of a comparison are a mapping from methods to their runs, one per seed: the networks of
a run, in order, each a mapping as in judging.py that also has the "epochs", "multiply_adds" and
"seconds" of its training.
"""

from itertools import combinations

import numpy as np
from judging import compared, front_of, offered, plot_bands, quality, signed_rank
from matplotlib.ticker import LogFormatter

from lemonade_tf.report.figure import blank_figure, style

RETRAINED = ("lineage", "generation 1", "last generation")
DECADES = (1_000, 10_000, 100_000, 1_000_000)
KINDS = {"error": "validation error", "test_error": "test error"}
ALONG = ("networks", "epochs", "multiply_adds", "seconds")  # what methods spend
SHOWN_WITH_BANDS = ("density", "default", "random")
MIN_RANDOM = 3  # random networks of a size, for a mean


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
        """Return both hypervolumes, and the errors with at most so many parameters, by decade."""
        half = self._half[kind]
        return quality(networks, kind, half, largest=self.largest, sizes=self.decades)

    def curves(self, networks, kind, along, points):
        """Return the hypervolumes, of the error and of its logarithm, after so much is spent.

        Args:
            networks: A run.
            kind: One of `KINDS`.
            along: One of `ALONG`.
            points: The budgets.

        Returns:
            (2, points).
        """
        counts = np.searchsorted(spent_on(networks, along), np.asarray(points), side="right")
        known = {n: self.quality(networks[:n], kind)[:2] for n in sorted(set(counts.tolist()))}
        return np.array([known[n] for n in counts.tolist()]).T


def spent_on(networks, along):
    """Return the cumulative networks, epochs, multiply-adds or seconds."""
    each = [1 if along == "networks" else network[along] for network in networks]
    return np.cumsum(each)


def cut(run, budget, along):
    """Return the networks of a run that are complete within a budget."""
    return run[: int(np.searchsorted(spent_on(run, along), budget, side="right"))]


def cut_equally(all_runs, along):
    """Cut runs of several methods, seed by seed, to what the one that spent the least spent.

    Args:
        all_runs: The runs of each method, all by seed.
        along: What is spent.

    Returns:
        The runs of each method, and the budgets.
    """
    budgets = [
        min(spent_on(run, along)[-1] for run in same_seed)
        for same_seed in zip(*all_runs, strict=True)
    ]
    pairs = [zip(runs, budgets, strict=True) for runs in all_runs]
    return [[cut(run, budget, along) for run, budget in each] for each in pairs], budgets


def print_equal(results, judge, along):
    """Print the comparison after equal networks, epochs, multiply-adds or seconds.

    Tables are of all methods, cut to the one that spent the least. Tests are of pairs, each cut to
    the one of the two that spent less.
    """
    runs_of, budgets = cut_equally(list(results.values()), along)
    for kind, words in KINDS.items():
        print(
            f"\nEqual {along.replace('_', '-')} ({np.mean(budgets):.3g}), {words}: mean over seeds"
        )
        header = "".join(f"{f'<={size:,.0f}':>12}" for size in judge.decades)
        print(f"{'':11}{'networks':>9}{'hypervolume':>18}{'of log error':>18}{header}")
        for method, runs in zip(results, runs_of, strict=True):
            found = np.array([judge.quality(run, kind) for run in runs])
            mean, deviation = found.mean(axis=0), found.std(axis=0)
            spread = "".join(f"{f'{mean[n]:.3f} ({deviation[n]:.3f})':>18}" for n in range(2))
            errors = "".join(f"{100 * error:>10.2f} %" for error in mean[2:])
            count = np.mean([len(run) for run in runs])
            print(f"{method:11}{count:>9.0f}{spread}{errors}")
        for method, other in combinations(results, 2):
            pair, _ = cut_equally([results[method], results[other]], along)
            ours, theirs = (np.array([judge.quality(r, kind)[:2] for r in runs]).T for runs in pair)
            ahead = ", of log error in ".join(map(compared, ours, theirs))
            print(f"{method} ahead of {other} in {ahead} seeds")


def print_epochs_needed(results, judge):
    """Print the share of the epochs of random search that its final hypervolume takes others."""
    print("\nEpochs to the final hypervolume of random search (log validation error), as a share")
    print("of those of random search: median over seeds, and seeds that do not reach it")
    for method, runs in results.items():
        shares = []
        for run, other in zip(runs, results["random"], strict=True):
            goal = judge.quality(other, "error")[1]
            spent = spent_on(run, "epochs")
            reached = judge.curves(run, "error", "epochs", spent)[1] >= goal
            share = spent[reached.argmax()] / spent_on(other, "epochs")[-1]
            shares.append(share if reached.any() else np.inf)
        print(f"{method:11}{np.median(shares):>8.2f}{np.isinf(shares).sum():>4} of {len(shares)}")


def print_improvement(results, judge):
    """Print by how much methods are ahead of the mean random network, by decade of parameters.

    Yang et al. ("NAS evaluation is frustratingly hard", ICLR 2020) measure a search by the relative
    improvement of accuracy over random networks of its space, (accuracy - random) / random.
    """
    print(
        "\nTest accuracy, relative to the mean of random networks in the same range of parameters,"
    )
    print("of the network there with the lowest validation error: mean (standard deviation), seeds")
    bounds = list(zip((0, *judge.decades), judge.decades, strict=False))
    print(f"{'':11}" + "".join(f"{f'{low:,.0f} to {high:,.0f}':>24}" for low, high in bounds))
    for method, runs in results.items():
        cells = []
        for low, high in bounds:
            found = [
                relative_improvement(between(run, low, high), between(other, low, high))
                for run, other in zip(runs, results["random"], strict=True)
            ]
            known = [each for each in found if each is not None]
            mean = f"{100 * np.mean(known):+.2f} ({100 * np.std(known):.2f}) %" if known else "-"
            cells.append(f"{f'{mean}, {len(known)}':>24}")
        print(f"{method:11}" + "".join(cells))


def between(networks, low, high):
    """Return the networks with more than `low` parameters and at most `high`."""
    return [each for each in networks if low < each["parameters"] <= high]


def relative_improvement(networks, random_networks):
    """Return the relative improvement of the best network; None if there are too few of them."""
    if not networks or len(random_networks) < MIN_RANDOM:
        return None
    best = min(networks, key=lambda each: each["error"])
    accuracy = 1 - np.mean([each["test_error"] for each in random_networks])
    return (1 - best["test_error"]) / accuracy - 1


def print_retrained(retrained, judge):
    """Print the errors that searches found beside those of training from new weights."""
    print("\nNetworks of the front of density from new weights, for the epochs of their lineage")
    print("(without distillation)")
    for kind, words in KINDS.items():
        pairs = [
            [(n[f"search_{kind}"], n[kind], n["epochs"]) for n in run if n["why"] == RETRAINED[0]]
            for run in retrained
        ]
        means = np.array([np.mean(each, axis=0) for each in pairs if each]).reshape(-1, 3)
        found, fresh, epochs = means.mean(axis=0)
        print(
            f"{words}: {100 * found:.2f} % found, {100 * fresh:.2f} % from new weights (mean"
            f" epochs {epochs:.1f}); the search is better in"
            f" {signed_rank(means[:, 1] - means[:, 0])} seeds"
        )
    print("Fronts of density, all networks from new weights for equal epochs: hypervolumes")
    for kind, words in KINDS.items():
        first, last = (
            np.array(
                [judge.quality([n for n in run if n["why"] == why], kind)[:2] for run in retrained]
            )
            for why in RETRAINED[1:]
        )
        for why, volumes in zip(RETRAINED[1:], (first, last), strict=True):
            mean = volumes.mean(axis=0)
            print(f"{words}, {why}: {mean[0]:.3f}, of log error {mean[1]:.3f}")
        ahead = ", of log error in ".join(map(compared, last.T, first.T))
        print(f"the last is ahead in {ahead} seeds")


def fronts_figure(results):
    """Plot what fronts offer with at most so many parameters: medians over seeds, and bands.

    That is the test error of the network with the lowest validation error; 1 if there is none.
    """
    figure = blank_figure(12, 5)
    left, right = figure.subplots(1, 2, sharey=True)
    every = [each["parameters"] for runs in results.values() for run in runs for each in run]
    x = np.geomspace(min(every), max(every), 200)
    for number, (method, runs) in enumerate(results.items()):
        values = 100 * np.array([offered(run, "test_error", x) for run in runs])
        left.plot(x, np.median(values, axis=0), color=f"C{number}", label=method)
        if method in SHOWN_WITH_BANDS:
            plot_bands(right, x, values, method, f"C{number}")
    for axes, title in ((left, "median over seeds"), (right, "median, lowest and highest seed")):
        style(axes)
        axes.set_xscale("log")
        axes.set_yscale("log", nonpositive="clip")
        axes.xaxis.set_minor_formatter("")  # of less than two decades, its numbers overlap
        axes.yaxis.set_major_formatter(LogFormatter())
        axes.yaxis.set_minor_formatter(LogFormatter())  # shown within one decade
        axes.set_xlabel("parameters at most")
        axes.set_title(title)
        axes.legend(frameon=False)
    left.set_ylabel("test error (%)")
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
    """Plot both hypervolumes against networks, epochs, trained multiply-adds and seconds.

    Medians over seeds; bands from the lowest to the highest are those of `SHOWN_WITH_BANDS`.
    """
    figure = blank_figure(16, 8)
    for column, along in zip(figure.subplots(2, len(ALONG)).T, ALONG, strict=True):
        for number, (method, runs) in enumerate(results.items()):
            end = min(spent_on(run, along)[-1] for run in runs)
            x = np.append(np.linspace(end / 60, end, 59, endpoint=False), end)
            values = np.array([judge.curves(run, "test_error", along, x) for run in runs])
            for row, axes in enumerate(column):
                if method in SHOWN_WITH_BANDS:
                    plot_bands(axes, x, values[:, row], method, f"C{number}")
                else:
                    median = np.median(values[:, row], axis=0)
                    axes.plot(x, median, color=f"C{number}", label=method)
        for axes in column:
            style(axes)
        column[1].set_xlabel(along.replace("multiply_adds", "trained multiply-adds"))
    for number, of in ((0, "test error"), (len(ALONG), "log test error")):
        figure.axes[number].set_ylabel(f"hypervolume ({of}, log parameters)")
    figure.axes[0].legend(frameon=False)
    return figure
