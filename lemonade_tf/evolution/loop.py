"""The loop of Algorithm 1.

    for i = 1, ..., n_gen:
        p_KDE <- KDE({f_cheap(N) | N in P})
        propose n_pc children, their parents drawn by equation 1
        accept n_ac of them by equation 2
        evaluate f_exp of the accepted
        P <- ParetoFrontier(P u accepted)

One thing is added: a child whose architecture was met before, which the paper would train once
more, is drawn again, parent and operators, a bounded number of times. Met is what was accepted in
an earlier generation, failed or not, and what was proposed in this one. If the last draw is no
better, it is as in the paper: what was trained in an earlier generation may be trained once more,
from the weights of its present parent. So a search whose population has no new neighbours left
goes on training; what failed is not tried again.

A child may also be refused for what it is, as too large. It is drawn again likewise, and if the
last draw is no better, there is one child less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.text import canonical_hash, same_architecture
from lemonade_tf.evolution.density import CheapObjective, log_density
from lemonade_tf.evolution.individual import Evaluation, Generation, Individual, Proposal
from lemonade_tf.evolution.pareto import update_front
from lemonade_tf.evolution.sampling import (
    Purpose,
    accept,
    child_seed,
    inverse_density_probabilities,
    sample_parents,
)


@dataclass(frozen=True)
class EvolutionSettings:
    """Size the search; the defaults are the paper's (section 5.1).

    Args:
        num_generations: Passes through the loop.
        num_proposed: Children proposed a generation.
        num_accepted: Children accepted, and thus evaluated, a generation.
        sampling: By the inverse of the `"density"`, or `"uniform"` for the baseline of A.2.
        max_redraws: How often a child is drawn again if it was met before, if it is outside of what
            is allowed, or if no operator applies to its parent. If the last draw was met in an
            earlier generation, and did not fail there, it is taken all the same; else there is one
            child less.

    Raises:
        ValueError: If a number is out of range, or the sampling is neither of the two.
    """

    num_generations: int = 100
    num_proposed: int = 200
    num_accepted: int = 40
    sampling: Literal["density", "uniform"] = "density"
    max_redraws: int = 10

    def __post_init__(self):
        smallest = {"num_generations": 0, "num_proposed": 1, "num_accepted": 1, "max_redraws": 0}
        for name, least in smallest.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} is {value!r}; expected a whole number from {least} up.")
        if self.num_accepted > self.num_proposed:
            raise ValueError(
                f"num_accepted is {self.num_accepted}, num_proposed {self.num_proposed}; expected "
                "to accept at most as many as are proposed. Raise num_proposed to choose at all."
            )
        if self.sampling not in ("density", "uniform"):
            raise ValueError(f'sampling is {self.sampling!r}; expected "density" or "uniform".')


Propose = Callable[..., tuple[Graph, Iterable[dict[str, Any]]] | None]
Evaluate = Callable[[Sequence[Individual]], Iterable[Evaluation]]
Exceeded = Callable[[Individual], Mapping[str, float]]


def _nothing(child: Individual) -> Mapping[str, float]:
    return {}


def evolve(
    initial: Sequence[Individual],
    *,
    propose: Propose,
    evaluate: Evaluate,
    cheap: Sequence[CheapObjective],
    settings: EvolutionSettings,
    seed: int,
    on_proposed: Callable[[int, Sequence[Proposal]], None] | None = None,
    exceeded: Exceeded = _nothing,
    identify: Callable[[Graph], str] = canonical_hash,
    same: Callable[[Graph, Graph], bool] = same_architecture,
    met: Sequence[Individual] = (),
    start_generation: int = 1,
) -> Iterator[Generation]:
    """Evolve a population along the Pareto front, a generation at a time.

    The same arguments give the same generations, in whatever order the evaluations are completed,
    as long as `propose` and the values of `evaluate` depend on their arguments only. An exception
    of an argument ends the search; to go on after a child's failure is up to `evaluate`.

    Args:
        initial: The initial networks, evaluated, generation 0. The population starts as their
            Pareto front.
        propose: `propose(parent, rng=generator)` makes a child's graph and the JSON-able records
            of the operators that made it, or returns None if none applies to the parent.
        evaluate: `evaluate(children)` yields an `Evaluation` of each child in any order. It may
            yield fewer, when it is out of time: this ends the search after the generation.
        cheap: The cheap objectives, which the density is estimated on.
        settings: The sizes of the search.
        seed: Of the run; see `child_seed`.
        on_proposed: `on_proposed(generation, proposals)` is called before they are evaluated.
        exceeded: What a child has of the objectives whose limit it exceeds; nothing if it may be
            trained.
        identify: A hash of a graph, equal for graphs that are the same.
        same: Whether two graphs of equal hash are the same.
        met: To resume: the children that were accepted in the generations before
            `start_generation`, without expensive objectives if their evaluation failed.
        start_generation: To resume: the first generation to run. One that was cut short is run
            again; its children get the same ids, so that `evaluate` can look up what is known.

    Yields:
        Each generation, after the population was updated.

    Raises:
        ValueError: If the individuals given do not have the same objectives or do not fit the
            generation to start with, or an evaluation does not fit the children asked for.
    """
    expensive = _expensive_names(initial, cheap)
    _check_met(met, start_generation)
    individuals = [*initial, *sorted(met, key=lambda individual: individual.age_key)]
    archive = _Archive(identify, same)
    for individual in individuals:
        archive.add(identify(individual.graph), individual)
    evaluated = [individual for individual in individuals if individual.evaluated]
    loop = _Loop(
        population=update_front((), evaluated, (*expensive, *(c.name for c in cheap))),
        archive=archive,
        failed={individual.id for individual in individuals if not individual.evaluated},
        expensive=expensive,
        cheap=tuple(cheap),
        propose=propose,
        evaluate=evaluate,
        settings=settings,
        seed=seed,
        on_proposed=on_proposed,
        exceeded=exceeded,
    )
    return loop.generations(start_generation)


class _Archive:
    """The architectures met so far, by their hash."""

    def __init__(self, identify: Callable[[Graph], str], same: Callable[[Graph, Graph], bool]):
        self.identify = identify
        self.same = same
        self._met: dict[str, list[tuple[str, Graph]]] = {}

    def find(self, key: str, graph: Graph) -> str | None:
        """Return the id under which an architecture was met, None if it is new."""
        for id_, other in self._met.get(key, ()):
            if self.same(graph, other):
                return id_
        return None

    def add(self, key: str, individual: Individual) -> None:
        """Remember an individual's architecture under its hash."""
        self._met.setdefault(key, []).append((individual.id, individual.graph))


@dataclass
class _Loop:
    """The state of `evolve`, the population and what was met, and the steps that change it."""

    population: list[Individual]
    archive: _Archive
    failed: set[str]
    expensive: tuple[str, ...]
    cheap: tuple[CheapObjective, ...]
    propose: Propose
    evaluate: Evaluate
    settings: EvolutionSettings
    seed: int
    on_proposed: Callable[[int, Sequence[Proposal]], None] | None
    exceeded: Exceeded

    def generations(self, start: int) -> Iterator[Generation]:
        """Run the loop, from one generation to the last."""
        for number in range(start, self.settings.num_generations + 1):
            generation = self._run(number)
            yield generation
            if not generation.complete:
                return

    def _run(self, number: int) -> Generation:
        """Run one generation."""
        drawn, num_attempts = self._draw(number)
        proposals = self._accept(number, drawn)
        if self.on_proposed is not None:
            self.on_proposed(number, proposals)
        accepted = [p.individual for p in proposals if p.outcome == "accepted"]
        evaluations = self._evaluate(accepted)
        children = _evaluated(accepted, evaluations)
        names = (*self.expensive, *(objective.name for objective in self.cheap))
        self.population = update_front(self.population, children, names)
        return Generation(
            number=number,
            num_attempts=num_attempts,
            proposals=tuple(proposals),
            evaluations=tuple(evaluations),
            children=tuple(children),
            population=tuple(self.population),
        )

    def _draw(self, number: int) -> tuple[list[Proposal], int]:
        """Propose children, rejected until accepted, and count the draws it took."""
        probabilities = inverse_density_probabilities(self._log_densities(self.population))
        here = _Archive(self.archive.identify, self.archive.same)
        proposals: list[Proposal] = []
        attempt = 0
        for _slot in range(self.settings.num_proposed):
            for draw in range(1 + self.settings.max_redraws):
                child = self._child(number, attempt, probabilities)
                attempt += 1
                if child is None:
                    continue
                if beyond := self.exceeded(child):
                    proposals.append(Proposal(child, "outside", exceeded=beyond))
                    continue
                key = self.archive.identify(child.graph)
                met_here = here.find(key, child.graph)
                met = met_here or self.archive.find(key, child.graph)
                may_repeat = met_here is None and met not in self.failed
                if met is None or (draw == self.settings.max_redraws and may_repeat):
                    here.add(key, child)
                    proposals.append(Proposal(child, "rejected", duplicate_of=met))
                    break
                proposals.append(Proposal(child, "duplicate", duplicate_of=met))
        return proposals, attempt

    def _child(self, number: int, attempt: int, probabilities: np.ndarray) -> Individual | None:
        """Draw a parent and make a child of it; None if no operator applies."""
        [index] = sample_parents(probabilities, 1, rng=self._rng(number, attempt, Purpose.PARENT))
        parent = self.population[index]
        made = self.propose(parent, rng=self._rng(number, attempt, Purpose.STRUCTURE))
        if made is None:
            return None
        graph, operators = made
        return Individual(
            id=f"{number}-{attempt}",
            generation=number,
            parent=parent.id,
            operators=tuple(operators),
            graph=graph,
            cheap={objective.name: objective.measure(graph) for objective in self.cheap},
        )

    def _accept(self, number: int, drawn: list[Proposal]) -> list[Proposal]:
        """Mark the proposals that the second sampling stage accepts."""
        places = [place for place, p in enumerate(drawn) if p.outcome == "rejected"]
        log_densities = self._log_densities([drawn[place].individual for place in places])
        rng = self._rng(number, 0, Purpose.ACCEPTANCE)
        proposals = list(drawn)
        for index in accept(log_densities, self.settings.num_accepted, rng=rng):
            place = places[index]
            proposals[place] = replace(drawn[place], outcome="accepted")
        return proposals

    def _evaluate(self, children: Sequence[Individual]) -> list[Evaluation]:
        """Evaluate children, and bring the evaluations into the order of the children."""
        if not children:
            return []
        asked = {child.id for child in children}
        found: dict[str, Evaluation] = {}
        for evaluation in self.evaluate(tuple(children)):
            if evaluation.id not in asked or evaluation.id in found:
                raise ValueError(
                    f"`evaluate` gave the child {evaluation.id!r}, which "
                    f"{'it gave before' if evaluation.id in found else 'it was not asked for'}; "
                    f"expected each of these at most once: {', '.join(sorted(asked))}."
                )
            found[evaluation.id] = evaluation.checked(self.expensive)
        for child in children:
            if child.id in found:
                self.archive.add(self.archive.identify(child.graph), child)
                if found[child.id].failure is not None:
                    self.failed.add(child.id)
        return [found[child.id] for child in children if child.id in found]

    def _log_densities(self, individuals: Sequence[Individual]) -> np.ndarray:
        """Estimate the population's density at individuals; equal everywhere if uniform."""
        if self.settings.sampling == "uniform" or not individuals:
            return np.zeros(len(individuals))
        return log_density(self._coordinates(self.population), self._coordinates(individuals))

    def _coordinates(self, individuals: Sequence[Individual]) -> np.ndarray:
        """Line up the transformed cheap objectives: (individuals, cheap objectives)."""
        return np.array([[c.transform(i.cheap[c.name]) for c in self.cheap] for i in individuals])

    def _rng(self, number: int, attempt: int, purpose: Purpose) -> np.random.Generator:
        return np.random.default_rng(child_seed(self.seed, number, attempt, purpose))


def _evaluated(
    children: Sequence[Individual], evaluations: Sequence[Evaluation]
) -> list[Individual]:
    """Give the children their expensive objectives; leave out those that have none."""
    by_id = {e.id: e.expensive for e in evaluations if e.failure is None}
    return [replace(child, expensive=by_id[child.id]) for child in children if child.id in by_id]


def _expensive_names(
    initial: Sequence[Individual], cheap: Sequence[CheapObjective]
) -> tuple[str, ...]:
    """Find the expensive objectives' names, and check that all initial networks have the same."""
    if not initial or not cheap:
        raise ValueError(
            f"There are {len(initial)} initial networks and {len(cheap)} cheap objectives; "
            "expected at least one of each."
        )
    names = tuple(initial[0].expensive)
    for individual in initial:
        if not names or set(individual.expensive) != set(names):
            raise ValueError(
                f"The initial network {individual.id} has the expensive objectives "
                f"{sorted(individual.expensive)}; expected those of {initial[0].id}, "
                f"{sorted(names)}, and at least one. Evaluate all of them, or leave out those "
                "that failed."
            )
        if set(individual.cheap) != {objective.name for objective in cheap}:
            raise ValueError(
                f"The initial network {individual.id} has the cheap objectives "
                f"{sorted(individual.cheap)}; expected {sorted(c.name for c in cheap)}. Measure "
                "them with `CheapObjective.measure`."
            )
    return names


def _check_met(met: Sequence[Individual], start_generation: int) -> None:
    """Check that what was met before fits the generation to start with."""
    for individual in met:
        if not 1 <= individual.generation < start_generation:
            raise ValueError(
                f"{individual.id} was given as met before generation {start_generation}; "
                f"expected generations 1 to {start_generation - 1} only. Initial networks go "
                "into `initial`; a generation that was cut short is run again."
            )
