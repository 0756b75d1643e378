"""What a set of runs supports: every experiment tested against a baseline experiment and the trivial baselines."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import mean

import numpy as np

from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.evaluation import significance
from sigjepa.evaluation.ranks import Ranks
from sigjepa.evaluation.significance import NOT_TESTED
from sigjepa.reporting.runs import FINISHED, Run, repeated_seeds

TRIVIAL = ("mean_body", "zero_shot", "zero_shot_centred", "zero_shot_whitened", "bm25", "fusion")
"""Baselines that need no student and have a rank for every query."""
MAIN_METRIC = "rank10"

_Paired = tuple[dict[int, np.ndarray], list[dict[str, float]], str]
"""By seed the differences of every query, the reference's metrics, and what was left out and why."""


@dataclass(frozen=True)
class Finding:
    """One experiment against one reference on one metric: experiment minus reference.

    level: the reference's own mean over the tested seeds, NaN when not tested, and effect is None then. remark: what
    was left out, and why.
    """

    experiment: str
    reference: str
    metric: str
    level: float
    effect: significance.Effect | None
    remark: str

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `within noise` or `not tested`, by `significance.RULE`."""
        return self.effect.verdict if self.effect else NOT_TESTED

    @property
    def difference(self) -> float:
        """Mean difference; NaN when not tested."""
        return self.effect.over_queries.difference if self.effect else math.nan


@dataclass(frozen=True)
class Comparison:
    """Everything tested on one split: experiments against the baseline experiment, and against trivial baselines."""

    baseline: str
    split: str
    experiments: list[Finding]
    trivial: list[Finding]


def compare(
    runs: Sequence[Run],
    baseline: str,
    trivial: Sequence[str] = TRIVIAL,
    split: str = "test",
    resamples: int = significance.RESAMPLES,
    seed: int = significance.SEED,
) -> Comparison:
    """Test every experiment of `runs` against the experiment `baseline`, and against the `trivial` baselines.

    Finished runs are paired with those of the same seed and pool; what can't be is marked, not dropped. Holm runs over
    each of the two tables. Raises SigjepaError when no run is of `baseline`.
    """
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.experiment].extend([run] if run.status == FINISHED else [])
    if baseline not in groups:
        hint = f"{nearest_name(baseline, groups)} The runs are of: {', '.join(sorted(groups))}."
        raise SigjepaError(f"There is no experiment '{baseline}' to compare with.{hint}")
    names = sorted(groups)
    counterpart = partial(_counterpart, others=groups[baseline], split=split)
    others = [(name, baseline, _pair(groups[name], split, counterpart)) for name in names if name != baseline]
    ranks = {one: partial(Run.baseline_ranks, name=one, split=split) for one in trivial}
    beside = [(name, one, _pair(groups[name], split, ranks[one])) for name in names for one in trivial]
    findings = [_findings(pairs, resamples, seed) for pairs in (others, beside)]
    return Comparison(baseline, split, *findings)


def _counterpart(run: Run, others: Sequence[Run], split: str) -> tuple[np.ndarray, Ranks]:
    """Ranks of the run among `others` with the seed and pool of `run`; raises SigjepaError without exactly one."""
    matches = [other for other in others if other.seed == run.seed]
    if len(matches) != 1:
        raise SigjepaError(f"the baseline has {len(matches)} finished runs with this seed")
    if run.pool() != matches[0].pool():
        raise SigjepaError(f"the pools differ ({run.pool()} and {matches[0].pool()}), so queries cannot be paired")
    return matches[0].ranks(split)


def _findings(pairs: Sequence[tuple[str, str, _Paired]], resamples: int, seed: int) -> list[Finding]:
    """A finding for each of `pairs` (experiment, reference, what `_pair` found) and each metric."""
    tested = iter(significance.effects([by_seed for *_, (by_seed, _, _) in pairs if by_seed], resamples, seed))
    findings = []
    for experiment, reference, (by_seed, levels, remark) in pairs:
        found = next(tested) if by_seed else {}
        for metric in significance.METRICS:
            level = mean(one[metric] for one in levels) if by_seed else math.nan
            findings.append(Finding(experiment, reference, metric, level, found.get(metric), remark))
    return findings


def _pair(runs: Sequence[Run], split: str, reference: Callable[[Run], tuple[np.ndarray, Ranks]]) -> _Paired:
    """Pair each run of one experiment with the ranks of `reference` beside it, query by query."""
    by_seed: dict[int, np.ndarray] = {}
    levels, queries, repeated = [], set(), repeated_seeds(runs)
    remarks = [] if runs else ["the experiment has no finished run"]
    for run in runs:
        try:
            if run.seed is None or run.seed in repeated:
                raise SigjepaError("the experiment has not exactly one finished run with this seed")
            own, other, pool = run.ranks(split), reference(run), run.pool()
            by_seed[run.seed] = significance.paired_differences(own, other)
            levels.append(other[1].metrics())
            queries.add((pool, own[0].tobytes()))
        except SigjepaError as error:
            remarks.append(f"seed {run.seed}: {str(error).rstrip('.')}")
    if len(queries) > 1:
        remarks.append(f"seeds {', '.join(map(str, by_seed))} are on different pools, so they have no common mean")
        by_seed = {}
    return by_seed, levels, "; ".join(dict.fromkeys(remarks))
