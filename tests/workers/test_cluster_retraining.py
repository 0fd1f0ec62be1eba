"""What the machines of a cluster agree on; tests/retraining/test_cluster.py trains on two."""

import numpy as np
import pytest
import tensorflow as tf

from lemonade_tf.workers import cluster_retraining
from lemonade_tf.workers.cluster_retraining import ClusterError, ClusterRetrainer
from lemonade_tf.workers.retraining_task import FollowTask, RetrainResult, RetrainTask


class Backend:
    """A backend whose chief sends what the test prepares."""

    def __init__(self, *contents):
        self.contents = list(contents)

    def broadcast(self, content=b""):
        return self.contents.pop(0)

    def is_lost_machine(self, error):
        return isinstance(error, tf.errors.UnavailableError)


@pytest.fixture
def retrainer(monkeypatch):
    """Return a function that makes a retrainer with a backend, and a result or an error."""

    def make(backend, result=None):
        def train(task):
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(cluster_retraining, "current_backend", lambda: backend)
        monkeypatch.setattr(cluster_retraining, "Retrainer", lambda *_, **__: train)
        return ClusterRetrainer(None, None)

    return make


@pytest.fixture
def task():
    seed = np.random.SeedSequence(0)
    return RetrainTask("3-1", "source", "output", "checkpoint", 60.0, seed, seed)


def test_other_settings_than_those_of_the_chief_are_refused(retrainer):
    sent = b'{"architecture": "", "seeds": [], "settings": {"epochs": 1, "seed": 0}}'
    expected = "differ from those of the chief: --epochs is 2 here, 1 there. Run the same command"
    with pytest.raises(ClusterError, match=expected):
        retrainer(Backend(sent, b""))(FollowTask({"epochs": 2, "seed": 0}))


def test_a_machine_follows_until_the_chief_ends(retrainer):
    assert retrainer(Backend(b""))(FollowTask({})) is None


def test_a_lost_machine_ends_the_training(retrainer, task):
    message = "Graph execution error:\n\nCollective ops is aborted by: Connection reset\nMore"
    lost = tf.errors.UnavailableError(None, None, message)
    with pytest.raises(ClusterError, match=r"cannot be reached \(Connection reset\); rerun"):
        retrainer(Backend(), lost)(task)


def test_divergence_is_a_result_on_all_machines_but_other_failures_end_the_training(
    retrainer, task
):
    diverged = RetrainResult("3-1", failure="diverged: the loss is nan", diverged=True)
    assert retrainer(Backend(), diverged)(task) is diverged
    with pytest.raises(ClusterError, match="the disk is full"):
        retrainer(Backend(), RetrainResult("3-1", failure="the disk is full"))(task)
