import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.lexicon.terms import TermTable, Vocabulary, term_hash

ROWS = st.lists(st.dictionaries(st.text("abcü\ud800", max_size=3), st.integers(-9, 9), max_size=4), max_size=6)


def table_of(rows):
    return TermTable.of([[(term, (value,)) for term, value in row.items()] for row in rows], 1)


def rows_of(table):
    """What a table holds, by hash."""
    return [
        dict(zip(table.terms[start:stop].tolist(), table.values[start:stop, 0].tolist(), strict=True))
        for start, stop in zip(table.offsets, table.offsets[1:], strict=False)
    ]


def hashed(rows):
    return [{term_hash(term): value for term, value in row.items()} for row in rows]


@given(ROWS, st.data())
def test_a_table_holds_its_rows_in_any_order_and_from_any_parts(rows, data):
    table = table_of(rows)
    assert rows_of(table) == hashed(rows)
    cut = data.draw(st.integers(0, len(rows)))
    whole = TermTable.concatenate([table_of(rows[:cut]), table_of([]), table_of(rows[cut:])])
    assert rows_of(whole) == hashed(rows)
    ids = np.array(
        data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=5) if rows else st.just([])), dtype=np.int64
    )
    assert rows_of(table.take(ids)) == hashed([rows[i] for i in ids])
    assert table.functions.tolist() == [i for i, row in enumerate(rows) for _ in row]


@given(ROWS)
def test_a_matrix_has_each_value_in_the_column_of_its_term(rows):
    table = table_of(rows)
    vocabulary = Vocabulary.of([table])
    offsets = table.offsets.copy()
    matrix = table.matrix(vocabulary, table.values[:, 0])
    expected = np.zeros((len(rows), vocabulary.size))
    for row, terms in zip(expected, rows, strict=True):
        for term, value in terms.items():
            row[vocabulary.columns(np.array([term_hash(term)], np.uint64))[0]] = value
    np.testing.assert_array_equal(matrix.toarray(), expected)
    assert matrix.nnz == np.count_nonzero(expected)
    np.testing.assert_array_equal(table.offsets, offsets)  # zeros are taken out of the matrix, not of the table


def test_counted_terms():
    table = TermTable.counted([["b", "a", "b"], []])
    assert table.terms.tolist() == [term_hash("b"), term_hash("a")]
    assert table.values.tolist() == [[2], [1]]
    assert table.offsets.tolist() == [0, 2, 2]


def test_a_term_that_is_not_of_the_vocabulary_is_refused():
    vocabulary = Vocabulary.of([TermTable.counted([["a", "b", "c"]])])
    for other in ("d", "e", "f", "g"):
        with pytest.raises(ValueError, match="vocabulary"):
            vocabulary.columns(np.array([term_hash("a"), term_hash(other)], np.uint64))
    with pytest.raises(ValueError, match="vocabulary"):
        Vocabulary.of([]).columns(np.array([1], np.uint64))
    assert len(Vocabulary.of([]).columns(np.empty(0, np.uint64))) == 0


def test_more_terms_than_columns_share_them_and_are_counted(caplog):
    table = TermTable.counted([[f"name{i}" for i in range(50)], ["name0"]])
    caplog.set_level(logging.WARNING)
    vocabulary = Vocabulary.of([table], max_columns=16)
    columns = vocabulary.columns(table.terms)
    _, counts = np.unique(columns[:50], return_counts=True)
    assert vocabulary.size == 16
    assert columns.max() < 16
    assert columns[0] == columns[50]
    assert vocabulary.shared == counts[counts > 1].sum()
    assert f"{vocabulary.shared} terms" in caplog.text
    assert table.matrix(vocabulary, table.values[:, 0]).sum() == 51  # what shares a column adds up
    caplog.clear()
    assert Vocabulary.of([table], max_columns=50).shared == 0
    assert not caplog.records
