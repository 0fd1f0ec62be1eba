"""Choose the channels to remove from a network until it meets a budget, by a global ranking.

The next channels to go are those of the group where they cost the least per saved multiply-add,
parameter or second. What they cost is predicted by `channel_losses`, and updated after each step; a
custom importance stays as it is, and channels go in ascending order of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from lemonade_tf.architecture.channel_costs import ChannelCosts
from lemonade_tf.inheritance.channel_losses import IndependentLoss, LayerLoss

MIN_SHARE = 0.1  # of the channels of a group, at least one, stay
_STEPS = 64  # in which a group could lose all of its channels


@dataclass(frozen=True)
class Budget:
    """A limit of a cost.

    Attributes:
        costs: The cost of the network at the current sizes of its groups.
        limit: The maximum.
    """

    costs: ChannelCosts
    limit: float


class Ranking:
    """The channels of a network, ranked by what removing them costs.

    Attributes:
        kept: For each group, which of its channels stay.
    """

    def __init__(self, groups: Mapping[int, int], budgets: Sequence[Budget]) -> None:
        """Start with all channels.

        Args:
            groups: The sizes of the groups that may shrink.
            budgets: The limits to meet.
        """
        self.kept = {group: np.ones(size, bool) for group, size in groups.items()}
        self._budgets = budgets
        self._room = {g: size - max(1, round(MIN_SHARE * size)) for g, size in groups.items()}

    def sources(self) -> dict[int, np.ndarray]:
        """Return the channels that stay in each group that loses some."""
        return {g: np.flatnonzero(kept) for g, kept in self.kept.items() if not kept.all()}

    def smallest(self) -> list[float]:
        """Return the smallest possible total of each budget."""
        totals = []
        for budget in self._budgets:
            for group, room in self._room.items():
                budget.costs.remove(group, room)
            totals.append(budget.costs.total)
            for group, room in self._room.items():
                budget.costs.remove(group, -room)
        return totals

    def remove_least_loss(self, losses: Mapping[str, LayerLoss | IndependentLoss]) -> None:
        """Remove channels until all budgets are met, by the predicted loss per saved cost."""
        consumers: dict[int, list[str]] = {group: [] for group in self.kept}
        for name, loss in losses.items():
            for group in {group for group, _ in loss.places} & self.kept.keys():
                consumers[group].append(name)
        current = {name: loss.losses() for name, loss in losses.items()}

        def scores(group: int) -> np.ndarray:
            numbers = range(len(self.kept[group]))
            parts = ([losses[n].places[group, i] for i in numbers] for n in consumers[group])
            found = zip(consumers[group], parts, strict=True)
            return sum((current[n][part] for n, part in found), np.zeros(len(numbers)))

        def removed(group: int, chosen: np.ndarray) -> set[int]:
            for name in consumers[group]:
                losses[name].remove([(group, int(number)) for number in chosen])
                current[name] = losses[name].losses()
            return {g for name in consumers[group] for g, _ in losses[name].places}

        self._remove(scores, removed, per_cost=True)

    def remove_least_important(self, importance: Mapping[int, np.ndarray]) -> None:
        """Remove channels until all budgets are met, in ascending order of importance."""
        self._remove(importance.__getitem__, lambda *_: set(), per_cost=False)

    def _remove(
        self,
        scores: Callable[[int], np.ndarray],
        removed: Callable[[int, np.ndarray], set[int]],
        *,
        per_cost: bool,
    ) -> None:
        """Remove channels until all budgets are met.

        Args:
            scores: Returns what removing each channel of a group costs.
            removed: Called after channels were removed; returns the groups whose scores changed.
            per_cost: Whether scores count per saved cost.
        """
        best: dict[int, tuple[float, np.ndarray]] = {}
        stale, num_open = set(self.kept), len(self._budgets)
        while any(self._open()):
            for group in sorted(stale & self.kept.keys()):
                best[group] = self._best(group, scores(group), per_cost)
            group = min(best, key=lambda g: best[g][0])
            chosen = best[group][1]
            self.kept[group][chosen] = False
            self._room[group] -= len(chosen)
            stale = {group, *removed(group, chosen)}
            for budget in self._budgets:
                budget.costs.remove(group, len(chosen))
                stale |= budget.costs.neighbors(group)
            if len(self._open()) < num_open:  # savings count for open budgets only
                stale, num_open = set(self.kept), len(self._open())

    def _best(self, group: int, scores: np.ndarray, per_cost: bool) -> tuple[float, np.ndarray]:
        """Return the score of the channels of a group that go next, and their numbers."""
        if not self._room[group]:  # perhaps its last channel, without which there is no cost
            return np.inf, np.empty(0, int)
        saved = sum(b.costs.saving(group) / b.limit for b in self._open())
        if saved <= 0:
            return np.inf, np.empty(0, int)
        # As many as needed at most, and few enough that their losses hardly change each other.
        needed = max((b.costs.total - b.limit) / b.limit for b in self._open()) / saved
        number = min(self._room[group], len(scores) // _STEPS, ceil(needed))
        values = np.where(self.kept[group], scores, np.inf)
        chosen = np.argsort(values, kind="stable")[: max(number, 1)]
        return float(values[chosen].mean()) / (saved if per_cost else 1.0), chosen

    def _open(self) -> list[Budget]:
        return [budget for budget in self._budgets if budget.costs.total > budget.limit]
