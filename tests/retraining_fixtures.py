"""An executor that trains nothing, for tests of the drivers of final training."""

from contextlib import contextmanager

from lemonade_tf.executors import Outcome
from lemonade_tf.workers.retraining_task import RetrainResult


class Killed(BaseException):
    """Simulates a kill of the driver."""


class FakeExecutor:
    """An executor that trains nothing, but writes the files of a worker.

    Attributes:
        tasks: The tasks so far.
        failures: Failures to report, by id.
        dies_at: Id of the network during whose training the driver is killed.
    """

    def __init__(self):
        self.tasks, self.failures, self.dies_at = [], {}, None

    @contextmanager
    def __call__(self, setup, config, **options):
        dataset, _ = setup.source.load()
        self.dataset, self.num_images = dataset.name, len(dataset.x_train)
        self.setup, self.settings = setup, setup.settings
        self.options = options
        yield self

    def run(self, tasks):
        for task in tasks:
            self.tasks.append(task)
            with open(task.checkpoint, "w") as file:
                file.write("a checkpoint")
            if task.id == self.dies_at:
                raise Killed
            failure = self.failures.get(task.id)
            result = RetrainResult(task.id, failure=failure)
            if failure is None:
                with open(task.output, "w") as file:
                    file.write("from scratch")
                result = RetrainResult(task.id, test_error=0.125, losses=(2.0, 1.5), seconds=7.0)
            yield Outcome(task, result, None, 0, 9.0)

    @property
    def ids(self):
        """The trained networks, in order."""
        return [task.id for task in self.tasks]
