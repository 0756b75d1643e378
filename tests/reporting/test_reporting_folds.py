import json
from dataclasses import replace

import numpy as np
import pytest

from sigjepa.errors import SigjepaError
from sigjepa.reporting.comparison import compare
from sigjepa.reporting.conclusions import conclusions
from sigjepa.reporting.fold_text import fold_table, folds_section
from sigjepa.reporting.folds import FoldedRun, pool_folds
from sigjepa.reporting.report_folder import check_comparable
from sigjepa.reporting.runs import find_runs
from sigjepa.reporting.tables import results_table

FOLDS, QUERIES, PACKAGES = 3, 40, 8
"""Folds of a made-up sweep, and what a fold of it has, as `make_run` writes it."""


@pytest.fixture
def make_folds(make_run):
    """Write a finished run for each fold of an experiment and seed."""

    def make(experiment="exp1_4", seed=0, folds=range(FOLDS), **more):
        name = f"{experiment}-{seed}"
        return [
            make_run(f"{name}-{fold}", experiment=experiment, seed=seed, folds=FOLDS, fold=fold, **more)
            for fold in folds
        ]

    return make


@pytest.fixture
def sweep(make_folds):
    """Two experiments of three seeds in all folds."""
    runs = []
    for seed in range(3):
        runs += make_folds(seed=seed, skill=0.3) + make_folds("exp2_1", seed=seed, skill=0.9)
    return runs


def test_folds_are_pooled_by_experiment_and_seed(sweep):
    pooled, left_out = pool_folds(sweep)
    assert left_out == {}
    assert [(run.experiment, run.seed) for run in pooled] == [
        (name, seed) for seed in range(3) for name in ("exp1_4", "exp2_1")
    ]
    assert all([part.fold for part in run.folds] == [0, 1, 2] for run in pooled)
    assert len({run.pool() for run in pooled}) == 1
    check_comparable(pooled, allow_different_pools=False)


def test_queries_of_all_folds_keep_the_ranks_and_the_package_of_their_own_fold(make_folds):
    runs = make_folds()
    ((pooled,), _) = pool_folds(runs[::-1])
    queries, facts, zero_shot = (
        pooled.queries("test"),
        pooled.pool_facts("test"),
        pooled.baseline_queries("zero_shot", "test"),
    )
    assert list(queries.ids) == list(facts.ids) == list(zero_shot.ids) == list(range(FOLDS * QUERIES))
    assert len(np.unique(facts.packages)) == FOLDS * PACKAGES
    for run in runs:
        own, own_facts = run.queries("test"), run.pool_facts("test")
        for name, values in own.values.items():
            assert np.array_equal(queries.values[name][own.ids], values)
        assert np.array_equal(facts.in_train[own.ids], own_facts.in_train)
        of_fold = facts.packages[own.ids]
        assert np.array_equal(of_fold - of_fold.min(), own_facts.packages)
        assert not np.isin(of_fold, np.delete(facts.packages, own.ids)).any()


def test_folds_of_sampled_pools_are_left_out_with_the_setting(make_folds):
    _, left_out = pool_folds(make_folds(pools={"test": "pool of 20 sampled of 40, seed 0"}))
    assert "data.pool_size" in left_out["exp1_4"][0]


def test_figures_are_means_over_queries(make_folds):
    ((pooled,), _) = pool_folds(make_folds(skill=0.4))
    for name, value in pooled.queries("test").means().items():
        assert pooled.figure(f"test/{name}") == pytest.approx(value)
    assert pooled.figure("test/cosine") == pytest.approx(0.3)
    assert pooled.figure("best_epoch") == 3
    assert pooled.baselines["zero_shot"]["test/rank5"] == 1.0
    assert (pooled.seed, pooled.fold, pooled.status) == (0, None, "finished")


def test_a_larger_fold_weighs_more(make_folds):
    runs = make_folds(skill=0.4)
    larger = [replace(run, summary=run.summary | {"test/cosine": float(run.fold)}) for run in runs]
    ((pooled,), _) = pool_folds(larger)
    assert pooled.figure("test/cosine") == pytest.approx(1.0)


def test_the_report_tests_over_the_packages_of_all_folds(sweep):
    comparison = compare(sweep, "exp1_4")
    (finding,) = [one for one in comparison.experiments if one.metric == "rank10"]
    assert finding.verdict == "better"
    assert len(np.unique(finding.effect.pair.packages)) == FOLDS * PACKAGES
    assert len(finding.effect.pair.averaged) == FOLDS * QUERIES
    assert finding.effect.seeds == [0, 1, 2]
    assert {one.reference for one in comparison.trivial if one.effect} == {"zero_shot"}
    assert "exp2_1 is better than exp1_4" in conclusions(comparison)[0].replace(
        " (the best of 1 differences tested)", ""
    )


def test_an_experiment_is_one_row(sweep):
    rows = [line.split("|")[1:3] for line in results_table(pool_folds(sweep)[0]).splitlines()[2:4]]
    assert [[cell.strip() for cell in row] for row in rows] == [["exp1_4", "3"], ["exp2_1", "3"]]


def test_the_section_says_how_much_was_pooled(sweep):
    pooled, _ = pool_folds(sweep)
    text = folds_section(pooled, compare(sweep, "exp1_4"))
    assert f"{FOLDS} folds, {FOLDS * PACKAGES} packages, {FOLDS * QUERIES} queries" in text
    table = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    means = [np.mean([run.figure("test/rank10") for run in sweep if (run.fold, run.name) == (2, "exp2_1")])]
    assert table[4][:3] == ["2", str(PACKAGES), str(QUERIES)]
    assert table[4][table[0].index("exp2_1")] == f"{100 * means[0]:.2f}"
    tally = next(row for row in table if row[:2] == ["exp2_1", "exp1_4"])
    assert sum(map(int, tally[2:])) == FOLDS * PACKAGES
    assert int(tally[2]) > int(tally[3])


def test_the_baselines_of_two_teachers_have_a_column_each(make_folds):
    runs = make_folds() + make_folds("exp2_1")
    for run in runs[FOLDS:]:
        path = run.folder / "baselines.json"
        record = json.loads(path.read_text())
        record["zero_shot"]["test/rank10"] = run.fold / 10
        path.write_text(json.dumps(record))
    pooled, _ = pool_folds(runs)
    header, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in fold_table(pooled, compare(runs, "exp1_4")).splitlines()
    ]
    assert header[-3:] == ["random", "teacher zero-shot, beside exp1_4", "teacher zero-shot, beside exp2_1"]
    assert [row[-2:] for row in rows] == [["100.00", f"{10 * fold:.2f}"] for fold in range(FOLDS)]


def test_without_folds_nothing_is_said_or_changed(make_run):
    runs = [make_run("a"), make_run("b", experiment="exp2_1")]
    pooled, left_out = pool_folds(runs)
    assert pooled == runs
    assert left_out == {}
    assert folds_section(pooled, compare(runs, "exp1_4")) == ""


@pytest.mark.parametrize(("folds", "named"), [((0, 2), "fold 1"), ((0, 1, 2, 2), "fold 2"), ((1,), "fold 0, 2")])
def test_a_fold_that_is_missing_or_doubled_is_said(make_folds, folds, named):
    runs = make_folds(folds=folds) + make_folds("exp2_1")
    pooled, left_out = pool_folds(runs)
    assert [run.experiment for run in pooled] == ["exp2_1"]
    ((reason,),) = left_out.values()
    assert reason.startswith("seed 0: ")
    assert named in reason
    finding = compare(runs, "exp2_1").experiments[0]
    assert (finding.verdict, finding.remark) == ("not tested", reason)


def test_a_seed_without_all_folds_is_left_out_of_a_test_of_others(sweep):
    runs = [run for run in sweep if (run.name, run.seed, run.fold) != ("exp2_1", 1, 0)]
    finding = compare(runs, "exp1_4").experiments[0]
    assert finding.effect.seeds == [0, 2]
    assert "seed 1" in finding.remark
    assert "fold 0" in finding.remark


def test_folds_of_two_corpora_are_not_pooled(make_folds):
    runs = make_folds()
    path = runs[1].folder / "provenance.json"
    path.write_text(path.read_text().replace('"shards": "s"', '"shards": "other"'))
    pooled, left_out = pool_folds(runs)
    assert pooled == []
    assert "one corpus" in left_out["exp1_4"][0]
    with pytest.raises(SigjepaError, match="exp1_4, seed 0.*one corpus"):
        compare(runs, "exp1_4")


def test_val_is_not_pooled(make_folds):
    ((pooled,), _) = pool_folds(make_folds())
    assert isinstance(pooled, FoldedRun)
    for read in (pooled.queries, pooled.pool_facts):
        with pytest.raises(SigjepaError, match="split=val"):
            read("val")


def test_runs_are_found_in_the_order_of_their_folds(make_folds, tmp_path):
    make_folds()
    assert [run.fold for run in find_runs([tmp_path])] == [0, 1, 2]
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / ".hydra").mkdir()
    (tmp_path / "job" / ".hydra" / "overrides.yaml").write_text(json.dumps(["experiment=exp1_4", "fold=2", "seed=1"]))
    (missing,) = [run for run in find_runs([tmp_path]) if run.status == "missing"]
    assert (missing.fold, missing.seed) == (2, 1)
