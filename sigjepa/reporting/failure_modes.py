"""The four reasons that the published Exp 2.1 failed for, as figures of the runs at hand."""

from collections.abc import Callable, Sequence
from functools import partial
from statistics import mean

from sigjepa.reporting.labels import label_of
from sigjepa.reporting.run import Run
from sigjepa.reporting.runs import all_metrics, by_experiment

EARLY_EPOCHS = 5

Cell = Callable[[Sequence[Run]], str]
"""What one column says of an experiment's runs."""


def mean_over_epochs(runs: Sequence[Run], key: str, mined: bool = False, first: bool = False) -> float | None:
    """Return the mean over the seeds of a figure's mean over the epochs that logged it; None where none did.

    mined: only epochs in which mined candidates stood in the softmax. first: only the first of them.
    """
    per_run = []
    for run in runs:
        rows = [row for row in run.rows if not mined or row.get("train/infonce_mined_weight", 0) > 0]
        if values := [row[key] for row in (rows[:1] if first else rows) if key in row]:
            per_run.append(mean(values))
    return mean(per_run) if per_run else None


def mean_of_summaries(runs: Sequence[Run], key: str) -> float | None:
    """Return the mean over the seeds of a figure of the summary; None where a run has none."""
    values = [value for run in runs if isinstance(value := run.summary.get(key), int | float)]
    return mean(values) if len(values) == len(runs) else None


def number(value: float | None, pattern: str = "{:.2f}") -> str:
    """Return a figure as a cell, `—` for one that is not there."""
    return "—" if value is None else pattern.format(value)


PERCENT = "{:.1%}"


def _early(runs: Sequence[Run]) -> str:
    metric = runs[0].metrics[runs[0].monitor.partition("/")[2]]
    values = [value for run in runs for epoch, value in run.curve(run.monitor).items() if epoch < EARLY_EPOCHS]
    return metric.format(mean(values)) if values else "—"


def _share_of_score1(runs: Sequence[Run]) -> str:
    pairs = [mean_over_epochs(runs, f"train/infonce_pairs_score{score}", mined=True) or 0.0 for score in (0, 1)]
    return number(pairs[1] / sum(pairs) if sum(pairs) else None, PERCENT)


def _mined_candidates(runs: Sequence[Run]) -> str:
    chosen = {str(run.config.get("loss", {}).get("infonce", {}).get("mined_candidates", "none")) for run in runs}
    return " / ".join(sorted(chosen))


def _summary(key: str, pattern: str = "{:.1f}") -> Cell:
    return lambda runs: number(mean_of_summaries(runs, key), pattern)


def _epochs(key: str, pattern: str = "{:.1f}", first: bool = False) -> tuple[str, Cell]:
    mean_of = partial(mean_over_epochs, key=key, mined=True, first=first)
    return label_of(key, {}), lambda runs: number(mean_of(runs), pattern)


CURVES: dict[str, tuple[str, ...]] = {
    "coverage": ("train/infonce_covered_anchors",),
    "too hard too early": (
        *("train/first_loss", "train/infonce_in_batch", "train/infonce_mined"),
        *("train/infonce_negative_cosim", "train/infonce_mined_mass", "train/infonce_mined_weight"),
    ),
    "ambiguous score_c = 1": ("train/infonce_pairs_score0", "train/infonce_pairs_score1"),
    "union dilution": ("train/infonce_unique_negatives", "train/infonce_negatives_per_covered_anchor"),
}
"""What is logged of each failure mode, by its name in W&B."""

COLUMNS: dict[str, dict[str, Cell]] = {
    "Coverage asymmetry": dict(
        [
            ("train anchors with hard negatives", _summary("hard_negative_coverage", PERCENT)),
            _epochs("train/infonce_covered_anchors", PERCENT),
            ("hard negatives each", _summary("hard_negatives_per_anchor")),
            ("covered anchors a batch, counted before training", _summary("covered_anchors_per_batch")),
        ]
    ),
    "Too hard too early": dict(
        [
            ("loss of the first step", _summary("first_loss", "{:.2f}")),
            (f"selected by, mean of the first {EARLY_EPOCHS} epochs", _early),
            _epochs("train/infonce_in_batch", "{:.2f}", first=True),
            _epochs("train/infonce_mined", "{:.2f}", first=True),
            _epochs("train/infonce_negative_cosim", "{:.2f}", first=True),
            _epochs("train/infonce_mined_mass", PERCENT, first=True),
        ]
    ),
    "Ambiguous score_c = 1": dict(
        [
            _epochs("train/infonce_pairs_score0"),
            _epochs("train/infonce_pairs_score1"),
            ("share of score_c = 1", _share_of_score1),
        ]
    ),
    "Union dilution": dict(
        [
            _epochs("train/infonce_unique_negatives"),
            _epochs("train/infonce_negatives_per_covered_anchor"),
            ("mined_candidates", _mined_candidates),
        ]
    ),
}
"""The columns of each failure mode's table, by header; the early ones are of the first epoch with mined candidates."""


def failure_mode_tables(runs: Sequence[Run]) -> dict[str, tuple[list[str], list[list[str]]]]:
    """Return header and rows by failure mode, a row an experiment, means over seeds; `—` where nothing was logged."""
    return {
        title: (
            ["run", *columns],
            [[name, *(cell(members) for cell in columns.values())] for name, members in by_experiment(runs).items()],
        )
        for title, columns in COLUMNS.items()
    }


def health_table(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the gauges on val, of the best checkpoint, means over seeds; targets beside."""
    gauges = {name: metric for name, metric in all_metrics(runs).items() if metric.direction is None}
    rows = []
    for experiment, members in by_experiment(runs).items():
        values = {name: mean_of_summaries(members, f"val/{name}") for name in gauges}
        cells = ["—" if value is None else gauges[name].format(value) for name, value in values.items()]
        cells.append(number(mean_over_epochs(members, "train/gradient_norm")))
        rows.append([experiment, *cells, number(mean_of_summaries(members, "temperature"), "{:.4f}")])
    return ["run", *(metric.label for metric in gauges.values()), "gradient norm", "temperature"], rows
