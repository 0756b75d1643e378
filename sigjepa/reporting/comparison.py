"""Comparison of runs: every experiment tested against a baseline experiment and the trivial baselines."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import mean

import numpy as np

from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.evaluation import significance
from sigjepa.evaluation.metrics import Metric, QueryValues
from sigjepa.evaluation.significance import NOT_TESTED
from sigjepa.evaluation.variance import RunNoise, run_noise
from sigjepa.reporting.folds import pool_folds
from sigjepa.reporting.run import Run
from sigjepa.reporting.runs import FINISHED, common_metrics, repeated_seeds

NOT_A_RANKING = "random"
"""The baseline that is an expectation: there is nothing to pair queries with."""


@dataclass(frozen=True)
class _Paired:
    """Hold what an experiment and its reference share: the pair to test, None without any, what was left out, and why.

    level: the reference's own means over the seeds, by metric.
    """

    experiment: str
    reference: str
    pair: significance.Pair | None
    level: Mapping[str, float]
    remark: str


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
        return self.effect.test.difference if self.effect else math.nan


@dataclass(frozen=True)
class Comparison:
    """Everything tested on one split: experiments against the baseline experiment, against trivial baselines, and more.

    metrics: the tested ones, by name. main: the one of them that conclusions are about, what the runs were selected by
    where it is tested. also: other pairs of experiments that were asked for. All findings are one family.
    """

    baseline: str
    split: str
    metrics: dict[str, Metric]
    main: str
    experiments: list[Finding]
    trivial: list[Finding]
    also: list[Finding] = field(default_factory=list)


def compare(
    runs: Sequence[Run],
    baseline: str,
    trivial: Sequence[str] | None = None,
    split: str = "test",
    also: Sequence[tuple[str, str]] = (),
) -> Comparison:
    """Test every experiment of `runs` against the experiment `baseline`, and against the `trivial` baselines.

    Finished runs, pooled over folds, are paired with those of the same seed and pool, on the metrics that they share;
    what can't be is marked, not dropped. trivial: None is every one that a run has measured. also: more pairs of
    experiments, tested in the same family. Raises SigjepaError when no run is of `baseline`, none is finished, or they
    share no metric that can be tested.
    """
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.experiment].extend([run] if run.status == FINISHED else [])
    if baseline not in groups:
        hint = f"{nearest_name(baseline, groups)} The runs are of: {', '.join(sorted(groups))}."
        raise SigjepaError(f"There is no experiment '{baseline}' to compare with.{hint}")
    pooled, left_out = pool_folds([run for members in groups.values() for run in members])
    groups = {name: [run for run in pooled if run.experiment == name] for name in groups}
    finished = [run for members in groups.values() for run in members]
    if not finished:
        why = "; ".join(f"{name}, {reason}" for name, reasons in left_out.items() for reason in reasons)
        raise SigjepaError(f"There is nothing to compare: {why or 'no run is finished'}.")
    metrics = tested_metrics(finished, split)
    monitored = finished[0].monitor.partition("/")[2]
    main = monitored if monitored in metrics else next(iter(metrics))
    if trivial is None:
        measured = dict.fromkeys(name for run in finished for name in run.baselines)
        trivial = [name for name in measured if name != NOT_A_RANKING]
    names = sorted(groups)
    pair = partial(
        _pair,
        groups=groups,
        split=split,
        metrics=list(metrics),
        noises=_noises(groups, split, metrics),
        left_out=left_out,
    )
    wanted = [(name, baseline) for name in names if name != baseline]
    wanted += [pair for pair in also if pair not in wanted]
    between = [pair(name, other, partial(_counterpart, others=groups[other], split=split)) for name, other in wanted]
    beside = [
        pair(name, reference, partial(_baseline, name=reference, split=split), trained=1)
        for name in names
        for reference in trivial
    ]
    findings = _findings([*between, *beside], metrics, main)
    return Comparison(
        baseline,
        split,
        metrics,
        main,
        [finding for finding in findings[: len(between) * len(metrics)] if finding.reference == baseline],
        findings[len(between) * len(metrics) :],
        [finding for finding in findings if (finding.experiment, finding.reference) in also],
    )


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


def _baseline(run: Run, name: str, split: str) -> QueryValues:
    """Return what a trivial baseline scored on the pool of a run."""
    return run.baseline_queries(name, split)


def _counterpart(run: Run, others: Sequence[Run], split: str) -> QueryValues:
    """Return what the run among `others` with the seed and pool of `run` scored; raises SigjepaError without one."""
    matches = [other for other in others if other.seed == run.seed]
    if len(matches) != 1:
        raise SigjepaError(f"the baseline has {len(matches)} finished runs with this seed")
    if run.pool() != matches[0].pool():
        raise SigjepaError(f"the pools differ ({run.pool()} and {matches[0].pool()}), so queries cannot be paired")
    matches[0].check_began()
    return matches[0].queries(split)


def _findings(pairs: Sequence[_Paired], metrics: dict[str, Metric], main: str) -> list[Finding]:
    """Return a finding for each of `pairs` and each metric."""
    tested = iter(significance.effects([pair.pair for pair in pairs if pair.pair is not None], metrics, main))
    findings = []
    for pair in pairs:
        effects = next(tested) if pair.pair is not None else {}
        for name in metrics:
            level = pair.level.get(name, math.nan)
            findings.append(Finding(pair.experiment, pair.reference, name, level, effects.get(name), pair.remark))
    return findings


def _noises(groups: Mapping[str, Sequence[Run]], split: str, metrics: Mapping[str, Metric]) -> dict[str, RunNoise]:
    """Return the noise of the runs of each pool; a run that can't be read, or repeats a seed, is left out."""
    pools: dict[str, dict[str, list[np.ndarray]]] = defaultdict(lambda: defaultdict(list))
    packages: dict[str, np.ndarray] = {}
    for name, members in groups.items():
        repeated = repeated_seeds(members)
        for run in members:
            try:
                facts, queries = run.pool_facts(split), run.queries(split)
                same = np.array_equal(facts.ids, queries.ids)
                if run.seed is not None and run.seed not in repeated and same:
                    values = significance.value_matrix(queries, list(metrics))
                    if len(values) == len(packages.setdefault(run.pool(), facts.packages)):
                        pools[run.pool()][name].append(values)
            except SigjepaError:  # the pair that needs it says so
                continue
    return {pool: run_noise(list(runs.values()), packages[pool]) for pool, runs in pools.items()}


def _pair(
    experiment: str,
    name: str,
    reference: Callable[[Run], QueryValues],
    *,
    groups: Mapping[str, Sequence[Run]],
    split: str,
    metrics: Sequence[str],
    noises: Mapping[str, RunNoise],
    left_out: Mapping[str, Sequence[str]],
    trained: int = 2,
) -> _Paired:
    """Pair each run of an experiment with what `reference` beside it, called `name`, scored, query by query."""
    runs = groups[experiment]
    by_seed: dict[int, np.ndarray] = {}
    levels, queries, references, repeated = [], set(), set(), repeated_seeds(runs)
    packages = np.empty(0)
    remarks = list(left_out.get(experiment, ()))
    remarks += [] if runs or remarks else ["the experiment has no finished run"]
    for run in runs:
        try:
            if run.seed is None or run.seed in repeated:
                raise SigjepaError("the experiment has not exactly one finished run with this seed")
            run.check_began()
            scored, other, facts = run.queries(split), reference(run), run.pool_facts(split)
            differences = significance.paired_differences(scored, other, metrics)
            if not np.array_equal(facts.ids, scored.ids):
                raise SigjepaError(f"{run.folder / 'pool.npz'} is of other queries")
            by_seed[run.seed], packages = differences, facts.packages
            levels.append(other.means())
            queries.add((run.pool(), scored.ids.tobytes()))
            references.add(hash(significance.value_matrix(other, metrics).tobytes()))
        except SigjepaError as error:
            remarks.append(f"seed {run.seed}: {str(error).rstrip('.')}")
    if len(queries) > 1:
        remarks.append(f"seeds {', '.join(map(str, by_seed))} are on different pools, so they have no common mean")
    elif by_seed and len(np.unique(packages)) < 2:
        remarks.append(f"all queries of {split} are of one package, so nothing is known of others")
    elif by_seed:
        ((pool, _),) = queries
        level = {metric: mean(figures[metric] for figures in levels) for metric in metrics}
        values = frozenset(references if trained == 1 else ())
        pair = significance.Pair(name, by_seed, packages, noises[pool], trained, pool, values)
        return _Paired(experiment, name, pair, level, "; ".join(dict.fromkeys(remarks)))
    return _Paired(experiment, name, None, {}, "; ".join(dict.fromkeys(remarks)))
