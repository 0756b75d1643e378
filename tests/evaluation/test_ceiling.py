import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.ceiling import (
    AlongResiduals,
    CeilingCurve,
    Isotropic,
    TowardsBodies,
    draw_directions,
    fit_residuals,
    measure_curve,
    orthogonal_directions,
    simulate_predictions,
    simulated_ranks,
)
from sigjepa.evaluation.metrics import rank_figures
from sigjepa.evaluation.ranks import cosine_scores, pool_ranks


def gaussian(rows, dimension, seed):
    return torch.randn(rows, dimension, generator=torch.Generator().manual_seed(seed))


def ids(count, start=0):
    return torch.arange(start, start + count)


def simulate(bodies, drawn, levels):
    return simulated_ranks(cosine_scores(bodies, bodies), cosine_scores(drawn, bodies), levels)


@pytest.fixture
def pool():
    """200 bodies with a common direction, two of them copies."""
    bodies = gaussian(200, 24, 0) + 0.5 * gaussian(1, 24, 1)
    bodies[11] = bodies[10]
    return bodies


@pytest.fixture
def every_direction(pool):
    train, predictions = gaussian(300, 24, 2), pool[:80] + gaussian(80, 24, 3)
    return [Isotropic(), TowardsBodies(train), fit_residuals(predictions, pool[:80], ids(80, 1000))]


@settings(deadline=None, max_examples=50)
@given(
    cosine=st.floats(-1, 1),
    dimension=st.integers(2, 40),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    seed=st.integers(0, 1000),
)
def test_a_simulated_prediction_has_exactly_its_cosine(cosine, dimension, scale, seed):
    bodies, raw = scale * gaussian(5, dimension, seed), gaussian(5, dimension, seed + 1)
    raw[0] = bodies[0]  # along its own body: nothing orthogonal is left of it
    raw[1] = 1e3 * bodies[1] + raw[1]  # nearly along it
    drawn = orthogonal_directions(raw, bodies, torch.Generator().manual_seed(seed + 5000))
    torch.testing.assert_close((drawn * F.normalize(bodies, dim=-1)).sum(dim=1), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(drawn.norm(dim=1), torch.ones(5))
    predictions = simulate_predictions(bodies, drawn, torch.full((5,), cosine))
    expected = torch.full((5,), cosine)
    torch.testing.assert_close(F.cosine_similarity(predictions, bodies), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(predictions.norm(dim=1), torch.ones(5))


def test_ranks_equal_those_of_the_simulated_predictions_in_the_pool(pool, every_direction):
    levels = [torch.full((200,), 0.3), torch.linspace(-1, 1, 200)]
    for directions in every_direction:
        for drawn in draw_directions(pool, ids(200), directions, draws=2, seed=0):
            for ranks, level in zip(simulate(pool, drawn, levels), levels, strict=True):
                expected = pool_ranks(simulate_predictions(pool, drawn, level), pool)
                np.testing.assert_array_equal(ranks.optimistic, expected.optimistic)
                np.testing.assert_array_equal(ranks.pessimistic, expected.pessimistic)


def test_cosine_one_is_the_perfect_prediction_whatever_the_directions(pool, every_direction):
    perfect = rank_figures(pool_ranks(pool, pool))
    assert perfect["rank1"] == pytest.approx(1 - 1 / 200)  # the copies tie
    for directions in every_direction:
        curve = measure_curve(pool, ids(200), directions, cosines=[0.5, 1.0])
        assert {name: values[-1] for name, values in curve.means.items()} == pytest.approx(perfect)
        assert curve.spreads["rank1"][-1] == 0


def test_isotropic_errors_at_cosine_zero_put_the_body_in_the_middle_of_a_spread_out_pool():
    bodies = gaussian(400, 64, 5)
    ranks = [
        simulate(bodies, drawn, [torch.zeros(400)])[0].optimistic
        for drawn in draw_directions(bodies, ids(400), Isotropic(), draws=5, seed=0)
    ]
    assert np.mean(ranks) == pytest.approx(401 / 2, rel=0.02)
    random = pool_ranks(gaussian(400, 64, 6), bodies)  # predictions at random, whose cosines vary around 0
    assert np.mean(ranks) == pytest.approx(random.optimistic.mean(), rel=0.1)


def test_curves_rise_with_the_cosine_and_structure_costs(pool, every_direction):
    curves = [measure_curve(pool, ids(200), directions) for directions in every_direction]
    for curve in curves:
        assert (np.diff(curve.means["rank10"]) > -0.02).all()
        assert curve.means["rank10"][-1] - curve.means["rank10"][0] > 0.5
    assert curves[0].cosine_needed(0.9) < curves[1].cosine_needed(0.9)


def test_curves_repeat_with_their_seed_only(pool):
    first, again, other = (measure_curve(pool, ids(200), Isotropic(), seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.means != other.means
    assert max(first.spreads["rank10"]) > 0


def test_bodies_are_drawn_from_train_alone(pool):
    train = gaussian(300, 24, 2)
    drawn = TowardsBodies(train)(ids(200), 24, torch.Generator().manual_seed(0))
    assert (drawn[:, None] == train).all(dim=-1).any(dim=1).all()
    assert len(torch.unique(drawn, dim=0)) > 100


def test_residuals_are_of_val_and_never_a_functions_own(pool):
    val, predictions = gaussian(6, 24, 7), gaussian(6, 24, 8)
    residuals = fit_residuals(predictions, val, ids(6))
    np.testing.assert_allclose((residuals.residuals * F.normalize(val, dim=-1)).sum(dim=1), 0, atol=1e-6)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([residuals(ids(6), 24, generator) for _ in range(400)])
    source = (drawn[:, :, None] == residuals.residuals).all(dim=-1).float()
    assert (source.sum(dim=-1) == 1).all()
    often = source.mean(dim=0)
    assert (often.diagonal() == 0).all()
    assert (often[~torch.eye(6, dtype=torch.bool)] - 0.2).abs().max() < 0.08  # all others alike
    elsewhere = residuals(ids(400, 100), 24, generator)  # functions of another split: all residuals serve
    assert len(torch.unique(elsewhere, dim=0)) == 6


def test_a_perfect_prediction_leaves_no_residual():
    bodies, predictions = gaussian(5, 8, 0), gaussian(5, 8, 1)
    predictions[2] = 3 * bodies[2]
    assert fit_residuals(predictions, bodies, ids(5)).ids.tolist() == [0, 1, 3, 4]
    with pytest.raises(SigjepaError, match="0 residuals"):
        measure_curve(bodies, ids(5), fit_residuals(bodies, bodies, ids(5)))


def curve_of(*rank10):
    cosines = tuple(np.linspace(0, 1, len(rank10)))
    return CeilingCurve("isotropic", cosines, {"rank10": list(rank10)}, {"rank10": [0.0] * len(rank10)})


def test_the_needed_cosine_is_interpolated_and_none_when_never_reached():
    assert curve_of(0.0, 0.4, 0.8).cosine_needed(0.5) == pytest.approx(0.625)
    assert curve_of(0.0, 0.4, 0.8).cosine_needed(0.9) is None
    assert curve_of(0.6, 0.7, 0.8).cosine_needed(0.5) == 0.0
    assert curve_of(0.0, 0.6, 0.4, 0.8, 0.9).cosine_needed(0.5) == pytest.approx(0.5625)  # stays above from there on
    assert curve_of(0.0, 0.5, 1.0).cosine_needed(1.0) == 1.0


def test_a_curve_survives_json(pool):
    record = json.loads(json.dumps(measure_curve(pool, ids(200), Isotropic(), cosines=[0.0, 0.5]).as_dict()))
    assert record["directions"] == "isotropic"
    assert [row["cosine"] for row in record["curve"]] == [0.0, 0.5]
    assert set(record["rank10_needs_cosine"]) == {"0.50", "0.90"}
    assert {"rank1", "rank5", "rank10", "rank10_spread"} <= set(record["curve"][0])


def test_bad_input_is_an_error(pool):
    with pytest.raises(SigjepaError, match="pool.*NaN"):
        measure_curve(pool.clone().fill_(float("nan")), ids(200), Isotropic())
    with pytest.raises(SigjepaError, match=r"optimizer\.lr"):
        fit_residuals(pool / 0 * pool, pool, ids(200))
    with pytest.raises(SigjepaError, match="1 residuals"):
        measure_curve(pool, ids(200), AlongResiduals(ids(1), gaussian(1, 24, 0)))
