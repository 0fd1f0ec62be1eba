"""Values are pickled for a worker only if it can unpickle them."""

import pickle
import subprocess
import sys
from pathlib import Path

from executor_toys import square

from lemonade_tf.executors.pickling import dumps

ROOT = Path(__file__).parents[2]


def test_values_and_definitions_of_modules_are_pickled():
    value = {"task": [1, 2.5, "three"], "function": square, "type": Path}
    assert pickle.loads(dumps(value)) == value


def test_definitions_of_the_main_script_are_refused(tmp_path):
    """Without the refusal, unpickling would fail in the worker with a worse message."""
    script = tmp_path / "script.py"
    script.write_text("""
import functools, pickle
from lemonade_tf.executors.pickling import dumps

class Mine:
    pass

def work(task):
    return task

for value in (work, Mine, Mine(), functools.partial(work, 1), [{"deep": work}]):
    try:
        dumps(value)
    except pickle.PicklingError as error:
        print(str(error))
""")
    done = subprocess.run(
        [sys.executable, script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["work", "Mine", "Mine", "work", "work"]
    assert all("defined in the main script, which workers do not run; move" in n for n in lines)
