"""Terms: words and names by their hashes, in a row for each function, and as sparse matrices."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np
import xxhash
from scipy import sparse

log = logging.getLogger(__name__)

MAX_COLUMNS = 1 << 22
"""Columns of a matrix: a number of eight bytes for each of so many terms still fits into any memory."""


_texts: ContextVar[dict[int, str] | None] = ContextVar("texts of terms", default=None)


@contextmanager
def recorded_terms() -> Iterator[dict[int, str]]:
    """Yield the texts of all terms that are hashed while this lasts, by their hash as int64: a hash has none itself."""
    texts: dict[int, str] = {}
    token = _texts.set(texts)
    try:
        yield texts
    finally:
        _texts.reset(token)


def term_hash(term: str) -> int:
    """Return the 64 bits that stand for a term: one that no function had before has an identity of its own, too."""
    value = xxhash.xxh3_64_intdigest(term.encode("utf-8", "surrogatepass"))
    if (texts := _texts.get()) is not None:
        texts[value - (value >> 63 << 64)] = term
    return value


@dataclass(frozen=True)
class TermTable:
    """The terms of n functions, those of function i in the rows from `offsets[i]` to `offsets[i + 1]`.

    offsets: `[n + 1]` int64. terms: `[m]` uint64, hashes. values: `[m, k]` int32, what is counted of each term.
    """

    offsets: np.ndarray
    terms: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, functions: Sequence[Iterable[tuple[str, Sequence[int]]]], width: int) -> "TermTable":
        """Return the table of the terms of each function, with their `width` values."""
        rows = [list(function) for function in functions]
        offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        terms = np.fromiter((term_hash(term) for row in rows for term, _ in row), np.uint64, offsets[-1])
        values = np.array([values for row in rows for _, values in row], np.int32).reshape(len(terms), width)
        return cls(offsets, terms, values)

    @classmethod
    def counted(cls, functions: Iterable[Iterable[str]]) -> "TermTable":
        """Return the table of how often each function has each of its terms, in the order of first occurrence.

        functions: iterables of terms, or counts of them.
        """
        return cls.of([[(term, (count,)) for term, count in Counter(terms).items()] for terms in functions], 1)

    @classmethod
    def concatenate(cls, tables: Sequence["TermTable"]) -> "TermTable":
        """Return one table of the functions of all `tables`, in order; there is at least one."""
        lengths = np.concatenate([np.diff(table.offsets) for table in tables])
        terms, values = (np.concatenate([getattr(table, name) for table in tables]) for name in ("terms", "values"))
        return cls(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), terms, values)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def functions(self) -> np.ndarray:
        """The position of each term's function `[m]`."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def take(self, functions: np.ndarray) -> "TermTable":
        """Return the table of some functions `[p]`, in the order given."""
        lengths = np.diff(self.offsets)[functions]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][functions] - offsets[:-1], lengths)
        return TermTable(offsets, self.terms[rows], self.values[rows])

    def matrix(self, vocabulary: "Vocabulary", values: np.ndarray) -> sparse.csr_array:
        """Return `[n, columns]` float32: a value `[m]` for each term; those of one column add up, zeros are omitted."""
        shape = (len(self), vocabulary.size)
        columns = vocabulary.columns(self.terms)
        # a copy: what is omitted moves the offsets in place
        matrix = sparse.csr_array((values.astype(np.float32), columns, self.offsets.copy()), shape=shape)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        return matrix


@dataclass(frozen=True)
class Vocabulary:
    """A column for each term.

    hashes: those of all terms, ascending. size: of columns. shared: how many terms have their column with another:
    none, unless there are more terms than columns allowed.
    """

    hashes: np.ndarray
    size: int
    shared: int = 0

    @classmethod
    def of(cls, tables: Iterable[TermTable], max_columns: int = MAX_COLUMNS) -> "Vocabulary":
        """Return the columns of all terms of the tables; beyond `max_columns` terms, some share columns, by their hash.

        How many do is logged.
        """
        hashes = np.unique(np.concatenate([np.empty(0, np.uint64), *(table.terms for table in tables)]))
        if len(hashes) <= max_columns:
            return cls(hashes, len(hashes))
        _, counts = np.unique(hashes % np.uint64(max_columns), return_counts=True)
        shared = int(counts[counts > 1].sum())
        log.warning(
            "The functions have %d terms, and %d columns are allowed: %d terms share one with another.",
            len(hashes),
            max_columns,
            shared,
        )
        return cls(hashes, max_columns, shared)

    def columns(self, terms: np.ndarray) -> np.ndarray:
        """Return the column of each of some terms `[m]`; raises ValueError for one that is not of the vocabulary."""
        found = np.searchsorted(self.hashes, terms)
        if (found == len(self.hashes)).any() or (self.hashes[found] != terms).any():
            raise ValueError("A term is not of the vocabulary; build it of all tables that it is for.")
        if len(self.hashes) > self.size:
            return (terms % np.uint64(self.size)).astype(np.int64)
        return found
