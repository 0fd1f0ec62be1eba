"""A search under way: its folder, its state, and the evaluation of children.

Here the parts meet: `evolution` decides which children to train, an executor hands them to worker
processes, `store` keeps what comes back.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from lemonade_tf import __version__
from lemonade_tf.architecture.text import canonical_hash, to_json
from lemonade_tf.callbacks import Callback, SearchState
from lemonade_tf.config import SearchConfig, default_workdir
from lemonade_tf.estimate import FEWEST_NETWORKS, Workload, estimate, measure, share_distilled
from lemonade_tf.evolution import (
    CheapObjective,
    Evaluation,
    EvolutionSettings,
    Individual,
    Proposal,
    Purpose,
    child_seed,
    evolve,
    update_front,
)
from lemonade_tf.executors import Executor, Outcome
from lemonade_tf.executors.devices import default_num_workers
from lemonade_tf.objectives import Objective, objectives_named
from lemonade_tf.quality import front_hypervolume, reference_point
from lemonade_tf.search_spaces import NETWORKS
from lemonade_tf.store import RunStore
from lemonade_tf.training.datasets import Dataset
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.training.task import ChildTask

_SPACES = {space.name: space for space in (NETWORKS,)}


class SearchError(RuntimeError):
    """A search cannot go on; the message says why."""


def training_settings(config: SearchConfig) -> TrainingSettings:
    """Return the settings of a search that concern the training of each child."""
    names = {field.name for field in fields(TrainingSettings)}
    return TrainingSettings(**{k: v for k, v in vars(config).items() if k in names})


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python and of those packages that are installed under these names."""
    found = {"python": platform.python_version()}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


class SearchRun:
    """A search under way: its folder, its state, and the evaluation of children.

    Args:
        config: The settings.
        dataset: The images.
        callbacks: Told of the progress.
        started: When, as a value of `time.monotonic`.
        **recorded: More for config.json, or instead of what it says otherwise; `reference` is the
            reference point of another run, to compare with.
    """

    def __init__(
        self,
        config: SearchConfig,
        dataset: Dataset,
        callbacks: Sequence[Callback],
        started: float,
        **recorded: Any,
    ) -> None:
        self.config, self.callbacks, self.started = config, callbacks, started
        self.space = _SPACES[config.space]
        self.objectives: tuple[Objective, ...] = objectives_named(config.objectives)
        self.cheap = [
            CheapObjective(o.name, o.compute, o.scale) for o in self.objectives if o.cheap
        ]
        self.initial = self.space.initial_graphs(
            dataset.input_shape, dataset.num_classes, rescaling=dataset.rescaling()
        )
        self.num_workers = config.workers or default_num_workers(config.threads)
        configuration = {**self._configuration(dataset), **recorded}
        self.reference: Mapping[str, float] = configuration["reference"]
        workdir = config.workdir or default_workdir(config.dataset)
        self.store = RunStore.create(workdir, configuration)
        self.workload = Workload(
            num_initial=len(self.initial),
            num_generations=config.num_generations,
            num_accepted=config.num_accepted,
            num_workers=self.num_workers,
            share_distilled=share_distilled(self.space),
            num_training_images=len(dataset.x_train),
            num_evaluated_images=len(dataset.x_validation)
            + (0 if dataset.x_test is None else len(dataset.x_test)),
            settings=training_settings(config),
        )
        self.state = SearchState(
            config,
            self.store.path,
            num_expected=len(self.initial) + config.num_generations * config.num_accepted,
        )
        self.test_errors: dict[str, float | None] = {}
        self.lineage_epochs: dict[str, int] = {}  # of training, from the initial network on
        hours = config.max_hours
        self.deadline = None if hours is None else started + 3600 * hours

    def _configuration(self, dataset: Dataset) -> dict[str, Any]:
        return {
            **self.config.as_json(),
            "lemonade_tf": __version__,
            "versions": versions(("keras", "tensorflow", "numpy", "scikit-learn")),
            "backend": "tensorflow",
            "num_classes": dataset.num_classes,
            "input_shape": list(dataset.input_shape),
            "num_images": {
                "training": len(dataset.x_train),
                "validation": len(dataset.x_validation),
                "test": 0 if dataset.x_test is None else len(dataset.x_test),
            },
            "reference": reference_point(self.objectives, self.initial, dataset.num_classes),
        }

    # --- Algorithm 1 -------------------------------------------------------------------------

    def evolve(self, executor: Executor) -> bool:
        """Run the search; return whether it ran to its end."""
        self.tell("on_search_begin")
        self._estimate(executor)
        initial = self._train_initial(executor)
        generations = evolve(
            initial,
            propose=lambda parent, rng: self.space.propose(parent.graph, rng=rng),
            evaluate=partial(self.evaluate, executor),
            cheap=self.cheap,
            settings=EvolutionSettings(
                num_generations=self.config.num_generations,
                num_proposed=self.config.num_proposed,
                num_accepted=self.config.num_accepted,
                sampling=self.config.sampling,
                max_redraws=self.config.max_redraws,
            ),
            seed=self.config.seed,
            on_proposed=self.begin_generation,
        )
        complete = not self._out_of_time()
        for generation in generations if complete else ():
            self.end_generation(generation.population)
            complete = generation.complete
            if generation.number < self.config.num_generations and self._out_of_time():
                complete = False
            if not complete:
                break
        return complete

    def _estimate(self, executor: Executor) -> None:
        """Tell how long the search will take, unless that takes about as long itself."""
        if self.state.num_expected < FEWEST_NETWORKS:
            return
        graphs = [to_json(graph) for graph in self.initial]
        timings = measure(executor, graphs, num_workers=self.num_workers, deadline=self.deadline)
        if timings:
            self.state.estimate = estimate(timings, self.workload)
            self.tell("on_estimate")

    def _train_initial(self, executor: Executor) -> list[Individual]:
        """Train the initial networks (generation 0) and return those that did not fail."""
        individuals = [
            Individual(
                id=f"0-{number}",
                generation=0,
                parent=None,
                operators=(),
                graph=graph.copy(weights=False),
                cheap={c.name: c.measure(graph) for c in self.cheap},
            )
            for number, graph in enumerate(self.initial)
        ]
        evaluations = {e.id: e for e in self.evaluate(executor, individuals)}
        trained = [
            _evaluated(i, evaluations[i.id])
            for i in individuals
            if i.id in evaluations and evaluations[i.id].failure is None
        ]
        if not evaluations:
            raise SearchError(
                f"--max_hours, {self.config.max_hours:g}, passed before an initial network was"
                " trained; allow for more."
            )
        if not trained:
            failures = "; ".join(f"{e.id}: {e.failure}" for e in evaluations.values())
            raise SearchError(f"no initial network could be trained. {failures}")
        self.end_generation(update_front([], trained, [o.name for o in self.objectives]))
        return trained

    def begin_generation(self, number: int, proposals: Sequence[Proposal]) -> None:
        """Put the proposals of a generation, which begins, on record."""
        self.state.generation = number
        self.store.append_proposals([_proposal_record(p) for p in proposals])
        self.tell("on_generation_begin", proposals)

    def evaluate(self, executor: Executor, children: Sequence[Individual]) -> Iterator[Evaluation]:
        """Train children, or networks from scratch, and put them on record as they are done."""
        by_id = {child.id: child for child in children}
        tasks = [self._task(child) for child in children]
        for outcome in executor.run(tasks, deadline=self.deadline):
            yield self._record(by_id[outcome.task.id], outcome)

    def _task(self, individual: Individual) -> ChildTask:
        generation, attempt = map(int, individual.id.split("-"))
        seed = partial(child_seed, self.config.seed, generation, attempt)
        is_initial = individual.parent is None
        return ChildTask(
            id=individual.id,
            operators=individual.operators,
            output=str(self.store.staging_path(individual.id)),
            parent_file=None if is_initial else str(self.store.model_path(individual.parent)),
            architecture=to_json(individual.graph) if is_initial else None,
            weights_seed=seed(Purpose.WEIGHTS),
            training_seed=seed(Purpose.TRAINING),
            record={
                "id": individual.id,
                "generation": individual.generation,
                "parent": individual.parent,
                "operators": list(individual.operators),
                "cheap": dict(individual.cheap),
            },
        )

    # --- What comes back ---------------------------------------------------------------------

    def _record(self, individual: Individual, outcome: Outcome) -> Evaluation:
        """Put a trained or failed network on record."""
        evaluation = _evaluation(individual.id, outcome).checked(["error"])
        failed = evaluation.failure is not None
        if not failed:
            self.store.adopt_model(individual.id)
            self.test_errors[individual.id] = evaluation.details["test_error"]
        objectives = {**evaluation.expensive, **individual.cheap}
        before = self.lineage_epochs.get(individual.parent or "", 0)
        self.lineage_epochs[individual.id] = before + evaluation.details.get("epochs", 0)
        record = {
            "id": individual.id,
            "generation": individual.generation,
            "parent": individual.parent,
            "operators": list(individual.operators),
            "architecture": canonical_hash(individual.graph),
            "objectives": {o.name: objectives.get(o.name) for o in self.objectives},
            **evaluation.details,
            "lineage_epochs": self.lineage_epochs[individual.id],
            "seconds": dict(evaluation.seconds),
            "failure": evaluation.failure,
        }
        self.store.append_history(record)
        if failed:
            self.state.num_failed += 1
        else:
            self.state.num_trained += 1
            self._update_front([*self.state.front.values(), _evaluated(individual, evaluation)])
        self._update_clock()
        self.tell("on_network_end", record)
        return evaluation

    def _update_front(self, individuals: Iterable[Individual]) -> None:
        names = [o.name for o in self.objectives]
        oldest_first = sorted(individuals, key=lambda i: i.age_key)
        front = update_front([], oldest_first, names)  # whatever the order of completion
        if {i.id for i in front} != set(self.state.front):
            self.state.front = {i.id: i for i in front}
            self.state.hypervolume = front_hypervolume(
                self.objectives, [i.objectives for i in front], self.reference
            )
            self.store.write_front(self.rows(), names)

    def end_generation(self, population: Iterable[Individual]) -> None:
        """Keep the networks of the population only."""
        self.store.keep_models([individual.id for individual in population])
        self.tell("on_generation_end")

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of front.csv, from the smallest network on."""
        by_size = sorted(self.state.front.values(), key=lambda i: i.cheap[self.cheap[0].name])
        return [
            {
                "id": i.id,
                "file": f"models/{i.id}.h5",
                **{o.name: i.objectives[o.name] for o in self.objectives},
                "test_error": self.test_errors.get(i.id),
            }
            for i in by_size
        ]

    def end(self) -> None:
        """Leave the folder complete, however the search ended."""
        self._update_clock()
        self.store.keep_models(self.state.front)
        self.store.clear_staging()
        self.tell("on_search_end")

    # --- Helpers -----------------------------------------------------------------------------

    def _update_clock(self) -> None:
        state = self.state
        state.seconds = time.monotonic() - self.started
        done = state.num_trained + state.num_failed
        if done:
            left = (state.num_expected - done) * state.seconds / done
            if self.deadline is not None:
                left = min(left, max(0.0, self.deadline - time.monotonic()))
            state.seconds_left = left

    def _out_of_time(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def tell(self, event: str, *arguments: Any) -> None:
        """Tell the callbacks of an event: the name of their method, and what comes after state."""
        for callback in self.callbacks:
            getattr(callback, event)(self.state, *arguments)


def _evaluated(individual: Individual, evaluation: Evaluation) -> Individual:
    return replace(individual, expensive=evaluation.expensive)


def _evaluation(name: str, outcome: Outcome) -> Evaluation:
    """Return what the evolution needs to know of a task's outcome."""
    if outcome.failure is not None:
        return Evaluation(name, failure=outcome.failure)
    result = outcome.result
    if result.failure is not None:
        return Evaluation(name, failure=result.failure, seconds=result.seconds)
    details = {
        "test_error": result.test_error,
        "epochs": result.epochs,
        "batch_size": result.batch_size,
        "num_images": result.num_images,
        "losses": list(result.losses),
        "distillation_losses": list(result.distillation_losses),
    }
    return Evaluation(name, {"error": result.error}, seconds=result.seconds, details=details)


def _proposal_record(proposal: Proposal) -> dict[str, Any]:
    individual = proposal.individual
    return {
        "id": individual.id,
        "generation": individual.generation,
        "parent": individual.parent,
        "operators": list(individual.operators),
        "cheap": dict(individual.cheap),
        "outcome": proposal.outcome,
        "duplicate_of": proposal.duplicate_of,
    }
