"""Worker processes: replacement, messages, environment and shutdown."""

import math
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import executor_toys as toys
import pytest

from lemonade_tf.executors import ProcessExecutor, WorkerSetupError
from lemonade_tf.executors.process_pool import _timeout_message

ROOT = Path(__file__).parents[2]
LONG = 30.0  # seconds; no step takes this long


def _wait(condition, what):
    """Wait until a condition holds, and return its value."""
    end = time.monotonic() + LONG
    while not (value := condition()):
        assert time.monotonic() < end, f"{what}: not after {LONG} seconds"
        time.sleep(0.01)
    return value


def _is_alive(process):
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def _process_in(path):
    """Wait until a task has written its process id to a file, and return it."""
    return int(_wait(lambda: path.exists() and path.read_text(), f"the task of {path.name}"))


def _servers(process):
    """Return the process ids of the servers that a process started."""
    children = _children(process)
    return [p for p in children if b"executors.server" in Path(f"/proc/{p}/cmdline").read_bytes()]


def _children(process):
    """Return the process ids of all descendants of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == process:
            child = int(stat.parent.name)
            found += [child, *_children(child)]
    return found


class TestReplacement:
    @pytest.mark.parametrize(
        ("task", "failure"),
        [
            (("kill_itself", 9), r"was killed by signal 9 \(SIGKILL; often out of memory\)"),
            (("kill_itself", 10), r"was killed by signal 10 \(SIGUSR1\)"),
            (("crash",), r"was killed by signal 11 \(SIGSEGV; a crash in compiled code\)"),
            (("leave", 3), "ended with exit status 3"),
            (("leave_at_once", 0), "ended with exit status 0"),
        ],
    )
    def test_a_death_fails_one_task(self, tmp_path, task, failure):
        tasks = [("square", 1), ("square", 2), task, ("square", 3), ("square", 4)]
        path = tmp_path / "setups"
        with ProcessExecutor(toys.Count(path), num_workers=2) as executor:
            outcomes = list(executor.run(tasks))
        assert sorted(o.result for o in outcomes if o.failure is None) == [1, 4, 9, 16]
        [dead] = [outcome for outcome in outcomes if outcome.failure is not None]
        assert dead.task is task
        assert dead.result is None
        assert re.fullmatch(f"worker {dead.worker} {failure}", dead.failure)
        if task[0] == "kill_itself":
            assert dead.log == "last words"
        if task[0] == "crash":
            assert "Fatal Python error: Segmentation fault" in dead.log

    def test_all_workers_may_die_repeatedly(self, tmp_path):
        path = tmp_path / "setups"
        tasks = [("kill_itself", 9), ("square", 1), ("leave_at_once", 1)] * 4
        with ProcessExecutor(toys.Count(path), num_workers=3) as executor:
            outcomes = list(executor.run(tasks))
        assert len(outcomes) == 12
        assert sum(outcome.failure is None for outcome in outcomes) == 4
        assert 8 <= len(path.read_text().splitlines()) <= 8 + 3

    def test_an_idle_worker_that_dies_fails_no_task(self):
        with ProcessExecutor(toys.plain, num_workers=1) as executor:
            [before] = executor.run([("process",)])
            os.kill(before.result, signal.SIGKILL)
            _wait(lambda: not _is_alive(before.result), "the worker's end")
            [after] = executor.run([("process",)])
        assert after.failure is None
        assert after.result != before.result

    def test_workers_are_replaced_after_a_number_of_tasks(self, tmp_path):
        path = tmp_path / "setups"
        with ProcessExecutor(toys.Count(path), num_workers=1, max_tasks_per_worker=3) as executor:
            processes = [outcome.result for outcome in executor.run([("process",)] * 8)]
            assert [processes.index(process) for process in processes] == [0, 0, 0, 3, 3, 3, 6, 6]
            _wait(lambda: not _is_alive(processes[0]), "the first worker's end")
        assert list(map(int, path.read_text().split())) == list(dict.fromkeys(processes))

    def test_a_task_that_hangs_is_a_failure(self):
        tasks = [("square", 1), ("loop_in_c",), ("square", 2)]
        with ProcessExecutor(toys.plain, num_workers=2, task_timeout=0.5) as executor:
            outcomes = {outcome.task: outcome for outcome in executor.run(tasks)}
        hung = outcomes[("loop_in_c",)]
        assert re.fullmatch(
            rf"worker {hung.worker} was stopped after \d+\.\d seconds;"
            r" the time limit is 0\.5 seconds",
            hung.failure,
        )
        assert 0.5 <= hung.seconds < LONG
        assert outcomes[("square", 2)].result == 4

    def test_a_long_time_limit_is_shown_in_hours(self):
        message = _timeout_message(43_201.0, 43_200.0)
        assert message == "after 12.0 hours; the time limit is 12 hours"

    def test_limits_may_exceed_the_longest_wait_of_the_system(self):
        years = 1e9
        tasks = (("square", number) for number in (1, 2))
        with ProcessExecutor(toys.plain, num_workers=1, task_timeout=years) as executor:
            outcomes = list(executor.run(tasks, deadline=time.monotonic() + years))
        assert [outcome.result for outcome in outcomes] == [1, 4]

    def test_running_tasks_are_aborted_without_an_outcome(self):
        with ProcessExecutor(toys.plain, num_workers=2) as executor:
            tasks = iter([("square", 2), ("sleep", 600), ("sleep", 600), ("square", 3)])
            outcomes = []
            for outcome in executor.run(tasks):
                outcomes.append(outcome.result)
                executor.abort_at = time.monotonic() + 0.2
            assert outcomes == [4]
            assert list(executor.run([("square", 3)])) == []
            executor.abort_at = math.inf
            assert [outcome.result for outcome in executor.run([("square", 3)])] == [9]

    def test_a_wait_without_an_answer_is_repeated(self, monkeypatch):
        monkeypatch.setattr("lemonade_tf.executors.process_pool._LONGEST_WAIT", 0.02)
        with ProcessExecutor(toys.plain, num_workers=1) as executor:
            outcomes = list(executor.run([("sleep", 0.3), ("square", 2)]))
        assert [outcome.failure for outcome in outcomes] == [None, None]

    def test_a_worker_that_dies_in_its_setup_is_replaced(self, tmp_path):
        with ProcessExecutor(toys.DiesOnce(tmp_path / "died"), num_workers=1) as executor:
            assert [outcome.result for outcome in executor.run([("square", 2)])] == [4]

    def test_repeated_deaths_in_setup_are_an_error(self):
        message = r"3 times in a row a worker was killed by signal 9"
        with (
            ProcessExecutor(toys.dies_in_setup, num_workers=1) as executor,
            pytest.raises(WorkerSetupError, match=message) as raised,
        ):
            list(executor.run([("square", 2)]))
        assert raised.value.log == "about to die"

    def test_the_death_of_the_server_fails_the_running_tasks(self):
        with ProcessExecutor(toys.plain, num_workers=2) as executor:
            list(executor.run([("square", 1)] * 4))
            outcomes = executor.run([("sleep", 600), *(("square", n) for n in (1, 2, 3, 4))])
            assert next(outcomes).result == 1
            [server] = [p for p in _servers(os.getpid()) if len(_children(p)) == 2]
            os.kill(server, signal.SIGKILL)
            rest = {outcome.task: outcome for outcome in outcomes}
        assert rest[("sleep", 600)].failure == (
            "the worker server was killed by signal 9 (SIGKILL; often out of memory)"
        )
        assert [rest["square", number].result for number in (3, 4)] == [9, 16]


class TestMessages:
    @pytest.mark.parametrize(
        ("task", "failure"),
        [
            (("unpicklable",), "PicklingError|AttributeError|TypeError"),
            (("unreadable",), "the result cannot be unpickled: ValueError: invalid literal"),
        ],
    )
    def test_a_result_that_cannot_be_pickled_is_a_failure(self, task, failure):
        with ProcessExecutor(toys.plain, num_workers=1) as executor:
            first, second = executor.run([task, ("square", 2)])
        assert second.result == 4
        assert re.match(failure, first.failure)

    def test_a_large_task_is_transferred(self):
        data = bytes(20_000_000)
        with ProcessExecutor(toys.plain, num_workers=1) as executor:
            [outcome] = executor.run([("bytes", data)])
            [failed] = executor.run([("fail", "no")])
        assert outcome.failure == "KeyError: 'bytes'"
        assert failed.failure == "ValueError: no"

    def test_a_task_that_cannot_be_pickled_is_an_exception(self):
        with ProcessExecutor(toys.plain, num_workers=1) as executor:
            with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
                list(executor.run([("square", lambda: None)]))
            assert [outcome.result for outcome in executor.run([("square", 2)])] == [4]

    @pytest.mark.parametrize("option", ["num_workers", "threads", "max_tasks_per_worker"], ids=str)
    @pytest.mark.parametrize("number", [0, -1, 1.5, True])
    def test_numbers_are_checked(self, option, number):
        options = {"num_workers": 1, option: number}
        with pytest.raises(
            ValueError, match=f"{option} is {number}; expected an integer of at least 1"
        ):
            ProcessExecutor(toys.plain, **options)

    def test_a_second_run_at_a_time_is_refused(self):
        with ProcessExecutor(toys.plain, num_workers=1) as executor:
            first = executor.run([("square", 1)] * 3)
            next(first)
            with pytest.raises(RuntimeError, match="is running other tasks; exhaust or close"):
                next(executor.run([("square", 2)]))
            assert len(list(first)) == 2

    def test_a_closed_executor_refuses_tasks(self):
        executor = ProcessExecutor(toys.plain, num_workers=1)
        executor.close()
        with pytest.raises(RuntimeError, match="is closed; create a new one"):
            list(executor.run([("square", 2)]))

    def test_closing_ends_the_run(self):
        with ProcessExecutor(toys.plain, num_workers=1) as executor:
            outcomes = executor.run([("square", 1)] * 3)
            next(outcomes)
            executor.close()
            assert list(outcomes) == []


class TestEnvironment:
    NAMES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "CUDA_VISIBLE_DEVICES")

    def _environments(self, **options):
        task = ("environment", *self.NAMES)
        with ProcessExecutor(toys.plain, **options) as executor:
            list(executor.run([("sleep", 0.1)] * options["num_workers"]))
            outcomes = list(executor.run([("sleep", 0.1), task] * options["num_workers"]))
        return {o.worker: o.result for o in outcomes if o.task is task}

    def test_the_number_of_threads_is_set(self, monkeypatch):
        monkeypatch.setenv("OMP_NUM_THREADS", "64")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        [found] = self._environments(num_workers=1, threads=2).values()
        assert found == ["2", "2", None]
        assert os.environ["OMP_NUM_THREADS"] == "64"

    def test_each_worker_has_a_gpu(self, monkeypatch):
        monkeypatch.setattr("lemonade_tf.executors.process_pool.visible_gpus", lambda: ("4", "7"))
        found = self._environments(num_workers=3)
        assert {slot: values[2] for slot, values in found.items()}.items() <= {
            (0, "4"),
            (1, "7"),
            (2, "4"),
        }

    def test_output_is_written_to_a_file(self, tmp_path, capfd):
        with ProcessExecutor(toys.plain, num_workers=1, log_dir=tmp_path / "logs") as executor:
            list(executor.run([("shout",)]))
            [dead] = executor.run([("kill_itself", 9)])
        log = (tmp_path / "logs/worker-0.log").read_text()
        assert log == "this is standard output\nthis is standard error\nlast words\n"
        assert dead.log == log.rstrip()
        assert capfd.readouterr() == ("", "")

    def test_output_is_discarded_without_a_folder(self, capfd):
        with ProcessExecutor(toys.plain, num_workers=1) as executor:
            list(executor.run([("shout",)]))
        assert capfd.readouterr() == ("", "")

    def test_workers_ignore_ctrl_c_and_sigterm(self):
        with ProcessExecutor(toys.plain, num_workers=1) as executor:
            assert [o.result for o in executor.run([("interrupted",)])] == ["still here"]

    def test_modules_are_preloaded(self):
        names = ("colorsys", "wave", "chunk")
        with ProcessExecutor(toys.plain, num_workers=1, preload=["colorsys", "wave"]) as executor:
            [outcome] = executor.run([("modules", *names[:2], "sndhdr")])
        assert outcome.result == [True, True, False]

    @pytest.mark.parametrize(
        ("module", "message"),
        [
            ("no_such_module", r"no_such_module \(ModuleNotFoundError: .*\); install it"),
            (
                "keras",
                r"keras \(ValueError: Invalid `floatx` .*\); correct or remove ~/.keras/kera",
            ),
        ],
    )
    def test_a_module_that_cannot_be_imported_is_an_error(
        self, module, message, tmp_path, monkeypatch
    ):
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        (tmp_path / "keras.json").write_text('{"floatx": "bfloat16"}')
        with (
            ProcessExecutor(toys.plain, num_workers=2, preload=[module]) as executor,
            pytest.raises(WorkerSetupError, match=message) as raised,
        ):
            list(executor.run([("square", 2)]))
        assert "Traceback" in raised.value.log


class TestClosing:
    def test_closing_stops_busy_workers(self, tmp_path):
        busy = ["sleep_in_c", "loop_in_python", "loop_in_c"]
        with ProcessExecutor(toys.plain, num_workers=4) as executor:
            list(executor.run([("square", 1)] * 8))
            outcomes = executor.run(
                [*(("write_pid_and", tmp_path / name, name) for name in busy), ("square", 1)]
            )
            assert next(outcomes).result == 1
            processes = [_process_in(tmp_path / name) for name in busy]
            before = time.monotonic()
        assert time.monotonic() - before < 2
        assert not any(map(_is_alive, processes))
        assert list(outcomes) == []

    def test_closing_the_iterator_aborts_its_tasks(self, tmp_path):
        path = tmp_path / "process"
        with ProcessExecutor(toys.plain, num_workers=2) as executor:
            outcomes = executor.run([("write_pid_and", path, "loop_in_c"), ("square", 1)])
            next(outcomes)
            process = _process_in(path)
            outcomes.close()
            _wait(lambda: not _is_alive(process), "the worker's end")
            tasks = [("square", number) for number in range(6)]
            assert len({outcome.result for outcome in executor.run(tasks)}) == 6

    def test_deleting_an_executor_kills_its_workers(self):
        executor = ProcessExecutor(toys.plain, num_workers=1)
        [outcome] = executor.run([("process",)])
        assert _is_alive(outcome.result)
        del executor
        assert not _is_alive(outcome.result)


# A user's script without `if __name__ == "__main__"`.
SCRIPT = """
import os, sys, time
sys.path.insert(0, {toys!r})
from lemonade_tf.executors import ProcessExecutor
import executor_toys as toys
print("runs", flush=True)
with ProcessExecutor(toys.plain, num_workers=3, preload={preload!r}) as executor:
    {body}
print("tensorflow" in sys.modules)
"""


def _script(body, preload=()):
    toys_dir = str(Path(toys.__file__).parent)
    return SCRIPT.format(toys=toys_dir, body=body, preload=list(preload))


def _start(arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdin=options.pop("stdin", subprocess.DEVNULL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def _output(process, given=None):
    output, errors = process.communicate(given, timeout=LONG)
    assert errors == ""
    assert process.returncode == 0
    return output.splitlines()


SQUARES = "print(sorted(o.result for o in executor.run([('square', n) for n in range(5)])))"


class TestScripts:
    def test_a_plain_script_is_run_once(self, tmp_path):
        (tmp_path / "plain.py").write_text(_script(SQUARES))
        expected = ["runs", "[0, 1, 4, 9, 16]", "False"]
        assert _output(_start([str(tmp_path / "plain.py")])) == expected

    def test_a_script_run_as_a_module(self, tmp_path):
        (tmp_path / "plain.py").write_text(_script(SQUARES))
        expected = ["runs", "[0, 1, 4, 9, 16]", "False"]
        assert _output(_start(["-m", "plain"], cwd=tmp_path)) == expected

    def test_a_script_from_a_pipe(self):
        process = _start(["-"], stdin=subprocess.PIPE)
        assert _output(process, _script(SQUARES)) == ["runs", "[0, 1, 4, 9, 16]", "False"]

    def test_a_setup_of_the_script_is_refused(self, tmp_path):
        body = (
            "executor.close()\ndef mine(): return print\n"
            "try: ProcessExecutor(mine, num_workers=1)\n"
            "except Exception as error: print(error)"
        )
        (tmp_path / "plain.py").write_text(_script(body))
        [_, message, _] = _output(_start([str(tmp_path / "plain.py")]))
        assert message.startswith("mine is defined in the main script, which workers do not run;")

    def test_workers_do_not_import_the_script(self, tmp_path):
        body = "print([o.result for o in executor.run([('is_main', 'toys')])])"
        (tmp_path / "plain.py").write_text(_script(body))
        assert _output(_start([str(tmp_path / "plain.py")])) == ["runs", "[False]", "False"]

    def test_tensorflow_is_imported_once_and_not_here(self, tmp_path):
        body = (
            "print([o.result for o in executor.run([('modules', 'tensorflow', 'keras')] * 2 + "
            "[('count_tensorflow_threads',)] * 2)])"
        )
        (tmp_path / "plain.py").write_text(_script(body, ["keras", "tensorflow"]))
        expected = ["runs", "[[True, True], [True, True], (1, 1), (1, 1)]", "False"]
        assert _output(_start([str(tmp_path / "plain.py")])) == expected


def _start_busy(tmp_path):
    """Start a driver with workers that are busy in different ways; return it and its processes."""
    names = ["sleep_in_c", "loop_in_python", "loop_in_c"]
    tasks = [("write_pid_and", str(tmp_path / name), name) for name in names]
    driver = _start(["-c", _script(f"list(executor.run({tasks!r}))")], start_new_session=True)
    workers = {_process_in(tmp_path / name) for name in names}
    processes = _children(driver.pid)
    assert workers <= set(processes)
    assert len(processes) == 4
    return driver, processes


class TestDriverExit:
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    def test_no_worker_outlives_a_killed_driver(self, tmp_path, number):
        driver, processes = _start_busy(tmp_path)
        os.kill(driver.pid, number)
        _wait(lambda: not any(map(_is_alive, processes)), "the workers' end")
        assert driver.wait(LONG) == -number
        assert driver.communicate() == ("runs\n", "")

    def test_ctrl_c_ends_all_processes(self, tmp_path):
        driver, processes = _start_busy(tmp_path)
        os.killpg(driver.pid, signal.SIGINT)
        _, errors = driver.communicate(timeout=LONG)
        assert not any(map(_is_alive, processes))
        assert errors.count("Traceback") == 1
        assert errors.endswith("KeyboardInterrupt\n")

    def test_no_worker_outlives_the_server(self, tmp_path):
        driver, processes = _start_busy(tmp_path)
        [server] = [process for process in processes if _children(process)]
        os.kill(driver.pid, signal.SIGSTOP)
        os.kill(server, signal.SIGKILL)
        _wait(lambda: not any(map(_is_alive, processes)), "the workers' end")
        driver.kill()
        driver.communicate()

    def test_ctrl_c_during_the_imports_ends_the_server(self):
        driver = _start(["-c", _script(SQUARES, ["executor_slow_import"])], start_new_session=True)
        [server] = _wait(lambda: _children(driver.pid), "the server's start")
        os.killpg(driver.pid, signal.SIGINT)
        _, errors = driver.communicate(timeout=LONG)
        assert errors.endswith("KeyboardInterrupt\n")
        assert not _is_alive(server)
