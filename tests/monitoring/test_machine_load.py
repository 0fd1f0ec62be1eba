"""Estimates on a machine that other programs use come with a note."""

import os
from types import SimpleNamespace

import pytest

from lemonade_tf.monitoring.machine_load import busy_note
from lemonade_tf.search import algorithm


@pytest.mark.parametrize(("load", "is_busy"), [(2.9, False), (3.1, True), (None, False)])
@pytest.mark.parametrize("executor", ["processes", "ray"])
def test_a_busy_machine_is_noted_unless_workers_are_elsewhere(monkeypatch, load, is_busy, executor):
    def loads():
        if load is None:
            raise OSError
        return load, 0.0, 0.0

    monkeypatch.setattr(os, "getloadavg", loads)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert ("its load is 3.1 on 2 CPUs." in (busy_note() or "")) is is_busy
    said: list[str] = []
    algorithm._announce_load(
        SimpleNamespace(
            setup=SimpleNamespace(config=SimpleNamespace(executor=executor)),
            reporter=SimpleNamespace(announce=said.append),
        )
    )
    assert bool(said) is (is_busy and executor == "processes")
