"""Judge methods by the networks that they trained: fronts, hypervolumes, curves and tests.

A network is a mapping with its "parameters" and its "error" and "test_error", fractions. Fronts are
chosen by the validation error and the parameters, and judged by the validation or the test error.
Networks of a search that breaks ties between validation errors have a "ranked_error", by which they
are chosen instead.
Hypervolumes are those over the decimal logarithm of the parameters, from 1,000 on.
"""

import numpy as np
from absl import app
from scipy.stats import mannwhitneyu, wilcoxon

from lemonade_tf.evolution import hypervolume, pareto_front

SMALLEST = 1_000  # parameters; fewer count as so many
NUM_CLASSES = 10
GUESSING = 0.9  # the error of guessing one of them


def check_classes(name, data):
    """Raise a UsageError if a data set has not ten classes."""
    if data.num_classes != NUM_CLASSES:
        raise app.UsageError(
            f"--dataset {name} has {data.num_classes} classes; expected {NUM_CLASSES}, as"
            " hypervolumes end at the error of guessing one of them."
        )


def front_of(networks):
    """Return the networks of the front, by size."""
    points = np.array(
        [(each.get("ranked_error", each["error"]), each["parameters"]) for each in networks]
    )
    front = [networks[n] for n in pareto_front(points.reshape(-1, 2), keep_equal=False)]
    return sorted(front, key=lambda each: each["parameters"])


def quality(networks, kind, half_an_image, *, largest, sizes=()):
    """Return the hypervolumes, of the error and of its logarithm, and the errors by size.

    Args:
        networks: The networks of a method so far.
        kind: "error" or "test_error".
        half_an_image: The error of half an image, so that no error has an infinite logarithm.
        largest: The parameters of the reference point.
        sizes: Numbers of parameters; see `offered`.
    """
    if not networks:
        return [0.0, 0.0, *[1.0] * len(sizes)]
    front = np.array([(each["parameters"], each[kind]) for each in front_of(networks)], float)
    size, worst = np.log10(np.maximum(front[:, 0], SMALLEST)), np.log10(largest)
    volume = hypervolume(np.column_stack([front[:, 1], size]), [GUESSING, worst])
    log_error = np.log10(front[:, 1] + half_an_image)
    log_volume = hypervolume(np.column_stack([log_error, size]), [np.log10(GUESSING), worst])
    return [volume, log_volume, *offered(networks, kind, sizes)]


def offered(networks, kind, sizes):
    """Return the errors of the networks with the lowest validation error up to each size.

    Without a network, the error is 1.
    """
    front = front_of(networks)  # by size, so that the largest has the lowest validation error
    errors = np.array([1.0, *(each[kind] for each in front)])
    return errors[np.searchsorted([each["parameters"] for each in front], sizes, side="right")]


def signed_rank(differences):
    """Return in how many pairs differences are positive, and the p of Wilcoxon's test, in words."""
    differences = _without_rounding(differences)
    return f"{(differences > 0).sum()} of {len(differences)} (p = {_p(differences):.3f})"


def lower_equal_higher(ours, theirs):
    """Return in how many pairs errors are lower, equal, higher, and the p of Wilcoxon's test."""
    differences = _without_rounding(np.subtract(ours, theirs))
    counts = [str((np.sign(differences) == sign).sum()) for sign in (-1, 0, 1)]
    return "/".join(counts), f"{_p(differences):.3f}"


def _without_rounding(differences):
    """Make those of equal numbers of images equal, as the test ranks them."""
    return np.round(np.asarray(differences, float), 9)


def _p(differences):
    return wilcoxon(differences).pvalue if np.any(differences) else 1.0


def compared(ours, theirs):
    """Return in how many seeds values are larger than others, and the p of two tests, in words.

    These are Wilcoxon's for pairs, and, for seeds that are no pairs, that of Mann and Whitney.
    """
    unpaired = mannwhitneyu(ours, theirs).pvalue
    return f"{signed_rank(np.subtract(ours, theirs))[:-1]}; unpaired {unpaired:.2g})"


def plot_bands(axes, x, values, label, color):
    """Plot the median of curves, and the band from the lowest to the highest.

    Args:
        axes: The axes.
        x: (points,).
        values: (curves, points).
        label: The name of the curves.
        color: Their color.
    """
    axes.plot(x, np.median(values, axis=0), color=color, label=label)
    axes.fill_between(x, values.min(axis=0), values.max(axis=0), color=color, alpha=0.15, lw=0)
