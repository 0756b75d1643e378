"""Figures of runs: curves, gauges, differences and the teacher's ceiling, as panels."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from sigjepa.evaluation.metrics import metric_at
from sigjepa.reporting.labels import label_of
from sigjepa.reporting.panels import COLUMNS, GREY, Line, Panel, write_panels
from sigjepa.reporting.run import Run
from sigjepa.reporting.runs import all_metrics, by_experiment, counted, of_one_metric

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#f0e442")
"""Okabe and Ito's colors, told apart by most color-blind people; one is one experiment in all figures of a report."""
DASHES = ((6, 3), (1.5, 2), (6, 2, 1.5, 2), (1, 4), (10, 4))
"""Of what is no experiment, which is grey."""
TRAINING_GAUGES = ("train/loss", "train/gradient_norm", "train/infonce_temperature")
MINED_GAUGES = (
    *("train/infonce_in_batch", "train/infonce_mined", "train/infonce_mined_mass"),
    *("train/infonce_covered_anchors", "train/infonce_unique_negatives", "train/infonce_pairs_score1"),
)


def lines_by_epoch(runs: Sequence[Run], key: str, scale: float = 1.0) -> tuple[list[int], list[Line]]:
    """Return the epochs that logged a metric and its lines over them, one an experiment: mean over the seeds that
    reached an epoch, band from least to greatest; no line for runs that never logged it."""
    lines, groups = [], by_experiment(runs)
    values: dict[str, dict[int, list[float]]] = {name: {} for name in groups}
    for name, members in groups.items():
        for row in (row for run in members for row in run.rows):
            if math.isfinite(value := row.get(key, math.nan)):
                values[name].setdefault(int(row["epoch"]), []).append(scale * value)
    epochs = sorted({epoch for rows in values.values() for epoch in rows})
    for number, (name, rows) in enumerate(values.items()):
        if rows:
            pick = {end: [end(rows[epoch]) if epoch in rows else None for epoch in epochs] for end in (mean, min, max)}
            label, color = f"{name} ({counted(groups[name])})", PALETTE[number % len(PALETTE)]
            lines.append(Line(label, color, pick[mean], pick[min], pick[max]))
    return epochs, lines


def plot_curves(runs: Sequence[Run], path: Path, key: str, levels: Mapping[str, float] | None = None) -> None:
    """Draw a metric's curves; `levels`, its values by name, are dashed horizontals (baselines)."""
    metrics = all_metrics(runs)
    metric = metric_at(key, metrics)
    scale = 100 if metric.percent else 1
    label = f"{label_of(key, metrics)}{' (%)' if metric.percent else ''}"
    epochs, lines = lines_by_epoch(of_one_metric(runs, key), key, scale)
    lines += [
        Line(name, GREY, [scale * level] * len(epochs), dash=dash)
        for dash, (name, level) in zip(DASHES, (levels or {}).items(), strict=False)
    ]
    write_panels(path, [Panel("", "epoch", label, epochs, lines)], 7, 4)


def plot_gauges(runs: Sequence[Run], path: Path, keys: Sequence[str]) -> None:
    """Draw small multiples of logged figures by epoch."""
    metrics = all_metrics(runs)
    panels = [Panel(label_of(key, metrics), "epoch", "", *lines_by_epoch(runs, key)) for key in keys]
    write_panels(path, panels, 9, 2.5 * math.ceil(len(keys) / COLUMNS))


def plot_differences(
    differences: Mapping[str, tuple[float, float | None, float | None]], path: Path, title: str, scale: float = 100
) -> None:
    """Draw differences, times `scale`, with their intervals, one row each: `{name: (difference, low, high)}`."""
    columns = zip(*differences.values(), strict=True) if differences else ((), (), ())
    values, low, high = (
        [None if value is None or not math.isfinite(value) else scale * value for value in column] for column in columns
    )
    line = Line("difference", PALETTE[0], values, low, high, points=True)
    panel = Panel("", "difference of", title, list(range(len(differences))), [line], list(differences))
    width = 4.5 + 0.08 * max(map(len, differences), default=0)  # inches: the names stand beside the axes
    write_panels(path, [panel], width, 0.8 + 0.36 * len(differences))


def plot_ceiling(
    curves: Mapping[str, Mapping[float, float]], points: Mapping[str, tuple[float, float]], path: Path
) -> None:
    """Draw Rank@10 by the cosine of simulated predictions, one line a direction, and runs as points.

    curves: `{direction: {cosine: rank10}}`; points: `{name: (cosine, rank10)}`; fractions.
    """
    simulated = {f"error: {direction}": curve for direction, curve in curves.items()}
    runs = {name: {cosine: rank10} for name, (cosine, rank10) in points.items()}
    xs = sorted({cosine for curve in (*simulated.values(), *runs.values()) for cosine in curve})

    def percent(curve: Mapping[float, float]) -> list[float | None]:
        return [100 * curve[x] if x in curve else None for x in xs]

    lines = [
        Line(name, GREY, percent(curve), dash=dash)
        for dash, (name, curve) in zip(DASHES, simulated.items(), strict=False)
    ]
    lines += [
        Line(name, PALETTE[number % len(PALETTE)], percent(curve), points=True)
        for number, (name, curve) in enumerate(runs.items())
    ]
    write_panels(path, [Panel("", "cosine between prediction and true body", "Rank@10 (%)", xs, lines)], 7, 4)
