"""The causes of a run's misses at Rank@10: structural ambiguity in the teacher's space, or student error.

Two thought experiments, each of which changes one side and keeps the other.

*Change the errors, keep the space and every query's own cosine.* What the run misses is the sum of four parts:

    1 - R  =  (1 - R_even)  +  (R_even - R_isotropic)  +  (R_isotropic - R_residuals)  +  (R_residuals - R)
              error size        crowding                  shared directions               particular functions

R_even is exact: bodies spread evenly over the sphere, where only the size of an error counts. R_isotropic is simulated
in the teacher's space with errors without structure, so the step to it is what the teacher loses by packing bodies
close. R_residuals takes the directions from the student's errors on other functions; R is the run. Only crowding speaks
for the teacher. It leans low: in many dimensions most of an unstructured error lies where bodies do not differ, and
usually harms less than the errors that students make. Without the first part a student that has learned nothing would
pass for an ambiguous teacher, since at a cosine near 0 unstructured errors miss as well.

*Change the space, keep the student.* Bodies that the teacher puts near the true one do not count. What this undoes of
the misses that are left when as many random bodies do not count leans high: a better student may tell near bodies
apart, unless they are exact copies. Near is a cosine of 0.80, the lowest at which the write-up calls a pair confusable.

There is a verdict when both shares, crowding's of all misses and near bodies' of those left, each with its whole 95 %
bootstrap interval over queries, lie on the same side of one half; otherwise it is `undecided`, with the reason. It is
about this pool, and queries count as independent. It does not say that a better student exists: what no signature tells
about its body is part of student error, and so is what more data or a larger student would mend.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.ceiling import (
    AlongResiduals,
    Directions,
    Isotropic,
    check_pair,
    draw_directions,
    simulated_ranks,
)
from sigjepa.evaluation.distractors import CUTOFF, NearBodies, measure_distractors
from sigjepa.evaluation.geometry import NEAR
from sigjepa.evaluation.ranks import Ranks, cosine_scores, score_ranks

TEACHER, STUDENT, UNDECIDED, NOTHING = "teacher ambiguity", "student error", "undecided", "nothing missed"
MIN_MISSED = 20
"""Queries that must be missed before causes are weighed: the bootstrap of a share of fewer is not to be trusted."""

_AGREEMENT = {  # by the sides of one half on which crowding and near lie
    (1, 1): (TEACHER, "both shares are above one half"),
    (-1, -1): (STUDENT, "both shares are below one half"),
    (-1, 1): (UNDECIDED, "near bodies take the places, but unstructured errors of this size would spare them"),
    (1, -1): (UNDECIDED, "unstructured errors of this size would miss as well, but not because of near bodies"),
}


@dataclass(frozen=True)
class Share:
    """Hold a share of the misses with its 95 % interval; beyond 0 to 1 where another part is negative."""

    value: float
    low: float
    high: float

    @property
    def side(self) -> int:
        """Return 1 when the interval lies above one half, -1 below, 0 when it contains one half."""
        return int(self.low > 0.5) - int(self.high < 0.5)

    def __str__(self) -> str:
        value, low, high = (f"{round(100 * share)}" for share in (self.value, self.low, self.high))
        return f"{value} % (95 % interval {low} to {high} %)"


@dataclass(frozen=True)
class Parts:
    """Split what the run misses at Rank@10 into parts that add up to it; fractions of all queries.

    One is negative where its step helps: errors that point away from other bodies harm less than unstructured ones. The
    last two are parted softly in a space with a strong common direction: what a residual says of its own body, which
    another function's does not share, says something of the common direction, too.
    """

    error_size: float
    crowding: float
    shared_directions: float
    particular_functions: float


@dataclass(frozen=True)
class Plateau:
    """Hold the verdict on a run and every figure behind it; Rank@10 as a fraction, ties in expectation.

    rank10_perfect: of predictions that are the true bodies; what they miss, exact copies take. rank10_even,
    rank10_isotropic, rank10_residuals: at the run's own cosines, see the module. crowding: the part of that name as a
    share of the misses. near: of the misses that are left when as many random bodies do not count, the share undone
    when bodies at `near_from` or more to the true one do not. Both are None when too few misses are left to share out.
    correlation, correlation_p: Spearman's between rank (or its logarithm) and the true body's cosine to its nearest
    other; None when one of the two is constant.
    """

    queries: int
    verdict: str
    reason: str
    rank10: float
    rank10_perfect: float
    rank10_even: float
    rank10_isotropic: float
    rank10_residuals: float
    mean_cosine: float
    parts: Parts
    crowding: Share | None
    near_from: float
    near: Share | None
    near_bodies: tuple[NearBodies, ...]
    correlation: float | None
    correlation_p: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON, with the sentence."""
        return asdict(self) | {"sentence": self.sentence()}

    def sentence(self) -> str:
        """Return the verdict with its figures, no stronger than they are."""
        if self.verdict == NOTHING:
            return f"Nothing missed: all {self.queries} queries are found at Rank@10."
        head = f"{self.verdict.capitalize()}{f' ({self.reason})' if self.verdict == UNDECIDED else ''}"
        missed = f"{100 * (1 - self.rank10):.1f} % of {self.queries} queries are missed at Rank@10"
        if self.crowding is None or self.near is None:
            return f"{head}: {missed}."
        limit = "; what no signature tells counts as student error" if self.verdict == STUDENT else ""
        return (
            f"{head}: {missed}; of these misses, crowding in the teacher's space at the run's own cosines explains "
            f"{self.crowding}; not counting bodies at cosine {self.near_from:.2f} or more to the true one would undo "
            f"{self.near} of those that as many random bodies would leave{limit}."
        )


def explain_plateau(
    predictions: Tensor,
    bodies: Tensor,
    ids: Tensor,
    residuals: AlongResiduals,
    *,
    near_from: float = NEAR[0],
    draws: int = 3,
    resamples: int = 2000,
    seed: int = 0,
) -> Plateau:
    """Return why `predictions` `[N, D]` of the functions `ids` `[N]` miss their `bodies` `[N, D]`, the whole pool.

    Args:
        predictions: of the run's best checkpoint on a held-out split.
        bodies: the teacher's, in the same order.
        ids: of the functions, in the same order.
        residuals: the run's errors on val, from `fit_residuals`; a function never gets its own.
        near_from: cosine from which the verdict takes another body as near; chosen for a teacher, never for a run.
        draws: simulated errors for each query.
        resamples: bootstrap samples of the queries.
        seed: of draws and resamples.

    Raises SigjepaError for values that are not finite, and rows that are zero.
    """
    check_pair(predictions, bodies)
    if not predictions.any(dim=1).all():
        raise SigjepaError("A prediction is zero and has no direction to rank by; the student collapsed.")
    body_cosines, scores = cosine_scores(bodies, bodies), cosine_scores(predictions, bodies)
    ranks, cosines = score_ranks(scores), scores.diagonal().clamp(-1, 1)
    hit, even = ranks.recall_at(CUTOFF), _hits_when_even(cosines, bodies.shape[1])

    def simulated_hits(directions: Directions) -> np.ndarray:
        drawn = (cosine_scores(d, bodies) for d in draw_directions(bodies, ids, directions, draws=draws, seed=seed))
        return np.mean([simulated_ranks(body_cosines, d, [cosines])[0].recall_at(CUTOFF) for d in drawn], axis=0)

    isotropic, along_residuals = simulated_hits(Isotropic()), simulated_hits(residuals)
    distractors = {
        level: measure_distractors(scores, ranks, body_cosines, level) for level in sorted({*NEAR, near_from})
    }
    chosen = distractors[near_from]
    crowding = _share(even - isotropic, 1 - hit, resamples, seed)
    near = _share(chosen.without_near - chosen.without_random, 1 - chosen.without_random, resamples, seed)
    verdict, reason = _verdict(float((1 - hit).sum()), crowding, near, near_from)
    nearest = body_cosines.clone().fill_diagonal_(-1).amax(dim=1)
    correlation, p_value = _correlation(ranks, nearest.numpy())
    return Plateau(
        queries=len(ids),
        verdict=verdict,
        reason=reason,
        rank10=float(hit.mean()),
        rank10_perfect=float(score_ranks(body_cosines).recall_at(CUTOFF).mean()),
        rank10_even=float(even.mean()),
        rank10_isotropic=float(isotropic.mean()),
        rank10_residuals=float(along_residuals.mean()),
        mean_cosine=float(cosines.mean()),
        parts=Parts(
            error_size=float((1 - even).mean()),
            crowding=float((even - isotropic).mean()),
            shared_directions=float((isotropic - along_residuals).mean()),
            particular_functions=float((along_residuals - hit).mean()),
        ),
        crowding=crowding,
        near_from=near_from,
        near=near,
        near_bodies=tuple(each.record for each in distractors.values()),
        correlation=correlation,
        correlation_p=p_value,
    )


def _hits_when_even(cosines: Tensor, dimension: int) -> np.ndarray:
    """Return `[N]` the probability of Rank@10 at `cosines` `[N]` when the other N - 1 bodies are uniform on the sphere.

    The cosine t of such a body to any prediction has (1 + t) / 2 ~ Beta((D - 1) / 2, (D - 1) / 2), independently.
    """
    from scipy import stats  # noqa: PLC0415 - slow to import

    half = (dimension - 1) / 2
    higher = stats.beta.sf((1 + cosines.double().numpy()) / 2, half, half)
    return stats.binom.cdf(CUTOFF - 1, len(cosines) - 1, higher)


def _share(part: np.ndarray, missed: np.ndarray, resamples: int, seed: int) -> Share | None:
    """Return the mean of `part` `[N]` over that of `missed` `[N]`, resampled by query; None when too few are missed."""
    from scipy import stats  # noqa: PLC0415 - slow to import

    if missed.sum() < MIN_MISSED:
        return None

    def ratio(numerator: np.ndarray, denominator: np.ndarray, axis: int = -1) -> np.ndarray:
        return numerator.sum(axis=axis) / denominator.sum(axis=axis)

    interval = stats.bootstrap(
        (part, missed),
        ratio,
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        batch=200,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Share(float(ratio(part, missed)), float(interval.low), float(interval.high))


def _verdict(missed: float, crowding: Share | None, near: Share | None, near_from: float) -> tuple[str, str]:
    """Return the verdict and its reason."""
    if missed == 0:
        return NOTHING, "no query is missed"
    if crowding is None:
        return UNDECIDED, f"fewer than {MIN_MISSED} queries are missed"
    if near is None:
        return (
            UNDECIDED,
            f"without as many random bodies as are at cosine {near_from:.2f}, too few misses are left to tell",
        )
    return _AGREEMENT.get((crowding.side, near.side), (UNDECIDED, "an interval contains one half"))


def _correlation(ranks: Ranks, nearest: np.ndarray) -> tuple[float | None, float | None]:
    from scipy import stats  # noqa: PLC0415 - slow to import

    expected = (ranks.optimistic + ranks.pessimistic) / 2  # the logarithm has the same order
    if np.ptp(expected) == 0 or np.ptp(nearest) == 0:
        return None, None
    result = stats.spearmanr(expected, nearest)
    return float(result.statistic), float(result.pvalue)
