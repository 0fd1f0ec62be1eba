"""Training on several machines: TF_CONFIG, and processes on this machine that play them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from runs import CONFIG, line, make_run, with_settings

from lemonade_tf.config import ConfigError
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.keras_bridge import save_model
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.retraining import RetrainConfig, retrain
from lemonade_tf.retraining.cluster import read_cluster
from lemonade_tf.runs.same_images import describe_images
from lemonade_tf.search_spaces import NETWORKS

EPOCHS, PATIENCE = 10, 300  # seconds, on a busy machine


def tf_config(index, workers=("a:1", "b:2"), kind="worker", **others):
    return json.dumps(
        {"cluster": {"worker": workers, **others}, "task": {"type": kind, "index": index}}
    )


@pytest.mark.parametrize(
    ("text", "addresses", "is_chief"),
    [
        (tf_config(0), ["a:1", "b:2"], True),
        (tf_config(1), ["a:1", "b:2"], False),
        (tf_config(0, chief=["c:3"]), ["c:3", "a:1", "b:2"], False),
        (tf_config(0, kind="chief", chief=["c:3"]), ["c:3", "a:1", "b:2"], True),
    ],
)
def test_the_chief_is_of_type_chief_or_the_first_worker(monkeypatch, text, addresses, is_chief):
    monkeypatch.setenv("TF_CONFIG", text)
    cluster = read_cluster()
    assert (list(cluster.addresses), cluster.is_chief) == (addresses, is_chief)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not set"),
        ("{}", "is '{}'"),
        ("[1", r"is '\[1'"),
        (tf_config(2), "is '"),
        (tf_config(-1), "is '"),
        (tf_config(0.0), "is '"),
        (tf_config(0, workers="a:1,b:2"), "is '"),
        (tf_config(0, workers=["a:1"]), "has a single machine, a:1"),
        (tf_config(0, ps=["p:1"]), "has machines of type ps"),
    ],
)
def test_other_values_of_tf_config_are_refused(monkeypatch, text, problem):
    monkeypatch.setenv("TF_CONFIG", text)
    expected = f"--strategy multi_worker: the environment variable TF_CONFIG {problem}"
    with pytest.raises(ConfigError, match=expected):
        read_cluster()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": 2}, "--workers is 2; --strategy multi_worker trains one network at a time"),
        ({"executor": "ray"}, "--executor is ray; --strategy multi_worker gets its machines from"),
    ],
)
def test_settings_that_do_not_fit_several_machines_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        RetrainConfig.from_flat({"strategy": "multi_worker", **settings})


@pytest.mark.parametrize("gpus", [None, 0.5, 1])
def test_on_ray_several_gpus_per_network_must_be_requested(gpus):
    settings = {"strategy": "mirrored", "executor": "ray"}
    with pytest.raises(ConfigError, match=r"--strategy has no effect here; .* --gpus_per_child 2"):
        RetrainConfig.from_flat({**settings, "gpus_per_child": gpus})
    assert RetrainConfig.from_flat({**settings, "gpus_per_child": 2}).gpus_per_child == 2


# --- Two processes ---------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    """A run on the digits with a single network."""
    data = load_dataset("digits")
    config = with_settings(
        CONFIG, dataset="digits", data_dir=None, pad=0, flip=False, cutout=0, mixup=0.0, threads=1
    )
    folder = make_run(
        tmp_path / "run", [line("0-0", 0.5, 15_000)], replace(config, images=describe_images(data))
    )
    [graph, *_] = NETWORKS.initial_graphs(data.input_shape, 10, rescaling=data.rescaling())
    graph = initial_weights(graph, rng=np.random.default_rng(0))
    save_model(graph, folder / "models/0-0.h5", {})
    return folder


PROGRAM = """
import sys
from lemonade_tf.retraining import RetrainConfig, retrain
settings = {"strategy": "multi_worker", "epochs": int(sys.argv[2])}
result = retrain(sys.argv[1], (), RetrainConfig.from_flat(settings), interval=0.0)
print(result.chief, dict(result.failures))
"""


def free_port():
    with socket.create_server(("localhost", 0)) as server:
        return server.getsockname()[1]


def start(run):
    """Start the chief and another machine."""
    workers = [f"localhost:{free_port()}" for _ in range(2)]
    return [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(run), str(EPOCHS)],
            env={**os.environ, "TF_CONFIG": tf_config(index, workers)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_training_ends_with_a_lost_machine_and_resumes_on_both(run):
    chief, other = start(run)
    wait_until((run / "retrained/0-0.checkpoint").exists)
    other.send_signal(signal.SIGKILL)
    output, _ = chief.communicate(timeout=PATIENCE)
    other.communicate()
    assert "{'0-0': 'another machine of TF_CONFIG stopped or cannot be reached (" in output
    assert (run / "retrained/0-0.checkpoint").exists()

    chief, other = start(run)
    outputs = [process.communicate(timeout=PATIENCE)[0] for process in (chief, other)]
    assert outputs[0] == "None {}\n"
    assert outputs[1].startswith("localhost:")
    [*_, text] = (run / "retrained.jsonl").read_text().splitlines()
    record = json.loads(text)
    assert 0 < record["resumed_at_epoch"] < EPOCHS
    for path in (run / "retrained").iterdir():
        if path.is_file():
            path.unlink()
    retrain(run, (), RetrainConfig.from_flat({"epochs": EPOCHS, "workers": 1}))
    [*_, text] = (run / "retrained.jsonl").read_text().splitlines()
    assert record["losses"][0] == pytest.approx(json.loads(text)["losses"][0], rel=1e-4)
    assert record["test_error"] == pytest.approx(json.loads(text)["test_error"], abs=0.02)
