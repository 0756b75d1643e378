"""The variance of a difference of experiments, of crossed samples: packages and seeds; see `significance.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class RunNoise:
    """The spread of runs that differ by their seed alone, pooled over the experiments of a pool.

    variance: `[M]` by metric, of a run's mean. by_package: `[M]` the part of it that differs between packages and
    queries. freedom: degrees of freedom, 0 where no experiment has two seeds.
    """

    variance: np.ndarray
    by_package: np.ndarray
    freedom: int


class Variance(NamedTuple):
    """The parts of a difference's variance by metric, all `[M]`: of packages, of runs, and of what is in both."""

    packages: np.ndarray
    runs: np.ndarray
    both: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """V, see `significance.py`."""
        return np.maximum(self.packages + self.runs - self.both, np.maximum(self.packages, self.runs))

    def freedom(self, packages: float, runs: int) -> np.ndarray:
        """Return `[M]` Satterthwaite's degrees of freedom, of so many for either part."""
        spread = self.packages**2 / packages + self.runs**2 / runs
        return np.divide(self.total**2, spread, out=np.full_like(spread, packages), where=spread > 0)


def package_variance(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return `[M]` the delete-one-package jackknife variance of the mean of `values` `[N, M]`.

    groups: `[N]` packages, numbered from 0. NaN where there is one package.
    """
    count = int(groups.max()) + 1
    if count < 2:
        return np.full(values.shape[1], np.nan)
    sizes = np.bincount(groups, minlength=count)[:, None]
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, groups, values)
    without = (sums.sum(axis=0) - sums) / (len(values) - sizes)
    return (count - 1) / count * ((without - values.mean(axis=0)) ** 2).sum(axis=0)


def jackknife_freedom(groups: np.ndarray) -> float:
    """Return the degrees of freedom of `package_variance`: the effective number of packages less one, at least 1.

    groups: `[N]` packages, numbered from 0. The effective number is (sum n)^2 / sum n^2 of packages of n queries: that
    of Carter, Schnepel and Steigerwald (2017) where the variance of a package's part is as n, and of Kish's design
    effect. P equal packages count as P; where few packages hold most queries, it is about as many as those.
    """
    sizes = np.bincount(groups).astype(float)
    return max(float(sizes.sum() ** 2 / (sizes**2).sum()) - 1, 1.0)


def run_noise(experiments: Sequence[Sequence[np.ndarray]], groups: np.ndarray) -> RunNoise:
    """Return the noise of runs; experiments: by experiment the values `[N, M]` of each of its runs."""
    columns = experiments[0][0].shape[1]
    variance, by_package, freedom = np.zeros(columns), np.zeros(columns), 0
    for runs in experiments:
        middle = np.mean(runs, axis=0)
        for run in runs if len(runs) > 1 else ():
            variance += (run - middle).mean(axis=0) ** 2
            by_package += package_variance(run - middle, groups)
        freedom += len(runs) - 1
    return RunNoise(variance / max(freedom, 1), by_package / max(freedom, 1), freedom)
