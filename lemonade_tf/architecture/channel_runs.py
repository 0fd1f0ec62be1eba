"""The book-keeping of channel groups: which channels of which tensor belong to which group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

FRESH = -1

Sources = Mapping[int, np.ndarray]  # group -> the source of each of its new channels


@dataclass(frozen=True)
class Run:
    """All channels of a group in a row, each `repeat` times (by a depth multiplier)."""

    group: int
    repeat: int = 1


Runs = tuple[Run, ...]


@dataclass
class ChannelGroups:
    """The channel groups of a graph.

    Ties and splits are recorded as in a union-find structure: a tied group refers to the group that
    replaces it, a split group to its two parts, and `resolve` follows these references.

    Attributes:
        runs: For every node, the runs of groups that make up its output.
        sizes: The number of channels of each group.
        fixed: For each group that cannot change, the reason.
        capped: For each group that cannot get more channels without changing what the others are,
            the reason; it can lose some.
    """

    runs: dict[str, Runs] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    fixed: dict[int, str] = field(default_factory=dict)
    capped: dict[int, str] = field(default_factory=dict)
    _tied_to: dict[int, int] = field(default_factory=dict)
    _parts: dict[int, tuple[int, int]] = field(default_factory=dict)

    def source(self, name: str, sources: Sources) -> np.ndarray | None:
        """Return the source of a node's output when groups change; None if it does not."""
        runs = self.runs[name]
        if not any(run.group in sources for run in runs):
            return None
        # The source of each run counts within its group; shifted by the channels before the run, it
        # counts within the tensor.
        parts, offset = [], 0
        for run in runs:
            size = self.sizes[run.group]
            part = sources.get(run.group, np.arange(size))
            part = repeat_channels(part, run.repeat)
            parts.append(np.where(part < 0, FRESH, part + offset))
            offset += size * run.repeat
        return np.concatenate(parts)

    def new_position(self, name: str, channel: int, sources: Sources) -> int:
        """Return where the channels from `channel` on of a node start when groups change.

        Args:
            name: The node.
            channel: The first channel of a run, or the number of channels.
            sources: The change.
        """
        before = after = 0
        for run in self.runs[name]:
            if before >= channel:
                break
            size = self.sizes[run.group]
            before += size * run.repeat
            after += len(sources.get(run.group, range(size))) * run.repeat
        return after

    def groups_of(self, name: str) -> tuple[int, ...]:
        """Return the groups in a node's output, each once."""
        return tuple(dict.fromkeys(run.group for run in self.runs[name]))

    def why_fixed(self, groups: Iterable[int]) -> str | None:
        """Return why these groups cannot change, or None if they can."""
        return next((self.fixed[g] for g in groups if g in self.fixed), None)

    def why_capped(self, groups: Iterable[int]) -> str | None:
        """Return why these groups cannot get more channels, or None if they can."""
        reasons = {**self.capped, **self.fixed}
        return next((reasons[g] for g in groups if g in reasons), None)

    # --- Building ------------------------------------------------------------------------------

    def new(self, size: int) -> Run:
        """Start a group of a number of channels, and return the run of them."""
        group = len(self.sizes)
        self.sizes[group] = size
        return Run(group)

    def resolve(self, runs: Iterable[Run]) -> Runs:
        """Return the runs in terms of groups that are neither tied to another group nor split."""
        found: list[Run] = []
        for run in runs:
            group = run.group
            while group in self._tied_to:
                group = self._tied_to[group]
            if group in self._parts:
                found.extend(self.resolve(Run(p, run.repeat) for p in self._parts[group]))
            else:
                found.append(Run(group, run.repeat))
        return tuple(found)

    def _split(self, group: int, size: int) -> None:
        """Split a group into its first `size` channels and the rest."""
        first, second = self.new(size), self.new(self.sizes[group] - size)
        self._parts[group] = (first.group, second.group)
        for reasons in (self.fixed, self.capped):
            if group in reasons:
                reasons[first.group] = reasons[second.group] = reasons[group]

    def tie(self, first: Runs, second: Runs) -> Runs:
        """Tie the channels of two tensors to each other; return the runs that both then have."""
        # Each round resolves the first pair of runs that differ: groups of equal size become one,
        # the larger of two groups is split to fit. Both make progress, so the loop ends: ties leave
        # fewer groups, and splits are limited by the number of channels.
        while True:
            first, second = self.resolve(first), self.resolve(second)
            differing = [(a, b) for a, b in zip(first, second, strict=False) if a != b]
            if not differing:
                return first
            a, b = differing[0]
            if a.repeat != b.repeat:  # one channel against several copies of another
                self.fix((*first, *second), "it is tied to the copies of a depth multiplier")
                return first
            small, large = sorted((a.group, b.group), key=lambda g: self.sizes[g])
            if self.sizes[small] < self.sizes[large]:
                self._split(large, self.sizes[small])
            else:
                self._tied_to[large] = small
                for reasons in (self.fixed, self.capped):
                    if large in reasons:
                        reasons.setdefault(small, reasons[large])

    def width(self, runs: Iterable[Run]) -> int:
        """Return the number of channels in runs."""
        return sum(self.sizes[run.group] * run.repeat for run in self.resolve(runs))

    def cut(self, runs: Iterable[Run], sizes: Iterable[int]) -> list[Runs] | None:
        """Divide runs into blocks with given numbers of channels, splitting groups where needed.

        Args:
            runs: The runs of a tensor.
            sizes: The number of channels of each block.

        Returns:
            The runs of each block; None if a block would end between two copies of a channel.
        """
        blocks: list[list[Run]] = []
        pending = list(self.resolve(runs))
        for room in sizes:
            blocks.append([])
            while room:
                run = pending[0]
                channels = self.sizes[run.group] * run.repeat
                if channels <= room:
                    blocks[-1].append(pending.pop(0))
                    room -= channels
                elif room % run.repeat:
                    return None
                else:
                    self._split(run.group, room // run.repeat)
                    pending = list(self.resolve(pending))
        # A group may have been split after a run of it was assigned to a block.
        return [self.resolve(block) for block in blocks]

    def fix(self, runs: Iterable[Run], reason: str) -> Runs:
        """Mark the groups of these runs as fixed, and return the resolved runs."""
        runs = self.resolve(runs)
        for run in runs:
            self.fixed.setdefault(run.group, reason)
        return runs

    def cap(self, runs: Iterable[Run], reason: str) -> Runs:
        """Mark the groups of these runs as capped, and return the resolved runs."""
        runs = self.resolve(runs)
        for run in runs:
            self.capped.setdefault(run.group, reason)
        return runs


def repeat_channels(source: np.ndarray, times: int) -> np.ndarray:
    """Return the source of a tensor in which each channel is repeated several times in a row."""
    if times == 1:
        return source
    inner = np.arange(times)
    return np.where(source[:, None] < 0, FRESH, source[:, None] * times + inner).ravel()
