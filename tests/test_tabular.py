"""The comparison on a table of trained networks, with a made-up table."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "experiments" / "tabular.py"


def run(table, *options):
    command = [sys.executable, SCRIPT, "--table", table, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_methods_are_compared(tmp_path):
    networks = itertools.product((0, 1, 2), repeat=4)
    entries = {
        "".join(map(str, network)): {
            "test_acc": [50.0 + 5 * sum(network) - network[0] + noise for noise in (0, 0.1, 0.2)],
            "params": 1000 * 2 ** sum(network),
        }
        for network in networks
    }
    table = tmp_path / "table.json"
    table.write_text(json.dumps(entries))
    done = run(table, "--seeds", "2", "--evaluations", "8,81")
    assert done.returncode == 0, done.stderr
    means = json.loads(done.stdout.splitlines()[-1])
    assert set(means) == {"8", "81"}
    assert set(means["8"]) == {"density", "uniform", "nsga2", "random"}
    assert means["81"]["random"] == 1  # it has seen every network
    assert all(0 < means["8"][name] < means["81"][name] <= 1 for name in means["8"])


@pytest.mark.slow
def test_another_file_is_refused(tmp_path):
    table = tmp_path / "table.json"
    table.write_text('{"0120": {"accuracy": 90}}')
    done = run(table)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no table of trained networks (KeyError: 'test_acc')" in done.stderr
