"""A cross-validation over the packages of a small corpus, swept and reported as a user does it."""

import json

import pytest


@pytest.mark.slow
def test_a_sweep_of_folds_becomes_one_row_of_a_report(run, small_corpus, tmp_path):
    words = ("sweep=folds", "folds=3", "seed=0", "experiment=exp1_4", *small_corpus, "trainer.max_epochs=1")
    run("train", "-m", *words, "logger=none", "baseline=[zero_shot]", cwd=tmp_path, SIGJEPA_DATA_DIR="data")
    summaries = [json.loads(path.read_text()) for path in tmp_path.glob("multirun/*/*/summary.json")]
    assert sorted((one["fold"], one["status"]) for one in summaries) == [(fold, "finished") for fold in range(3)]
    corpora = [path.name.rpartition("-")[0] for path in tmp_path.glob("data/corpus/*/")]
    assert sorted(corpora) == ["folder", *(f"folder-fold-{fold}-of-3" for fold in range(3))]
    assert len([*tmp_path.glob("data/teacher/*/")]) == 1
    run("report", "runs=latest", "explorer_queries=0", cwd=tmp_path)
    markdown = (tmp_path / "report" / "report.md").read_text()
    assert "3 folds, 3 packages, 42 queries" in markdown
    (row,) = [line for line in markdown.splitlines() if line.startswith("| exp1_4 ") and line.count("|") == 9]
    mean = sum(one["test/rank10"] for one in summaries) / 3
    assert f"{100 * mean:.2f}" in [cell.strip() for cell in row.split("|")]
