"""Algorithm 1 as ask and tell: propose children, report evaluated ones.

    p_KDE <- KDE({f_cheap(N) | N in P})             propose
    draw n_pc children, their parents by equation 1
    accept n_ac of them by equation 2
    P <- ParetoFrontier(P u {child})                report, per evaluated child

`propose` reads the current population, and `report` updates it; their order is up
to the caller. `evolve` waits for all children of a batch before it proposes the next, which is the
paper's Algorithm 1. Without this barrier the search is asynchronous: see `asynchronous`.

It differs from the paper in two ways. A child whose architecture was seen before, which the paper
would train once more, is resampled (parent and operators) a bounded number of times. This covers
all children accepted so far, whether or not they failed, and those proposed in the same batch. If
the last draw is a duplicate as well, the paper's rule applies: what was evaluated successfully is
evaluated once more, with the weights of its current parent, so that a search continues even if all
neighbors of its population have been seen. Failed architectures are not evaluated again. The parent
is redrawn as well: a child is then distributed as in the paper, given that it was not seen. If
the parent stayed, networks most of whose neighbors have been seen would get as many children as
others, and they would be repeated ones.

A child can also exceed a limit, such as a number of parameters. It is also resampled, but dropped
if the last draw exceeds a limit as well. An initial network over a limit is a parent, but never on
the front.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lemonade_tf.evolution.archive import Archive
from lemonade_tf.evolution.consistency import check_history, expensive_names
from lemonade_tf.evolution.density import log_density
from lemonade_tf.evolution.generation import Batch, Proposal, Slot
from lemonade_tf.evolution.individual import Evaluation, Individual
from lemonade_tf.evolution.pareto import update_front
from lemonade_tf.evolution.protocols import Exceeded, LogWeights, ObjectiveProtocol, Propose
from lemonade_tf.evolution.sampling import (
    Purpose,
    accept,
    child_seed,
    inverse_density_probabilities,
    sample_parents,
)
from lemonade_tf.evolution.settings import EvolutionSettings


def _no_limits(child: Individual) -> Mapping[str, float]:
    return {}


class Evolution:
    """Proposes children and maintains the population of evaluated ones.

    The same calls in the same order give the same children, if `propose` depends on its arguments
    only. Between two calls of `propose`, the order of the reports does not matter.

    Args:
        initial: The initial networks, evaluated, generation 0. All of them are the population
            until a child has been evaluated (line 2 of Algorithm 1), dominated ones included. From
            then on, those that exceed a limit are left out.
        propose: Makes a child of a parent.
        cheap: The cheap objectives, on which the density is estimated.
        settings: The numbers of children, and how they are sampled.
        seed: The random seed; see `child_seed`.
        canonical_hash: Returns the same hash for architectures that are the same.
        same_architecture: Decides whether two architectures of equal hash are the same.
        exceeded: Returns the objectives of a child that exceed their limit.
        log_weights: Returns the logarithms of the weights by which proposed children are accepted,
            such as `ExpectedImprovement.log_weights`; by default, the inverse density.
        history: To resume: the children accepted before `start_generation`, without expensive
            objectives if their evaluation failed.
        pending: To resume: the children accepted before `start_generation` that have not been
            reported yet.
        start_generation: The number of the first batch to propose.

    Attributes:
        settings: The settings.
        generation: The number of the latest batch, 0 before the first.

    Raises:
        ValueError: If the initial networks have different objectives, or the history or the
            pending children contain an individual of another generation.
    """

    def __init__(
        self,
        initial: Sequence[Individual],
        *,
        propose: Propose,
        cheap: Sequence[ObjectiveProtocol],
        settings: EvolutionSettings,
        seed: int,
        canonical_hash: Callable[[Any], str],
        same_architecture: Callable[[Any, Any], bool],
        exceeded: Exceeded = _no_limits,
        log_weights: LogWeights | None = None,
        history: Sequence[Individual] = (),
        pending: Sequence[Individual] = (),
        start_generation: int = 1,
    ) -> None:
        self._expensive = expensive_names(initial, cheap)
        check_history([*history, *pending], start_generation)
        self.settings = settings
        self.generation = start_generation - 1
        self._propose, self._cheap = propose, tuple(cheap)
        self._exceeded, self._log_weights, self._seed = exceeded, log_weights, seed
        individuals = [*initial, *history]
        self._archive = Archive(canonical_hash, same_architecture)
        for individual in individuals:
            self._archive.add(canonical_hash(individual.architecture), individual)
        self._failed = {i.id for i in individuals if not i.is_evaluated}
        self._evaluated = {i.id: i for i in individuals if i.is_evaluated}
        self._pending: dict[str, tuple[str, Individual]] = {}  # by id, with their hash
        self._population = list(initial)
        self._reported = [i for i in history if i.is_evaluated]
        for child in pending:
            self._await(child)

    @property
    def population(self) -> tuple[Individual, ...]:
        """The Pareto front of all evaluated individuals within the limits, oldest first.

        Before any child has been evaluated: all initial networks.
        """
        if self._reported:  # updated when it is needed, not with every report
            names = (*self._expensive, *(objective.name for objective in self._cheap))
            kept = [i for i in self._population if i.generation or not self._exceeded(i)]
            self._population = update_front(kept, self._reported, names)
            self._reported = []
        return tuple(self._population)

    def extend(self, num_generations: int) -> None:
        """Evolve for more generations than the settings said."""
        self.settings = replace(self.settings, num_generations=num_generations)

    @property
    def pending(self) -> tuple[Individual, ...]:
        """The accepted children that have not been reported yet."""
        return tuple(child for _, child in self._pending.values())

    def propose(self, slot: Slot | None = None) -> Batch:
        """Propose a batch of children of the current population, and accept some of them.

        Args:
            slot: Propose a share of the children of its generation, and accept one of them; by
                default, propose the whole next generation.

        Returns:
            The proposals. Those that are accepted are pending until they are reported.
        """
        number, first_attempt = self.generation + 1, 0
        num_proposed, num_accepted = self.settings.num_proposed, self.settings.num_accepted
        if slot is not None:
            number, first_attempt = slot.number // num_accepted + 1, slot.first_attempt
            num_proposed, num_accepted = self.settings.num_proposed_per_slot, 1
        drawn, num_attempts = self._draw(number, first_attempt, num_proposed)
        rng = self._rng(number, first_attempt, Purpose.ACCEPTANCE)
        proposals = self._accept(drawn, num_accepted, rng)
        batch = Batch(number, num_attempts, tuple(proposals), slot)
        for child in batch.accepted:
            self._await(child)
        self.generation = number
        return batch

    def report(self, evaluation: Evaluation) -> Evaluation:
        """Add an evaluated child to the population, or note that its evaluation failed.

        Args:
            evaluation: Of any pending child.

        Returns:
            The evaluation, with its objectives in order; a failure if one is not finite.

        Raises:
            ValueError: If the child is not pending, or has other objectives than the initial
                networks.
        """
        if evaluation.id not in self._pending:
            raise ValueError(
                f"the child {evaluation.id!r} was reported and is not pending; expected one of "
                f"{', '.join(self._pending) or 'none'}. Report each accepted child once."
            )
        evaluation = evaluation.checked(self._expensive)
        _, child = self._pending.pop(evaluation.id)
        if evaluation.failure is None:
            self._evaluated[child.id] = child.with_evaluation(evaluation)
            self._reported.append(self._evaluated[child.id])
        else:
            self._failed.add(child.id)
        return evaluation

    def _await(self, child: Individual) -> None:
        """Make an accepted child pending."""
        key = self._archive.canonical_hash(child.architecture)
        self._archive.add(key, child)
        self._pending[child.id] = key, child

    def _draw(
        self, number: int, first_attempt: int, num_proposed: int
    ) -> tuple[list[Proposal], int]:
        """Draw the children of a batch, all rejected for now, and count the attempts."""
        population = self.population
        probabilities = inverse_density_probabilities(self._log_densities(population))
        in_batch = Archive(self._archive.canonical_hash, self._archive.same_architecture)
        proposals: list[Proposal] = []
        attempt = first_attempt
        for _ in range(num_proposed):
            for redraw in range(1 + self.settings.max_redraws):
                child = self._child(number, attempt, population, probabilities)
                attempt += 1
                if child is None:
                    continue
                is_last = redraw == self.settings.max_redraws
                proposal = self._judge(child, in_batch, is_last)
                proposals.append(proposal)
                if proposal.outcome == "rejected":
                    break
        return proposals, attempt - first_attempt

    def _child(
        self,
        number: int,
        attempt: int,
        population: Sequence[Individual],
        probabilities: np.ndarray,
    ) -> Individual | None:
        """Draw a parent and make a child of it; None if no operator applies."""
        [index] = sample_parents(probabilities, 1, rng=self._rng(number, attempt, Purpose.PARENT))
        parent = population[index]
        made = self._propose(parent, rng=self._rng(number, attempt, Purpose.STRUCTURE))
        if made is None:
            return None
        architecture, operators = made
        return Individual(
            generation=number,
            attempt=attempt,
            parent=parent.id,
            operators=tuple(operators),
            architecture=architecture,
            cheap={objective.name: objective.value(architecture) for objective in self._cheap},
        )

    def _judge(self, child: Individual, in_batch: Archive, is_last: bool) -> Proposal:
        """Decide whether a child takes part in the second sampling stage or is resampled."""
        if exceeded := self._exceeded(child):
            return Proposal(child, "over_limit", exceeded=exceeded)
        key = self._archive.canonical_hash(child.architecture)
        here = in_batch.find(key, child.architecture)
        earlier = None if here else self._archive.find(key, child.architecture)
        duplicate_of = here or earlier
        # Another copy of a failed child would fail again; one of a pending child would be wasted.
        may_repeat = is_last and earlier is not None and earlier not in self._failed
        if duplicate_of is None or (may_repeat and not self._is_pending(key, child.architecture)):
            in_batch.add(key, child)
            return Proposal(child, "rejected", duplicate_of)
        return Proposal(child, "duplicate", duplicate_of)

    def _is_pending(self, key: str, architecture: Any) -> bool:
        """Return whether a pending child has an architecture, perhaps as a repeated one."""
        return any(
            key == pending_key and self._archive.same_architecture(architecture, child.architecture)
            for pending_key, child in self._pending.values()
        )

    def _accept(
        self, drawn: list[Proposal], num_accepted: int, rng: np.random.Generator
    ) -> list[Proposal]:
        """Mark the proposals that the second sampling stage accepts."""
        positions = [index for index, p in enumerate(drawn) if p.outcome == "rejected"]
        children = [drawn[index].individual for index in positions]
        if self._log_weights is None:
            log_densities = self._log_densities(children)
        else:
            log_densities = -self._log_weights(children, self.population, self._evaluated)
        proposals = list(drawn)
        for chosen in accept(log_densities, num_accepted, rng=rng):
            index = positions[chosen]
            proposals[index] = replace(drawn[index], outcome="accepted")
        return proposals

    def _log_densities(self, individuals: Sequence[Individual]) -> np.ndarray:
        """Estimate the population's density at individuals; constant if sampling is uniform."""
        if self.settings.sampling == "uniform" or not individuals:
            return np.zeros(len(individuals))
        return log_density(self._coordinates(self.population), self._coordinates(individuals))

    def _coordinates(self, individuals: Sequence[Individual]) -> np.ndarray:
        """Return the transformed cheap objectives: (individuals, cheap objectives)."""
        return np.array([[c.transform(i.cheap[c.name]) for c in self._cheap] for i in individuals])

    def _rng(self, number: int, attempt: int, purpose: Purpose) -> np.random.Generator:
        return np.random.default_rng(child_seed(self._seed, number, attempt, purpose))
