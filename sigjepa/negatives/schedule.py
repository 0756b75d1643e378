"""How strongly hard negatives count, by epoch: the curriculum weight `w` that the loss adds as `log w` to a logit."""

import math
from dataclasses import dataclass
from typing import Protocol

from sigjepa.errors import SigjepaError


class Schedule(Protocol):
    """A pure function of the epoch, so that a resumed run continues exactly where it was."""

    def weight_at(self, epoch: float) -> float:
        """Weight of hard negatives at `epoch`, counted from 0; fractions of an epoch are allowed."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """The same weight from the first step on (Exp 2.1); 0 is training without hard negatives (Exp 1.4).

    Raises SigjepaError for a weight that is negative or not finite.
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        _check("weight", self.weight)

    def weight_at(self, epoch: float) -> float:
        """`weight`, whatever the epoch."""
        return self.weight


@dataclass(frozen=True, slots=True)
class LinearRamp:
    """In-batch negatives alone until `start_epoch`, then a linear rise to `weight` over `ramp_epochs`.

    The weight is still 0 at `start_epoch` itself and complete at `start_epoch + ramp_epochs`; `ramp_epochs=0` is a
    step to the full weight at `start_epoch`. Source: the curriculum proposed in the Experiment 2.1 write-up.

    Raises SigjepaError for an argument that is negative or not finite.
    """

    start_epoch: float = 10
    ramp_epochs: float = 5
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check("start_epoch", self.start_epoch)
        _check("ramp_epochs", self.ramp_epochs)
        _check("weight", self.weight)

    def weight_at(self, epoch: float) -> float:
        """0 before `start_epoch`, `weight` from `start_epoch + ramp_epochs` on, linear between."""
        if epoch < self.start_epoch:
            return 0.0
        if epoch >= self.start_epoch + self.ramp_epochs:
            return self.weight
        return self.weight * min(1.0, (epoch - self.start_epoch) / self.ramp_epochs)


def _check(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise SigjepaError(f"schedule: {name} must be a finite number of at least 0, got {value}.")
