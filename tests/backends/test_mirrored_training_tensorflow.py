"""Training on several devices, in processes that divide the CPU into logical devices."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from lemonade_tf.backends import strategy_tensorflow
from lemonade_tf.backends.current import current_backend
from lemonade_tf.backends.training_tensorflow import TensorFlowTrainer

TWO_DEVICES = Path(__file__).with_name("two_devices.py")


@pytest.mark.slow
def test_training_on_two_devices():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TWO_DEVICES)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_with_a_single_device_nothing_is_mirrored(network):
    current_backend().set_up(None, "mirrored")
    model = current_backend().training_model(network)
    training = current_backend().trainer(model, momentum=0.9, weight_decay=0.0)
    assert isinstance(training, TensorFlowTrainer)


def test_a_process_in_which_tensorflow_has_run_cannot_divide_its_cpu(monkeypatch):
    tf.constant(1.0)  # runs
    monkeypatch.setenv("LEMONADE_LOGICAL_CPUS", "2")
    strategy_tensorflow._mirrored.cache_clear()
    with pytest.raises(
        RuntimeError, match="LEMONADE_LOGICAL_CPUS is 2, but TensorFlow has already"
    ):
        current_backend().set_up(None, "mirrored")


@pytest.mark.slow
def test_a_search_on_two_devices_writes_files_of_stock_layers(tmp_path):
    environment = {**os.environ, "LEMONADE_LOGICAL_CPUS": "2"}
    command = [sys.executable, "-m", "lemonade_tf", "search", "--preset", "quick"]
    command += ["--num_generations", "1", "--epochs", "1", "--workdir", "run"]
    command += ["--strategy", "mirrored"]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path)
    settings = json.loads((tmp_path / "run/config.json").read_text())
    assert settings["strategy"] == "mirrored"
    code = (
        "import keras, pathlib, sys\n"
        "for path in pathlib.Path('run/models').iterdir():\n"
        "    model = keras.models.load_model(path)\n"
        "    assert {type(layer).__module__.split('.')[0] for layer in model.layers} == {'keras'}\n"
        "assert 'lemonade_tf' not in sys.modules\n"
    )
    environment.pop("PYTHONPATH", None)
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=tmp_path)
