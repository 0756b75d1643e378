"""The file of mined pairs: written block by block as they are found, and continued where it was cut off."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sigjepa.negatives.mining.knn import Pairs
from sigjepa.negatives.mining.vectors import Ids
from sigjepa.progress import progress


@dataclass(frozen=True, slots=True)
class Written:
    """What a file of pairs holds.

    anchors: how many, from the first on, are done. pairs: lines of the file. highest_cosim: as in `Pairs`.
    """

    anchors: int = 0
    pairs: int = 0
    highest_cosim: float | None = None

    def after(self, block: Pairs, anchors: int) -> "Written":
        """With one more block, which ends before anchor `anchors`."""
        known = [cosim for cosim in (self.highest_cosim, block.highest_cosim) if cosim is not None]
        return Written(anchors, self.pairs + len(block), max(known, default=None))


def unfinished(path: Path, ids: Ids, block_size: int) -> Written:
    """What an interrupted job left in `path`, cut back to the last block that is surely whole.

    The block of the last anchor may lack pairs, so it is dropped and searched again; all anchors before it are done,
    those without a pair too. The highest cosine is that of the pairs that are kept: below the threshold it matters only
    while there is no pair, and then everything is searched again. Dropped, too, is all from the first line on that is
    torn, damaged or out of order.

    Args:
        path: the file; it need not exist.
        ids: `[n]` ids of the anchors, ascending.
        block_size: anchors in a block, from the first anchor on.
    """
    if not path.exists():
        return Written()
    last_row, offset, pairs, highest = -1, 0, 0, -1.0
    whole, whole_offset = Written(), 0
    with path.open("rb") as stream:
        for line in stream:
            parsed = _parsed(line, ids)
            if parsed is None or parsed[0] < last_row:
                break
            row, cosim = parsed
            first = row - row % block_size
            if first > last_row:  # the first line of a later block: what is before it is whole
                whole, whole_offset = Written(first, pairs, highest if pairs else None), offset
            last_row, offset, pairs, highest = row, offset + len(line), pairs + 1, max(highest, cosim)
    with path.open("rb+") as stream:
        stream.truncate(whole_offset)
    return whole


def append_blocks(
    path: Path, blocks: Callable[[int], Iterator[Pairs]], done: Written, anchors: int, block_size: int
) -> Written:
    """Append the blocks from anchor `done.anchors` on, of `anchors` in all, each written out before the next is found.

    `blocks(first)` yields the pairs of each `block_size` anchors from row `first` on. Returns what the file then holds.
    """
    with path.open("ab") as stream:
        for block in blocks(done.anchors):
            stream.write(_lines(block))
            stream.flush()
            done = done.after(block, min(done.anchors + block_size, anchors))
    return done


def read_pairs(path: Path, highest_cosim: float | None) -> Pairs:
    """The pairs of a finished file."""
    anchors, neighbors, cosims = [], [], []
    with path.open(encoding="utf-8") as stream:
        for text in progress(stream, "Reading mined pairs", unit="pair"):
            line = json.loads(text)
            anchors.append(line["anchor_id"])
            neighbors.append(line["neighbor_id"])
            cosims.append(line["cosim"])
    return Pairs(
        np.array(anchors, np.int64), np.array(neighbors, np.int64), np.array(cosims, np.float64), highest_cosim
    )


def _lines(pairs: Pairs) -> bytes:
    columns = (pairs.anchor_ids.tolist(), pairs.neighbor_ids.tolist(), pairs.cosim.tolist())
    return "".join(
        json.dumps({"anchor_id": anchor, "neighbor_id": neighbor, "cosim": cosim}) + "\n"
        for anchor, neighbor, cosim in zip(*columns, strict=True)
    ).encode()


def _parsed(line: bytes, ids: Ids) -> tuple[int, float] | None:
    """Row of the anchor, and cosine; None for a line that is not whole."""
    if not line.endswith(b"\n"):
        return None
    try:
        values = json.loads(line)
        anchor, cosim = int(values["anchor_id"]), float(values["cosim"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    row = int(np.searchsorted(ids, anchor))
    return (row, cosim) if row < len(ids) and ids[row] == anchor else None
