"""The section of a report on the queries whose signature does not stand in train."""

from collections.abc import Sequence
from statistics import mean

from sigjepa.evaluation.baselines import reference_label
from sigjepa.evaluation.metrics import QueryValues
from sigjepa.reporting.run import Run
from sigjepa.reporting.runs import by_experiment
from sigjepa.reporting.sections import section
from sigjepa.reporting.tables import baselines_beside, markdown_table


def unseen_section(finished: Sequence[Run], split: str) -> str:
    """Return the figures of the queries whose signature does not stand verbatim in train, empty without a difference.

    Means over the seeds; of the runs that have the first one's pool and metrics.
    """
    first = finished[0]
    facts, metrics = first.pool_facts(split), first.metrics
    unseen = ~facts.in_train
    if unseen.all() or not unseen.any():
        return ""
    names = [name for name, metric in metrics.items() if metric.tested and split in metric.splits]

    def is_alike(run: Run) -> bool:
        return run.pool() == first.pool() and all(run.measures(f"{split}/{name}", metrics[name]) for name in names)

    def cells(values: Sequence[QueryValues]) -> list[str]:
        means = [[queries.values[name][unseen].mean() for queries in values] for name in names]
        return [metrics[name].format(mean(map(float, row))) for name, row in zip(names, means, strict=True)]

    rows = [
        [name, *cells([run.queries(split) for run in members])]
        for name, members in by_experiment(finished).items()
        if all(map(is_alike, members))
    ]
    rows += baselines_beside(
        (run.experiment, [reference_label(name), *cells([run.baseline_queries(name, split)])])
        for run in finished
        for name in run.baselines
        if is_alike(run)
    )
    head = (
        f"Signatures of {int(facts.in_train.sum()):,} of {len(unseen):,} {split} queries stand verbatim in train. Of "
        f"the other {int(unseen.sum()):,} alone, ranked in the whole pool:"
    )
    table = markdown_table(["on unseen signatures", *(metrics[name].label for name in names)], rows)
    return section("Unseen signatures", head, table)
