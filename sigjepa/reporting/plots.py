"""Training curves, with a band over seeds."""

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sigjepa.artifacts import atomic_path
from sigjepa.errors import SigjepaError
from sigjepa.reporting.runs import Run


def read_curve(path: Path, metric: str) -> dict[int, float]:
    """A metric by epoch from a run's `metrics.csv`; raises SigjepaError naming the file when it can't be read."""
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return {int(row["epoch"]): float(row[metric]) for row in csv.DictReader(stream) if row[metric]}
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise SigjepaError(f"{path} has no readable column '{metric}' ({error!r}).") from None


def plot_curves(runs: Sequence[Run], path: Path, metric: str = "val/rank10") -> None:
    """Draw a metric by epoch, one line an experiment: mean over seeds, band from least to greatest.

    An epoch's mean is over the seeds that reached it. Raises SigjepaError when matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra, and slow to import
        from matplotlib.ticker import MaxNLocator  # noqa: PLC0415
    except ModuleNotFoundError:
        raise SigjepaError("matplotlib is not installed: pip install 'sigjepa[plots]'.") from None

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    curves: dict[str, list[dict[int, float]]] = defaultdict(list)
    for run in runs:
        curves[run.summary["experiment"]].append(read_curve(run.folder / "metrics.csv", metric))
    for experiment, members in sorted(curves.items()):
        epochs = sorted(set().union(*members))
        values = [[100 * member[epoch] for member in members if epoch in member] for epoch in epochs]
        (line,) = axes.plot(epochs, [np.mean(row) for row in values], label=f"{experiment} ({len(members)} seeds)")
        axes.fill_between(epochs, [min(r) for r in values], [max(r) for r in values], color=line.get_color(), alpha=0.2)
    zero_shot = runs[0].baselines.get("zero_shot", {}).get(metric)
    if zero_shot is not None:
        axes.axhline(100 * zero_shot, color="0.4", linestyle="--", label="teacher zero-shot")
    axes.set(xlabel="epoch", ylabel=f"{metric} (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip(".") or "png", dpi=150)
