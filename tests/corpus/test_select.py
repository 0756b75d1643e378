from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.corpus.functions import Function
from sigjepa.corpus.select import Selection, check_tier_sizes, select
from sigjepa.errors import SigjepaError

SHARES = {"train": 0.7, "val": 0.2, "test": 0.1}


def functions(sizes: list[int]) -> list[Function]:
    return [
        Function(f"r{repository:02}", "m.py", f"f{i}", i, f"def f{i}():", "", f"body {repository} {i}")
        for repository, size in enumerate(sizes)
        for i in range(size)
    ]


def selected(unique: list[Function], tier_sizes: dict[str, int] | None, **changes: Any) -> Selection:
    arguments: dict[str, Any] = {
        **{"max_functions": None, "max_functions_per_repository": None, "tier_sizes": tier_sizes},
        **{"phase0_share": 0.56, "split_shares": SHARES, "seed": 0},
    }
    return select(unique, **arguments | changes)


@given(st.lists(st.integers(20, 40), min_size=30, max_size=50), st.floats(0.3, 0.7), st.floats(0.3, 0.5))
def test_tiers_are_filled_exactly_and_repositories_never_divided(sizes: list[int], share: float, part: float) -> None:
    limit = 30
    total = round(part * sum(min(size, limit) for size in sizes))  # repositories are not divided, so not all can be had
    wanted = {"phase0": round(share * total), "heads": total - round(share * total)}
    unique = functions(sizes)
    chosen = selected(unique, wanted, max_functions_per_repository=limit)
    counted = Counter(chosen.tiers[one.repository] for one in chosen.functions)
    assert counted == wanted
    assert max(Counter(one.repository for one in chosen.functions).values()) <= limit
    assert set(chosen.splits) == {one.repository for one in chosen.functions} <= set(chosen.tiers)
    assert len(set(chosen.functions)) == total
    assert chosen.functions == sorted(chosen.functions, key=lambda one: one.place)
    assert set(chosen.functions) <= set(unique)


def test_each_tier_is_divided_into_splits_by_itself() -> None:
    chosen = selected(functions([10] * 100), {"phase0": 500, "heads": 300})
    counted = Counter((chosen.tiers[one.repository], chosen.splits[one.repository]) for one in chosen.functions)
    for tier, size in (("phase0", 500), ("heads", 300)):
        for split, share in SHARES.items():
            assert counted[tier, split] == pytest.approx(share * size, abs=10)


def test_a_tier_of_none_leaves_all_to_the_other() -> None:
    chosen = selected(functions([10] * 10), {"phase0": 50, "heads": 0})
    assert set(chosen.tiers.values()) == {"phase0"}
    assert len(chosen.functions) == 50


def test_order_of_what_is_given_does_not_matter() -> None:
    unique = functions([10, 20, 30, 40, 50, 60, 70, 80])
    sizes = {"phase0": 90, "heads": 70}
    assert selected(unique, sizes) == selected(unique[::-1], sizes)
    assert selected(unique, sizes) != selected(unique, sizes, seed=1)


def test_a_tier_that_cannot_be_filled_says_how_many_are_missing() -> None:
    with pytest.raises(SigjepaError, match=r"'phase0'.* 30 .*max_functions_per_repository"):
        selected(functions([10] * 12), {"phase0": 60, "heads": 60}, max_functions_per_repository=5)


def test_a_tier_of_two_repositories_cannot_fill_three_splits() -> None:
    with pytest.raises(SigjepaError, match=" 3 "):
        selected(functions([10] * 5), {"phase0": 20, "heads": 20})


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
