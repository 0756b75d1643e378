"""Result tables in Markdown: one row an experiment, mean and 95 % interval over seeds, baselines below."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean

from sigjepa.evaluation.significance import seed_interval
from sigjepa.reporting.runs import Run, by_experiment, why_no_repetitions

COLUMNS = ("val/rank1", "val/rank10", "test/rank1", "test/rank5", "test/rank10", "test/mrr", "test/cosine")
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
"""What tables call the baselines."""
INTERVAL_NOTE = "± is half the width of the 95 % interval of the mean over seeds (Student's t)."
ONE_SEED_NOTE = "With one seed there is no ±: a single value says nothing about its spread. Run more seeds: seed=0,1,2."
OTHER_POOL = "†"
OTHER_POOL_NOTE = (
    f"{OTHER_POOL} another corpus, and so another pool than the first run's: these figures can't be compared with it, "
    "and no test was made."
)


def spread(values: Sequence[float], metric: str) -> str:
    """`mean ± half width of the 95 % interval` over seeds, in percent for ranks; a single value has no interval."""
    scale, digits = (100, 2) if metric.rsplit("/", 1)[-1] in PERCENT else (1, 3)
    half_width = seed_interval(values).half_width
    interval = "" if half_width is None else f" ± {scale * half_width:.{digits}f}"
    return f"{scale * mean(values):.{digits}f}{interval}"


def spread_over_seeds(members: Sequence[Run], metric: str) -> str:
    """`spread` of an experiment's runs; without an interval where they do not repeat one thing with other seeds."""
    values = [member.figure(metric) for member in members]
    return spread([mean(values)] if why_no_repetitions(members) else values, metric)


def escape_cell(text: str) -> str:
    """Text that stays within its cell of a Markdown table."""
    return " ".join(text.replace("|", "\\|").split())


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, columns padded so that it reads as plain text too."""
    lines = [[escape_cell(cell) for cell in line] for line in (header, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    text = [f"| {' | '.join(cells)} |" for cells in padded]
    return "\n".join([text[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *text[1:]])


def results_table(runs: Sequence[Run]) -> str:
    """The table of finished `runs`: Rank@k and MRR in percent, and the baselines of the first run's pool."""
    rows = []
    for experiment, members in by_experiment(runs).items():
        mark = f" {OTHER_POOL}" if any(run.pool() != runs[0].pool() for run in members) else ""
        rows.append(
            [
                f"{experiment}{mark}",
                str(len(members)),
                *(spread_over_seeds(members, column) for column in COLUMNS),
                f"{mean(member.figure('best_epoch') for member in members):.0f}",
            ]
        )
    return markdown_table(["run", "seeds", *COLUMNS, "best epoch"], [*rows, *_baseline_rows(runs[0].baselines)])


def baseline_table(baselines: Mapping[str, Mapping[str, float]]) -> str:
    """The table of baselines alone, metrics by name."""
    return markdown_table(["baseline", *COLUMNS], [[row[0], *row[2:-1]] for row in _baseline_rows(baselines)])


def figures_table(figures: Mapping[str, float | int]) -> str:
    """What a run is about to train on: sizes of the splits and, with hard negatives, what they cover."""
    rows = [[f"{split} functions", f"{figures[f'{split}_functions']:,}"] for split in ("train", "val", "test")]
    if "covered_anchors_per_batch" in figures:
        rows += [
            ["train anchors with hard negatives", f"{figures['hard_negative_coverage']:.1%}"],
            ["hard negatives of such an anchor", f"{figures['hard_negatives_per_anchor']:.1f}"],
            ["of them brought to a step", f"{figures['negatives_per_covered_anchor']:.1f}"],
            ["covered anchors per batch", f"{figures['covered_anchors_per_batch']:.1f}"],
            ["unique rows appended per step", f"{figures['unique_negatives_per_step']:.1f}"],
        ]
    return markdown_table(["before training", ""], rows)


def _baseline_rows(baselines: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    return [
        [
            LABELS.get(name, name),
            "",
            *(spread([metrics[column]], column) if column in metrics else "" for column in COLUMNS),
            "",
        ]
        for name, metrics in baselines.items()
    ]
