"""Runs of a cross-validation, pooled over its folds: one an experiment and seed, with the queries of all packages."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sigjepa.data.pool_sample import HELD_OUT
from sigjepa.errors import SigjepaError
from sigjepa.evaluation.metrics import Metric, QueryValues
from sigjepa.evaluation.pools import PoolFacts
from sigjepa.reporting.run import Run
from sigjepa.reporting.runs import common_metrics
from sigjepa.store.manifest import content_key
from sigjepa.training.run_status import FINISHED

POOLED_SPLIT = "test"
"""The split in which each function stands once; val pools of two folds have functions in common."""


@dataclass(frozen=True)
class FoldedRun(Run):
    """The finished runs of one experiment and seed, one a fold in order, read as a single run.

    Its queries are those of all test pools, each ranked in the pool of its own fold. Figures are means over queries.
    """

    folds: tuple[Run, ...] = ()

    def pool(self) -> str:
        """Return the identity of all pools."""
        return f"{len(self.folds)} folds {content_key({'pools': [run.pool() for run in self.folds]})}"

    @cached_property
    def baselines(self) -> dict[str, dict[str, float]]:
        """Metrics of each baseline that was measured in all folds."""
        measured = [run.baselines for run in self.folds]
        names = [name for name in measured[0] if all(name in each for each in measured)]
        return {name: means(self.folds, [each[name] for each in measured]) for name in names}

    @cached_property
    def registry(self) -> tuple[str, dict[str, Metric]]:
        """The metric that the first fold was selected by, and the metrics that all folds describe alike."""
        return self.folds[0].monitor, common_metrics(self.folds)

    def check_began(self) -> None:
        """Raise SigjepaError when the best checkpoint of a fold never saw what its run was to learn from."""
        for run in self.folds:
            run.check_began()

    def queries(self, split: str) -> QueryValues:
        """Return the values of every query of all folds, by function id and metric."""
        return self._joined(lambda run: run.queries(split), split)

    def baseline_queries(self, name: str, split: str) -> QueryValues:
        """Return the values of every query of all folds, of a baseline on the pool of its fold."""
        return self._joined(lambda run: run.baseline_queries(name, split), split)

    def pool_facts(self, split: str) -> PoolFacts:
        """Return the package of each query of all folds, and whether its signature stands in its fold's train."""
        check_pooled(split)
        facts = [run.pool_facts(split) for run in self.folds]
        order = np.argsort(np.concatenate([each.ids for each in facts]), kind="stable")
        first = np.cumsum([0, *(int(each.packages.max()) + 1 for each in facts)])  # no package is in two folds
        packages = np.concatenate([each.packages + start for each, start in zip(facts, first, strict=False)])
        ids, in_train = (np.concatenate([getattr(each, name) for each in facts]) for name in ("ids", "in_train"))
        return PoolFacts(ids[order], packages[order], in_train[order])

    def pool_sizes(self) -> list[int]:
        """Return the number of bodies that a query is ranked among, by fold."""
        return [len(run.pool_facts(POOLED_SPLIT).ids) for run in self.folds]

    def _joined(self, read: Callable[[Run], QueryValues], split: str) -> QueryValues:
        check_pooled(split)
        queries = [read(run) for run in self.folds]
        ids = np.concatenate([each.ids for each in queries])
        order = np.argsort(ids, kind="stable")
        names = [name for name in queries[0].values if name in self.metrics]
        return QueryValues(
            ids[order], {name: np.concatenate([each.values[name] for each in queries])[order] for name in names}
        )


def means(folds: Sequence[Run], figures: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the means of the numbers that all folds have, `val/…` and `test/…` by query, others by fold.

    figures: of each of `folds`.
    """
    sizes = {split: [len(run.pool_facts(split).ids) for run in folds] for split in HELD_OUT}
    numbers = [{key: value for key, value in each.items() if type(value) in (int, float)} for each in figures]
    return {
        key: float(np.average([each[key] for each in numbers], weights=sizes.get(key.partition("/")[0])))
        for key in numbers[0]
        if all(key in each for each in numbers)
    }


def check_pooled(split: str) -> None:
    """Raise SigjepaError for a split that folds do not divide."""
    if split != POOLED_SPLIT:
        raise SigjepaError(
            f"split={split}: folds divide a corpus by what is {POOLED_SPLIT}, and only there is each function once; "
            f"use split={POOLED_SPLIT}."
        )


def pool_folds(finished: Sequence[Run]) -> tuple[list[Run], dict[str, list[str]]]:
    """Return finished runs with those of folds pooled by experiment and seed, and which seeds are not, by experiment.

    Runs without a fold stay as they are, and so do those that are pooled already.
    """
    groups: dict[tuple[str, int | None], list[Run]] = {}
    for run in finished:
        groups.setdefault((run.experiment, run.seed), []).append(run)
    pooled: list[Run] = []
    left_out: dict[str, list[str]] = {}
    for (experiment, seed), members in groups.items():
        pooled += [run for run in members if run.fold is None]
        if folded := [run for run in members if run.fold is not None]:
            try:
                pooled.append(folded_run(folded))
            except SigjepaError as error:
                left_out.setdefault(experiment, []).append(f"seed {seed}: {str(error).rstrip('.')}")
    return pooled, left_out


def folded_run(runs: Sequence[Run]) -> FoldedRun:
    """Return the runs of one experiment and seed as one; raises SigjepaError unless they are each fold once.

    Their test pools must be all functions of one corpus, each once.
    """
    folds, counts = runs[0].config.get("folds"), Counter(run.fold for run in runs)
    if not isinstance(folds, int) or not set(counts) <= set(range(folds)):
        raise SigjepaError(f"{runs[0].folder} says folds={folds} and fold={runs[0].fold}; train it again.")
    if missing := [str(fold) for fold in range(folds) if fold not in counts]:
        raise SigjepaError(f"no finished run of fold {', '.join(missing)} of folds={folds}.")
    if doubled := [str(fold) for fold, count in counts.items() if count > 1]:
        raise SigjepaError(f"several finished runs of fold {', '.join(doubled)}; leave all but one of each out.")
    ordered = tuple(sorted(runs, key=lambda run: run.fold or 0))
    if sampled := [run for run in ordered if POOLED_SPLIT in run.sampled_pools]:
        raise SigjepaError(
            f"the {POOLED_SPLIT} pool of {sampled[0].folder} is a sample (data.pool_size), and each function must be "
            f"{POOLED_SPLIT} once; train without it."
        )
    ids = np.sort(np.concatenate([run.pool_facts(POOLED_SPLIT).ids for run in ordered]))
    shards = {run.provenance["artifacts"].get("shards") for run in ordered}
    if len(shards) > 1 or not np.array_equal(ids, np.arange(len(ids))):
        raise SigjepaError(
            f"the folds are not those of one corpus, each of whose functions is {POOLED_SPLIT} once "
            f"(embedded in {', '.join(map(str, sorted(shards, key=str)))}); train the older ones again."
        )
    first = ordered[0]
    summary: dict[str, Any] = dict(means(ordered, [run.summary for run in ordered]))
    summary |= {"experiment": first.summary.get("experiment"), "seed": first.seed, "fold": None, "status": FINISHED}
    return FoldedRun(first.folder, summary, FINISHED, label=first.label, folds=ordered)
