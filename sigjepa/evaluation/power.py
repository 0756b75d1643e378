"""The number of seeds that show a difference, from the variance that the runs at hand have."""

import math

import numpy as np

from sigjepa.evaluation.significance import LEVEL, SHARES, Pair
from sigjepa.evaluation.variance import Variance

POWER = 0.8
MAX_SEEDS = 100
"""Seeds beyond which nobody goes to show a difference."""


def seeds_needed(pair: Pair, difference: float, column: int, comparisons: int, experiments: int) -> int | None:
    """Return how many seeds show a true `difference` of a metric with probability `POWER`; None where no number does.

    By the pair's own variance, were it the first of `comparisons` of experiments in Holm's order, with the runs of
    so many `experiments` to pool over.
    """
    now = len(pair.differences)
    for seeds in range(2, MAX_SEEDS + 1):
        if power(pair, difference, column, comparisons, experiments, seeds, now) >= POWER:
            return seeds
    return None


def power(
    pair: Pair, difference: float, column: int, comparisons: int, experiments: int, seeds: int, now: int
) -> float:
    """Return the probability that a true `difference` is shown with `seeds` seeds, from the variance with `now`."""
    from scipy import stats  # noqa: PLC0415 - slow to import

    packages, runs, both = (part[column : column + 1] for part in pair.variance)
    of_packages = np.maximum(packages - both, 0)
    scale = now / seeds
    variance = Variance(of_packages + both * scale, runs * scale, both * scale)
    freedom = variance.freedom(pair.package_freedom(), max(experiments, 1) * (seeds - 1))[0]
    error = math.sqrt(variance.total[0])
    if error == 0:
        return 1.0
    critical = stats.t.ppf(1 - SHARES["experiments"] * LEVEL / (2 * max(comparisons, 1)), freedom)
    return float(stats.nct.sf(critical, freedom, abs(difference) / error))
