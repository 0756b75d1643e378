import json

import pytest

from sigjepa.reporting.plots import (
    MINED_GAUGES,
    plot_ceiling,
    plot_curves,
    plot_differences,
    plot_gauges,
)


@pytest.fixture
def runs(make_run):
    return [make_run("a"), make_run("b", seed=1), make_run("c", experiment="exp2_1", mined=True)]


def check(path, *texts):
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    data = path.with_suffix(".json").read_text(encoding="utf-8")
    for text in texts:
        assert text in data
    return json.loads(data)


def test_curves_name_runs_seeds_and_levels(runs, tmp_path):
    plot_curves(runs, tmp_path / "curves", "val/rank10", levels={"BM25": 0.6})
    (panel,) = check(tmp_path / "curves", "exp1_4 (2 seeds)", "exp2_1 (1 seed)", "BM25", "val Rank@10 (%)")
    assert panel["xs"] == [0, 1, 2, 3]
    first, _, level = panel["lines"]
    seeds = [[100 * run.curve("val/rank10")[epoch] for run in runs[:2]] for epoch in range(4)]
    assert first["values"] == pytest.approx([sum(pair) / 2 for pair in seeds])
    assert (first["low"], first["high"]) == ([min(pair) for pair in seeds], [max(pair) for pair in seeds])
    assert level["values"] == [60.0] * 4


def test_gauges_are_drawn_with_and_without_data(runs, tmp_path):
    plot_gauges(runs, tmp_path / "health", ["train/loss", "val/effective_rank", "val/cosine", "train/my_term"])
    check(tmp_path / "health", "loss", "val effective rank of predictions", "val cosine", "train/my_term")
    plot_gauges(runs[:2], tmp_path / "mined", MINED_GAUGES)  # nothing was mined
    check(tmp_path / "mined", "score_c = 1 pairs a step")


def test_differences_with_and_without_interval(tmp_path):
    plot_differences({"one": (0.01, -0.01, 0.03), "two": (0.02, None, None)}, tmp_path / "d", "points")
    check(tmp_path / "d", "one", "two", "points")


def test_ceiling_shows_directions_and_runs(tmp_path):
    plot_ceiling({"isotropic": {0.0: 0.1, 1.0: 1.0}}, {"exp1_4": (0.3, 0.7)}, tmp_path / "ceiling")
    check(tmp_path / "ceiling", "error: isotropic", "exp1_4")


def test_the_same_figure_is_the_same_file(runs, tmp_path):
    plot_curves(runs, tmp_path / "curves", "val/rank10")
    first = [(tmp_path / f"curves.{kind}").read_bytes() for kind in ("png", "json")]
    plot_curves(runs, tmp_path / "curves", "val/rank10")
    assert [(tmp_path / f"curves.{kind}").read_bytes() for kind in ("png", "json")] == first
