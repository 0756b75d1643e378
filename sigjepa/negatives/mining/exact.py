"""Exact inner-product search over the vectors where they lie."""

from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from sigjepa.negatives.mining.vectors import Ids, Matrix


class NeighborIndex(Protocol):
    """Finds the vectors that are nearest to a query; what it finds is scored again, so its scores may be rough."""

    exact: ClassVar[bool]  # whether nothing nearer than the last of the found is missing

    def search(self, queries: Matrix, count: int) -> tuple[npt.NDArray[np.float32], Ids]:
        """Scores and rows `[q, count]` of the nearest to each of `queries` `[q, D]`, descending.

        A row is -1 where fewer than `count` were found.
        """


class ExactIndex:
    """Compares a query with every vector of `matrix` `[n, D]` float32, n >= 1, of which it holds no copy."""

    exact: ClassVar[bool] = True

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix

    def search(self, queries: Matrix, count: int) -> tuple[npt.NDArray[np.float32], Ids]:
        """As NeighborIndex says; 1 <= count <= n."""
        import faiss  # noqa: PLC0415 - a warm cache needs none

        scores, rows = faiss.knn(queries, self._matrix, count, metric=faiss.METRIC_INNER_PRODUCT)
        return scores, rows
