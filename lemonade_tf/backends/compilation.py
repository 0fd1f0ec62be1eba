"""Whether compiling a training by XLA pays, by the seconds measured in this process.

On a GPU, a step of a small network consists of hundreds of short kernels, and TensorFlow takes
longer to launch them than the GPU to run them. XLA compiles the epoch to a program that fuses
kernels and launches them several times faster, but compiling takes seconds. For s steps of a
network of n layers in one of k processes that share the GPU, it pays if

    s * n * (plain - XLA seconds per step and layer)  >  (XLA - plain) seconds of compiling / k,

as k processes compile at the same time but train in turns. Each term is an exponential moving
average over the networks that this process trained. It starts from the values of an H100 with 16
CPU cores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

# Medians of five networks of 18 to 123 layers (docs/measured.md), with XLA and without.
_STEP = {True: 2.2e-5, False: 1.4e-4}  # seconds per layer
_COMPILING = {True: 8.0, False: 0.6}  # seconds
_RECENT = 0.2  # the weight of the latest network


class CompilationCosts:
    """Records what compiling and training cost in this process, with XLA and without."""

    def __init__(self) -> None:
        self._step, self._compiling = dict(_STEP), dict(_COMPILING)

    def add_compiling(self, jit_compile: bool, seconds: float) -> None:
        """Record how long compiling the training of a network took."""
        _update(self._compiling, jit_compile, seconds)

    def add_steps(
        self, model: keras.Model, jit_compile: bool, num_steps: int, seconds: float
    ) -> None:
        """Record how long an epoch of a network took."""
        _update(self._step, jit_compile, seconds / num_steps / len(model.layers))

    def xla_pays(self, model: keras.Model, num_steps: int, num_sharing: int = 1) -> bool:
        """Return whether XLA saves more seconds in steps than it takes to compile."""
        saved = num_steps * len(model.layers) * (self._step[False] - self._step[True])
        return saved > (self._compiling[True] - self._compiling[False]) / num_sharing


def _update(averages: dict[bool, float], jit_compile: bool, value: float) -> None:
    averages[jit_compile] += _RECENT * (value - averages[jit_compile])
