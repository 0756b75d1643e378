"""The file of mined pairs: written block by block as they are found, and continued where it was cut off."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import xxhash

from sigjepa.errors import SigjepaError
from sigjepa.negatives.mining.knn import Pairs
from sigjepa.store.artifacts import SEAL, damaged, read_manifest, write_manifest
from sigjepa.store.progress import progress

NOTES = ("anchors", "pairs", "highest_cosim", "bytes", "digest", SEAL)


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


def unfinished(path: Path) -> Written:
    """What an interrupted job left in `path`, cut back to the last block that its notes vouch for.

    Without notes, or with others than those of this very content, nothing is kept: a number that was altered could not
    be told from one that was mined.
    """
    try:
        notes = read_manifest(notes_path(path), NOTES)
        if not all(isinstance(notes[name], int) and notes[name] >= 0 for name in ("anchors", "pairs", "bytes")):
            raise damaged(notes_path(path), "holds what mining does not write")
        content = path.read_bytes()[: notes["bytes"]]
        if xxhash.xxh3_128_hexdigest(content) != notes["digest"]:
            raise damaged(path, "was altered after it was mined")
    except (FileNotFoundError, SigjepaError):
        notes = {"anchors": 0, "pairs": 0, "highest_cosim": None, "bytes": 0}
    if path.exists():
        os.truncate(path, notes["bytes"])
    return Written(notes["anchors"], notes["pairs"], notes["highest_cosim"])


def append_blocks(
    path: Path, blocks: Callable[[int], Iterator[Pairs]], done: Written, anchors: int, block_size: int
) -> Written:
    """Append the blocks from anchor `done.anchors` on, of `anchors` in all, each written out before the next is found.

    `blocks(first)` yields the pairs of each `block_size` anchors from row `first` on. Returns what the file then holds.
    """
    with path.open("ab+") as stream:
        stream.seek(0)
        digest = xxhash.xxh3_128(stream.read())
        for block in blocks(done.anchors) if done.anchors < anchors else ():
            content = _lines(block)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            digest.update(content)
            done = done.after(block, min(done.anchors + block_size, anchors))
            write_manifest(notes_path(path), asdict(done) | {"bytes": stream.tell(), "digest": digest.hexdigest()})
    return done


def notes_path(path: Path) -> Path:
    """Where it stands how much of a file of pairs is done, until its manifest vouches for all of it."""
    return path.with_name(f"{path.name}.notes.json")


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
