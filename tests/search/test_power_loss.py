"""Nothing that was reported is lost when the power fails, or an operation on the disk does."""

import errno
import json
import os
import random
import signal
from collections import Counter

import pytest
from lazyfs import LazyFS
from lossy_disk import FailingDisk, LossyDisk
from toy_training import results, toy_search

from lemonade_tf.monitoring.callback import Callback
from lemonade_tf.store import StoreError

SMALL = {"num_generations": 2, "num_proposed": 6, "num_accepted": 2, "in_process": True}


class Reported(Callback):
    """Keeps the records that were reported."""

    def __init__(self):
        self.records = []

    def on_network_end(self, state, record):
        self.records.append(record.as_json())


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The results of the small search without interruption."""
    workdir = tmp_path_factory.mktemp("small") / "run"
    toy_search(workdir, **SMALL)
    return results(workdir)


def check_resumed(workdir, reported, small):
    """Resume a search, and check that it has all that was reported, and ends as it should.

    Args:
        workdir: The run folder.
        reported: The records that were reported, as JSON.
        small: The results of the search without interruption.
    """
    lines = (workdir / "history.jsonl").read_text().splitlines() if reported else []
    recorded = {line["id"]: line for line in map(json.loads, lines[: len(reported)])}
    for record in reported:
        found = recorded[record["id"]]
        del found["crc32"]
        assert found == record
    again = Reported()
    assert toy_search(workdir, resume=True, callbacks=[again], **SMALL).complete
    assert results(workdir) == small
    assert not {r["id"] for r in again.records} & {r["id"] for r in reported}  # none twice


# --- Power loss ----------------------------------------------------------------------------------


def moments_of_power_loss(folder, number, seed):
    """Yield (folder after the power failed, what was reported before) for moments of one search."""
    with LossyDisk(make(folder / "count")).watching() as disk:
        toy_search(folder / "count" / "runs" / "run", **SMALL)
    rng, cases, reported = random.Random(seed), [], Reported()
    with LossyDisk(make(folder / "disk")).watching() as watched:

        def fail_now():
            target = folder / f"after-{len(cases)}"
            watched.write_remains(rng, target)
            cases.append((target / "runs" / "run", list(reported.records)))

        for _ in range(number):
            watched.at_moment(rng.randrange(disk.num_moments), fail_now)
        toy_search(folder / "disk" / "runs" / "run", callbacks=[reported], **SMALL)
    return cases


def make(folder):
    folder.mkdir()
    return folder


def test_nothing_reported_is_lost_when_the_power_fails(tmp_path, small, request):
    cases = moments_of_power_loss(tmp_path, request.config.getoption("power_losses"), seed=0)
    for workdir, reported in cases:
        check_resumed(workdir, reported, small)
    counts = [len(reported) for _, reported in cases]
    assert len(set(counts)) > 3  # the moments did differ
    print(f"\n{len(cases)} cases; networks reported before: {sorted(Counter(counts).items())}")


def search_until_killed(workdir, moment):
    """Run a search in a process that is killed before an operation; return what it reported."""
    receiver, sender = os.pipe()
    process = os.fork()
    if not process:
        os.close(receiver)
        with os.fdopen(sender, "w") as stream, KillingDisk(moment).failing():
            toy_search(workdir, callbacks=[Reporting(stream)], **SMALL)
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver) as stream:
        reported = [json.loads(line) for line in stream]
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert status == (0 if moment is None else -signal.SIGKILL)
    return reported


class KillingDisk(FailingDisk):
    """Kills the process instead of one operation."""

    flushes = True

    def _fails(self):
        if super()._fails():
            os.kill(os.getpid(), signal.SIGKILL)
        return False


class Reporting(Callback):
    """Writes the records that were reported to a pipe."""

    def __init__(self, stream):
        self.stream = stream

    def on_network_end(self, state, record):
        print(json.dumps(record.as_json()), file=self.stream, flush=True)


def test_nothing_reported_is_lost_on_lazyfs(tmp_path, small, num_operations, request):
    """Each case kills the search at a moment, and the file system loses what was not flushed."""
    executable = request.config.getoption("lazyfs")
    if executable is None:
        pytest.skip("needs --lazyfs PROGRAM")
    rng, counts = random.Random(0), []
    with LazyFS(executable, tmp_path) as disk:
        for number in range(request.config.getoption("power_losses")):
            workdir = disk.mount / f"run-{number}"
            reported = search_until_killed(workdir, rng.randrange(num_operations))
            disk.clear()
            check_resumed(workdir, reported, small)
            counts.append(len(reported))
    assert len(set(counts)) > 3  # the moments did differ
    print(f"\n{len(counts)} cases; networks reported before: {sorted(Counter(counts).items())}")


# --- Operations that fail ------------------------------------------------------------------------

ERRORS = (errno.ENOSPC, errno.EIO, errno.EINTR)


def search_with_failing_operation(workdir, small, disk):
    """Run a search on a failing disk, and resume it on one that works; return why it ended."""
    reported, reason = Reported(), f"{workdir} is complete"
    with disk.failing():
        try:
            toy_search(workdir, callbacks=[reported], **SMALL)
        except StoreError as error:
            reason = str(error)
    assert str(workdir) in reason
    assert len(reason.splitlines()) == 1
    check_resumed(workdir, reported.records, small)
    return reason


@pytest.fixture(scope="module")
def num_operations(tmp_path_factory):
    with FailingDisk().failing() as disk:
        toy_search(tmp_path_factory.mktemp("count") / "run", **SMALL)
    return disk.num_operations


@pytest.mark.parametrize("number", range(6))
def test_an_operation_that_fails_stops_the_search_with_the_reason(
    tmp_path, small, num_operations, number
):
    """Each test takes another operation and another error, for once or from then on."""
    operation = round((num_operations - 1) * number / 5)
    disk = FailingDisk(operation, ERRORS[number % 3], lasting=number % 2 == 1)
    reason = search_with_failing_operation(tmp_path / "run", small, disk)
    assert not reason.endswith("is complete")


@pytest.mark.slow
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
def test_operations_that_fail(tmp_path, small, num_operations, request, error, lasting):
    step = request.config.getoption("operation_step")
    first = (ERRORS.index(error) + 3 * lasting) % step  # all tests together try many operations
    ended = []
    for number in range(first, num_operations, step):
        disk = FailingDisk(number, error, lasting=lasting)
        workdir = tmp_path / f"run-{number}"
        ended.append(search_with_failing_operation(workdir, small, disk))
    num_complete = sum(reason.endswith("is complete") for reason in ended)
    print(f"\n{len(ended)} of {num_operations} operations; {num_complete} did not stop the search")
