"""The rank of the true body among all bodies of the pool."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sigjepa.data.views import Views, pooled_views, score, take_views
from sigjepa.errors import SigjepaError

BLOCK = 256
"""Queries scored at a time: their scores of a pool of thousands stay in the processor's cache."""


@dataclass(frozen=True)
class Ranks:
    """The rank of each query's true candidate, counted from 1.

    optimistic, pessimistic: `[N]` int64, the best and worst place among candidates that score exactly the same.
    """

    optimistic: np.ndarray
    pessimistic: np.ndarray

    def recall_at(self, k: int) -> np.ndarray:
        """Return `[N]` the probability that the true candidate is among the first k when ties are broken at random."""
        tied = self.pessimistic - self.optimistic + 1
        return np.clip(k - self.optimistic + 1, 0, tied) / tied

    def reciprocal(self) -> np.ndarray:
        """Return `[N]` the expected reciprocal rank when ties are broken at random."""
        harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, self.pessimistic.max(initial=0) + 1))])
        tied = self.pessimistic - self.optimistic + 1
        return (harmonic[self.pessimistic] - harmonic[self.optimistic - 1]) / tied


def rank_by_score(scores: Tensor, targets: Tensor, counts: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the optimistic and pessimistic rank `[N]` of column `targets[i]` in row i of `scores [N, C]`.

    counts: `[C]` how many candidates each column stands for, one by default. Rank = 1 + candidates scored strictly
    higher.
    """
    true = scores.gather(1, targets[:, None])
    higher, as_high = scores > true, scores >= true
    if counts is None:
        return 1 + higher.sum(dim=1), as_high.sum(dim=1)
    return 1 + (higher * counts).sum(dim=1), (as_high * counts).sum(dim=1)


def block_ranks(
    score: Callable[[Tensor], Iterable[Tensor]],
    targets: Tensor,
    counts: Tensor | None = None,
    *,
    scorings: int = 1,
    block: int = BLOCK,
) -> list[Ranks]:
    """Return the ranks of column `targets[i]` for query i by each of `scorings` scorings, a block of queries at a time.

    score: yields the scores `[Q, C]` of queries `rows` `[Q]` by each scoring in turn; they are ranked one by one, so
    memory is linear in the pool. counts: as in `rank_by_score`. block: most queries in a block; all blocks are about as
    long, since a product of very few rows is rounded in another way than the same rows of a longer one.
    """
    # one allocation: small results kept from between large temporaries would leave holes that no other one fits into
    places = torch.empty(scorings, 2, len(targets), dtype=torch.int64, device=targets.device)
    for rows in torch.arange(len(targets), device=targets.device).tensor_split(max(1, -(-len(targets) // block))):
        for place, scores in zip(places, score(rows), strict=True):
            place[0, rows], place[1, rows] = rank_by_score(scores, targets[rows], counts)
    return [Ranks(optimistic, pessimistic) for optimistic, pessimistic in places.cpu().numpy()]


def pool_ranks(predictions: Tensor, bodies: Tensor, block: int = BLOCK, queries: Tensor | None = None) -> Ranks:
    """Return the cosine rank of body i for prediction i among all `bodies`: both `[N, D]`, the whole pool.

    Raises SigjepaError when a prediction is not finite. block: as in `block_ranks`; ties, queries: as in `view_ranks`.
    """
    _check_finite(predictions)
    bodies = bodies.float()
    return view_ranks(pooled_views(predictions.float()), pooled_views(bodies), bodies, block, queries)


def first_of_identical(identity: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the first row of each of U distinct values `[U]`, which of these each row has `[N]`, and counts `[U]`.

    identity: `[N]` or `[N, D]`.
    """
    unique, columns, counts = torch.unique(identity, dim=0, return_inverse=True, return_counts=True)
    rows = torch.arange(len(identity), device=identity.device)
    first = columns.new_full((len(unique),), len(identity)).scatter_reduce(0, columns, rows, "amin")
    return first, columns, counts


def view_ranks(
    predictions: Views, bodies: Views, identity: Tensor, block: int = BLOCK, queries: Tensor | None = None
) -> Ranks:
    """Return the rank of body i for prediction i among all bodies by the score of their views, of N rows each.

    identity: `[N]` or `[N, D]`, equal for identical bodies alone: they are scored once and counted as often as they
    stand in the pool, so ties are exact. Raises SigjepaError when a score is not finite. block: as in `block_ranks`.
    queries: `[Q]` the rows i that are ranked; None is all.
    """
    first, columns, counts = first_of_identical(identity)
    asked = torch.arange(len(identity), device=identity.device) if queries is None else queries
    candidates = take_views(bodies, first)
    (ranks,) = block_ranks(
        lambda rows: [_finite(score(take_views(predictions, asked[rows]), candidates))],
        columns[asked],
        counts if len(first) < len(identity) else None,  # sums of booleans are many times as fast
        block=block,
    )
    return ranks


def _check_finite(predictions: Tensor) -> None:
    if not torch.isfinite(predictions).all():
        raise SigjepaError("A prediction is NaN or infinite; the student diverged. Lower optimizer.lr or clip more.")


def _finite(scores: Tensor) -> Tensor:
    if not torch.isfinite(scores).all():
        raise SigjepaError("A score is NaN or infinite; check the embeddings and texts it was computed from.")
    return scores


def score_ranks(scores: Tensor) -> Ranks:
    """Return the ranks of candidate i for query i by `scores` `[N, N]`; raises SigjepaError when one is not finite."""
    (ranks,) = block_ranks(lambda rows: [_finite(scores)[rows]], torch.arange(len(scores), device=scores.device))
    return ranks


def cosine_scorer(predictions: Tensor, bodies: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function from queries `rows` `[Q]` to the cosines `[Q, N]` of their predictions and all bodies.

    predictions: `[M, D]`. bodies: `[N, D]`; identical ones get equal columns: exact ties. Raises SigjepaError when a
    value is not finite.
    """
    _check_finite(predictions)
    if not torch.isfinite(bodies).all():
        raise SigjepaError("A body's embedding is NaN or infinite; build the teacher's shards again.")
    unique, columns = torch.unique(bodies.float(), dim=0, return_inverse=True)
    candidates = F.normalize(unique, dim=-1)
    return lambda rows: (F.normalize(predictions[rows].float(), dim=-1) @ candidates.T)[:, columns]


def cosine_scores(predictions: Tensor, bodies: Tensor) -> Tensor:
    """Return all scores `[M, N]` of `cosine_scorer` at once."""
    return cosine_scorer(predictions, bodies)(torch.arange(len(predictions), device=predictions.device))


def mean_cosine(predictions: Tensor, bodies: Tensor) -> float:
    """Return the mean cosine between prediction i and body i, both `[N, D]`."""
    return float(F.cosine_similarity(predictions.float(), bodies.float(), dim=-1).mean())
