"""The published summary of the hard negatives of Exp 2.1, and made-up pairs that have its statistics."""

import numpy as np

from sigjepa.negatives.judging.judged_pairs import JudgedPairs

PUBLISHED = """\
| Statistic | Value |
|-----------|-------|
| Source | `docs/phase0_2_knn_results_full.jsonl` |
| Model | Qwen2.5-Coder-3B |
| Filter | cosim ≥ 0.80, score_c ≤ 1, both IDs in training corpus |
| Total pairs | 85,125 |
| Unique anchors | 17,540 (42% of train split) |
| score_c=0 pairs | 46,146 |
| score_c=1 pairs | 38,979 |
| Avg hard negs per anchor | 4.8 |
| File | `hard_negatives.json` (1.0 MB) |"""  # a copy of the write-up of Exp 2.1
SOURCE, MODEL = "docs/phase0_2_knn_results_full.jsonl", "Qwen2.5-Coder-3B"
FUNCTIONS, TRAIN_FUNCTIONS = 28_400 + 22_435, 42_047
PAIRS, ANCHORS, UNRELATED = 85_125, 17_540, 46_146


def published_pairs(seed=0, left_out=5_000):
    """Judged pairs, and the train ids, whose index has the published statistics once the filter left out the rest."""
    rng = np.random.default_rng(seed)
    train = np.sort(rng.choice(FUNCTIONS, TRAIN_FUNCTIONS, replace=False))
    chosen = rng.choice(train, ANCHORS, replace=False)
    others = np.setdiff1d(train, chosen)
    anchors = np.concatenate([np.resize(chosen, PAIRS), np.resize(others, 2 * left_out)])
    # the k-th pair of an anchor is with the k-th train function after it: no pair twice, none with itself
    turn = np.concatenate([np.arange(PAIRS) // ANCHORS, np.arange(2 * left_out) // len(others)])
    neighbors = train[(np.searchsorted(train, anchors) + 1 + turn) % TRAIN_FUNCTIONS]
    scores = np.concatenate([np.zeros(UNRELATED), np.ones(PAIRS - UNRELATED), np.resize([2, 3, 0, 1], 2 * left_out)])
    cosims = np.round(rng.uniform(0.80, 0.99, len(anchors)), 4)
    cosims[PAIRS:][scores[PAIRS:] <= 1] -= 0.20  # related pairs are near, the others are below the floor
    order = np.lexsort((neighbors, -cosims, anchors))
    return JudgedPairs(
        anchors[order],
        neighbors[order],
        cosims[order],
        scores[order].astype(np.int8),
        "an LLM",
        ["shares a helper"] * len(anchors),
    ), train


def rows_of(table):
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table.splitlines()]
