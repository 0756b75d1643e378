import json
from pathlib import Path

import pytest

from sigjepa.reporting.published import published_curve, published_results, published_summary


def test_the_published_figures_ship_with_the_package():
    results = published_results()
    assert results["runs"]["exp1_4"]["val"]["rank10"] == 4.03
    assert results["hard_negatives"]["pairs"] == 85_125


def test_a_published_run_reads_like_a_summary_in_fractions():
    summary = published_summary("exp2_1")
    assert summary["val/rank10"] == pytest.approx(0.0364)
    assert summary["test/cosine"] == 0.229
    assert (summary["best_epoch"], summary["stopped_epoch"], summary["first_loss"]) == (36, 51, 6.24)
    assert published_curve("exp1_4", "val/rank10")[24] == pytest.approx(0.0403)


def test_what_was_never_published_is_empty():
    assert published_summary("exp2_2") == {}
    assert published_curve("hardneg_curriculum", "val/rank10") == {}
    assert published_curve("exp1_4", "val/mrr") == {}


def test_the_file_is_plain_json():
    path = Path(__file__).parents[2] / "sigjepa" / "reporting" / "published_results.json"
    assert json.loads(path.read_text())["unit"].startswith("percent")
