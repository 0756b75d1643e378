"""Result tables in Markdown: one row an experiment, mean ± standard deviation over seeds, baselines below."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, stdev

from sigjepa.reporting.runs import Run

COLUMNS = ("val/rank1", "val/rank10", "test/rank1", "test/rank5", "test/rank10", "test/mrr", "test/cosine")
POOL_TOLERANCE = 0.002
PERCENT = ("rank1", "rank5", "rank10", "mrr")
LABELS = {
    "random": "random",
    "mean_body": "mean body",
    "zero_shot": "teacher zero-shot",
    "zero_shot_centred": "teacher zero-shot, centred",
    "zero_shot_whitened": "teacher zero-shot, whitened",
    "bm25": "BM25",
    "fusion": "BM25 + zero-shot",
}


def spread(values: Sequence[float], metric: str) -> str:
    """`mean ± standard deviation` of a metric over seeds, in percent for ranks; no deviation from a single value."""
    percent = metric.rsplit("/", 1)[-1] in PERCENT
    scale, digits = (100, 2) if percent else (1, 3)
    deviation = f" ± {scale * stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{scale * mean(values):.{digits}f}{deviation}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, columns padded so that it reads as plain text too."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    text = [f"| {' | '.join(cells)} |" for cells in padded]
    return "\n".join([text[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *text[1:]])


def results_table(runs: Sequence[Run]) -> str:
    """The table of `runs`: Rank@k and MRR in percent. Baselines are shown when all runs share their pools."""
    by_experiment: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_experiment[run.summary["experiment"]].append(run)
    rows = [
        [
            experiment,
            str(len(members)),
            *(spread([member.summary[column] for member in members], column) for column in COLUMNS),
            f"{mean(member.summary['best_epoch'] for member in members):.0f}",
        ]
        for experiment, members in sorted(by_experiment.items())
    ]
    rows.extend(_baseline_rows(runs))
    return markdown_table(["run", "seeds", *COLUMNS, "best epoch"], rows)


def same_pool(one: Mapping[str, Mapping[str, float]], other: Mapping[str, Mapping[str, float]]) -> bool:
    """Whether two runs' baselines tell of one pool and teacher.

    Not to the last bit: bodies embedded with and without their token states are two encoder passes, in which a padded
    batch may round otherwise and a near-tie fall the other way.
    """
    return one.keys() == other.keys() and all(
        one[name].keys() == other[name].keys()
        and all(abs(value - other[name][metric]) < POOL_TOLERANCE for metric, value in one[name].items())
        for name in one
    )


def _baseline_rows(runs: Sequence[Run]) -> list[list[str]]:
    baselines = runs[0].baselines
    if not all(same_pool(run.baselines, baselines) for run in runs):
        return []
    return [
        [
            LABELS.get(name, name),
            "",
            *(spread([metrics[column]], column) if column in metrics else "" for column in COLUMNS),
            "",
        ]
        for name, metrics in baselines.items()
    ]
