"""An index of bodies: exact search by the one score, and what the score of a body is the sum of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csc_array
from torch import Tensor

from sigjepa.data.views import TermRows, View, Views
from sigjepa.serving.index_part import IndexPart, term_values
from sigjepa.store.artifact import OpenedArtifact

MAX_TERMS = 6
"""How many terms explain a view, the strongest first."""


@dataclass(frozen=True)
class TermShare:
    """A term's share of a score. term: its hash. text: None where the index does not know it."""

    term: int
    text: str | None
    value: float


@dataclass(frozen=True)
class ViewShare:
    """A view's share of a score: its product, the body's constant among it. terms: of a sparse one, the strongest."""

    view: str
    value: float
    terms: Sequence[TermShare] = ()


@dataclass(frozen=True)
class Match:
    """A body that was found: its row, its score, and what that is the sum of, by view."""

    row: int
    score: float
    shares: Sequence[ViewShare] = ()


@dataclass(frozen=True)
class _Query:
    """The prediction of one signature as arrays: the dense views side by side, and the terms of each sparse view.

    sparse: by name and place of the value, as in `IndexPart.sparse`: terms `[k]`, ascending, and values `[k]`.
    """

    dense: np.ndarray
    sparse: Mapping[tuple[str, int], tuple[np.ndarray, np.ndarray]]


class BodyIndex(OpenedArtifact):
    """The views of bodies by row, memory-mapped part by part."""

    @cached_property
    def parts(self) -> list[IndexPart]:
        """The parts, in the order of the rows."""
        return [IndexPart.open(self.folder, facts) for facts in self.manifest.facts["parts"]]

    @cached_property
    def starts(self) -> np.ndarray:
        """The first row of each part, and the number of all rows `[P + 1]`."""
        return np.cumsum([0, *(part.size for part in self.parts)])

    @property
    def student(self) -> str:
        """The fingerprint of the student whose views it holds."""
        return str(self.manifest.facts["student"])

    def __len__(self) -> int:
        return int(self.manifest.facts["functions"])

    def scores(self, prediction: Views) -> np.ndarray:
        """Return the score `[n]` of every body with the one signature of `prediction`, as `data.views.score` has it."""
        query = self._query(prediction)
        return np.concatenate([_scores(part, query) for part in self.parts])

    def search(self, prediction: Views, top_k: int, left_out: Sequence[int] = ()) -> list[Match]:
        """Return the `top_k` bodies of the highest score, all of them if there are fewer, the best first.

        Equal scores are in the order of rows. left_out: rows that are not wanted.
        """
        scores = self.scores(prediction)
        scores[list(left_out)] = -np.inf
        best = best_rows(scores, min(top_k, len(scores) - len(set(left_out))))
        return self.explain(prediction, best.tolist())

    def explain(self, prediction: Views, rows: Sequence[int]) -> list[Match]:
        """Return the bodies of some rows, with what their scores are the sum of."""
        query = self._query(prediction)
        matches = []
        for row in rows:
            number = int(np.searchsorted(self.starts, row, side="right")) - 1
            shares = list(_shares(self.parts[number], query, row - int(self.starts[number])))
            matches.append(Match(int(row), sum(share.value for share in shares), shares))
        return matches

    def neighbors(self, row: int, top_k: int) -> list[Match]:
        """Return the bodies whose dense views have the highest cosine with those of a body, itself left out.

        Each dense view counts alike; without one, nothing is near.
        """
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        part, local = self.parts[number], row - int(self.starts[number])
        if not part.dense:
            return []
        total = np.zeros(len(self), np.float32)
        for name, columns in part.dense.items():
            own = part.arrays["dense"][local, columns]
            products = np.concatenate([each.arrays["dense"][:, each.dense[name]] @ own for each in self.parts])
            norms = self._norms[name]
            total += products / np.maximum(norms * norms[row], np.finfo(np.float32).tiny) / len(part.dense)
        total[row] = -np.inf
        return [Match(int(each), float(total[each])) for each in best_rows(total, min(top_k, len(total) - 1))]

    @cached_property
    def _norms(self) -> dict[str, np.ndarray]:
        return {
            name: np.concatenate(
                [np.linalg.norm(part.arrays["dense"][:, part.dense[name]], axis=1) for part in self.parts]
            )
            for name in self.parts[0].dense
        }

    def _query(self, prediction: Views) -> _Query:
        first = self.parts[0]
        dense = [_vector(prediction[name]) for name in first.dense]
        vector = np.concatenate([np.empty(0, np.float32), *dense], dtype=np.float32)
        return _Query(vector, {each: _terms(prediction[each[0]], each[1]) for each in first.sparse})


def best_rows(scores: np.ndarray, top_k: int) -> np.ndarray:
    """Return the positions of the highest of scores `[n]`, the best first, equal ones in order."""
    if top_k < 1:
        return np.empty(0, np.int64)
    lowest = np.partition(scores, len(scores) - top_k)[len(scores) - top_k]
    above, equal = np.flatnonzero(scores > lowest), np.flatnonzero(scores == lowest)
    rows = np.concatenate([above, equal[: top_k - len(above)]])
    return rows[np.lexsort((rows, -scores[rows]))]


def _vector(view: View) -> np.ndarray:
    """Return the vector `[D]` of the one signature of a dense view."""
    assert isinstance(view.vectors, Tensor), "a view is dense on both sides, or on none"
    vector: np.ndarray = view.vectors[0].detach().float().cpu().numpy()
    return vector


def _terms(view: View, place: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the terms of the one signature of a sparse view, ascending, with the sums of one of their values."""
    assert isinstance(view.vectors, TermRows), "a view is sparse on both sides, or on none"
    values = term_values(view.vectors)
    terms, places = np.unique(view.vectors.terms.cpu().numpy(), return_inverse=True)
    return terms, np.bincount(places, values[:, place], len(terms)).astype(np.float32)


def _scores(part: IndexPart, query: _Query) -> np.ndarray:
    scores = part.arrays["dense"] @ query.dense + part.constant
    chosen = [(part.columns(place, terms), weights) for place, (terms, weights) in enumerate(query.sparse.values())]
    columns = np.concatenate([np.empty(0, np.int64), *(found for (_, found), _ in chosen)])
    if len(columns):
        weights = np.concatenate([weights[here] for (here, _), weights in chosen])
        scores += part.matrix[:, columns] @ weights
    result: np.ndarray = scores
    return result


def _shares(part: IndexPart, query: _Query, row: int) -> Iterator[ViewShare]:
    """Yield what each view adds to the score of a body of a part."""
    constants = {name: float(part.arrays["constants"][row, place]) for name, place in part.constants.items()}
    dense = part.arrays["dense"][row]
    for view in part.layout:
        if view.width is not None:
            place = part.dense[view.name]
            value = float(dense[place] @ query.dense[place])
            yield ViewShare(view.name, value + constants.get(view.name, 0.0))
            continue
        products: dict[int, float] = {}
        for number in range(view.values):
            key = (view.name, number)
            terms, weights = query.sparse[key]
            here, columns = part.columns(part.sparse.index(key), terms)
            for term, value in zip(terms[here], _row_values(part.matrix, row, columns) * weights[here], strict=True):
                products[int(term)] = products.get(int(term), 0.0) + float(value)
        strongest = sorted((term for term in products if products[term]), key=lambda term: -abs(products[term]))
        shown = [TermShare(term, part.text(term), products[term]) for term in strongest[:MAX_TERMS]]
        yield ViewShare(view.name, sum(products.values()) + constants.get(view.name, 0.0), shown)


def _row_values(matrix: csc_array, row: int, columns: np.ndarray) -> np.ndarray:
    """Return the values `[k]` of a row in some columns; rows are ascending within a column."""
    values = np.zeros(len(columns), np.float32)
    for place, column in enumerate(columns):
        start, stop = matrix.indptr[column], matrix.indptr[column + 1]
        found = start + int(np.searchsorted(matrix.indices[start:stop], row))
        if found < stop and matrix.indices[found] == row:
            values[place] = matrix.data[found]
    return values
