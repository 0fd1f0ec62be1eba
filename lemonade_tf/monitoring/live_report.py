"""Write report.html again and again while a search runs, for a small share of the time."""

from __future__ import annotations

import logging
import time

from lemonade_tf.errors import LemonadeError
from lemonade_tf.monitoring.callback import Callback, SearchState
from lemonade_tf.report.front_files import FrontFiles
from lemonade_tf.report.page import write_page
from lemonade_tf.runs.run import read_run
from lemonade_tf.store import NetworkRecord

MAX_SHARE = 0.01  # of the time of the search
MIN_SECONDS = 10.0  # between two pages
_logger = logging.getLogger(__name__)


class LiveReport(Callback):
    """Write the page after networks, at most for MAX_SHARE of the time.

    A search does not depend on its page: if it cannot be written, a warning is logged, and no more
    pages are written.
    """

    def __init__(self) -> None:
        self._next = 0.0  # when the page may be written again, of time.monotonic
        self._known = FrontFiles()

    def on_network_end(self, state: SearchState, record: NetworkRecord) -> None:
        """Write the page, unless it was written not long ago."""
        started = time.monotonic()
        if started < self._next:
            return
        try:
            write_page(read_run(state.workdir), self._known)
        except (LemonadeError, OSError) as error:
            _logger.warning("report.html is no longer updated: %s", error)
            self._next = float("inf")
            return
        ended = time.monotonic()
        self._next = ended + max(MIN_SECONDS, (ended - started) / MAX_SHARE)
