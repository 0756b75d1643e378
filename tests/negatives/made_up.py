"""Judged pairs of made-up functions, and whether two indices are the same."""

import numpy as np

from sigjepa.negatives.exchange.validate import pair_cosines
from sigjepa.negatives.judging.judged_pairs import JudgedPairs


def equal(one, other):
    """Whether two indices hold the same negatives, scores, cosines and related pairs."""
    columns = [
        [
            *(index.negatives.keys, index.negatives.offsets, index.negatives.values, index.scores, index.cosims),
            *(index.related.keys, index.related.offsets, index.related.values),
        ]
        for index in (one, other)
    ]
    return all(np.array_equal(ours, theirs) for ours, theirs in zip(*columns, strict=True))


def judge_all(shards, ids, seed=0, neighbors=6):
    """Judged pairs of `ids` with the cosines of the shards and scores that both directions of a pair share."""
    rng = np.random.default_rng(seed)
    anchors = np.repeat(ids, neighbors)
    others = np.concatenate([rng.choice(np.setdiff1d(ids, [one]), neighbors, replace=False) for one in ids])
    cosims = pair_cosines(shards, anchors, others)
    order = np.lexsort((others, -cosims, anchors))
    scores = ((anchors + others) % 4).astype(np.int8)
    columns = (column[order] for column in (anchors, others, cosims, scores))
    return JudgedPairs(*columns, "an LLM", [f"reason {place}" for place in range(len(order))])
