"""The network files that a search keeps, and their checks."""

import pytest
from run_folders import files_in, network

from lemonade_tf.search.network_files import NetworkFiles
from lemonade_tf.store import ExtraDatasetRecord, StoreError


def _write(store, *ids):
    for id_ in ids:
        store.models.staging_path(id_).write_bytes(id_.encode())


def _networks(store):
    return [name.removesuffix(".h5") for name in files_in(store.models.folder)]


def test_files_of_the_front_and_of_parents_of_children_to_come_are_kept(store):
    files = NetworkFiles(store, [], {})
    for id_ in ("0-0", "0-1", "0-2", "0-3"):
        _write(store, id_)
        files.adopt(id_)
        files.settle(id_)
    files.expect(["0-1", "0-1", None, "0-2"])
    files.discard(["0-0"])
    assert _networks(store) == ["0-0", "0-1", "0-2"]
    for parent in ("0-1", None, "0-2"):
        files.done(parent)
    files.discard(["0-0"])
    assert _networks(store) == ["0-0", "0-1"]  # which has another child to come
    files.done("0-1")
    files.discard(["0-0"])
    assert _networks(store) == ["0-0"]


def test_files_of_a_network_are_kept_until_it_is_settled(store):
    """As between the two the search may end, and the record says that there is a file."""
    files = NetworkFiles(store, [], {})
    _write(store, "1-0")
    files.adopt("1-0")
    files.discard([])
    assert _networks(store) == ["1-0"]
    files.settle("1-0")
    files.discard([])
    assert _networks(store) == []


def _recorded(files):
    return network(
        "0-0",
        file=files[None],
        extra_datasets={
            name: ExtraDatasetRecord(None, 64, [], [], None, file)
            for name, file in files.items()
            if name is not None
        },
    )


def test_the_files_of_all_data_sets_are_adopted_checked_and_discarded(store):
    _write(store, "0-0", "0-0.flowers")
    adopted = NetworkFiles(store, ["flowers"], {}).adopt("0-0")
    assert list(adopted) == ["flowers", None]
    assert (adopted["flowers"].bytes, adopted[None].bytes) == (11, 3)
    recorded = {"0-0": _recorded(adopted)}
    NetworkFiles(store, ["flowers"], recorded).check("0-0")
    store.models.path("0-0.flowers").write_bytes(b"other")
    files = NetworkFiles(store, ["flowers"], recorded)
    with pytest.raises(StoreError, match=r"0-0\.flowers\.h5 has changed since the search wrote it"):
        files.check("0-0")
    files.discard([])
    assert _networks(store) == []


def test_only_files_recorded_before_resuming_are_checked_and_only_once(store):
    _write(store, "0-0", "0-1")
    files = NetworkFiles(store, [], {})
    recorded = {id_: _recorded(files.adopt(id_)) for id_ in ("0-0", "0-1")}
    files = NetworkFiles(store, [], {**recorded, "0-2": network("0-2", failure="diverged")})
    files.check("0-0")
    for id_ in ("0-0", "0-1"):
        store.models.path(id_).unlink()
    for id_ in ("0-0", "0-2", "1-0"):  # checked before, failed, written since
        files.check(id_)
    with pytest.raises(StoreError, match=r"0-1\.h5 is missing; the search needs it"):
        files.check("0-1")
