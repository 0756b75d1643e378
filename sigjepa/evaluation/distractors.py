"""Distractors: bodies that take the true one's place, and whether they are those that the teacher puts near it."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from sigjepa.evaluation.ranks import Ranks, score_ranks

CUTOFF = 10
"""The k of the Rank@k whose misses are explained."""

_LEFT_OUT = -2.0  # below every cosine


@dataclass(frozen=True)
class NearBodies:
    """Describe the part that bodies at a cosine of `threshold` or more to the true one have in misses at Rank@10.

    per_body: how many such bodies a body has, on average. among_missed: of the queries ranked worse than 10, the share
    with such a body above the true one; among_missed_at_random: the same had the bodies above been drawn from the pool;
    None when no query is ranked worse. rank10_without: Rank@10 when such bodies do not count; rank10_without_random:
    when as many random ones do not.
    """

    threshold: float
    per_body: float
    among_missed: float | None
    among_missed_at_random: float | None
    rank10_without: float
    rank10_without_random: float


@dataclass(frozen=True)
class Distractors:
    """Hold the record of one threshold, and what it is the mean of.

    without_near, without_random: `[N]` probability of Rank@10 when near bodies, or as many random ones, do not count.
    """

    record: NearBodies
    without_near: np.ndarray
    without_random: np.ndarray


def measure_distractors(scores: Tensor, ranks: Ranks, body_cosines: Tensor, threshold: float) -> Distractors:
    """Return the part that near bodies have in the misses.

    scores: `[N, N]` of queries and bodies; ranks: by these scores; body_cosines: `[N, N]` of bodies. An exact copy of a
    body is near it; the body itself is not, whatever its cosine.
    """
    near = (body_cosines >= threshold).fill_diagonal_(False)
    counts = near.sum(dim=1).numpy()
    without_near = score_ranks(scores.masked_fill(near, _LEFT_OUT)).recall_at(CUTOFF)
    without_random, none_above = _without_random(ranks, counts)
    missed = ranks.optimistic > CUTOFF
    near_above = (near & (scores > scores.diagonal()[:, None])).any(dim=1).numpy()
    record = NearBodies(
        threshold=threshold,
        per_body=float(counts.mean()),
        among_missed=float(near_above[missed].mean()) if missed.any() else None,
        among_missed_at_random=float(1 - none_above[missed].mean()) if missed.any() else None,
        rank10_without=float(without_near.mean()),
        rank10_without_random=float(without_random.mean()),
    )
    return Distractors(record, without_near, without_random)


def _without_random(ranks: Ranks, left_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `[N]` the chance of Rank@10 when `left_out` `[N]` random others do not count, and that none was above.

    Of the bodies above the true one, the number that still counts is hypergeometric. How many of the tied ones are
    above is random too, so each number has a row of its own.
    """
    from scipy import stats  # noqa: PLC0415 - slow to import

    others = len(left_out) - 1
    tied = ranks.pessimistic - ranks.optimistic + 1
    query = np.repeat(np.arange(len(tied)), tied)
    above = ranks.optimistic[query] - 1 + np.arange(len(query)) - np.repeat(np.cumsum(tied) - tied, tied)
    hits = (above < CUTOFF).astype(float)
    uncertain = np.flatnonzero((hits == 0) & (left_out[query] > 0))
    counting = (others - left_out[query[uncertain]])[:, None]
    hits[uncertain] = stats.hypergeom.pmf(np.arange(CUTOFF), others, counting, above[uncertain][:, None]).sum(axis=1)
    none_above = stats.hypergeom.pmf(0, others, left_out, ranks.optimistic - 1)
    return np.bincount(query, weights=hits) / tied, none_above
