"""What a score is the sum of: each view's share and, of a view of terms, the terms that add most to it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sigjepa.corpus.identifiers import split_identifier
from sigjepa.data.views import TermRows, Views, equal_places
from sigjepa.lexicon.names import bare_names
from sigjepa.runtime.terminal import printable

MAX_TERMS = 6
"""How many terms explain a view, the strongest first."""
LABELS = {"pooled": "embedding"}
"""What a view is called where its name says it to the makers of students alone."""
MAX_SHOWN_TERMS, MIN_SHOWN_SHARE, MIN_SHOWN_VALUE = 4, 0.05, 0.05


@dataclass(frozen=True)
class Term:
    """A term that adds to a score. predicted: the signature does not have it, the student expects it."""

    text: str
    value: float
    predicted: bool


@dataclass(frozen=True)
class Share:
    """A view's share of a score, with its terms by text; terms: the strongest of a sparse view."""

    view: str
    value: float
    terms: Sequence[Term] = ()

    @property
    def others(self) -> float:
        """Return the share of the terms that are not listed and of the body's constant; 0 of a dense view."""
        return self.value - sum(term.value for term in self.terms) if self.terms else 0.0


@dataclass(frozen=True)
class PairShares:
    """What the scores of P pairs of a prediction and a body are the sums of, by V views.

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

    def of(self, pair: int, texts: Mapping[int, str], own: Collection[str]) -> list[Share]:
        """Return the shares of one pair. texts: of terms, by hash. own: the terms of the query's signature."""
        start, stop = np.searchsorted(self.pairs, [pair, pair + 1])
        terms: dict[int, list[Term]] = {}
        for place in range(start, stop):
            text = texts.get(int(self.terms[place]), "?")
            found = Term(text, float(self.products[place]), text not in own)
            terms.setdefault(int(self.views[place]), []).append(found)
        return [
            Share(name, float(self.values[pair, view]), terms.get(view, [])) for view, name in enumerate(self.names)
        ]


def explain(predictions: Views, bodies: Views) -> PairShares:
    """Return what the scores of prediction i and body i, of P rows each, are the sums of, see `data.views.score`."""
    values, found = [], []
    for number, (name, view) in enumerate(predictions.items()):
        own, other = view.vectors, bodies[name].vectors
        if isinstance(own, TermRows):
            assert isinstance(other, TermRows), "a view is sparse on both sides, or on none"
            value, *terms = term_shares(own, other)
            found.append((terms[0], np.full(len(terms[0]), number, np.int8), *terms[1:]))
        else:
            value = (own * other).sum(dim=1)
        constants = bodies[name].constants
        values.append((value if constants is None else value + constants).float().cpu().numpy())
    nothing = (np.empty(0, np.int64), np.empty(0, np.int8), np.empty(0, np.int64), np.empty(0, np.float32))
    pairs, views, terms_, products = (np.concatenate(column) for column in zip(nothing, *found, strict=True))
    order = np.lexsort((views, pairs))  # stable: the strongest term of a view stays first
    shown = (pairs[order], views[order], terms_[order], products[order])
    return PairShares(list(predictions), np.stack(values, axis=1), *shown)


def term_shares(own: TermRows, other: TermRows) -> tuple[torch.Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """Return the product `[P]` of row i with row i and of its strongest terms the rows, hashes and products `[m]`."""
    _, codes = torch.unique(torch.cat([own.terms, other.terms]), return_inverse=True)
    width = int(codes.max()) + 1 if len(codes) else 1
    left, right = equal_places(own.rows * width + codes[: len(own.terms)], other.rows * width + codes[len(own.terms) :])
    values = [each.values if each.values.ndim > 1 else each.values[:, None] for each in (own, other)]
    products = (values[0][left] * values[1][right]).sum(dim=1)
    sums = products.new_zeros(own.size).index_add(0, own.rows[left], products)
    keys, first, inverse = np.unique(
        (own.rows[left] * width + codes[left]).cpu().numpy(), return_index=True, return_inverse=True
    )
    added = np.bincount(inverse, products.double().cpu().numpy(), len(keys)).astype(np.float32)
    rows, terms = keys // width, own.terms[left].cpu().numpy()[first]
    order = np.lexsort((-np.abs(added), rows))
    order = order[added[order] != 0]
    places = np.arange(len(order)) - np.searchsorted(rows[order], rows[order])
    order = order[places < MAX_TERMS]
    return sums, rows[order], terms[order], added[order]


def label_of(view: str) -> str:
    """Return what a view is called."""
    return LABELS.get(view, view.replace("_", " "))


def shown_shares(shares: Sequence[Share]) -> list[Share]:
    """Return the views that count, the strongest first: none below MIN_SHOWN_SHARE of the strongest."""
    ordered = sorted(shares, key=lambda share: -abs(share.value))
    return [share for share in ordered if abs(share.value) >= MIN_SHOWN_SHARE * abs(ordered[0].value) and share.value]


def why_text(shares: Sequence[Share]) -> str:
    """Return what a score is the sum of, in words: each view, and the terms of it that count."""
    parts = []
    for share in shown_shares(shares):
        terms = [
            f"{'expected ' if term.predicted else ''}{printable(term.text)} {term.value:+.1f}"
            for term in share.terms[:MAX_SHOWN_TERMS]
        ]
        others = share.others + sum(term.value for term in share.terms[MAX_SHOWN_TERMS:])
        if abs(others) >= MIN_SHOWN_VALUE:
            terms.append(f"all others {others:+.1f}")
        parts.append(f"{label_of(share.view)} {share.value:+.1f}" + (f" ({', '.join(terms)})" if terms else ""))
    return " · ".join(parts)


def signature_terms(signature: str) -> set[str]:
    """Return the words and names of a signature, which a student that says one does not have to expect."""
    return {*split_identifier(signature), *bare_names(signature)}
