"""A loss term that pulls the norm of predictions to 1."""

from torch import nn

from sigjepa import Batch, LossTerm, Prediction, Progress


class UnitNorm(nn.Module):
    """Mean squared distance of the predictions' norms from 1; under DDP the mean over the ranks."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, prediction: Prediction, batch: Batch, progress: Progress) -> LossTerm:
        """Return the term's value on one batch."""
        return LossTerm((prediction.pooled.norm(dim=-1) - 1).square().mean())
