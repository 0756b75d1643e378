"""Shares of a score, in words: what each view adds, and the terms of it that count. Read without torch."""

from collections.abc import Sequence
from dataclasses import dataclass

from sigjepa.runtime.terminal import printable

LABELS = {"pooled": "embedding"}
"""Names of views for readers, where their own say it to the makers of students alone."""
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
