"""Ramps of a number over training: the weight, the number and the difficulty of hard negatives by epoch."""

import math
from typing import Annotated, Literal

from pydantic import Field

from sigjepa.errors import SigjepaError
from sigjepa.runtime.fields import component

Epochs = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


@component("schedule")
class Ramp:
    """`start_value` until `start_epoch`, then to `end_value` over `ramp_epochs`, and that from there on.

    A pure, monotone function of the epoch, so that a resumed run continues exactly where it was. At `start_epoch`
    itself the value is still `start_value`, unless `ramp_epochs` is 0: then it is a step. Source: the curriculum
    proposed in the Experiment 2.1 write-up.

    shape: `linear`, or `cosine`, along half a period and so slow at both ends. Raises SigjepaError for an epoch that is
    negative, a number that is not finite, and another shape.
    """

    start_epoch: Epochs = 0
    ramp_epochs: Epochs = 0
    start_value: Finite = 0.0
    end_value: Finite = 1.0
    shape: Literal["linear", "cosine"] = "linear"

    def value_at(self, epoch: float) -> float:
        """Return the value at `epoch`, counted from 0; fractions are allowed, and infinity is the end."""
        if epoch < self.start_epoch:
            return self.start_value
        if epoch >= self.start_epoch + self.ramp_epochs:
            return self.end_value
        share = min(1.0, (epoch - self.start_epoch) / self.ramp_epochs)
        if self.shape == "cosine":
            share = (1 - math.cos(math.pi * share)) / 2
        if share in (0.0, 1.0):
            return self.end_value if share else self.start_value
        value = self.start_value + (self.end_value - self.start_value) * share
        low, high = sorted((self.start_value, self.end_value))
        return min(max(value, low), high)  # never past the ends, whatever the rounding


Schedule = Ramp | float
"""A ramp, or a number that stays as it is: as a weight, 1 is Exp 2.1 and 0 is Exp 1.4."""


def value_at(schedule: Schedule, epoch: float) -> float:
    """Return the value of a schedule at `epoch`."""
    return schedule.value_at(epoch) if isinstance(schedule, Ramp) else schedule


def beginning(schedule: Schedule) -> float:
    """Return the epoch from which on a schedule is above 0; infinity for one that never is."""
    if not isinstance(schedule, Ramp):
        return 0.0 if schedule > 0 else math.inf
    if schedule.start_value > 0:
        return 0.0
    return schedule.start_epoch if schedule.end_value > 0 else math.inf


def check_extremes(schedule: Schedule, name: str, lowest: float, highest: float) -> None:
    """Raise SigjepaError naming the setting `name` when `schedule` ever leaves [lowest, highest], or is no number."""
    values = [schedule.start_value, schedule.end_value] if isinstance(schedule, Ramp) else [schedule]
    low, high = min(values), max(values)
    if math.isnan(low) or low < lowest or high > highest:
        raise SigjepaError(
            f"{name} goes from {low:g} to {high:g}, but must stay within [{lowest:g}, {highest:g}]; change the values "
            "of its schedule."
        )
