import numpy as np
import pytest
import torch

from sigjepa.data.explanation import MAX_TERMS, PairShares, explain
from sigjepa.data.shares import Share, Term, shown_shares, why_text
from sigjepa.data.views import TermRows, View, score, take_views

PAIRS, TERMS = 9, 12


@pytest.fixture
def views():
    """Views of predictions and bodies: a dense one, and one of terms with two values, some twice, and a constant."""
    generator = torch.Generator().manual_seed(0)

    def side(constants):
        counts = torch.randint(0, TERMS, (PAIRS,), generator=generator)
        rows = torch.repeat_interleave(torch.arange(PAIRS), counts)
        terms = torch.randint(-4, 4, (len(rows),), generator=generator)
        table = TermRows(PAIRS, rows, terms, torch.randn(len(rows), 2, generator=generator))
        dense = torch.randn(PAIRS, 5, generator=generator)
        return {
            "pooled": View(dense),
            "words": View(table, torch.randn(PAIRS, generator=generator) if constants else None),
        }

    return side(False), side(True)


def naive_terms(predictions, bodies, pair):
    sums = {}
    (own, other) = (each["words"].vectors for each in (predictions, bodies))
    for left in torch.nonzero(own.rows == pair).ravel():
        for right in torch.nonzero((other.rows == pair) & (other.terms == own.terms[left])).ravel():
            term = int(own.terms[left])
            sums[term] = sums.get(term, 0.0) + float((own.values[left] * other.values[right]).sum())
    return sums


def test_shares_sum_to_the_score_and_terms_are_the_strongest(views):
    found, whole = explain(*views), score(*views).diagonal().numpy()
    np.testing.assert_allclose(found.values.sum(axis=1), whole, rtol=1e-5, atol=1e-5)
    texts = {term: f"t{term}" for term in range(-4, 4)}
    assert sum(len(naive_terms(*views, pair)) for pair in range(PAIRS)) > PAIRS
    for pair in range(PAIRS):
        dense, words = found.of(pair, texts, query_terms={"t3"})
        assert (dense.view, dense.terms, words.view) == ("pooled", [], "words")
        expected = sorted(naive_terms(*views, pair).items(), key=lambda item: -abs(item[1]))[:MAX_TERMS]
        assert [term.text for term in words.terms] == [texts[term] for term, _ in expected]
        assert [term.value for term in words.terms] == pytest.approx([value for _, value in expected], abs=1e-5)
        assert all(term.predicted == (term.text != "t3") for term in words.terms)


def test_pairs_of_parts_are_those_of_the_whole(views):
    whole = explain(*views)
    halves = [torch.arange(4), torch.arange(4, PAIRS)]
    again = PairShares.concatenate([explain(*(take_views(side, rows) for side in views)) for rows in halves])
    for name in ("values", "pairs", "views", "terms", "products"):
        np.testing.assert_allclose(getattr(again, name), getattr(whole, name), rtol=1e-6)


def test_why_names_what_counts():
    words = Share("words", 5.0, [Term("read", 3.0, False), Term("open", 1.5, True)])
    shares = [Share("structure", 0.01), words, Share("pooled", -2.0)]
    assert shown_shares(shares) == [words, shares[2]]
    assert why_text(shares) == "words +5.0 (read +3.0, expected open +1.5, all others +0.5) · embedding -2.0"
