"""Equations 1 and 2 of section 4 over whole generations, with one to five cheap objectives.

The objectives have units as far apart as seconds and bytes, and both scales. The expected shares
come from the density of the paper's section 4 written down once more, in plain sums and products.
Every test is decided by its seed.
"""

from math import prod

import numpy as np
import pytest
from scipy import stats
from toy_evolution import evolution

from lemonade_tf.evolution import (
    EvolutionSettings,
    Individual,
)
from lemonade_tf.objectives import Objective

# (name, scale, a typical value, how far values spread): a network here is its five values.
UNITS = (
    ("seconds", "log", 1e-3, 1.5),
    ("bytes", "linear", 1e9, 0.4),
    ("parameters", "log", 1e5, 2.0),
    ("depth", "linear", 12.0, 0.3),
    ("joules", "log", 1e-9, 0.5),
)
NUM_NETWORKS = 12
NUM_CROWDED = 7  # that lie close together
P_VALUE = 0.01  # of a test that fails by chance


def _objectives(num, factors=(1.0,) * 5):
    return tuple(
        Objective(name, scale, compute=lambda values, k=k: values[k] * factors[k])
        for k, (name, scale, *_) in enumerate(UNITS[:num])
    )


def _network(rng, apart):
    """Draw the values of a network: lognormal, or normal but positive."""
    return tuple(
        typical * np.exp(apart * spread * rng.normal())
        if scale == "log"
        else typical * max(0.05, 1 + apart * spread * rng.normal())
        for _, scale, typical, spread in UNITS
    )


def _population(cheap, seed=0):
    """Return networks none of which dominates another: the slower, the fewer errors."""
    rng = np.random.default_rng(seed)
    apart = [0.2] * NUM_CROWDED + [1.0] * (NUM_NETWORKS - NUM_CROWDED)
    graphs = sorted(_network(rng, factor) for factor in apart)
    return [
        Individual(0, k, None, (), graph, {c.name: c.value(graph) for c in cheap}, {"error": -k})
        for k, graph in enumerate(graphs)
    ]


def _inverse_densities(cheap, population, graphs):
    """Return 1 / p_KDE at some networks: Gaussian kernels, Scott's bandwidth, a product."""
    coordinates = [
        [np.log(c.compute(g)) if c.scale == "log" else c.compute(g) for c in cheap]
        for g in [*(i.architecture for i in population), *graphs]
    ]
    values = np.array(coordinates)[:NUM_NETWORKS]
    widths = values.std(axis=0) * NUM_NETWORKS ** (-1 / (len(cheap) + 4))
    inverse = []
    for point in np.array(coordinates)[NUM_NETWORKS:]:
        kernels = [
            prod(stats.norm.pdf(x, center, width) for x, center, width in zip(*row, strict=True))
            for row in ((point, other, widths) for other in values)
        ]
        inverse.append(NUM_NETWORKS / sum(kernels))
    return np.array(inverse)


def _batch(population, cheap, propose, *, seed, sampling="density", num_proposed=4_000):
    """Propose the first batch, of which one child is accepted."""
    settings = EvolutionSettings(1, num_proposed, 1, sampling=sampling, max_redraws=0)
    return evolution(
        population, propose=propose, cheap=cheap, settings=settings, seed=seed
    ).propose()


def _mutate(parent, *, rng):
    return tuple(value * rng.uniform(0.9, 1.1) for value in parent.architecture), []


@pytest.mark.parametrize("num", range(1, 6))
@pytest.mark.parametrize("sampling", ["density", "uniform"])
def test_parents_are_drawn_by_equation_1(num, sampling):
    cheap = _objectives(num)
    population = _population(cheap, seed=num)
    batch = _batch(population, cheap, _mutate, seed=num, sampling=sampling)
    drawn = [int(p.individual.parent.split("-")[1]) for p in batch.proposals]
    assert len(drawn) == 4_000
    counts = np.bincount(drawn, minlength=NUM_NETWORKS)
    weights = _inverse_densities(cheap, population, [i.architecture for i in population])
    by_density = stats.chisquare(counts, len(drawn) * weights / weights.sum()).pvalue
    uniform = stats.chisquare(counts).pvalue
    right, wrong = (by_density, uniform) if sampling == "density" else (uniform, by_density)
    assert right > P_VALUE
    assert wrong < 1e-9


@pytest.mark.parametrize("num", range(1, 6))
def test_a_child_is_accepted_by_equation_2(num):
    """The same children are proposed 600 times, and one of them accepted each time."""
    cheap = _objectives(num)
    population = _population(cheap, seed=num)
    rng = np.random.default_rng(100 + num)
    graphs = [_mutate(population[k], rng=rng)[0] for k in (0, 3, 6, 9, 11)]
    counts = np.zeros(len(graphs))
    for seed in range(600):
        left = iter(graphs)
        batch = _batch(
            population,
            cheap,
            lambda parent, rng, left=left: (next(left), []),
            seed=seed,
            num_proposed=len(graphs),
        )
        counts[graphs.index(batch.accepted[0].architecture)] += 1
    weights = _inverse_densities(cheap, population, graphs)
    expected = counts.sum() * weights / weights.sum()
    assert expected.min() > 5  # what the test asks for
    assert stats.chisquare(counts, expected).pvalue > P_VALUE


def test_units_make_no_difference():
    """Milliseconds or seconds, bytes or gigabytes: the same parents, the same children."""
    drawn = []
    for factors in ((1.0,) * 5, (1e3, 1e-9, 1e-3, 60.0, 1e6)):
        cheap = _objectives(5, factors)
        batch = _batch(_population(cheap), cheap, _mutate, seed=3, num_proposed=300)
        drawn.append([(p.individual.parent, p.outcome) for p in batch.proposals])
    assert drawn[0] == drawn[1]
