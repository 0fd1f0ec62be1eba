"""Rebuild any network of a run from its lineage: from the operators that led to it.

A run folder keeps the files of few networks, but its history has the operators of all. So the
architecture of each can be had back, for example to train it from scratch; its weights cannot.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from lemonade_tf.architecture import Graph
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.objectives.lookup import run_limits
from lemonade_tf.runs import Run
from lemonade_tf.search.continued_config import recorded_config
from lemonade_tf.search.initial_networks import recorded_initial_networks
from lemonade_tf.search.rebuild import rebuild_network
from lemonade_tf.store import NetworkRecord, network_id


def rebuild_networks(run: Run, ids: Collection[str], dataset: Dataset) -> dict[str, Graph]:
    """Rebuild networks of a run; shapes only.

    Args:
        run: The run.
        ids: The networks, which are in its history.
        dataset: Its first data set.

    Returns:
        The networks by id.

    Raises:
        ConfigError: If the run has settings that this version cannot read.
        StoreError: If a rebuilt network does not match its record.
    """
    config = recorded_config(run.config.settings)
    limits = run_limits(run.config.settings, run.config.prepared)
    initial = recorded_initial_networks(config, run.store, dataset, limits).graphs
    records = {record.id: record for record in run.history}
    graphs: dict[str, Graph] = {}
    if run.config.random_search is not None:
        # Its history has no operators: there, networks have no parents to inherit weights from.
        graphs = {network_id(0, number): graph for number, graph in enumerate(initial)}
        for walk in run.store.proposals.read():
            if walk.id in records:
                record = replace(records[walk.id], parent=walk.parent, operators=walk.operators)
                records[walk.id] = record
    for id_ in ids:
        for record in _lineage(records, id_):
            if record.id not in graphs:
                parent = graphs.get(record.parent or "")
                graphs[record.id] = rebuild_network(record, parent, initial, run.store)
    return {id_: graphs[id_] for id_ in ids}


def _lineage(records: Mapping[str, NetworkRecord], id_: str) -> list[NetworkRecord]:
    """Return the records of a network and its ancestors, the oldest first."""
    found: dict[str, NetworkRecord] = {}
    while id_ in records and id_ not in found:  # a damaged history may have a cycle
        found[id_] = records[id_]
        id_ = records[id_].parent or ""
    return list(reversed(found.values()))
