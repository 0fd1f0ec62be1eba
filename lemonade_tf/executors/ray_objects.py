"""Files of the driver in Ray's object store, from which the nodes fetch them."""

from __future__ import annotations

import os
from collections import OrderedDict

import numpy as np
import ray
from ray.exceptions import RayError

from lemonade_tf.executors.base import WorkerSetupError, describe_error

_NUM_KEPT = 32  # a parent's children are trained at about the same time


class ObjectFiles:
    """Puts files into the object store; the last ones stay for the next tasks that read them."""

    def __init__(self) -> None:
        self._objects: OrderedDict[tuple[str, int, int, int], ray.ObjectRef] = OrderedDict()

    def put(self, path: str) -> ray.ObjectRef:
        """Return the object with the content of a file: its bytes, uint8 (size,).

        Raises:
            FileNotFoundError: If there is no such file.
            WorkerSetupError: If the object store is full.
        """
        facts = os.stat(path)
        key = path, facts.st_ino, facts.st_mtime_ns, facts.st_size
        if key not in self._objects:
            try:
                self._objects[key] = ray.put(np.fromfile(path, np.uint8))
            except RayError as error:
                raise WorkerSetupError(
                    f"{path}: Ray cannot store the file ({describe_error(error)}); free some disk"
                    " space, or start Ray with a larger --object-store-memory."
                ) from error
        self._objects.move_to_end(key)
        if len(self._objects) > _NUM_KEPT:
            self._objects.popitem(last=False)  # Ray frees it once no running task needs it
        return self._objects[key]
