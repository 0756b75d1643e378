"""Pairs of vectors that lie in memory, by exact search."""

from sigjepa.negatives.mining.exact import ExactIndex
from sigjepa.negatives.mining.knn import BLOCK_SIZE, nearest_pairs
from sigjepa.negatives.mining.vectors import UnitVectors


def pairs_of(embeddings, ids, *, top_k, min_cosim, queries=None, query_ids=None, block_size=BLOCK_SIZE):
    """The pairs of `queries`, or of the embeddings themselves, with the embeddings."""
    bodies = UnitVectors.of(embeddings, ids)
    anchors = bodies if queries is None else UnitVectors.of(queries, query_ids)
    return nearest_pairs(anchors, bodies, ExactIndex(bodies.matrix), top_k, min_cosim, block_size)
