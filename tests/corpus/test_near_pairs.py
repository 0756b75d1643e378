import random

import numpy as np
import pytest
from deduplicated import deduplicated, deduplicated_one_by_one
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjepa.corpus import near_pairs
from sigjepa.corpus.functions import Function
from sigjepa.corpus.near_pairs import pairs_within


def some_functions(seed: int, count: int) -> list[Function]:
    """Bodies of a few templates with small changes and other names: chains and clusters of duplicates by every view."""
    draw = random.Random(seed)
    bodies = []
    for _ in range(count):
        words = [f"word{draw.randint(0, 1)}x{i}" for i in range(4)] + [f"'{i}'" for i in range(36)]
        for _ in range(draw.choice([0, 0, 1, 2, 4, 6])):
            words[draw.randrange(4, 40)] = f"'{draw.choice('uvw')}'"
        bodies.append(" + ".join(words[: draw.choice([3, 40])]))
    return [Function("r", "a.py", f"f{i}", i, "def f():", "", body) for i, body in enumerate(bodies)]


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 30), st.data())
def test_what_is_kept_is_what_one_ordered_pass_keeps_however_it_is_divided(
    seed: int, count: int, data: st.DataObject
) -> None:
    functions = some_functions(seed, count)
    cuts = sorted(data.draw(st.lists(st.integers(0, count), max_size=3)))
    sizes = np.diff([0, *cuts, count]).tolist()
    assert deduplicated(functions, sizes=sizes) == deduplicated_one_by_one(functions)


def test_buckets_and_blocks_and_parts_of_tasks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    functions = some_functions(3, 60)
    whole = deduplicated(functions)
    assert len(whole[0]) < 40
    assert set(whole[1]) == {"exact_duplicate", "near_duplicate", "renamed_duplicate"}
    monkeypatch.setattr(near_pairs, "MAX_ROWS", 20)
    monkeypatch.setattr(near_pairs, "MIN_ROWS", 100)
    monkeypatch.setattr(near_pairs, "MAX_PAIRS", 1)
    assert deduplicated(functions) == whole


@given(st.lists(st.integers(0, 5), max_size=20))
def test_pairs_within_are_all_with_equal_keys(values: list[int]) -> None:
    keys = np.array(sorted(values), dtype=np.uint64)
    found = [tuple(pair) for block in pairs_within(np.arange(len(keys)), keys) for pair in block.tolist()]
    assert sorted(found) == [(i, j) for i in range(len(keys)) for j in range(i + 1, len(keys)) if keys[i] == keys[j]]
