"""Whether other programs use this machine: times measured now are then longer than on an idle one.

A search keeps as many threads busy as there are CPUs, so that a much higher load is that of others.
"""

from __future__ import annotations

import os

_BUSY = 1.5  # the load per CPU above which the machine is busy


def busy_note() -> str | None:
    """Return a sentence if the machine has more work than CPUs; None if it has not."""
    try:
        load, num_cpus = os.getloadavg()[0], os.cpu_count() or 1
    except OSError:  # not available on this system
        return None
    if load <= _BUSY * num_cpus:
        return None
    return (
        f"Other programs use this machine, too: its load is {load:.1f} on {num_cpus} CPUs. On an"
        " idle one, the search takes less time."
    )
