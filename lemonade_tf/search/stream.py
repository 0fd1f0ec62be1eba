"""Train networks as workers become free: what an asynchronous search does between its proposals.

A network is recorded as soon as it is completed. In a replay it waits until those are recorded that
were completed before it in the replayed run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from lemonade_tf.evolution import Evaluation, Individual
from lemonade_tf.executors import WAIT, Outcome

if TYPE_CHECKING:
    from lemonade_tf.search.evaluator import ChildEvaluator
    from lemonade_tf.search.session import Session

_Ended = tuple[Individual, Outcome, str | None]  # with its first failure


class Stream:
    """Trains networks and records them.

    As for generations, a network whose process died is retried once.

    Args:
        session: The search.
        num_recorded: How many networks are recorded now.
        propose: Called when a worker is free and no network is waiting: returns another network to
            train, or None if there is none.
    """

    def __init__(
        self, session: Session, num_recorded: int, propose: Callable[[], Individual | None]
    ) -> None:
        self._evaluator: ChildEvaluator = session.evaluator
        self._executor, self._stop = session.executor, session.stop
        self._propose, self._order = propose, session.setup.order
        self._num_recorded = num_recorded
        self._waiting: list[Individual] = []
        self._training: dict[str, Individual] = {}
        self._died: dict[str, str | None] = {}  # the failures of those that are retried
        self._ended: dict[str, _Ended] = {}  # and not recorded yet

    def add(self, networks: Iterable[Individual]) -> None:
        """Add networks to be trained, before all that are proposed."""
        for network in networks:
            copied = None if self._order is None else self._order.copied_failure(network.id)
            if copied is None:
                self._waiting.append(network)
            else:
                self._ended[network.id] = (network, *copied)
        order = self._order
        if order is not None:  # so that few completed networks have to wait
            self._waiting.sort(key=lambda network: order.position(network.id))

    def run(self) -> Iterator[Evaluation]:
        """Train networks until there are none left, or the search has to stop.

        Networks may be added after each evaluation.

        Yields:
            The evaluation of each network, when it is recorded.

        Raises:
            SearchError: If networks fail for a reason that is not theirs, or a result differs from
                that of the replayed run.
            StoreError: If a file is damaged, or cannot be written.
        """
        yield from self._record()
        for outcome in self._executor.run(self._tasks(), deadline=self._stop.deadline):
            self._end(outcome)
            yield from self._record()

    def _tasks(self) -> Iterator[Any]:
        """Yield the task of the next network whenever a worker is free."""
        while not self._stop.is_requested():
            network = self._waiting.pop(0) if self._waiting else self._propose()
            if network is not None and not self._stop.allows(network.architecture):
                return
            if network is not None:
                self._training[network.id] = network
                yield self._evaluator.task(network)
            elif self._training:  # one may have to be retried, or allow for more proposals
                yield WAIT
            else:
                return

    def _end(self, outcome: Outcome) -> None:
        """Take the outcome of a network; retry it if its process died for the first time."""
        id_ = outcome.task.id
        network = self._training.pop(id_)
        if outcome.cause == "died" and id_ not in self._died:
            self._died[id_] = outcome.failure
            self._waiting.insert(0, network)
        else:
            self._ended[id_] = network, outcome, self._died.pop(id_, None)

    def _record(self) -> Iterator[Evaluation]:
        """Record the completed networks whose turn it is."""
        while self._ended:
            id_ = next(iter(self._ended))
            if self._order is not None:
                id_ = self._order.next_id(self._num_recorded) or ""
            if id_ not in self._ended:
                return
            network, outcome, first_failure = self._ended.pop(id_)
            evaluation = self._evaluator.record(network, outcome, first_failure)
            self._num_recorded += 1
            yield evaluation
