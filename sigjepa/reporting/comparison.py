"""Comparison of runs: every experiment tested against a baseline experiment and the trivial baselines."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import mean

import numpy as np

from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.evaluation import significance
from sigjepa.evaluation.metrics import Metric, QueryValues
from sigjepa.evaluation.significance import NOT_TESTED
from sigjepa.reporting.runs import FINISHED, Run, common_metrics, repeated_seeds

NOT_A_RANKING = "random"
"""The baseline that is an expectation: there is nothing to pair queries with."""

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
    """Everything tested on one split: experiments against the baseline experiment, and against trivial baselines.

    metrics: the tested ones, by name. main: the one of them that conclusions are about, what the runs were selected by
    where it is tested.
    """

    baseline: str
    split: str
    metrics: dict[str, Metric]
    main: str
    experiments: list[Finding]
    trivial: list[Finding]


def compare(
    runs: Sequence[Run],
    baseline: str,
    trivial: Sequence[str] | None = None,
    split: str = "test",
    resamples: int = significance.RESAMPLES,
    seed: int = significance.SEED,
) -> Comparison:
    """Test every experiment of `runs` against the experiment `baseline`, and against the `trivial` baselines.

    Finished runs are paired with those of the same seed and pool, on the metrics that they share; what can't be is
    marked, not dropped. Holm runs over each of the two tables. trivial: None is every one that a run has measured.
    Raises SigjepaError when no run is of `baseline`, or the runs share no metric that can be tested.
    """
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.experiment].extend([run] if run.status == FINISHED else [])
    if baseline not in groups:
        hint = f"{nearest_name(baseline, groups)} The runs are of: {', '.join(sorted(groups))}."
        raise SigjepaError(f"There is no experiment '{baseline}' to compare with.{hint}")
    finished = [run for members in groups.values() for run in members]
    metrics = tested_metrics(finished, split)
    monitored = finished[0].monitor.partition("/")[2]
    if trivial is None:
        measured = dict.fromkeys(name for run in finished for name in run.baselines)
        trivial = [name for name in measured if name != NOT_A_RANKING]
    names = sorted(groups)
    counterpart = partial(_counterpart, others=groups[baseline], split=split)
    others = [(name, baseline, _pair(groups[name], split, metrics, counterpart)) for name in names if name != baseline]
    references = {name: partial(Run.baseline_queries, name=name, split=split) for name in trivial}
    beside = [
        (name, reference, _pair(groups[name], split, metrics, queries))
        for name in names
        for reference, queries in references.items()
    ]
    experiments, against_trivial = (_findings(pairs, metrics, resamples, seed) for pairs in (others, beside))
    main = monitored if monitored in metrics else next(iter(metrics))
    return Comparison(baseline, split, metrics, main, experiments, against_trivial)


def tested_metrics(finished: Sequence[Run], split: str) -> dict[str, Metric]:
    """Return what the runs share that can be tested on a split; raises SigjepaError when that is nothing."""
    metrics = {
        name: metric for name, metric in common_metrics(finished).items() if metric.tested and split in metric.splits
    }
    if not metrics:
        raise SigjepaError(
            f"The runs share no metric with a direction and a value for every query of {split}, so nothing can be "
            "tested; report those apart that were measured by other metrics."
        )
    return metrics


def _counterpart(run: Run, others: Sequence[Run], split: str) -> QueryValues:
    """Return what the run among `others` with the seed and pool of `run` scored; raises SigjepaError without one."""
    matches = [other for other in others if other.seed == run.seed]
    if len(matches) != 1:
        raise SigjepaError(f"the baseline has {len(matches)} finished runs with this seed")
    if run.pool() != matches[0].pool():
        raise SigjepaError(f"the pools differ ({run.pool()} and {matches[0].pool()}), so queries cannot be paired")
    return matches[0].queries(split)


def _findings(
    pairs: Sequence[tuple[str, str, _Paired]], metrics: dict[str, Metric], resamples: int, seed: int
) -> list[Finding]:
    """Return a finding for each of `pairs` (experiment, reference, what `_pair` gave) and each metric."""
    matrices = [by_seed for *_, (by_seed, _, _) in pairs if by_seed]
    tested = iter(significance.effects(matrices, metrics, resamples, seed))
    findings = []
    for experiment, reference, (by_seed, levels, remark) in pairs:
        effects = next(tested) if by_seed else {}
        for name in metrics:
            level = mean(figures[name] for figures in levels) if by_seed else math.nan
            findings.append(Finding(experiment, reference, name, level, effects.get(name), remark))
    return findings


def _pair(
    runs: Sequence[Run], split: str, metrics: dict[str, Metric], reference: Callable[[Run], QueryValues]
) -> _Paired:
    """Pair each run of one experiment with what `reference` beside it scored, query by query."""
    by_seed: dict[int, np.ndarray] = {}
    levels, queries, repeated = [], set(), repeated_seeds(runs)
    remarks = [] if runs else ["the experiment has no finished run"]
    for run in runs:
        try:
            if run.seed is None or run.seed in repeated:
                raise SigjepaError("the experiment has not exactly one finished run with this seed")
            scored, other = run.queries(split), reference(run)
            by_seed[run.seed] = significance.paired_differences(scored, other, list(metrics))
            levels.append(other.means())
            queries.add((run.pool(), scored.ids.tobytes()))
        except SigjepaError as error:
            remarks.append(f"seed {run.seed}: {str(error).rstrip('.')}")
    if len(queries) > 1:
        remarks.append(f"seeds {', '.join(map(str, by_seed))} are on different pools, so they have no common mean")
        by_seed = {}
    return by_seed, levels, "; ".join(dict.fromkeys(remarks))
