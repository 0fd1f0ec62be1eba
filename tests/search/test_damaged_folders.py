"""A damaged run folder is refused with a reason, or resumes to the same result."""

import random
import shutil

import pytest
from toy_training import cut, results, toy_search

from lemonade_tf.config import ConfigError
from lemonade_tf.search import SearchError
from lemonade_tf.store import StoreError


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A folder of a search that was cut, and one of another search."""
    folder = tmp_path_factory.mktemp("damaged")
    return cut(folder / "run", 10), cut(folder / "other", 10, seed=1)


def damage(rng, workdir, other):
    """Damage a file of a run; return what was done."""
    files = sorted(path for path in workdir.rglob("*") if path.is_file())
    path = rng.choice(files)
    content = path.read_bytes()
    kind = rng.choice(["truncated", "flipped", "missing", "foreign", "garbage", "a folder"])
    if kind == "truncated":
        path.write_bytes(content[: rng.randrange(len(content) + 1)])
    elif kind == "flipped" and content:
        position = rng.randrange(len(content))
        flipped = content[position] ^ (1 << rng.randrange(8))
        path.write_bytes(content[:position] + bytes([flipped]) + content[position + 1 :])
    elif kind == "foreign":
        theirs = other / path.relative_to(workdir)
        path.write_bytes(theirs.read_bytes() if theirs.exists() else b"")
    elif kind == "garbage":
        path.write_bytes(rng.randbytes(rng.randrange(1, 2000)))
    else:
        path.unlink()
        if kind == "a folder":
            path.mkdir()
    return f"{path.relative_to(workdir)} {kind}"


def resumes_after_damage(folder, damaged, whole, number):
    rng = random.Random(number)
    workdir = folder / f"run-{number}"
    shutil.copytree(damaged[0], workdir)
    what = damage(rng, workdir, damaged[1])
    try:
        toy_search(workdir, in_process=True, resume=True)
        outcome = "resumed"
    except (StoreError, ConfigError, SearchError) as error:
        outcome = str(error)
    assert outcome != "resumed" or results(workdir) == whole, what
    assert len(outcome.splitlines()) == 1, what
    shutil.rmtree(workdir)
    return outcome == "resumed"


@pytest.mark.parametrize("number", range(20))
def test_a_damaged_folder_is_refused_or_resumed_correctly(tmp_path, damaged, whole, number):
    resumes_after_damage(tmp_path, damaged, whole, number)


@pytest.mark.slow
def test_200_damaged_folders(tmp_path, damaged, whole):
    outcomes = [resumes_after_damage(tmp_path, damaged, whole, n) for n in range(20, 220)]
    assert set(outcomes) == {True, False}
    print(f"\n{outcomes.count(False)} refused, {outcomes.count(True)} resumed")
