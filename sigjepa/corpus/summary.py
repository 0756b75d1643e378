"""The corpus in tables: functions by split, tier and repository, lengths, and what was skipped and why."""

import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from rich import box
from rich.console import Console
from rich.table import Table

from sigjepa.corpus.skip_reasons import SKIP_REASONS
from sigjepa.corpus.split import SPLITS, TIERS

Sizes: TypeAlias = Mapping[tuple[str, str, str], int]
"""Functions by repository, tier and split."""
PERCENTILES = (5, 25, 50, 75, 95, 99, 100)
WIDTH = 118
NOTABLE_DIFFERENCE = 0.05
"""How far a split's share may be from the one asked for before the summary says so."""


@dataclass(frozen=True)
class Sums:
    """The figures of the summary: the number of functions by repository, tier and split, and lengths `[N]`."""

    sizes: Counter[tuple[str, str, str]]
    lengths: Mapping[str, npt.NDArray[np.int32]]


def summed(tables: Iterable[pa.Table]) -> Sums:
    """Return the sums of a corpus, given in blocks."""
    sizes: Counter[tuple[str, str, str]] = Counter()
    lengths: dict[str, list[npt.NDArray[np.int32]]] = {name: [] for name in LENGTHS}
    for table in tables:
        sizes.update(zip(*(table[name].to_pylist() for name in ("repository", "tier", "split")), strict=True))
        for name, length in LENGTHS.items():
            lengths[name].append(length(table).to_numpy().astype(np.int32))
    return Sums(sizes, {name: np.concatenate(found) for name, found in lengths.items()})


LENGTHS: Mapping[str, Callable[[pa.Table], Any]] = {
    "signature characters": lambda table: pc.utf8_length(table["signature"]),
    "body characters": lambda table: pc.utf8_length(table["body"]),
    "body lines": lambda table: pc.add(pc.count_substring(table["body"], "\n"), 1),
    "docstring characters": lambda table: pc.utf8_length(table["docstring"]),
}


def summary_text(
    sums: Sums,
    facts: Mapping[str, Any],
    split_shares: Mapping[str, float],
    repositories: int | None,
) -> str:
    """Return all tables as plain text.

    sums: of the corpus. facts: of its manifest. split_shares: those asked for. repositories: so many of the
    largest are listed; None is all.
    """
    tables = [
        split_table(sums.sizes, split_shares),
        repository_table(sums.sizes, repositories),
        length_table(sums.lengths),
        skipped_table(facts["skipped"]),
    ]
    counts = facts["counts"]
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False)
    for table in tables:
        console.print(table)
    console.print(
        f"{counts['files_read']:,} of {counts['files_listed']:,} files were read: no more of a repository than the "
        f"limits can use. They gave {counts['functions_extracted']:,} functions before duplicates and limits."
    )
    for note in share_notes(sums.sizes, split_shares):
        console.print(note)
    console.print(f"hash {facts['hash']}")
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def plain_table(title: str, *headings: str) -> Table:
    """Return a table in Markdown's shape, so that it pastes into a README: text in the first column, numbers after."""
    table = Table(title=title, box=box.MARKDOWN, title_justify="left", title_style="")
    for position, heading in enumerate(headings):
        table.add_column(heading, justify="right" if position else "left")
    return table


def split_table(sizes: Sizes, shares: Mapping[str, float]) -> Table:
    """Return the functions and repositories by split and tier, and the share asked for beside the one reached."""
    total = sum(sizes.values())
    cells: Counter[tuple[str, str]] = Counter()
    for (_, tier, split), size in sizes.items():
        cells[split, tier] += size
    homes = {repository: split for repository, _, split in sizes}
    table = plain_table("Functions by split and tier", "split", "repositories", *TIERS, "functions", "share", "wanted")
    for split in SPLITS:
        by_tier = [cells[split, tier] for tier in TIERS]
        table.add_row(
            split,
            f"{sum(home == split for home in homes.values()):,}",
            *(f"{count:,}" for count in by_tier),
            f"{sum(by_tier):,}",
            f"{sum(by_tier) / total:.1%}",
            f"{shares[split]:.1%}",
        )
    sums = [sum(cells[split, tier] for split in SPLITS) for tier in TIERS]
    table.add_row("all", f"{len(homes):,}", *(f"{count:,}" for count in sums), f"{total:,}", "100.0%", "100.0%")
    return table


def share_notes(sizes: Sizes, shares: Mapping[str, float]) -> list[str]:
    """Return a sentence for each split whose share is far from the one asked for."""
    total = sum(sizes.values())
    reached = {split: sum(size for (_, _, its), size in sizes.items() if its == split) / total for split in SPLITS}
    return [
        f"Note: {split} holds {reached[split]:.1%} of the functions instead of {shares[split]:.1%}, "
        f"because repositories are not divided; more or smaller repositories bring it closer."
        for split in SPLITS
        if abs(reached[split] - shares[split]) > NOTABLE_DIFFERENCE
    ]


def repository_table(sizes: Sizes, rows: int | None) -> Table:
    """Return the largest repositories, with the tier and split of each."""
    ranked = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    table = plain_table("Functions by repository", "repository", "tier", "split", "functions")
    for (repository, tier, split), size in ranked[:rows]:
        table.add_row(repository, tier, split, f"{size:,}")
    if rest := ranked[rows:] if rows is not None else []:
        table.add_row(f"({len(rest):,} more)", "", "", f"{sum(size for _, size in rest):,}")
    return table


def length_table(lengths: Mapping[str, npt.NDArray[np.int32]]) -> Table:
    """Return the percentiles of the lengths of both halves."""
    table = plain_table("Lengths by percentile", "length", *(f"p{p}" if p < 100 else "max" for p in PERCENTILES))
    for name, values in lengths.items():
        table.add_row(name, *(f"{value:,.0f}" for value in np.percentile(values, PERCENTILES)))
    return table


def skipped_table(skipped: Mapping[str, int]) -> Table:
    """Return how often each reason kept a file or function out."""
    table = plain_table("Skipped", "reason", "count")
    table.add_column("what that is")
    for reason, meaning in SKIP_REASONS.items():
        if skipped.get(reason):
            table.add_row(reason, f"{skipped[reason]:,}", meaning)
    return table
