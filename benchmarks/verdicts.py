"""How often a report errs: verdicts on simulated sweeps in which nothing differs, or one experiment does.

    python benchmarks/verdicts.py
    python benchmarks/verdicts.py --sweeps 2000 --seeds 3 --gain 0.05

A sweep is a baseline and experiments of several seeds, ranked on one pool of clustered queries: a query has a
hardness, a package another one; a run shifts all queries, a run of an experiment each package and each query. Where
nothing differs an experiment still shifts packages, each in its own way, with the mean 0: packages are a sample. Ranks
give Rank@1, Rank@5, Rank@10 and MRR. Two baselines without training stand beside. Printed is the share of sweeps with
any call at all (the family-wise rate where nothing differs), with a call of Rank@10 alone, and the power.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from sigjepa.evaluation.metrics import default_metrics, query_values
from sigjepa.evaluation.ranks import Ranks
from sigjepa.evaluation.significance import BETTER, WORSE, Effect, Pair, effects
from sigjepa.evaluation.variance import run_noise
from sigjepa.reporting.tables import markdown_table
from sigjepa.store.progress import progress

METRICS = {name: metric for name, metric in default_metrics().items() if metric.tested}
MAIN = "rank10"


@dataclass(frozen=True)
class Setting:
    """What is simulated; spreads are of the logarithm of a rank.

    run: of a run's mean. package: of what an experiment does to a package. query: of what a run does to a query.
    unstable: the factor by which runs of the first experiment spread more. folds: of a cross-validation that is pooled,
    each with a student of its own, so that a run's shift is another one in every fold. shares: of the queries, by
    package; empty for packages of about one size.
    """

    experiments: int = 6
    seeds: int = 3
    queries: int = 600
    packages: int = 10
    run: float = 0.05
    package: float = 0.05
    query: float = 0.6
    unstable: float = 1.0
    folds: int = 1
    shares: tuple[float, ...] = ()


def sizes_of(setting: Setting, generator: np.random.Generator) -> np.ndarray:
    """Return the package of each query `[N]`; without `shares` the largest has about four times the smallest's."""
    shares = setting.shares or generator.dirichlet(np.full(setting.packages, 8.0))
    return np.sort(
        np.r_[
            np.arange(setting.packages),
            generator.choice(setting.packages, setting.queries - setting.packages, p=shares),
        ]
    )


def values_of(log_ranks: np.ndarray) -> np.ndarray:
    """Return `[N, M]` the metrics of queries by the logarithms of their ranks."""
    places = np.maximum(np.ceil(np.exp(log_ranks)), 1).astype(np.int64)
    return np.stack(list(query_values(np.arange(len(places)), Ranks(places, places), METRICS).values.values()), axis=1)


@cache
def shift_for(gain: float) -> float:
    """Return the shift of log ranks that raises Rank@10 by `gain`."""
    sample = Setting(queries=200_000, packages=2000)
    hardness, generator = base(sample, np.random.default_rng(1))[1], np.random.default_rng(2)
    noisy = hardness + generator.normal(0, sample.query, sample.queries)
    return float(np.quantile(noisy, (noisy <= np.log(10)).mean() + gain) - np.log(10))


def base(setting: Setting, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return packages and log ranks `[N]` of the queries before any experiment."""
    packages = sizes_of(setting, generator)
    hardness = 2.2 + generator.normal(0, 0.4, setting.packages)[packages] + generator.normal(0, 1.4, setting.queries)
    return packages, hardness


def simulate(
    setting: Setting, gain: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return packages `[N]`, runs `[experiments + 1, seeds, N, M]` of which the first is better by `gain`, baselines.

    The last experiment is the one that the others are compared with.
    """
    packages, hardness = base(setting, generator)
    runs = []
    for experiment in range(setting.experiments + 1):
        by_package = generator.normal(0, setting.package, setting.packages)[packages]
        spread = setting.run * (setting.unstable if experiment == 0 else 1.0)
        shift = shift_for(gain) if experiment == 0 and gain else 0.0
        runs.append(
            [
                values_of(
                    hardness
                    + by_package
                    - shift
                    + generator.normal(0, spread, setting.folds)[packages % setting.folds]
                    + generator.normal(0, setting.query, setting.queries)
                )
                for _ in range(setting.seeds)
            ]
        )
    trivial = [
        values_of(
            hardness
            + generator.normal(0, setting.package, setting.packages)[packages]
            + worse
            + generator.normal(0, setting.query, setting.queries)
        )
        for worse in (0.0, 1.5)
    ]
    return packages, np.array(runs), trivial


def pairs_of(packages: np.ndarray, runs: np.ndarray, trivial: Sequence[np.ndarray]) -> list[Pair]:
    """Return every comparison of a report: experiments with the last one, then each with each trivial baseline."""
    noise = run_noise([list(one) for one in runs], packages)
    *others, last = runs
    pairs = [Pair("last", dict(enumerate(one - last)), packages, noise) for one in others]
    return pairs + [
        Pair(str(number), dict(enumerate(one - level)), packages, noise, 1)
        for number, level in enumerate(trivial)
        for one in runs
    ]


def is_called(effect: Effect) -> bool:
    """Return whether a verdict says that there is a difference."""
    return effect.verdict in (BETTER, WORSE)


def rates(setting: Setting, sweeps: int, gain: float, seed: int = 0) -> dict[str, float]:
    """Return the shares of sweeps: with a false call anywhere, on Rank@10 of one comparison, and with the true one.

    Comparisons with the far trivial baseline are true differences, and of the family, but no false calls.
    """
    counts = dict.fromkeys(("any false call", "a false call of Rank@10", "the difference found"), 0)
    for number in progress(range(sweeps), "simulate sweeps", unit="sweep"):
        generator = np.random.default_rng([seed, number])
        found = effects(pairs_of(*simulate(setting, gain, generator)), METRICS, MAIN)
        null = found[1 if gain else 0 : setting.experiments]
        null += found[setting.experiments + (1 if gain else 0) : 2 * setting.experiments + 1]
        counts["any false call"] += any(is_called(one) for row in null for one in row.values())
        counts["a false call of Rank@10"] += is_called(null[0][MAIN])
        counts["the difference found"] += bool(gain) and is_called(found[0][MAIN])
    return {name: count / sweeps for name, count in counts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=1000, help="simulated of each kind (default 1000)")
    parser.add_argument("--seeds", type=int, default=3, help="of each experiment (default 3)")
    parser.add_argument("--gain", type=float, default=0.05, help="true difference in Rank@10 (default 0.05)")
    arguments = parser.parse_args()
    settings = {
        "six experiments": Setting(seeds=arguments.seeds),
        "one experiment": Setting(experiments=1, seeds=arguments.seeds),
        "runs spread more": Setting(seeds=arguments.seeds, run=0.15),
        "packages spread more": Setting(seeds=arguments.seeds, package=0.2),
        "one unstable experiment": Setting(seeds=arguments.seeds, unstable=3.0),
        "five folds": Setting(seeds=arguments.seeds, queries=6000, packages=100, run=0.15, folds=5),
    }
    unequal = {
        "one of 11 packages holds 90 %": (0.9, *[0.01] * 10),
        "two of 12 packages hold 90 %": (0.45, 0.45, *[0.01] * 10),
        "six unequal packages": (0.55, 0.2, 0.1, 0.07, 0.05, 0.03),
    }
    settings |= {
        name: Setting(experiments=1, seeds=arguments.seeds, packages=len(shares), package=0.2, shares=shares)
        for name, shares in unequal.items()
    }
    rows = []
    for name, setting in settings.items():
        for gain in (0.0, arguments.gain):
            shares = rates(setting, arguments.sweeps, gain)
            rows.append([name, f"{100 * gain:g}", *(f"{100 * share:.1f} %" for share in shares.values())])
    print(markdown_table(["setting", "true difference", "any false call", "of Rank@10", "found"], rows))


if __name__ == "__main__":
    main()
