"""Mined pairs: which functions the teacher puts close together, before anyone has judged them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sigjepa.negatives.mining.vectors import Floats, Ids
from sigjepa.store.manifest import Manifest

COLUMNS = ("anchor_id", "neighbor_id", "cosim")


@dataclass(frozen=True, slots=True)
class Pairs:
    """Directed pairs, ordered by anchor, then descending cosine, then neighbor.

    anchor_ids, neighbor_ids: `[P]` int64. cosim: `[P]` float64. highest_cosim: of any two functions, also when it is
    below the threshold; None when there were no two functions. manifest: of the artifact that they were opened from.
    """

    anchor_ids: Ids
    neighbor_ids: Ids
    cosim: Floats
    highest_cosim: float | None = None
    manifest: Manifest | None = None

    def __len__(self) -> int:
        return len(self.anchor_ids)

    @property
    def columns(self) -> tuple[Ids, Ids, Floats]:
        """The columns that files hold."""
        return self.anchor_ids, self.neighbor_ids, self.cosim

    def take(self, rows: Ids) -> "Pairs":
        """Return the pairs in `rows`, in their order."""
        return Pairs(self.anchor_ids[rows], self.neighbor_ids[rows], self.cosim[rows])

    @classmethod
    def joined(cls, blocks: "Sequence[Pairs]") -> "Pairs":
        """Return the pairs of all blocks, in their order."""
        return cls(
            np.concatenate([np.empty(0, np.int64), *(block.anchor_ids for block in blocks)]),
            np.concatenate([np.empty(0, np.int64), *(block.neighbor_ids for block in blocks)]),
            np.concatenate([np.empty(0), *(block.cosim for block in blocks)]),
            max((block.highest_cosim for block in blocks if block.highest_cosim is not None), default=None),
        )

    def write(self, path: Path) -> None:
        """Write the three columns as parquet."""
        pq.write_table(pa.table(dict(zip(COLUMNS, self.columns, strict=True))), path, compression="zstd")

    @classmethod
    def read(cls, files: Sequence[Path], highest_cosim: float | None, manifest: Manifest) -> "Pairs":
        """Return the pairs of all files, in their order."""
        table = pa.concat_tables([pq.read_table(file, columns=list(COLUMNS)) for file in files])
        anchors, neighbors, cosim = (table.column(name).to_numpy() for name in COLUMNS)
        return cls(anchors, neighbors, cosim, highest_cosim, manifest)
