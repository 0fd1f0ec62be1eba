"""Algorithm 1 without generations: a child is proposed whenever a worker is free.

The paper's searches ran "in a straight-forward parallel asynchronous fashion" (section 5.1), which
it does not specify; this is the reading of this package. The budget of
`num_generations` times `num_accepted` children consists of as many slots. For each slot, a share of
the children of a generation is proposed from the current population (`num_proposed` divided by
`num_accepted`, rounded up), and one of them is accepted by equation 2. No worker waits for others:
the children that are pending are merely not yet in the population.

So that every child has an id and seeds of its own, slots are numbered as if they formed generations
of `num_accepted` each, and attempts are counted on within these.

The result depends on the order of the proposals and reports, and on nothing else. `Slot` records
the order: how many networks had been evaluated before each proposal.
"""

from __future__ import annotations

from dataclasses import replace

from lemonade_tf.errors import LemonadeError
from lemonade_tf.evolution.ask_tell import Evolution
from lemonade_tf.evolution.generation import Batch, Slot
from lemonade_tf.evolution.individual import Evaluation, Individual
from lemonade_tf.evolution.settings import EvolutionSettings

MAX_EMPTY_BATCHES = 100


class NoChildError(LemonadeError):
    """No operator applies to the networks of the population."""


class AsynchronousEvolution:
    """Proposes one child at a time, for the slots of a search in their order.

    The same calls in the same order give the same children.

    Args:
        evolution: The population to start from. Only this class proposes and reports to it.
        next_slot: The slot to propose for first. At the start of a search,
            `Slot(0, 0, num_evaluated=...)` with the number of initial networks.

    Attributes:
        next_slot: The slot that the next child is proposed for.
    """

    def __init__(self, evolution: Evolution, next_slot: Slot) -> None:
        self._evolution, self.next_slot = evolution, next_slot

    @property
    def settings(self) -> EvolutionSettings:
        """The settings."""
        return self._evolution.settings

    def extend(self, num_generations: int) -> None:
        """Evolve for more generations than the settings said."""
        self._evolution.extend(num_generations)

    @property
    def population(self) -> tuple[Individual, ...]:
        """What the next child is proposed from; see `Evolution.population`."""
        return self._evolution.population

    @property
    def pending(self) -> tuple[Individual, ...]:
        """The accepted children that have not been reported yet."""
        return self._evolution.pending

    @property
    def has_slots(self) -> bool:
        """Whether there are slots left to propose for."""
        return self.next_slot.number < self.settings.num_slots

    @property
    def num_finished(self) -> int:
        """The number of slots whose child was reported, or that have none."""
        return self.next_slot.number - len(self.pending)

    def propose(self) -> Batch:
        """Propose children for the next slot, and accept one.

        Returns:
            At least one proposal. None is accepted if all are duplicates or over a limit; the
            search then has one child less.

        Raises:
            NoChildError: If no operator applied to any of many parents.
        """
        num_attempts = 0
        for _ in range(MAX_EMPTY_BATCHES):
            batch = self._evolution.propose(self.next_slot)
            attempt = self.next_slot.first_attempt + batch.num_attempts
            num_attempts += batch.num_attempts
            self.next_slot = replace(self.next_slot, first_attempt=attempt)
            # A slot without proposals would leave no record of the state it was drawn from.
            if batch.proposals:
                self._advance()
                return batch
        raise NoChildError(
            f"no operator applied to any of the {num_attempts:,} parents drawn last; expected"
            " networks of which children can be made. Start from other initial networks."
        )

    def report(self, evaluation: Evaluation) -> Evaluation:
        """Add an evaluated child to the population, or note that its evaluation failed.

        See `Evolution.report`.
        """
        evaluation = self._evolution.report(evaluation)
        num_evaluated = self.next_slot.num_evaluated + 1
        self.next_slot = replace(self.next_slot, num_evaluated=num_evaluated)
        return evaluation

    def _advance(self) -> None:
        """Advance to the next slot; the count of attempts restarts in each generation."""
        number = self.next_slot.number + 1
        self.next_slot = replace(self.next_slot, number=number)
        if number % self.settings.num_accepted == 0:
            self.next_slot = replace(self.next_slot, first_attempt=0)
