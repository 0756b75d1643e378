"""Whether a difference is more than noise: over the seeds of an experiment, and over the queries of a pool."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.ranks import CUTOFFS, Ranks
from sigjepa.store.progress import progress

METRICS = (*(f"rank{k}" for k in CUTOFFS), "mrr")
"""What is tested, in the order of the columns of a difference matrix."""
CONFIDENCE = 0.95
RESAMPLES = 9999
SEED = 0
BATCH = 500
"""Resamples drawn at a time: bounds the index and sign matrices to `[BATCH, N]`."""
DISTRIBUTION_CELLS = 4_000_000
"""Floats of a resampled distribution that are held at once (32 MB): bounds the pairs tested in one pass."""
LEVEL = 0.05
BETTER, WORSE, WITHIN_NOISE, NOT_TESTED = "better", "worse", "within noise", "not tested"
ONE_SEED = "for this seed only"
RULE = (
    f"A difference is called better or worse only if its Holm-adjusted permutation p is below {LEVEL} and its 95 % "
    "interval over the seeds excludes 0. The p-value is of per-query differences averaged over the seeds; Holm runs "
    "over every experiment, reference and metric of the table. The interval is Student's t on one difference a seed: "
    "two runs of that seed, or a run and the trivial baseline on its pool. With one seed there is no such interval: "
    "the paired bootstrap interval over the queries stands in for it, and the word is "
    f'"better {ONE_SEED}" or "worse {ONE_SEED}". Everything else that was tested is within noise, which does not mean '
    "equal. Without common seeds, the same pool and ranks on both sides there is no test. Queries count as independent "
    "of each other; p-values within one seed are not adjusted."
)
"""The rule of `Effect.verdict` in words; the report quotes it."""


@dataclass(frozen=True)
class SeedInterval:
    """A mean over seeds and its Student-t interval; low and high are None with a single seed, which has no spread."""

    mean: float
    low: float | None
    high: float | None
    count: int

    @property
    def half_width(self) -> float | None:
        """How far the interval reaches from the mean: the smallest mean that it would tell from 0."""
        return None if self.high is None else self.high - self.mean


@dataclass(frozen=True)
class PairedTest:
    """A mean difference over queries, its bootstrap interval, and its two-sided permutation p-value."""

    difference: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class Effect:
    """The difference of two experiments on one metric, over queries and over seeds.

    over_queries: on the per-query differences averaged over the seeds. adjusted: its p-value after Holm. over_seeds:
    of the seeds' mean differences. by_seed: the test within every seed, and mcnemar for Rank@1, neither adjusted.
    """

    over_queries: PairedTest
    adjusted: float
    over_seeds: SeedInterval
    by_seed: dict[int, PairedTest]
    mcnemar: dict[int, float]

    @property
    def interval(self) -> tuple[float, float]:
        """Over the seeds, or over the queries where there is one seed."""
        if self.over_seeds.low is None or self.over_seeds.high is None:
            return self.over_queries.low, self.over_queries.high
        return self.over_seeds.low, self.over_seeds.high

    @property
    def verdict(self) -> str:
        """By `RULE`."""
        low, high = self.interval
        if self.adjusted >= LEVEL or low <= 0 <= high:
            return WITHIN_NOISE
        word = BETTER if low > 0 else WORSE
        return word if len(self.by_seed) > 1 else f"{word} {ONE_SEED}"


def seed_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> SeedInterval:
    """Mean of one value a seed, with the Student-t interval when there are at least two.

    Assumes that the seeds' values are about normal. Raises SigjepaError when there is no value or one is not finite.
    """
    from scipy import stats  # noqa: PLC0415 - slow to import

    if not len(values) or not np.isfinite(values).all():
        raise SigjepaError(f"An interval over seeds needs finite values, at least one; got {list(values)}.")
    mean = float(np.mean(values))
    if len(values) == 1:
        return SeedInterval(mean, None, None, 1)
    # not stats.t.interval: it is NaN where all values are equal
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values))
    return SeedInterval(mean, mean - half, mean + half, len(values))


def paired_differences(first: tuple[np.ndarray, Ranks], second: tuple[np.ndarray, Ranks]) -> np.ndarray:
    """`[N, len(METRICS)]` of each query's metrics, first minus second, ties in expectation.

    first, second: ids `[N]` and ranks of the same queries in the same order. Raises SigjepaError when they are not,
    or when there are fewer than two.
    """
    (first_ids, first_ranks), (second_ids, second_ranks) = first, second
    for ids, ranks in (first, second):
        if not len(ids) == len(ranks.optimistic) == len(ranks.pessimistic):
            raise SigjepaError(f"{len(ids)} query ids go with {len(ranks.optimistic)} ranks; evaluate the run again.")
    if not np.array_equal(first_ids, second_ids):
        only = [len(np.setdiff1d(one, other)) for one, other in ((first_ids, second_ids), (second_ids, first_ids))]
        raise SigjepaError(
            f"These are ranks of different queries: {only[0]} ids are only in the first and {only[1]} only in the "
            "second, or their order differs. Compare runs on the same corpus and split."
        )
    if len(first_ids) < 2:
        raise SigjepaError(f"A paired test needs at least two queries and the split has {len(first_ids)}.")
    return _per_query(first_ranks) - _per_query(second_ranks)


def _per_query(ranks: Ranks) -> np.ndarray:
    return np.stack([*(ranks.recall_at(k) for k in CUTOFFS), ranks.reciprocal()], axis=1)


def paired_tests(
    differences: Sequence[np.ndarray],
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    batch: int = BATCH,
) -> list[dict[str, PairedTest]]:
    """The tests of each pair, by metric; differences: one matrix of `paired_differences` a pair.

    Pairs over equally many queries share their draws: one pass over them costs little more than one pair alone.
    """
    results: dict[int, dict[str, PairedTest]] = {}
    width = max(1, DISTRIBUTION_CELLS // (resamples * len(METRICS)))
    for count in sorted({len(matrix) for matrix in differences}):
        pairs = [pair for pair, matrix in enumerate(differences) if len(matrix) == count]
        for start in progress(range(0, len(pairs), width), f"Testing differences over {count} queries", unit="part"):
            chunk = pairs[start : start + width]
            columns = np.concatenate([differences[pair] for pair in chunk], axis=1)
            low, high = bootstrap_interval(columns, confidence, resamples, seed, batch)
            found = np.stack([columns.mean(axis=0), low, high, permutation_p_value(columns, resamples, seed, batch)])
            for pair, block in zip(chunk, np.split(found, len(chunk), axis=1), strict=True):
                results[pair] = {
                    metric: PairedTest(*map(float, column)) for metric, column in zip(METRICS, block.T, strict=True)
                }
    return [results[pair] for pair in range(len(differences))]


def effects(
    pairs: Sequence[Mapping[int, np.ndarray]], resamples: int = RESAMPLES, seed: int = SEED
) -> list[dict[str, Effect]]:
    """The effects of each pair of experiments, by metric, Holm-adjusted over all pairs and metrics: one table.

    pairs: by the run's seed, the matrix of `paired_differences`, all of one pair over the same queries. resamples:
    raised for a large table, in which the least p-value that they allow would not survive the adjustment.
    """
    resamples = max(resamples, math.ceil(4 * len(pairs) * len(METRICS) / LEVEL))
    averaged = [np.mean(list(pair.values()), axis=0) for pair in pairs]
    within = [matrix for pair in pairs for matrix in pair.values()]
    tests = paired_tests([*averaged, *within], resamples=resamples, seed=seed)
    adjusted = holm([test.p_value for pair in tests[: len(pairs)] for test in pair.values()]).reshape(-1, len(METRICS))
    of_seeds = iter(tests[len(pairs) :])
    results = []
    for pair, over_queries, p_values in zip(pairs, tests, adjusted, strict=False):
        by_seed = {one: next(of_seeds) for one in pair}
        mcnemar = {one: mcnemar_p_value(matrix[:, METRICS.index("rank1")]) for one, matrix in pair.items()}
        results.append(
            {
                metric: Effect(
                    over_queries[metric],
                    float(p_value),
                    seed_interval([found[metric].difference for found in by_seed.values()]),
                    {one: found[metric] for one, found in by_seed.items()},
                    mcnemar if metric == "rank1" else {},
                )
                for metric, p_value in zip(METRICS, p_values, strict=True)
            }
        )
    return results


def bootstrap_interval(
    differences: np.ndarray,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    batch: int = BATCH,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap interval `[M]`, `[M]` of the mean of each column of `differences [N, M]`, N at least 2.

    Percentile, because the statistic is a plain mean over hundreds of queries, nearly unbiased and symmetric; because
    swapping the two runs mirrors it exactly; and because it is defined (as a point) when all differences are equal,
    where BCa is not. Source: Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13.
    """
    from scipy import stats  # noqa: PLC0415 - slow to import

    count = len(differences)

    def means(queries: np.ndarray, axis: int) -> np.ndarray:
        # how often each query is drawn, times its differences: gathering [batch, N, M] would cost M times as much
        rows = count * np.arange(len(queries))[:, None]
        drawn = np.bincount((queries + rows).ravel(), minlength=count * len(queries)).reshape(-1, count)
        return (drawn @ differences / count).T

    interval = stats.bootstrap(
        (np.arange(count),),
        means,
        n_resamples=resamples,
        batch=batch,
        vectorized=True,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return interval.low, interval.high


def permutation_p_value(
    differences: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED, batch: int = BATCH
) -> np.ndarray:
    """Two-sided p-value `[M]` of the mean of each column of `differences [N, M]`; never 0.

    Were the two runs alike, each query's pair could be swapped, which flips the sign of its difference. So signs are
    permuted, once for all columns; exactly, by listing all of them, where there are no more than `resamples`.
    """
    from scipy import stats  # noqa: PLC0415 - slow to import

    def means(signs: np.ndarray, axis: int) -> np.ndarray:
        return signs @ differences / len(differences)

    result = stats.permutation_test(
        (np.ones(len(differences)),),
        means,
        permutation_type="samples",
        n_resamples=resamples,
        batch=batch,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return result.pvalue


def mcnemar_p_value(differences: np.ndarray) -> float:
    """Exact McNemar test of Rank@1 in one seed; differences: `[N]`, the Rank@1 column of `paired_differences`.

    A query counts for the run that is more likely to place its true body first, so a tie that the other run breaks
    counts whole, like a miss; without ties this is McNemar's test. Two-sided; 1 when no query tells the runs apart.
    """
    from scipy import stats  # noqa: PLC0415 - slow to import

    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    return float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return the `[M]` p-values adjusted for the M tests of a table. Source: Holm (1979), Scand. J. Statistics 6."""
    ascending = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[ascending] = np.minimum(np.maximum.accumulate(factors * np.asarray(p_values, float)[ascending]), 1)
    return adjusted
