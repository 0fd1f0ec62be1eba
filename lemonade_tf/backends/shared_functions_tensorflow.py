"""TensorFlow functions that are traced once per process, and called by all networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def shared_function(function: Callable[..., Any], signature: list[tf.TensorSpec]) -> Any:
    """Trace a function outside of the network that is being traced, and of its device.

    Otherwise it would keep that network alive, and run on the device of the first replica for all
    replicas.
    """
    # Without inlining, a function is compiled once per network instead of once per call.
    attributes = {"_noinline": True}
    traced = tf.function(function, autograph=False, experimental_attributes=attributes)
    with tf.init_scope(), tf.device(None):
        return traced.get_concrete_function(*signature)
