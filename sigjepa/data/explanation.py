"""The parts that scores of pairs are the sums of: each view's share and, of a view of terms, those that add most."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sigjepa.corpus.identifiers import split_identifier
from sigjepa.data.shares import Share, Term
from sigjepa.data.views import TermRows, Views, equal_places
from sigjepa.lexicon.names import bare_names

MAX_TERMS = 6
"""Terms that explain a view, the strongest first."""


@dataclass(frozen=True)
class PairShares:
    """The parts of the scores of P pairs of a prediction and a body, by V views.

    names: of the views. values: `[P, V]`, whose sums over views are the scores. Of the strongest terms: pairs, views
    `[m]` the pair and the view of each, ascending; terms `[m]` their hashes; products `[m]` what they add.
    """

    names: Sequence[str]
    values: np.ndarray
    pairs: np.ndarray
    views: np.ndarray
    terms: np.ndarray
    products: np.ndarray

    @classmethod
    def concatenate(cls, parts: Sequence["PairShares"]) -> "PairShares":
        """Return the pairs of all parts, in order; there is at least one, and all have the same views."""
        starts = np.cumsum([0, *(len(part.values) for part in parts)])
        pairs = [part.pairs + start for part, start in zip(parts, starts, strict=False)]
        others = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("views", "terms")}
        values, products = (np.concatenate([getattr(part, name) for part in parts]) for name in ("values", "products"))
        return cls(parts[0].names, values, np.concatenate(pairs), products=products, **others)

    def of(self, pair: int, texts: Mapping[int, str], query_terms: Collection[str]) -> list[Share]:
        """Return the shares of one pair. texts: of terms, by hash. query_terms: of its signature."""
        start, stop = np.searchsorted(self.pairs, [pair, pair + 1])
        terms: dict[int, list[Term]] = {}
        for place in range(start, stop):
            text = texts.get(int(self.terms[place]), "?")
            found = Term(text, float(self.products[place]), text not in query_terms)
            terms.setdefault(int(self.views[place]), []).append(found)
        return [
            Share(name, float(self.values[pair, view]), terms.get(view, [])) for view, name in enumerate(self.names)
        ]


def explain(predictions: Views, bodies: Views) -> PairShares:
    """Return what the scores of prediction i and body i, of P rows each, are the sums of, see `data.views.score`."""
    values, found = [], []
    for number, (name, view) in enumerate(predictions.items()):
        predicted, body = view.vectors, bodies[name].vectors
        if isinstance(predicted, TermRows):
            assert isinstance(body, TermRows), "a view is sparse on both sides, or on none"
            value, *terms = term_shares(predicted, body)
            found.append((terms[0], np.full(len(terms[0]), number, np.int8), *terms[1:]))
        else:
            assert isinstance(body, torch.Tensor), "a view is dense on both sides, or on none"
            value = (predicted * body).sum(dim=1)
        constants = bodies[name].constants
        values.append((value if constants is None else value + constants).float().cpu().numpy())
    nothing = (np.empty(0, np.int64), np.empty(0, np.int8), np.empty(0, np.int64), np.empty(0, np.float32))
    pairs, views, terms_, products = (np.concatenate(column) for column in zip(nothing, *found, strict=True))
    order = np.lexsort((views, pairs))  # stable: the strongest term of a view stays first
    shown = (pairs[order], views[order], terms_[order], products[order])
    return PairShares(list(predictions), np.stack(values, axis=1), *shown)


def term_shares(predictions: TermRows, bodies: TermRows) -> tuple[torch.Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """Return the product `[P]` of row i with row i and of its strongest terms the rows, hashes and products `[m]`."""
    _, codes = torch.unique(torch.cat([predictions.terms, bodies.terms]), return_inverse=True)
    width = int(codes.max()) + 1 if len(codes) else 1
    left, right = equal_places(
        predictions.rows * width + codes[: len(predictions.terms)],
        bodies.rows * width + codes[len(predictions.terms) :],
    )
    values = [each.values if each.values.ndim > 1 else each.values[:, None] for each in (predictions, bodies)]
    products = (values[0][left] * values[1][right]).sum(dim=1)
    sums = products.new_zeros(predictions.size).index_add(0, predictions.rows[left], products)
    keys, first, inverse = np.unique(
        (predictions.rows[left] * width + codes[left]).cpu().numpy(), return_index=True, return_inverse=True
    )
    added = np.bincount(inverse, products.double().cpu().numpy(), len(keys)).astype(np.float32)
    rows, terms = keys // width, predictions.terms[left].cpu().numpy()[first]
    order = np.lexsort((-np.abs(added), rows))
    order = order[added[order] != 0]
    places = np.arange(len(order)) - np.searchsorted(rows[order], rows[order])
    order = order[places < MAX_TERMS]
    return sums, rows[order], terms[order], added[order]


def signature_terms(signature: str) -> set[str]:
    """Return the words and names of a signature, which a student that says one does not have to expect."""
    return {*split_identifier(signature), *bare_names(signature)}
