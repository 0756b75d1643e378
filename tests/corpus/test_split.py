import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.corpus.split import SPLITS, TIERS, allocate, assign_tiers, split_repositories
from sigjepa.errors import SigjepaError

SHARES = {"train": 0.7, "val": 0.2, "test": 0.1}
SIZES = st.dictionaries(st.text("abcdef", min_size=1), st.integers(1, 500), min_size=3, max_size=40)


def functions_of(sizes: dict[str, int], groups: dict[str, str], group: str) -> int:
    return sum(size for name, size in sizes.items() if groups[name] == group)


@given(SIZES, st.integers(0, 5))
def test_every_repository_has_one_split_and_no_split_is_empty(sizes: dict[str, int], seed: int) -> None:
    splits = split_repositories(sizes, SHARES, seed)
    assert set(splits) == set(sizes)
    assert set(splits.values()) == set(SPLITS)
    assert splits == split_repositories(dict(reversed(sizes.items())), SHARES, seed)


@given(st.lists(st.integers(1, 30), min_size=60, max_size=80), st.integers(0, 5))
def test_shares_are_met_when_repositories_are_small(counts: list[int], seed: int) -> None:
    sizes = {f"r{i}": count for i, count in enumerate(counts)}
    splits = split_repositories(sizes, SHARES, seed)
    total = sum(sizes.values())
    for split, share in SHARES.items():
        assert abs(functions_of(sizes, splits, split) - share * total) <= 30


def test_a_giant_does_not_empty_the_other_splits() -> None:
    splits = split_repositories({"giant": 100_000, "a": 1, "b": 1}, SHARES, seed=0)
    assert splits["giant"] == "train"
    assert {splits["a"], splits["b"]} == {"val", "test"}


def test_functions_count_and_not_repositories() -> None:
    sizes = {"large": 50} | {f"small{i}": 1 for i in range(50)}
    splits = split_repositories(sizes, SHARES, seed=0)
    assert [functions_of(sizes, splits, split) for split in SPLITS] == [70, 20, 10]


def test_splits_get_large_and_small_repositories_alike() -> None:
    sizes = {f"large{i}": 100 for i in range(20)} | {f"small{i}": 10 for i in range(200)}
    splits = split_repositories(sizes, SHARES, seed=0)
    large = [splits[name] for name in sizes if name.startswith("large")]
    assert [large.count(split) for split in SPLITS] == [14, 4, 2]


def test_the_seed_decides_between_equal_repositories() -> None:
    sizes = {f"r{i}": 10 for i in range(20)}
    assert split_repositories(sizes, SHARES, 0) != split_repositories(sizes, SHARES, 1)


@given(st.lists(st.integers(1, 30), min_size=60, max_size=80), st.sampled_from([0.0, 0.3, 0.56, 1.0]))
def test_the_share_of_the_first_tier_holds_in_every_split(counts: list[int], share: float) -> None:
    sizes = {f"r{i}": count for i, count in enumerate(counts)}
    splits = split_repositories(sizes, SHARES, 0)
    tiers = assign_tiers(sizes, splits, share, 0)
    assert set(tiers) == set(sizes)
    for split in SPLITS:
        inside = {name: size for name, size in sizes.items() if splits[name] == split}
        assert abs(functions_of(inside, tiers, TIERS[0]) - share * sum(inside.values())) <= 30
    if share in (0.0, 1.0):
        assert set(tiers.values()) == {TIERS[1] if share == 0 else TIERS[0]}


def test_one_repository_is_allocated_once() -> None:
    assert allocate({"only": 3}, {"a": 0.4, "b": 0.6}, 0) == {"only": "b"}


@pytest.mark.parametrize("sizes", [{}, {"one": 5}, {"one": 5, "two": 6}])
def test_too_few_repositories_name_the_way_out(sizes: dict[str, int]) -> None:
    with pytest.raises(SigjepaError, match=rf" 3 .* {len(sizes)}"):
        split_repositories(sizes, SHARES, 0)


@pytest.mark.parametrize(
    "shares",
    [
        {"train": 0.7, "val": 0.2},
        {"train": 0.7, "val": 0.2, "test": 0.2},
        {"train": 0.9, "val": 0.1, "test": 0.0},
        {"train": 0.7, "valid": 0.2, "test": 0.1},
    ],
)
def test_wrong_shares_are_an_error(shares: dict[str, float]) -> None:
    with pytest.raises(SigjepaError, match="split_shares"):
        split_repositories({"a": 1, "b": 1, "c": 1}, shares, 0)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_wrong_tier_share_is_an_error(share: float) -> None:
    with pytest.raises(SigjepaError, match="phase0_share"):
        assign_tiers({"a": 1}, {"a": "train"}, share, 0)
