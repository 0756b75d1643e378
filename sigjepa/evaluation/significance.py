"""Tests of whether a difference is more than noise: over the seeds of an experiment, and over the queries of a pool."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.metrics import Direction, Metrics, QueryValues
from sigjepa.store.progress import progress

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
        """The reach of the interval from the mean: the smallest mean that it would tell from 0."""
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
    direction: of the metric.
    """

    over_queries: PairedTest
    adjusted: float
    over_seeds: SeedInterval
    by_seed: dict[int, PairedTest]
    mcnemar: dict[int, float]
    direction: Direction = "max"

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
        word = BETTER if (low > 0) == (self.direction == "max") else WORSE
        return word if len(self.by_seed) > 1 else f"{word} {ONE_SEED}"


def seed_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> SeedInterval:
    """Return the mean of one value a seed, with the Student-t interval when there are at least two.

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


def paired_differences(first: QueryValues, second: QueryValues, names: Sequence[str]) -> np.ndarray:
    """Return `[N, len(names)]` of each query's metrics, first minus second, ties in expectation.

    first, second: of the same queries in the same order. Raises SigjepaError when they are not, when there are fewer
    than two, or when one has no values of a metric.
    """
    for queries in (first, second):
        for name in names:
            if name not in queries.values:
                raise SigjepaError(f"there are no values of '{name}' by query, only of {', '.join(queries.values)}")
            if len(queries.values[name]) != len(queries.ids):
                raise SigjepaError(
                    f"{len(queries.ids)} query ids go with {len(queries.values[name])} values of '{name}'; evaluate "
                    "the run again."
                )
    if not np.array_equal(first.ids, second.ids):
        only = [len(np.setdiff1d(*ids)) for ids in ((first.ids, second.ids), (second.ids, first.ids))]
        raise SigjepaError(
            f"These are ranks of different queries: {only[0]} ids are only in the first and {only[1]} only in the "
            "second, or their order differs. Compare runs on the same corpus and split."
        )
    if len(first.ids) < 2:
        raise SigjepaError(f"A paired test needs at least two queries and the split has {len(first.ids)}.")
    return np.stack([first.values[name] - second.values[name] for name in names], axis=1)


def paired_tests(
    differences: Sequence[np.ndarray],
    names: Sequence[str],
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    batch: int = BATCH,
) -> list[dict[str, PairedTest]]:
    """Return the tests of each pair, by metric; differences: one matrix of `paired_differences` of `names` a pair.

    Pairs over equally many queries share their draws: one pass over them costs little more than one pair alone.
    """
    results: dict[int, dict[str, PairedTest]] = {}
    width = max(1, DISTRIBUTION_CELLS // (resamples * len(names)))
    for count in sorted({len(matrix) for matrix in differences}):
        pairs = [pair for pair, matrix in enumerate(differences) if len(matrix) == count]
        for start in progress(range(0, len(pairs), width), f"Testing differences over {count} queries", unit="part"):
            chunk = pairs[start : start + width]
            columns = np.concatenate([differences[pair] for pair in chunk], axis=1)
            low, high = bootstrap_interval(columns, confidence, resamples, seed, batch)
            found = np.stack([columns.mean(axis=0), low, high, permutation_p_value(columns, resamples, seed, batch)])
            for pair, block in zip(chunk, np.split(found, len(chunk), axis=1), strict=True):
                results[pair] = {
                    metric: PairedTest(*map(float, column)) for metric, column in zip(names, block.T, strict=True)
                }
    return [results[pair] for pair in range(len(differences))]


def effects(
    pairs: Sequence[Mapping[int, np.ndarray]], metrics: Metrics, resamples: int = RESAMPLES, seed: int = SEED
) -> list[dict[str, Effect]]:
    """Return the effects of each pair of experiments, by metric, Holm-adjusted over all pairs and metrics: one table.

    pairs: by the run's seed, the matrix of `paired_differences` of `metrics`, all of one pair over the same queries.
    metrics: tested ones. resamples: raised for a large table, in which the least p-value that they allow would not
    survive the adjustment.
    """
    resamples = max(resamples, math.ceil(4 * len(pairs) * len(metrics) / LEVEL))
    averaged = [np.mean(list(pair.values()), axis=0) for pair in pairs]
    within = [matrix for pair in pairs for matrix in pair.values()]
    tests = paired_tests([*averaged, *within], list(metrics), resamples=resamples, seed=seed)
    adjusted = holm([test.p_value for pair in tests[: len(pairs)] for test in pair.values()]).reshape(-1, len(metrics))
    of_seeds = iter(tests[len(pairs) :])

    def mcnemar(pair: Mapping[int, np.ndarray], column: int) -> dict[int, float]:
        return {run_seed: mcnemar_p_value(matrix[:, column]) for run_seed, matrix in pair.items()}

    results = []
    for pair, over_queries, p_values in zip(pairs, tests, adjusted, strict=False):
        by_seed = {run_seed: next(of_seeds) for run_seed in pair}
        results.append(
            {
                name: Effect(
                    over_queries[name],
                    float(p_value),
                    seed_interval([found[name].difference for found in by_seed.values()]),
                    {run_seed: found[name] for run_seed, found in by_seed.items()},
                    mcnemar(pair, column) if name == "rank1" else {},
                    metric.direction or "max",
                )
                for column, ((name, metric), p_value) in enumerate(zip(metrics.items(), p_values, strict=True))
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
    """Return the percentile bootstrap interval `[M]`, `[M]` of the mean of each column of `differences [N, M]`, N at
    least 2.

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
    """Return the two-sided p-value `[M]` of the mean of each column of `differences [N, M]`; never 0.

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
    """Return the exact McNemar p-value of Rank@1 in a seed; differences: `[N]`, a column of `paired_differences`.

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
