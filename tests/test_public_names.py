"""The names that users rely on are where the documentation says."""

from importlib import import_module

import numpy as np
import pytest

PACKAGES = {
    "lemonade_tf.surgery": {"Surgery"},
    "lemonade_tf.architecture": {"Graph", "check"},
    "lemonade_tf.architecture.cost": {"count_parameters", "count_multiply_adds"},
    "lemonade_tf.drawing": {"draw"},
    "lemonade_tf.operators": {"EXACT", "APPROXIMATE"},
    "lemonade_tf.search_spaces": {"NETWORKS", "CELLS", "augment"},
    "lemonade_tf.evolution": {"evolve", "pareto_front", "hypervolume"},
}


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names(package):
    module = import_module(package)
    assert all(hasattr(module, name) for name in PACKAGES[package])
    if hasattr(module, "__all__"):
        assert PACKAGES[package] <= set(module.__all__)
        assert len(set(module.__all__)) == len(module.__all__)
        assert all(hasattr(module, name) for name in module.__all__)


def test_operators_and_changes_have_the_names_of_the_contract():
    operators = import_module("lemonade_tf.operators")
    (graph, *_) = import_module("lemonade_tf.search_spaces").NETWORKS.initial_graphs((8, 8, 1), 3)
    for operator in (*operators.EXACT, *operators.APPROXIMATE):
        assert isinstance(operator.name, str)
        for site in operator.candidates(graph):
            change = operator.apply(graph, site, rng=np.random.default_rng(0))
            assert set(change.affected) <= set(change.graph)


def test_a_name_that_the_package_does_not_have():
    package = import_module("lemonade_tf")
    with pytest.raises(AttributeError, match="module 'lemonade_tf' has no attribute 'lode_graph'"):
        package.lode_graph  # noqa: B018
