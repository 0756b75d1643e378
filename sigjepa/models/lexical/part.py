"""The protocol of a part of the lexical student, and what its parts share."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from sigjepa.data.batch import Halves, Terms
from sigjepa.data.views import Views
from sigjepa.errors import SigjepaError


class Part(Protocol):
    """A summand of the score: an `nn.Module` that gives views of signatures and the same views of bodies."""

    def fit(self, train: Halves) -> None:
        """Fit what no gradient of the ranking loss is needed for, on the train split, before training."""
        ...

    def signature_views(self, pooled: Tensor, terms: Terms) -> Views:
        """Return the views of signatures, from their embeddings `[B, D]` and terms."""
        ...

    def body_views(self, pooled: Tensor, terms: Terms) -> Views:
        """Return the views of bodies, from their embeddings `[C, D]` and terms."""
        ...


class ScaledRate(nn.Sequential):
    """Layers whose parameters are trained at `lr_scale` times the optimizer's rate."""

    def __init__(self, *layers: nn.Module, lr_scale: float) -> None:
        super().__init__(*layers)
        self.lr_scale = lr_scale


class Scaled(nn.Module):
    """A matrix or vector of weights that is trained at `lr_scale` times the optimizer's rate."""

    def __init__(self, weight: Tensor, lr_scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.lr_scale = lr_scale


class Standardize(nn.Module):
    """Subtract means and divide by deviations of train; features: k."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))

    def fit(self, values: Tensor) -> None:
        """Take the means and deviations of `[m, k]`; a constant stays as it is but for its mean."""
        if len(values):
            self.mean.copy_(values.mean(dim=0))
            self.deviation.copy_(values.std(dim=0, correction=0))
            self.deviation[self.deviation < 1e-3] = 1.0

    def forward(self, values: Tensor) -> Tensor:
        """Return the standardized values `[m, k]`."""
        return (values - self.mean) / self.deviation


def positive_logarithms(key: str, values: float | Sequence[float]) -> Tensor:
    """Return the logarithms of a number, or of some; raises SigjepaError for one that is not above 0.

    key: of the config, which the error names.
    """
    given = torch.tensor(values, dtype=torch.float32)
    if not (given.isfinite() & (given > 0)).all():
        raise SigjepaError(f"model.parts.{key}={values}: it starts the logarithm of a weight, so it must be above 0.")
    return given.log()


def zero_linear(features: int, outputs: int) -> nn.Linear:
    """Return a layer that gives 0 until it is trained."""
    layer = nn.Linear(features, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
