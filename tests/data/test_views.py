import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from sigjepa.data.views import TermRows, View, concatenate_views, in_rows, pooled_views, score, take_views


def rows_of(functions):
    """The rows of functions given as lists of (term, value)."""
    entries = [(row, term, value) for row, function in enumerate(functions) for term, value in function]
    columns = [torch.tensor([entry[place] for entry in entries]) for place in range(3)]
    return TermRows(len(functions), columns[0].long(), columns[1].long(), columns[2].double())


FUNCTIONS = st.lists(
    st.lists(st.tuples(st.integers(-3, 4), st.floats(-4, 4, width=32)), max_size=5), min_size=1, max_size=4
)


@settings(max_examples=60, deadline=None)
@given(queries=FUNCTIONS, bodies=FUNCTIONS, seed=st.integers(0, 1000))
def test_a_score_sums_the_products_over_equal_terms_and_constants(queries, bodies, seed):
    generator = torch.Generator().manual_seed(seed)
    constants = torch.randn(len(bodies), generator=generator, dtype=torch.float64)
    left, right = (torch.randn(len(each), 3, generator=generator, dtype=torch.float64) for each in (queries, bodies))
    predictions = {"terms": View(rows_of(queries)), "pooled": View(left)}
    candidates = {"terms": View(rows_of(bodies), constants), "pooled": View(right), "unused": View(right)}
    expected = torch.zeros(len(queries), len(bodies), dtype=torch.float64)
    for i, query in enumerate(queries):
        for j, body in enumerate(bodies):
            shared = [a * b for term, a in query for other, b in body if term == other]
            expected[i, j] = sum(shared) + constants[j] + sum(left[i] * right[j])
    torch.testing.assert_close(score(predictions, candidates), expected)
    order = torch.randperm(len(bodies), generator=generator)
    torch.testing.assert_close(score(predictions, take_views(candidates, order)), expected[:, order])
    twice = concatenate_views([candidates, take_views(candidates, order)])
    torch.testing.assert_close(score(predictions, twice), torch.cat([expected, expected[:, order]], dim=1))


def test_gradients_reach_the_values_of_both_sides():
    query, body = rows_of([[(1, 2.0), (5, 1.0)]]), rows_of([[(1, 3.0)], [(2, 1.0)]])
    query.values.requires_grad_()
    body.values.requires_grad_()
    score({"terms": View(query)}, {"terms": View(body)}).sum().backward()
    assert query.values.grad.tolist() == [3.0, 0.0]
    assert body.values.grad.tolist() == [2.0, 0.0]


def test_the_pooled_view_is_the_cosine():
    left, right = torch.randn(3, 4), torch.randn(5, 4).half()
    expected = F.normalize(left, dim=-1) @ F.normalize(right.float(), dim=-1).T
    torch.testing.assert_close(score(pooled_views(left), pooled_views(right)), expected, rtol=0, atol=0)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), size=st.integers(1, 4))
def test_in_rows_asks_the_same_function(data, size):
    tables = [data.draw(st.lists(st.lists(st.integers(-2, 3), max_size=4), min_size=size, max_size=size)) for _ in "ab"]
    first, second = (rows_of([[(term, 0.0) for term in function] for function in table]) for table in tables)
    expected = [term in tables[1][row] for row, function in enumerate(tables[0]) for term in function]
    assert in_rows(first, second).tolist() == expected


def test_views_of_two_kinds_do_not_multiply():
    with pytest.raises(AssertionError):
        score({"terms": View(rows_of([[(1, 1.0)]]))}, {"terms": View(torch.ones(1, 3))})
