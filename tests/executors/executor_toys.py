"""Setups and tasks without TensorFlow, in a module that workers can import."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from lemonade_tf.executors import NamesFiles, TaskFiles


@dataclass(frozen=True)
class Count:
    """A setup that appends a line to a file on each call."""

    path: Path

    def __call__(self):
        with self.path.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return perform


def plain():
    return perform


def missing_data():
    raise ValueError("There is no file\n/data/mine.npz; give another path.")


def wrong_key():
    return {}["images"]


def dies_in_setup():
    print("about to die", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class DiesOnce:
    """A setup that kills its process on the first call."""

    path: Path

    def __call__(self):
        if not self.path.exists():
            self.path.touch()
            dies_in_setup()
        return perform


@dataclass(frozen=True)
class Reads(NamesFiles):
    """A setup that reads a file, for tasks that return its name and content."""

    path: str

    @property
    def files(self):
        return TaskFiles(read=(self.path,))

    def with_paths(self, paths):
        return Reads(paths[self.path])

    def __call__(self):
        content = Path(self.path).read_text()
        return lambda task: (self.path, content)


@dataclass(frozen=True)
class Copy(NamesFiles):
    """A task that copies a file, and counts up in another, which it continues."""

    source: str
    target: str
    counter: str = ""
    last: int = 0

    @property
    def files(self):
        updated = (self.counter,) if self.counter else ()
        return TaskFiles((self.source,), (self.target,), updated)

    def with_paths(self, paths):
        return Copy(
            *(paths.get(path, "") for path in (self.source, self.target, self.counter)), self.last
        )

    def __call__(self):
        Path(self.target).write_text(Path(self.source).read_text())
        counter = Path(self.counter)
        start = int(counter.read_text()) if self.counter and counter.exists() else 0
        for number in range(start + 1, self.last + 1):
            counter.with_suffix(".new").write_text(str(number))
            counter.with_suffix(".new").replace(counter)
            time.sleep(0.1)
        return start, self.source


class Unreadable:
    """A result that can be pickled but not unpickled."""

    def __reduce__(self):
        return int, ("not a number",)


def perform(task):
    """Run a task: a callable, or the name of a function of this module and its arguments."""
    if callable(task):
        return task()
    name, *arguments = task
    return globals()[name](*arguments)


def square(number):
    return number * number


def slow_square(number):
    time.sleep(0.05 * (number % 3))
    return number * number


def process():
    return os.getpid()


def fail(message):
    raise ValueError(message)


def kill_itself(number):
    print("last words", file=sys.stderr, flush=True)
    os.kill(os.getpid(), number)
    time.sleep(60)


def crash():
    import ctypes

    ctypes.string_at(0)


def leave(status):
    sys.exit(status)


def leave_at_once(status):
    os._exit(status)


def unpicklable():
    return lambda: None


def unreadable():
    return Unreadable()


def shout():
    print("this is standard output")
    print("this is standard error", file=sys.stderr)


def environment(*names):
    return [os.environ.get(name) for name in names]


def sleepy_environment(*names):
    time.sleep(0.2)
    return environment(*names)


def sleep_if(name, value):
    """Sleep for long where an environment variable has a value."""
    time.sleep(600 if os.environ.get(name) == value else 0.5)


def is_main(name):
    return name in vars(sys.modules["__main__"])


def modules(*names):
    return [name in sys.modules for name in names]


def interrupted():
    """Send this process the signals of Ctrl-C and of a job scheduler."""
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    return "still here"


def sleep(seconds):
    time.sleep(seconds)
    return seconds


def write_pid_and(path, name):
    """Write the process id to a file, then run another task."""
    Path(path).write_text(str(os.getpid()))
    globals()[name]()


def sleep_in_c():
    time.sleep(600)


def loop_in_python():
    while True:
        pass


def loop_in_c():
    sum(range(10**13))  # never releases the interpreter lock


def count_tensorflow_threads():
    """Run an operation; return the number of threads before it and of TensorFlow's threads."""
    before = _threads()
    import tensorflow as tf

    for _ in range(5):
        tf.nn.conv2d(tf.ones((16, 32, 32, 8)), tf.ones((3, 3, 8, 8)), 1, "SAME")
    return len(before), sum(name.startswith("tf_Compute") for name in _threads())


def _threads():
    tasks = Path("/proc/self/task")
    return [(tasks / name / "comm").read_text().strip() for name in os.listdir(tasks)]
