"""Exact inner-product search: faiss on every GPU that it can use, else on the CPU over the vectors where they lie."""

import logging
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from sigjepa.negatives.mining.vectors import Ids, Matrix

logger = logging.getLogger(__name__)


class NeighborIndex(Protocol):
    """Finds the vectors that are nearest to a query; what it finds is scored again, so its scores may be rough."""

    exact: ClassVar[bool]  # whether nothing nearer than the last of the found is missing

    def search(self, queries: Matrix, count: int) -> tuple[npt.NDArray[np.float32], Ids]:
        """Scores and rows `[q, count]` of the nearest to each of `queries` `[q, D]`, descending.

        A row is -1 where fewer than `count` were found.
        """


class ExactIndex:
    """Every vector is compared; on the CPU no vector is copied.

    matrix: `[n, D]` float32, n >= 1. A GPU that fails, for want of memory or because `count` is above its limit, is
    given up with a warning, and the CPU goes on: what is found is the same.
    """

    exact: ClassVar[bool] = True

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix
        self._gpu_index = self._on_gpus()

    def search(self, queries: Matrix, count: int) -> tuple[npt.NDArray[np.float32], Ids]:
        """As NeighborIndex says; 1 <= count <= n."""
        import faiss  # noqa: PLC0415 - a warm cache needs none

        if self._gpu_index is not None:
            try:
                scores, rows = self._gpu_index.search(queries, count)
                return scores, rows
            except (RuntimeError, AssertionError) as error:
                self._give_up(error)
        scores, rows = faiss.knn(queries, self._matrix, count, metric=faiss.METRIC_INNER_PRODUCT)
        return scores, rows

    def _on_gpus(self) -> Any:
        import faiss  # noqa: PLC0415 - see above

        # The CPU build of faiss has neither, or the first alone, which then counts 0.
        if not hasattr(faiss, "get_num_gpus") or not hasattr(faiss, "index_cpu_to_all_gpus"):
            return None
        gpus = faiss.get_num_gpus()
        if gpus < 1:
            return None
        try:
            index = faiss.IndexFlatIP(self._matrix.shape[1])
            index.add(self._matrix)
            on_gpus = faiss.index_cpu_to_all_gpus(index)
        except (RuntimeError, AssertionError) as error:
            self._give_up(error)
            return None
        logger.info("Exact search of %d vectors on %d GPU%s", len(self._matrix), gpus, "s" if gpus > 1 else "")
        return on_gpus

    def _give_up(self, error: BaseException) -> None:
        self._gpu_index = None
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        logger.warning("faiss failed on the GPU (%s): exact search goes on on the CPU.", first_line)
