"""Approximate search for corpora beyond exact reach: IVF and HNSW, whose recall is measured, not assumed."""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field

from sigjepa.errors import SigjepaError
from sigjepa.negatives.mining.clusters import IVFIndex
from sigjepa.negatives.mining.exact import ExactIndex, NeighborIndex
from sigjepa.negatives.mining.faiss_settings import one_thread
from sigjepa.negatives.mining.knn import nearest_pairs
from sigjepa.negatives.mining.pairs import Pairs
from sigjepa.negatives.mining.vectors import Ids, Matrix, UnitVectors
from sigjepa.runtime.fields import Count, component
from sigjepa.store.progress import stage

log = logging.getLogger(__name__)

MAX_EF_SEARCH = 4096
CLUSTERED_PER_CENTROID = 32
"""Bodies of which a centroid is fitted; with 64, and with more than five rounds, no more neighbors are found."""
CLUSTERING_ROUNDS = 5
HNSW_FILE = "hnsw.faiss"

Recall = Annotated[float, Field(ge=0, le=1)]


@component("negatives.search.beyond")
class Approximate(ABC):
    """An approximate search whose recall is measured, and its effort raised until that is high enough.

    min_recall: lowest share of the exact pairs that must be found. recall_queries: queries on which that is measured.
    seed: of the clustering and of their choice. Raises SigjepaError for arguments out of range.
    """

    method: ClassVar[str]
    version: ClassVar[int] = 1  # raise it when the same arguments find other pairs

    min_recall: Recall = 0.95
    recall_queries: Count = 500
    seed: int = 0

    def inputs(self) -> dict[str, Any]:
        """Return all that the found pairs depend on, beside the vectors, `top_k` and `min_cosim`."""
        return {"method": self.method, "version": self.version, **asdict(self)}

    @abstractmethod
    def build(
        self, bodies: UnitVectors, top_k: int, min_cosim: float, queries: UnitVectors | None = None
    ) -> tuple["StoredIndex", dict[str, Any]]:
        """Return the index over `bodies`, and a record of it with its measured recall.

        queries: what will be searched for, of which a sample measures it; None is the bodies themselves.
        """

    @abstractmethod
    def open(self, folder: Path, bodies: UnitVectors, record: Mapping[str, Any]) -> NeighborIndex:
        """Return the index over `bodies` that was saved in a folder, with its record, read through memory maps."""

    def raise_effort(
        self,
        index: "StoredIndex",
        most: int,
        bodies: UnitVectors,
        top_k: int,
        min_cosim: float,
        queries: UnitVectors | None,
    ) -> dict[str, Any]:
        """Double the index's effort up to `most` until its recall is high enough; returns what was measured.

        Raises SigjepaError when the highest effort does not give `min_recall`.
        """
        rng = np.random.default_rng(self.seed)
        queries = bodies if queries is None else queries
        sample = queries.take(np.sort(rng.choice(len(queries), min(self.recall_queries, len(queries)), replace=False)))

        def pairs(searched: NeighborIndex, lowest: float) -> Pairs:
            return nearest_pairs(sample, bodies, searched, top_k, lowest)

        exact_index = ExactIndex(bodies.matrix)
        exact = pairs(exact_index, min_cosim)
        if not len(exact):  # nothing in the sample is near enough: measure on the nearest there are
            min_cosim = -1.0
            exact = pairs(exact_index, min_cosim)
        while True:
            recall = recall_of(pairs(index, min_cosim), exact)
            log.info(
                "Approximate search with %s=%d finds %s of %d exact pairs of %d functions",
                index.setting,
                index.effort,
                "none" if recall is None else f"{recall:.4f}",
                len(exact),
                len(sample),
            )
            if recall is None or recall >= self.min_recall:
                return {"recall": recall, "recall_pairs": len(exact), "recall_queries": len(sample)}
            if index.effort >= most:
                raise SigjepaError(
                    f"Approximate search with {index.setting}={index.effort}, the most that is tried, finds "
                    f"{recall:.4f} of the exact pairs, but negatives.search.beyond.min_recall is {self.min_recall}. "
                    f"Lower that, or search exactly: negatives.search.exact_up_to={len(bodies)}."
                )
            index.effort = min(2 * index.effort, most)


@component("negatives.search.beyond")
class IVF(Approximate):
    """IVFIndex of bodies (an inverted file): a query is compared with those of its `nprobe` nearest clusters.

    nlist: clusters; None is twice the square root of the number of functions. nprobe: clusters compared at first,
    doubled until `min_recall` is reached. The others as for `Approximate`. The index holds no vector but the centroids.
    Built twice on a machine, it is the same.
    """

    method: ClassVar[str] = "ivf"
    version: ClassVar[int] = 2

    nlist: Count | None = None
    nprobe: Count = 8

    @stage("Clustering bodies")
    def build(
        self, bodies: UnitVectors, top_k: int, min_cosim: float, queries: UnitVectors | None = None
    ) -> tuple["StoredIndex", dict[str, Any]]:
        """As Approximate says; raises SigjepaError when half of the clusters do not give `min_recall`."""
        import faiss  # noqa: PLC0415 - a warm cache needs none

        n, dim = bodies.matrix.shape
        nlist = min(self.nlist or round(2 * math.sqrt(n)), n)
        limits = {"max_points_per_centroid": CLUSTERED_PER_CENTROID, "min_points_per_centroid": 1}
        clustering = faiss.Kmeans(dim, nlist, niter=CLUSTERING_ROUNDS, seed=self.seed, spherical=True, **limits)
        clustering.train(bodies.matrix)
        assert clustering.centroids is not None
        found = IVFIndex.of(bodies.matrix, clustering.centroids, min(self.nprobe, nlist))
        most = max(found.effort, nlist // 2)  # with more, exact search is the faster one
        recall = self.raise_effort(found, most, bodies, top_k, min_cosim, queries)
        return found, {"method": "ivf", "nlist": nlist, "nprobe": found.effort, **recall}

    def open(self, folder: Path, bodies: UnitVectors, record: Mapping[str, Any]) -> NeighborIndex:
        """As Approximate says."""
        centroids, members, bounds = (np.load(folder / f"{name}.npy") for name in IVFIndex.ARRAYS)
        return IVFIndex(bodies.matrix, centroids, members, bounds, record["nprobe"])


@component("negatives.search.beyond")
class HNSW(Approximate):
    """faiss HNSW: bodies are linked to near ones, and a query follows the links; slow to build, fast to search.

    M: links of a body. efConstruction: candidates kept while it is linked. efSearch: candidates kept while searching
    at first, doubled until `min_recall` is reached. The others as for `Approximate`. It is built by a single thread,
    since links depend on the order of insertion, and is then the same when built twice on a machine. The index holds a
    second copy of the vectors and the links.
    """

    method: ClassVar[str] = "hnsw"

    M: Count = 16
    efConstruction: Count = 80  # noqa: N815 - as faiss and its papers call it
    efSearch: Count = 64  # noqa: N815

    @stage("Linking near bodies")
    def build(
        self, bodies: UnitVectors, top_k: int, min_cosim: float, queries: UnitVectors | None = None
    ) -> tuple["StoredIndex", dict[str, Any]]:
        """As Approximate says; raises SigjepaError when no `efSearch` gives `min_recall`."""
        import faiss  # noqa: PLC0415 - see above

        n, dim = bodies.matrix.shape
        index = faiss.IndexHNSWFlat(dim, self.M, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = self.efConstruction
        with one_thread():
            index.add(bodies.matrix)
        found = HNSWIndex(index, self.efSearch)
        most = max(found.effort, min(MAX_EF_SEARCH, n))
        recall = self.raise_effort(found, most, bodies, top_k, min_cosim, queries)
        return found, {"method": "hnsw", "M": self.M, "efSearch": found.effort, **recall}

    def open(self, folder: Path, bodies: UnitVectors, record: Mapping[str, Any]) -> NeighborIndex:
        """As Approximate says; `bodies` are within the index."""
        import faiss  # noqa: PLC0415 - see above

        return HNSWIndex(faiss.read_index(str(folder / HNSW_FILE), faiss.IO_FLAG_MMAP_IFC), record["efSearch"])


class StoredIndex(NeighborIndex, Protocol):
    """An approximate index, which can be saved, and the one setting that trades its time for recall."""

    setting: ClassVar[str]
    effort: int

    def save(self, folder: Path) -> None:
        """Write the index, but for its effort, as files of a folder."""


@dataclass
class HNSWIndex:
    """Bodies and their links, in faiss. effort: candidates kept while searching."""

    exact: ClassVar[bool] = False
    setting: ClassVar[str] = "efSearch"

    index: Any
    effort: int

    def save(self, folder: Path) -> None:
        """As StoredIndex says."""
        import faiss  # noqa: PLC0415 - see above

        faiss.write_index(self.index, str(folder / HNSW_FILE))

    def search(self, queries: Matrix, count: int) -> tuple[npt.NDArray[np.float32], Ids]:
        """As NeighborIndex says."""
        import faiss  # noqa: PLC0415 - see above

        faiss.ParameterSpace().set_index_parameter(self.index, self.setting, self.effort)
        scores, rows = self.index.search(queries, count)
        return scores, rows


def recall_of(found: Pairs, exact: Pairs) -> float | None:
    """Share of the exact pairs that were found; another neighbor that is just as near counts, None without pairs.

    Both hold the pairs of the same anchors, with the same limits and exact cosines.
    """
    if not len(exact):
        return None
    lowest = dict(zip(exact.anchor_ids.tolist(), exact.cosim.tolist(), strict=True))  # the last is an anchor's lowest
    hits = sum(
        cosim >= lowest.get(anchor, math.inf)
        for anchor, cosim in zip(found.anchor_ids.tolist(), found.cosim.tolist(), strict=True)
    )
    return hits / len(exact)
