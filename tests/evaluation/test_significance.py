import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sigjepa.errors import SigjepaError
from sigjepa.evaluation import significance
from sigjepa.evaluation.metrics import DEFAULT_METRICS, QueryValues, RankMetric, query_values, rank_figures
from sigjepa.evaluation.ranks import Ranks
from sigjepa.evaluation.significance import (
    bootstrap_interval,
    effects,
    holm,
    mcnemar_p_value,
    paired_differences,
    paired_tests,
    permutation_p_value,
    seed_interval,
)

TESTED = {name: metric for name, metric in DEFAULT_METRICS.items() if metric.tested}
METRICS = tuple(TESTED)


def ranks(optimistic, ties=0):
    optimistic = np.asarray(optimistic, dtype=np.int64)
    return Ranks(optimistic, optimistic + ties)


def differences_of(first, second):
    """`[N, len(METRICS)]` of two pairs of ids and ranks."""
    return paired_differences(*(query_values(*pair, TESTED) for pair in (first, second)), METRICS)


def random_pair(seed, count=60, pool=40):
    """Two rankings of the same queries, some of them tied."""
    generator = np.random.default_rng(seed)
    ids = np.arange(count)
    first, second = (ranks(generator.integers(1, pool, count), generator.integers(0, 2, count)) for _ in range(2))
    return (ids, first), (ids, second)


def normal_differences(generator, count, effect):
    """`[N, len(METRICS)]` of independent differences with a known mean."""
    return effect + generator.normal(size=(count, len(METRICS)))


def figures(tests):
    """`[pairs, metrics, 4]` of what was found."""
    return np.array([[(t.difference, t.low, t.high, t.p_value) for t in found.values()] for found in tests])


# seeds


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_seed_interval_is_the_one_of_scipys_t_test(confidence):
    values = [0.040, 0.043, 0.038, 0.049]
    interval = seed_interval(values, confidence)
    peer = stats.ttest_1samp(values, 0).confidence_interval(confidence)
    assert (interval.low, interval.high) == pytest.approx((peer.low, peer.high))
    assert interval.mean == pytest.approx(0.0425)
    assert interval.half_width == pytest.approx((peer.high - peer.low) / 2)
    assert interval.count == 4


def test_one_seed_has_a_mean_and_no_interval():
    interval = seed_interval([0.25])
    assert (interval.mean, interval.low, interval.high, interval.half_width) == (0.25, None, None, None)


def test_equal_seeds_have_a_point_as_interval():
    interval = seed_interval([0.5, 0.5, 0.5])
    assert (interval.low, interval.high) == (0.5, 0.5)


@pytest.mark.parametrize("values", [[], [0.1, float("nan")], [float("inf")]])
def test_an_interval_needs_finite_values(values):
    with pytest.raises(SigjepaError, match="finite values, at least one"):
        seed_interval(values)


# differences


def test_differences_are_of_the_means_that_tables_print():
    first, second = random_pair(0)
    means = differences_of(first, second).mean(axis=0)
    for column, metric in enumerate(METRICS):
        assert means[column] == pytest.approx(rank_figures(first[1])[metric] - rank_figures(second[1])[metric])


def test_ranks_of_other_queries_are_refused():
    (_, first), (_, second) = random_pair(0, count=4)
    ids = np.array([1, 2, 3, 4])
    with pytest.raises(SigjepaError, match="1 ids .* first and 1 .* second"):
        differences_of((ids, first), (np.array([1, 2, 3, 9]), second))
    with pytest.raises(SigjepaError, match="order"):
        differences_of((ids, first), (ids[::-1], second))


def test_ids_without_their_ranks_are_refused():
    first, second = (query_values(*pair, TESTED) for pair in random_pair(0, count=4))
    with pytest.raises(SigjepaError, match="3 .* 4 .*'rank1'"):
        paired_differences(QueryValues(first.ids[:3], first.values), second, METRICS)


def test_a_metric_that_one_side_lacks_is_named():
    first, second = (query_values(*pair, TESTED) for pair in random_pair(0, count=4))
    with pytest.raises(SigjepaError, match="'rank20'"):
        paired_differences(first, second, ["rank20"])


@pytest.mark.parametrize("count", [0, 1])
def test_a_split_with_fewer_than_two_queries_is_refused(count):
    first, second = random_pair(0, count=count)
    with pytest.raises(SigjepaError, match=f"two queries.* {count}"):
        differences_of(first, second)


# tests against peers


def test_p_value_of_few_queries_is_exact():
    differences = np.random.default_rng(0).normal(0.4, 1, (9, 3))
    signs = np.array(np.meshgrid(*[[-1, 1]] * 9)).reshape(9, -1)
    sums, observed = signs.T @ differences, differences.sum(axis=0)
    naive = 2 * np.minimum((sums >= observed - 1e-12).mean(axis=0), (sums <= observed + 1e-12).mean(axis=0))
    assert permutation_p_value(differences) == pytest.approx(np.minimum(naive, 1))


def test_p_value_is_that_of_swapping_the_two_runs_query_by_query():
    first, second = random_pair(3, count=80)
    columns = differences_of(first, second)
    peer = stats.permutation_test(
        (first[1].reciprocal(), second[1].reciprocal()),
        lambda one, other, axis: (one - other).mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    assert permutation_p_value(columns)[METRICS.index("mrr")] == pytest.approx(peer.pvalue)


def test_bootstrap_interval_is_scipys_on_the_differences_themselves():
    columns = differences_of(*random_pair(4))
    peer = stats.bootstrap((columns,), np.mean, axis=0, method="percentile", rng=np.random.default_rng(0))
    low, high = bootstrap_interval(columns)
    assert low == pytest.approx(peer.confidence_interval.low)
    assert high == pytest.approx(peer.confidence_interval.high)


@pytest.mark.parametrize("seed", range(5))
def test_mcnemar_is_statsmodels_exact_test_without_ties(seed):
    from statsmodels.stats.contingency_tables import mcnemar

    first, second = np.random.default_rng(seed).integers(1, 4, (2, 50))
    table = np.array([[((first == 1) == a) & ((second == 1) == b) for b in (True, False)] for a in (True, False)])
    ids = np.arange(50)
    differences = differences_of((ids, ranks(first)), (ids, ranks(second)))[:, METRICS.index("rank1")]
    assert mcnemar_p_value(differences) == pytest.approx(mcnemar(table.sum(axis=-1), exact=True).pvalue)


def test_mcnemar_counts_a_query_for_the_run_that_is_more_likely_first():
    ids, sure, tied, lost = np.arange(8), ranks([1] * 8), ranks([1] * 8, ties=1), ranks([2] * 8)
    one_sided_in_all_8 = 2 * 0.5**8
    for better, worse in ((sure, tied), (tied, lost), (sure, lost)):
        differences = differences_of((ids, better), (ids, worse))[:, 0]
        assert mcnemar_p_value(differences) == pytest.approx(one_sided_in_all_8)
        assert mcnemar_p_value(-differences) == pytest.approx(one_sided_in_all_8)
    assert mcnemar_p_value(differences_of((ids, tied), (ids, tied))[:, 0]) == 1


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, and never below the one before
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert len(holm([])) == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_holm_is_that_of_statsmodels(p_values):
    from statsmodels.stats.multitest import multipletests

    np.testing.assert_allclose(holm(p_values), multipletests(p_values, method="holm")[1], rtol=1e-12)


# properties


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 9999), count=st.integers(2, 60))
def test_swapping_the_runs_mirrors_the_tests(seed, count):
    first, second = random_pair(seed, count=count)
    there, back = paired_tests([differences_of(first, second), differences_of(second, first)], METRICS, resamples=499)
    for metric in METRICS:
        assert there[metric].difference == pytest.approx(-back[metric].difference)
        assert (there[metric].low, there[metric].high) == pytest.approx((-back[metric].high, -back[metric].low))
        assert there[metric].p_value == pytest.approx(back[metric].p_value)
        assert 0 < there[metric].p_value <= 1
        assert there[metric].low <= there[metric].high


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 9999), count=st.integers(2, 60))
def test_identical_ranks_differ_by_nothing(seed, count):
    first, _ = random_pair(seed, count=count)
    nothing = differences_of(first, first)
    for test in paired_tests([nothing], METRICS, resamples=99)[0].values():
        assert (test.difference, test.low, test.high, test.p_value) == (0, 0, 0, 1)
    for effect in effects([{1: nothing, 2: nothing}], TESTED, resamples=99)[0].values():
        assert effect.verdict == "within noise"
        assert effect.adjusted == 1


def test_equal_differences_have_a_point_as_interval():
    low, high = bootstrap_interval(np.full((50, 2), 0.25), resamples=99)
    assert low == pytest.approx([0.25, 0.25])
    assert high == pytest.approx([0.25, 0.25])


def test_pairs_are_tested_as_if_alone_whatever_is_tested_beside_them(monkeypatch):
    pairs = [differences_of(*random_pair(seed, count=count)) for seed, count in enumerate([30, 50, 30, 50, 30])]
    alone = figures([paired_tests([pair], METRICS, resamples=199)[0] for pair in pairs])
    assert figures(paired_tests(pairs, METRICS, resamples=199)) == pytest.approx(alone)
    monkeypatch.setattr(significance, "DISTRIBUTION_CELLS", 2 * 199 * len(METRICS))  # two pairs a pass, of three
    assert figures(paired_tests(pairs, METRICS, resamples=199)) == pytest.approx(alone)


def test_draws_are_those_of_the_seed():
    pair = differences_of(*random_pair(5))
    assert paired_tests([pair], METRICS, resamples=199, seed=1) == paired_tests([pair], METRICS, resamples=199, seed=1)
    assert paired_tests([pair], METRICS, resamples=199, seed=1) != paired_tests([pair], METRICS, resamples=199, seed=2)


# simulations with a known truth


def test_the_bootstrap_interval_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(0)
    # Rank@10 of two runs over 200 queries: 30 % and 36 % hits, one draw of hardness shared by both
    columns = []
    for _ in range(600):
        hardness = generator.random(200)
        first, second = ((hardness + generator.normal(0, 0.1, 200)) < level for level in (0.36, 0.30))
        columns.append(first.astype(float) - second)
    big = generator.random((2, 2_000_000))
    truth = (big[0] + generator.normal(0, 0.1, 2_000_000) < 0.36).mean()
    truth -= (big[1] + generator.normal(0, 0.1, 2_000_000) < 0.30).mean()
    low, high = bootstrap_interval(np.stack(columns, axis=1), resamples=999)
    assert 0.93 <= ((low <= truth) & (truth <= high)).mean() <= 0.97


def test_the_p_value_is_uniform_where_there_is_no_effect():
    generator = np.random.default_rng(1)
    p_values = permutation_p_value(generator.normal(size=(60, 500)), resamples=999)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert (p_values < 0.05).mean() == pytest.approx(0.05, abs=0.025)


def test_the_p_value_is_small_where_there_is_an_effect():
    generator = np.random.default_rng(2)
    p_values = permutation_p_value(0.5 + generator.normal(size=(100, 100)), resamples=999)
    assert (p_values < 0.05).mean() > 0.95


# verdicts


def over_seeds(effect, spread, seeds, count=300):
    """Per-query differences of `seeds` seeds whose means differ by `spread` between them."""
    generator = np.random.default_rng(0)
    shifts = np.linspace(-spread, spread, seeds) if seeds > 1 else [0.0]
    return {seed: normal_differences(generator, count, effect + shift) for seed, shift in enumerate(shifts)}


@pytest.mark.parametrize(
    ("effect", "spread", "seeds", "verdict"),
    [
        (0.5, 0.02, 3, "better"),
        (-0.5, 0.02, 3, "worse"),
        (0.0, 0.02, 3, "within noise"),
        (0.5, 0.8, 3, "within noise"),  # queries alone say better, the seeds don't agree
        (0.5, 0.0, 1, "better for this seed only"),
        (-0.5, 0.0, 1, "worse for this seed only"),
        (0.0, 0.0, 1, "within noise"),
    ],
)
def test_verdicts_need_the_queries_and_the_seeds(effect, spread, seeds, verdict):
    found = effects([over_seeds(effect, spread, seeds)], TESTED, resamples=999)[0]["rank10"]
    assert found.verdict == verdict
    assert (found.over_seeds.low is None) == (seeds == 1)
    assert len(found.by_seed) == seeds


def test_where_lower_is_better_a_smaller_value_is_better():
    lower = {"place": RankMetric("place", lambda ranks: ranks.optimistic.astype(float), direction="min")}
    pair = {seed: matrix[:, :1] for seed, matrix in over_seeds(-0.5, 0.02, 3).items()}
    assert effects([pair], lower, resamples=999)[0]["place"].verdict == "better"


def test_seeds_that_agree_on_what_queries_cannot_show_are_within_noise():
    same = normal_differences(np.random.default_rng(3), 100, 0.0)
    same += 0.05 - same.mean(axis=0)
    found = effects([{0: same, 1: same + 1e-6, 2: same - 1e-6}], TESTED, resamples=999)[0]["mrr"]
    assert found.over_seeds.low > 0
    assert found.adjusted > 0.05
    assert found.verdict == "within noise"


def test_effects_average_the_seeds_and_keep_each():
    pair = over_seeds(0.1, 0.05, 3)
    found = effects([pair], TESTED, resamples=199)[0]["rank1"]
    assert found.over_queries.difference == pytest.approx(np.mean([matrix[:, 0].mean() for matrix in pair.values()]))
    assert found.over_seeds.mean == pytest.approx(found.over_queries.difference)
    for seed, matrix in pair.items():
        assert found.by_seed[seed].difference == pytest.approx(matrix[:, 0].mean())
        assert found.mcnemar[seed] == mcnemar_p_value(matrix[:, 0])
    assert effects([pair], TESTED, resamples=199)[0]["mrr"].mcnemar == {}


def test_holm_runs_over_all_pairs_and_metrics():
    table = effects([over_seeds(0.1, 0.02, 2, count=100), over_seeds(0.0, 0.02, 2, count=100)], TESTED, resamples=999)
    raw = [found[metric].over_queries.p_value for found in table for metric in METRICS]
    assert [found[metric].adjusted for found in table for metric in METRICS] == pytest.approx(list(holm(raw)))
    assert effects([], TESTED) == []


def test_a_large_table_gets_draws_enough_for_a_verdict():
    clear = {seed: normal_differences(np.random.default_rng(seed), 60, 2.0) for seed in range(2)}
    table = effects([clear] * 40, TESTED, resamples=99)
    assert table[0]["rank1"].verdict == "better"
