"""Options of the test suite, and a Ray cluster."""

import gc
import signal

import pytest


@pytest.fixture(scope="session")
def ray_cluster():
    """A Ray cluster with a head node of two CPUs, to which this process is connected."""
    from ray.cluster_utils import Cluster

    from lemonade_tf.executors import ray_connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster()
        cluster.add_node(num_cpus=2, include_dashboard=False, object_store_memory=RAY_MEMORY)
        try:
            with ray_connection(cluster.address):
                yield cluster
        finally:
            cluster.shutdown()


RAY_MEMORY = 80_000_000  # bytes; little more than the minimum


@pytest.fixture
def add_node(ray_cluster):
    """Add nodes to the Ray cluster until the end of the test; return one."""
    nodes = []

    def add(**options):
        nodes.append(ray_cluster.add_node(object_store_memory=RAY_MEMORY, **options))
        return nodes[-1]

    yield add
    for node in nodes:
        if node in ray_cluster.worker_nodes:
            ray_cluster.remove_node(node)


def pytest_configure(config):
    """Let Ctrl-C reach the processes of tests, even if the shell ignored SIGINT for pytest."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Run slow tests first, so that no process is left with one of them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish():
    """Collect garbage less often: the modules of TensorFlow are a million objects to go through."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_addoption(parser):
    parser.addoption(
        "--chains",
        type=int,
        default=24,
        help="how many chains test_exact_chains.py (measured: 500) and test_imported_chains.py try",
    )
    parser.addoption(
        "--kills",
        type=int,
        default=9,
        help="at how many random moments test_resume.py kills a search (measured: 25)",
    )
    parser.addoption(
        "--lazyfs",
        help="the program of LazyFS, on which test_power_loss.py then lets the power fail, too",
    )
    parser.addoption(
        "--operation_step",
        type=int,
        default=16,
        help="test_power_loss.py lets every how many operations fail (measured: 1)",
    )
    parser.addoption(
        "--power_losses",
        type=int,
        default=12,
        help="at how many random moments test_power_loss.py lets the power fail (measured: 200)",
    )
