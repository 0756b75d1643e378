import numpy as np
import pytest
import torch

from sigjepa.data.views import View, pooled_views, score
from sigjepa.evaluation.first_bodies import first_bodies, term_texts
from sigjepa.evaluation.ranks import view_ranks
from sigjepa.lexicon.terms import term_hash

POOL = 300  # more than a block


@pytest.fixture
def found():
    generator = torch.Generator().manual_seed(0)
    identity = torch.randn(POOL, 4, generator=generator)
    identity[[7, 21]] = identity[3].clone()
    bodies = pooled_views(identity) | {"bias": View(torch.ones(POOL, 1), identity[:, 0].clone())}
    predictions = pooled_views(identity + torch.randn(POOL, 4, generator=generator)) | {
        "bias": View(torch.ones(POOL, 1))
    }
    return predictions, bodies, identity, first_bodies(predictions, bodies, identity, top_k=5)


def test_they_are_a_naive_sort_and_as_the_ranks_say(found):
    predictions, bodies, identity, first = found
    scores = score(predictions, bodies).numpy()
    ranks = view_ranks(predictions, bodies, identity)
    for row in range(POOL):
        expected = np.lexsort((np.arange(POOL), -scores[row].round(5)))[:5]
        assert first.places[row].tolist() == expected.tolist()
        np.testing.assert_allclose(first.scores[row], [*scores[row][expected], scores[row, row]], atol=1e-5)
        if row in first.places[row]:
            place = first.places[row].tolist().index(row) + 1
            assert ranks.optimistic[row] <= place <= ranks.pessimistic[row]
    np.testing.assert_allclose(first.shares.values.sum(axis=1), first.scores.ravel(), atol=1e-5)


def test_a_query_is_told_why(found):
    *_, first = found
    why = first.why(2, {}, "def f(x):")
    assert [sum(share.value for share in shares) for shares in why] == pytest.approx(first.scores[2].tolist(), abs=1e-5)
    assert [share.view for share in why[0]] == ["pooled", "bias"]


def test_terms_have_the_texts_of_their_hashes():
    texts = term_texts(["def read_csv(path):"], ["return open(path)"])
    value = term_hash("open")
    assert texts[value - (value >> 63 << 64)] == "open"
