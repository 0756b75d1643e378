"""The hardest queries of a run whose student has several views, and what the scores of their bodies are the sums of."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sigjepa.corpus.corpus import Corpus
from sigjepa.data.shares import Share, label_of
from sigjepa.evaluation.first_bodies import term_texts
from sigjepa.reporting.run import Run

MAX_QUERIES = 20
"""Queries of the worst rank that are told of."""


def hard_query_rows(run: Run, corpus: Corpus, split: str = "test", count: int = MAX_QUERIES) -> list[dict[str, Any]]:
    """Return a row for each of the queries of the worst rank; none for a student that scores by one cosine.

    Each says the rank, the true body's score and that of the body found first, what each view adds to either, and the
    words that add most to the true body's score: those that the signature has, and those that the student expects.
    """
    if not run.is_explained:
        return []
    ids, first = run.first_bodies(split)
    ranks = run.ranks(split)[1]
    rank = (ranks.optimistic + ranks.pessimistic) / 2
    hardest = np.lexsort((ids, -rank))[:count].tolist()
    columns = (corpus.column(name) for name in ("qualname", "repository", "signature", "body"))
    names, repositories, signatures, bodies = columns
    found = [int(ids[place]) for place in first.places[hardest, 0]]
    queries = [int(ids[row]) for row in hardest]
    texts = term_texts(*([column[each] for each in (*queries, *found)] for column in (signatures, bodies)))
    rows = []
    for row, query, other in zip(hardest, queries, found, strict=True):
        best, *_, true = first.why(row, texts, signatures[query])
        rows.append(
            {
                "query": names[query],
                "signature": signatures[query],
                "repository": repositories[query],
                "rank": float(rank[row]),
                "score": float(first.scores[row, -1]),
                "found first": names[other],
                "its score": float(first.scores[row, 0]),
                **{label_of(share.view): share.value for share in true},
                **{f"{label_of(share.view)} of the first": share.value for share in best},
                "matched words": words(true, predicted=False),
                "predicted words": words(true, predicted=True),
                "predicted words of the first": words(best, predicted=True),
            }
        )
    return rows


def words(shares: Sequence[Share], predicted: bool) -> str:
    """Return the words that add to a score, the strongest first, with what they add; predicted: which of them."""
    terms = [term for share in shares for term in share.terms if term.predicted == predicted]
    strongest = sorted(terms, key=lambda term: -abs(term.value))
    return ", ".join(f"{term.text} {term.value:+.1f}" for term in strongest)
