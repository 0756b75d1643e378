"""Figures of runs: each is drawn once and kept as PNG, for Markdown and W&B, and as SVG, for the page."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sigjepa.evaluation.metrics import metric_at
from sigjepa.reporting.labels import label_of
from sigjepa.reporting.run import Run
from sigjepa.reporting.runs import all_metrics, by_experiment, counted
from sigjepa.store.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOREGROUND = "#010203"
"""Colour of text and lines; the page puts its own in its place, so that one SVG reads on dark and on light."""
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#f0e442")
"""Okabe and Ito's colours, told apart by most colour-blind people."""
GREY, STYLES = "#888888", ("--", ":", "-.", (0, (1, 4)))
"""Of what is no experiment, so that a colour is one experiment in every figure of a report."""
TRAINING_GAUGES = ("train/loss", "train/gradient_norm", "train/infonce_temperature")
MINED_GAUGES = (
    *("train/infonce_in_batch", "train/infonce_mined", "train/infonce_mined_mass"),
    *("train/infonce_covered_anchors", "train/infonce_unique_negatives", "train/infonce_pairs_score1"),
)


@contextmanager
def drawn(path: Path, width: float, height: float) -> Iterator["Figure"]:
    """Yield an empty figure and save it as `path` with `.png` and `.svg`; sizes in inches."""
    from matplotlib import rc_context  # noqa: PLC0415 - slow to import
    from matplotlib.figure import Figure  # noqa: PLC0415

    style: dict[Any, Any] = {
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), FOREGROUND),
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "text.parse_math": False,  # a name is a name, whatever dollars are in it
        "svg.fonttype": "none",  # text stays text: small, searchable, in the page's own font
        "svg.hashsalt": path.name,  # the same figure gives the same file
    }
    with rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        for suffix, options in ((".png", {"dpi": 120}), (".svg", {"transparent": True, "metadata": {"Date": None}})):
            with atomic_path(path.with_suffix(suffix)) as temporary:
                figure.savefig(temporary, format=suffix.lstrip("."), **options)


def band(axes: "Axes", runs: Sequence[Run], metric: str, scale: float = 1.0) -> None:
    """Draw a metric by epoch, one line an experiment: mean over the seeds that reached an epoch, band from least to
    greatest; nothing for runs that never logged it."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    for number, (experiment, members) in enumerate(by_experiment(runs).items()):
        rows: dict[int, list[float]] = {}
        for run in members:
            for row in run.rows:
                if metric in row:
                    rows.setdefault(int(row["epoch"]), []).append(scale * row[metric])
        if rows:
            epochs = sorted(rows)
            colour = PALETTE[number % len(PALETTE)]
            label = f"{experiment} ({counted(members)})"
            axes.plot(epochs, [np.mean(rows[epoch]) for epoch in epochs], color=colour, label=label)
            lowest, highest = ([pick(rows[epoch]) for epoch in epochs] for pick in (min, max))
            axes.fill_between(epochs, lowest, highest, color=colour, alpha=0.18, linewidth=0)
    axes.grid(alpha=0.25)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def plot_curves(runs: Sequence[Run], path: Path, key: str, levels: Mapping[str, float] | None = None) -> None:
    """Draw a metric's curves; `levels`, its values by name, are dashed horizontals (baselines)."""
    metrics = all_metrics(runs)
    metric = metric_at(key, metrics)
    scale = 100 if metric.percent else 1
    with drawn(path, 7, 4) as figure:
        axes = figure.subplots()
        band(axes, runs, key, scale)
        for style, (name, level) in zip(STYLES, (levels or {}).items(), strict=False):
            axes.axhline(scale * level, color=GREY, linestyle=style, linewidth=1.2, label=name)
        axes.set(xlabel="epoch", ylabel=f"{label_of(key, metrics)}{' (%)' if metric.percent else ''}")
        figure.legend(loc="outside lower center", ncols=3, fontsize=8)  # beside the curves, however many there are


def plot_gauges(runs: Sequence[Run], path: Path, keys: Sequence[str]) -> None:
    """Draw small multiples of logged figures by epoch, three beside each other."""
    metrics, rows = all_metrics(runs), math.ceil(len(keys) / 3)
    with drawn(path, 9, 2.5 * rows) as figure:
        panels = figure.subplots(rows, 3, squeeze=False).flat
        for axes, key in itertools.zip_longest(panels, keys):
            if key is None:
                axes.set_axis_off()
                continue
            band(axes, runs, key)
            axes.set_title(label_of(key, metrics), fontsize=9)
        handles, labels = max((axes.get_legend_handles_labels() for axes in figure.axes), key=lambda pair: len(pair[1]))
        if handles:
            figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)


def plot_differences(
    differences: Mapping[str, tuple[float, float | None, float | None]], path: Path, title: str, scale: float = 100
) -> None:
    """Draw differences, times `scale`, with their intervals, one row each: `{name: (difference, low, high)}`."""
    with drawn(path, 7, 0.8 + 0.36 * len(differences)) as figure:
        axes = figure.subplots()
        for row, (difference, low, high) in enumerate(differences.values()):
            if low is not None and high is not None:
                axes.plot([scale * low, scale * high], [row, row], color=PALETTE[0], linewidth=2)
            axes.plot([scale * difference], [row], "o", color=PALETTE[0])
        axes.axvline(0, color=GREY, linewidth=1)
        axes.set_yticks(range(len(differences)), list(differences))
        axes.invert_yaxis()
        axes.margins(y=0.3 / max(len(differences), 1) + 0.05)
        axes.set(xlabel=title)
        axes.grid(alpha=0.25, axis="x")


def plot_ceiling(
    curves: Mapping[str, Mapping[float, float]], points: Mapping[str, tuple[float, float]], path: Path
) -> None:
    """Draw Rank@10 by the cosine of simulated predictions, one line a direction, and runs as points.

    curves: `{direction: {cosine: rank10}}`; points: `{name: (cosine, rank10)}`; fractions.
    """
    with drawn(path, 7, 4) as figure:
        axes = figure.subplots()
        for style, (direction, curve) in zip(STYLES, curves.items(), strict=False):
            cosines, ranks = list(curve), [100 * rank10 for rank10 in curve.values()]
            axes.plot(cosines, ranks, color=GREY, linestyle=style, label=f"error: {direction}")
        for number, (name, (cosine, rank10)) in enumerate(points.items()):
            axes.plot([cosine], [100 * rank10], "D", color=PALETTE[number % len(PALETTE)], label=name)
        axes.set(xlabel="cosine between prediction and true body", ylabel="Rank@10 (%)")
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8)
