from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjepa.errors import SigjepaError
from sigjepa.negatives.index.pair_filter import PairFilter, similarities_for
from sigjepa.negatives.judging.judged_pairs import JudgedPairs


def judged_pairs(rows):
    """From (anchor, neighbor, cosim, score)."""
    anchors, neighbors, cosims, scores = (np.array(column) for column in zip(*rows, strict=True))
    return JudgedPairs(
        anchors.astype(np.int64), neighbors.astype(np.int64), cosims.astype(float), scores.astype(np.int8), "test", []
    )


def passing(pair_filter, rows, similarities=None):
    chosen = pair_filter.chosen(judged_pairs(rows), similarities)
    return [(rows[i][0], rows[i][1]) for i in chosen]


ROWS = [(1, 5, 0.7, 0), (1, 4, 0.9, 1), (1, 3, 0.8, 2), (1, 2, 0.6, 0), (6, 7, 0.65, 1)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, [(1, 4), (1, 5), (1, 2), (6, 7)]),
        ({"max_score_c": 0}, [(1, 5), (1, 2)]),
        ({"min_cosim": 0.65}, [(1, 4), (1, 5), (6, 7)]),
        ({"max_cosim": 0.7}, [(1, 5), (1, 2), (6, 7)]),
        ({"range_min": 1}, [(1, 5), (1, 2)]),  # 4 is the nearest of 1 that passes, 7 of 6
        ({"range_max": 2}, [(1, 4), (6, 7)]),  # the related pair keeps its place among the neighbors
        ({"range_min": 1, "range_max": 3}, [(1, 5)]),
        ({"range_min": 1, "max_per_anchor": 1}, [(1, 5)]),
        ({"max_per_anchor": 2}, [(1, 4), (1, 5), (6, 7)]),
        ({"max_per_anchor": 1, "max_score_c": 0}, [(1, 5)]),
    ],
)
def test_bounds_are_inclusive_and_rows_ordered(arguments, expected):
    assert passing(PairFilter(**arguments), ROWS) == expected


def test_positive_aware_bounds_compare_with_the_own_body():
    negative, positive = np.array([0.5, 0.48, 0.3, 0.51, 0.2]), np.array([0.5, 0.5, 0.5, 0.5, 0.1])
    similarities = (negative, positive)
    assert passing(PairFilter(relative_margin=0.0), ROWS, similarities) == [(1, 4), (1, 5)]
    assert passing(PairFilter(relative_margin=0.04), ROWS, similarities) == [(1, 4)]
    assert passing(PairFilter(absolute_margin=0.01), ROWS, similarities) == [(1, 4)]
    assert passing(PairFilter(absolute_margin=0.0), ROWS, similarities) == [(1, 4), (1, 5)]
    with pytest.raises(ValueError, match="similarities"):
        passing(PairFilter(relative_margin=0.1), ROWS)


def test_similarities_are_cosines_with_the_anchors_signature():
    generator = np.random.default_rng(0)
    signatures, bodies = generator.normal(size=(2, 8, 4)).astype(np.float32)
    shards = SimpleNamespace(
        ids=np.arange(8),
        dim=4,
        pooled=lambda half, ids: torch.from_numpy({"signature": signatures, "body": bodies}[half][ids]),
    )
    assert similarities_for(PairFilter(), judged_pairs(ROWS), shards) is None
    negative, positive = similarities_for(PairFilter(relative_margin=0.1), judged_pairs(ROWS), shards)

    def cosine(one, other):
        return one @ other / np.linalg.norm(one) / np.linalg.norm(other)

    for i, (anchor, neighbor, *_) in enumerate(ROWS):
        assert negative[i] == pytest.approx(cosine(signatures[anchor], bodies[neighbor]))
        assert positive[i] == pytest.approx(cosine(signatures[anchor], bodies[anchor]))


rows_strategy = st.lists(
    st.tuples(st.integers(0, 5), st.integers(6, 12), st.floats(0, 1), st.integers(0, 3)),
    min_size=1,
    max_size=30,
    unique_by=lambda row: row[:2],
)


@settings(max_examples=100)
@given(rows_strategy, st.floats(0, 1), st.floats(0, 1), st.integers(0, 1), st.integers(1, 4), st.integers(1, 4))
def test_what_passes_keeps_every_bound(rows, one, other, max_score_c, range_max, max_per_anchor):
    low, high = min(one, other), max(one, other)
    pair_filter = PairFilter(low, high, max_score_c, range_max=range_max, max_per_anchor=max_per_anchor)
    chosen = pair_filter.chosen(judged_pairs(rows)).tolist()
    kept = [rows[i] for i in chosen]
    assert kept == sorted(kept, key=lambda row: (row[0], -row[2], row[1]))
    for anchor, neighbor, cosim, score in kept:
        assert low <= cosim <= high
        assert score <= max_score_c
        better = [r for r in rows if r[0] == anchor and (-r[2], r[1]) < (-cosim, neighbor)]
        assert len(better) < range_max
    counts = np.bincount([row[0] for row in kept], minlength=6)
    assert counts.max() <= max_per_anchor


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"min_cosim": -1.1}, "min_cosim"),
        ({"max_cosim": 1.1}, "max_cosim"),
        ({"min_cosim": 0.8, "max_cosim": 0.7}, "min_cosim=0.8"),
        ({"max_score_c": 2}, "max_score_c"),
        ({"min_cosim": float("nan")}, "min_cosim"),
        ({"max_score_c": -1}, "max_score_c"),
        ({"max_score_c": True}, "max_score_c"),
        ({"relative_margin": 1.0}, "relative_margin"),
        ({"relative_margin": -0.1}, "relative_margin"),
        ({"absolute_margin": -0.1}, "absolute_margin"),
        ({"range_min": -1}, "range_min"),
        ({"range_max": 0}, "range_max"),
        ({"range_min": 2, "range_max": 2}, "range_min=2"),
        ({"max_per_anchor": 0}, "max_per_anchor"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, name):
    with pytest.raises(SigjepaError, match=f"negatives.filter.{name}"):
        PairFilter(**arguments)


bounds_strategy = st.fixed_dictionaries(
    {"range_min": st.integers(0, 3), "range_max": st.integers(4, 6)},
    optional={"relative_margin": st.floats(0, 0.5), "absolute_margin": st.floats(0, 0.5)},
)


@settings(max_examples=50)
@given(bounds_strategy, st.integers(0, 99))
def test_names_of_sentence_transformers_mean_what_they_mean_there(bounds, seed):
    """Its `mine_hard_negatives`, step by step: the `range_max` nearest, margins, then without the first `range_min`."""
    generator = np.random.default_rng(seed)
    cosines = generator.uniform(-1, 1, (6, 6))
    pairs = [(a, b) for a in range(6) for b in range(6) if a != b]
    expected = []
    for anchor, positive in enumerate(np.diag(cosines)):
        candidates = sorted((b for b in range(6) if b != anchor), key=lambda b: -cosines[anchor, b])
        candidates = candidates[: bounds["range_max"]]
        threshold = positive - abs(positive) * bounds.get("relative_margin", -np.inf)
        kept = [b for b in candidates if not cosines[anchor, b] > threshold]
        if "absolute_margin" in bounds:
            kept = [b for b in kept if not cosines[anchor, b] + bounds["absolute_margin"] > positive]
        expected += [(anchor, b) for b in kept[bounds["range_min"] :]]
    rows = [(a, b, cosines[a, b], 0) for a, b in pairs]
    similarities = np.array([cosines[a, b] for a, b in pairs]), np.array([cosines[a, a] for a, _ in pairs])
    assert passing(PairFilter(**bounds), rows, similarities) == expected
