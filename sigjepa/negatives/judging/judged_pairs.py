"""Judged pairs: mined pairs with a score each, the record from which every filter starts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sigjepa.negatives.mining.vectors import Floats, Ids
from sigjepa.store.manifest import Manifest

SCHEMA = pa.schema(
    {
        **dict.fromkeys(("anchor_id", "neighbor_id"), pa.int64()),
        **{"cosim": pa.float64(), "score_c": pa.int8(), "reason": pa.string()},
    }
)


@dataclass(frozen=True, eq=False)
class JudgedPairs:
    """Directed pairs with their scores, ordered by anchor, then descending cosine, then neighbor.

    anchor_ids, neighbor_ids: `[P]` int64. cosim: `[P]` float64. score_c: `[P]` int8, see `SCORES`. judge: who scored
    them. reasons: `P` strings. manifest: of the artifact that they were opened from.
    """

    anchor_ids: Ids
    neighbor_ids: Ids
    cosim: Floats
    score_c: npt.NDArray[np.int8]
    judge: str
    reasons: Sequence[str]
    manifest: Manifest | None = None

    def __len__(self) -> int:
        return len(self.anchor_ids)

    def take(self, rows: Ids) -> "JudgedPairs":
        """Return the pairs in `rows`, in their order."""
        return JudgedPairs(
            self.anchor_ids[rows],
            self.neighbor_ids[rows],
            self.cosim[rows],
            self.score_c[rows],
            self.judge,
            [self.reasons[row] for row in rows.tolist()],
            self.manifest,
        )

    def ordered(self) -> "JudgedPairs":
        """Return the pairs by anchor, then descending cosine, then neighbor."""
        return self.take(np.lexsort((self.neighbor_ids, -self.cosim, self.anchor_ids)))

    def among(self, ids: Ids) -> "JudgedPairs":
        """Return the pairs both of whose functions are among `ids`."""
        return self.take(np.flatnonzero(np.isin(self.anchor_ids, ids) & np.isin(self.neighbor_ids, ids)))

    def write(self, path: Path) -> None:
        """Write all columns as parquet; the judge is not among them."""
        columns = (self.anchor_ids, self.neighbor_ids, self.cosim, self.score_c, self.reasons)
        write_tables([pa.table(columns, schema=SCHEMA)], path)

    @classmethod
    def read(cls, path: Path, judge: str, manifest: Manifest | None = None) -> "JudgedPairs":
        """Return the pairs that `judge` scored."""
        return cls.of(pq.read_table(path, columns=SCHEMA.names), judge, manifest)

    @classmethod
    def of(cls, table: pa.Table, judge: str, manifest: Manifest | None = None) -> "JudgedPairs":
        """Return the pairs in a table."""
        *numbers, reasons = table.columns
        anchors, neighbors, cosim, scores = (column.to_numpy() for column in numbers)
        return cls(anchors, neighbors, cosim, scores, judge, reasons.to_pylist(), manifest)


def write_tables(tables: Iterable[pa.Table], path: Path) -> int:
    """Write tables of pairs as one parquet file, and return the number of pairs."""
    count = 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)
            count += len(table)
    return count
