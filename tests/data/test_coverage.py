import numpy as np
import pytest

from sigjepa.data.coverage import batch_coverage
from sigjepa.data.sampler import BatchIndices
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.negatives.index.ramp import Ramp
from sigjepa.negatives.index.sampling import NegativeSampler
from sigjepa.negatives.judging.judged_pairs import JudgedPairs

# anchor 0 has 5, 6 and 1; anchor 1 has 5; 2 and 3 have none
PAIRS = [(0, 5, 0.9), (0, 6, 0.8), (0, 1, 0.7), (1, 5, 0.9)]


@pytest.fixture
def hard_negatives():
    anchors, neighbors, cosims = (np.array(column) for column in zip(*PAIRS, strict=True))
    judged = JudgedPairs(anchors, neighbors, cosims, np.zeros(4, np.int8), "test", [""] * 4)
    return HardNegatives.from_judged(judged, train_ids=np.arange(8), pair_filter=PairFilter())


REQUESTS = [BatchIndices(np.array([0, 1])), BatchIndices(np.array([2, 3])), BatchIndices(np.array([0, 5]))]


def test_means_over_batches(hard_negatives):
    assert batch_coverage(REQUESTS, hard_negatives, NegativeSampler(8)) == {
        "covered_anchors_per_batch": (2 + 0 + 1) / 3,
        "unique_negatives_per_step": (2 + 0 + 2) / 3,  # {5, 6}, none, {6, 1}: what stands in the batch is not appended
        "negatives_per_covered_anchor": (3 + 1 + 3) / 3,
    }


def test_schedules_count_as_they_end(hard_negatives):
    figures = batch_coverage(REQUESTS[:1], hard_negatives, NegativeSampler(Ramp(5, 5, start_value=0, end_value=1)))
    assert figures["negatives_per_covered_anchor"] == 1


def test_no_covered_anchor_is_no_division_by_zero(hard_negatives):
    figures = batch_coverage(REQUESTS[1:2], hard_negatives, NegativeSampler())
    assert figures == dict.fromkeys(figures, 0.0)
