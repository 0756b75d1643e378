"""Exact nearest neighbours of bodies in the teacher's space: the pairs from which hard negatives are judged."""

from collections.abc import Iterable
from dataclasses import dataclass

import faiss
import numpy as np
import numpy.typing as npt

from sigjepa.errors import SigjepaError
from sigjepa.progress import progress

COSIM_DECIMALS = 6
"""Cosines are rounded to what float32 embeddings can carry: 0.80 is then reached inclusively, and the order of ties
is by id on every machine rather than by the last bit of its matrix library."""

_SPARE = 4  # hits beyond those asked for, so that ties at the last place are usually seen whole
_ERROR = 1e-5  # generous bound on what float32 search may be off the exact cosine of unit vectors

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Directed pairs, ordered by anchor, then descending cosine, then neighbor.

    anchor_ids, neighbor_ids: `[P]` int64. cosim: `[P]` float64. highest_cosim: of any two functions, also when it is
    below the threshold; None when there were no two functions.
    """

    anchor_ids: Ids
    neighbor_ids: Ids
    cosim: Floats
    highest_cosim: float | None = None

    def __len__(self) -> int:
        return len(self.anchor_ids)


def nearest_pairs(
    embeddings: npt.NDArray[np.floating],
    ids: Ids,
    *,
    neighbors: int,
    min_cosim: float,
    block_size: int = 512,
) -> Pairs:
    """For each function, up to `neighbors` nearest others whose cosine is at least `min_cosim`; exact, not approximate.

    A function is told from its neighbors by id, never by its place in the result: a byte-identical body ties with
    it, and is a neighbor like any other.

    Args:
        embeddings: `[n, D]` body embeddings, of any length but 0.
        ids: `[n]` their function ids, unique.
        neighbors: most neighbors of an anchor.
        min_cosim: lowest cosine of a pair, inclusive, in [-1, 1].
        block_size: queries per search.

    Raises SigjepaError for arguments out of range, and for NaN, infinite or all-zero vectors, naming the functions.
    """
    if neighbors < 1:
        raise SigjepaError(f"negatives.neighbors must be at least 1, got {neighbors}.")
    if not -1 <= min_cosim <= 1:
        raise SigjepaError(f"negatives.min_cosim must lie within [-1, 1], got {min_cosim}.")
    if embeddings.ndim != 2 or len(embeddings) != len(ids):
        raise SigjepaError(
            f"Embeddings of shape {embeddings.shape} do not fit {len(ids)} function ids; delete the shards' folder and "
            "run `python -m sigjepa.prepare`."
        )
    order = np.argsort(ids, kind="stable")
    ids = np.asarray(ids, dtype=np.int64)[order]
    vectors = _normalized(embeddings[order], ids)
    if len(ids) < 2:
        return Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), None)

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    wanted = min(neighbors + 1 + _SPARE, len(ids))
    anchors, others, cosims = [], [], []
    highest = -1.0
    with progress(None, "Nearest neighbors", total=len(ids), unit="fn") as bar:
        for start in range(0, len(ids), block_size):
            queries = np.arange(start, min(start + block_size, len(ids)))
            approximate, hits = index.search(vectors[queries], wanted)
            rows = np.repeat(queries, wanted)
            columns = hits.ravel()
            # The cut through a tie is arbitrary: such a query is compared with everything that may belong to the tie.
            last, kept = approximate[:, -1], approximate[:, min(neighbors, wanted - 1)]
            tied = queries[(kept - last < _ERROR) & (wanted < len(ids))]
            if len(tied):
                settled = ~np.isin(rows, tied)
                more_rows, more_columns = _all_near(vectors, tied, last[tied - start] - _ERROR)
                rows = np.concatenate([rows[settled], more_rows])
                columns = np.concatenate([columns[settled], more_columns])
            different = rows != columns
            rows, columns = rows[different], columns[different]
            cosim = _cosines(vectors, rows, columns)
            highest = max(highest, float(cosim.max(initial=-1.0)))
            chosen = _first_of_each_row(rows, columns, cosim, neighbors)
            chosen = chosen[cosim[chosen] >= min_cosim]
            anchors.append(ids[rows[chosen]])
            others.append(ids[columns[chosen]])
            cosims.append(cosim[chosen])
            bar.update(len(queries))
    return Pairs(np.concatenate(anchors), np.concatenate(others), np.concatenate(cosims), highest)


def _normalized(embeddings: npt.NDArray[np.floating], ids: Ids) -> npt.NDArray[np.float32]:
    repeated = ids[1:][ids[1:] == ids[:-1]]
    if len(repeated):
        raise SigjepaError(f"Function ids must be unique, but {_naming(repeated)} appear more than once.")
    norms = np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings, dtype=np.float64))
    bad = ids[~np.isfinite(norms) | (norms == 0)]
    if len(bad):
        raise SigjepaError(
            f"The body embeddings of {_naming(bad)} are NaN, infinite or all zero, so they have no cosine; delete the "
            "shards' folder and embed again, in float32 if the teacher overflowed in half precision."
        )
    vectors = np.empty(embeddings.shape, dtype=np.float32)
    return np.divide(embeddings, norms[:, None], out=vectors, casting="same_kind")


def _naming(ids: Iterable[int], most: int = 5) -> str:
    names = [str(i) for i in ids]
    more = f", … ({len(names)} in all)" if len(names) > most else ""
    return f"function{'s' if len(names) > 1 else ''} {', '.join(names[:most])}{more}"


def _all_near(vectors: npt.NDArray[np.float32], queries: Ids, lowest: npt.NDArray[np.float32]) -> tuple[Ids, Ids]:
    """Row and column of every cosine of `queries` that is at least its `lowest`."""
    rows, columns = np.nonzero(vectors[queries] @ vectors.T >= lowest[:, None])
    return queries[rows], columns


def _cosines(vectors: npt.NDArray[np.float32], rows: Ids, columns: Ids, block_size: int = 4096) -> Floats:
    """Cosines of pairs of rows in float64, rounded; the same in both directions and within [-1, 1]."""
    cosines = np.empty(len(rows))
    for start in range(0, len(rows), block_size):
        block = slice(start, start + block_size)
        one, other = vectors[rows[block]].astype(np.float64), vectors[columns[block]].astype(np.float64)
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        cosines[block] = np.einsum("pd,pd->p", one, other) / lengths
    return np.clip(np.round(cosines, COSIM_DECIMALS), -1.0, 1.0)


def _first_of_each_row(rows: Ids, columns: Ids, cosim: Floats, count: int) -> Ids:
    """Positions of the `count` best entries of each row, in the order of `Pairs`; columns ascend with ids."""
    order = np.lexsort((columns, -cosim, rows))
    rows = rows[order]
    starts = np.searchsorted(rows, rows)  # where each entry's row begins
    return order[np.arange(len(rows)) - starts < count]
