"""Building the corpus: collect functions, drop duplicates, apply the limits, split."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet as pq

from sigjepa.corpus.collect import collect
from sigjepa.corpus.corpus import FUNCTIONS_FILE, Corpus, content_hash, functions_table
from sigjepa.corpus.dedup import drop_duplicates
from sigjepa.corpus.functions import EXTRACTION_VERSION
from sigjepa.corpus.select import check_tier_sizes, select
from sigjepa.corpus.source_files import SOURCES_FILE, write_sources
from sigjepa.corpus.sources.source import Source
from sigjepa.corpus.split import SPLITS, TIERS, check_shares
from sigjepa.corpus.summary import summary_text
from sigjepa.errors import SigjepaError
from sigjepa.store.manifest import Manifest
from sigjepa.store.stage import Part, Stage

SUMMARY_FILE = "summary.txt"
LIMITS = ("min_body_statements", "max_body_lines", "max_file_bytes")
"""The limits that `extract_functions` is given."""

PLAIN_INPUTS = (
    *("max_functions", "max_functions_per_repository", *LIMITS, "include_tests", "near_duplicate_threshold"),
    *("phase0_share", "split_seed"),
)


@dataclass(frozen=True)
class CorpusStage(Stage[Corpus]):
    """Build a corpus from the functions of a source; equal stages over equal sources share one folder.

    `max_functions` and `max_functions_per_repository` are upper limits (None: no limit) that take equally from all
    repositories. `tier_sizes` gives each tier exactly so many functions; None divides by `phase0_share` what the limits
    leave. `split_seed` decides which functions, repositories' splits and tiers: it is not the training seed, so
    that runs with different seeds share a corpus. `workers` (None: one per core) changes nothing but the time.
    """

    source: Source
    max_functions: int | None = None
    max_functions_per_repository: int | None = None
    min_body_statements: int = 2
    max_body_lines: int = 200
    max_file_bytes: int = 1_000_000
    include_tests: bool = False
    near_duplicate_threshold: float = 0.8
    split_shares: Mapping[str, float] = field(default_factory=lambda: {"train": 0.7, "val": 0.2, "test": 0.1})
    phase0_share: float = 0.56
    tier_sizes: Mapping[str, int] | None = None
    split_seed: int = 0
    workers: int | None = None

    kind: ClassVar[str] = "corpus"
    packages: ClassVar[Sequence[str]] = ("pyarrow", "rensa", "xxhash")

    @property
    def label(self) -> str:
        """The name of the source."""
        return self.source.name

    def inputs(self) -> dict[str, Any]:
        """Return all that the content depends on; raises SigjepaError for a value that cannot be."""
        for name in ("max_functions", "max_functions_per_repository", "min_body_statements", "max_body_lines"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SigjepaError(f"corpus.{name}={value} must be at least 1.")
        check_shares(self.split_shares)
        check_tier_sizes(self.tier_sizes, self.max_functions)
        return {
            "extraction": EXTRACTION_VERSION,
            "python": ".".join(platform.python_version_tuple()[:2]),  # its grammar decides what parses
            "source": self.source.fingerprint(),
            **{name: getattr(self, name) for name in PLAIN_INPUTS},
            "split_shares": {split: float(self.split_shares[split]) for split in SPLITS},
            "tier_sizes": self.tier_sizes and {tier: self.tier_sizes[tier] for tier in TIERS},
        }

    def caches(self) -> Sequence[Path]:
        """Return where the source keeps what it downloads."""
        cache = getattr(self.source, "cache", None)
        return () if cache is None else (Path(cache),)

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write functions, source files and the summary; the facts are counts and the content hash.

        Raises SigjepaError for a source without functions.
        """
        collected = collect(
            self.source.repositories(),
            limits={name: getattr(self, name) for name in LIMITS},
            max_functions=self.max_functions,
            max_functions_per_repository=self.max_functions_per_repository,
            include_tests=self.include_tests,
            seed=self.split_seed,
            workers=self.workers,
        )
        extracted = sorted(
            (function for found in collected.functions.values() for function in found), key=attrgetter("place")
        )
        unique, duplicates = drop_duplicates(extracted, self.near_duplicate_threshold)
        if not unique:
            skipped = collected.skipped + duplicates
            counted = ", ".join(f"{count} {reason}" for reason, count in skipped.most_common()) or "nothing"
            raise SigjepaError(
                f"The corpus is empty: the source '{self.source.name}' lists {collected.files_listed} Python files and "
                f"gives no function. Skipped: {counted}. Check corpus.source, or relax corpus.min_body_statements."
            )
        selection = select(
            unique,
            max_functions=self.max_functions,
            max_functions_per_repository=self.max_functions_per_repository,
            tier_sizes=self.tier_sizes,
            phase0_share=self.phase0_share,
            split_shares=self.split_shares,
            seed=self.split_seed,
        )
        functions, tiers, splits = selection.functions, selection.tiers, selection.splits
        skipped = collected.skipped + duplicates + Counter(over_limit=len(unique) - len(functions))
        table = functions_table(functions, tiers, splits)
        pq.write_table(table, out / FUNCTIONS_FILE, compression="zstd")
        write_sources(out / SOURCES_FILE, collected.sources)
        facts = {
            "hash": content_hash(table),
            "functions": len(functions),
            "counts": {
                "repositories": len(splits),
                "files_listed": collected.files_listed,
                "files_read": collected.files_read,
                "functions_extracted": len(extracted),
                "splits": dict(Counter(splits[function.repository] for function in functions)),
                "tiers": dict(Counter(tiers[function.repository] for function in functions)),
            },
            "skipped": dict(sorted(skipped.items())),
        }
        text = summary_text(table.to_pydict(), facts, self.split_shares, repositories=None)
        (out / SUMMARY_FILE).write_text(text, encoding="utf-8")
        return facts

    def content(self, files: Mapping[str, str], facts: Mapping[str, Any]) -> str:
        """Return the hash of the rows: equal functions are the same corpus, wherever they were read."""
        return str(facts["hash"])

    def open(self, manifest: Manifest) -> Corpus:
        """Return the corpus, whose rows are read when they are asked for."""
        return Corpus(manifest)
