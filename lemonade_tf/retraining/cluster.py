"""The machines that train a network together, from the environment variable TF_CONFIG.

TensorFlow defines its format: JSON such as

    {"cluster": {"worker": ["host1:12345", "host2:12345"]}, "task": {"type": "worker", "index": 0}}

with the same cluster on each machine, and the machine's own place in it as the task. The chief is
the first worker, or the machine of type "chief" if there is one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

from lemonade_tf.config import ConfigError

_VARIABLE = "TF_CONFIG"
_EXAMPLE = (
    '{"cluster": {"worker": ["host1:12345", "host2:12345"]},'
    ' "task": {"type": "worker", "index": 0}}'
)


@dataclass(frozen=True)
class Cluster:
    """The machines that train together.

    Attributes:
        addresses: HOST:PORT of each machine, the chief first.
        is_chief: Whether this machine is the chief, which reads checkpoints and writes files.
    """

    addresses: Sequence[str]
    is_chief: bool


def read_cluster() -> Cluster:
    """Return the cluster that TF_CONFIG describes.

    Raises:
        ConfigError: If it is missing or invalid, has a single machine, or machines of other types.
    """
    text = os.environ.get(_VARIABLE, "")
    try:
        config = json.loads(text)
        machines = dict(config["cluster"])
        kind, index = config["task"]["type"], config["task"]["index"]
        if not all(isinstance(addresses, list) for addresses in machines.values()):
            raise TypeError
        if not all(isinstance(each, str) for addresses in machines.values() for each in addresses):
            raise TypeError
        if not isinstance(index, int) or index not in range(len(machines[kind])):
            raise IndexError
    except (ValueError, TypeError, LookupError, AttributeError):
        raise _error(f"is {text!r}" if text else "is not set") from None
    addresses = [*machines.pop("chief", []), *machines.pop("worker", [])]
    if machines:
        raise _error(f"has machines of type {', '.join(machines)}")
    if len(addresses) < 2:
        raise _error(f"has a single machine, {addresses[0]}")
    return Cluster(addresses, is_chief=config["cluster"][kind][index] == addresses[0])


def _error(problem: str) -> ConfigError:
    return ConfigError(
        f"--strategy multi_worker: the environment variable {_VARIABLE} {problem}; expected two or"
        f" more machines of type worker, or chief and worker, such as {_EXAMPLE}."
    )
