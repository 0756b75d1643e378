"""Gauges of collapse: whether predictions still tell functions apart, whatever the loss says."""

import torch
from torch import Tensor
from torch.nn import functional as F


def standard_deviation(rows: Tensor) -> float:
    """Return the standard deviation of a coordinate over L2-normalized rows `[N, D]`, mean over coordinates, times √D.

    0 when all rows point the same way and 1 when they spread over the sphere (SimSiam, https://arxiv.org/abs/2011.10566).
    """
    unit = F.normalize(rows.float(), dim=-1)
    return float(unit.std(dim=0, correction=0).mean() * rows.shape[1] ** 0.5)


def effective_rank(rows: Tensor) -> float:
    """Return the exponential of the entropy of the normalized singular values of L2-normalized rows `[N, D]`, not
    centered.

    Between 1, a single direction, and min(N, D) (Roy & Vetterli 2007; RankMe, https://arxiv.org/abs/2210.02885).
    """
    unit = F.normalize(rows.double(), dim=-1)
    gram = unit.T @ unit if len(unit) > unit.shape[1] else unit @ unit.T  # the smaller one has the same spectrum
    singular_values = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    shares = singular_values / singular_values.sum()
    return float(torch.special.entr(shares).sum().exp())


def mean_pairwise_cosine(rows: Tensor) -> float:
    """Return the mean cosine over all pairs of different rows `[N, D]`; 1 when all point the same way (anisotropy)."""
    unit = F.normalize(rows.double(), dim=-1)
    n = len(unit)
    return float((unit.sum(dim=0).square().sum() - unit.square().sum()) / max(n * (n - 1), 1))
