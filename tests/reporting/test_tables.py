import numpy as np
import pytest
from scipy import stats

from sigjepa.evaluation.metrics import RecallAt, default_metrics
from sigjepa.reporting.tables import (
    OTHER_POOL,
    baseline_table,
    escape_cell,
    figures_table,
    markdown_table,
    results_table,
    spread,
)


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_spread_is_mean_and_half_the_t_interval_in_percent():
    values = [0.1, 0.2, 0.3]
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert spread(values, default_metrics()["rank10"]) == f"20.00 ± {50 * (high - low):.2f}"
    assert spread([0.1234], default_metrics()["mrr"]) == "12.34"
    assert spread([0.1234], default_metrics()["cosine"]) == "0.123"


def test_table_has_a_row_an_experiment_and_the_baselines(make_run):
    runs = [make_run(f"a{seed}", seed=seed) for seed in range(3)] + [make_run("b", experiment="exp2_1")]
    table = results_table(runs)
    rows = cells(table)
    assert rows[0] == ["on test", "seeds", "val Rank@10", "Rank@1", "Rank@5", "Rank@10", "MRR", "cosine", "epoch"]
    assert rows[2][:2] == ["exp1_4", "3"]
    assert "±" in rows[2][2]
    assert rows[3][:2] == ["exp2_1", "1"]
    assert "±" not in rows[3][2]
    assert [row[0] for row in rows[4:]] == ["random", "teacher zero-shot"]
    assert rows[5][2:7] == ["100.00", "0.00", "100.00", "100.00", "20.00"]
    assert len({len(line) for line in table.splitlines()}) == 1


def test_the_table_of_one_run_fits_a_terminal(make_run):
    assert max(map(len, results_table([make_run("a", experiment="hardneg_curriculum_long")]).splitlines())) <= 100


def test_a_metric_that_only_some_runs_have_leaves_gaps(make_run):
    rank20 = {**default_metrics(), "rank20": RecallAt(20)}
    runs = [make_run("a"), make_run("b", experiment="exp2_1", registry=rank20, skill=1.0)]
    header, _, *rows = cells(results_table(runs))
    assert [row[header.index("Rank@20")] for row in rows] == ["", "100.00", "50.00", "100.00"]
    header, _, *rows = cells(baseline_table(runs[1].baselines, rank20, "val/rank20", {}))
    assert [(row[0], row[1], row[header.index("Rank@20")]) for row in rows] == [
        ("random", "50.00", "50.00"),
        ("teacher zero-shot", "100.00", "100.00"),
    ]


def test_what_is_called_alike_and_is_another_metric_is_neither_averaged_nor_put_in_its_column(make_run):
    rank1 = {**default_metrics(), "rank10": RecallAt(1)}
    runs = [make_run("a"), make_run("b", seed=1, registry=rank1), make_run("c", experiment="exp2_1", registry=rank1)]
    header, _, *rows = cells(results_table(runs))
    columns = [header.index("val Rank@10"), header.index("Rank@10")]
    figures = {(row[0], row[column]) for row in rows for column in columns}
    random, fifth = ("random", "25.00"), ("teacher zero-shot", "100.00")
    assert figures == {("exp1_4", ""), ("exp2_1", ""), random, fifth}
    assert rows[0][header.index("Rank@5")] != ""


def test_runs_that_repeat_nothing_have_no_interval(make_run):
    same_seed = [make_run("a"), make_run("b")]
    assert "±" not in results_table(same_seed)
    other_pool = [make_run("c"), make_run("d", seed=1, corpus_hash="xxh3_128:b")]
    assert "±" not in results_table(other_pool)


def test_runs_of_another_pool_are_marked(make_run):
    runs = [make_run("a"), make_run("b", experiment="exp2_1", corpus_hash="xxh3_128:b")]
    rows = cells(results_table(runs))
    assert rows[2][0] == "exp1_4"
    assert rows[3][0] == f"exp2_1 {OTHER_POOL}"


def test_markdown_table_pads_columns():
    assert markdown_table(["a", "bb"], [["ccc", "d"]]) == "| a   | bb |\n|-----|----|\n| ccc | d  |"


@pytest.mark.parametrize(("text", "cell"), [("a|b", "a\\|b"), ("two\nlines", "two lines")])
def test_a_cell_can_not_leave_its_table(text, cell):
    assert escape_cell(text) == cell


def test_figures_before_training_name_what_negatives_cover():
    sizes = {"train_functions": 4200, "val_functions": 1200, "test_functions": 600}
    without = figures_table(sizes, {})
    assert "| train functions" in without
    assert "4,200" in without
    assert "covered" not in without
    mined = {"hard_negative_coverage": 0.362, "hard_negatives_per_anchor": 2.94, "negatives_per_covered_anchor": 2.9}
    text = figures_table(sizes | mined | {"covered_anchors_per_batch": 23.04, "unique_negatives_per_step": 63.2}, {})
    for figure in ("36.2%", "2.9 ", "23.0", "63.2"):
        assert figure in text
