import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjepa.data.batch import Batch, NegativeBatch
from sigjepa.data.views import View
from sigjepa.losses.candidates import (
    MINED_CANDIDATES,
    in_batch_candidates,
    judged_related,
    per_anchor_candidates,
    union_candidates,
)


def test_in_batch_excludes_nothing_when_all_bodies_differ(make_batch):
    candidates = in_batch_candidates(make_batch(size=5))
    assert candidates.labels.tolist() == [0, 1, 2, 3, 4]
    assert not candidates.excluded.any()


def test_byte_identical_body_is_excluded_but_the_own_one_stays(make_batch):
    batch = make_batch(size=5)
    batch.body_pooled[3] = batch.body_pooled[1]
    excluded = in_batch_candidates(batch).excluded
    assert excluded.nonzero().tolist() == [[1, 3], [3, 1]]


def test_bodies_that_share_one_coordinate_are_not_identical(make_batch):
    batch = make_batch(size=5)
    batch.body_pooled[3, 0] = batch.body_pooled[1, 0]
    assert not in_batch_candidates(batch).excluded.any()


@pytest.mark.parametrize("name", sorted(MINED_CANDIDATES))
def test_judged_related_is_excluded_in_batch_and_among_mined(make_batch, name):
    batch = make_batch(size=4, negatives=3)
    batch.negatives.scores[:] = 0
    batch.related_ids = torch.tensor([[2, 1001], [-1, -1], [0, -1], [-1, -1]])
    excluded = MINED_CANDIDATES[name](batch).excluded
    assert excluded.nonzero().tolist() == [[0, 2], [0, 5], [2, 0]]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-1, 9), min_size=6, max_size=6), st.lists(st.integers(0, 9), max_size=8), st.integers(1, 3))
def test_related_bodies_are_those_of_the_naive_comparison(lists, ids, length):
    related, candidates = torch.tensor(lists).reshape(-1, length), torch.tensor(ids, dtype=torch.long)
    nothing = torch.zeros(len(related), 1)
    batch = Batch(torch.arange(len(related)), nothing, nothing, nothing, related_ids=related)
    expected = (related[:, :, None] == candidates).any(dim=1)  # some candidates stand there twice
    assert torch.equal(judged_related(batch, candidates), expected)


@pytest.mark.parametrize("name", sorted(MINED_CANDIDATES))
def test_own_body_and_identical_bodies_are_excluded_among_mined(make_batch, name):
    batch = make_batch(size=4, negatives=3)
    batch.negatives.scores[:] = 0
    batch.negatives.embeddings[2] = batch.body_pooled[1]
    excluded = MINED_CANDIDATES[name](batch).excluded
    assert excluded[1, 6]
    assert excluded[:, 4:].sum() == 1


def test_union_serves_everyone_and_per_anchor_its_owner(make_batch):
    batch = make_batch(size=6, negatives=5)
    assert not union_candidates(batch).excluded.any()
    assert torch.equal(per_anchor_candidates(batch).excluded[:, 6:], ~batch.negatives.owners)


def test_a_mined_row_that_stands_in_the_batch_counts_once(make_batch):
    batch = make_batch(size=4, negatives=3)
    batch.negatives.ids[1] = 2
    batch.negatives.embeddings[1] = batch.body_pooled[2]
    candidates = union_candidates(batch)
    assert candidates.excluded[:, 5].all()
    assert not candidates.excluded[0, 2]


@settings(max_examples=40, deadline=None)
@given(size=st.integers(2, 8), mined=st.integers(0, 8), seed=st.integers(0, 9999))
def test_no_anchor_ever_loses_its_own_body_or_meets_it_twice(size, mined, seed):
    generator = torch.Generator().manual_seed(seed)
    bodies = torch.randint(0, 3, (20, 2), generator=generator).float()  # many identical bodies
    ids = torch.randperm(20, generator=generator)
    batch_ids, mined_ids = ids[:size], torch.randint(0, 20, (mined,), generator=generator).unique()
    scores = torch.randint(-1, 2, (size, len(mined_ids)), generator=generator).to(torch.int8)
    batch = Batch(batch_ids, torch.zeros(size, 1, 2), torch.ones(size, 1).bool(), bodies[batch_ids])
    batch.negatives = NegativeBatch(mined_ids, bodies[mined_ids], scores)
    for build in MINED_CANDIDATES.values():
        candidates = build(batch)
        for anchor in range(size):
            label = candidates.labels[anchor]
            assert candidates.ids[label] == batch.ids[anchor]
            assert not candidates.excluded[anchor, label]
            kept = ~candidates.excluded[anchor]
            kept[label] = False
            assert not (candidates.embeddings[kept] == batch.body_pooled[anchor]).all(dim=1).any()
            assert len(candidates.ids[kept].unique()) == kept.sum()


@pytest.mark.parametrize("name", MINED_CANDIDATES)
def test_views_of_all_candidates_stand_in_their_order(make_batch, name):
    batch = make_batch(size=4, negatives=3)

    def views(bodies):
        return {"twice": View(2 * bodies, bodies.sum(dim=1))}

    batch.random = NegativeBatch(torch.tensor([50]), torch.randn(1, 8), torch.full((4, 1), -1, dtype=torch.int8))
    batch.body_views = views(batch.body_pooled)
    for rows in (batch.negatives, batch.random):
        rows.views = views(rows.embeddings)
    candidates = MINED_CANDIDATES[name](batch)
    assert candidates.in_batch == 5
    torch.testing.assert_close(candidates.views["twice"].vectors, 2 * candidates.embeddings)
    torch.testing.assert_close(candidates.scored_views(5)["twice"].constants, candidates.embeddings[:5].sum(dim=1))
    batch.negatives = None
    assert len(MINED_CANDIDATES[name](batch).views["twice"]) == 5


def test_random_bodies_are_candidates_for_everyone_but_their_twins(make_batch):
    batch = make_batch(size=4)
    bodies = torch.cat([torch.randn(2, 8), batch.body_pooled[1:2]])
    batch.random = NegativeBatch(torch.tensor([50, 51, 52]), bodies, torch.full((4, 3), -1, dtype=torch.int8))
    candidates = in_batch_candidates(batch)
    assert candidates.in_batch == 7
    assert candidates.ids.tolist() == [0, 1, 2, 3, 50, 51, 52]
    assert candidates.excluded[:, 4:].tolist() == [[False, False, row == 1] for row in range(4)]
    assert candidates.labels.tolist() == [0, 1, 2, 3]
