"""Exact search reads the vectors where they lie."""

import numpy as np

from sigjepa.negatives.mining.exact import ExactIndex


def test_no_vector_is_copied():
    matrix = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    index = ExactIndex(matrix)
    matrix[:] = matrix[::-1].copy()  # an index with a copy would not see it
    _, rows = index.search(matrix[:1], 1)
    scores = matrix @ matrix[0]
    assert scores[rows[0, 0]] == scores.max()
