import numpy as np
import pytest
import torch

from sigjepa.data.dataset import FunctionDataset, pad_states
from sigjepa.data.sampler import BatchIndices
from sigjepa.data.targets import owners_of
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.negatives.index.sampling import NegativeSampler
from sigjepa.negatives.judging.judged_pairs import JudgedPairs


class Shards:
    """States whose numbers say whose they are: function i has i + 1 signature and i + 2 body tokens of value i."""

    def signature_states(self, function):
        return torch.full((function + 1, 3), float(function))

    def body_states(self, function):
        return torch.full((function + 2, 3), float(function))


def request(ids, step=0, epoch=0.0):
    return BatchIndices(np.array(ids), step, epoch)


@pytest.fixture
def hard_negatives():
    pairs = [(0, 3, 0.9, 0), (0, 4, 0.8, 1), (0, 5, 0.95, 2), (1, 3, 0.7, 0), (1, 0, 0.6, 0), (1, 2, 0.65, 0)]
    anchors, neighbors, cosim, scores = (np.array(column) for column in zip(*pairs, strict=True))
    judged = JudgedPairs(anchors, neighbors, cosim, scores.astype(np.int8), "test", [""] * len(pairs))
    return HardNegatives.from_judged(judged, train_ids=np.arange(6), pair_filter=PairFilter(min_cosim=0.5))


BODIES = torch.arange(18, dtype=torch.float32).reshape(6, 3)


def test_states_are_padded_and_masked():
    batch = FunctionDataset(Shards(), BODIES, body_states=True)[request([2, 0])]
    assert batch.ids.tolist() == [2, 0]
    assert batch.signature_states.shape == (2, 3, 3)
    assert batch.signature_mask.tolist() == [[True] * 3, [True, False, False]]
    assert batch.signature_states[0].unique().tolist() == [2]
    assert batch.body_mask.sum(1).tolist() == [4, 2]
    assert torch.equal(batch.body_pooled, BODIES[[2, 0]])


def test_body_states_can_be_cut_from_the_start():
    batch = FunctionDataset(Shards(), BODIES, body_states=True, max_body_states=3)[request([0, 4])]
    assert batch.body_mask.sum(1).tolist() == [2, 3]
    assert batch.body_states.shape == (2, 3, 3)


def test_batches_without_body_states_or_negatives_carry_none():
    batch = FunctionDataset(Shards(), BODIES)[request([1, 2])]
    assert batch.body_states is batch.body_mask is batch.negatives is batch.related_ids is None


def test_negatives_are_unique_rows_with_their_owners(hard_negatives):
    batch = FunctionDataset(Shards(), BODIES, hard_negatives)[request([2, 0, 1])]
    assert batch.negatives.ids.tolist() == [0, 2, 3, 4]
    assert torch.equal(batch.negatives.embeddings, BODIES[[0, 2, 3, 4]])
    assert batch.negatives.scores.tolist() == [[-1, -1, -1, -1], [-1, -1, 0, 1], [0, 0, 0, -1]]
    assert batch.negatives.owners.sum().item() == 5


def test_an_anchor_brings_its_nearest_negatives(hard_negatives):
    batch = FunctionDataset(Shards(), BODIES, hard_negatives, NegativeSampler(1))[request([0, 1])]
    assert batch.negatives.ids.tolist() == [3]
    batch = FunctionDataset(Shards(), BODIES, hard_negatives, NegativeSampler(2))[request([1])]
    assert batch.negatives.ids.tolist() == [2, 3]


def test_related_pairs_come_padded_and_symmetric(hard_negatives):
    batch = FunctionDataset(Shards(), BODIES, hard_negatives)[request([5, 0, 1])]
    assert batch.related_ids.tolist() == [[0], [5], [-1]]


def test_a_batch_without_any_negatives_is_empty_not_missing(hard_negatives):
    batch = FunctionDataset(Shards(), BODIES, hard_negatives)[request([4, 5])]
    assert batch.negatives.ids.shape == (0,)
    assert batch.negatives.embeddings.shape == (0, 3)
    assert batch.negatives.scores.shape == (2, 0)


def test_identical_bodies_have_one_owner():
    assert owners_of(["a", "b", "a", "c", "b"]).tolist() == [0, 1, 0, 3, 1]


def test_pad_states_of_one():
    padded, mask = pad_states([torch.ones(2, 3)])
    assert padded.shape == (1, 2, 3)
    assert mask.all()


def test_random_bodies_come_from_outside_of_the_batch_and_are_the_same_in_a_resumed_run():
    dataset = FunctionDataset(Shards(), BODIES, random_bodies=3, random_ids=np.array([0, 1, 2, 4, 5]))
    seen = set()
    for step in range(20):
        random = dataset[request([2, 0], step=step)].random
        assert random.ids.tolist() == sorted(set(random.ids.tolist()) - {0, 2})
        assert len(random.ids) == 3
        assert torch.equal(random.embeddings, BODIES[random.ids])
        assert not random.owners.any()
        assert torch.equal(dataset[request([2, 0], step=step)].random.ids, random.ids)
        seen |= set(random.ids.tolist())
    assert seen == {1, 4, 5}
    more = FunctionDataset(Shards(), BODIES, random_bodies=50, random_ids=np.arange(6))[request([2, 0])].random
    assert more.ids.tolist() == [1, 3, 4, 5]
    assert FunctionDataset(Shards(), BODIES)[request([2, 0])].random is None
