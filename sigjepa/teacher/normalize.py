"""Centring and whitening of pooled embeddings, with statistics fitted on the train split.

A language model's embeddings share a large mean and a few dominant directions, which hide what tells two texts
apart. Both maps are fitted on one side (signatures, or bodies) and applied to the same side of any split.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sigjepa.errors import SigjepaError


@dataclass(frozen=True)
class Centring:
    """Subtracts a fitted mean `[D]`."""

    mean: Tensor

    def __call__(self, embeddings: Tensor) -> Tensor:
        """Return `embeddings` `[n, D]` in the coordinates of the train mean `[n, D]`, float32."""
        return embeddings.float() - self.mean


@dataclass(frozen=True)
class Whitening:
    """Subtracts a fitted mean `[D]` and multiplies by a fitted matrix `[D, D]`."""

    mean: Tensor
    matrix: Tensor

    def __call__(self, embeddings: Tensor) -> Tensor:
        """Return `embeddings` `[n, D]` with uncorrelated coordinates of unit variance on train `[n, D]`, float32."""
        return (embeddings.float() - self.mean) @ self.matrix


def fit_centre(embeddings: Tensor) -> Centring:
    """Return the centring of train `embeddings` `[n, D]`; raises SigjepaError when there are none."""
    if not len(embeddings):
        raise SigjepaError("There are no train embeddings to centre by; the train split is empty.")
    return Centring(embeddings.double().mean(dim=0).float())


def fit_whitening(embeddings: Tensor, *, shrinkage: float = 0.01) -> Whitening:
    """Return the PCA whitening of train `embeddings` `[n, D]` (Su et al. 2021, arXiv:2103.15316).

    Args:
        embeddings: train embeddings `[n, D]`.
        shrinkage: share of the mean variance that every direction is given in exchange for as much of its own
            (Ledoit and Wolf 2004): with few rows the smallest variances are noise, and dividing by them would make
            noise dominate. 0 is plain whitening, and then wants n > D.

    Raises SigjepaError for fewer than two rows, or a shrinkage outside 0 to 1.
    """
    if len(embeddings) < 2:
        raise SigjepaError(f"Whitening needs at least two train embeddings, not {len(embeddings)}.")
    if not 0 <= shrinkage <= 1:
        raise SigjepaError(f"shrinkage={shrinkage} must be between 0 and 1.")
    rows = embeddings.double()  # the ratio of largest to smallest variance is beyond float32
    variances, directions = torch.linalg.eigh(torch.cov(rows.T))
    shrunk = (1 - shrinkage) * variances + shrinkage * variances.mean()
    scales = shrunk.clamp(min=torch.finfo(torch.float64).eps * variances.max()).rsqrt()
    return Whitening(rows.mean(dim=0).float(), (directions * scales).float())
