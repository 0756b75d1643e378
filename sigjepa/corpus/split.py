"""Shares of repositories: train, validation and test, and the tiers within each."""

import math
from collections.abc import Mapping

import xxhash

from sigjepa.errors import SigjepaError

SPLITS = ("train", "val", "test")
TIERS = ("phase0", "heads")


def seeded_hash(seed: int, *names: object) -> int:
    """Return a number that depends on `seed` and `names` alone, by which things are drawn at random but repeatably."""
    return xxhash.xxh3_64_intdigest("\0".join(map(str, (seed, *names))).encode("utf-8", "surrogateescape"))


def allocate(sizes: Mapping[str, int], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Give each repository to one group, so that the groups' functions come close to `shares`.

    The largest repository goes first, equal ones in seeded order. Each goes where it fits, to the group that lacks the
    greatest part of its share, so that all groups get large and small ones; where it fits nowhere, to the group that
    lacks most functions. While there are repositories enough, no group with a share stays empty.
    """
    wanted = {group: share * sum(sizes.values()) for group, share in shares.items() if share > 0}
    lacking = dict(wanted)
    empty = set(wanted)
    groups: dict[str, str] = {}
    for name in sorted(sizes, key=lambda name: (-sizes[name], seeded_hash(seed, name), name)):
        must_fill = len(sizes) - len(groups) <= len(empty)
        open_groups = [group for group in wanted if group in empty or not must_fill]
        if fitting := [group for group in open_groups if lacking[group] >= sizes[name]]:
            group = max(fitting, key=lambda group: lacking[group] / wanted[group])
        else:
            group = max(open_groups, key=lambda group: lacking[group])
        lacking[group] -= sizes[name]
        empty.discard(group)
        groups[name] = group
    return groups


def split_repositories(sizes: Mapping[str, int], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Return the split of each repository, from its number of functions.

    Raises SigjepaError for wrong shares, and for fewer than three repositories, which cannot fill three splits.
    """
    check_shares(shares)
    if len(sizes) < len(SPLITS):
        held = ", ".join(f"{name} ({size} functions)" for name, size in sorted(sizes.items()))
        raise SigjepaError(
            f"A split by repository into train, val and test needs at least 3 repositories with functions, "
            f"found {len(sizes)}: {held or 'none'}. Give more repositories; for one large one, give its packages "
            f"as separate folders (corpus=folder)."
        )
    return allocate(sizes, {split: shares[split] for split in SPLITS}, seed)


def assign_tiers(sizes: Mapping[str, int], splits: Mapping[str, str], phase0_share: float, seed: int) -> dict[str, str]:
    """Return the tier of each repository, such that `phase0_share` holds within every split as nearly as it can."""
    if not 0 <= phase0_share <= 1:
        raise SigjepaError(f"phase0_share={phase0_share} must be between 0 and 1.")
    shares = dict(zip(TIERS, (phase0_share, 1 - phase0_share), strict=True))
    tiers: dict[str, str] = {}
    for split in SPLITS:
        tiers |= allocate({name: size for name, size in sizes.items() if splits[name] == split}, shares, seed)
    return tiers


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise SigjepaError unless `shares` are positive numbers for train, val and test that add up to 1."""
    if set(shares) != set(SPLITS) or min(shares.values()) <= 0 or not math.isclose(sum(shares.values()), 1):
        raise SigjepaError(
            f"split_shares={dict(shares)} must be positive shares of train, val and test that add up to 1, "
            f"such as {{train: 0.7, val: 0.2, test: 0.1}}."
        )
