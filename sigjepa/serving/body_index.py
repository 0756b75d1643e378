"""An index of bodies: exact search by the one score, and what the score of a body is the sum of."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import coo_array, csr_array
from torch import Tensor

from sigjepa.data.explanation import MAX_TERMS
from sigjepa.data.views import TermRows, View, Views
from sigjepa.serving.index_part import IndexPart, term_values
from sigjepa.store.artifact import OpenedArtifact


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
class _Queries:
    """The predictions of Q signatures as arrays.

    dense: `[Q, D]`, the dense views side by side. weights: for each part of an index `[Q, V]`, what a query gives to
    each column of its sparse matrix.
    """

    dense: np.ndarray
    weights: Sequence[csr_array]

    @classmethod
    def of(cls, predictions: Views, parts: Sequence[IndexPart]) -> "_Queries":
        """Return the predictions in the layout of some parts, which is the same of all."""
        empty = np.empty((len(next(iter(predictions.values()))), 0), np.float32)
        dense = np.concatenate([empty, *(_vectors(predictions[name]) for name in parts[0].dense)], axis=1)
        terms = [_terms(predictions[name], place) for name, place in parts[0].sparse]
        return cls(dense, [_weights(part, terms, len(dense)) for part in parts])


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
        return int(self.starts[-1])

    def scores(self, predictions: Views) -> np.ndarray:
        """Return the score `[Q, n]` of every body with each of the Q signatures, as `data.views.score` has it."""
        return self._scores(_Queries.of(predictions, self.parts))

    def _scores(self, queries: _Queries) -> np.ndarray:
        scores = np.empty((len(queries.dense), len(self)), np.float32)
        for part, start, weights in zip(self.parts, self.starts, queries.weights, strict=False):
            some = scores[:, start : start + part.size]
            np.matmul(queries.dense, part.arrays["dense"].T, out=some)
            some += part.constant
            some += (weights @ part.by_terms).toarray()
        return scores

    def search(
        self, predictions: Views, top_k: Sequence[int], left_out: Sequence[Sequence[int]] | None = None
    ) -> list[list[Match]]:
        """Return for each of Q signatures the `top_k` bodies of the highest score, all if there are fewer, best first.

        Equal scores are in the order of rows. top_k: of each signature. left_out: rows that are not wanted, of each.
        """
        queries, chosen = _Queries.of(predictions, self.parts), []
        for place, scores in enumerate(self._scores(queries)):
            others = [] if left_out is None else list(set(left_out[place]))
            scores[others] = -np.inf
            chosen.append(best_rows(scores, min(top_k[place], len(scores) - len(others))).tolist())
        return self._explain(queries, chosen)

    def explain(self, predictions: Views, rows: Sequence[Sequence[int]]) -> list[list[Match]]:
        """Return for each of Q signatures some rows, with what their scores are the sum of."""
        return self._explain(_Queries.of(predictions, self.parts), rows)

    def _explain(self, queries: _Queries, rows: Sequence[Sequence[int]]) -> list[list[Match]]:
        found: list[dict[int, Match]] = [{} for _ in rows]
        for part, start, weights in zip(self.parts, self.starts, queries.weights, strict=False):
            local = [[row - int(start) for row in some if 0 <= row - start < part.size] for some in rows]
            for place, some in enumerate(local):
                if not some:
                    continue
                for row, shares in zip(some, _shares(part, queries.dense[place], weights[[place]], some), strict=True):
                    match = Match(row + int(start), sum(share.value for share in shares), shares)
                    found[place][match.row] = match
        return [[by_row[row] for row in some] for by_row, some in zip(found, rows, strict=True)]

    def expected(self, predictions: Views) -> list[dict[str, list[TermShare]]]:
        """Return for each of Q signatures the terms of its sparse views, the largest values first.

        Not of a view whose terms have several values: which of them counts depends on the body.
        """
        found: list[dict[str, list[TermShare]]] = [{} for _ in range(len(next(iter(predictions.values()))))]
        for each in self.parts[0].layout:
            if each.width is None and each.values == 1:
                rows, terms, values = (array.tolist() for array in _terms(predictions[each.name], 0))
                for row, term, value in sorted(zip(rows, terms, values, strict=True), key=lambda entry: -abs(entry[2])):
                    found[row].setdefault(each.name, []).append(TermShare(term, self.text(term), value))
        return found

    def text(self, term: int) -> str | None:
        """Return the text of a term; None for one that no body has."""
        return next((text for part in self.parts if (text := part.text(term)) is not None), None)

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
            vector = part.arrays["dense"][local, columns]
            products = np.concatenate([each.arrays["dense"][:, each.dense[name]] @ vector for each in self.parts])
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


def best_rows(scores: np.ndarray, top_k: int) -> np.ndarray:
    """Return the positions of the highest of scores `[n]`, the best first, equal ones in order."""
    if top_k < 1:
        return np.empty(0, np.int64)
    lowest = np.partition(scores, len(scores) - top_k)[len(scores) - top_k]
    above, equal = np.flatnonzero(scores > lowest), np.flatnonzero(scores == lowest)
    rows = np.concatenate([above, equal[: top_k - len(above)]])
    return rows[np.lexsort((rows, -scores[rows]))]


def _vectors(view: View) -> np.ndarray:
    """Return the vectors `[Q, D]` of a dense view."""
    assert isinstance(view.vectors, Tensor), "a view is dense on both sides, or on none"
    vectors: np.ndarray = view.vectors.detach().float().cpu().numpy()
    return vectors


def _terms(view: View, place: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the query, hash and one of the values of each term of a sparse view, of those whose value is not 0."""
    assert isinstance(view.vectors, TermRows), "a view is sparse on both sides, or on none"
    values = term_values(view.vectors)[:, place]
    used = values != 0
    return view.vectors.rows.cpu().numpy()[used], view.vectors.terms.cpu().numpy()[used], values[used]


def _weights(part: IndexPart, terms: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], queries: int) -> csr_array:
    """Return the weights `[Q, V]` of a part's columns; terms: of each sparse view, as `_terms` gives them."""
    kind = part.matrix.indices.dtype  # scipy copies a matrix whose indices are of another
    owners, columns, weights = [np.empty(0, kind)], [np.empty(0, kind)], [np.empty(0, np.float32)]
    for place, (rows, hashes, values) in enumerate(terms):
        here, found = part.columns(place, hashes)
        owners.append(rows[here].astype(kind))
        columns.append(found.astype(kind))
        weights.append(values[here])
    entries = np.concatenate(weights), (np.concatenate(owners), np.concatenate(columns))
    return coo_array(entries, shape=(queries, len(part.arrays["terms"]))).tocsr()


def _shares(part: IndexPart, dense: np.ndarray, weights: csr_array, rows: Sequence[int]) -> list[list[ViewShare]]:
    """Return what each view adds to the scores of some bodies of a part with one query.

    dense: `[D]`. weights: `[1, V]`, of columns.
    """
    columns = weights.indices
    products = part.values(rows, columns) * weights.data
    views = np.searchsorted(part.arrays["view_starts"][1:], columns, side="right")
    names = [part.sparse[view][0] for view in views]
    terms = part.arrays["terms"][columns].tolist()
    shares: list[list[ViewShare]] = []
    for row, found in zip(rows, products.tolist(), strict=True):
        of_views: dict[str, dict[int, float]] = {}
        for name, term, product in zip(names, terms, found, strict=True):
            if product:
                of_view = of_views.setdefault(name, {})
                of_view[term] = of_view.get(term, 0.0) + product
        shares.append([])
        for view in part.layout:
            constant = float(part.arrays["constants"][row, part.constants[view.name]]) if view.constants else 0.0
            if view.width is not None:
                place = part.dense[view.name]
                product = float(part.arrays["dense"][row, place] @ dense[place])
                shares[-1].append(ViewShare(view.name, product + constant))
                continue
            of_terms = of_views.get(view.name, {})
            strongest = sorted(of_terms, key=lambda term: -abs(of_terms[term]))[:MAX_TERMS]
            shown = [TermShare(term, part.text(term), of_terms[term]) for term in strongest if of_terms[term]]
            shares[-1].append(ViewShare(view.name, sum(of_terms.values()) + constant, shown))
    return shares
