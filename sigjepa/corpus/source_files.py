"""The source files that a corpus was read from, each with the digest of the bytes that were parsed."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sigjepa.errors import SigjepaError, StorageError
from sigjepa.store.files import read_errors

SOURCES_FILE = "sources.parquet"
SCHEMA = pa.schema(
    {
        "repository": pa.string(),
        "path": pa.string(),
        "digest": pa.string(),
        "bytes": pa.int64(),
        "place": pa.string(),
    }
)

ROWS_AT_ONCE = 1 << 17
"""Rows that are read and written together, some 30 MB."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file that was read: `place` is where its repository lay on the machine that read it."""

    repository: str
    path: str
    digest: str
    bytes: int
    place: str


def content_digest(content: bytes) -> str:
    """Return `sha256:<hex>` of a source file, which `sha256sum` gives as well."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def write_sources(path: Path, files: Iterable[SourceFile]) -> None:
    """Write the files in order of repository and path."""
    rows = [asdict(file) for file in sorted(files, key=attrgetter("repository", "path", "digest"))]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path, compression="zstd")


def join_sources(path: Path, lists: Iterable[Path]) -> None:
    """Write one list of what several hold, one behind another; the bytes do not tell how they were divided."""
    waiting = SCHEMA.empty_table()
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for each in lists:
            waiting = pa.concat_tables([waiting, pq.read_table(each, schema=SCHEMA)]).combine_chunks()
            while len(waiting) >= ROWS_AT_ONCE:
                writer.write_table(waiting.slice(0, ROWS_AT_ONCE))
                waiting = waiting.slice(ROWS_AT_ONCE)
        writer.write_table(waiting)


def read_sources(path: Path) -> list[SourceFile]:
    """Return the files of a corpus; raises SigjepaError naming the file when it is missing or no table of them."""
    try:
        with read_errors(path):
            rows = pq.read_table(path, schema=SCHEMA).to_pylist()
        return [SourceFile(**row) for row in rows]
    except StorageError:
        raise
    except (pa.ArrowException, OSError, TypeError) as error:
        raise SigjepaError(f"{path} cannot be read as the list of a corpus' source files ({error}).") from None
