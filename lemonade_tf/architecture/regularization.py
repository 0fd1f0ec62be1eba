"""Which stochastic regularization of its branches a network is trained with; see `branches`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Regularization:
    """Which stochastic regularization a training uses.

    Attributes:
        shake_shake: Whether means of two branches are Shake-Shake.
        drop_path: The probability p of ScheduledDropPath at the end of the training, in [0, 1).
    """

    shake_shake: bool = False
    drop_path: float = 0.0

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Return the regularization among settings side by side."""
        return cls(settings.get("shake_shake", False), settings.get("drop_path", 0.0))

    @property
    def settings(self) -> dict[str, Any]:
        """What is on, by the name of the setting."""
        return {name: value for name, value in vars(self).items() if value}


NO_REGULARIZATION = Regularization()
