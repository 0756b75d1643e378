"""Result tables in Markdown: one row an experiment, mean and 95 % interval over seeds, baselines below."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import mean

from sigjepa.evaluation.baselines import reference_label
from sigjepa.evaluation.metrics import Metric, Metrics, metric_at
from sigjepa.evaluation.significance import seed_interval
from sigjepa.reporting.run import Run
from sigjepa.reporting.runs import all_metrics, by_experiment, why_no_repetitions

INTERVAL_NOTE = "± is half the width of the 95 % interval of the mean over seeds (Student's t)."
ONE_SEED_NOTE = "With one seed there is no ±: a single value says nothing about its spread. Run more seeds: seed=0,1,2."
OTHER_POOL = "†"
OTHER_POOL_NOTE = (
    f"{OTHER_POOL} another pool than the first run's, by its corpus or what was sampled: these figures can't be "
    "compared with it, and no test was made."
)


def columns_of(metrics: Metrics, monitor: str) -> dict[str, Metric]:
    """Return the columns of a result table by key: what was selected by, and every metric with a better end on test."""
    on_test = {f"test/{name}": metric for name, metric in metrics.items() if metric.direction}
    tested = {key: metric for key, metric in on_test.items() if "test" in metric.splits}
    return {monitor: metric_at(monitor, metrics)} | tested


def header_of(columns: Mapping[str, Metric]) -> list[str]:
    """Return the headers of such columns; those of test, which is most of them, do not say so."""
    return [metric.label if key.startswith("test/") else f"val {metric.label}" for key, metric in columns.items()]


def spread(values: Sequence[float], metric: Metric) -> str:
    """Return `mean ± half width of the 95 % interval` over seeds; a single value has no interval."""
    return metric.format(mean(values), seed_interval(values).half_width)


def spread_over_seeds(members: Sequence[Run], key: str, metric: Metric) -> str:
    """Return `spread` of an experiment's runs; without an interval where they do not repeat one thing with other seeds.

    Nothing where the runs were not measured by it, or call another metric so.
    """
    if not all(member.measures(key, metric) for member in members):
        return ""
    values = [member.figure(key) for member in members]
    return spread([mean(values)] if why_no_repetitions(members) else values, metric)


def escape_cell(text: str) -> str:
    """Return text that stays within its cell of a Markdown table."""
    text = " ".join(text.replace("|", "\\|").split())
    return text if text.startswith("`") else text.replace("*", "\\*")


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, columns padded so that it reads as plain text too."""
    lines = [[escape_cell(cell) for cell in line] for line in (header, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    text = [f"| {' | '.join(cells)} |" for cells in padded]
    return "\n".join([text[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *text[1:]])


def results_table(runs: Sequence[Run]) -> str:
    """Return the table of finished `runs` on the test split, and of the baselines of their pools and teachers.

    Beside them stands what selected the checkpoint. How many seeds a row has is said where one has several.
    """
    columns, groups = columns_of(all_metrics(runs), runs[0].monitor), by_experiment(runs)
    several = len(groups) < len(runs)
    rows = []
    for experiment, members in groups.items():
        mark = f" {OTHER_POOL}" if any(run.pool() != runs[0].pool() for run in members) else ""
        mark += "".join(dict.fromkeys(of_pools(run.sampled_pools) for run in members)) if mark else ""
        cells = [spread_over_seeds(members, key, metric) for key, metric in columns.items()]
        epoch = f"{mean(member.figure('best_epoch') for member in members):.0f}"
        rows.append([f"{experiment}{mark}", *([str(len(members))] if several else []), *cells, epoch])
    measured = ((run.experiment, row) for run in runs for row in _baseline_rows(run.baselines, columns, run.measures))
    for name, *cells in baselines_beside(measured):
        rows.append([name, *([""] if several else []), *cells, ""])
    header = [f"on test{of_pools(runs[0].sampled_pools)}", *(["seeds"] if several else [])]
    return markdown_table([*header, *header_of(columns), "epoch"], rows)


def of_pools(sampled: Mapping[str, str]) -> str:
    """Return what stands behind the head of figures to say in which samples they were ranked; sampled: by split."""
    return "".join(f", {split} {text}" for split, text in sampled.items())


def baselines_beside(measured: Iterable[tuple[str, Sequence[str]]]) -> list[list[str]]:
    """Return a row for each baseline and, where runs of other teachers or pools have other figures, for each of them.

    measured: an experiment, and the name of a baseline with its figures beside it. Such a row says beside which
    experiments its figures were measured.
    """
    rows: dict[str, list[tuple[list[str], list[str]]]] = {}
    for experiment, (name, *cells) in measured:
        for known, beside in rows.setdefault(name, []):
            if all(a == b for a, b in zip(known, cells, strict=True) if a and b):  # measured by other metrics, too
                known[:] = [a or b for a, b in zip(known, cells, strict=True)]
                beside.extend([experiment] if experiment not in beside else [])
                break
        else:
            rows[name].append((cells, [experiment]))
    return [
        [f"{name}, beside {', '.join(beside)}" if len(found) > 1 else name, *cells]
        for name, found in rows.items()
        for cells, beside in found
    ]


def baseline_table(
    baselines: Mapping[str, Mapping[str, float]], metrics: Metrics, monitor: str, sampled: Mapping[str, str]
) -> str:
    """Return the table of baselines alone; baselines: figures such as `test/rank10` by name; sampled: what is said of
    pools that are samples, by split.
    """
    columns = columns_of(metrics, monitor)
    return markdown_table([f"on test{of_pools(sampled)}", *header_of(columns)], _baseline_rows(baselines, columns))


def figures_table(figures: Mapping[str, float | int], sampled: Mapping[str, str]) -> str:
    """Return what a run is about to train on: sizes of the splits and, with hard negatives, what they cover.

    sampled: as in `baseline_table`.
    """
    sizes = {split: f"{figures[f'{split}_functions']:,}" for split in ("train", "val", "test")} | dict(sampled)
    rows = [[f"{split} functions", size] for split, size in sizes.items()]
    if "covered_anchors_per_batch" in figures:
        rows += [
            ["train anchors with hard negatives", f"{figures['hard_negative_coverage']:.1%}"],
            ["hard negatives of such an anchor", f"{figures['hard_negatives_per_anchor']:.1f}"],
            ["of them brought to a step", f"{figures['negatives_per_covered_anchor']:.1f}"],
            ["covered anchors per batch", f"{figures['covered_anchors_per_batch']:.1f}"],
            ["unique rows appended per step", f"{figures['unique_negatives_per_step']:.1f}"],
        ]
    return markdown_table(["before training", ""], rows)


def _baseline_rows(
    baselines: Mapping[str, Mapping[str, float]],
    columns: Mapping[str, Metric],
    measures: Callable[[str, Metric], bool] = lambda key, metric: True,
) -> list[list[str]]:
    """Return rows of the columns; measures: whether what is called by a key is a column's metric."""

    def cell(figures: Mapping[str, float], key: str, metric: Metric) -> str:
        return metric.format(figures[key]) if key in figures and measures(key, metric) else ""

    return [
        [reference_label(name), *(cell(figures, key, metric) for key, metric in columns.items())]
        for name, figures in baselines.items()
    ]
