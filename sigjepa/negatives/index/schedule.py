"""How a number changes over training: the weight, the number and the difficulty of hard negatives by epoch."""

import math
from dataclasses import dataclass
from typing import Protocol

from sigjepa.errors import SigjepaError


class Schedule(Protocol):
    """A pure, monotone function of the epoch, so that a resumed run continues exactly where it was."""

    def value_at(self, epoch: float) -> float:
        """The value at `epoch`, counted from 0; fractions of an epoch are allowed, and infinity is the end."""
        ...

    @property
    def extremes(self) -> tuple[float, float]:
        """The lowest and the highest value it ever takes."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """The same value from the first step on: as a weight, 1 is Exp 2.1 and 0 is Exp 1.4.

    Raises SigjepaError for NaN.
    """

    value: float = 1.0

    def __post_init__(self) -> None:
        if math.isnan(self.value):
            raise SigjepaError("schedule: value must be a number, got nan.")

    def value_at(self, epoch: float) -> float:
        """`value`, whatever the epoch."""
        return self.value

    @property
    def extremes(self) -> tuple[float, float]:
        """`value` twice."""
        return self.value, self.value


@dataclass(frozen=True, slots=True)
class Step:
    """`before` until `start_epoch`, `after` from it on.

    Raises SigjepaError for a start that is negative, or a number that is not finite.
    """

    start_epoch: float = 10
    before: float = 0.0
    after: float = 1.0

    def __post_init__(self) -> None:
        _check_ramp(self.start_epoch, 0, self.before, self.after)

    def value_at(self, epoch: float) -> float:
        """`before` or `after`."""
        return self.after if epoch >= self.start_epoch else self.before

    @property
    def extremes(self) -> tuple[float, float]:
        """The lower and the higher of `before` and `after`."""
        return min(self.before, self.after), max(self.before, self.after)


@dataclass(frozen=True, slots=True)
class LinearRamp:
    """`before` until `start_epoch`, then in a straight line to `after` over `ramp_epochs`, and `after` from there on.

    The value is still `before` at `start_epoch` itself; `ramp_epochs=0` is a step. Source: the curriculum proposed in
    the Experiment 2.1 write-up. Raises SigjepaError as `Step` does, and for a negative length.
    """

    start_epoch: float = 10
    ramp_epochs: float = 5
    before: float = 0.0
    after: float = 1.0

    def __post_init__(self) -> None:
        _check_ramp(self.start_epoch, self.ramp_epochs, self.before, self.after)

    def value_at(self, epoch: float) -> float:
        """The value on the line."""
        return _between(self.before, self.after, _ramped(epoch, self.start_epoch, self.ramp_epochs))

    @property
    def extremes(self) -> tuple[float, float]:
        """The lower and the higher of `before` and `after`."""
        return min(self.before, self.after), max(self.before, self.after)


@dataclass(frozen=True, slots=True)
class CosineRamp:
    """As `LinearRamp`, along half a period of a cosine: slow at both ends.

    Raises SigjepaError as `LinearRamp` does.
    """

    start_epoch: float = 10
    ramp_epochs: float = 5
    before: float = 0.0
    after: float = 1.0

    def __post_init__(self) -> None:
        _check_ramp(self.start_epoch, self.ramp_epochs, self.before, self.after)

    def value_at(self, epoch: float) -> float:
        """The value on the curve."""
        share = _ramped(epoch, self.start_epoch, self.ramp_epochs)
        return _between(self.before, self.after, (1 - math.cos(math.pi * share)) / 2)

    @property
    def extremes(self) -> tuple[float, float]:
        """The lower and the higher of `before` and `after`."""
        return min(self.before, self.after), max(self.before, self.after)


def as_schedule(value: Schedule | float) -> Schedule:
    """A schedule as it is, and a plain number as a constant one."""
    return Constant(value) if isinstance(value, int | float) else value


def check_extremes(schedule: Schedule, name: str, lowest: float, highest: float) -> None:
    """Raise SigjepaError naming the setting `name` when `schedule` ever leaves [lowest, highest]."""
    low, high = schedule.extremes
    if low < lowest or high > highest:
        raise SigjepaError(
            f"{name} goes from {low:g} to {high:g}, but must stay within [{lowest:g}, {highest:g}]; change the values "
            "of its schedule."
        )


def _ramped(epoch: float, start_epoch: float, ramp_epochs: float) -> float:
    """How much of a ramp is done, in [0, 1]."""
    if epoch < start_epoch:
        return 0.0
    if epoch >= start_epoch + ramp_epochs:
        return 1.0
    return min(1.0, (epoch - start_epoch) / ramp_epochs)


def _between(before: float, after: float, share: float) -> float:
    """`before` and `after` themselves at the ends, and never past them, whatever the rounding."""
    if share in (0.0, 1.0):
        return after if share else before
    value = before + (after - before) * share
    return min(max(value, min(before, after)), max(before, after))


def _check_ramp(start_epoch: float, ramp_epochs: float, before: float, after: float) -> None:
    for name, value in (("start_epoch", start_epoch), ("ramp_epochs", ramp_epochs)):
        if not (math.isfinite(value) and value >= 0):
            raise SigjepaError(f"schedule: {name} must be a finite number of at least 0, got {value}.")
    for name, value in (("before", before), ("after", after)):
        if not math.isfinite(value):
            raise SigjepaError(f"schedule: {name} must be a finite number, got {value}.")
