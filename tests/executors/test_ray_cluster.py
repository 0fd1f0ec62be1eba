"""Workers on a Ray cluster whose nodes are processes of this machine."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import executor_toys as toys
import pytest

from lemonade_tf.executors import RayExecutor, WorkerSetupError, default_gpus_on_ray
from lemonade_tf.executors.ray_pool import num_that_fit

ROOT = Path(__file__).parents[2]
LONG = 60.0  # seconds; no step takes this long


def _wait(condition, what):
    end = time.monotonic() + LONG
    while not (value := condition()):
        assert time.monotonic() < end, f"{what}: not after {LONG} seconds"
        time.sleep(0.05)
    return value


def _is_alive(process):
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def _until(end, task):
    """Yield a task until a time, so that the number of tasks is not known."""
    while time.monotonic() < end:
        yield task


def _folders(parent="/tmp"):
    return set(Path(parent).glob(f"lemonade_tf-{os.getuid()}-node-*"))


@pytest.mark.parametrize(
    ("resources", "cpus", "gpus", "number"),
    [
        ({"CPU": 8.0}, 1, 0.0, 8),
        ({"CPU": 8.0}, 3, 0.0, 2),
        ({"CPU": 8.0, "GPU": 2.0}, 1, 1.0, 2),
        ({"CPU": 8.0, "GPU": 2.0}, 1, 0.5, 4),
        ({"CPU": 8.0, "GPU": 2.0}, 1, 0.4, 4),
        ({"CPU": 8.0, "GPU": 2.0}, 1, 1 / 3, 6),
        ({"CPU": 3.0, "GPU": 2.0}, 1, 0.5, 3),
        ({"CPU": 8.0, "GPU": 3.0}, 1, 2.0, 1),
        ({"CPU": 8.0}, 1, 0.5, 0),
        ({"memory": 1e9}, 1, 0.0, 0),
    ],
)
def test_the_number_of_workers_follows_from_the_resources(resources, cpus, gpus, number):
    assert num_that_fit(resources, cpus, gpus) == number


@pytest.mark.parametrize(
    ("resources", "gpus"),
    [
        ({"CPU": 8.0}, 0.0),
        ({"CPU": 64.0, "GPU": 2.0}, 0.25),
        ({"CPU": 8.0, "GPU": 2.0}, 0.5),
        ({"CPU": 2.0, "GPU": 2.0}, 1.0),
    ],
)
def test_workers_share_gpus_by_default_if_there_are_cpus_for_them(monkeypatch, resources, gpus):
    monkeypatch.setattr("ray.cluster_resources", lambda: resources)
    assert default_gpus_on_ray() == gpus


@pytest.mark.parametrize("option", ["num_workers", "max_num_workers", "threads"])
def test_numbers_are_checked(option):
    with pytest.raises(ValueError, match=f"{option} is 0; expected an integer of at least 1"):
        RayExecutor(toys.plain, **{option: 0})


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
class TestWorkers:
    def test_a_death_fails_one_task(self, tmp_path):
        log_dir = tmp_path / "logs"
        tasks = [("shout",), ("kill_itself", 9), ("square", 3), ("loop_in_c",), ("square", 4)]
        with RayExecutor(toys.plain, num_workers=1, task_timeout=2, log_dir=log_dir) as executor:
            outcomes = list(executor.run(tasks))
        assert [outcome.result for outcome in outcomes] == [None, None, 9, None, 16]
        _, dead, _, hung, _ = outcomes
        assert (dead.cause, hung.cause) == ("died", "timed_out")
        assert dead.failure.startswith(f"worker 0 on {os.uname().nodename} was killed by signal 9")
        assert "was stopped after 2.0 seconds; the time limit is 2 seconds" in hung.failure
        log = (log_dir / "worker-0.log").read_text()
        assert log == "this is standard output\nthis is standard error\nlast words\n"
        assert dead.log == log.rstrip()

    def test_workers_are_as_many_as_the_cluster_allows(self, add_node):
        add_node(num_cpus=1)
        with RayExecutor(toys.plain) as executor:
            assert executor.num_workers == 3
            outcomes = list(executor.run([("sleep", 0.5)] * 12))
        assert {outcome.worker for outcome in outcomes} == {0, 1, 2}
        with RayExecutor(toys.plain, threads=2) as executor:
            assert executor.num_workers == 1
        with RayExecutor(toys.plain, max_num_workers=2) as executor:
            assert executor.num_workers == 2

    def test_files_travel(self, tmp_path):
        for name in ("a", "b"):
            (tmp_path / name).write_text(name)
        (tmp_path / "counter").write_text("2")
        tasks = [
            toys.Copy(*(str(tmp_path / name) for name in names), last=last)
            for names, last in ((("a", "c"), 0), (("b", "d", "counter"), 4), (("c", "e"), 0))
        ]
        before = _folders()
        with RayExecutor(toys.plain, num_workers=1) as executor:
            first, second, third = executor.run(tasks)
        assert [outcome.task for outcome in (first, second, third)] == tasks
        assert second.result[0] == 2
        contents = [(tmp_path / name).read_text() for name in ("c", "d", "e", "counter")]
        assert contents == ["a", "b", "a", "4"]
        assert not any(str(tmp_path) in outcome.result[1] for outcome in (first, second, third))
        assert _folders() == before

    def test_updated_files_arrive_while_the_task_runs(self, tmp_path, monkeypatch):
        monkeypatch.setattr("lemonade_tf.executors.ray_pool._UPDATE_SECONDS", 0.2)
        monkeypatch.setattr("lemonade_tf.executors.ray_pool._TICK", 0.1)
        (tmp_path / "a").write_text("a")
        counter = tmp_path / "counter"
        task = toys.Copy(str(tmp_path / "a"), str(tmp_path / "b"), str(counter), last=10_000)
        with RayExecutor(toys.plain, num_workers=1, task_timeout=3) as executor:
            [outcome] = executor.run([task])
        assert outcome.cause == "timed_out"
        reached = int(counter.read_text())
        assert reached > 1
        with RayExecutor(toys.plain, num_workers=1) as executor:
            [outcome] = executor.run([toys.Copy(task.source, task.target, task.counter, reached)])
        assert outcome.result[0] == reached
        assert (tmp_path / "b").read_text() == "a"

    def test_a_file_that_cannot_be_written_here_is_a_failure_with_its_number(self, tmp_path):
        (tmp_path / "a").write_text("a")
        task = toys.Copy(str(tmp_path / "a"), str(tmp_path / "missing" / "b"))
        with RayExecutor(toys.plain, num_workers=1) as executor:
            failed, other = executor.run([task, ("square", 2)])
        assert (failed.cause, failed.errno, other.result) == ("raised", 2, 4)

    def test_the_files_of_a_setup_exist_once_per_node(self, tmp_path):
        path = tmp_path / "images.npy"
        path.write_text("images")
        with RayExecutor(toys.Reads(str(path)), num_workers=2) as executor:
            results = {outcome.result for outcome in executor.run(["task", "task"] * 20)}
        [(copy, content)] = results
        assert content == "images"
        assert Path(copy).name == "images.npy"
        assert copy != str(path)

    def test_repeated_deaths_in_setup_are_an_error(self):
        message = r"3 times in a row a worker was killed by signal 9"
        with (
            RayExecutor(toys.dies_in_setup, num_workers=1) as executor,
            pytest.raises(WorkerSetupError, match=message),
        ):
            list(executor.run([("square", 2)]))

    def test_another_version_on_a_node_is_an_error(self, monkeypatch):
        monkeypatch.setattr("lemonade_tf.executors.ray_pool.__version__", "99")
        with (
            RayExecutor(toys.plain, num_workers=1) as executor,
            pytest.raises(
                WorkerSetupError, match=r"has version .* of lemonade_tf, this machine 99;"
            ),
        ):
            list(executor.run([("square", 2)]))

    def test_a_later_node_with_another_version_is_not_used(self, monkeypatch, caplog):
        with RayExecutor(toys.plain, num_workers=3) as executor:
            assert [o.result for o in executor.run([("square", 2)])] == [4]
            monkeypatch.setattr("lemonade_tf.executors.ray_pool.__version__", "99")
            outcomes = list(executor.run([("sleep", 2.5)] * 2))
            assert [outcome.failure for outcome in outcomes] == [None, None]
            assert executor.num_workers < 3
        assert "this machine 99; install the same version" in caplog.text

    def test_closing_ends_the_run_and_its_tasks(self, tmp_path):
        path = tmp_path / "process"
        executor = RayExecutor(toys.plain, num_workers=2)
        outcomes = executor.run([("write_pid_and", str(path), "loop_in_c"), ("square", 1)])
        assert next(outcomes).result == 1
        process = int(_wait(lambda: path.exists() and path.read_text(), "the task"))
        executor.close()
        assert list(outcomes) == []
        _wait(lambda: not _is_alive(process), "the worker's end")

    def test_closing_the_iterator_aborts_its_tasks(self, tmp_path):
        path = tmp_path / "process"
        with RayExecutor(toys.plain, num_workers=2) as executor:
            outcomes = executor.run([("write_pid_and", str(path), "loop_in_c"), ("square", 1)])
            next(outcomes)
            process = int(_wait(lambda: path.exists() and path.read_text(), "the task"))
            outcomes.close()
            _wait(lambda: not _is_alive(process), "the worker's end")
            results = {outcome.result for outcome in executor.run([("square", n) for n in (1, 2)])}
        assert results == {1, 4}

    def test_an_idle_worker_that_is_lost_fails_no_task(self):
        with RayExecutor(toys.plain, num_workers=1) as executor:
            list(executor.run([("square", 1)]))
            [worker] = executor._pool.idle
            kill(worker.actor)
            assert [outcome.result for outcome in executor.run([("square", 2)])] == [4]


def kill(actor):
    """Kill an actor, and wait until it is dead, which takes Ray a moment."""
    ray = __import__("ray")
    ray.kill(actor)
    try:
        for _ in range(1000):
            ray.get(actor.describe.remote())
            time.sleep(0.01)
    except ray.exceptions.RayActorError:
        return
    raise AssertionError(f"{actor} still runs")


@pytest.mark.slow
class TestNodes:
    def test_a_lost_node_fails_its_tasks_and_a_new_one_is_used(self, ray_cluster, add_node):
        node = add_node(num_cpus=1, env_vars={"NODE": "lost"})

        def tasks():
            yield from [("environment", "NODE")] * 30
            yield "sleep_if", "NODE", "lost"
            yield "sleep_if", "NODE", "lost"
            yield "sleep_if", "NODE", "lost"

        with RayExecutor(toys.plain) as executor:
            assert executor.num_workers == 3
            outcomes = executor.run(tasks())
            seen = []
            for outcome in outcomes:
                seen.append(outcome)
                if len(seen) == 32:  # all but the one on the node
                    ray_cluster.remove_node(node, allow_graceful=False)
            [lost] = [outcome for outcome in seen if outcome.failure is not None]
            assert len(seen) == 33
            assert lost.cause == "died"
            assert "was lost: " in lost.failure
            _wait(lambda: executor.num_workers == 2, "the loss of the node")
            add_node(num_cpus=1, env_vars={"NODE": "new"})
            _wait(lambda: executor.num_workers == 3, "the new node")
            end, nodes = time.monotonic() + 120, set()
            more = (("sleepy_environment", "NODE") for _ in iter(lambda: "new" in nodes, True))
            for outcome in executor.run(more, deadline=end):
                nodes.update(outcome.result)
        assert {"new"} <= nodes <= {None, "new"}

    def test_a_worker_that_waits_for_a_gpu_is_reported_and_starts_later(
        self, add_node, caplog, monkeypatch
    ):
        monkeypatch.setattr("lemonade_tf.executors.ray_pool._LONG", 0.5)
        task = ("environment", "CUDA_VISIBLE_DEVICES", "TF_FORCE_GPU_ALLOW_GROWTH")
        with RayExecutor(toys.plain, gpus_per_worker=0.5) as executor:
            assert executor.num_workers == 1
            end = time.monotonic() + 3
            with caplog.at_level(logging.WARNING):
                assert list(executor.run(_until(end, task), deadline=end)) == []
            [line] = [record.getMessage() for record in caplog.records]
            assert line.startswith(
                "Ray has placed 0 of 1 workers so far: each needs 1 CPUs and 0.5 GPUs."
            )
            add_node(num_cpus=2, num_gpus=1)
            _wait(lambda: executor.num_workers == 2, "the new node")
            outcomes = list(executor.run([("sleep", 0.5), task] * 4))
        assert {outcome.worker for outcome in outcomes} == {0, 1}
        assert [o.result for o in outcomes if o.task is task] == 4 * [["0", "true"]]


SCRIPT = """
import sys
sys.path.insert(0, {toys!r})
import executor_toys as toys
from lemonade_tf.executors import RayExecutor
with RayExecutor(toys.plain, address={address!r}, num_workers=1) as executor:
    list(executor.run([("write_pid_and", {path!r}, "loop_in_c")]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_the_driver(ray_cluster, tmp_path, number):
    path = tmp_path / "process"
    toys_dir, address = str(Path(toys.__file__).parent), ray_cluster.address
    script = SCRIPT.format(toys=toys_dir, address=address, path=str(path))
    driver = subprocess.Popen(
        [sys.executable, "-c", script],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    process = int(_wait(lambda: path.exists() and path.read_text(), "the task"))
    driver.send_signal(number)
    _, errors = driver.communicate(timeout=LONG)
    assert driver.returncode == -number
    assert ("KeyboardInterrupt" in errors) == (number == signal.SIGINT)
    _wait(lambda: not _is_alive(process), "the worker's end")
