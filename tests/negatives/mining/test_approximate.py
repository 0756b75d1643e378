"""Approximate search: what it finds is scored exactly, its recall is measured, and raised until it is enough."""

import logging

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjepa.errors import SigjepaError
from sigjepa.negatives.mining.approximate import HNSW, IVF, recall_of
from sigjepa.negatives.mining.clusters import IVFIndex
from sigjepa.negatives.mining.exact import ExactIndex
from sigjepa.negatives.mining.knn import nearest_pairs
from sigjepa.negatives.mining.pairs import Pairs
from sigjepa.negatives.mining.search import Search
from sigjepa.negatives.mining.vectors import UnitVectors

SEARCHES = [IVF(nprobe=4), HNSW(M=8, efConstruction=20, efSearch=16)]
names = pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search.inputs()["method"])
LIMITS = {"top_k": 5, "min_cosim": 0.2}


def bodies_of(n=1500, dim=16, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    families = rng.normal(size=(n // 6, dim))
    rows = families[rng.integers(0, len(families), n)] + spread * rng.normal(size=(n, dim))
    return UnitVectors.of(rows.astype(np.float32), np.arange(n) * 2)


def as_tuples(pairs):
    return list(zip(pairs.anchor_ids.tolist(), pairs.neighbor_ids.tolist(), pairs.cosim.tolist(), strict=True))


def pairs_by(index, bodies, **limits):
    return nearest_pairs(bodies, bodies, index, **{**LIMITS, **limits})


@names
def test_found_pairs_have_exact_cosines_and_order(search):
    bodies = bodies_of()
    index, record = search.build(bodies, **LIMITS)
    found, exact = pairs_by(index, bodies), pairs_by(ExactIndex(bodies.matrix), bodies)
    cosines = pairs_by(ExactIndex(bodies.matrix), bodies, top_k=len(bodies))
    table = {(anchor, neighbor): cosim for anchor, neighbor, cosim in as_tuples(cosines)}
    assert all(table[anchor, neighbor] == cosim for anchor, neighbor, cosim in as_tuples(found))
    keys = [(anchor, -cosim, neighbor) for anchor, neighbor, cosim in as_tuples(found)]
    assert keys == sorted(keys)
    assert np.bincount(found.anchor_ids).max() == LIMITS["top_k"]
    assert (found.anchor_ids != found.neighbor_ids).all()
    # The recall on 500 queries is near that on all 1500, which is counted here by ids and without its code.
    overall = len({pair[:2] for pair in as_tuples(found)} & {pair[:2] for pair in as_tuples(exact)}) / len(exact)
    assert record["recall"] >= 0.95
    assert abs(record["recall"] - overall) < 0.03


@names
def test_built_twice_it_is_the_same(search):
    bodies = bodies_of()
    first, second = (search.build(bodies, **LIMITS) for _ in range(2))
    assert first[1] == second[1]
    assert as_tuples(pairs_by(first[0], bodies)) == as_tuples(pairs_by(second[0], bodies))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 120), st.integers(1, 30), st.integers(1, 130))
def test_all_clusters_are_exact_search_in_blocks_of_any_size(seed, n, nlist, block_size):
    rng = np.random.default_rng(seed)
    bodies = UnitVectors.of(rng.normal(size=(n, 5)).astype(np.float32), rng.permutation(3 * n)[:n])
    centroids = rng.normal(size=(nlist, 5)).astype(np.float32)
    clusters = IVFIndex.of(bodies.matrix, centroids, nlist)
    assert sorted(clusters.members.tolist()) == list(range(n))
    found = nearest_pairs(bodies, bodies, clusters, **LIMITS, block_size=block_size)
    assert as_tuples(found) == as_tuples(pairs_by(ExactIndex(bodies.matrix), bodies))
    few = IVFIndex(bodies.matrix, centroids, clusters.members, clusters.bounds, 1)  # some queries find less than asked
    table = set(as_tuples(pairs_by(ExactIndex(bodies.matrix), bodies, top_k=n)))
    assert set(as_tuples(pairs_by(few, bodies))) <= table


@names
def test_saved_and_opened_it_finds_the_same(search, tmp_path):
    bodies = bodies_of(400)
    index, record = search.build(bodies, **LIMITS)
    index.save(tmp_path)
    opened = search.open(tmp_path, bodies, record)
    assert as_tuples(pairs_by(opened, bodies)) == as_tuples(pairs_by(index, bodies))


def test_links_are_made_by_a_single_thread(monkeypatch):
    threads, add = [], faiss.IndexHNSWFlat.add
    monkeypatch.setattr(
        faiss.IndexHNSWFlat, "add", lambda *given: threads.append(faiss.omp_get_max_threads()) or add(*given)
    )
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    try:
        HNSW().build(bodies_of(100), **LIMITS)
        assert threads == [1]
        assert faiss.omp_get_max_threads() == 2
    finally:
        faiss.omp_set_num_threads(before)


@pytest.mark.parametrize(
    ("search", "key"),
    [
        (IVF(nlist=60, nprobe=1, min_recall=0.99), "nprobe"),
        (HNSW(M=4, efConstruction=10, efSearch=1, min_recall=0.9), "efSearch"),
    ],
)
def test_effort_is_doubled_until_the_recall_is_reached(search, key, caplog):
    bodies = bodies_of()
    with caplog.at_level(logging.INFO):
        index, record = search.build(bodies, **LIMITS)
    tried = [int(message.split(f"{key}=")[1].split()[0]) for message in caplog.messages]
    assert tried == [2**i if i < len(tried) - 1 else tried[-1] for i in range(len(tried))]
    assert len(tried) > 1
    assert record[key] == tried[-1]
    assert record["recall"] >= search.min_recall
    recalls = [float(message.split("finds ")[1].split()[0]) for message in caplog.messages]
    assert all(recall < search.min_recall for recall in recalls[:-1])
    assert record["recall_queries"] == 500
    # The index that is handed out is the one that was measured.
    assert recall_of(pairs_by(index, bodies), pairs_by(ExactIndex(bodies.matrix), bodies)) > recalls[0]


@names
def test_recall_is_that_of_what_will_be_searched_for(search):
    """A student's predictions lie between clusters that bodies lie in."""
    bodies, limits = bodies_of(spread=0.3), {"top_k": 5, "min_cosim": -1.0}
    noise = np.random.default_rng(1).normal(size=bodies.matrix.shape)
    queries = UnitVectors.of((bodies.matrix + 0.5 * noise).astype(np.float32), bodies.ids)

    def recall(index):
        exact = nearest_pairs(queries, bodies, ExactIndex(bodies.matrix), **limits)
        return recall_of(nearest_pairs(queries, bodies, index, **limits), exact)

    for_bodies, _ = search.build(bodies, **limits)
    index, record = search.build(bodies, **limits, queries=queries)
    assert recall(for_bodies) < 0.9
    assert record["recall"] >= 0.95
    assert recall(index) == pytest.approx(record["recall"], abs=0.03)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (IVF(nlist=40, nprobe=1, min_recall=1.0), r"nprobe=20.* 0\.9"),
        (HNSW(M=2, efConstruction=2, min_recall=1.0), "efSearch=1500"),
    ],
)
def test_a_recall_out_of_reach_says_what_to_set(search, message):
    bodies = bodies_of(spread=3.0)
    with pytest.raises(SigjepaError, match=message) as caught:
        search.build(bodies, top_k=5, min_cosim=-1.0)
    assert "negatives.search.exact_up_to=1500" in str(caught.value)
    assert "min_recall is 1.0" in str(caught.value)


@names
def test_without_pairs_above_the_threshold_recall_is_that_of_the_nearest(search):
    bodies = bodies_of()
    _, record = search.build(bodies, top_k=5, min_cosim=1.0)
    assert record["recall"] >= 0.95
    assert record["recall_pairs"] == 5 * 500


@names
@pytest.mark.parametrize("n", [1, 2, 7])
def test_few_functions(search, n):
    bodies = UnitVectors.of(np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32), np.arange(n))
    index, record = search.build(bodies, top_k=3, min_cosim=-1.0)
    assert as_tuples(pairs_by(index, bodies, top_k=3, min_cosim=-1.0)) == as_tuples(
        pairs_by(ExactIndex(bodies.matrix), bodies, top_k=3, min_cosim=-1.0)
    )
    assert record["recall"] == (None if n == 1 else 1.0)


def pairs(*rows):
    anchors, neighbors, cosim = zip(*rows, strict=True) if rows else ((), (), ())
    return Pairs(np.array(anchors, np.int64), np.array(neighbors, np.int64), np.array(cosim, float))


def test_recall_counts_neighbors_that_are_just_as_near():
    exact = pairs((1, 2, 0.9), (1, 3, 0.8), (4, 1, 0.7))
    assert recall_of(exact, exact) == 1.0
    assert recall_of(pairs((1, 2, 0.9), (1, 9, 0.8), (4, 1, 0.7)), exact) == 1.0  # 9 ties with 3
    assert recall_of(pairs((1, 2, 0.9), (1, 9, 0.79)), exact) == pytest.approx(1 / 3)
    assert recall_of(pairs(), exact) == 0.0
    assert recall_of(pairs(), pairs()) is None


def test_search_is_exact_up_to_its_limit_and_keyed_by_what_is_used():
    bodies = bodies_of(300)
    search = Search(exact_up_to=300, beyond=IVF(nprobe=3))
    index, record = search.build(bodies, **LIMITS)
    assert index.exact
    assert record == {"method": "exact", "recall": 1.0}
    assert search.inputs(300) == Search(None).inputs(10**9) == {"method": "exact"}
    assert search.inputs(301) == IVF(nprobe=3).inputs()
    index, record = Search(exact_up_to=299).build(bodies, **LIMITS)
    assert not index.exact
    assert record["method"] == "ivf"


@pytest.mark.parametrize("search", SEARCHES, ids=["ivf", "hnsw"])
def test_every_argument_is_among_the_inputs(search):
    assert set(search.inputs()) == {"method", "version", *search.__dataclass_fields__}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Search(exact_up_to=-1), "negatives.search.exact_up_to.*-1"),
        (lambda: IVF(nlist=0), "negatives.search.beyond.nlist=0"),
        (lambda: IVF(nprobe=0), "negatives.search.beyond.nprobe=0"),
        (lambda: IVF(min_recall=1.1), "beyond.min_recall=1.1"),
        (lambda: IVF(min_recall=float("nan")), "beyond.min_recall=nan"),
        (
            lambda: IVF(recall_queries=0),
            "negatives.search.beyond.recall_queries=0",
        ),
        (lambda: HNSW(M=0), "negatives.search.beyond.M=0"),
        (
            lambda: HNSW(efConstruction=0),
            "negatives.search.beyond.efConstruction=0",
        ),
        (lambda: HNSW(efSearch=0), "negatives.search.beyond.efSearch=0"),
    ],
)
def test_arguments_out_of_range(make, message):
    with pytest.raises(SigjepaError, match=message):
        make()
