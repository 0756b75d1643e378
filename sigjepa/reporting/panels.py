"""Panels of lines: drawn as a picture, for Markdown and W&B, and kept as data, for the page, whose plots answer."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sigjepa.store.files import atomic_path, write_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GREY = "#888888"
COLUMNS = 3
"""Panels beside each other."""


@dataclass(frozen=True)
class Line:
    """One line of a panel: its values at the panel's positions, None where it has none.

    low, high: the ends of a band, or of intervals, at each position; empty without one. dash: lengths that are drawn
    and left out in turn, empty for a whole line. points: draw the values alone, not the way between them.
    """

    label: str
    color: str
    values: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    dash: Sequence[float] = ()
    points: bool = False


@dataclass(frozen=True)
class Panel:
    """Lines over the same positions. names: what each position is called, where they are rows and not numbers."""

    title: str
    x_label: str
    y_label: str
    xs: Sequence[float]
    lines: Sequence[Line]
    names: Sequence[str] = ()


def write_panels(path: Path, panels: Sequence[Panel], width: float, height: float) -> None:
    """Draw panels beside each other into `path` with `.png`, sizes in inches, and write them as data with `.json`."""
    from matplotlib import rc_context  # noqa: PLC0415 - slow to import
    from matplotlib.figure import Figure  # noqa: PLC0415

    # a name is a name, whatever dollars are in it
    style: dict[Any, Any] = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
    }
    with rc_context({**style, "text.parse_math": False}):
        figure = Figure(figsize=(width, height), layout="constrained")
        columns = min(COLUMNS, len(panels))
        for axes, panel in zip_longest(
            figure.subplots(math.ceil(len(panels) / columns), columns, squeeze=False).flat, panels
        ):
            if panel is None:
                axes.set_axis_off()
            else:
                draw_panel(axes, panel)
        handles, labels = max((axes.get_legend_handles_labels() for axes in figure.axes), key=lambda pair: len(pair[1]))
        if handles:  # beside the panels, however many lines there are
            figure.legend(handles, labels, loc="outside lower center", ncols=COLUMNS, fontsize=8)
        with atomic_path(path.with_suffix(".png")) as temporary:
            figure.savefig(temporary, format="png", dpi=120)
    write_json(path.with_suffix(".json"), [asdict(panel) for panel in panels])


def draw_panel(axes: "Axes", panel: Panel) -> None:
    """Draw one panel; lines without a value are left out."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - slow to import

    for line in panel.lines:
        ends = zip_longest(panel.xs, line.values, line.low, line.high)
        drawn = [(x, value, low, high) for x, value, low, high in ends if value is not None]
        if not drawn:
            continue
        xs, values, low, high = (list(column) for column in zip(*drawn, strict=True))
        if panel.names:
            for x, *interval in zip(xs, low, high, strict=True):
                if None not in interval:
                    axes.plot(interval, [x, x], color=line.color, linewidth=2)
            axes.plot(values, xs, "o", color=line.color)
            continue
        way = "none" if line.points else (0, tuple(line.dash)) if line.dash else "-"
        axes.plot(xs, values, color=line.color, label=line.label, linestyle=way, marker="D" if line.points else None)
        if line.low:
            axes.fill_between(xs, low, high, color=line.color, alpha=0.18, linewidth=0)
    axes.set_title(panel.title, fontsize=9)
    axes.grid(alpha=0.25, axis="x" if panel.names else "both")
    if panel.names:
        axes.axvline(0, color=GREY, linewidth=1)
        axes.set_yticks(panel.xs, panel.names)
        axes.set_ylim(len(panel.names), -1)  # the first row at the top, and room for one above and below
        axes.set_xlabel(panel.y_label)
    else:
        axes.set(xlabel=panel.x_label, ylabel=panel.y_label)
        if all(float(x).is_integer() for x in panel.xs):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
