import json

import numpy as np
import pytest

from sigjepa.evaluation.ranks import Ranks
from sigjepa.training.run_directory import recorded_status, write_ranks, write_summary


def test_ranks_round_trip(tmp_path):
    ranks = {"val": (np.array([4, 9]), Ranks(np.array([1, 3]), np.array([2, 3])))}
    write_ranks(tmp_path / "ranks.npz", ranks)
    with np.load(tmp_path / "ranks.npz") as arrays:
        assert arrays["val_ids"].tolist() == [4, 9]
        assert arrays["val_optimistic"].tolist() == [1, 3]
        assert arrays["val_pessimistic"].tolist() == [2, 3]


def test_summary_is_strict_json(tmp_path):
    write_summary(tmp_path / "summary.json", {"temperature": float("nan"), "seed": 0})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"temperature": None, "seed": 0}


def test_status_is_running_and_then_failed_with_the_reason(tmp_path):
    path = tmp_path / "summary.json"
    facts = {"seed": 3}
    with pytest.raises(ValueError, match="boom"), recorded_status(path, facts):
        assert json.loads(path.read_text())["status"] == "running"
        facts["parameters"] = 7
        raise ValueError("boom")
    summary = json.loads(path.read_text())
    assert summary == {"seed": 3, "parameters": 7, "status": "failed", "error": "ValueError: boom"}
