"""Training curves as a table: a metric at chosen epochs, the best and the last one marked."""

from collections import Counter
from collections.abc import Sequence
from statistics import mean

from sigjepa.evaluation.metrics import metric_at
from sigjepa.reporting.published import MARK, published_curve, published_summary
from sigjepa.reporting.run import Run
from sigjepa.reporting.runs import FINISHED, all_metrics, by_experiment, counted, of_one_metric


def curve_rows(
    runs: Sequence[Run], key: str, epochs: Sequence[int] = (), published: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a metric, mean over the seeds that reached an epoch, one column an experiment.

    Shown are `epochs` and every epoch that is some run's best (`best`) or last (`stop`), with the number of seeds for
    which it is when there are several. published: add the published curves of the same experiments, marked.
    """
    groups, metric = by_experiment(of_one_metric(runs, key)), metric_at(key, all_metrics(runs))
    curves = {name: [run.curve(key) for run in members] for name, members in groups.items()}
    best = {
        name: Counter(max(curve, key=lambda epoch: metric.gain(curve[epoch])) for curve in members)
        for name, members in curves.items()
    }
    last = {
        name: Counter(max(run.curve(key)) for run in members if run.status == FINISHED)
        for name, members in groups.items()
    }
    references = {name: curve for name in groups if published and (curve := published_curve(name, key))}
    reached = {epoch for members in curves.values() for curve in members for epoch in curve}
    shown = {epoch for epoch in epochs if epoch in reached}
    shown |= {epoch for counts in (*best.values(), *last.values()) for epoch in counts}
    shown |= {epoch for curve in references.values() for epoch in curve}

    def cell(name: str, epoch: int) -> str:
        values = [curve[epoch] for curve in curves[name] if epoch in curve]
        if not values:
            return "—"
        marks = _mark("best", best[name][epoch], groups[name]) + _mark("stop", last[name][epoch], groups[name])
        return f"{metric.format(mean(values))}{marks}"

    def reference(name: str, epoch: int) -> str:
        curve, summary = references[name], published_summary(name)
        if epoch not in curve:
            return "—"
        marked = {"best": summary["best_epoch"], "stop": summary["stopped_epoch"]}
        return " ".join([metric.format(curve[epoch]), *(f"({word})" for word in marked if epoch == marked[word])])

    rows = [
        [str(epoch), *(cell(name, epoch) for name in groups), *(reference(name, epoch) for name in references)]
        for epoch in sorted(shown)
    ]
    return ["epoch", *groups, *(f"{name} published {MARK}" for name in references)], rows


def _mark(word: str, count: int, runs: Sequence[Run]) -> str:
    if not count:
        return ""
    return f" ({word})" if len(runs) == 1 else f" ({word} of {counted(runs[:count])})"
