"""Blocks of neighbors: what they hold beside each other, queries from elsewhere, and how much memory they take."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from nearest import pairs_of


def naive(queries, query_ids, embeddings, ids, neighbors, min_cosim):
    """(anchor, neighbor, cosine) by the definition, one pair at a time in float64."""
    found = []
    for i in np.argsort(query_ids):
        row = []
        for j in range(len(ids)):
            if query_ids[i] != ids[j]:
                one, other = queries[i].astype(np.float64), embeddings[j].astype(np.float64)
                row.append((-round(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)), 6), ids[j]))
        found += [(query_ids[i], j, -negated) for negated, j in sorted(row)[:neighbors] if -negated >= min_cosim]
    return found


def as_tuples(pairs):
    return list(zip(pairs.anchor_ids.tolist(), pairs.neighbor_ids.tolist(), pairs.cosim.tolist(), strict=True))


def same(pairs, expected):
    assert [pair[:2] for pair in as_tuples(pairs)] == [pair[:2] for pair in expected]
    assert pairs.cosim.tolist() == pytest.approx([pair[2] for pair in expected], abs=2e-6)


def matrices(most_rows, dim=3):
    """Few distinct small integers: exact ties, duplicates and opposite vectors come up all the time."""
    return arrays(np.float32, st.tuples(st.integers(1, most_rows), st.just(dim)), elements=st.integers(-2, 2)).filter(
        lambda rows: bool(np.abs(rows).sum(axis=1).all())
    )


@settings(max_examples=150, deadline=None)
@given(
    matrices(20),
    matrices(12),
    st.integers(1, 6),
    st.sampled_from([-1.0, 0.0, 0.8, 1.0]),
    st.randoms(use_true_random=False),
)
def test_queries_from_elsewhere_equal_the_naive_formula(embeddings, queries, neighbors, min_cosim, random):
    ids = np.array(random.sample(range(30), len(embeddings)))
    query_ids = np.array(random.sample(range(30), len(queries)))  # some are ids of the indexed, some are not
    pairs = pairs_of(
        embeddings, ids, top_k=neighbors, min_cosim=min_cosim, queries=queries, query_ids=query_ids, block_size=5
    )
    same(pairs, naive(queries, query_ids, embeddings, ids, neighbors, min_cosim))
    everything = naive(queries, query_ids, embeddings, ids, len(ids), -1.0)
    highest = max((cosim for *_, cosim in everything), default=None)
    assert pairs.highest_cosim == (None if highest is None else pytest.approx(highest, abs=2e-6))


def test_a_prediction_never_finds_the_body_of_its_own_function():
    rng = np.random.default_rng(0)
    bodies, ids = rng.normal(size=(50, 8)).astype(np.float32), np.arange(100, 150)
    # Predictions that are perfect: each one's own body is its nearest, and must not be found.
    pairs = pairs_of(bodies, ids, top_k=5, min_cosim=-1.0, queries=bodies[:20] * 4, query_ids=ids[:20])
    assert len(pairs) == 100
    assert (pairs.anchor_ids != pairs.neighbor_ids).all()
    among_themselves = pairs_of(bodies, ids, top_k=5, min_cosim=-1.0)
    assert as_tuples(pairs) == as_tuples(among_themselves)[:100]
    # A function that is not indexed may find every body.
    (pair,) = as_tuples(pairs_of(bodies, ids, top_k=1, min_cosim=0.0, queries=bodies[7:8], query_ids=np.array([3])))
    assert pair == (3, 107, 1.0)


@settings(max_examples=60, deadline=None)
@given(matrices(40), st.integers(1, 50), st.integers(1, 4), st.sampled_from([-1.0, 0.5, 0.99]))
def test_blocks_of_any_size_hold_the_same_pairs(embeddings, block_size, neighbors, min_cosim):
    ids = np.arange(len(embeddings)) * 3
    limits = {"top_k": neighbors, "min_cosim": min_cosim}
    blocks = pairs_of(embeddings, ids, **limits, block_size=block_size)
    whole = pairs_of(embeddings, ids, **limits)
    assert as_tuples(blocks) == as_tuples(whole)
    assert blocks.highest_cosim == whole.highest_cosim


def test_half_precision_rows_are_those_of_float32():
    half = torch.from_numpy(np.random.default_rng(0).normal(size=(80, 16))).half()
    limits = {"ids": np.arange(80), "top_k": 4, "min_cosim": 0.0}
    assert as_tuples(pairs_of(half, **limits)) == as_tuples(pairs_of(half.float().numpy(), **limits))


class Stored:
    """Half-precision rows on disk, of which nobody may read more than a part at a time."""

    def __init__(self, folder, n, dim, most):
        rng = np.random.default_rng(0)
        self.map = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.float16, (n, dim))
        for start in range(0, n, 1000):
            self.map[start : start + 1000] = rng.normal(size=(min(1000, n - start), dim))
        self.shape = (n, dim)
        self.most = most
        self.largest = 0

    def __getitem__(self, rows):
        self.largest = max(self.largest, len(rows))
        assert len(rows) <= self.most
        return self.map[rows]


def peak_of(rows, **limits):
    """Peak of what numpy allocated while all blocks were found."""
    tracemalloc.start()
    try:
        pairs_of(rows, np.arange(rows.shape[0]), **limits)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_one_float32_copy_and_a_bounded_rest(tmp_path):
    dim, small, large = 512, 4200, 8200  # both of several parts
    limits = {"top_k": 8, "min_cosim": 0.2, "block_size": 256}
    peaks = {}
    for n in (small, large):
        rows = Stored(tmp_path, n, dim, most=5000)
        peaks[n] = peak_of(rows, **limits)
        assert rows.largest > 0
    copy = 4 * dim
    # a second float32 copy would cost 2048 bytes a function more, a [256, n] matrix of scores 1024
    assert peaks[large] - peaks[small] < (large - small) * (copy + 150)
    assert peaks[small] < small * copy + 40e6


def test_memory_is_bounded_when_everything_ties(tmp_path):
    n, dim = 3000, 8
    peak = peak_of(np.ones((n, dim), np.float32), top_k=3, min_cosim=0.5, block_size=3000)
    # all scores at once are 9 million: over 400 MB with rows, columns and their order
    assert peak < 150e6
