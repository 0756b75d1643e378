"""Uniformity of the predictions on the sphere: a loss term against collapse."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sigjepa import Batch, LossTerm, Prediction, Progress, SigjepaError


def uniformity(predictions: Tensor, t: float) -> Tensor:
    """Return the log of the mean Gaussian potential of all pairs of `[B, D]` (https://arxiv.org/abs/2005.10242, eq. 5).

    Predictions are normalized here. It is 0 when all are equal and falls as they spread. t: how fast the potential
    falls with the squared distance.
    """
    squared_distances = torch.pdist(F.normalize(predictions.float(), dim=-1)).square()
    return squared_distances.mul(-t).exp().mean().log()


class Uniformity(nn.Module):
    """Uniformity of the batch's predictions; under DDP the mean over the ranks of each rank's own value.

    t: as in `uniformity`. weight: share of this term in the loss.
    """

    def __init__(self, t: float = 2.0, weight: float = 0.1) -> None:
        super().__init__()
        if t <= 0:
            raise SigjepaError(f"uniformity.t is {t}; give a positive number.")
        self.t = t
        self.weight = weight

    def forward(self, prediction: Prediction, batch: Batch, progress: Progress) -> LossTerm:
        """Return the term on one batch; a batch of one function has no pairs and contributes 0."""
        if len(batch) < 2:
            return LossTerm(prediction.pooled.sum() * 0)
        return LossTerm(uniformity(prediction.pooled, self.t))
