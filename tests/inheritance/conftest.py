"""The small data set and networks of the tests of training."""

from training_fixtures import *  # noqa: F403
