"""A module whose import is slow."""

import time

time.sleep(5)
