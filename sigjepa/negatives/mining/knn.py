"""Nearest neighbors in the teacher's space, block by block: the pairs from which hard negatives are judged."""

import numpy as np
import numpy.typing as npt

from sigjepa.negatives.mining.exact import NeighborIndex
from sigjepa.negatives.mining.pairs import Pairs
from sigjepa.negatives.mining.vectors import Ids, Matrix, UnitVectors, parts, rounded_cosines
from sigjepa.store.progress import progress

BLOCK_SIZE = 4096
"""Anchors in a block: as many as faiss takes at once; with fewer, threads wait for each other on a busy machine."""

_SPARE = 4  # hits beyond those asked for, so that ties at the last place are usually seen whole
_ERROR = 1e-5  # generous bound on what float32 search may be off the exact cosine of unit vectors


def nearest_pairs(
    anchors: UnitVectors,
    bodies: UnitVectors,
    index: NeighborIndex,
    top_k: int,
    min_cosim: float,
    block_size: int = BLOCK_SIZE,
) -> Pairs:
    """Return for each anchor up to `top_k` nearest `bodies`, n >= 1, whose cosine is at least `min_cosim`.

    An anchor is told from its neighbors by id, never by its place in the result: a byte-identical body ties with it,
    and is a neighbor like any other. Beside the vectors, memory holds the pairs of one block, and some 100 MB at most
    of working matrices, whatever n is.

    Args:
        anchors: what is searched for: `bodies` themselves, or others, such as a student's predictions.
        index: holds `bodies`.
        top_k: most neighbors of an anchor, at least 1.
        min_cosim: lowest cosine of a pair, inclusive, in [-1, 1].
        block_size: anchors in a block.
    """
    blocks = []
    with progress(None, "nearest neighbors", total=len(anchors), unit="function") as bar:
        for start in range(0, len(anchors), block_size):
            block = np.arange(start, min(start + block_size, len(anchors)))
            blocks.append(block_pairs(block, anchors, bodies, index, top_k, min_cosim))
            bar.update(len(block))
    return Pairs.joined(blocks)


def block_pairs(
    block: Ids, anchors: UnitVectors, bodies: UnitVectors, index: NeighborIndex, top_k: int, min_cosim: float
) -> Pairs:
    """Return the pairs of the anchors in rows `block` with `bodies`, which `index` holds, by their exact cosines."""
    wanted = min(top_k + 1 + _SPARE, len(bodies))
    scores, hits = index.search(anchors.matrix[block], wanted)
    rows, columns, rough = np.repeat(block, wanted), hits.ravel(), scores.ravel()
    different = (columns >= 0) & (anchors.ids[rows] != bodies.ids[columns])
    # What is below both the threshold and the highest cosine is neither a pair nor the highest.
    floor = min(min_cosim, float(rough[different].max(initial=-1.0))) - 2 * _ERROR
    last, kept = scores[:, -1], scores[:, min(top_k, wanted - 1)]
    # The cut through a tie is arbitrary: such a query is compared with everything that may belong to the tie.
    cut = (kept - last < _ERROR) & (last >= floor) & (index.exact and wanted < len(bodies))
    chosen = different & (rough >= floor) & ~np.repeat(cut, wanted)
    found = [_nearest_of(anchors, bodies, rows[chosen], columns[chosen], top_k, min_cosim)]
    tied, lowest = block[cut], last[cut] - _ERROR
    for part in parts(len(tied), len(bodies)):
        tied_rows, tied_columns = _all_near(anchors.matrix, bodies.matrix, tied[part], lowest[part])
        other = anchors.ids[tied_rows] != bodies.ids[tied_columns]
        found.append(_nearest_of(anchors, bodies, tied_rows[other], tied_columns[other], top_k, min_cosim))
    pairs = Pairs.joined(found)
    if not len(tied):
        return pairs
    order = np.argsort(pairs.anchor_ids, kind="stable")  # an anchor's own pairs are in order, and in one part
    return Pairs(pairs.anchor_ids[order], pairs.neighbor_ids[order], pairs.cosim[order], pairs.highest_cosim)


def _all_near(queries: Matrix, vectors: Matrix, tied: Ids, lowest: npt.NDArray[np.float32]) -> tuple[Ids, Ids]:
    """Return the row and column of every cosine of the `tied` queries that is at least its `lowest`."""
    rows, columns = np.nonzero(queries[tied] @ vectors.T >= lowest[:, None])
    return tied[rows], columns


def _nearest_of(
    anchors: UnitVectors, bodies: UnitVectors, rows: Ids, columns: Ids, top_k: int, min_cosim: float
) -> Pairs:
    """Return the `top_k` best of each row's candidates, scored exactly; columns ascend with ids."""
    cosim = rounded_cosines(anchors.matrix, bodies.matrix, rows, columns)
    order = np.lexsort((columns, -cosim, rows))
    ordered = rows[order]
    starts = np.searchsorted(ordered, ordered)  # where each entry's row begins
    chosen = order[np.arange(len(ordered)) - starts < top_k]
    chosen = chosen[cosim[chosen] >= min_cosim]
    highest = float(cosim.max()) if len(cosim) else None
    return Pairs(anchors.ids[rows[chosen]], bodies.ids[columns[chosen]], cosim[chosen], highest)
