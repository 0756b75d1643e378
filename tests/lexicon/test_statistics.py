import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.errors import SigjepaError
from sigjepa.lexicon.function_terms import extract_terms
from sigjepa.lexicon.statistics import PackageCounts, TrainStatistics, in_rows
from sigjepa.lexicon.terms import TermTable, term_hash

FUNCTIONS = st.lists(
    st.tuples(st.sampled_from(["p", "q", "r"]), st.lists(st.sampled_from("abc"), max_size=4)), max_size=8
)


@given(FUNCTIONS, FUNCTIONS, st.booleans())
def test_counts_are_of_the_functions_of_other_packages(train, queries, some):
    counted, asked = (TermTable.counted([terms for _, terms in each]) for each in (train, queries))
    chosen = counted.terms != term_hash("b") if some else None
    packages = [package for package, _ in train]
    counts = PackageCounts.of(counted, packages, chosen)
    own = [package for package, _ in queries]
    having = counts.of_others(own, asked.functions, asked.terms)
    functions = counts.functions_of_others(own, asked.functions)
    of_new = counts.of_others(None, asked.functions, asked.terms), counts.functions_of_others(None, asked.functions)
    rows = [{term_hash(term) for term in terms} - ({term_hash("b")} if some else set()) for _, terms in train]
    for entry, (function, term) in enumerate(zip(asked.functions, asked.terms.tolist(), strict=True)):
        others = [row for row, package in zip(rows, packages, strict=True) if package != own[function]]
        assert functions[entry] == len(others)
        assert having[entry] == sum(term in row for row in others)
        assert (of_new[0][entry], of_new[1][entry]) == (sum(term in row for row in rows), len(rows))


def test_packages_whose_names_are_longer_than_those_counted():
    counts = PackageCounts.of(TermTable.counted([["a"], ["a"]]), ["p", "q"])
    asked = TermTable.counted([["a"], ["a"]])
    assert counts.of_others(["pp", "p"], asked.functions, asked.terms).tolist() == [2, 1]


def test_what_is_kept_of_them_is_what_a_new_package_is_told():
    signatures, bodies = ["def f(path, x):", "def g(path):"], ["return path + y", "return open(path)"]
    terms, _ = extract_terms(signatures, bodies)
    statistics = TrainStatistics.of(terms, ["p", "q"])
    kept = TrainStatistics.from_arrays(statistics.arrays())
    assert kept.unused_parameter_rate == statistics.unused_parameter_rate == (1 + 1) / (3 + 2)
    table = terms.free_names
    for packages in (None, ["p", "q"]):
        told = kept.free_parameters.of_others(packages, table.functions, table.terms)
        assert told.tolist() == statistics.free_parameters.of_others(None, table.functions, table.terms).tolist()
    assert kept.body_words.functions_of_others(["p", "p"], np.array([0])).tolist() == [2]


def test_a_train_split_without_a_word_is_refused():
    terms, _ = extract_terms(["def f():"], ["..."])
    with pytest.raises(SigjepaError, match="corpus.source"):
        TrainStatistics.of(terms, ["p"])


def test_terms_of_the_same_function():
    left, right = TermTable.counted([["a", "b"], ["a"]]), TermTable.counted([["b"], ["c", "a"]])
    assert in_rows(left, right).tolist() == [False, True, True]
