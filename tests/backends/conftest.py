"""The small data set and networks for the tests of training and of the bridge."""

from bridge_fixtures import *  # noqa: F403
from training_fixtures import *  # noqa: F403
