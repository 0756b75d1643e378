"""A part of an index, memory-mapped: the dense views of some bodies in a matrix, the sparse ones in an inverted index.

All dense views stand side by side in one matrix, and all sparse views in one matrix whose columns are their terms, so
that a query is two products.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csc_array, csr_array
from torch import Tensor

from sigjepa.data.views import TermRows, Views

ARRAYS = (
    *("dense", "constants", "view_starts", "terms", "indptr", "rows", "values"),
    *("hashes", "texts", "text_starts", "file_keys", "file_starts"),
)
"""Names of the files; what each holds is in `IndexPart`."""


@dataclass(frozen=True)
class ViewLayout:
    """The place of a view in a part.

    width: of a dense one, None for a sparse one. constants: whether bodies have constants. values: how many a term of a
    sparse one has; each is a view of its own here.
    """

    name: str
    width: int | None
    constants: bool
    values: int = 1


@dataclass(frozen=True)
class Block:
    """The views of n bodies of one file, as they go into a part.

    dense: `[n, D]`. constants: `[n, C]`. rows, views, terms, values: `[m]` of the sparse views, a row for each value
    of a term that is not 0.
    """

    dense: np.ndarray
    constants: np.ndarray
    rows: np.ndarray
    views: np.ndarray
    terms: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, views: Views) -> "Block":
        """Return the block of the views of bodies."""
        layout = layout_of(views)
        size = len(next(iter(views.values())))
        dense = [_array(views[each.name].vectors) for each in layout if each.width is not None]
        constants = [_array(views[each.name].constants)[:, None] for each in layout if each.constants]
        tables = [views[each.name].vectors for each in layout if each.width is None]
        entries: list[tuple[np.ndarray, ...]] = []
        for each in tables:
            assert isinstance(each, TermRows), "a view without a width is sparse"
            for values in term_values(each).T:
                place, used = len(entries), values != 0
                rows, terms = _array(each.rows)[used], _array(each.terms)[used]
                entries.append((rows, np.full(len(rows), place), terms, values[used]))
        empty = [np.empty(0, kind) for kind in (np.int64, np.int64, np.int64, np.float32)]
        return cls(
            np.concatenate([np.empty((size, 0), np.float32), *dense], axis=1, dtype=np.float32),
            np.concatenate([np.empty((size, 0), np.float32), *constants], axis=1, dtype=np.float32),
            *(np.concatenate(columns) for columns in zip(empty, *entries, strict=True)),
        )


def term_values(table: TermRows) -> np.ndarray:
    """Return the values of terms `[m, k]` in single precision; k is 1 for `[m]`."""
    values = _array(table.values).astype(np.float32)
    return values[:, None] if values.ndim == 1 else values


def _array(tensor: Tensor | Any) -> np.ndarray:
    array: np.ndarray = tensor.detach().cpu().numpy()
    return array


def layout_of(views: Views) -> list[ViewLayout]:
    """Return where each view of bodies lies, in the order in which the student gives them."""
    layout = []
    for name, view in views.items():
        vectors, constants = view.vectors, view.constants is not None
        if isinstance(vectors, TermRows):
            values = 1 if vectors.values.ndim == 1 else vectors.values.shape[1]
            layout.append(ViewLayout(name, None, constants, values))
        else:
            layout.append(ViewLayout(name, vectors.shape[1], constants))
    return layout


@dataclass(frozen=True)
class IndexPart:
    """A part, opened.

    layout: of the views. size: n bodies. arrays: dense `[n, D]`, the dense views side by side; constants `[n, C]`, of
    the views that have some. The columns of the sparse matrix: view_starts `[S + 1]`, where those of each sparse view
    begin; terms `[V]`, ascending within a view; indptr `[V + 1]`, rows and values `[m]`, as in scipy's CSC. The texts
    of all terms: hashes `[U]` ascending, texts as UTF-8, text_starts `[U + 1]`. The files: file_keys `[F, 16]`, hashes
    of their bodies, and file_starts `[F + 1]`.
    """

    layout: Sequence[ViewLayout]
    size: int
    arrays: Mapping[str, np.ndarray]

    @classmethod
    def open(cls, folder: Path, facts: Mapping[str, Any]) -> "IndexPart":
        """Return the part that `write_part` wrote below `folder` with these facts; nothing is read until it is used."""
        files = {name: folder / f"{facts['part']}.{name}.npy" for name in ARRAYS}
        # as plain arrays: numpy's memmap takes as long for a slice as the rest of a query does
        arrays = {name: np.asarray(np.load(file, mmap_mode="r")) for name, file in files.items()}
        return cls([ViewLayout(**each) for each in facts["views"]], facts["functions"], arrays)

    @cached_property
    def dense(self) -> dict[str, slice]:
        """The columns of each dense view."""
        stops = np.cumsum([0, *(each.width for each in self.layout if each.width is not None)])
        names = [each.name for each in self.layout if each.width is not None]
        return {name: slice(stops[place], stops[place + 1]) for place, name in enumerate(names)}

    @cached_property
    def sparse(self) -> list[tuple[str, int]]:
        """The sparse views, each as often as its terms have values, with the place of the value."""
        return [(each.name, place) for each in self.layout if each.width is None for place in range(each.values)]

    @cached_property
    def constants(self) -> dict[str, int]:
        """The column of each view that has constants."""
        return {name: place for place, name in enumerate(each.name for each in self.layout if each.constants)}

    @cached_property
    def constant(self) -> np.ndarray:
        """The sum of each body's constants `[n]`."""
        total: np.ndarray = self.arrays["constants"].sum(axis=1)
        return total

    @cached_property
    def matrix(self) -> csc_array:
        """The sparse views of all bodies `[n, V]`."""
        values, rows, indptr = (self.arrays[name] for name in ("values", "rows", "indptr"))
        if len(rows) <= np.iinfo(rows.dtype).max:
            indptr = indptr.astype(rows.dtype)  # scipy copies rows that are of another kind
        return csc_array((values, rows, indptr), shape=(self.size, len(self.arrays["terms"])))

    @cached_property
    def by_terms(self) -> csr_array:
        """The same transposed `[V, n]`, of the same arrays."""
        return self.matrix.T

    @cached_property
    def by_rows(self) -> csr_array:
        """The same by rows, read whole."""
        return self.matrix.tocsr()

    def columns(self, place: int, terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which terms `[k]` the part has in the sparse view at a place, and their columns."""
        start, stop = self.arrays["view_starts"][place : place + 2]
        known = self.arrays["terms"][start:stop]
        if not len(known):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        found = np.minimum(known.searchsorted(terms), len(known) - 1)
        here = np.flatnonzero(known[found] == terms)
        return here, found[here] + start

    def values(self, rows: Sequence[int], columns: np.ndarray) -> np.ndarray:
        """Return the values `[r, k]` of some bodies in some columns; rows are ascending within a column."""
        wanted, values = np.asarray(rows), np.zeros((len(rows), len(columns)), np.float32)
        for place, column in enumerate(columns):
            start, stop = self.arrays["indptr"][column : column + 2]
            found = np.minimum(self.arrays["rows"][start:stop].searchsorted(wanted) + start, stop - 1)
            here = self.arrays["rows"][found] == wanted
            values[here, place] = self.arrays["values"][found[here]]
        return values

    def text(self, term: int) -> str | None:
        """Return the text of a term; None for one that no body of the part has."""
        hashes, starts = self.arrays["hashes"], self.arrays["text_starts"]
        place = int(np.searchsorted(hashes, term))
        if place == len(hashes) or hashes[place] != term or starts[place] == starts[place + 1]:
            return None
        return bytes(self.arrays["texts"][starts[place] : starts[place + 1]]).decode("utf-8", "replace")

    def files(self) -> dict[bytes, slice]:
        """Return the rows of each file, by the hash of its bodies."""
        keys, starts = self.arrays["file_keys"], self.arrays["file_starts"]
        return {bytes(keys[place]): slice(int(starts[place]), int(starts[place + 1])) for place in range(len(keys))}

    def block(self, rows: slice) -> Block:
        """Return the views of the bodies of a file."""
        chosen = self.by_rows[rows].tocoo()
        views = np.searchsorted(self.arrays["view_starts"][1:], chosen.col, side="right")
        dense, constants = (self.arrays[name][rows] for name in ("dense", "constants"))
        return Block(dense, constants, chosen.row, views, self.arrays["terms"][chosen.col], chosen.data)


def write_part(
    folder: Path,
    name: str,
    layout: Sequence[ViewLayout],
    files: Sequence[tuple[bytes, Block]],
    texts: Mapping[int, str],
) -> dict[str, Any]:
    """Write a part below `folder`; the facts are what `IndexPart.open` needs.

    files: the hash and the views of each file's bodies, in order. texts: of the terms that are known, by hash.
    """
    blocks = [block for _, block in files]
    starts = np.cumsum([0, *(len(block.dense) for block in blocks)])
    rows, views, terms, values = (
        np.concatenate([getattr(block, field) for block in blocks]) for field in ("rows", "views", "terms", "values")
    )
    rows = rows + np.repeat(starts[:-1], [len(block.rows) for block in blocks])
    order = np.lexsort((rows, terms, views))  # stable: what one body has twice is added in the order given
    rows, views, terms, values = rows[order], views[order], terms[order], values[order]
    new_column = _changes(views, terms)
    new_entry = _changes(views, terms, rows)
    first = np.flatnonzero(new_entry)
    indptr = np.append(np.searchsorted(first, np.flatnonzero(new_column)), len(first))
    column_views, column_terms = views[new_column], terms[new_column]
    width = sum(each.values for each in layout if each.width is None)
    hashes = np.unique(column_terms)
    encoded = [texts.get(int(term), "").encode("utf-8", "surrogatepass") for term in hashes]
    arrays = {
        "dense": np.concatenate([block.dense for block in blocks]),
        "constants": np.concatenate([block.constants for block in blocks]),
        "view_starts": np.searchsorted(column_views, np.arange(width + 1)),
        "terms": column_terms,
        "indptr": indptr,
        "rows": rows[new_entry].astype(np.int32),
        "values": np.add.reduceat(values, first) if len(first) else values,
        "hashes": hashes,
        "texts": np.frombuffer(b"".join(encoded), np.uint8),
        "text_starts": np.cumsum([0, *map(len, encoded)]),
        "file_keys": np.frombuffer(b"".join(key for key, _ in files), np.uint8).reshape(len(files), -1),
        "file_starts": starts,
    }
    for field in ARRAYS:
        np.save(folder / f"{name}.{field}.npy", arrays[field])
    return {"part": name, "functions": int(starts[-1]), "views": [asdict(each) for each in layout]}


def _changes(*keys: np.ndarray) -> np.ndarray:
    """Return where any of some sorted keys `[m]` differs from the one before."""
    differs = [np.diff(key, prepend=key[:1] - 1) != 0 for key in keys]
    changed: np.ndarray = np.logical_or.reduce(differs)
    return changed


def texts_of(part: IndexPart, terms: Iterable[int]) -> dict[int, str]:
    """Return the texts of some terms, of those that the part knows."""
    known = {term: part.text(term) for term in terms}
    return {term: text for term, text in known.items() if text is not None}
