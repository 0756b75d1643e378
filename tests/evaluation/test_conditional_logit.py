import numpy as np
import pytest

from sigjepa.errors import SigjepaError
from sigjepa.evaluation import conditional_logit
from sigjepa.evaluation.conditional_logit import BLOCK, MAX_QUERIES, RANDOM_BODIES, fit_weights, sampled_blocks


class Matrix:
    """A feature of all pairs, given."""

    def __init__(self, values):
        self.values = values.astype(np.float32)

    def sample(self, queries, bodies):
        return self.values[np.ix_(queries, bodies)]


def features_of(size, weights, seed=0, noise=0.0):
    """Features of pairs, by whose weighted sum with Gumbel noise each query picks its own body."""
    random = np.random.default_rng(seed)
    values = {name: random.normal(size=(size, size)) for name in weights}
    for query in range(size):
        scores = (
            sum(weight * values[name][query] for name, weight in weights.items()) + random.gumbel(size=size) * noise
        )
        best = scores.argmax()
        for matrix in values.values():
            matrix[query, [query, best]] = matrix[query, [best, query]]
    return {name: Matrix(matrix) for name, matrix in values.items()}


def texts(size):
    return [f"body {i}" for i in range(size)]


def test_weights_are_those_of_statsmodels(monkeypatch):
    from statsmodels.discrete.conditional_models import ConditionalLogit

    monkeypatch.setattr(conditional_logit, "RIDGE", 0.0)
    size = 40
    features = features_of(size, {"a": 2.0, "b": -0.5, "c": 0.0}, noise=1.0)
    rows = np.stack([feature.values.ravel() for feature in features.values()], axis=1).astype(float)
    groups, picked = np.repeat(np.arange(size), size), np.eye(size).ravel()
    expected = ConditionalLogit(picked, rows, groups=groups).fit(disp=False).params
    assert list(fit_weights(features, texts(size)).values()) == pytest.approx(expected, rel=2e-3, abs=1e-3)


def test_a_feature_that_never_varies_weighs_nothing_and_the_unit_does_not_matter():
    features = features_of(60, {"a": 1.0, "b": -2.0}, noise=1.0)
    constant = Matrix(np.full((60, 60), 3.0))
    weights = fit_weights({**features, "constant": constant}, texts(60))
    scaled = fit_weights({"a": Matrix(features["a"].values * 1e4), "b": features["b"]}, texts(60))
    assert weights["constant"] == 0
    assert scaled["a"] * 1e4 == pytest.approx(weights["a"], rel=1e-2)
    assert scaled["b"] == pytest.approx(weights["b"], rel=1e-2)


def test_what_separates_every_query_keeps_a_finite_weight():
    weights = fit_weights({"own": Matrix(np.eye(50))}, texts(50))
    assert 0 < weights["own"] < 1e3


def test_identical_bodies_are_no_choice():
    values = np.random.default_rng(0).normal(size=(30, 30))
    values[:, 1::2] = values[:, ::2]  # a body and its twin
    twins = [f"body {i // 2}" for i in range(30)]
    own = Matrix(np.where(np.arange(30)[:, None] // 2 == np.arange(30)[None] // 2, 1.0, 0.0))
    alone = fit_weights({"own": own}, twins)
    assert alone["own"] > 1
    assert fit_weights({"own": own}, texts(30))["own"] < alone["own"]


def test_blocks_hold_their_own_bodies_first_and_random_others():
    for size in (2, BLOCK + 3, MAX_QUERIES + 100):
        blocks = list(sampled_blocks(size))
        queries = np.concatenate([block for block, _ in blocks])
        assert len(set(queries.tolist())) == len(queries) == min(size, MAX_QUERIES)
        for block, candidates in blocks:
            np.testing.assert_array_equal(candidates[: len(block)], block)
            assert (
                len(set(candidates.tolist())) == len(candidates) == len(block) + min(RANDOM_BODIES, size - len(block))
            )
        again = list(sampled_blocks(size))
        assert all((a[1] == b[1]).all() for a, b in zip(blocks, again, strict=True))


@pytest.mark.parametrize("size", [0, 1])
def test_a_train_split_of_one_function_is_refused(size):
    with pytest.raises(SigjepaError, match=r"corpus\.source"):
        fit_weights({"own": Matrix(np.eye(size))}, texts(size))
