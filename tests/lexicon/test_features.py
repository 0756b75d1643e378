import math
from dataclasses import replace

import numpy as np
import pytest

from sigjepa.lexicon.bm25 import FORMS, saturated_frequencies
from sigjepa.lexicon.features import (
    FREE_NAME_FEATURES,
    PARAMETER_FEATURES,
    PRIOR,
    WORD_FEATURES,
    build_features,
)
from sigjepa.lexicon.function_terms import extract_terms
from sigjepa.lexicon.signature import ROLES
from sigjepa.lexicon.statistics import TrainStatistics, in_rows, mean_length
from sigjepa.lexicon.terms import term_hash

FUNCTIONS = [  # package, signature, body; the last is not in train
    ("a", "def open_file(path, mode=None):", "return open(path, mode or default)"),
    ("a", "def close(self):", "self.file.close()\nreturn path"),
    ("b", "def read(path, size):", "with open(path) as stream:\n    return stream.read()"),
    ("c", "def open_path(path: str, unknown):", "return super().open_path(path) + size"),
]
PACKAGES, SIGNATURES, BODIES = map(list, zip(*FUNCTIONS, strict=True))
TRAIN = (0, 1, 2)


@pytest.fixture(scope="module")
def terms():
    return extract_terms(SIGNATURES, BODIES)[0]


@pytest.fixture(scope="module")
def features(terms):
    return of_train(terms, PACKAGES, TRAIN)


def of_train(terms, packages, train):
    statistics = TrainStatistics.of(terms.take(np.array(train)), [packages[i] for i in train])
    return build_features(terms, packages, statistics)


def values(table, function, term):
    at = np.flatnonzero((table.functions == function) & (table.terms == np.uint64(term_hash(term))))
    assert len(at) == 1
    return table.values[at[0]]


def named(table, function, term, names):
    return dict(zip(names, values(table, function, term).tolist(), strict=True))


def test_idf_counts_the_train_bodies_of_other_packages(features):
    for function, of_others, having in ((0, 1, 1), (2, 2, 2), (3, 3, 3)):  # bodies that have `path`, without their own
        expected = math.log1p((of_others - having + 0.5) / (having + 0.5))
        assert named(features.signature_words, function, "path", WORD_FEATURES)["idf"] == pytest.approx(expected)
    word = named(features.signature_words, 3, "open", WORD_FEATURES)
    assert [word[role] for role in ROLES] == [1, 0, 0, 0, 0, 0, 0]
    assert word["length"] == pytest.approx(math.log1p(4))  # open, path, str, unknown


def test_bodies_hold_saturated_frequencies(terms, features):
    for form, (k1, b) in FORMS.items():
        counts = getattr(terms, f"body_{form}")
        lengths = np.bincount(counts.functions, counts.values[:, 0], minlength=4)
        average = lengths[:3].mean()
        saturated = saturated_frequencies(counts, mean_length(counts.take(np.arange(3))), form)
        frequency = float(values(counts, 3, "size")[0])
        expected = frequency / (frequency + k1 * (1 - b + b * lengths[3] / average))
        assert values(replace(counts, values=saturated), 3, "size") == pytest.approx(expected)
        if form == "words":
            assert values(features.body_words, 3, "size")[0] == pytest.approx(expected)


def test_names_are_counted_without_the_package_of_the_function(features):
    # free in the bodies of a: path in 0 and 1, a parameter of 0 alone; of b: path in 2, its parameter
    rate = (4 + 1) / (8 + 2)  # free names of train: open path mode default, self path, open path; 4 are parameters
    for function, counted, both, bodies, parameter in ((0, 1, 1, 1, 1), (2, 2, 1, 2, 1), (3, 3, 2, 3, 2)):
        name = named(features.free_names, function, "path", FREE_NAME_FEATURES)
        share = (both + PRIOR * rate) / (counted + PRIOR)
        assert name["log_odds"] == pytest.approx(math.log(share / (1 - share)), rel=1e-5)
        assert name["log_count"] == pytest.approx(math.log1p(counted))
        assert name["parameter_log_share"] == pytest.approx(math.log((parameter + 0.5) / (bodies + 1)), rel=1e-5)
        assert name["body_log_share"] == pytest.approx(math.log((counted + 0.5) / (bodies + 1)), rel=1e-5)
    assert named(features.free_names, 1, "path", FREE_NAME_FEATURES)["self_free"] == 1
    assert named(features.free_names, 0, "path", FREE_NAME_FEATURES)["self_free"] == 0


def test_parameters_know_their_place_and_how_often_they_go_unused(features):
    parameter = named(features.parameters, 2, "size", PARAMETER_FEATURES)
    assert parameter["place"] == pytest.approx(math.log1p(1))
    assert parameter["parameters"] == pytest.approx(math.log1p(2))
    rate = (1 + 1) / (5 + 2)  # path mode, self, path size: `size` is unused
    assert parameter["log_odds"] == pytest.approx(math.log(rate / (1 - rate)), rel=1e-5)  # nobody else has it
    assert parameter["log_count"] == 0


def test_the_name_of_a_function_and_its_super_call_are_one_term(features):
    assert values(features.function_names, 3, "open_path").tolist() == [1, 0, 0]
    assert features.super_calls.terms.tolist() == [term_hash("open_path")]
    assert len(features.super_calls.terms) == 1


def test_an_own_package_decides_nothing(terms, features):
    """A copy of a package's functions changes no feature of that package."""
    twice = extract_terms(SIGNATURES + SIGNATURES[:2], BODIES + BODIES[:2])[0]
    more = of_train(twice, [*PACKAGES, "a", "a"], [0, 1, 2, 4, 5])
    statistics = slice(FREE_NAME_FEATURES.index("log_count"), None)
    first = features.free_names.functions < 2
    np.testing.assert_array_equal(
        more.free_names.values[: len(first)][first][:, statistics], features.free_names.values[first][:, statistics]
    )


def test_what_is_not_python_has_words_alone():
    terms, _ = extract_terms(["int add(int a)", "fn f()"], ["{ return a + 1; }", "{}"])
    features = of_train(terms, ["p", "q"], [0, 1])
    assert len(features.free_names.terms) == len(features.parameters.terms) == len(features.function_names.terms) == 0
    assert len(features.body_words.terms) == 3
    assert in_rows(features.signature_words, features.body_words).tolist() == [False, False, True, False, False]
