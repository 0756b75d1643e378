"""Measure of what hard negatives will bring to the batches, counted before training starts."""

from collections.abc import Iterable
from itertools import islice

import numpy as np

from sigjepa.data.sampler import BatchIndices
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.sampling import NegativeSampler

BATCHES = 256
"""Enough to know the means of a batch to a percent, and counted in about a second."""


def batch_coverage(
    requests: Iterable[BatchIndices], hard_negatives: HardNegatives, sampler: NegativeSampler
) -> dict[str, float]:
    """Return the means over an epoch's first batches, with every ramp of `sampler` at its end.

    covered_anchors_per_batch: anchors that bring a hard negative. unique_negatives_per_step: rows that all anchors
    together append, without those that stand in the batch already. negatives_per_covered_anchor: how many each brings.
    """
    covered, unique, brought = [], [], []
    for request in islice(requests, BATCHES):
        sampled = [
            sampler.negatives(hard_negatives.negatives_of(anchor), anchor, request.step, float("inf")).ids
            for anchor in map(int, request.ids)
        ]
        covered.append(sum(len(ids) > 0 for ids in sampled))
        brought.append(sum(map(len, sampled)))
        unique.append(len(np.setdiff1d(np.concatenate(sampled), request.ids)))
    return {
        "covered_anchors_per_batch": float(np.mean(covered)),
        "unique_negatives_per_step": float(np.mean(unique)),
        "negatives_per_covered_anchor": float(np.sum(brought) / max(1, np.sum(covered))),
    }
