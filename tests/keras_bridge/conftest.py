"""Graphs for the tests of the bridge."""

from bridge_fixtures import *  # noqa: F403
