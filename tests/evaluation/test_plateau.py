import json
from dataclasses import astuple

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.ceiling import Isotropic, draw_directions, fit_residuals, simulate_predictions
from sigjepa.evaluation.distractors import measure_distractors
from sigjepa.evaluation.metrics import rank_figures
from sigjepa.evaluation.plateau import Share, explain_plateau
from sigjepa.evaluation.ranks import cosine_scores, pool_ranks, score_ranks

COUNT, VAL = 300, 150


def gaussian(rows, dimension, seed):
    return torch.randn(rows, dimension, generator=torch.Generator().manual_seed(seed))


def ids(count, start=0):
    return torch.arange(start, start + count)


def clustered(rows, dimension, clusters, width, seed):
    """Bodies around `clusters` centres, the nearer the smaller `width`."""
    centres = F.normalize(gaussian(clusters, dimension, seed), dim=-1)
    member = torch.arange(rows) % clusters
    return centres[member] + width * gaussian(rows, dimension, seed + 1) / dimension**0.5


def noisy(bodies, cosine, seed):
    """Predictions at a cosine to their bodies, in error without structure."""
    drawn = next(draw_directions(bodies, ids(len(bodies)), Isotropic(), draws=1, seed=seed))
    return simulate_predictions(bodies, drawn, torch.full((len(bodies),), cosine))


def explain(predict, bodies, val, **options):
    """`predict` applied to the pool and, for the residuals, to val."""
    residuals = fit_residuals(predict(val), val, ids(len(val), 10_000))
    return explain_plateau(predict(bodies), bodies, ids(len(bodies)), residuals, **options)


def towards_wrong_functions(cosine, wrong=20):
    """A student that takes every function for a mixture of the next `wrong` ones."""

    def predict(bodies):
        unit = F.normalize(bodies, dim=-1)
        mixture = sum(unit.roll(-i, 0) for i in range(1, wrong + 1))
        rest = mixture - (mixture * unit).sum(dim=1, keepdim=True) * unit
        return cosine * unit + (1 - cosine**2) ** 0.5 * F.normalize(rest, dim=-1)

    return predict


def tight():
    return clustered(COUNT, 32, 6, 0.15, 0), clustered(VAL, 32, 6, 0.15, 9)


def spread_out(dimension=256):
    return gaussian(COUNT, dimension, 1), gaussian(VAL, dimension, 2)


def test_an_accurate_student_in_tight_clusters_meets_an_ambiguous_teacher():
    plateau = explain(lambda bodies: noisy(bodies, 0.8, 3), *tight())
    assert plateau.rank10 < 0.8
    assert plateau.verdict == "teacher ambiguity"
    assert plateau.crowding.low > 0.8
    assert plateau.near.low > 0.8
    assert plateau.rank10_perfect == 1
    assert plateau.sentence().startswith("Teacher ambiguity: ")


def test_a_student_that_points_at_wrong_functions_in_a_spread_out_space_errs():
    plateau = explain(towards_wrong_functions(0.15), *spread_out())
    assert plateau.rank10 < 0.3
    assert plateau.verdict == "student error"
    assert plateau.parts.particular_functions > 0.9 * (1 - plateau.rank10)
    assert plateau.near.high < 0.1
    assert plateau.sentence().endswith("; what no signature tells counts as student error.")


def test_a_student_that_drifts_to_one_direction_errs_in_a_direction_that_all_functions_share():
    bodies, val = spread_out()
    drift = gaussian(1, 256, 8)
    plateau = explain(drift.expand_as, bodies + 0.3 * drift, val + 0.3 * drift)
    assert plateau.verdict == "student error"
    assert plateau.parts.shared_directions > 0.8 * (1 - plateau.rank10)


def test_a_student_that_has_learned_nothing_does_not_pass_for_an_ambiguous_teacher():
    plateau = explain(lambda bodies: noisy(bodies, 0.02, 3), *spread_out())
    assert plateau.rank10_isotropic < 0.2  # unstructured errors miss at this cosine as well
    assert plateau.parts.error_size > 0.8 * (1 - plateau.rank10)
    assert plateau.verdict == "student error"


def test_exact_copies_are_the_teachers_and_are_named():
    bodies = gaussian(15, 64, 0).repeat(20, 1)
    plateau = explain(lambda rows: noisy(rows, 0.95, 3), bodies, gaussian(VAL, 64, 2))
    assert plateau.rank10 == plateau.rank10_perfect == pytest.approx(0.5)
    assert plateau.verdict == "teacher ambiguity"
    assert plateau.near.value == pytest.approx(1)


def test_a_student_that_knows_the_cluster_but_not_the_member_is_undecided():
    def centre(rows):
        return torch.stack([rows[i::6].mean(dim=0) for i in range(6)])[torch.arange(len(rows)) % 6]

    bodies, val = clustered(COUNT, 256, 6, 0.3, 0), clustered(VAL, 256, 6, 0.3, 9)
    plateau = explain(centre, bodies, val)
    assert plateau.near.low > 0.5 > plateau.crowding.high
    assert plateau.verdict == "undecided"
    assert "near bodies take the places" in plateau.sentence()


def test_the_share_of_near_bodies_is_of_the_misses_that_random_ones_leave_and_says_so():
    bodies, val = (clustered(rows, 64, 2, 0.3, seed) for rows, seed in ((COUNT, 0), (VAL, 9)))
    plateau = explain(lambda rows: noisy(rows, 0.6, 3), bodies, val)
    near = next(one for one in plateau.near_bodies if one.threshold == plateau.near_from)
    left = 1 - near.rank10_without_random
    assert left < 0.9 * (1 - plateau.rank10)
    assert plateau.near.value == pytest.approx((near.rank10_without - near.rank10_without_random) / left)
    assert f"undo {plateau.near} of those that as many random bodies would leave" in plateau.sentence()


def test_a_threshold_that_holds_for_all_pairs_tells_nothing():
    bodies, val = (rows + 10 * gaussian(1, 256, 5) for rows in spread_out())
    plateau = explain(lambda rows: rows.mean(dim=0).expand_as(rows), bodies, val)
    assert plateau.near_bodies[0].per_body == COUNT - 1
    assert plateau.near is None
    assert plateau.verdict == "undecided"
    assert "too few misses are left" in plateau.sentence()


@pytest.mark.parametrize("cosine", [0.05, 0.3, 0.8])
def test_the_parts_add_up_to_the_misses(cosine):
    for bodies, val in (tight(), spread_out(64)):
        for predict in (towards_wrong_functions(cosine), lambda rows: noisy(rows, cosine, 4)):
            plateau = explain(predict, bodies, val, draws=2, resamples=50)
            assert sum(astuple(plateau.parts)) == pytest.approx(1 - plateau.rank10, abs=1e-12)
            expected = rank_figures(pool_ranks(predict(bodies), bodies))["rank10"]
            assert plateau.rank10 == pytest.approx(expected, abs=0.01)  # to a rounding of near ties


def test_the_evenly_spread_reference_equals_a_simulation():
    bodies, val = gaussian(COUNT, 24, 1), gaussian(VAL, 24, 2)
    plateau = explain(lambda rows: noisy(rows, 0.4, 3), bodies, val, draws=20, resamples=50)
    assert 0.2 < plateau.rank10_even < 0.9
    assert plateau.rank10_even == pytest.approx(plateau.rank10_isotropic, abs=0.04)


def test_the_shares_bound_their_bootstrap_and_repeat_with_the_seed():
    arguments = (towards_wrong_functions(0.15), *spread_out())
    first, again, other = (explain(*arguments, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.crowding != other.crowding
    for share in (first.crowding, first.near):
        assert share.low <= share.value <= share.high


def test_the_interval_of_a_share_covers_the_truth_about_as_often_as_it_says():
    from sigjepa.evaluation.plateau import _share

    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        missed = (generator.random(300) < 0.6).astype(float)
        part = missed * (generator.random(300) < 0.3)
        share = _share(part, missed, 500, trial)
        covered += share.low <= 0.3 <= share.high
    assert 0.9 <= covered / 200 <= 0.99


def test_distractors_equal_naive_loops():
    bodies = clustered(60, 8, 5, 0.4, 0)
    bodies[[31, 32]] = bodies[30].clone()
    predictions = noisy(bodies, 0.6, 1)
    scores, cosines = cosine_scores(predictions, bodies), cosine_scores(bodies, bodies)
    distractors = measure_distractors(scores, score_ranks(scores), cosines, 0.9)
    hits, near_above, missed, per_body = [], [], [], []
    for i in range(60):
        near = [j for j in range(60) if j != i and cosines[i, j] >= 0.9]
        above = [j for j in range(60) if scores[i, j] > scores[i, i]]
        tied = [j for j in range(60) if j != i and scores[i, j] == scores[i, i] and j not in near]
        better = len([j for j in above if j not in near])
        hits.append(np.mean([better + extra < 10 for extra in range(len(tied) + 1)]))
        per_body.append(len(near))
        missed.append(len(above) >= 10)
        near_above.append(bool(set(near) & set(above)))
    np.testing.assert_allclose(distractors.without_near, hits)
    assert distractors.record.per_body == pytest.approx(np.mean(per_body))
    assert 0 < sum(missed) < 60
    assert distractors.record.among_missed == pytest.approx(np.mean(np.array(near_above)[missed]))


def test_chance_equals_leaving_random_bodies_out():
    bodies = clustered(60, 8, 5, 0.4, 0)
    bodies[[31, 32]] = bodies[30].clone()
    scores, cosines = cosine_scores(noisy(bodies, 0.5, 1), bodies), cosine_scores(bodies, bodies)
    distractors = measure_distractors(scores, score_ranks(scores), cosines, 0.85)
    generator = np.random.default_rng(0)
    hits, none_above = np.zeros(60), np.zeros(60)
    trials = 3000
    for i in range(60):
        others = np.array([j for j in range(60) if j != i])
        count = int((cosines[i, others] >= 0.85).sum())
        higher = (scores[i, others] > scores[i, i]).numpy()
        equal = (scores[i, others] == scores[i, i]).numpy()
        own = generator.random((trials, 1))
        ahead = higher | (equal & (own > generator.random((trials, 59))))
        chosen = generator.random((trials, 59)).argsort(axis=1)[:, :count]
        none_above[i] = (~higher[chosen].any(axis=1)).sum()
        np.put_along_axis(ahead, chosen, False, axis=1)
        hits[i] = (ahead.sum(axis=1) < 10).sum()
    np.testing.assert_allclose(distractors.without_random, hits / trials, atol=0.05)
    missed = pool_ranks(noisy(bodies, 0.5, 1), bodies).optimistic > 10
    expected = 1 - (none_above / trials)[missed].mean()
    assert distractors.record.among_missed_at_random == pytest.approx(expected, abs=0.01)


def test_the_correlation_is_spearmans_of_the_logarithm():
    bodies, val = tight()
    predict = towards_wrong_functions(0.5)
    plateau = explain(predict, bodies, val, resamples=50)
    ranks = pool_ranks(predict(bodies), bodies)
    cosines = cosine_scores(bodies, bodies).fill_diagonal_(-1).amax(dim=1)
    expected = stats.spearmanr(np.log((ranks.optimistic + ranks.pessimistic) / 2), cosines.numpy())
    assert plateau.correlation == pytest.approx(expected.statistic, abs=1e-3)
    assert plateau.correlation_p == pytest.approx(expected.pvalue, abs=1e-2)


def test_nothing_missed_and_too_few_missed_are_said():
    bodies, val = spread_out()
    found = explain(lambda rows: noisy(rows, 0.9, 3), bodies, val)
    assert (found.verdict, found.crowding, found.correlation) == ("nothing missed", None, None)
    assert found.near_bodies[0].among_missed is None
    assert found.sentence() == "Nothing missed: all 300 queries are found at Rank@10."

    def one_in_fifty(rows):
        predictions = noisy(rows, 0.9, 3)
        predictions[::50] = -predictions[::50]
        return predictions

    few = explain(one_in_fifty, bodies, val)
    assert few.verdict == "undecided"
    assert few.sentence() == (
        "Undecided (fewer than 20 queries are missed): 2.0 % of 300 queries are missed at Rank@10."
    )


def test_the_record_is_strict_json_with_its_sentence():
    plateau = explain(towards_wrong_functions(0.15), *spread_out(), near_from=0.7)
    record = json.loads(json.dumps(plateau.as_dict(), allow_nan=False))
    assert record["sentence"] == plateau.sentence()
    assert [near["threshold"] for near in record["near_bodies"]] == [0.7, 0.8, 0.9, 0.95]
    assert "cosine 0.70 or more" in record["sentence"]
    assert record["parts"]["crowding"] == plateau.parts.crowding


def test_a_share_reads_as_percent_without_a_negative_zero():
    assert str(Share(-0.001, -0.004, 0.25)) == "0 % (95 % interval 0 to 25 %)"


def test_test_rows_do_not_reach_the_residuals():
    bodies, val = spread_out()
    predict = towards_wrong_functions(0.15)
    residuals = fit_residuals(predict(val), val, ids(VAL, 10_000))
    first = explain_plateau(predict(bodies), bodies, ids(COUNT), residuals)
    other = explain_plateau(towards_wrong_functions(0.15, wrong=5)(bodies), bodies, ids(COUNT), residuals)
    assert other.rank10 - first.rank10 > 0.8
    assert first.rank10_residuals == pytest.approx(other.rank10_residuals, abs=1e-3)  # same cosines, same directions


def test_bad_input_is_an_error():
    bodies, val = spread_out(16)
    predictions, residuals = noisy(bodies, 0.5, 0), fit_residuals(noisy(val, 0.5, 0), val, ids(VAL))
    with pytest.raises(SigjepaError, match=r"optimizer\.lr"):
        explain_plateau(predictions * float("nan"), bodies, ids(COUNT), residuals)
    with pytest.raises(SigjepaError, match="pool.*NaN"):
        explain_plateau(predictions, bodies / 0, ids(COUNT), residuals)
    with pytest.raises(SigjepaError, match="collapsed"):
        explain_plateau(predictions * 0, bodies, ids(COUNT), residuals)
