"""experiments/common.py: what ends an experiment is reported in one line."""

import importlib.util
from pathlib import Path

import pytest
from absl import flags

from lemonade_tf import LemonadeError

SCRIPT = Path(__file__).parent.parent / "experiments" / "common.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("common_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    flags.FLAGS.mark_as_parsed()
    return module


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (LemonadeError("--epochs is 0."), "experiment.py: --epochs is 0.\n"),
        (KeyboardInterrupt(), "experiment.py: stopped by Ctrl-C.\n"),
    ],
)
def test_what_ends_an_experiment_is_one_line(script, monkeypatch, capsys, error, line):
    def main(_):
        raise error

    monkeypatch.setattr("sys.argv", ["folder/experiment.py"])
    with pytest.raises(SystemExit) as ended:
        script.run_script(main)
    assert ended.value.code == 1
    assert capsys.readouterr() == ("", line)
