"""Tests of a difference within one seed, over packages or over queries."""

import math
from dataclasses import dataclass

import numpy as np

from sigjepa.evaluation.variance import jackknife_freedom, package_variance

CONFIDENCE = 0.95
RESAMPLES = 9999


@dataclass(frozen=True)
class PairedTest:
    """A mean difference over queries, its interval, and its two-sided p-value, NaN where there is none."""

    difference: float
    low: float
    high: float
    p_value: float


def package_test(differences: np.ndarray, groups: np.ndarray) -> PairedTest:
    """Return the test of the mean of `differences` `[N]` within a seed, packages being what is sampled.

    The interval is Student's t on the jackknife; the p-value comes from `permutation_p_value` of the packages' sums.
    """
    mean, low, high = package_interval(differences, groups)
    packages = int(groups.max()) + 1
    sums = np.bincount(groups, weights=differences, minlength=packages)
    p_value = permutation_p_value(sums[:, None])[0] if packages > 1 else math.nan
    return PairedTest(mean, low, high, float(p_value))


def package_interval(values: np.ndarray, groups: np.ndarray) -> tuple[float, float, float]:
    """Return the mean of `values` `[N]` and its interval, Student's t on the jackknife over packages.

    groups: `[N]` packages, numbered from 0. The interval is NaN where there is one package.
    """
    from scipy import stats  # noqa: PLC0415 - slow to import

    mean = float(values.mean())
    error = math.sqrt(package_variance(values[:, None], groups)[0])
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, jackknife_freedom(groups))) * error
    return mean, mean - half, mean + half


def permutation_p_value(differences: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Return the two-sided p-value `[M]` of the mean of each column of `differences [N, M]`, N at least 2; never 0.

    Were the two runs alike, each row's pair could be swapped, which flips the sign of its difference. So signs are
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
        batch=500,
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
