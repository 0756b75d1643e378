"""Agreement of two judges: against scikit-learn, statsmodels, a naive formula and simulated judges."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjepa.negatives.judging.agreement import (
    NORMAL_97_5,
    agreement,
    agreement_text,
    confusion,
    kappa,
    observed,
)

scores = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60)


def naive_kappa(one, other, disagreement):
    """1 minus observed over expected disagreement, pair by pair."""
    n = len(one)
    seen = sum(disagreement(a, b) for a, b in zip(one, other, strict=True)) / n
    by_chance = sum(disagreement(a, b) for a in one for b in other) / n**2
    return 1 - seen / by_chance


@settings(max_examples=100, deadline=None)
@given(scores)
def test_kappa_equals_its_peers(pairs):
    from sklearn.metrics import cohen_kappa_score, confusion_matrix

    one, other = zip(*pairs, strict=True)
    table = confusion(one, other, 4)
    np.testing.assert_array_equal(table, confusion_matrix(one, other, labels=range(4)))
    assert observed(table).value == np.mean(np.array(one) == np.array(other))
    if len(set(one) | set(other)) < 2:
        assert kappa(table).value is kappa(table, quadratic=True).value is None
        return
    for quadratic, disagreement in ((False, lambda a, b: float(a != b)), (True, lambda a, b: (a - b) ** 2)):
        estimate = kappa(table, quadratic=quadratic)
        peer = cohen_kappa_score(one, other, labels=range(4), weights="quadratic" if quadratic else None)
        assert estimate.value == pytest.approx(peer, abs=1e-9)
        assert estimate.value == pytest.approx(naive_kappa(one, other, disagreement), abs=1e-9)
        assert -1 <= estimate.low <= estimate.value + 1e-9
        assert estimate.value - 1e-9 <= estimate.high <= 1


@settings(max_examples=100, deadline=None)
@given(scores)
def test_intervals_are_those_of_statsmodels(pairs):
    from statsmodels.stats.inter_rater import cohens_kappa
    from statsmodels.stats.proportion import proportion_confint

    table = confusion(*zip(*pairs, strict=True), 4)
    share = observed(table)
    assert (share.low, share.high) == pytest.approx(
        proportion_confint(np.trace(table), table.sum(), method="wilson"), abs=1e-12
    )
    for quadratic in (False, True):
        estimate = kappa(table, quadratic=quadratic)
        if estimate.value is not None:
            with np.errstate(all="ignore"):  # of its test of no agreement, which is not used
                peer = cohens_kappa(table, wt="quadratic" if quadratic else None)
            half = NORMAL_97_5 * max(0.0, float(peer.var_kappa)) ** 0.5
            # where the variance is 0 but for rounding, its root is not
            assert estimate.low == pytest.approx(max(-1, peer.kappa - half), abs=1e-6)
            assert estimate.high == pytest.approx(min(1, peer.kappa + half), abs=1e-6)


def test_intervals_cover_the_true_kappa():
    """400 samples of 300 pairs from two judges whose joint distribution is known."""
    rng = np.random.default_rng(0)
    joint = np.full((4, 4), 0.02) + np.diag([0.3, 0.2, 0.1, 0.08])
    joint /= joint.sum()
    big = np.round(joint * 10_000_000).astype(np.int64)
    for quadratic in (False, True):
        truth = kappa(big, quadratic=quadratic).value
        covered = 0
        for _ in range(400):
            estimate = kappa(rng.multinomial(300, joint.ravel()).reshape(4, 4), quadratic=quadratic)
            covered += estimate.low <= truth <= estimate.high
        assert 0.92 <= covered / 400 <= 0.98


def test_the_decision_is_negative_or_not():
    result = agreement([0, 0, 1, 2, 3, 3], [1, 0, 2, 2, 2, 0])
    assert result.pairs == 6
    assert result.negative_confusion.tolist() == [[2, 1], [1, 2]]
    assert result.negative_observed.value == pytest.approx(4 / 6)
    assert result.negative_kappa.value == pytest.approx(1 / 3)
    assert result.confusion[0].tolist() == [1, 1, 0, 0]


def test_a_judge_that_agrees_fully_and_one_that_agrees_by_chance():
    same = agreement([0, 1, 2, 3] * 5, [0, 1, 2, 3] * 5)
    assert (same.kappa.value, same.weighted_kappa.value, same.negative_kappa.value) == (1, 1, 1)
    constant = agreement([0, 1, 2, 3] * 5, [1] * 20)
    assert constant.kappa.value == pytest.approx(0)
    assert constant.observed.value == 0.25


def test_without_pairs_nothing_is_defined():
    result = agreement([], [])
    assert (result.pairs, result.observed.value, result.kappa.value) == (0, None, None)
    assert "| Cohen's κ | undefined |  |" in agreement_text(result, "one", "other")


def test_text_and_json():
    result = agreement([0, 0, 1, 3] * 10, [0, 1, 1, 3] * 10)
    text = agreement_text(result, "structural", "openai: a|b")
    assert "| rows: structural, columns: openai: a/b | 0 | 1 | 2 | 3 | all |" in text
    assert "| 0, unrelated | 10 | 10 | 0 | 0 | 20 |" in text
    assert "| all | 10 | 20 | 0 | 10 | 40 |" in text
    assert "| same score | 0.75 | 0.60 to 0.86 |" in text
    assert "negative (score_c ≤ 1) or not | 1.00 | 0.91 to 1.00 |" in text
    widths = {line.count("|") for line in text.split("\n\n")[0].splitlines()}
    assert widths == {7}
    record = json.loads(json.dumps(result.as_dict()))
    assert record["confusion"][0] == [10, 10, 0, 0]
    assert record["kappa"].keys() == {"value", "low", "high"}
