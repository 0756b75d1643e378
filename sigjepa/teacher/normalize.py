"""Centering and whitening of pooled embeddings, with statistics fitted on the train split.

A language model's embeddings share a large mean and a few dominant directions, which hide what tells two texts
apart. Both maps are fitted on one side (signatures, or bodies) and applied to the same side of any split.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sigjepa.errors import SigjepaError


@dataclass(frozen=True)
class Centering:
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


def fit_center(embeddings: Tensor) -> Centering:
    """Return the centering of train `embeddings` `[n, D]`; raises SigjepaError when there are none."""
    if not len(embeddings):
        raise SigjepaError("There are no train embeddings to center by; the train split is empty.")
    return Centering(embeddings.double().mean(dim=0).float())


BLOCK_NUMBERS = 2**25
"""Numbers that are held in double precision at a time: a quarter of a GiB."""


def fit_whitening(*parts: Tensor, shrinkage: float = 0.01) -> Whitening:
    """Return the PCA whitening of train embeddings (Su et al. 2021, arXiv:2103.15316).

    Args:
        parts: train embeddings `[n, D]`, in any number of parts; beside them a block of `BLOCK_NUMBERS` is held.
        shrinkage: share of the mean variance that every direction is given in exchange for as much of its own
            (Ledoit and Wolf 2004): with few rows the smallest variances are noise, and dividing by them would make
            noise dominate. 0 is plain whitening, and then wants n > D.

    Raises SigjepaError for fewer than two rows, or a shrinkage outside 0 to 1.
    """
    number = sum(map(len, parts))
    if number < 2:
        raise SigjepaError(f"Whitening needs at least two train embeddings, not {number}.")
    if not 0 <= shrinkage <= 1:
        raise SigjepaError(f"shrinkage={shrinkage} must be between 0 and 1.")
    mean, covariance = mean_and_covariance(parts, number)
    # the ratio of largest to smallest variance is beyond float32
    variances, directions = torch.linalg.eigh(covariance)
    shrunk = (1 - shrinkage) * variances + shrinkage * variances.mean()
    scales = shrunk.clamp(min=torch.finfo(torch.float64).eps * variances.max()).rsqrt()
    return Whitening(mean.float(), (directions * scales).float())


def mean_and_covariance(parts: Sequence[Tensor], number: int) -> tuple[Tensor, Tensor]:
    """Return the mean `[D]` and the covariance `[D, D]` of the rows of all parts, `number` of them, in float64."""
    rows = max(1, BLOCK_NUMBERS // parts[0].shape[1])
    if number <= rows:
        whole = torch.cat(tuple(parts)).double()
        return whole.mean(dim=0), torch.cov(whole.T)
    blocks = [block for part in parts for block in part.split(rows)]
    mean = torch.stack([block.double().sum(dim=0) for block in blocks]).sum(dim=0) / number
    products = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=mean.device)
    for block in blocks:
        centered = block.double().sub_(mean)
        products.addmm_(centered.T, centered)
    return mean, products / (number - 1)
