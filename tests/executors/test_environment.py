"""The environment variables of workers."""

import pytest

from lemonade_tf.executors.device_turn import turn_variables
from lemonade_tf.executors.environment import server_environment, worker_environment


def test_threads_replace_those_of_the_driver():
    inherited = {"OMP_NUM_THREADS": "64", "HOME": "/home/me"}
    found = server_environment(inherited, threads=2, share_gpus=False)
    of_threads = {name for name in found if "THREADS" in name}
    assert {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"} <= of_threads
    assert {found[name] for name in of_threads} == {"2"}
    assert found["HOME"] == "/home/me"
    assert inherited == {"OMP_NUM_THREADS": "64", "HOME": "/home/me"}


def test_workers_run_keras_on_tensorflow():
    found = server_environment({"KERAS_BACKEND": "torch"}, threads=1, share_gpus=False)
    assert found["KERAS_BACKEND"] == "tensorflow"


def test_only_a_shared_gpu_grows_its_memory():
    alone = server_environment({}, threads=1, share_gpus=False)
    shared = server_environment({}, threads=1, share_gpus=True)
    assert dict(shared.items() - alone.items()) == {
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }


def test_log_level_and_memory_growth_of_the_user_are_kept():
    given = {"TF_CPP_MIN_LOG_LEVEL": "0", "TF_FORCE_GPU_ALLOW_GROWTH": "false"}
    found = server_environment(given, threads=1, share_gpus=True)
    assert found["TF_CPP_MIN_LOG_LEVEL"] == "0"
    assert found["TF_FORCE_GPU_ALLOW_GROWTH"] == "false"


@pytest.mark.parametrize(("slot", "gpu"), [(0, "3"), (1, "GPU-5a"), (2, "3"), (3, "GPU-5a")])
def test_gpus_are_assigned_round_robin(slot, gpu):
    found = worker_environment(slot, ["3", "GPU-5a"])
    assert found == {"CUDA_VISIBLE_DEVICES": gpu, **turn_variables([gpu])}


def test_a_worker_gets_several_gpus():
    found = worker_environment(1, ["0", "1", "2", "3", "4"], gpus_per_worker=2)
    assert found == {"CUDA_VISIBLE_DEVICES": "2,3", **turn_variables(["2", "3"])}


def test_without_gpus_no_variable_is_set():
    assert worker_environment(0, []) == {}
