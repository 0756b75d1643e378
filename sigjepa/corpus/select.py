"""Selection of the functions that make up the corpus, and of the tier and split of each repository."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sigjepa.corpus.collect import level_out
from sigjepa.corpus.functions import Function
from sigjepa.corpus.split import TIERS, allocate, assign_tiers, split_repositories
from sigjepa.errors import SigjepaError


@dataclass(frozen=True)
class Selection:
    """Functions in order of place, and the homes of their repositories."""

    functions: list[Function]
    tiers: Mapping[str, str]
    splits: Mapping[str, str]


def select(
    unique: Sequence[Function],
    *,
    max_functions: int | None,
    max_functions_per_repository: int | None,
    tier_sizes: Mapping[str, int] | None,
    phase0_share: float,
    split_shares: Mapping[str, float],
    seed: int,
) -> Selection:
    """Return the functions within the limits, their repositories divided into splits and tiers.

    With `tier_sizes` repositories go to tiers first, each tier is levelled out to exactly its size, and divided into
    splits by itself. Raises SigjepaError when repositories are too few, or a tier cannot be filled.
    """
    by_repository: dict[str, list[Function]] = {}
    for function in unique:
        by_repository.setdefault(function.repository, []).append(function)
    if tier_sizes is None:
        functions = level_out(
            by_repository,
            max_functions=max_functions,
            max_functions_per_repository=max_functions_per_repository,
            seed=seed,
        )
        sizes = sizes_of(functions)
        splits = split_repositories(sizes, split_shares, seed)
        return Selection(functions, assign_tiers(sizes, splits, phase0_share, seed), splits)

    limit = max_functions_per_repository or len(unique)
    usable = {name: min(limit, len(found)) for name, found in by_repository.items()}
    tiers = allocate(usable, {tier: tier_sizes[tier] / sum(tier_sizes.values()) for tier in TIERS}, seed)
    functions, splits = [], {}
    for tier in (tier for tier in TIERS if tier_sizes[tier]):
        members = {name: found for name, found in by_repository.items() if tiers[name] == tier}
        if (missing := tier_sizes[tier] - sum(usable[name] for name in members)) > 0:
            raise SigjepaError(
                f"Tier '{tier}' wants {tier_sizes[tier]:,} functions; its {len(members)} repositories give "
                f"{missing:,} too few. Give more repositories, raise corpus.max_functions_per_repository "
                f"(now {max_functions_per_repository}), or set corpus.tier_sizes lower or to null."
            )
        chosen = level_out(members, max_functions=tier_sizes[tier], max_functions_per_repository=limit, seed=seed)
        splits |= split_repositories(sizes_of(chosen), split_shares, seed)
        functions += chosen
    return Selection(sorted(functions, key=lambda function: function.place), tiers, splits)


def sizes_of(functions: Sequence[Function]) -> dict[str, int]:
    """Return the number of functions of each repository."""
    sizes: dict[str, int] = {}
    for function in functions:
        sizes[function.repository] = sizes.get(function.repository, 0) + 1
    return sizes


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
