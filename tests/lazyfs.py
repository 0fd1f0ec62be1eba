"""LazyFS (github.com/dsrhaslab/lazyfs): a file system that loses what was not flushed.

It runs in user space through FUSE and keeps written data in a cache of its own, which reaches the
folder below only by fsync. `LazyFS.clear` forgets the rest, as when the power fails.
"""

import os
import select
import subprocess
import time
from pathlib import Path

_SETTINGS = """
[faults]
fifo_path="{folder}/commands"
fifo_path_completed="{folder}/completed"
[cache]
apply_eviction=false
[cache.simple]
custom_size="0.1GB"
blocks_per_page=1
[filesystem]
log_all_operations=false
logfile="{folder}/log"
"""


class LazyFS:
    """Mounts LazyFS while it is used as a context manager.

    Args:
        executable: The program `lazyfs`.
        folder: An empty folder for the mount point and for what LazyFS needs itself.

    Attributes:
        mount: The mount point.
    """

    def __init__(self, executable, folder):
        self.mount, self._below = Path(folder) / "mount", Path(folder) / "below"
        self._commands, self._completed = Path(folder) / "commands", Path(folder) / "completed"
        self._executable, self._settings = executable, Path(folder) / "settings.toml"
        self._settings.write_text(_SETTINGS.format(folder=folder))

    def __enter__(self):
        self.mount.mkdir()
        self._below.mkdir()
        options = ["-o", "modules=subdir", "-o", f"subdir={self._below}", "-f"]
        self._process = subprocess.Popen(
            [self._executable, self.mount, "--config-path", self._settings.name, *options],
            cwd=self._settings.parent,  # LazyFS ignores a path with "-o" in it
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while not (os.path.ismount(self.mount) and self._completed.exists()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise OSError(f"{self._executable} does not mount {self.mount}")
            time.sleep(0.01)
        self._commands_pipe = os.open(self._commands, os.O_RDWR)
        self._completed_pipe = os.open(self._completed, os.O_RDWR)  # LazyFS waits for a reader
        return self

    def __exit__(self, *error):
        os.close(self._commands_pipe)
        os.close(self._completed_pipe)
        subprocess.run(["fusermount3", "-u", "-z", self.mount], check=True)
        self._process.terminate()
        self._process.wait(30)

    def clear(self):
        """Lose all data that were not flushed, and return when they are lost."""
        os.write(self._commands_pipe, b"lazyfs::clear-cache\n")
        if not select.select([self._completed_pipe], [], [], 30)[0]:
            raise OSError(f"{self._executable} does not answer")
        answer = os.read(self._completed_pipe, 1000)
        if answer != b"finished::clear-cache\n":
            raise OSError(f"{self._executable} answers {answer}")
