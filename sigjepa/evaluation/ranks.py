"""Where the true body ranks among all bodies of the pool."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sigjepa.errors import SigjepaError

CUTOFFS = (1, 5, 10)
"""The k of the Rank@k that are reported."""


@dataclass(frozen=True)
class Ranks:
    """The rank of each query's true candidate, counted from 1.

    optimistic, pessimistic: `[N]` int64, the best and worst place among candidates that score exactly the same.
    """

    optimistic: np.ndarray
    pessimistic: np.ndarray

    def recall_at(self, k: int) -> np.ndarray:
        """`[N]` probability that the true candidate is among the first k when ties are broken at random."""
        tied = self.pessimistic - self.optimistic + 1
        return np.clip(k - self.optimistic + 1, 0, tied) / tied

    def reciprocal(self) -> np.ndarray:
        """`[N]` expected reciprocal rank when ties are broken at random."""
        harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, self.pessimistic.max(initial=0) + 1))])
        tied = self.pessimistic - self.optimistic + 1
        return (harmonic[self.pessimistic] - harmonic[self.optimistic - 1]) / tied

    def metrics(self) -> dict[str, float]:
        """Mean `rank1`, `rank5`, `rank10` and `mrr` as fractions, ties in expectation."""
        metrics = {f"rank{k}": float(self.recall_at(k).mean()) for k in CUTOFFS}
        return metrics | {"mrr": float(self.reciprocal().mean())}


def rank_by_score(scores: Tensor, targets: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Optimistic and pessimistic rank `[N]` of column `targets[i]` in row i of `scores [N, C]`.

    counts: `[C]` how many candidates each column stands for. Rank = 1 + candidates scored strictly higher.
    """
    own = scores.gather(1, targets[:, None])
    higher = ((scores > own) * counts).sum(dim=1)
    equal = ((scores == own) * counts).sum(dim=1)
    return 1 + higher, higher + equal


def pool_ranks(predictions: Tensor, bodies: Tensor, block: int = 1024) -> Ranks:
    """Cosine rank of body i for prediction i among all `bodies`: both `[N, D]`, the whole split.

    Identical bodies are scored once and counted as often as they stand in the pool, so ties are exact. Raises
    SigjepaError when a prediction is not finite. block: queries scored at a time.
    """
    if not torch.isfinite(predictions).all():
        raise SigjepaError("A prediction is NaN or infinite; the student diverged. Lower optimizer.lr or clip more.")
    unique, columns, counts = torch.unique(bodies.float(), dim=0, return_inverse=True, return_counts=True)
    candidates = F.normalize(unique, dim=-1)
    parts = [
        rank_by_score(F.normalize(queries.float(), dim=-1) @ candidates.T, targets, counts)
        for queries, targets in zip(predictions.split(block), columns.split(block), strict=True)
    ]
    optimistic, pessimistic = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))
    return Ranks(optimistic, pessimistic)


def score_ranks(scores: Tensor) -> Ranks:
    """Ranks of candidate i for query i by `scores` `[N, N]`; raises SigjepaError when a score is not finite."""
    if not torch.isfinite(scores).all():
        raise SigjepaError("A score is NaN or infinite; check the embeddings and texts it was computed from.")
    targets = torch.arange(len(scores), device=scores.device)
    optimistic, pessimistic = rank_by_score(scores, targets, torch.ones_like(targets))
    return Ranks(optimistic.cpu().numpy(), pessimistic.cpu().numpy())


def cosine_scores(predictions: Tensor, bodies: Tensor) -> Tensor:
    """`[Q, N]` cosine of predictions `[Q, D]` and bodies `[N, D]`; identical bodies get equal columns: exact ties."""
    unique, columns = torch.unique(bodies.float(), dim=0, return_inverse=True)
    return (F.normalize(predictions.float(), dim=-1) @ F.normalize(unique, dim=-1).T)[:, columns]


def mean_cosine(predictions: Tensor, bodies: Tensor) -> float:
    """Mean cosine between prediction i and body i, both `[N, D]`."""
    return float(F.cosine_similarity(predictions.float(), bodies.float(), dim=-1).mean())
