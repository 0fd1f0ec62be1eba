"""A disk that loses what was not flushed, and one whose operations fail.

`LossyDisk` watches a folder while a program uses it, and writes what could be left of it if the
power failed at a moment. A file has the content of its last fsync, or any mixture of that and its
present content; a folder has, for each name, any of the entries since its last fsync. This is less
than most file systems guarantee: they order some of these changes.

`FailingDisk` raises an error of the operating system instead of one operation, or from one on.
"""

import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

BLOCK = 512  # bytes of a file that are written together
_OPERATIONS = ("write", "fsync", "replace", "rename", "unlink", "mkdir", "rmdir", "ftruncate")
_EMPTY = {}


class LossyDisk:
    """Watches a folder, which is on the disk when it starts.

    Args:
        root: The folder.

    Attributes:
        num_moments: How many moments there were so far at which the power could have failed:
            before and after each operation.
    """

    def __init__(self, root):
        self.root = Path(root)
        self.num_moments = 0
        self._kept = {}  # descriptors by inode: they keep its number from being used again
        self._flushed = {}  # content of files at their last fsync, by inode
        self._entries = {}  # states of each folder since its last fsync: {name: inode}, by inode
        self._at_moment = {}
        self._paused = False  # while the function of a moment uses the disk itself
        self._observe()
        for states in self._entries.values():
            del states[:-1]

    def at_moment(self, number, function):
        """Call a function at a moment."""
        self._at_moment.setdefault(number, []).append(function)

    @contextmanager
    def watching(self):
        """Watch the operations of this process."""
        real = {name: getattr(os, name) for name in _OPERATIONS}

        def watched(name):
            def operation(*arguments, **options):
                self._moment()
                if name == "fsync":
                    self._flush(arguments[0])
                    result = None
                else:
                    result = real[name](*arguments, **options)
                self._moment()
                return result

            return operation

        with patch.multiple(os, **{name: watched(name) for name in _OPERATIONS}):
            yield self
        for descriptor in self._kept.values():
            os.close(descriptor)

    def _moment(self):
        if self._paused:
            return
        self._observe()
        self._paused = True
        for function in self._at_moment.get(self.num_moments, ()):
            function()
        self._paused = False
        self.num_moments += 1

    def _observe(self):
        """Note how the folders are now."""
        for folder in (self.root, *(p for p in self.root.rglob("*") if p.is_dir())):
            entries = {}
            for path in folder.iterdir():
                with suppress(FileNotFoundError):
                    entries[path.name] = self._inode(path)
            states = self._entries.setdefault(self._inode(folder), [_EMPTY])
            if states[-1] != entries:
                states.append(entries)

    def _inode(self, path):
        number = os.stat(path).st_ino
        if number not in self._kept:
            self._kept[number] = os.open(path, os.O_RDONLY)
        return number

    def _flush(self, descriptor):
        facts = os.fstat(descriptor)
        if stat.S_ISDIR(facts.st_mode):
            del self._entries[facts.st_ino][:-1]
        else:
            self._inode_of_open_file(descriptor, facts.st_ino)
            self._flushed[facts.st_ino] = self._content(facts.st_ino)

    def _inode_of_open_file(self, descriptor, number):
        if number not in self._kept:
            self._kept[number] = os.dup(descriptor)

    def _content(self, number):
        descriptor = self._kept[number]
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)

    # --- After the power failed ---

    def write_remains(self, rng, target):
        """Write what could be left to another folder.

        Args:
            rng: Chooses between the possibilities; a `random.Random`.
            target: The folder, which is created.
        """
        self._write_folder(rng, os.stat(self.root).st_ino, Path(target))

    def _write_folder(self, rng, number, target):
        target.mkdir()
        states = self._entries[number]
        # Often everything since the last fsync is lost, or nothing: the most likely cases.
        choice = rng.choice(("lost", "kept", "mixed", "mixed"))
        for name in sorted({name for entries in states for name in entries}):
            possible = [entries.get(name) for entries in states]
            picked = {"lost": possible[0], "kept": possible[-1]}.get(choice, rng.choice(possible))
            if picked in self._entries:
                self._write_folder(rng, picked, target / name)
            elif picked is not None:
                (target / name).write_bytes(self._remains(rng, picked))

    def _remains(self, rng, number):
        """Return what could be left of a file."""
        flushed, present = self._flushed.get(number, b""), self._content(number)
        if flushed == present:
            return present
        kind = rng.choice(("lost", "kept", "torn", "torn"))
        if kind != "torn":
            return flushed if kind == "lost" else present
        lengths = sorted((len(flushed), len(present)))
        size = rng.choice((*lengths, rng.randint(*lengths)))
        pairs = enumerate(zip(flushed, present, strict=False))
        same = next((at for at, (a, b) in pairs if a != b), lengths[0])
        content = bytearray(present[:same])
        while len(content) < size:
            at = len(content)
            end = min(size, at + BLOCK - at % BLOCK)
            source = rng.choice((flushed, present, bytes(size)))
            content += source[at:end].ljust(end - at, b"\0")
        return bytes(content[:size])


class FailingDisk:
    """Counts writes, flushes and renames of this process, and lets some of them fail.

    Args:
        number: The operation that fails; None for none.
        errno: Its error.
        lasting: Whether all later ones fail as well.

    Attributes:
        num_operations: How many there were.
    """

    flushes = False  # whether data are really flushed, which takes time

    def __init__(self, number=None, errno=None, *, lasting=False):
        self.num_operations = 0
        self._number, self._errno, self._lasting = number, errno, lasting

    @contextmanager
    def failing(self):
        """Let the operations fail inside."""
        real = {name: getattr(os, name) for name in ("write", "fsync", "replace")}
        write_bytes = Path.write_bytes

        def checked(name):
            def operation(*arguments, **options):
                if self._fails():
                    if name == "write":  # a part is written before the disk is full
                        real[name](arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                    raise OSError(self._errno, os.strerror(self._errno))
                if name == "fsync" and not self.flushes:
                    return None
                return real[name](*arguments, **options)

            return operation

        def write_bytes_checked(path, data):
            if self._fails():
                write_bytes(path, data[: len(data) // 2])
                raise OSError(self._errno, os.strerror(self._errno))
            return write_bytes(path, data)

        with (
            patch.multiple(os, **{name: checked(name) for name in real}),
            patch.object(Path, "write_bytes", write_bytes_checked),
        ):
            yield self

    def _fails(self):
        number, self.num_operations = self.num_operations, self.num_operations + 1
        if self._number is None:
            return False
        return number == self._number or (self._lasting and number > self._number)
