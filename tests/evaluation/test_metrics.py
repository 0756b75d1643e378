import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.collapse import effective_rank, standard_deviation
from sigjepa.evaluation.metrics import (
    GAUGES,
    Gauge,
    Metric,
    PoolMetric,
    RankMetric,
    RecallAt,
    check_metrics,
    default_metrics,
    measure,
    metric_at,
    monitored_metric,
    of_split,
    query_values,
)
from sigjepa.evaluation.ranks import Ranks, pool_ranks


def median_rank(ranks):
    return ranks.optimistic.astype(float)


def test_a_pool_is_measured_by_every_metric_of_its_split():
    generator = torch.Generator().manual_seed(0)
    predictions, bodies = torch.randn(2, 40, 8, generator=generator)
    bodies[1] = bodies[0]
    cosines = F.normalize(predictions, dim=-1) @ F.normalize(bodies, dim=-1).T
    ranks = pool_ranks(predictions, bodies)
    for split in ("val", "test"):
        metrics = of_split(default_metrics(), split)
        figures = measure(predictions, bodies, query_values(np.arange(40), ranks, metrics), metrics)
        above = (cosines > cosines.diagonal()[:, None]).sum(dim=1)
        found = (above[2:] < 5).sum() + sum(min(max(5 - int(above[row]), 0), 2) / 2 for row in (0, 1))
        assert figures["rank5"] == pytest.approx(float(found) / 40)
        assert figures["cosine"] == pytest.approx(float(cosines.diagonal().mean()), rel=1e-5)
        assert list(figures) == list(metrics)
    assert set(of_split(default_metrics(), "val")) - set(metrics) == {
        name for name, metric in default_metrics().items() if isinstance(metric, Gauge)
    }


def test_a_gauge_is_of_predictions_or_of_targets():
    predictions, bodies = torch.randn(20, 4), torch.randn(20, 4)
    assert default_metrics()["effective_rank"].value(predictions, bodies) == effective_rank(predictions)
    assert default_metrics()["target_std"].value(predictions, bodies) == standard_deviation(bodies)
    with pytest.raises(SigjepaError, match="effective rank"):
        Gauge("efective rank", "predictions")


@pytest.mark.parametrize("metric", [*default_metrics().values(), RankMetric("median", median_rank, direction="min")])
def test_a_description_makes_a_metric_that_reads_the_same(metric):
    read = Metric(**metric.description())
    assert read.description() == metric.description()
    assert (read.format(0.25, 0.01), read.tested) == (metric.format(0.25, 0.01), metric.tested)


def test_values_are_printed_as_the_metric_says():
    assert metric_at("val/rank10", default_metrics()).format(0.12345, 0.01) == "12.35 ± 1.00"
    assert metric_at("test/cosine", default_metrics()).format(0.12345) == "0.123"
    assert metric_at("val/rank10", default_metrics()).format_difference(-0.000001) == "+0.00"
    assert metric_at("test/cosine", default_metrics()).format_difference(0.0214) == "+0.021"
    assert metric_at("val/rank1", default_metrics()).label == "Rank@1"


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_the_highest_gain_is_the_best_value(one, other):
    lower = RankMetric("median", median_rank, direction="min")
    assert max(one, other, key=lower.gain) == min(one, other)
    assert max(one, other, key=RecallAt(1).gain) == max(one, other)


@pytest.mark.parametrize("monitor", ["val/rank11", "test/rank10", "val/effective_rank", "rank10", None])
def test_only_a_val_metric_with_a_direction_selects(monitor):
    assert monitored_metric("val/mrr", default_metrics()).direction == "max"
    with pytest.raises(SigjepaError, match=f"monitor={monitor}.*val/rank10"):
        monitored_metric(monitor, default_metrics())


def test_an_unknown_metric_is_named_with_the_nearest():
    with pytest.raises(SigjepaError, match="'val/rnk10'.*'val/rank10'"):
        metric_at("val/rnk10", default_metrics())


@pytest.mark.parametrize(
    ("metric", "named"),
    [
        (0.5, "metrics.mine"),
        (Metric("of no function"), "metrics.mine"),
        (RankMetric("one number", lambda ranks: ranks.optimistic.mean()), "'mine'"),
        (RankMetric("not finite", lambda ranks: ranks.optimistic / 0.0), "'mine'.*finite"),
        (PoolMetric("alone", lambda predictions, bodies: 0.0, beside="nothing"), "metrics.mine.beside=nothing"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_what_gives_no_values_is_refused_before_training(metric, named):
    with pytest.raises(SigjepaError, match=named):
        check_metrics({**default_metrics(), "mine": metric})


@pytest.mark.parametrize("name", ["Rank 20", "val/rank20", "20"])
def test_a_name_that_no_column_can_have_is_refused(name):
    with pytest.raises(SigjepaError, match=name):
        check_metrics({name: RecallAt(20)})


@pytest.mark.parametrize("description", [{"direction": "up"}, {"splits": ["train"]}])
def test_a_description_that_says_nothing_known_is_refused(description):
    (key,) = description
    with pytest.raises(SigjepaError, match=key):
        RankMetric("mine", median_rank, **description)


def test_values_of_queries_keep_their_ids():
    ranks = Ranks(np.array([1, 3]), np.array([2, 3]))
    queries = query_values(np.array([7, 9]), ranks, default_metrics())
    assert queries.ids.tolist() == [7, 9]
    assert queries.values["rank1"].tolist() == [0.5, 0]
    assert queries.means()["mrr"] == pytest.approx((0.75 + 1 / 3) / 2)


def test_targets_that_stay_are_measured_once(monkeypatch):
    measured = []
    monkeypatch.setitem(GAUGES, "standard deviation", (lambda rows: float(len(measured.append(rows) or measured)), 3))
    gauge, bodies = Gauge("standard deviation", "targets"), torch.randn(5, 3)
    assert [gauge.value(bodies, each) for each in (bodies, bodies.clone(), bodies + 1, bodies)] == [1, 1, 2, 3]
