"""The number of seeds that show a difference, from the variance that the runs at hand have."""

import math

import numpy as np

from sigjepa.evaluation.significance import LEVEL, SHARES, Effect
from sigjepa.evaluation.variance import Variance

POWER = 0.8
MAX_SEEDS = 100
"""Seeds beyond which nobody goes to show a difference."""


def seeds_needed(effect: Effect, difference: float, comparisons: int, experiments: int) -> int | None:
    """Return how many seeds show a true `difference` of a metric with probability `POWER`; None where no number does.

    By the variance that the effect was tested by, were it the first of `comparisons` of experiments in Holm's order,
    with the runs of so many `experiments` to pool over.
    """
    for seeds in range(2, MAX_SEEDS + 1):
        if power(effect, difference, comparisons, experiments, seeds) >= POWER:
            return seeds
    return None


def power(effect: Effect, difference: float, comparisons: int, experiments: int, seeds: int) -> float:
    """Return the probability that a true `difference` is shown with `seeds` seeds, see `seeds_needed`."""
    from scipy import stats  # noqa: PLC0415 - slow to import

    packages, runs, both = (part[effect.column : effect.column + 1] for part in effect.variance)
    of_packages = np.maximum(packages - both, 0)
    scale = len(effect.seeds) / seeds
    variance = Variance(of_packages + both * scale, runs * scale, both * scale)
    freedom = variance.freedom(effect.package_freedom, max(experiments, 1) * (seeds - 1))[0]
    error = math.sqrt(variance.total[0])
    if error == 0:
        return 1.0
    critical = stats.t.ppf(1 - SHARES["experiments"] * LEVEL / (2 * max(comparisons, 1)), freedom)
    return float(stats.nct.sf(critical, freedom, abs(difference) / error))
