"""The protocol of a loss term."""

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from sigjepa.data.batch import Batch
from sigjepa.models.prediction import Prediction


@dataclass(frozen=True)
class Progress:
    """Progress of training: `epoch` counts from 0, with its fraction done, and `step` is the optimizer step.

    Schedules are pure in it.
    """

    epoch: float
    step: int


@dataclass
class LossTerm:
    """A loss term's scalar value, unweighted, and the figures it wants logged beside it.

    Under DDP the mean of `value`, and of each figure, over the processes is that of one process on the global batch.
    """

    value: Tensor
    logs: dict[str, Tensor | float] = field(default_factory=dict)


class Loss(Protocol):
    """A loss term: an `nn.Module` with a `weight` in the sum, called once a training step."""

    weight: float

    def __call__(self, prediction: Prediction, batch: Batch, progress: Progress) -> LossTerm:
        """Return the term's value on one batch."""
        ...


def at_least_float32(values: Tensor) -> Tensor:
    """Return `values` as float32; float32 and float64 stay as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
