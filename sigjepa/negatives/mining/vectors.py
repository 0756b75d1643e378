"""Embeddings that are read part by part: as unit vectors, and the cosines of pairs of them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import numpy.typing as npt

from sigjepa.errors import SigjepaError

if TYPE_CHECKING:
    from sigjepa.teacher.shards import TeacherShards

COSIM_DECIMALS = 6
"""Cosines are rounded to what float32 embeddings can carry: 0.80 is then reached inclusively, and the order of ties
is by id on every machine rather than by the last bit of its matrix library."""

_CELLS = 1 << 20  # most numbers of a working matrix; what bounds memory, whatever D and n are

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]


class Rows(Protocol):
    """Vectors `[n, D]` that are read by row numbers: an array, a memory map, or a view into shards."""

    @property
    def shape(self) -> Sequence[int]:
        """`(n, D)`."""

    def __getitem__(self, rows: Ids, /) -> npt.ArrayLike:
        """Return the vectors `[r, D]` of rows `[r]`, in any floating precision."""


class PooledRows:
    """The teacher's pooled signatures or bodies of the functions `ids` `[n]`; None is all of them."""

    def __init__(self, shards: "TeacherShards", half: Literal["signature", "body"], ids: Ids | None = None) -> None:
        self._shards, self._half = shards, half
        self._ids = shards.ids if ids is None else ids
        self.shape = (len(self._ids), shards.dim)

    def __getitem__(self, rows: Ids, /) -> npt.NDArray[np.float32]:
        return self._shards.pooled(self._half, self._ids[rows]).numpy()


@dataclass(frozen=True, slots=True)
class UnitVectors:
    """Vectors of length 1 in the order of their functions' ids.

    ids: `[n]` int64, ascending, unique. matrix: `[n, D]` float32.
    """

    ids: Ids
    matrix: Matrix

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, vectors: "npt.NDArray[np.floating] | Rows", ids: Ids, noun: str = "body embeddings") -> "UnitVectors":
        """Return the unit vectors of `vectors` `[n, D]` of any length but 0, for the unique function ids `[n]`, in any
        order.

        `vectors` is read a part at a time, so beside the result memory holds no copy of it. noun: names the vectors in
        errors. Raises SigjepaError as `unit_parts` does.
        """
        matrix = np.empty(tuple(vectors.shape), dtype=np.float32)
        for part, matrix[part] in unit_parts(vectors, ids, noun):  # noqa: B007  it is used: left first
            pass
        return cls(np.sort(np.asarray(ids, dtype=np.int64)), matrix)

    def take(self, rows: Ids) -> "UnitVectors":
        """Return the vectors of ascending `rows` `[r]`."""
        return UnitVectors(self.ids[rows], self.matrix[rows])


def unit_parts(
    vectors: "npt.NDArray[np.floating] | Rows", ids: Ids, noun: str = "body embeddings"
) -> Iterator[tuple[slice, Matrix]]:
    """Yield the rows of `UnitVectors` with their matrix, a part at a time, in the order of ids.

    The arguments are those of `UnitVectors.of`. Raises SigjepaError behind the last part for NaN, infinite or all-zero
    vectors, naming the functions.
    """
    order = np.argsort(ids, kind="stable")
    ids = np.asarray(ids, dtype=np.int64)[order]
    bad: list[int] = []
    for part in parts(len(ids), vectors.shape[1]):
        read = np.asarray(vectors[order[part]])
        norms = np.sqrt(np.einsum("nd,nd->n", read, read, dtype=np.float64))
        unusable = ~np.isfinite(norms) | (norms == 0)
        bad += ids[part][unusable].tolist()
        norms[unusable] = np.inf
        yield part, _divided(read, norms)
    if bad:
        raise SigjepaError(
            f"The {noun} of {_naming(bad)} are NaN, infinite or all zero, so they have no cosine; if they come from "
            "shards, delete the shards' folder and embed again, in float32 if the teacher overflowed in half precision."
        )


def _divided(vectors: npt.NDArray[np.floating], norms: Floats) -> Matrix:
    """Return `vectors` `[r, D]` divided by their norms `[r]`."""
    matrix = np.empty(vectors.shape, dtype=np.float32)
    with np.errstate(invalid="ignore"):
        return np.divide(vectors, norms[:, None], out=matrix, casting="same_kind")


def parts(count: int, width: int) -> Iterator[slice]:
    """Yield the slices that cover `count` rows, each of about a million numbers at `width` numbers a row."""
    size = max(1, _CELLS // max(1, width))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def cosines(first: Rows, second: Rows, rows: Ids, columns: Ids) -> Floats:
    """Return the cosine `[P]` of each row `[P]` of `first` with its column `[P]` of `second`, in float64.

    It is the same in both directions and within [-1, 1]; a vector without a direction has cosine 0 with everything.
    """
    found = np.empty(len(rows))
    for part in parts(len(rows), first.shape[1]):
        left, right = np.asarray(first[rows[part]], np.float64), np.asarray(second[columns[part]], np.float64)
        lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        products = np.einsum("pd,pd->p", left, right)
        found[part] = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return np.clip(found, -1.0, 1.0)


def rounded_cosines(first: Rows, second: Rows, rows: Ids, columns: Ids) -> Floats:
    """Return the cosines of pairs as they are kept, see COSIM_DECIMALS."""
    return np.round(cosines(first, second, rows, columns), COSIM_DECIMALS)


def _naming(ids: Iterable[int], most: int = 5) -> str:
    names = [str(i) for i in ids]
    more = f", … ({len(names)} in all)" if len(names) > most else ""
    return f"function{'s' if len(names) > 1 else ''} {', '.join(names[:most])}{more}"
