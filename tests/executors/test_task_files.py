"""Files that tasks name."""

from pathlib import Path

import executor_toys as toys

from lemonade_tf.executors.task_files import TaskFiles, files_of, paths_in


def test_files_of_the_same_name_have_different_copies_of_that_name():
    files = TaskFiles(("/a/1.h5", "/b/1.h5"), ("/a/2.h5",), ("/a/2.h5",))
    copies = paths_in("/node", files)
    assert list(copies) == ["/a/1.h5", "/b/1.h5", "/a/2.h5"]
    assert [Path(copy).name for copy in copies.values()] == ["1.h5", "1.h5", "2.h5"]
    assert len(set(copies.values())) == 3
    assert all(copy.startswith("/node/") for copy in copies.values())


def test_other_tasks_name_no_files():
    assert files_of(("square", 2)) == TaskFiles()
    assert files_of(toys.Copy("a", "b")) == TaskFiles(("a",), ("b",))


def test_the_files_of_several_tasks_are_united():
    union = TaskFiles.union([TaskFiles(("a",), ("b",)), TaskFiles(("c",), (), ("d",))])
    assert union == TaskFiles(("a", "c"), ("b",), ("d",))
