import json

import numpy as np
import pytest

from sigjepa.evaluation.baseline import Baseline
from sigjepa.evaluation.metrics import Metric, RecallAt, default_metrics, query_values
from sigjepa.evaluation.rank_files import write_ranks
from sigjepa.evaluation.ranks import Ranks
from sigjepa.training.run_directory import (
    SplitPredictions,
    write_baselines,
    write_metrics,
    write_predictions,
)


def test_ranks_round_trip(tmp_path):
    ranks = {"val": (np.array([4, 9]), Ranks(np.array([1, 3]), np.array([2, 3])))}
    write_ranks(tmp_path / "ranks.npz", ranks)
    with np.load(tmp_path / "ranks.npz") as arrays:
        assert arrays["val_ids"].tolist() == [4, 9]
        assert arrays["val_optimistic"].tolist() == [1, 3]
        assert arrays["val_pessimistic"].tolist() == [2, 3]


def test_evaluated_splits_leave_ranks_and_predictions(tmp_path):
    ids, ranks = np.array([4, 9]), Ranks(np.array([1, 3]), np.array([2, 3]))
    queries = query_values(ids, ranks, default_metrics())
    write_predictions(tmp_path, {"test": SplitPredictions(ids, ranks, np.eye(2, dtype=np.float32), queries)})
    with np.load(tmp_path / "ranks.npz") as ranks, np.load(tmp_path / "predictions.npz") as predictions:
        assert ranks["test_optimistic"].tolist() == [1, 3]
        assert predictions["test_ids"].tolist() == [4, 9]
        assert predictions["test_pooled"].tolist() == np.eye(2).tolist()
    with np.load(tmp_path / "queries.npz") as queries:
        assert queries["test_ids"].tolist() == [4, 9]
        assert queries["test_rank1"].tolist() == [0.5, 0]


def test_what_metrics_are_is_recorded(tmp_path):
    write_metrics(tmp_path, default_metrics(), "val/mrr")
    recorded = json.loads((tmp_path / "metrics.json").read_text())
    assert recorded["monitor"] == "val/mrr"
    assert Metric(**recorded["metrics"]["rank10"]) == Metric(**default_metrics()["rank10"].description())


def test_baselines_leave_the_metrics_of_their_ranks_and_what_else_they_measured(tmp_path):
    ranks = {"val": (np.array([4, 6]), Ranks(np.array([1, 15]), np.array([2, 15])))}
    figures = {"val/cosine": 0.3, "weight": 0.25}
    metrics = {**default_metrics(), "rank20": RecallAt(20)}
    write_baselines(tmp_path, {"fusion": Baseline(figures, ranks)}, metrics)
    written = json.loads((tmp_path / "baselines.json").read_text())["fusion"]
    assert written == pytest.approx(
        {"val/rank1": 0.25, "val/rank5": 0.5, "val/rank10": 0.5, "val/mrr": (0.75 + 1 / 15) / 2, "val/rank20": 1.0}
        | {"val/cosine": 0.3, "weight": 0.25}
    )
    with np.load(tmp_path / "baselines" / "fusion.npz") as queries:
        assert queries["val_ids"].tolist() == [4, 6]
        assert queries["val_rank20"].tolist() == [1, 1]
