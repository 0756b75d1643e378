"""Tests of whether a difference is more than noise of seeds, of packages and of queries, for a whole report at once.

A difference of two experiments is a mean over seeds and over the queries of a pool, and both are samples: another seed
moves all queries of a run, another package all runs on its queries. So its variance is that of crossed effects,

    V  =  V_packages + V_runs - V_both

V_packages is the delete-one jackknife over packages of the differences averaged over the seeds, and at least its mean
over all comparisons with the same reference on the same pool. V_runs comes from the spread of the means of runs;
V_both, what a run does on one package more than on others, is in each of the two. V is never taken to be less than
V_packages or V_runs. The spread of runs is pooled over all experiments of a pool, as in Dunnett's test: three seeds
alone leave two degrees of freedom, with which hardly any difference is ever shown. The degrees of freedom of V are
Satterthwaite's; two comparisons with one reference share half of their variance, so that K of them give a mean of
V_packages (P - 1) / (1/K + (1 - 1/K)/4) of them, where P is the effective number of packages: of unequal ones, fewer.

The family is the report, and the level is shared out in it by `SHARES`: most to Holm over the comparisons of
experiments on the main metric, some to Holm over those with baselines on it, the rest to Holm over all
comparisons on the other metrics, which say nearly the same and so cost the main one hardly any power.

Sources: Cameron, Gelbach and Miller (2011), J. Business & Economic Statistics 29 (V); MacKinnon, Nielsen and Webb
(2023), J. Econometrics 232 (jackknife by cluster); Carter, Schnepel and Steigerwald (2017), Review of Economics and
Statistics 99 (effective number of clusters); Dunnett (1955), JASA 50 (pooled spread); Holm (1979), Scand. J.
Statistics 6. How often it errs is measured by `benchmarks/verdicts.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.metrics import Direction, Metrics, QueryValues
from sigjepa.evaluation.paired_tests import CONFIDENCE, PairedTest, mcnemar_p_value, package_test
from sigjepa.evaluation.variance import RunNoise, Variance, jackknife_freedom, package_variance

LEVEL = 0.05
SHARES = {"experiments": 0.7, "baselines": 0.2, "other metrics": 0.1}
"""Of the level: comparisons of two experiments, and with baselines, on the main metric; all others."""
BETTER, WORSE, WITHIN_NOISE, NOT_TESTED = "better", "worse", "within noise", "not tested"
ONE_SEED = "not called (one seed)"
RULE = (
    f"A difference is called better or worse only if its adjusted p is below {LEVEL}. The p-value is of Student's "
    "t on the mean over seeds and queries; its variance counts seeds and packages as crossed samples, packages of "
    "unequal sizes as fewer, and the spread of seeds is pooled over all experiments of the pool. The adjustment "
    f"makes one family of the whole report: of the level, {SHARES['experiments']:.0%} goes to Holm over the "
    f"comparisons of experiments on the main metric, {SHARES['baselines']:.0%} to Holm over those with trivial "
    "baselines on it, and the rest to Holm over all other metrics. Everything else that was tested is within "
    "noise, which does not mean equal. With one seed nothing is called: the noise of seeds is unknown. Without "
    "common seeds, the same pool and ranks on both sides there is no test. p-values within one seed are not "
    "adjusted, and say nothing about other seeds."
)
"""The rule of verdicts in words; the report quotes it."""


@dataclass(frozen=True)
class SeedInterval:
    """A mean over seeds and its Student-t interval; low and high are None with a single seed, which has no spread."""

    mean: float
    low: float | None
    high: float | None
    count: int

    @property
    def half_width(self) -> float | None:
        """The reach of the interval from the mean."""
        return None if self.high is None else self.high - self.mean


@dataclass(frozen=True)
class Pair:
    """An experiment's runs and a reference on the queries of one pool, by the run's seed.

    reference: its name. differences: `[N, M]` by seed, as `paired_differences` has them. packages: `[N]` of the
    queries, any numbers. noise: of the pool's runs. trained: how many of the two sides are trained, and so have the
    noise of seeds: 2, or 1 where the reference is a baseline. pool: its identity. baseline: where the reference is
    one, hashes of its values, which are others with another teacher.
    """

    reference: str
    differences: Mapping[int, np.ndarray]
    packages: np.ndarray
    noise: RunNoise
    trained: int = 2
    pool: str = ""
    baseline: frozenset[int] = frozenset()

    @cached_property
    def groups(self) -> np.ndarray:
        """`[N]` the packages, numbered from 0."""
        return np.unique(self.packages, return_inverse=True)[1]

    @cached_property
    def averaged(self) -> np.ndarray:
        """`[N, M]` differences averaged over the seeds."""
        return np.mean(list(self.differences.values()), axis=0)

    @cached_property
    def variance(self) -> Variance:
        """The variance of the mean difference, its packages by this pair alone."""
        runs = self.trained / len(self.differences)
        packages = package_variance(self.averaged, self.groups)
        return Variance(packages, runs * self.noise.variance, runs * self.noise.by_package)

    def package_freedom(self, pooled: int = 1) -> float:
        """Return the degrees of freedom of a mean of V_packages over so many pairs, see the module."""
        return jackknife_freedom(self.groups) / (1 / pooled + (1 - 1 / pooled) / 4)

    def has_reference_of(self, other: "Pair") -> bool:
        """Return whether another pair has the same reference on the same pool; names alone may agree by chance."""
        same = (self.trained, self.baseline) == (other.trained, other.baseline)
        return same and (self.reference, self.pool) == (other.reference, other.pool)


@dataclass(frozen=True)
class Effect:
    """The difference of an experiment and its reference on one metric.

    test: over seeds, packages and queries; with one seed over packages and queries, without a p-value. adjusted: its
    p-value within the report. direction: of the metric. column: of it in the pair's matrices. metric: its name;
    McNemar's test is of `rank1` alone. variance, package_freedom: what the test used, as `shared_variance` gives them.
    """

    test: PairedTest
    adjusted: float
    direction: Direction
    pair: Pair
    column: int
    metric: str
    variance: Variance
    package_freedom: float

    @property
    def seeds(self) -> list[int]:
        """The seeds of the runs that were compared, ascending."""
        return sorted(self.pair.differences)

    @property
    def verdict(self) -> str:
        """By `RULE`."""
        if len(self.seeds) < 2:
            return ONE_SEED
        if not self.adjusted < LEVEL:
            return WITHIN_NOISE
        return BETTER if (self.test.difference > 0) == (self.direction == "max") else WORSE

    @cached_property
    def by_seed(self) -> dict[int, PairedTest]:
        """The test within each seed: signs of whole packages are permuted."""
        return {seed: package_test(self._column(seed), self.pair.groups) for seed in self.seeds}

    @cached_property
    def mcnemar(self) -> dict[int, float]:
        """McNemar's p-value within each seed, of Rank@1 alone; queries count as independent of each other."""
        return {seed: mcnemar_p_value(self._column(seed)) for seed in self.seeds if self.metric == "rank1"}

    def _column(self, seed: int) -> np.ndarray:
        return self.pair.differences[seed][:, self.column]


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
    matrices = [value_matrix(queries, names) for queries in (first, second)]
    if not np.array_equal(first.ids, second.ids):
        only = [len(np.setdiff1d(*ids)) for ids in ((first.ids, second.ids), (second.ids, first.ids))]
        raise SigjepaError(
            f"These are ranks of different queries: {only[0]} ids are only in the first and {only[1]} only in the "
            "second, or their order differs. Compare runs on the same corpus and split."
        )
    if len(first.ids) < 2:
        raise SigjepaError(f"A paired test needs at least two queries and the split has {len(first.ids)}.")
    return matrices[0] - matrices[1]


def value_matrix(queries: QueryValues, names: Sequence[str]) -> np.ndarray:
    """Return `[N, len(names)]` of the queries' metrics; raises SigjepaError when one has no values, or too few."""
    for name in names:
        if name not in queries.values:
            raise SigjepaError(f"there are no values of '{name}' by query, only of {', '.join(queries.values)}")
        if len(queries.values[name]) != len(queries.ids):
            raise SigjepaError(
                f"{len(queries.ids)} query ids go with {len(queries.values[name])} values of '{name}'; evaluate "
                "the run again."
            )
    return np.stack([queries.values[name] for name in names], axis=1)


def shared_variance(pair: Pair, beside: Sequence[Pair]) -> tuple[Variance, float]:
    """Return the variance of a pair's mean difference and the degrees of freedom of its V_packages, see the module.

    beside: the pairs with the same reference on the same pool, this one among them.
    """
    pooled = np.mean([other.variance.packages for other in beside], axis=0)
    variance = pair.variance._replace(packages=np.maximum(pair.variance.packages, pooled))
    return variance, pair.package_freedom(len(beside))


def crossed_tests(pair: Pair, variance: Variance, package_freedom: float) -> list[PairedTest]:
    """Return by metric the test of a pair's mean difference; without a p-value where it has one seed or package.

    variance, package_freedom: as `shared_variance` gives them.
    """
    from scipy import stats  # noqa: PLC0415 - slow to import

    means, several = pair.averaged.mean(axis=0), len(pair.differences) > 1
    total = variance.total if several else variance.packages
    freedom = variance.freedom(package_freedom, pair.noise.freedom) if several else np.full_like(total, package_freedom)
    errors = np.sqrt(total)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * errors
    scaled = np.divide(np.abs(means), errors, out=np.where(means == 0, 0.0, np.inf), where=errors != 0)
    p_values = 2 * stats.t.sf(scaled, freedom) if several else np.full_like(total, np.nan)
    return [PairedTest(*map(float, row)) for row in zip(means, means - half, means + half, p_values, strict=True)]


def effects(pairs: Sequence[Pair], metrics: Metrics, main: str) -> list[dict[str, Effect]]:
    """Return the effects of each pair, by metric, adjusted over all pairs and metrics: one family.

    metrics: tested ones, the columns of the pairs. main: the one of them that conclusions are about.
    """
    shared = [shared_variance(pair, [other for other in pairs if other.has_reference_of(pair)]) for pair in pairs]
    tests = [crossed_tests(pair, *used) for pair, used in zip(pairs, shared, strict=True)]
    trained = np.array([pair.trained > 1 for pair in pairs], dtype=bool)
    p_values = np.array([[test.p_value for test in row] for row in tests]).reshape(-1, len(metrics))
    adjusted = adjust(p_values, trained, list(metrics).index(main))
    return [
        {
            name: Effect(test, float(p_value), metric.direction or "max", pair, column, name, variance, freedom)
            for column, ((name, metric), test, p_value) in enumerate(zip(metrics.items(), row, p_values, strict=True))
        }
        for pair, (variance, freedom), row, p_values in zip(pairs, shared, tests, adjusted, strict=True)
    ]


def adjust(p_values: np.ndarray, trained: np.ndarray, main: int) -> np.ndarray:
    """Return p-values `[pairs, M]` adjusted for a report, see the module; NaN, no test, stays NaN.

    trained: `[pairs]` whether a pair is of two experiments. main: the column of the main metric.
    """
    adjusted = np.full_like(p_values, np.nan)
    of_main = np.arange(p_values.shape[1]) == main
    families = (trained[:, None] & of_main, ~trained[:, None] & of_main, np.broadcast_to(~of_main, p_values.shape))
    for cells, share in zip(families, SHARES.values(), strict=True):
        tested = cells & np.isfinite(p_values)
        adjusted[tested] = np.minimum(holm(p_values[tested]) / share, 1)
    return adjusted


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the `[M]` p-values adjusted for the M tests of a table. Source: Holm (1979), Scand. J. Statistics 6."""
    ascending = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[ascending] = np.minimum(np.maximum.accumulate(factors * np.asarray(p_values, float)[ascending]), 1)
    return adjusted
