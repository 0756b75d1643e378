import re

import numpy as np
import pytest
from deduplicated import deduplicated
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.corpus.dedup import (
    MISSED_SHARE,
    PERMUTATIONS,
    ShingleSet,
    jaccard,
    lsh_bands,
    renamed_tokens,
    shingle_set,
    tokens,
)
from sigjepa.corpus.functions import Function
from sigjepa.errors import SigjepaError


def function(body: str, name: str = "f", repository: str = "r") -> Function:
    return Function(repository, "a.py", name, 1, f"def {name}():", "", body)


def shingles_of(body: str) -> ShingleSet:
    return shingle_set(tokens(body), {})


def naive_jaccard(first: str, second: str) -> float:
    def shingles(body: str) -> set[tuple[str, ...]]:
        tokens = re.findall(r"\w+|[^\w\s]", body)
        return {tuple(tokens[i : i + 5]) for i in range(max(1, len(tokens) - 4))}

    return len(shingles(first) & shingles(second)) / len(shingles(first) | shingles(second))


def sum_of(names: list[str]) -> str:
    """A body whose words are strings, which renaming leaves as they are."""
    return "total = " + " + ".join(f"'{name}'" for name in names)


RENAMED = [
    ("self.a = a\nself.b = b", "self.key = key\nself.state = state"),
    ("x = open(path)\nreturn x.read()", "file = load(name)\nreturn file.close()"),
    ("log(f'{x} of {y}')\nreturn x", "log(f'{one} of {two}')\nreturn one"),
    ('x = y\nreturn x, "it\'s", z', 'a = b\nreturn a, "it\'s", c'),
]
DIFFERENT = [
    ("self.a = a\nself.b = b", "self.a = b\nself.b = a"),
    ("x = get('a')\nreturn x", "x = get('b')\nreturn x"),
    ("x = get(1)\nreturn x", "x = get(2)\nreturn x"),
    ("if x:\n    return y", "while x:\n    return y"),
    ("return x  # why", "return x  # because"),
    ('x = """a\nb"""\nreturn x', 'x = """a\nc"""\nreturn x'),
]


@pytest.mark.parametrize(("first", "second"), RENAMED)
def test_bodies_that_differ_in_identifiers_alone_are_duplicates(first: str, second: str) -> None:
    assert list(renamed_tokens(first)) == list(renamed_tokens(second))
    kept, dropped = deduplicated([function(first), function(second)], 1.0)
    assert (len(kept), dropped) == (1, {"renamed_duplicate": 1})


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_other_differences_are_none_of_names(first: str, second: str) -> None:
    assert list(renamed_tokens(first)) != list(renamed_tokens(second))


def test_a_renamed_body_with_a_small_change_is_near() -> None:
    lines = [f"v{i} = f{i}(v{i}, {i})" for i in range(30)]
    renamed = [line.replace("v", "w").replace("f", "g") for line in lines]
    _, dropped = deduplicated([function("\n".join(lines)), function("\n".join([*renamed[:29], "return w1"]))])
    assert dropped == {"renamed_duplicate": 1}


def test_equal_bodies_are_exact_duplicates_whatever_the_signature() -> None:
    kept, dropped = deduplicated([function("return 1", "f"), function("return 1", "g"), function("return 2", "h")])
    assert [one.qualname for one in kept] == ["f", "h"]
    assert dropped == {"exact_duplicate": 1}


def test_one_of_a_cluster_stays_and_far_ones_do() -> None:
    names = [f"name{i}" for i in range(60)]
    bodies = [sum_of(names), sum_of(["other", *names[1:]]), sum_of(names[:20]), sum_of(names[::-1])]
    kept, dropped = deduplicated([function(body) for body in bodies])
    assert [one.body for one in kept] == [bodies[0], bodies[2], bodies[3]]
    assert dropped == {"near_duplicate": 1}


def test_layout_and_comments_apart_tokens_decide() -> None:
    body = sum_of([f"name{i}" for i in range(9)])
    _, dropped = deduplicated([function(body), function(body.replace(" + ", "  +\n    "))])
    assert dropped == {"near_duplicate": 1}


TOKENS = st.sampled_from(["a", "b", "c", "self", ".", "(", ")", "=", "é", "\n"])


@given(st.lists(TOKENS, min_size=1), st.lists(TOKENS, min_size=1))
def test_jaccard_is_that_of_the_naive_sets(first: list[str], second: list[str]) -> None:
    one, two = " ".join(first), " ".join(second)
    if one.strip() and two.strip():
        assert jaccard(shingles_of(one), shingles_of(two)) == pytest.approx(naive_jaccard(one, two))


def test_bodies_without_tokens_do_not_fail() -> None:
    assert len(shingles_of("")) == 1


def test_lsh_finds_pairs_at_the_threshold() -> None:
    random = np.random.default_rng(0)
    bodies = []
    for _ in range(300):  # pairs of 50 + 2 * 6 different tokens: a Jaccard just over 0.8
        names = [f"{value}" for value in random.integers(0, 10**9, 60)]  # numbers, which are not renamed
        bodies += [" ".join(names), " ".join([*names[:54], *(f"{value}" for value in random.integers(0, 10**9, 6))])]
    assert naive_jaccard(bodies[0], bodies[1]) == pytest.approx(50 / 62)
    kept, _ = deduplicated([function(body) for body in bodies])
    assert len(kept) == 300


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9, 1.0])
def test_bands_miss_few_at_any_threshold(threshold: float) -> None:
    bands = lsh_bands(threshold)
    assert PERMUTATIONS % bands == 0
    assert (1 - threshold ** (PERMUTATIONS / bands)) ** bands < MISSED_SHARE


@pytest.mark.parametrize("threshold", [0, -1, 1.1])
def test_a_threshold_out_of_range_is_an_error(threshold: float) -> None:
    with pytest.raises(SigjepaError, match="near_duplicate_threshold"):
        lsh_bands(threshold)
