"""The corpus: functions with their split and tier, as rows of `functions.parquet`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from sigjepa.corpus.functions import Function
from sigjepa.corpus.split import SPLITS, TIERS
from sigjepa.corpus.summary import summary_text
from sigjepa.errors import SigjepaError, StorageError, nearest_name
from sigjepa.store.artifact import OpenedArtifact
from sigjepa.store.files import read_errors
from sigjepa.store.manifest import Reference, damaged

FUNCTIONS_FILE = "functions.parquet"
SUMMARY_REPOSITORIES = 20

SCHEMA = pa.schema(
    {
        "id": pa.int64(),
        "key": pa.string(),
        "repository": pa.string(),
        "path": pa.string(),
        "qualname": pa.string(),
        "line": pa.int64(),
        "signature": pa.string(),
        "docstring": pa.string(),
        "body": pa.string(),
        "tier": pa.string(),
        "split": pa.string(),
    }
)


class Corpus(OpenedArtifact):
    """Functions with their split and tier; the id of a function is its position, 0 to n-1."""

    @cached_property
    def table(self) -> pa.Table:
        """All rows; raises SigjepaError naming the file when it is no table of functions."""
        file = self.folder / FUNCTIONS_FILE
        try:
            with read_errors(file):
                table = pq.read_table(file)
        except StorageError:
            raise
        except (pa.ArrowInvalid, OSError) as error:
            raise damaged(file, f"cannot be read as parquet ({error})", self.folder) from None
        if table.schema.names != SCHEMA.names:
            raise damaged(file, f"has columns {table.schema.names}, not {SCHEMA.names}", self.folder)
        return table

    @property
    def hash(self) -> str:
        """Content hash of all rows, equal wherever the same functions got the same splits and tiers."""
        return str(self.manifest.facts["hash"])

    @property
    def undivided(self) -> Reference:
        """The corpus that has the same functions under the same ids: this one, or the one that it is a fold of."""
        return self.manifest.upstream.get("corpus", self.reference)

    def __len__(self) -> int:
        return self.table.num_rows

    def ids(self, split: str | None = None, tiers: Sequence[str] | None = None) -> npt.NDArray[np.int64]:
        """Return the ids of the functions of a split and of some tiers, ascending `[n]`; None stands for all."""
        chosen = np.ones(len(self), dtype=bool)
        if split is not None:
            check_known(split, SPLITS, "split")
            chosen &= np.asarray(self.column("split")) == split
        if tiers is not None:
            for tier in tiers:
                check_known(tier, TIERS, "tier")
            chosen &= np.isin(np.asarray(self.column("tier")), list(tiers))
        return np.flatnonzero(chosen).astype(np.int64)

    def column(self, name: str) -> list[Any]:
        """Return one column of all functions, by id."""
        check_known(name, SCHEMA.names, "column")
        return list(self.table.column(name).to_pylist())

    def summary_table(self, repositories: int | None = SUMMARY_REPOSITORIES) -> str:
        """Return the functions by split, tier and repository, lengths, and what was skipped and why.

        The largest `repositories` are listed, or all when it is None.
        """
        columns = {name: self.column(name) for name in SCHEMA.names}
        return summary_text(columns, self.manifest.facts, self.manifest.inputs["split_shares"], repositories)


def functions_table(functions: Sequence[Function], tiers: Mapping[str, str], splits: Mapping[str, str]) -> pa.Table:
    """Return the rows in the order given, with the tier and split of their repositories."""
    rows = [
        asdict(function)
        | {
            "id": position,
            "key": function.key,
            "tier": tiers[function.repository],
            "split": splits[function.repository],
        }
        for position, function in enumerate(functions)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def content_hash(table: pa.Table) -> str:
    """Return `xxh3_128:<hex>` of all values row by row: of the content, not of how a version of pyarrow packs it."""
    digest = xxhash.xxh3_128()
    for row in zip(*(table.column(name).to_pylist() for name in SCHEMA.names), strict=True):
        digest.update(ascii(row).encode())  # what repr() escapes depends on Python's Unicode version
    return f"xxh3_128:{digest.hexdigest()}"


def check_known(name: str, known: Sequence[str], kind: str) -> None:
    """Raise SigjepaError that offers the nearest known name."""
    if name not in known:
        raise SigjepaError(f"A corpus has no {kind} '{name}'.{nearest_name(name, known)} Known: {', '.join(known)}.")
