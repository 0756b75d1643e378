import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjepa.errors import SigjepaError
from sigjepa.negatives.index.pair_filter import PairFilter, signature_similarities
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
        ({"min_rank": 2}, [(1, 5), (1, 2)]),  # the related pair keeps its place, and 7 is the nearest of 6
        ({"max_rank": 2}, [(1, 4), (6, 7)]),
        ({"min_rank": 3, "max_rank": 3}, [(1, 5)]),
        ({"max_per_anchor": 2}, [(1, 4), (1, 5), (6, 7)]),
        ({"max_per_anchor": 1, "max_score_c": 0}, [(1, 5)]),
    ],
)
def test_bounds_are_inclusive_and_rows_ordered(arguments, expected):
    assert passing(PairFilter(**arguments), ROWS) == expected


def test_positive_aware_bounds_compare_with_the_own_body():
    negative, positive = np.array([0.5, 0.48, 0.3, 0.51, 0.2]), np.array([0.5, 0.5, 0.5, 0.5, 0.1])
    similarities = (negative, positive)
    assert passing(PairFilter(max_positive_share=1.0), ROWS, similarities) == [(1, 4), (1, 5)]
    assert passing(PairFilter(max_positive_share=0.96), ROWS, similarities) == [(1, 4)]
    assert passing(PairFilter(min_positive_margin=0.01), ROWS, similarities) == [(1, 4)]
    assert passing(PairFilter(min_positive_margin=0.0), ROWS, similarities) == [(1, 4), (1, 5)]
    with pytest.raises(ValueError, match="needs the similarities"):
        passing(PairFilter(max_positive_share=0.9), ROWS)


def test_similarities_are_cosines_with_the_anchors_signature():
    generator = np.random.default_rng(0)
    signatures, bodies = generator.normal(size=(8, 4)), generator.normal(size=(8, 4))
    negative, positive = signature_similarities(judged_pairs(ROWS), signatures, bodies, block_size=2)

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
def test_what_passes_keeps_every_bound(rows, one, other, max_score_c, max_rank, max_per_anchor):
    low, high = min(one, other), max(one, other)
    pair_filter = PairFilter(low, high, max_score_c, max_rank=max_rank, max_per_anchor=max_per_anchor)
    chosen = pair_filter.chosen(judged_pairs(rows)).tolist()
    kept = [rows[i] for i in chosen]
    assert kept == sorted(kept, key=lambda row: (row[0], -row[2], row[1]))
    for anchor, neighbor, cosim, score in kept:
        assert low <= cosim <= high
        assert score <= max_score_c
        better = [r for r in rows if r[0] == anchor and (-r[2], r[1]) < (-cosim, neighbor)]
        assert len(better) < max_rank
    counts = np.bincount([row[0] for row in kept], minlength=6)
    assert counts.max() <= max_per_anchor


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"min_cosim": -1.1}, "min_cosim"),
        ({"max_cosim": 1.1}, "max_cosim"),
        ({"min_cosim": 0.8, "max_cosim": 0.7}, "min_cosim=0.8 is above"),
        ({"max_score_c": 2}, "max_score_c"),
        ({"max_positive_share": 0.0}, "max_positive_share"),
        ({"max_positive_share": 1.5}, "max_positive_share"),
        ({"min_positive_margin": -0.1}, "min_positive_margin"),
        ({"min_rank": 0}, "min_rank"),
        ({"max_rank": 0}, "max_rank"),
        ({"min_rank": 3, "max_rank": 2}, "min_rank=3 is above"),
        ({"max_per_anchor": 0}, "max_per_anchor"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, name):
    with pytest.raises(SigjepaError, match=f"negatives.{name}"):
        PairFilter(**arguments)
