import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.metrics import QueryValues, RankMetric, default_metrics, query_values, rank_figures
from sigjepa.evaluation.paired_tests import mcnemar_p_value, package_interval, permutation_p_value
from sigjepa.evaluation.power import seeds_needed
from sigjepa.evaluation.ranks import Ranks
from sigjepa.evaluation.significance import (
    SHARES,
    Pair,
    adjust,
    crossed_tests,
    effects,
    holm,
    paired_differences,
    seed_interval,
    shared_variance,
)
from sigjepa.evaluation.variance import RunNoise, jackknife_freedom, package_variance, run_noise

TESTED = {name: metric for name, metric in default_metrics().items() if metric.tested}
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
    found = [[effect.test for effect in effects.values()] for effects in tests]
    return np.array([[(t.difference, t.low, t.high, t.p_value) for t in row] for row in found])


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
    with pytest.raises(SigjepaError, match="finite"):
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
    with pytest.raises(SigjepaError, match=" 1 .* 1 "):
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
    with pytest.raises(SigjepaError, match=f"queries.* {count}"):
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


@pytest.mark.parametrize("seed", range(5))
def test_mcnemar_is_the_exact_test_without_ties(seed):
    """Twice the chance of a fair coin to fall so rarely on the side of the rarer kind of query."""
    first, second = np.random.default_rng(seed).integers(1, 4, (2, 50))
    won, lost = int(((first == 1) & (second != 1)).sum()), int(((first != 1) & (second == 1)).sum())
    expected = min(
        1, 2 * sum(math.comb(won + lost, number) for number in range(min(won, lost) + 1)) / 2 ** (won + lost)
    )
    ids = np.arange(50)
    differences = differences_of((ids, ranks(first)), (ids, ranks(second)))[:, METRICS.index("rank1")]
    assert mcnemar_p_value(differences) == pytest.approx(expected)


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
def test_holm_is_its_definition(p_values):
    """The largest of what it and each smaller one cost (Holm 1979), one by one; ties cost the same in any order."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    expected = {
        own: min(1.0, max((len(order) - place) * p_values[order[place]] for place in range(rank + 1)))
        for rank, own in enumerate(order)
    }
    np.testing.assert_allclose(holm(p_values), [expected[own] for own in range(len(order))], rtol=1e-12)


# properties


# simulations with a known truth


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

PACKAGES = 10


def runs_of(generator, shift, seeds, count=400, spread=0.05):
    """`[seeds, N, M]` of runs with a mean, each moved by its seed."""
    return np.stack(
        [shift + generator.normal(0, spread) + generator.normal(size=(count, len(METRICS))) for _ in range(seeds)]
    )


def found(gain, seeds, spread=0.05, others=2):
    """The effects of an experiment that is better by `gain`, and of others that are not, against one baseline."""
    generator = np.random.default_rng(3)
    groups = np.arange(400) % PACKAGES
    runs = [runs_of(generator, shift, seeds, spread=spread) for shift in (gain, *[0.0] * others, 0.0)]
    noise = run_noise([list(one) for one in runs], groups)
    return effects(
        [Pair("base", dict(enumerate(one - runs[-1])), groups, noise) for one in runs[:-1]], TESTED, "rank10"
    )


@pytest.mark.parametrize(
    ("gain", "spread", "seeds", "verdict"),
    [
        (0.5, 0.02, 3, "better"),
        (-0.5, 0.02, 3, "worse"),
        (0.0, 0.02, 3, "within noise"),
        (0.5, 0.8, 3, "within noise"),  # queries alone say better, the seeds don't agree
        (0.5, 0.0, 1, "not called (one seed)"),
    ],
)
def test_verdicts_need_queries_packages_and_seeds(gain, spread, seeds, verdict):
    effect = found(gain, seeds, spread)[0]["rank10"]
    assert effect.verdict == verdict
    assert len(effect.by_seed) == seeds
    assert np.isnan(effect.adjusted) == (seeds == 1)


def test_a_difference_in_one_package_alone_is_within_noise():
    groups = np.repeat(np.arange(PACKAGES), 40)
    generator = np.random.default_rng(0)
    base, other = runs_of(generator, 0.0, 3), runs_of(generator, 0.0, 3)
    other[:, groups == 0] += 3.0
    pair = Pair("base", dict(enumerate(other - base)), groups, run_noise([list(base), list(other)], groups))
    effect = effects([pair], TESTED, "rank10")[0]["rank10"]
    assert (effect.verdict, effect.test.difference > 0.2) == ("within noise", True)


@pytest.mark.parametrize("trained", [2, 1])
def test_a_test_does_not_depend_on_the_pairs_of_another_pool(trained):
    generator = np.random.default_rng(0)
    groups = np.arange(400) % PACKAGES
    own = [list(runs_of(generator, shift, 3)) for shift in (0.3, 0.0)]
    wild = [[run + generator.normal(0, 3, PACKAGES)[groups][:, None] for run in runs] for runs in own]
    pairs = [
        Pair("base", dict(enumerate(np.subtract(*runs))), groups, run_noise(runs, groups), trained, pool)
        for pool, runs in (("a", own), ("b", wild))
    ]
    alone, beside = figures(effects(pairs[:1], TESTED, "rank10")), figures(effects(pairs, TESTED, "rank10"))
    assert beside[:1] == pytest.approx(alone)
    one_pool = [replace(pair, pool="a") for pair in pairs]
    assert figures(effects(one_pool, TESTED, "rank10"))[0, 2, 3] > 10 * alone[0, 2, 3]


def test_where_lower_is_better_a_smaller_value_is_better():
    lower = {"place": RankMetric("place", lambda ranks: ranks.optimistic.astype(float), direction="min")}
    pair = found(-0.5, 3)[0]["rank10"].pair
    first = {seed: matrix[:, :1] for seed, matrix in pair.differences.items()}
    noise = RunNoise(pair.noise.variance[:1], pair.noise.by_package[:1], pair.noise.freedom)
    assert effects([Pair("base", first, pair.packages, noise)], lower, "place")[0]["place"].verdict == "better"


def test_the_jackknife_of_equal_packages_is_the_variance_of_their_means():
    values = np.random.default_rng(0).normal(size=(60, 2))
    means = values.reshape(6, 10, 2).mean(axis=1)
    expected = means.var(axis=0, ddof=1) / 6
    assert package_variance(values, np.repeat(np.arange(6), 10)) == pytest.approx(expected)


def test_packages_of_unequal_sizes_count_as_fewer():
    assert jackknife_freedom(np.arange(63) % 7) == 6
    assert jackknife_freedom(np.repeat(range(4), [10, 10, 5, 5])) == pytest.approx(30**2 / 250 - 1)
    assert jackknife_freedom(np.repeat(range(11), [90, *[1] * 10])) == 1


@pytest.mark.parametrize("sizes", [[10] * 10, [90, *[1] * 10], [45, 45, *[1] * 10], [55, 20, 10, 7, 5, 3]])
def test_intervals_cover_nothing_where_there_is_nothing_whatever_the_sizes_of_packages(sizes):
    """Packages alone differ, each in its own way; columns are repetitions."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    values = np.random.default_rng(0).normal(size=(len(sizes), 2000))[groups]
    nothing = np.zeros(values.shape[1])
    pair = Pair("base", {0: values}, groups, RunNoise(nothing, nothing, 0))
    tests = crossed_tests(pair, *shared_variance(pair, [pair]))
    assert np.mean([one.low <= 0 <= one.high for one in tests]) > 0.94
    assert package_interval(values[:, 0], groups)[1:] == pytest.approx((tests[0].low, tests[0].high))


def test_the_noise_of_runs_is_pooled_over_experiments():
    generator = np.random.default_rng(0)
    experiments = [list(runs_of(generator, shift, 3)) for shift in (0.0, 1.0)]
    noise = run_noise([*experiments, [experiments[0][0]]], np.arange(400) % PACKAGES)
    spreads = [np.var([run.mean(axis=0) for run in runs], axis=0, ddof=1) for runs in experiments]
    assert noise.variance == pytest.approx(np.mean(spreads, axis=0))
    assert noise.freedom == 4


def test_the_level_is_shared_out_over_the_whole_report():
    p_values = np.array([[0.01, 0.02], [0.03, 0.01], [0.02, np.nan]])
    adjusted = adjust(p_values, np.array([True, True, False]), main=1)
    main, baselines, rest = SHARES.values()
    assert adjusted[:2, 1] == pytest.approx(holm([0.02, 0.01]) / main)
    assert np.isnan(adjusted[2, 1])
    assert adjusted[:, 0] == pytest.approx(np.minimum(holm([0.01, 0.03, 0.02]) / rest, 1))
    assert baselines > 0
    assert sum(SHARES.values()) == pytest.approx(1)


def test_more_seeds_are_needed_for_a_smaller_difference():
    effect = found(0.0, 3, spread=0.1)[0]["rank10"]
    needed = [seeds_needed(effect, difference, comparisons=3, experiments=4) for difference in (0.6, 0.3)]
    assert 2 <= needed[0] < needed[1]
    assert seeds_needed(effect, 0.0001, comparisons=3, experiments=4) is None


def test_a_difference_that_more_seeds_never_call_needs_no_number_of_them():
    """The variance of packages that another comparison brings, which no seed makes less, stands in both."""
    generator = np.random.default_rng(0)
    groups = np.arange(400) % PACKAGES
    calm, base = (list(shift + generator.normal(0, 0.1, (3, 400, len(METRICS)))) for shift in (0.1, 0.0))
    uneven = generator.normal(0, 2, PACKAGES)[groups][:, None]
    pairs = [
        Pair("base", {seed: run - base[seed] for seed, run in enumerate(runs)}, groups, run_noise([calm, base], groups))
        for runs in (calm, [run + uneven for run in calm])
    ]
    effect = effects(pairs, TESTED, "rank10")[0]["rank10"]
    alone = effects(pairs[:1], TESTED, "rank10")[0]["rank10"]
    assert (effect.verdict, alone.verdict) == ("within noise", "better")
    assert [seeds_needed(one, 0.1, comparisons=2, experiments=3) for one in (effect, alone)] == [None, 2]
