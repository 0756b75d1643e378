import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.lexicon.statistics import PackageCounts
from sigjepa.lexicon.terms import TermTable, Vocabulary

FUNCTIONS = st.lists(
    st.tuples(st.sampled_from(["p", "q", "r"]), st.lists(st.sampled_from("abc"), max_size=4)), max_size=8
)


@given(FUNCTIONS, FUNCTIONS, st.booleans())
def test_counts_are_of_the_functions_of_other_packages(train, queries, some):
    counted, asked = (TermTable.counted([terms for _, terms in each]) for each in (train, queries))
    vocabulary = Vocabulary.of([counted, asked], max_columns=2 if some else 8)
    columns = vocabulary.columns(counted.terms)
    chosen = columns != 1 if some else None
    packages = [package for package, _ in train]
    counts = PackageCounts.of(counted, vocabulary, packages, chosen)
    own = [package for package, _ in queries]
    wanted = vocabulary.columns(asked.terms)
    having, functions = counts.of_others(own, asked.functions, wanted), counts.functions_of_others(own, asked.functions)
    rows = [
        set(columns[counted.offsets[i] : counted.offsets[i + 1]]) - ({1} if some else set()) for i in range(len(train))
    ]
    for entry, function in enumerate(asked.functions):
        others = [row for row, package in zip(rows, packages, strict=True) if package != own[function]]
        assert functions[entry] == len(others)
        assert having[entry] == sum(wanted[entry] in row for row in others)


def test_packages_whose_names_are_longer_than_those_counted():
    table = TermTable.counted([["a"], ["a"]])
    vocabulary = Vocabulary.of([table])
    counts = PackageCounts.of(table, vocabulary, ["p", "q"])
    asked = TermTable.counted([["a"], ["a"]])
    assert counts.of_others(["pp", "p"], asked.functions, np.zeros(2, np.int64)).tolist() == [2, 1]
