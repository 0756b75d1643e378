"""Nearest pairs against the naive formula and against sentence-transformers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from nearest import pairs_of

from sigjepa.errors import SigjepaError


def naive_pairs(embeddings, ids, neighbors, min_cosim):
    """(anchor, neighbor, cosine) by the definition, one pair at a time in float64."""
    found = []
    for i in np.argsort(ids):
        row = []
        for j in range(len(ids)):
            if i != j:
                one, other = embeddings[i].astype(np.float64), embeddings[j].astype(np.float64)
                cosim = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
                row.append((-round(cosim, 6), ids[j]))
        found += [
            (ids[i], neighbor, -negated) for negated, neighbor in sorted(row)[:neighbors] if -negated >= min_cosim
        ]
    return found


def as_tuples(pairs):
    return list(zip(pairs.anchor_ids.tolist(), pairs.neighbor_ids.tolist(), pairs.cosim.tolist(), strict=True))


def random_embeddings(n, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


@pytest.mark.parametrize("neighbors", [1, 5, 59, 200])
@pytest.mark.parametrize("min_cosim", [-1.0, 0.0, 0.3])
def test_equals_the_naive_formula(neighbors, min_cosim):
    embeddings = random_embeddings(60, 8)
    ids = np.random.default_rng(1).permutation(1000)[:60]
    pairs = pairs_of(embeddings, ids, top_k=neighbors, min_cosim=min_cosim, block_size=7)
    expected = naive_pairs(embeddings, ids, neighbors, min_cosim)
    assert [pair[:2] for pair in as_tuples(pairs)] == [pair[:2] for pair in expected]
    np.testing.assert_allclose(pairs.cosim, [pair[2] for pair in expected], atol=2e-6)


def test_equals_semantic_search_of_sentence_transformers():
    from sentence_transformers.util import semantic_search

    embeddings = random_embeddings(300, 32)
    hits = semantic_search(torch.from_numpy(embeddings), torch.from_numpy(embeddings), top_k=6)
    peer = [(i, hit["corpus_id"]) for i, row in enumerate(hits) for hit in row if hit["corpus_id"] != i]
    pairs = pairs_of(embeddings, np.arange(300), top_k=5, min_cosim=-1.0)
    assert [pair[:2] for pair in as_tuples(pairs)] == peer
    scores = [hit["score"] for i, row in enumerate(hits) for hit in row if hit["corpus_id"] != i]
    np.testing.assert_allclose(pairs.cosim, scores, atol=2e-6)


# Few distinct small integers: exact ties, duplicates and opposite vectors come up all the time.
rows = arrays(np.float32, st.tuples(st.integers(2, 25), st.just(3)), elements=st.integers(-2, 2)).filter(
    lambda rows: bool(np.abs(rows).sum(axis=1).all())
)


@settings(max_examples=150, deadline=None)
@given(rows, st.integers(1, 6), st.sampled_from([-1.0, 0.0, 0.8, 1.0]), st.randoms(use_true_random=False))
def test_properties_under_ties(embeddings, neighbors, min_cosim, random):
    ids = np.array(random.sample(range(100), len(embeddings)))
    pairs = pairs_of(embeddings, ids, top_k=neighbors, min_cosim=min_cosim, block_size=8)
    expected = naive_pairs(embeddings, ids, neighbors, min_cosim)
    assert [pair[:2] for pair in as_tuples(pairs)] == [pair[:2] for pair in expected]
    assert pairs.cosim.tolist() == pytest.approx([pair[2] for pair in expected])
    assert (pairs.anchor_ids != pairs.neighbor_ids).all()
    assert (np.abs(pairs.cosim) <= 1).all()
    shuffled = np.array(random.sample(range(len(ids)), len(ids)))
    again = pairs_of(embeddings[shuffled], ids[shuffled], top_k=neighbors, min_cosim=min_cosim)
    assert as_tuples(again) == as_tuples(pairs)


def test_self_is_excluded_by_id_among_identical_bodies():
    # 30 equal vectors: which of them fills column 0 of a search is arbitrary, and most rows do not hold themselves.
    embeddings = np.ones((30, 4), dtype=np.float32)
    pairs = pairs_of(embeddings, np.arange(100, 130), top_k=3, min_cosim=0.8)
    assert len(pairs) == 90
    assert (pairs.cosim == 1.0).all()
    assert pairs.neighbor_ids[:6].tolist() == [101, 102, 103, 100, 102, 103]
    assert pairs.neighbor_ids[-3:].tolist() == [100, 101, 102]


@pytest.mark.parametrize(("neighbor", "kept"), [((4, 3), True), ((3.999, 3), False), ((0.8, 0.6), True)])
def test_threshold_is_inclusive(neighbor, kept):
    embeddings = np.array([[1, 0], neighbor], dtype=np.float32)
    pairs = pairs_of(embeddings, np.array([0, 1]), top_k=1, min_cosim=0.80)
    assert (len(pairs) == 2) == kept


def test_cosine_is_clipped_and_symmetric():
    embeddings = np.repeat(random_embeddings(20, 384), 2, axis=0) * np.float32(3.7)
    pairs = pairs_of(embeddings, np.arange(40), top_k=39, min_cosim=-1.0)
    table = {(a, b): cosim for a, b, cosim in as_tuples(pairs)}
    assert max(table.values()) == 1.0
    assert all(table[b, a] == cosim for (a, b), cosim in table.items())


def test_below_the_threshold_the_highest_cosine_is_still_known():
    embeddings = np.array([[1, 0], [1, 1], [-1, 0]], dtype=np.float32)
    pairs = pairs_of(embeddings, np.arange(3), top_k=1, min_cosim=0.99)
    assert len(pairs) == 0
    assert pairs.highest_cosim == pytest.approx(np.sqrt(0.5), abs=1e-6)


@pytest.mark.parametrize("n", [1])
def test_fewer_than_two_functions_have_no_pairs(n):
    pairs = pairs_of(np.ones((n, 4), dtype=np.float32), np.arange(n), top_k=2, min_cosim=0.8)
    assert len(pairs) == 0
    assert pairs.highest_cosim is None


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_vectors_without_a_cosine_are_named(value):
    embeddings = random_embeddings(12, 4)
    embeddings[[3, 8]] = value
    with pytest.raises(SigjepaError, match="functions 103, 108 "):
        pairs_of(embeddings, np.arange(100, 112), top_k=2, min_cosim=0.8)


def test_many_bad_vectors_are_counted():
    with pytest.raises(SigjepaError, match=r"functions 0, 1, 2, 3, 4, … \(12 in all\)"):
        pairs_of(np.zeros((12, 4), dtype=np.float32), np.arange(12), top_k=2, min_cosim=0.8)
