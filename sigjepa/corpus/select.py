"""Selection of the functions that make up the corpus, and of the tier and split of each repository: by counts."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sigjepa.corpus.split import TIERS, allocate, assign_tiers, seeded_hash, split_repositories
from sigjepa.errors import SigjepaError


@dataclass(frozen=True)
class Selection:
    """The number of functions taken of each repository, one at least, and its tier and split."""

    sizes: Mapping[str, int]
    tiers: Mapping[str, str]
    splits: Mapping[str, str]

    def sums(self, homes: Mapping[str, str]) -> dict[str, int]:
        """Return the functions of each split or tier."""
        sums: Counter[str] = Counter()
        for name, size in self.sizes.items():
            sums[homes[name]] += size
        return dict(sums)


def select(
    found: Mapping[str, int],
    *,
    max_functions: int | None,
    max_functions_per_repository: int | None,
    tier_sizes: Mapping[str, int] | None,
    phase0_share: float,
    split_shares: Mapping[str, float],
    seed: int,
) -> Selection:
    """Return what is taken within the limits, and the repositories divided into splits and tiers.

    found: the functions of each repository, one at least. With `tier_sizes` repositories go to tiers first, each tier
    is levelled out to exactly its size, and divided into splits by itself. Raises SigjepaError when repositories are
    too few, or a tier cannot be filled.
    """
    limit = max_functions_per_repository or sum(found.values())
    if tier_sizes is None:
        sizes = equal_counts(found, max_functions, limit, seed)
        splits = split_repositories(sizes, split_shares, seed)
        return Selection(sizes, assign_tiers(sizes, splits, phase0_share, seed), splits)

    usable = {name: min(limit, size) for name, size in found.items()}
    tiers = tiers_by_size(usable, tier_sizes, seed)
    sizes, splits = {}, {}
    for tier in (tier for tier in TIERS if tier_sizes[tier]):
        members = {name: size for name, size in found.items() if tiers[name] == tier}
        if missing := missing_of_tier(tier, usable, tiers, tier_sizes):
            raise SigjepaError(
                f"Tier '{tier}' wants {tier_sizes[tier]:,} functions; its {len(members)} repositories give "
                f"{missing:,} too few. Give more repositories, raise corpus.max_functions_per_repository "
                f"(now {max_functions_per_repository}), or set corpus.tier_sizes lower or to null."
            )
        chosen = equal_counts(members, tier_sizes[tier], limit, seed)
        splits |= split_repositories(chosen, split_shares, seed)
        sizes |= chosen
    return Selection(sizes, tiers, splits)


def shortage(
    found: Mapping[str, int],
    *,
    max_functions: int | None,
    max_functions_per_repository: int | None,
    tier_sizes: Mapping[str, int] | None,
    seed: int,
) -> int:
    """Return how many more functions `tier_sizes`, or else `max_functions`, ask for than `found` can give them."""
    limit = max_functions_per_repository or sum(found.values())
    usable = {name: min(limit, size) for name, size in found.items()}
    if tier_sizes is None:
        return max(0, (max_functions or 0) - sum(usable.values()))
    tiers = tiers_by_size(usable, tier_sizes, seed)
    return sum(missing_of_tier(tier, usable, tiers, tier_sizes) for tier in TIERS)


def tiers_by_size(usable: Mapping[str, int], tier_sizes: Mapping[str, int], seed: int) -> dict[str, str]:
    """Return the tier of each repository; usable: how many functions of each may be taken."""
    return allocate(usable, {tier: tier_sizes[tier] / sum(tier_sizes.values()) for tier in TIERS}, seed)


def missing_of_tier(
    tier: str, usable: Mapping[str, int], tiers: Mapping[str, str], tier_sizes: Mapping[str, int]
) -> int:
    """Return how many functions a tier's repositories have too few for its size; tiers: that of each repository."""
    return max(0, tier_sizes[tier] - sum(size for name, size in usable.items() if tiers[name] == tier))


def equal_counts(found: Mapping[str, int], most: int | None, limit: int, seed: int) -> dict[str, int]:
    """Return how many functions to take of each repository, as equally as their sizes allow.

    most: in all; None is no limit. limit: of each repository. One that gives none is left out.
    """
    taken = {name: min(limit, size) for name, size in found.items()}
    if most is not None and sum(taken.values()) > most:
        low, high = 0, limit  # the highest level whose sum fits, by bisection
        while low < high:
            level = (low + high + 1) // 2
            if sum(min(size, level) for size in taken.values()) <= most:
                low = level
            else:
                high = level - 1
        larger = sorted((name for name in taken if taken[name] > low), key=lambda name: (seeded_hash(seed, name), name))
        taken = {name: min(size, low) for name, size in taken.items()}
        for name in larger[: most - sum(taken.values())]:
            taken[name] += 1
    return {name: size for name, size in taken.items() if size}


def check_tier_sizes(tier_sizes: Mapping[str, int] | None, max_functions: int | None) -> None:
    """Raise SigjepaError unless `tier_sizes` is None or counts for each tier that `max_functions` allows."""
    if tier_sizes is None:
        return
    counts = [size for size in tier_sizes.values() if isinstance(size, int) and size >= 0]
    if set(tier_sizes) != set(TIERS) or len(counts) < len(TIERS) or not sum(counts):
        raise SigjepaError(
            f"tier_sizes={dict(tier_sizes)} must be whole numbers of functions for {' and '.join(TIERS)}, such as "
            f"{{phase0: 28400, heads: 22435}}, or null."
        )
    if max_functions is not None and sum(counts) > max_functions:
        raise SigjepaError(
            f"corpus.tier_sizes={dict(tier_sizes)} asks for {sum(counts):,} functions, corpus.max_functions="
            f"{max_functions} allows fewer; raise that, or set corpus.tier_sizes lower or to null."
        )
