from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.corpus.select import Selection, check_tier_sizes, equal_counts, select, shortage
from sigjepa.errors import SigjepaError

SHARES = {"train": 0.7, "val": 0.2, "test": 0.1}


def found(sizes: list[int]) -> dict[str, int]:
    return {f"r{repository:02}": size for repository, size in enumerate(sizes) if size}


def selected(sizes: dict[str, int], tier_sizes: dict[str, int] | None, **changes: Any) -> Selection:
    arguments: dict[str, Any] = {
        **{"max_functions": None, "max_functions_per_repository": None, "tier_sizes": tier_sizes},
        **{"phase0_share": 0.56, "split_shares": SHARES, "seed": 0},
    }
    return select(sizes, **arguments | changes)


@given(st.lists(st.integers(20, 40), min_size=30, max_size=50), st.floats(0.3, 0.7), st.floats(0.3, 0.5))
def test_tiers_are_filled_exactly_and_repositories_never_divided(sizes: list[int], share: float, part: float) -> None:
    limit = 30
    total = round(part * sum(min(size, limit) for size in sizes))  # repositories are not divided, so not all can be had
    wanted = {"phase0": round(share * total), "heads": total - round(share * total)}
    given = found(sizes)
    chosen = selected(given, wanted, max_functions_per_repository=limit)
    assert chosen.sums(chosen.tiers) == wanted
    assert all(0 < size <= min(limit, given[name]) for name, size in chosen.sizes.items())
    assert set(chosen.splits) == set(chosen.sizes) <= set(chosen.tiers)
    assert sum(chosen.sizes.values()) == sum(chosen.sums(chosen.splits).values()) == total


def test_each_tier_is_divided_into_splits_by_itself() -> None:
    chosen = selected(found([10] * 100), {"phase0": 500, "heads": 300})
    counted: Counter[tuple[str, str]] = Counter()
    for name, size in chosen.sizes.items():
        counted[chosen.tiers[name], chosen.splits[name]] += size
    for tier, size in (("phase0", 500), ("heads", 300)):
        for split, share in SHARES.items():
            assert counted[tier, split] == pytest.approx(share * size, abs=10)


def test_a_tier_of_none_leaves_all_to_the_other() -> None:
    chosen = selected(found([10] * 10), {"phase0": 50, "heads": 0})
    assert chosen.sums(chosen.tiers) == {"phase0": 50}


def test_order_of_what_is_given_does_not_matter() -> None:
    sizes = found([10, 20, 30, 40, 50, 60, 70, 80])
    tiers = {"phase0": 90, "heads": 70}
    assert selected(sizes, tiers) == selected(dict([*sizes.items()][::-1]), tiers)
    assert selected(sizes, tiers) != selected(sizes, tiers, seed=1)


def test_a_tier_that_cannot_be_filled_says_how_many_are_missing() -> None:
    with pytest.raises(SigjepaError, match=r"'phase0'.* 30 .*max_functions_per_repository"):
        selected(found([10] * 12), {"phase0": 60, "heads": 60}, max_functions_per_repository=5)


@pytest.mark.parametrize(
    ("limits", "missing"),
    [
        ({}, 0),
        ({"max_functions": 120}, 0),
        ({"max_functions": 125}, 5),
        ({"max_functions": 120, "max_functions_per_repository": 5}, 60),
        ({"tier_sizes": {"phase0": 60, "heads": 60}}, 0),
        ({"tier_sizes": {"phase0": 60, "heads": 60}, "max_functions_per_repository": 5}, 60),
        ({"tier_sizes": {"phase0": 55, "heads": 65}}, 5),
        ({"tier_sizes": {"phase0": 130, "heads": 0}}, 10),
    ],
)
def test_a_shortage_is_what_the_limits_ask_for_and_repositories_do_not_give(limits: Any, missing: int) -> None:
    none = {"max_functions": None, "max_functions_per_repository": None, "tier_sizes": None, "seed": 0}
    assert shortage(found([10] * 12), **none | limits) == missing


def test_a_tier_of_two_repositories_cannot_fill_three_splits() -> None:
    with pytest.raises(SigjepaError, match=" 3 "):
        selected(found([10] * 5), {"phase0": 20, "heads": 20})


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.none() | st.integers(1, 100), st.integers(1, 20))
def test_levelling_fills_the_limits_as_equally_as_it_can(sizes: list[int], most: int | None, limit: int) -> None:
    given = found(sizes)
    taken = equal_counts(given, most, limit, 0)
    available = sum(min(size, limit) for size in sizes)
    assert sum(taken.values()) == min(available, most or available)
    fullest = max(taken.values(), default=0)
    assert fullest <= limit
    for name, size in given.items():  # who got less than the fullest by more than one had no more to give
        assert taken.get(name, 0) >= fullest - 1 or taken[name] == min(size, limit)
    assert 0 not in taken.values()
    assert taken == equal_counts(dict([*given.items()][::-1]), most, limit, 0)


@pytest.mark.parametrize(
    "sizes",
    [
        *({"phase0": 3}, {"phase0": 3, "heads": 2, "more": 1}, {"phase0": 3, "haeds": 2}),
        *({"phase0": 3, "heads": -1}, {"phase0": 0, "heads": 0}, {"phase0": 0.5, "heads": 0.5}),
    ],
)
def test_sizes_that_are_no_counts_of_both_tiers_are_named(sizes: Any) -> None:
    with pytest.raises(SigjepaError, match=r"tier_sizes=\{"):
        check_tier_sizes(sizes, None)


def test_sizes_over_the_limit_are_named_with_both_sums() -> None:
    check_tier_sizes(None, 1)
    check_tier_sizes({"phase0": 3, "heads": 2}, 5)
    with pytest.raises(SigjepaError, match=r"corpus\.max_functions=4"):
        check_tier_sizes({"phase0": 3, "heads": 2}, 4)
