"""The corpus: functions with their split and tier, as rows of the files in `functions.parquet`."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from sigjepa.corpus.split import SPLITS, TIERS
from sigjepa.corpus.summary import summary_text, summed
from sigjepa.errors import SigjepaError, StorageError, nearest_name
from sigjepa.store.artifact import OpenedArtifact
from sigjepa.store.files import read_errors
from sigjepa.store.manifest import Reference, damaged

FUNCTIONS_FOLDER = "functions.parquet"
"""A dataset of several files, which pandas, pyarrow and others read by the folder's name."""
ROWS_PER_FILE = 1 << 17
ROWS_AT_ONCE = 1 << 13
"""Rows of a row group, and of what is held as Python objects."""
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
    """Functions with their split and tier.

    The id of a function is its position, 0 to n-1, in this corpus. Its key, a hash of its signature and body, is the
    same in every corpus: a repository that is added leaves it as it was, and may move ids, splits and tiers.
    """

    @property
    def hash(self) -> str:
        """Content hash of all rows, equal wherever the same functions got the same splits and tiers."""
        return str(self.manifest.facts["hash"])

    @property
    def undivided(self) -> Reference:
        """The corpus that has the same functions under the same ids: this one, or the one that it is a fold of."""
        return self.manifest.upstream.get("corpus", self.reference)

    def check_same_functions(self, artifact: OpenedArtifact) -> None:
        """Raise SigjepaError for shards, or a lexicon, of other functions: their rows would be taken for these."""
        if artifact.manifest.inputs["corpus"] != self.undivided.content:
            raise SigjepaError(
                f"{artifact.folder} is of the corpus {artifact.manifest.inputs['corpus']}, not of "
                f"{self.undivided.content} in {self.folder}; `python -m sigjepa.prepare` builds the right one."
            )

    def __len__(self) -> int:
        return int(self.manifest.facts["functions"])

    def tables(self, columns: Sequence[str] | None = None, rows: slice = slice(None)) -> Iterator[pa.Table]:
        """Yield some columns (None: all) of a range of functions, by id, in blocks that are read one by one.

        Raises SigjepaError naming the file that is no table of functions.
        """
        first, last, _ = rows.indices(len(self))
        return tables_in(self.folder, first, last, columns)

    def ids(self, split: str | None = None, tiers: Sequence[str] | None = None) -> npt.NDArray[np.int64]:
        """Return the ids of the functions of a split and of some tiers, ascending `[n]`; None stands for all."""
        if split is not None:
            check_known(split, SPLITS, "split")
        for tier in tiers or ():
            check_known(tier, TIERS, "tier")
        chosen = [np.zeros(0, dtype=bool)]
        for table in self.tables(["split", "tier"]):
            of_split = among(table["split"], SPLITS if split is None else [split])
            chosen.append(of_split & among(table["tier"], TIERS if tiers is None else tiers))
        return np.flatnonzero(np.concatenate(chosen)).astype(np.int64)

    def column(self, name: str, rows: slice = slice(None)) -> list[Any]:
        """Return one column of all functions, or of a range of them, by id."""
        return list(self.values(name, rows))

    def values(self, name: str, rows: slice = slice(None)) -> Iterator[Any]:
        """Yield the values of a column one by one: memory holds those of a block."""
        check_known(name, SCHEMA.names, "column")
        for table in self.tables([name], rows):
            yield from table.column(name).to_pylist()

    def summary_table(self, repositories: int | None = SUMMARY_REPOSITORIES) -> str:
        """Return the functions by split, tier and repository, lengths, and what was skipped and why.

        The largest `repositories` are listed, or all when it is None.
        """
        counted = summed(self.tables())
        return summary_text(counted, self.manifest.facts, self.manifest.inputs["split_shares"], repositories)


def among(column: pa.ChunkedArray, values: Collection[str]) -> npt.NDArray[np.bool_]:
    """Return which rows of a column have one of some values `[n]`.

    By dictionary codes, read over DLPack: to take values of Python, and for `to_numpy`, pyarrow imports pandas, half a
    second.
    """
    coded = column.combine_chunks().dictionary_encode()
    wanted = np.array([value in values for value in coded.dictionary.to_pylist()], dtype=bool)
    rows: npt.NDArray[np.bool_] = wanted[np.from_dlpack(coded.indices)]
    return rows


def tables_in(folder: Path, first: int, last: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield some columns of the rows from `first` to before `last` of the corpus in a folder, in blocks.

    Raises SigjepaError naming the file that is no table of functions.
    """
    for number in range(first // ROWS_PER_FILE, -(-last // ROWS_PER_FILE)):
        with open_parquet(folder / FUNCTIONS_FOLDER / f"{number:05}.parquet", folder) as file:
            for group in range(file.num_row_groups):
                start = number * ROWS_PER_FILE + group * ROWS_AT_ONCE
                if start < last and first < start + ROWS_AT_ONCE:
                    here = max(first - start, 0)
                    yield file.read_row_group(group, columns=columns).slice(here, last - start - here)


@contextmanager
def open_parquet(path: Path, folder: Path) -> Iterator[pq.ParquetFile]:
    """A file of functions of the artifact in `folder`; raises SigjepaError naming it where it is none."""
    try:
        with read_errors(path), pq.ParquetFile(path) as file:
            if file.schema_arrow.names != SCHEMA.names:
                raise damaged(path, f"has columns {file.schema_arrow.names}, not {SCHEMA.names}", folder)
            yield file
    except StorageError:
        raise
    except (pa.ArrowInvalid, OSError) as error:
        raise damaged(path, f"cannot be read as parquet ({error})", folder) from None


def write_functions(tables: Iterable[pa.Table], folder: Path) -> str:
    """Write the rows in order into files of ROWS_PER_FILE rows, and return their hash.

    It is `xxh3_128:<hex>` of all values row by row: of the content, not of how a version of pyarrow packs it.
    """
    digest, rows = xxhash.xxh3_128(), 0
    waiting = SCHEMA.empty_table()
    folder.mkdir()

    def write(table: pa.Table, number: int) -> None:
        whole = table.combine_chunks()  # parquet's pages would tell how the rows came
        pq.write_table(whole, folder / f"{number:05}.parquet", row_group_size=ROWS_AT_ONCE, compression="zstd")

    for table in tables:
        for batch in table.to_batches(max_chunksize=ROWS_AT_ONCE):
            for row in zip(*(batch.column(name).to_pylist() for name in SCHEMA.names), strict=True):
                digest.update(ascii(row).encode())  # what repr() escapes depends on Python's Unicode version
        waiting = pa.concat_tables([waiting, table])
        while len(waiting) >= ROWS_PER_FILE:
            write(waiting.slice(0, ROWS_PER_FILE), rows)
            waiting, rows = waiting.slice(ROWS_PER_FILE), rows + 1
    if len(waiting) or not rows:
        write(waiting, rows)
    return f"xxh3_128:{digest.hexdigest()}"


def check_known(name: str, known: Sequence[str], kind: str) -> None:
    """Raise SigjepaError that offers the nearest known name."""
    if name not in known:
        raise SigjepaError(f"A corpus has no {kind} '{name}'.{nearest_name(name, known)} Known: {', '.join(known)}.")
