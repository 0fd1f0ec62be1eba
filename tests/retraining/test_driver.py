import csv
import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from retraining_fixtures import FakeExecutor, Killed
from runs import CONFIG, change_images, change_settings, line, make_run, with_settings
from toy_training import toy_search

from lemonade_tf import load_graph
from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import Add, Conv2D, Input
from lemonade_tf.architecture.text import canonical_hash, from_json
from lemonade_tf.cli import main
from lemonade_tf.config import ConfigError
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.retraining import (
    RetrainConfig,
    RetrainError,
    final_training,
    regularized,
    retrain,
)
from lemonade_tf.runs import read_run
from lemonade_tf.runs.same_images import describe_images
from lemonade_tf.search_spaces import NETWORKS
from lemonade_tf.store import StoreError

FRONT = ("0-1", "1-0", "2-0")  # sorted by parameters
SHORT = RetrainConfig.from_flat({"epochs": 2, "workers": 1})


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A small data set: which quadrant is bright."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 180)
    pixels = rng.integers(0, 90, (180, 8, 8, 1))
    for image, label in zip(pixels, labels, strict=True):
        image[4 * (label // 2) :, 4 * (label % 2) :][:4, :4] += 120
    path = tmp_path_factory.mktemp("data") / "quadrants.npz"
    x, y = pixels.astype(np.uint8), labels
    np.savez(path, x_train=x[:120], y_train=y[:120], x_test=x[120:], y_test=y[120:])
    return path


@pytest.fixture
def run(images, tmp_path):
    """A run with a front of three networks, whose files are dummies."""
    history = [
        line("0-0", 0.5, 9_000),
        line("0-1", 0.3, 1_000, test_error=0.34),
        line("1-0", 0.2, 2_000, test_error=None),
        line("1-9", None, 900, failure="diverged"),
        line("2-0", 0.1, 8_000, test_error=0.25),
    ]
    settings = {"pad": 1, "flip": False, "cutout": 2, "mixup": 0.5, "threads": 1}
    config = with_settings(CONFIG, dataset=str(images), data_dir=None, **settings)
    config = replace(config, images=describe_images(load_dataset(str(images))))
    folder = make_run(tmp_path / "run", history, config)
    for id_ in FRONT:
        (folder / "models" / f"{id_}.h5").write_text("of the search")
    return folder


@pytest.fixture
def executor(monkeypatch):
    fake = FakeExecutor()
    monkeypatch.setattr(final_training, "make_executor", fake)
    return fake


def files(run):
    return {path.name for path in (run / "retrained").iterdir()}


def records(run):
    return [json.loads(text) for text in (run / "retrained.jsonl").read_text().splitlines()]


# --- Networks and settings -------------------------------------------------------------------


def test_the_defaults_are_the_papers():
    training = RetrainConfig().training
    assert (training.epochs, training.learning_rate) == (600, 0.025)
    assert (training.batch_size, training.weight_decay) == (64, 5e-4)


def test_the_front_is_trained_with_the_augmentation_of_the_run(run, executor):
    finished = []
    result = retrain(run, on_network_end=finished.append)
    assert executor.ids == ["2-0", "1-0", "0-1"]  # the largest first
    settings = executor.settings
    assert (settings.epochs, settings.learning_rate, settings.weight_decay) == (600, 0.025, 5e-4)
    assert (settings.pad, settings.flip, settings.cutout, settings.mixup) == (1, False, 2, 0.5)
    assert executor.options["max_num_workers"] == 3
    assert result.failures == {}
    assert [row["id"] for row in result.rows] == list(FRONT)
    assert [record.id for record in finished] == executor.ids
    assert files(run) == {"settings.json", *(f"{id_}.h5" for id_ in FRONT)}
    assert [entry["id"] for entry in records(run)] == executor.ids
    with open(run / "retrained.csv", newline="") as file:
        first, second, _ = csv.DictReader(file)
    assert first == {
        "id": "0-1",
        "file": "retrained/0-1.h5",
        "parameters": "1000",
        "search_test_error": "0.34",
        "test_error": "0.125",
    }
    assert second["search_test_error"] == ""


def test_the_seeds_of_a_network_depend_only_on_its_id_and_the_seed(run, executor):
    retrain(run, ["1-0"])
    retrain(run)
    seeds = {
        task.id: [tuple(seed.generate_state(2)) for seed in (task.weights_seed, task.training_seed)]
        for task in executor.tasks
    }
    assert executor.ids == ["1-0", "2-0", "0-1"]
    assert len({state for states in seeds.values() for state in states}) == 6
    for path in (run / "retrained").glob("*.h5"):
        path.unlink()
    retrain(run, config=RetrainConfig(seed=1))
    assert tuple(executor.tasks[-1].weights_seed.generate_state(2)) != seeds["0-1"][0]
    for path in (run / "retrained").glob("*.h5"):
        path.unlink()
    retrain(run)
    assert tuple(executor.tasks[-1].weights_seed.generate_state(2)) == seeds["0-1"][0]


def test_the_front_after_a_generation_is_trained(run, executor):
    result = retrain(run, generation=1)
    assert executor.ids == ["1-0", "0-1"]
    assert [row["id"] for row in result.rows] == ["0-1", "1-0"]
    assert executor.tasks[0].source == str(run / "models" / "1-0.h5")
    assert [row["id"] for row in retrain(run, generation=0).rows] == ["0-1"]
    assert [row["id"] for row in retrain(run).rows] == list(FRONT)
    assert executor.ids == ["1-0", "0-1", "2-0"]  # none is trained twice


def test_networks_without_a_file_are_trained_by_their_architecture(executor, tmp_path):
    toy_search(tmp_path / "run", in_process=True, num_generations=2)
    run = read_run(tmp_path / "run")
    hashes = {record.id: record.architecture_hash for record in run.history}
    retrain(tmp_path / "run", list(hashes))
    assert sorted(executor.ids) == sorted(hashes)
    for task in executor.tasks:
        if task.source is None:
            assert canonical_hash(from_json(task.architecture)) == hashes[task.id]
            assert task.record["id"] == task.id
    with_file = {task.id for task in executor.tasks if task.source is not None}
    assert with_file == {path.stem for path in (tmp_path / "run" / "models").iterdir()}
    assert len(with_file) < len(hashes)


# --- Resuming --------------------------------------------------------------------------------


def test_finished_networks_are_not_trained_again(run, executor):
    retrain(run, ["1-0"], SHORT)
    result = retrain(run, ["1-0", "0-1"], SHORT)
    assert executor.ids == ["1-0", "0-1"]
    assert [row["id"] for row in result.rows] == ["0-1", "1-0"]
    before = (run / "retrained.jsonl").read_bytes()
    (run / "retrained.csv").unlink()
    assert retrain(run, ["1-0"], SHORT).rows == result.rows[1:]
    assert (run / "retrained.jsonl").read_bytes() == before
    assert len((run / "retrained.csv").read_text().splitlines()) == 3


def test_a_killed_command_continues(run, executor):
    executor.dies_at = "1-0"
    with pytest.raises(Killed):
        retrain(run, config=SHORT)
    assert files(run) == {"settings.json", "2-0.h5", "1-0.checkpoint"}
    (run / "retrained" / ".0-1.h5.4711.unfinished.h5").write_text("half")
    with open(run / "retrained.jsonl", "a") as file:
        file.write('{"id": "1-')  # cut short
    executor.dies_at = None
    result = retrain(run, config=SHORT)
    assert executor.ids == ["2-0", "1-0", "1-0", "0-1"]
    assert [row["id"] for row in result.rows] == list(FRONT)
    assert files(run) == {"settings.json", *(f"{id_}.h5" for id_ in FRONT)}


def test_a_file_without_a_record_is_not_finished(run, executor):
    """After a kill between file and record, the checkpoint remains."""
    executor.dies_at = "2-0"
    with pytest.raises(Killed):
        retrain(run, ["2-0"], SHORT)
    (run / "retrained" / "2-0.h5").write_text("from scratch")
    executor.dies_at = None
    retrain(run, ["2-0"], SHORT)
    assert executor.ids == ["2-0", "2-0"]


def test_the_checkpoint_of_a_finished_network_is_removed(run, executor):
    retrain(run, config=SHORT)
    (run / "retrained" / "1-0.checkpoint").write_text("left by a kill right after the record")
    retrain(run, config=SHORT)
    assert "1-0.checkpoint" not in files(run)


def test_a_failure_is_recorded_and_retried(run, executor):
    executor.failures = {"1-0": "out of memory."}
    result = retrain(run, config=SHORT)
    assert result.failures == {"1-0": "out of memory."}
    assert [row["id"] for row in result.rows] == ["0-1", "2-0"]
    assert records(run)[1]["failure"] == "out of memory."
    executor.failures = {}
    result = retrain(run, config=SHORT)
    assert executor.ids == ["2-0", "1-0", "0-1", "1-0"]
    assert len(result.rows) == 3


@pytest.mark.parametrize("setting", [{"ray_address": "auto"}, {"gpus_per_child": 0.5}])
def test_options_of_ray_are_refused_without_it(setting):
    [name] = setting
    with pytest.raises(ConfigError, match=f"--{name} has no effect here; omit it, or use --exec"):
        RetrainConfig(**setting)


def test_where_workers_run_may_change(run, executor):
    executor.dies_at = "2-0"
    with pytest.raises(Killed):
        retrain(run)
    executor.dies_at = None
    retrain(run, config=RetrainConfig(executor="ray", ray_address="auto", gpus_per_child=0.5))
    assert files(run) >= {f"{id_}.h5" for id_ in FRONT}


def test_changed_settings_are_refused_by_name(run, executor):
    retrain(run, ["1-0"], SHORT)
    other = RetrainConfig.from_flat({"epochs": 3, "seed": 4, "workers": 2})
    message = "different settings: --seed was 0, now 4; --epochs was 2, now 3"
    with pytest.raises(RetrainError, match=message):
        retrain(run, config=other)
    retrain(run, config=RetrainConfig.from_flat({"epochs": 2, "workers": 2}))


def test_regularization_is_for_networks_with_branches(run, executor, monkeypatch):
    chain, branched = Graph(), Graph()
    for graph in (chain, branched):
        graph.add("input", Input((8, 8, 1)))
        graph.output = graph.add("conv", Conv2D(1, 3), ["input"])
    branched.output = branched.add("sum", Add(), ["input", "conv"])
    graphs = {"2-0": branched}
    monkeypatch.setattr(regularized, "load_graph", lambda path: graphs.get(Path(path).stem, chain))
    retrain(run, config=SHORT)
    without = (run / "retrained" / "settings.json").read_text()
    assert "shake_shake" not in without  # as written by versions that had no regularization
    assert "drop_path" not in without
    shutil.rmtree(run / "retrained")
    config = replace(SHORT, drop_path=0.2)
    stages = []
    retrain(run, config=config, on_stage=stages.append)
    assert "--drop_path has no effect on 0-1, 1-0, without a sum or concatenation" in str(stages)
    assert executor.tasks[-1].settings["drop_path"] == 0.2
    for settings, words in (
        ({"shake_shake": True}, "--shake_shake has no effect here, as none of the networks has a"),
        ({"drop_path": 0.2}, "--drop_path has no effect here, .* use networks with skips or"),
    ):
        with pytest.raises(ConfigError, match=words):
            retrain(run, ["0-1"], replace(SHORT, **settings))


def test_changed_images_are_refused(run, executor, tmp_path):
    config = json.loads((run / "config.json").read_text())
    arrays = dict(np.load(config["dataset"]))
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    change_settings(run, dataset=str(path))
    retrain(run, ["1-0"], SHORT)
    arrays["x_test"][0, 0, 0] += 1
    np.savez(path, **arrays)
    with pytest.raises(StoreError, match=r"sha256 was \w{64}, now \w{64}; restore the data set"):
        retrain(run, config=SHORT)


def test_settings_may_change_before_the_first_checkpoint(run, executor):
    (run / "retrained").mkdir()
    (run / "retrained" / "settings.json").write_text('{"epochs": 600}')
    assert [row["id"] for row in retrain(run, ["1-0"], SHORT).rows] == ["1-0"]


def test_a_second_process_is_refused(run, executor):
    (run / "retrained").mkdir()
    descriptor = os.open(run / "retrained", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(StoreError, match="retrained is in use by another process; wait"):
        retrain(run, config=SHORT)
    os.close(descriptor)
    retrain(run, config=SHORT)


def test_a_file_system_without_locks_is_an_error(run, executor, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StoreError, match=r"retrained cannot be locked: No locks available\."):
        retrain(run, config=SHORT)


# --- Errors ----------------------------------------------------------------------------------


def command(capsys, *arguments):
    """Run the command in this process; return (exit status, standard output, standard error)."""
    try:
        status = main(["retrain", *map(str, arguments)])
    except SystemExit as ended:
        status = ended.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["9-9"], "{run} has no network 9-9; expected an id in its history.jsonl, such as"),
        (["1-9"], "the network 1-9 of {run} failed in the search (diverged); choose one that"),
        (["--generation", "3"], "--generation is 3; {run} has generations 0 to 2."),
        (["--generation", "-1"], "--generation is -1; {run} has generations 0 to 2."),
        (["0-1", "--generation", "1"], "--generation has no effect if networks are given"),
        (["--epochs", "0"], "--epochs is 0; expected an integer of at least 1"),
        (["--epochs", "few"], "--epochs: invalid int value: 'few'"),
        (["--learning_rate", "nan"], "--learning_rate is nan; expected more than 0"),
        (["--workers", "0"], "--workers is 0; expected an integer of at least 1"),
        (["--seed", "-1"], "--seed is -1; expected an integer of at least 0"),
    ],
)
def test_a_usage_error_is_one_line_and_status_2(capsys, run, arguments, words):
    status, out, err = command(capsys, run, *arguments)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert words.format(run=run) in err
    assert not (run / "retrained").exists()


def test_the_run_is_required(capsys):
    status, _, err = command(capsys)
    assert status == 2
    assert "the following arguments are required: RUN (see" in err


def without_front(run):
    (run / "history.jsonl").write_text("")


def without_model(run):
    (run / "models" / "1-0.h5").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without_front, "{run} has no front: no network has been trained yet"),
        (without_model, "history.jsonl: the network 0-0, rebuilt from its operators, differs"),
        (
            lambda run: change_settings(run, dataset="gone.npz"),
            "data set of {run} cannot be read: gone.npz does not exist",
        ),
        (lambda run: change_settings(run, dataset="gone"), "unknown data set 'gone'"),
        (
            lambda run: change_images(run, num_classes=7),
            "num_classes was 7, now 4; restore the data set",
        ),
        (lambda run: change_images(run, sha256="0" * 64), "sha256 was 000"),
        (lambda run: change_settings(run, pad=8), "pad is 8"),
        (lambda run: (run / "config.json").unlink(), "holds no run"),
        (
            lambda run: (run / "retrained").write_text(""),
            "retrained: File exists; expected a folder",
        ),
        (lambda run: (run / "retrained.jsonl").write_text("?\n"), "line 1, is damaged"),
    ],
)
def test_an_unusable_run_is_one_line_and_status_1(capsys, run, spoil, words):
    spoil(run)
    status, _, err = command(capsys, run)
    assert status == 1
    assert len(err.splitlines()) == 1
    assert words.format(run=run) in err


def test_unknown_ids_and_folders_without_a_run_are_errors(run, tmp_path):
    with pytest.raises(ConfigError, match="such as those of the front: 0-1, 1-0, 2-0"):
        retrain(run, ["x"])
    with pytest.raises(StoreError, match="is not a folder"):
        retrain(tmp_path / "none")


# --- The command -----------------------------------------------------------------------------


def test_the_command_prints_the_errors_before_and_after(capsys, run, executor):
    status, out, err = command(capsys, run, "0-1", "1-0", "--epochs", 2)
    assert (status, err) == (0, "")
    assert "network 1-0: test error 12.50 %, after 7 s" in out
    assert [text.split() for text in out.splitlines() if "1,000" in text or "2,000" in text] == [
        ["0-1", "1,000", "34.00", "%", "12.50", "%"],
        ["1-0", "2,000", "12.50", "%"],
    ]
    assert str(run / "retrained") in out.replace("\n", "")


def test_the_command_reports_failures(capsys, run, executor):
    executor.failures = {"1-0": "diverged: [Errno]"}
    status, out, err = command(capsys, run)
    assert status == 1
    assert "12.50 %" in out
    assert err == "lemonade-tf: 1 of the networks failed: 1-0: diverged: [Errno]\n"


def test_with_several_data_sets_the_first_is_used(run, images, executor):
    change_settings(run, dataset=f"{images},elsewhere.npz")
    retrain(run, config=SHORT)
    settings = executor.tasks[0].settings
    assert (settings["dataset"], executor.dataset) == (str(images), str(images))


# --- With real training -----------------------------------------------------------------------


@pytest.fixture
def real_run(run, images):
    """The run with real network files."""
    from lemonade_tf.keras_bridge import save_model

    data = load_dataset(str(images))
    graphs = NETWORKS.initial_graphs(data.input_shape, 4, rescaling=data.rescaling())
    for number, id_ in enumerate(("0-1", "1-0")):
        graph = initial_weights(graphs[number], rng=np.random.default_rng(number))
        save_model(graph, run / "models" / f"{id_}.h5", {"id": id_})
    return run


def start(run, ids, epochs, interval):
    """Start retraining in another process, which prints the backends that it loaded."""
    script = f"""
import sys
from lemonade_tf.retraining import RetrainConfig, retrain
config = RetrainConfig.from_flat({{"epochs": {epochs}, "workers": 1}})
result = retrain({str(run)!r}, {ids!r}, config, interval={interval})
assert not result.failures, result.failures
print([name for name in ("tensorflow", "keras", "jax", "torch") if name in sys.modules])
"""
    return subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_networks_learn_from_scratch_and_the_driver_loads_no_backend(real_run):
    out, err = start(real_run, ["0-1", "1-0"], 60, 60.0).communicate(timeout=120)
    assert (out, err) == ("[]\n", "")
    for entry in records(real_run):
        assert entry["losses"][-1] < entry["losses"][0]
        assert entry["test_error"] < 0.6
        graph = load_graph(real_run / "retrained" / f"{entry['id']}.h5")
        assert graph.has_weights


@pytest.mark.slow
def test_kills_at_any_time_do_not_change_the_weights(real_run, tmp_path):
    ids, epochs = ["0-1", "1-0"], 120
    _, err = start(real_run, ids, epochs, 60.0).communicate(timeout=300)
    assert err == ""
    (real_run / "retrained").rename(tmp_path / "whole")
    expected = {entry["id"]: entry for entry in records(real_run)}
    (real_run / "retrained.jsonl").unlink()

    rng = np.random.default_rng(0)
    num_killed = 0
    while num_killed < 8:
        process = start(real_run, ids, epochs, 0.02)
        wait_for_worker(real_run, process)
        time.sleep(rng.uniform(0, 1.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        num_killed += process.returncode == -signal.SIGKILL
        if process.returncode == 0:
            break
    assert num_killed >= 2
    _, err = start(real_run, ids, epochs, 0.02).communicate(timeout=300)
    assert err == ""
    found = {entry["id"]: entry for entry in records(real_run)}
    assert max(entry["resumed_at_epoch"] for entry in found.values()) > 0
    for id_ in ids:
        assert found[id_]["losses"] == expected[id_]["losses"]
        assert found[id_]["test_error"] == expected[id_]["test_error"]
        folders = (real_run / "retrained", tmp_path / "whole")
        again, whole = (load_graph(folder / f"{id_}.h5") for folder in folders)
        for name, node in whole.items():
            for key, value in node.weights.items():
                np.testing.assert_array_equal(again[name].weights[key], value, strict=True)
    assert files(real_run) == {"settings.json", "logs", *(f"{id_}.h5" for id_ in ids)}


def wait_for_worker(run, process, seconds=60):
    """Wait until this process has written a checkpoint."""
    started = time.time()
    while time.time() < started + seconds and process.poll() is None:
        for path in (run / "retrained").glob("*.checkpoint"):
            try:
                if path.stat().st_mtime > started:
                    return
            except FileNotFoundError:
                pass
        time.sleep(0.02)


def test_a_recipe_has_its_own_augmentation(run, executor):
    retrain(run, ["1-0"], RetrainConfig.from_flat({"recipe": "imagenet64", "epochs": 2}))
    settings = json.loads((run / "retrained" / "settings.json").read_text())
    assert (settings["recipe"], settings["epochs"], settings["nesterov"]) == (
        "imagenet64",
        2,
        False,
    )
    assert (settings["pad"], settings["flip"], settings["cutout"]) == (4, True, 0)
