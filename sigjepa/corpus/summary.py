"""The corpus in tables: functions by split, tier and repository, lengths, and what was skipped and why."""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from sigjepa.corpus.skip_reasons import SKIP_REASONS
from sigjepa.corpus.split import SPLITS, TIERS

PERCENTILES = (5, 25, 50, 75, 95, 99, 100)
WIDTH = 118
NOTABLE_DIFFERENCE = 0.05
"""How far a split's share may be from the one asked for before the summary says so."""


def summary_text(
    columns: Mapping[str, Sequence[Any]],
    facts: Mapping[str, Any],
    split_shares: Mapping[str, float],
    repositories: int | None,
) -> str:
    """Return all tables as plain text.

    columns: of the corpus, by name. facts: of its manifest. split_shares: those asked for. repositories: so many of the
    largest are listed; None is all.
    """
    tables = [
        split_table(columns, split_shares),
        repository_table(columns, repositories),
        length_table(columns),
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
    for note in share_notes(columns["split"], split_shares):
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


def split_table(columns: Mapping[str, Sequence[Any]], shares: Mapping[str, float]) -> Table:
    """Return the functions and repositories by split and tier, and the share asked for beside the one reached."""
    total = len(columns["split"])
    cells = Counter(zip(columns["split"], columns["tier"], strict=True))
    homes = dict(zip(columns["repository"], columns["split"], strict=True))
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


def share_notes(splits: Sequence[str], shares: Mapping[str, float]) -> list[str]:
    """Return a sentence for each split whose share is far from the one asked for."""
    reached = Counter(splits)
    return [
        f"Note: {split} holds {reached[split] / len(splits):.1%} of the functions instead of {shares[split]:.1%}, "
        f"because repositories are not divided; more or smaller repositories bring it closer."
        for split in SPLITS
        if abs(reached[split] / len(splits) - shares[split]) > NOTABLE_DIFFERENCE
    ]


def repository_table(columns: Mapping[str, Sequence[Any]], rows: int | None) -> Table:
    """Return the largest repositories, with the tier and split of each."""
    sizes = Counter(zip(columns["repository"], columns["tier"], columns["split"], strict=True))
    ranked = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    table = plain_table("Functions by repository", "repository", "tier", "split", "functions")
    for (repository, tier, split), size in ranked[:rows]:
        table.add_row(repository, tier, split, f"{size:,}")
    if rest := ranked[rows:] if rows is not None else []:
        table.add_row(f"({len(rest):,} more)", "", "", f"{sum(size for _, size in rest):,}")
    return table


def length_table(columns: Mapping[str, Sequence[Any]]) -> Table:
    """Return the percentiles of the lengths of both halves."""
    body_lines = [body.count("\n") + 1 for body in columns["body"]]
    lengths = {
        "signature characters": list(map(len, columns["signature"])),
        "body characters": list(map(len, columns["body"])),
        "body lines": body_lines,
        "docstring characters": list(map(len, columns["docstring"])),
    }
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
