"""The registry of metrics: what is measured on a pool of predictions, and how people read, test and select by it.

A metric is one entry of the mapping `metrics:` of a run's config. Columns, tables, plots, dashboards, significance
tests, checkpoint selection and early stopping read that mapping; a run records it, so that a report needs no import.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, partial
from typing import Any, Literal, get_args

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from sigjepa.data.pool_sample import HELD_OUT
from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.evaluation.collapse import effective_rank, mean_pairwise_cosine, standard_deviation
from sigjepa.evaluation.ranks import Ranks, mean_cosine
from sigjepa.runtime.config_files import config_directory
from sigjepa.runtime.instantiate import instantiate

Direction = Literal["max", "min"]


@dataclass(frozen=True)
class Metric:
    """Describe a figure of a pool: all that a reader of finished runs needs.

    label: what people call it. direction: whether `max` or `min` is best; None for a gauge, which can't select and is
    not tested. percent: a fraction that is printed times 100. digits: after the point. splits: where it is measured.
    beside: the name of the metric that it is read against, drawn in one panel with it. per_query: whether every query
    has a value of its own, which is what tests are made of.
    """

    label: str
    direction: Direction | None = None
    percent: bool = False
    digits: int = 2
    splits: Sequence[str] = HELD_OUT
    beside: str | None = None
    per_query: bool = False

    def __post_init__(self) -> None:
        if self.direction not in (None, *get_args(Direction)):
            raise SigjepaError(f"The metric '{self.label}' has direction={self.direction}: use max, min or null.")
        if unknown := [split for split in self.splits if split not in HELD_OUT]:
            raise SigjepaError(f"The metric '{self.label}' has splits={unknown}: use {' and '.join(HELD_OUT)}.")
        object.__setattr__(self, "splits", tuple(self.splits))  # a list, as YAML and JSON give it

    @property
    def tested(self) -> bool:
        """Return whether differences in it are tested: it has a better end and a value for every query."""
        return self.per_query and self.direction is not None

    @property
    def unit(self) -> str:
        """Return what stands behind a difference in it."""
        return " points" if self.percent else ""

    def format(self, value: float, half_width: float | None = None) -> str:
        """Return a value as tables print it, with ` ± half_width` where that is given."""
        scale = 100 if self.percent else 1
        interval = "" if half_width is None else f" ± {scale * half_width:.{self.digits}f}"
        return f"{scale * value:.{self.digits}f}{interval}"

    def format_difference(self, value: float) -> str:
        """Return a difference of two values as tables print it, with its sign; of percent, in points."""
        scaled = round((100 if self.percent else 1) * value, self.digits) + 0.0  # + 0.0: no "-0.00"
        return f"{scaled:+.{self.digits}f}"

    def gain(self, value: float) -> float:
        """Return the value, or its negative where lower is better: the highest gain is the best value."""
        return -value if self.direction == "min" else value

    def description(self) -> dict[str, Any]:
        """Return what a run records of it: plain values, from which `Metric(**…)` is made again."""
        return {field.name: getattr(self, field.name) for field in fields(Metric)} | {"splits": list(self.splits)}


class RankMetric(Metric):
    """Measure every query by the place of its true body; the metric is the mean over the queries.

    values: takes the Ranks of N queries and gives `[N]` finite numbers. Other arguments are Metric's.
    """

    values: Callable[[Ranks], np.ndarray]

    def __init__(self, label: str, values: Callable[[Ranks], np.ndarray], **description: Any) -> None:
        super().__init__(label, **description, per_query=True)
        object.__setattr__(self, "values", values)


class PoolMetric(Metric):
    """Measure a pool as a whole.

    value: takes predictions and true bodies, both `[N, D]`, and gives a number. Other arguments are Metric's.
    """

    value: Callable[[Tensor, Tensor], float]

    def __init__(self, label: str, value: Callable[[Tensor, Tensor], float], **description: Any) -> None:
        super().__init__(label, **description)
        object.__setattr__(self, "value", value)


class RecallAt(RankMetric):
    """Measure the share of queries whose true body is among the first k; ties in expectation."""

    def __init__(self, k: int) -> None:
        if k < 1:
            raise SigjepaError(f"Rank@{k} has no meaning: k must be at least 1.")
        super().__init__(f"Rank@{k}", partial(Ranks.recall_at, k=k), direction="max", percent=True)


class ReciprocalRank(RankMetric):
    """Measure the mean reciprocal rank; ties in expectation."""

    def __init__(self) -> None:
        super().__init__("MRR", Ranks.reciprocal, direction="max", percent=True)


class Cosine(PoolMetric):
    """Measure the mean cosine between predictions and their true bodies."""

    def __init__(self) -> None:
        super().__init__("cosine", mean_cosine, direction="max", digits=3)


GAUGES: dict[str, tuple[Callable[[Tensor], float], int]] = {
    "standard deviation": (standard_deviation, 3),
    "effective rank": (effective_rank, 1),
    "pairwise cosine": (mean_pairwise_cosine, 3),
}
"""Gauges of collapse by name, see `collapse`, with the digits that they are printed with."""


class Gauge(PoolMetric):
    """Measure collapse on val, of `predictions` or of their `targets`; gauge: a name of `GAUGES`."""

    def __init__(self, gauge: str, rows: Literal["predictions", "targets"], beside: str | None = None) -> None:
        if gauge not in GAUGES or rows not in ("predictions", "targets"):
            raise SigjepaError(
                f"There is no gauge '{gauge}' of '{rows}'.{nearest_name(gauge, GAUGES)} Known: {', '.join(GAUGES)}, of "
                "predictions or targets."
            )
        function, digits = GAUGES[gauge]
        value = partial(_of_predictions, function) if rows == "predictions" else _OfTargets(function)
        super().__init__(f"{gauge} of {rows}", value, digits=digits, splits=("val",), beside=beside)


def _of_predictions(gauge: Callable[[Tensor], float], predictions: Tensor, bodies: Tensor) -> float:
    return gauge(predictions)


class _OfTargets:
    """Measure the targets of a pool, anew only where they are others than the last: a teacher's stay as they are."""

    def __init__(self, gauge: Callable[[Tensor], float]) -> None:
        self.gauge = gauge
        self._last: tuple[Tensor, float] | None = None

    def __call__(self, predictions: Tensor, bodies: Tensor) -> float:
        if self._last is None or self._last[0].device != bodies.device or not torch.equal(self._last[0], bodies):
            self._last = bodies, self.gauge(bodies)
        return self._last[1]


Metrics = Mapping[str, Metric]
"""Metrics by the name that they are logged under, behind their split: `val/rank10`."""


@cache
def default_metrics() -> Metrics:
    """Return the metrics of conf/metrics/default.yaml: what is measured where no config says otherwise."""
    return instantiate(OmegaConf.load(config_directory() / "metrics" / "default.yaml"))


@dataclass(frozen=True)
class QueryValues:
    """The values of every query of a pool: its functions' ids `[N]`, ascending, and by metric `[N]` numbers."""

    ids: np.ndarray
    values: Mapping[str, np.ndarray]

    def means(self) -> dict[str, float]:
        """Return the metrics: the mean of each over the queries."""
        return {name: float(values.mean()) for name, values in self.values.items()}


def query_values(ids: np.ndarray, ranks: Ranks, metrics: Metrics) -> QueryValues:
    """Return the values of those of `metrics` that have one a query; ids: `[N]`, of the same queries as `ranks`.

    Raises SigjepaError for a metric that does not give one finite number a query.
    """
    measured = {name: metric.values(ranks) for name, metric in metrics.items() if isinstance(metric, RankMetric)}
    for name, values in measured.items():
        if np.shape(values) != np.shape(ranks.optimistic) or not np.isfinite(values).all():
            raise SigjepaError(
                f"The metric '{name}' must give {len(ranks.optimistic)} finite numbers, one a query; it gave "
                f"{np.array2string(np.asarray(values), threshold=6)}."
            )
    return QueryValues(ids, {name: np.asarray(values, dtype=np.float64) for name, values in measured.items()})


def rank_figures(ranks: Ranks, metrics: Metrics | None = None) -> dict[str, float]:
    """Return those of `metrics` that are means over the ranks of queries, by name."""
    return query_values(
        np.arange(len(ranks.optimistic)), ranks, default_metrics() if metrics is None else metrics
    ).means()


def measure(predictions: Tensor, bodies: Tensor, queries: QueryValues, metrics: Metrics) -> dict[str, float]:
    """Return `metrics` of one pool by name, in their order.

    predictions, bodies: `[N, D]`. queries: of the same predictions and metrics, as `query_values` gives them.
    """
    means = queries.means()
    return {
        name: metric.value(predictions, bodies) if isinstance(metric, PoolMetric) else means[name]
        for name, metric in metrics.items()
    }


def of_split(metrics: Metrics, split: str) -> dict[str, Metric]:
    """Return those of `metrics` that are measured on the split."""
    return {name: metric for name, metric in metrics.items() if split in metric.splits}


def check_metrics(metrics: Mapping[str, Any]) -> None:
    """Raise SigjepaError for an entry that is no metric, has a name that no column can have, or gives no numbers."""
    two = Ranks(np.array([1, 2]), np.array([1, 4]))
    for name, metric in metrics.items():
        if not isinstance(metric, RankMetric | PoolMetric):
            raise SigjepaError(
                f"metrics.{name} is no metric: give it a _target_ that makes a RankMetric or PoolMetric."
            )
        if not re.fullmatch(r"[a-z]\w*", name, flags=re.ASCII):
            raise SigjepaError(f"metrics.{name}: a metric's name is made of small letters, digits and underscores.")
        if metric.beside is not None and metric.beside not in metrics:
            raise SigjepaError(
                f"metrics.{name}.beside={metric.beside} is no metric.{nearest_name(metric.beside, metrics)}"
            )
    query_values(np.arange(2), two, metrics)


def metric_at(key: str, metrics: Metrics) -> Metric:
    """Return the metric behind a key such as `val/rank10`; raises SigjepaError with the nearest key for another."""
    known = {f"{split}/{name}": metric for name, metric in metrics.items() for split in metric.splits}
    if key not in known:
        raise SigjepaError(f"There is no metric '{key}'.{nearest_name(key, known)} Known: {', '.join(known)}.")
    return known[key]


def monitored_metric(monitor: str, metrics: Metrics) -> Metric:
    """Return the metric that `monitor` selects by; raises SigjepaError for one that is unknown, of test, or a gauge."""
    known = {f"val/{name}": metric for name, metric in metrics.items() if metric.direction and "val" in metric.splits}
    if monitor not in known:
        raise SigjepaError(
            f"monitor={monitor} names nothing that a checkpoint can be selected by.{nearest_name(str(monitor), known)} "
            f"Known: {', '.join(known)}."
        )
    return known[monitor]


def build_metrics(nodes: Any, monitor: str, allowed_targets: Sequence[str] = ()) -> dict[str, Metric]:
    """Return the metrics that config nodes describe; raises what `check_metrics` and `monitored_metric` raise."""
    metrics = instantiate(nodes, allowed_targets) or {}
    check_metrics(metrics)
    monitored_metric(monitor, metrics)
    return metrics
