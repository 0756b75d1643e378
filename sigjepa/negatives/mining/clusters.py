"""Bodies by cluster, an inverted file that is searched with many queries at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from sigjepa.negatives.mining.faiss_settings import one_thread, products_by_blas
from sigjepa.negatives.mining.vectors import Ids, Matrix, parts


@dataclass
class IVFIndex:
    """Bodies by cluster: each cluster is compared with all queries at once that it is near to.

    matrix: `[n, D]` float32 bodies. centroids: `[nlist, D]`. members: `[n]` rows of bodies, by cluster. bounds:
    `[nlist + 1]` where in `members` each cluster begins. effort: clusters that a query is compared with.
    """

    exact: ClassVar[bool] = False
    setting: ClassVar[str] = "nprobe"
    ARRAYS: ClassVar[Sequence[str]] = ("centroids", "members", "bounds")

    matrix: Matrix
    centroids: Matrix
    members: Ids
    bounds: Ids
    effort: int

    @classmethod
    def of(cls, matrix: Matrix, centroids: Matrix, effort: int) -> "IVFIndex":
        """Return all bodies, each in the cluster of the nearest centroid."""
        nearest = np.empty(len(matrix), np.int64)
        for part in parts(len(matrix), len(centroids)):
            nearest[part] = nearest_centroids(matrix[part], centroids, 1)[:, 0]
        members = np.argsort(nearest, kind="stable")
        return cls(matrix, centroids, members, np.searchsorted(nearest[members], np.arange(len(centroids) + 1)), effort)

    def save(self, folder: Path) -> None:
        """As StoredIndex says."""
        for name in self.ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))

    def search(self, queries: Matrix, count: int) -> tuple[npt.NDArray[np.float32], Ids]:
        """As NeighborIndex says; one thread, since each product is small: further ones are for further processes."""
        import faiss  # noqa: PLC0415 - a warm cache needs none

        with one_thread(), products_by_blas():
            probed = nearest_centroids(queries, self.centroids, self.effort)
            order = np.argsort(probed, axis=None, kind="stable")
            starts = np.searchsorted(probed.ravel()[order], np.arange(len(self.centroids) + 1))
            best = faiss.ResultHeap(len(queries), count, keep_max=True)
            for cluster in np.flatnonzero(np.diff(starts) * np.diff(self.bounds)):
                near = order[starts[cluster] : starts[cluster + 1]] // self.effort
                rows = self.members[self.bounds[cluster] : self.bounds[cluster + 1]]
                scores, hits = faiss.knn(
                    queries[near], self.matrix[rows], min(count, len(rows)), metric=faiss.METRIC_INNER_PRODUCT
                )
                best.add_result_subset(near, scores, rows[hits])
            best.finalize()
        return best.D, best.I


def nearest_centroids(vectors: Matrix, centroids: Matrix, count: int) -> Ids:
    """Return the `count` nearest centroids of each vector `[n, count]`."""
    import faiss  # noqa: PLC0415 - a warm cache needs none

    clusters: Ids = faiss.knn(vectors, centroids, count, metric=faiss.METRIC_INNER_PRODUCT)[1]
    return clusters
