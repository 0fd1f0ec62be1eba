"""Algorithm 1 of the paper, generation by generation.

    for i = 1, ..., n_gen:
        p_KDE <- KDE({f_cheap(N) | N in P})
        propose n_pc children, their parents drawn by equation 1
        accept n_ac of them by equation 2
        evaluate f_exp of the accepted
        P <- ParetoFrontier(P u accepted)

All children of a generation are evaluated before the next one is proposed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lemonade_tf.evolution.ask_tell import Evolution
from lemonade_tf.evolution.generation import Batch, Generation
from lemonade_tf.evolution.protocols import Evaluate


def evolve(
    evolution: Evolution,
    evaluate: Evaluate,
    *,
    on_proposed: Callable[[Batch], None] | None = None,
) -> Iterator[Generation]:
    """Evolve a population along the Pareto front, one generation at a time.

    The result does not depend on the order in which the evaluations are completed. An exception
    ends the search; `evaluate` decides whether a failed child is an exception or a failure.

    Args:
        evolution: What to start from.
        evaluate: Yields an `Evaluation` for each child, in any order. It may yield fewer, if it
            runs out of time; this ends the search after the generation.
        on_proposed: Called with each batch before it is evaluated.

    Yields:
        Each generation, after the population was updated.

    Raises:
        ValueError: If an evaluation is not of an accepted child, or has other objectives than the
            initial networks.
    """
    while evolution.generation < evolution.settings.num_generations:
        batch = evolution.propose()
        if on_proposed is not None:
            on_proposed(batch)
        reported = {}
        for evaluation in evaluate(batch.accepted) if batch.accepted else ():
            reported[evaluation.id] = evolution.report(evaluation)
        accepted = [child for child in batch.accepted if child.id in reported]
        generation = Generation(
            batch=batch,
            evaluations=tuple(reported[child.id] for child in accepted),
            children=tuple(
                child.with_evaluation(reported[child.id])
                for child in accepted
                if reported[child.id].failure is None
            ),
            population=evolution.population,
        )
        yield generation
        if not generation.is_complete:
            return
