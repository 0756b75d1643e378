import json

import numpy as np
import pytest

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.baseline import Baseline
from sigjepa.evaluation.metrics import RankMetric, RecallAt, default_metrics, query_values, rank_figures
from sigjepa.evaluation.rank_files import write_arrays
from sigjepa.evaluation.ranks import Ranks
from sigjepa.reporting.comparison import compare
from sigjepa.reporting.conclusions import FINDING_HEADER, conclusions, finding_rows
from sigjepa.reporting.run import Run
from sigjepa.training.run_directory import write_baselines, write_metrics, write_query_values

TESTED = {name: metric for name, metric in default_metrics().items() if metric.tested}
METRICS = tuple(TESTED)

QUERIES = 200


def ranks_at(level, seed, count=QUERIES, noise=0.05):
    """Ranks of which about `level` are in the first ten; queries keep their hardness, seeds move them by `noise`."""
    hardness = np.random.default_rng(0).random(count)
    moved = hardness + np.random.default_rng([seed, round(1000 * level)]).normal(0, noise, count)
    rank = np.clip(np.ceil(10 * moved / level), 1, None).astype(np.int64)
    return Ranks(rank, rank)


class Sweep:
    """Run directories on disk, as far as a comparison reads them."""

    def __init__(self, folder):
        self.folder = folder
        self.runs = []

    def add(
        self,
        experiment,
        seed,
        level,
        status="finished",
        pool="corpus-a",
        baselines=None,
        ids=None,
        count=QUERIES,
        registry=None,
        **more,
    ):
        folder = self.folder / f"{len(self.runs)}"
        ids = np.arange(count) if ids is None else ids
        ranks = ranks_at(level, 0 if seed is None else seed, len(ids))
        write_metrics(folder, registry or TESTED, "val/rank10")
        write_query_values(folder / "queries.npz", {"test": query_values(ids, ranks, registry or TESTED)})
        write_arrays(
            folder / "pool.npz",
            {"test_ids": ids, "test_packages": np.arange(len(ids)) % 10, "test_in_train": np.zeros(len(ids), bool)},
        )
        measured = {name: {"test": (ids, ranks_at(other, 77, len(ids)))} for name, other in (baselines or {}).items()}
        write_baselines(folder, {name: Baseline({}, places) for name, places in measured.items()}, registry or TESTED)
        (folder / "provenance.json").write_text(
            json.dumps({"artifacts": {"corpus_hash": pool}, "config": {}, "data_dir": "", "git": {}})
        )
        test = {f"test/{name}": value for name, value in rank_figures(ranks).items()} | {
            "test/cosine": 0.5 + seed_of(seed)
        }
        summary = {"experiment": experiment, "seed": seed, "status": status} | test | more
        self.runs.append(Run(folder, summary, status))
        return folder

    def compare(self, baseline="exp1_4", **options):
        return compare(self.runs, baseline, **{"trivial": ()} | options)


def seed_of(seed):
    return 0 if seed is None else seed / 100


@pytest.fixture
def sweep(tmp_path):
    return Sweep(tmp_path)


@pytest.fixture
def full(sweep):
    """Three seeds of: the baseline, a better one, one like it, and a worse one, beside two trivial baselines."""
    for seed in (1, 2, 3):
        for experiment, level in (("exp1_4", 0.40), ("better", 0.60), ("alike", 0.401), ("worse", 0.20)):
            sweep.add(experiment, seed, level, baselines={"mean_body": 0.05, "bm25": 0.80})
    return sweep


def finding(findings, experiment, metric="rank10", reference=None):
    (found,) = [
        one
        for one in findings
        if (one.experiment, one.metric) == (experiment, metric) and reference in (None, one.reference)
    ]
    return found


def test_verdicts_of_three_experiments(full):
    comparison = full.compare()
    verdicts = {one.experiment: one.verdict for one in comparison.experiments if one.metric == "rank10"}
    assert verdicts == {"better": "better", "alike": "within noise", "worse": "worse"}
    assert len(comparison.experiments) == 3 * len(METRICS)
    best = finding(comparison.experiments, "better")
    assert best.level == pytest.approx(np.mean([rank_figures(ranks_at(0.40, seed))["rank10"] for seed in (1, 2, 3)]))
    assert best.difference == pytest.approx(
        np.mean(
            [rank_figures(ranks_at(0.60, s))["rank10"] - rank_figures(ranks_at(0.40, s))["rank10"] for s in (1, 2, 3)]
        )
    )
    assert best.effect.test.p_value <= best.effect.adjusted
    assert best.effect.seeds == [1, 2, 3]


def test_experiments_are_tested_against_trivial_baselines_in_the_same_way(full):
    comparison = full.compare(trivial=("mean_body", "bm25"))
    assert len(comparison.trivial) == 4 * 2 * len(METRICS)
    assert finding(comparison.trivial, "better", reference="mean_body").verdict == "better"
    assert finding(comparison.trivial, "better", reference="bm25").verdict == "worse"
    assert finding(comparison.trivial, "better", reference="bm25").level == pytest.approx(
        rank_figures(ranks_at(0.80, 77))["rank10"]
    )


def test_swapping_the_baseline_mirrors_the_finding(full):
    there = finding(full.compare("exp1_4").experiments, "better").effect
    back = finding(full.compare("better").experiments, "exp1_4")
    assert back.verdict == "worse"
    assert back.effect.test.difference == pytest.approx(-there.test.difference)


def test_identical_runs_are_within_noise_and_never_equal(sweep):
    for seed in (1, 2):
        for experiment in ("exp1_4", "copy"):
            sweep.add(experiment, seed, 0.4)
    comparison = sweep.compare()
    for one in comparison.experiments:
        assert (one.verdict, one.difference, one.effect.test.p_value) == ("within noise", 0, 1)
    assert "equal" not in " ".join(conclusions(comparison))


def test_a_metric_that_all_runs_share_is_tested_and_one_where_lower_is_better_is_read_so(sweep):
    place = RankMetric("mean place", lambda ranks: ranks.optimistic.astype(float), direction="min", digits=1)
    for seed in (1, 2, 3):
        for experiment, level in (("exp1_4", 0.40), ("better", 0.60)):
            sweep.add(experiment, seed, level, registry={"place": place, "rank20": RecallAt(20)})
    comparison = sweep.compare()
    assert (list(comparison.metrics), comparison.main) == (["place", "rank20"], "place")
    found = finding(comparison.experiments, "better", "place")
    assert found.verdict == "better"
    assert found.difference < 0
    row = finding_rows([found], comparison)[0]
    assert row[:2] == ["better", "better"]
    assert row[3:5] == ["mean place", f"{found.difference:+.1f}"]
    assert conclusions(comparison)[0].startswith("On test mean place, better is better than exp1_4: -")
    assert " points" not in conclusions(comparison)[0]


def test_metrics_that_only_some_runs_have_are_not_tested(sweep):
    sweep.add("exp1_4", 1, 0.4, registry={**TESTED, "rank20": RecallAt(20)})
    sweep.add("other", 1, 0.6)
    assert {one.metric for one in sweep.compare().experiments} == set(METRICS)
    sweep.add("apart", 1, 0.6, registry={"rank20": RecallAt(20)})
    with pytest.raises(SigjepaError, match="metric"):
        sweep.compare()


def test_a_baseline_of_another_pool_changes_no_p_value(sweep):
    def p_value():
        return finding(sweep.compare(trivial=("bm25",)).trivial, "exp1_4").effect.test.p_value

    for seed in (1, 2, 3):
        sweep.add("exp1_4", seed, 0.4, baselines={"bm25": 0.36})
    alone = p_value()
    for seed in (1, 2, 3):
        sweep.add("elsewhere", seed, 0.4, pool="corpus-b", baselines={"bm25": 0.9})
    assert p_value() == alone


def test_a_baseline_is_shared_where_its_ranks_are_the_same_and_another_teachers_are_not(sweep):
    for experiment, level in (("exp1_4", 0.5), ("alike", 0.5), ("another teacher", 0.7)):
        for seed in (1, 2):
            sweep.add(experiment, seed, 0.4, baselines={"zero_shot": level})
    trivial = sweep.compare(trivial=("zero_shot",)).trivial
    own, *others = (finding(trivial, name).effect.pair for name in ("exp1_4", "alike", "another teacher"))
    assert [other.has_reference_of(own) for other in others] == [True, False]


@pytest.mark.parametrize("name", ["bm25", "BM25"])
def test_an_experiment_called_like_a_baseline_is_told_apart_from_it(sweep, name):
    for seed in (1, 2, 3):
        sweep.add(name, seed, 0.4, baselines={"bm25": 0.36})
        sweep.add("exp1_4", seed, 0.6, baselines={"bm25": 0.36})
    comparison = sweep.compare(f"{name} (trained)", trivial=("bm25",))
    (trained,) = [one for one in comparison.experiments if one.metric == "rank10"]
    baseline = finding(comparison.trivial, "exp1_4")
    assert not trained.effect.pair.has_reference_of(baseline.effect.pair)
    against = [row[2] for row in finding_rows([trained, baseline], comparison)]
    assert against == [f"{name} (trained)", "BM25"]


# what can't be tested


def test_a_repeated_seed_is_no_repetition(sweep):
    for seed in (1, 1, 2):
        sweep.add("exp1_4", seed, 0.4)
    sweep.add("other", 1, 0.4)
    sweep.add("other", 2, 0.4)
    comparison = sweep.compare()
    found = finding(comparison.experiments, "other")
    assert found.remark == "seed 1: the baseline has 2 finished runs with this seed"
    assert found.effect.seeds == [2]
    assert "exactly one finished run" in finding(sweep.compare("other").experiments, "exp1_4").remark


def untested(comparison, experiment):
    found = finding(comparison.experiments, experiment)
    assert found.verdict == "not tested"
    assert found.effect is None
    return found.remark


def test_runs_on_other_pools_are_marked_and_not_tested(sweep):
    sweep.add("exp1_4", 1, 0.4)
    sweep.add("elsewhere", 1, 0.4, pool="corpus-b")
    comparison = sweep.compare()
    why = "seed 1: the pools differ (corpus-b and corpus-a), so queries cannot be paired"
    assert untested(comparison, "elsewhere") == why
    assert f"no experiment is tested against exp1_4: {why}." in conclusions(comparison)[0]


def test_runs_of_other_queries_are_marked_and_not_tested(sweep):
    sweep.add("exp1_4", 1, 0.4)
    sweep.add("shifted", 1, 0.4, ids=np.arange(1, QUERIES + 1))
    assert "ranks of different queries: 1 ids are only in the first" in untested(sweep.compare(), "shifted")


def test_seeds_on_different_pools_have_no_common_mean(sweep):
    for seed, pool in ((1, "corpus-a"), (2, "corpus-b")):
        sweep.add("exp1_4", seed, 0.4, pool=pool)
        sweep.add("other", seed, 0.6, pool=pool)
    comparison = sweep.compare()
    assert untested(comparison, "other") == "seeds 1, 2 are on different pools, so they have no common mean"


def test_other_seeds_only_are_not_tested(sweep):
    sweep.add("exp1_4", 1, 0.4)
    sweep.add("other", 2, 0.6)
    assert untested(sweep.compare(), "other") == "seed 2: the baseline has 0 finished runs with this seed"


def test_a_run_that_lacks_its_ranks_names_the_file(sweep):
    sweep.add("exp1_4", 1, 0.4)
    folder = sweep.add("other", 1, 0.6)
    (folder / "queries.npz").unlink()
    assert str(folder / "queries.npz") in untested(sweep.compare(), "other")


def test_a_baseline_that_was_not_measured_names_the_file(sweep):
    folder = sweep.add("exp1_4", 1, 0.4)
    comparison = sweep.compare(trivial=("bm25",))
    (found,) = [one for one in comparison.trivial if one.metric == "rank10"]
    assert found.verdict == "not tested"
    assert str(folder / "baselines" / "bm25.npz") in found.remark
    assert "no experiment is tested against a trivial baseline" in conclusions(comparison)[1]


def test_unfinished_runs_are_not_tested(sweep):
    sweep.add("exp1_4", 1, 0.4)
    sweep.add("going", 1, 0.9, status="running")
    assert untested(sweep.compare(), "going") == "the experiment has no finished run"


def test_a_run_without_a_seed_is_not_tested(sweep):
    sweep.add("exp1_4", 1, 0.4)
    sweep.add("other", None, 0.6)
    assert "not exactly one finished run with this seed" in untested(sweep.compare(), "other")


def test_an_unknown_baseline_names_the_nearest(full):
    with pytest.raises(SigjepaError, match="'exp1_5'.*'exp1_4'"):
        full.compare("exp1_5")


# sentences


def test_the_three_main_sentences(full):
    best, trivial, visible = conclusions(full.compare(trivial=("mean_body", "bm25")))[:3]
    assert best.startswith("On test Rank@10, better (the best of 3 differences tested) is better than exp1_4: +")
    assert "95 % interval over 3 seeds +" in best
    assert trivial.startswith("On test Rank@10, none of 4 experiments tested is shown to be better than BM25 (")
    assert "the strongest of 2 trivial baselines tested (4 worse); the best, better, is worse than BM25: -" in trivial
    widths = [one.effect.test.high - one.difference for one in full.compare().experiments if one.metric == "rank10"]
    assert visible.startswith("With 3 seeds, a difference from exp1_4 on test Rank@10 shows only above ")
    assert f"{100 * min(widths):.2f} points" in visible
    assert f"{100 * max(widths):.2f} points" in visible


def test_sentences_say_no_more_than_the_verdicts(full):
    comparison = full.compare(trivial=("mean_body", "bm25"))
    sentences = conclusions(comparison)
    alike = next(sentence for sentence in sentences if "alike is within noise of exp1_4" in sentence)
    assert "; p " in alike
    for one in comparison.experiments:
        said = [
            s
            for s in sentences
            if f"On test {default_metrics()[one.metric].label}, {one.experiment}" in s and "exp1_4:" in s
        ]
        for sentence in said:
            assert one.verdict in sentence
        assert said or (one.metric != "rank10" and one.verdict == "within noise")
    assert any(
        s.startswith("On test Rank@10, worse is better than mean body (+") and "; worse than BM25 (-" in s
        for s in sentences
    )


def test_some_experiments_beat_the_strongest_baseline(sweep):
    for seed in (1, 2, 3):
        for experiment, level in (("exp1_4", 0.40), ("better", 0.60)):
            sweep.add(experiment, seed, level, baselines={"bm25": 0.50})
    sentence = conclusions(sweep.compare(trivial=("bm25",)))[1]
    assert "1 of 2 experiments tested is shown to be better than BM25" in sentence
    assert "the best, better, is better than BM25: +" in sentence


@pytest.mark.parametrize("pool", ["corpus-a", "corpus-b"])
def test_the_strongest_baseline_is_that_of_a_pool_and_teacher_never_a_mean_over_them(sweep, pool):
    for seed in (1, 2, 3):
        sweep.add("exp1_4", seed, 0.4, baselines={"bm25": 0.50, "zero_shot": 0.30})
        sweep.add("elsewhere", seed, 0.4, pool=pool, baselines={"bm25": 0.50, "zero_shot": 0.90})
        sweep.add("more", seed, 0.6, baselines={"bm25": 0.50, "zero_shot": 0.30, "mean_body": 0.05})
    comparison = sweep.compare(trivial=("bm25", "zero_shot", "mean_body"))
    said = [sentence for sentence in conclusions(comparison) if "the strongest of" in sentence]
    tested = [one for one in comparison.trivial if one.metric == "rank10"]
    level = {(one.experiment, one.reference): f"{100 * one.level:.2f} %" for one in tested}
    assert len(said) == 2
    elsewhere, here = said
    assert "of elsewhere, none of 1 experiment tested" in elsewhere
    assert f"teacher zero-shot ({level['elsewhere', 'zero_shot']}), the strongest of 2 " in elsewhere
    assert "of exp1_4, more, 1 of 2 experiments tested" in here
    assert f"BM25 ({level['exp1_4', 'bm25']}), the strongest of 3 " in here


def test_one_seed_speaks_for_itself_alone(sweep):
    sweep.add("exp1_4", 4, 0.4, baselines={"bm25": 0.2})
    sweep.add("better", 4, 0.6, baselines={"bm25": 0.2})
    comparison = sweep.compare(trivial=("bm25",))
    assert finding(comparison.experiments, "better").verdict == "not called (one seed)"
    best, trivial, visible = conclusions(comparison)[:3]
    assert "better is by one seed neither better nor worse than exp1_4: +" in best
    assert "95 % interval of seed 4 alone +" in best
    assert "2 not called (one seed)" in trivial
    assert visible.startswith("One seed each: the noise of seeds is unknown")


def test_seeds_left_out_are_said(full):
    full.add("better", 9, 0.6)
    assert conclusions(full.compare())[0].endswith("Left out: seed 9: the baseline has 0 finished runs with this seed.")


def test_an_experiment_alone_has_nothing_to_beat(sweep):
    sweep.add("exp1_4", 1, 0.4)
    first, second, third = conclusions(sweep.compare())
    assert first == "On test Rank@10, no experiment is tested against exp1_4: there is no other experiment."
    assert "no experiment is tested against a trivial baseline" in second
    assert "nothing is tested" in third


def test_rows_have_the_cells_of_their_header(full):
    full.add("going", 1, 0.9, status="running")
    comparison = full.compare(trivial=("bm25",))
    rows = finding_rows(comparison.experiments, comparison)
    assert len(rows) == 4 * len(METRICS)
    assert {len(row) for row in rows + finding_rows(comparison.trivial, comparison)} == {len(FINDING_HEADER)}
    row = dict(zip(FINDING_HEADER, next(r for r in rows if r[0] == "better" and r[3] == "Rank@10"), strict=True))
    assert (row["against"], row["seeds"], row["verdict"]) == ("exp1_4", "3", "better")
    effect = finding(comparison.experiments, "better").effect
    assert row["Δ"] == f"{100 * effect.test.difference:+.2f}"
    going = next(row for row in rows if row[0] == "going")
    assert going[1] == "not tested: the experiment has no finished run"
