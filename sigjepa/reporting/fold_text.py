"""The text of a report on a cross-validation: what was pooled, every fold by itself, and who wins which package."""

from collections.abc import Sequence
from statistics import mean

import numpy as np

from sigjepa.evaluation.baselines import reference_label
from sigjepa.evaluation.significance import Effect
from sigjepa.reporting.comparison import Comparison
from sigjepa.reporting.folds import FoldedRun
from sigjepa.reporting.run import Run
from sigjepa.reporting.runs import by_experiment
from sigjepa.reporting.sections import section
from sigjepa.reporting.tables import baselines_beside, markdown_table


def folds_section(pooled: Sequence[Run], comparison: Comparison) -> str:
    """Return what was pooled over the folds of a cross-validation, the main metric by fold, and who wins a package.

    Empty where no run is of folds.
    """
    folded = [run for run in pooled if isinstance(run, FoldedRun)]
    if not folded:
        return ""
    metric, sizes = comparison.metrics[comparison.main], folded[0].pool_sizes()
    facts = folded[0].pool_facts(comparison.split)
    tested = [finding for finding in (*comparison.experiments, *comparison.trivial) if finding.effect is not None]
    rows = [
        [finding.experiment, reference_label(finding.reference), *map(str, package_tally(finding.effect))]
        for finding in tested
        if finding.metric == comparison.main and finding.effect is not None
    ]
    packages = len(np.unique(facts.packages))
    bodies = " to ".join(f"{size:,}" for size in dict.fromkeys((min(sizes), max(sizes))))
    return section(
        "Folds",
        f"Cross-validation over packages: {len(sizes)} folds, {packages:,} packages, {len(facts.ids):,} queries. Every "
        "package is in the test pool of exactly one fold; there its queries are ranked by a student that saw none of "
        f"it, among the {bodies} bodies of that fold, and by baselines fitted on the same "
        "train split. Figures and tests of this report are of all queries of all folds; each seed is one student a "
        "fold. Rank@k depends on the size of a pool: compare it with pools of that size alone. Students of two folds "
        "share most of their train packages, which the tests over packages do not count.",
        f"{comparison.split} {metric.label} by fold, mean over the seeds:",
        fold_table(folded, comparison),
        f"Packages by mean {metric.label} over their queries and the seeds:" if rows else "",
        markdown_table(["experiment", "against", "better", "worse", "equal"], rows) if rows else "",
    )


def fold_table(folded: Sequence[FoldedRun], comparison: Comparison) -> str:
    """Return the main metric of every experiment and of the baselines, a row a fold of the first run's pools.

    Baselines that runs of other teachers have other figures of stand once for each, as in the results table.
    """
    metric, key = comparison.metrics[comparison.main], f"{comparison.split}/{comparison.main}"
    groups = {
        name: [run for run in members if isinstance(run, FoldedRun) and run.pool() == folded[0].pool()]
        for name, members in by_experiment(folded).items()
    }
    groups = {name: members for name, members in groups.items() if members}
    measured = (
        (run.experiment, [reference_label(name), *(metric.format(part.baselines[name][key]) for part in run.folds)])
        for members in groups.values()
        for run in members
        for name, figures in run.baselines.items()
        if key in figures
    )
    baselines = {name: cells for name, *cells in baselines_beside(measured)}
    rows = [
        [
            *(str(part.fold), f"{int(part.pool_facts(comparison.split).packages.max()) + 1:,}", f"{size:,}"),
            *(metric.format(mean(run.folds[place].figure(key) for run in members)) for members in groups.values()),
            *(cells[place] for cells in baselines.values()),
        ]
        for place, (part, size) in enumerate(zip(folded[0].folds, folded[0].pool_sizes(), strict=True))
    ]
    return markdown_table(["fold", "packages", "queries", *groups, *baselines], rows)


def package_tally(effect: Effect) -> tuple[int, int, int]:
    """Return in how many packages a difference is for the better, for the worse, and nothing."""
    sums = np.bincount(effect.pair.groups, weights=effect.pair.averaged[:, effect.column])
    gains = sums if effect.direction == "max" else -sums
    return int((gains > 1e-9).sum()), int((gains < -1e-9).sum()), int((np.abs(gains) <= 1e-9).sum())
