"""Building the corpus: collect functions, drop duplicates, apply the limits, split."""

import math
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, SkipValidation, WrapValidator

from sigjepa.corpus.corpus import FUNCTIONS_FOLDER, SCHEMA, Corpus, tables_in, write_functions
from sigjepa.corpus.dedup import REASONS, VIEWS, duplicates
from sigjepa.corpus.extraction import Extraction, extract
from sigjepa.corpus.functions import EXTRACTION_VERSION
from sigjepa.corpus.near_pairs import NearPairs, NearPairsStage
from sigjepa.corpus.select import Selection, check_tier_sizes, select, shortage
from sigjepa.corpus.sketches import SketchesStage
from sigjepa.corpus.source_files import SOURCES_FILE, join_sources
from sigjepa.corpus.sources.source import Source
from sigjepa.corpus.split import SPLITS, TIERS, check_shares, seeded_hash
from sigjepa.corpus.summary import summary_text, summed
from sigjepa.errors import SigjepaError
from sigjepa.runtime.fields import Count, component
from sigjepa.store.manifest import Manifest
from sigjepa.store.stage import Get, Part, Stage

SUMMARY_FILE = "summary.txt"
FORMAT = 2
"""Part of every corpus key: raise it when the same rows are written in another way."""
Mask: TypeAlias = npt.NDArray[np.bool_]
LIMITS = ("min_body_statements", "max_body_lines", "max_file_bytes")
"""The limits that `extract_functions` is given."""

PLAIN_INPUTS = (
    *("max_functions", "max_functions_per_repository", *LIMITS, "include_tests", "near_duplicate_threshold"),
    *("phase0_share", "split_seed"),
)


def as_given(value: Any, check: Callable[[Any], Any]) -> Any:
    """Return a value that is what it must be, unchanged: a key tells 1 from 1.0."""
    check(value)
    return value


@component("corpus")
class CorpusStage(Stage[Corpus]):
    """Build a corpus from the functions of a source; equal stages over equal sources share one folder.

    `max_functions` and `max_functions_per_repository` are upper limits (None: no limit) that take equally from all
    repositories. `tier_sizes` gives each tier exactly so many functions; None divides by `phase0_share` what the limits
    leave. `split_seed` decides which functions, repositories' splits and tiers: it is not the training seed, so
    that runs with different seeds share a corpus. Raises SigjepaError for arguments of another type or out of range.
    """

    source: SkipValidation[Source]
    max_functions: Count | None = None
    max_functions_per_repository: Count | None = None
    min_body_statements: Count = 2
    max_body_lines: Count = 200
    max_file_bytes: Count = 1_000_000
    include_tests: bool = False
    near_duplicate_threshold: Annotated[float, Field(gt=0, le=1), WrapValidator(as_given)] = 0.8
    split_shares: Mapping[str, float] = field(default_factory=lambda: {"train": 0.7, "val": 0.2, "test": 0.1})
    phase0_share: Annotated[float, Field(ge=0, le=1), WrapValidator(as_given)] = 0.56
    tier_sizes: Mapping[str, int] | None = None
    split_seed: int = 0

    kind: ClassVar[str] = "corpus"
    packages: ClassVar[Sequence[str]] = ("pyarrow", "rensa", "xxhash")

    @property
    def label(self) -> str:
        """The name of the source."""
        return self.source.name

    def inputs(self) -> dict[str, Any]:
        """Return all that the content depends on; raises SigjepaError for shares and sizes that do not fit."""
        check_shares(self.split_shares)
        check_tier_sizes(self.tier_sizes, self.max_functions)
        return {
            "format": FORMAT,
            "extraction": EXTRACTION_VERSION,
            "python": ".".join(platform.python_version_tuple()[:2]),  # its grammar decides what parses
            "source": self.source.fingerprint(),
            **{name: getattr(self, name) for name in PLAIN_INPUTS},
            "split_shares": {split: float(self.split_shares[split]) for split in SPLITS},
            "tier_sizes": self.tier_sizes and {tier: self.tier_sizes[tier] for tier in TIERS},
        }

    def with_steps(self, get: Get) -> "SelectionStage":
        """Return the stage that selects of the extracted functions, without those that have a duplicate."""

        def near_pairs(extraction: Extraction) -> NearPairs:
            sketches = get(SketchesStage(extraction, self.near_duplicate_threshold))
            pairs: NearPairs = get(NearPairsStage(sketches, self.near_duplicate_threshold))
            return pairs

        extraction = extract(
            self.source.repositories(),
            {name: getattr(self, name) for name in LIMITS},
            max_functions=self.max_functions,
            max_functions_per_repository=self.max_functions_per_repository,
            include_tests=self.include_tests,
            seed=self.split_seed,
            get=get,
            is_enough=lambda found: self.is_enough(found, near_pairs(found)),
        )
        return SelectionStage(**vars(self), extraction=extraction, pairs=near_pairs(extraction))

    def is_enough(self, extraction: Extraction, pairs: NearPairs) -> bool:
        """Return whether the corpus is full without duplicates, or files that were not read could not fill it."""
        sizes = repository_sizes(extraction, kept_functions(extraction, duplicates_of(pairs)))
        limit = self.max_functions_per_repository or math.inf
        if all(sizes.get(name, 0) >= limit for name in extraction.waiting):
            return True
        return not shortage(
            sizes,
            max_functions=self.max_functions,
            max_functions_per_repository=self.max_functions_per_repository,
            tier_sizes=self.tier_sizes,
            seed=self.split_seed,
        )

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Not called: `with_steps` gives the stage that builds."""
        raise NotImplementedError

    def content(self, files: Mapping[str, str], facts: Mapping[str, Any]) -> str:
        """Return the hash of the rows: equal functions are the same corpus, wherever they were read."""
        return str(facts["hash"])

    def open(self, manifest: Manifest) -> Corpus:
        """Return the corpus, whose rows are read when they are asked for."""
        return Corpus(manifest)


@dataclass(frozen=True)
class SelectionStage(CorpusStage):
    """Select of the extracted functions, divide their repositories, and write them."""

    extraction: Extraction = field(kw_only=True)
    pairs: NearPairs = field(kw_only=True)

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write functions, source files and the summary; the facts are counts and the content hash.

        Raises SigjepaError for a source without functions.
        """
        read = self.extraction.manifest.facts
        gone = duplicates_of(self.pairs)
        skipped = Counter(read["skipped"]) + Counter({reason: len(found) for reason, found in gone.items()})
        kept = kept_functions(self.extraction, gone)
        sizes = repository_sizes(self.extraction, kept)
        if not sizes:
            counted = ", ".join(f"{count} {reason}" for reason, count in skipped.most_common()) or "nothing"
            raise SigjepaError(
                f"The corpus is empty: the source '{self.source.name}' lists {read['files_listed']} Python files and "
                f"gives no function. Skipped: {counted}. Check corpus.source, or relax corpus.min_body_statements."
            )
        selection = select(
            sizes,
            max_functions=self.max_functions,
            max_functions_per_repository=self.max_functions_per_repository,
            tier_sizes=self.tier_sizes,
            phase0_share=self.phase0_share,
            split_shares=self.split_shares,
            seed=self.split_seed,
        )
        chosen = chosen_functions(self.extraction, kept, sizes, selection, self.split_seed)
        digest = write_functions(rows(self.extraction, chosen, selection), out / FUNCTIONS_FOLDER)
        join_sources(out / SOURCES_FILE, map(self.extraction.sources, self.extraction.parts))
        functions = sum(selection.sizes.values())
        skipped["over_limit"] = sum(sizes.values()) - functions
        homes = {"splits": selection.splits, "tiers": selection.tiers}
        facts = {
            "hash": digest,
            "functions": functions,
            "counts": {
                "repositories": len(selection.splits),
                "files_listed": read["files_listed"],
                "files_read": read["files_read"],
                "functions_extracted": len(self.extraction),
                **{name: selection.sums(home) for name, home in homes.items()},
            },
            "skipped": dict(sorted((+skipped).items())),
        }
        text = summary_text(summed(tables_in(out, 0, functions)), facts, self.split_shares, repositories=None)
        (out / SUMMARY_FILE).write_text(text, encoding="utf-8")
        return facts


def duplicates_of(pairs: NearPairs) -> dict[str, npt.NDArray[np.int64]]:
    """Return the positions of the functions that go, by reason."""
    return duplicates({reason: pairs.same(reason) for reason in REASONS}, {view: pairs.near(view) for view in VIEWS})


def kept_functions(extraction: Extraction, gone: Mapping[str, npt.NDArray[np.int64]]) -> Mask:
    """Return which functions have no duplicate before them."""
    kept = np.ones(len(extraction), dtype=bool)
    for found in gone.values():
        kept[found] = False
    return kept


def repository_sizes(extraction: Extraction, kept: Mask) -> dict[str, int]:
    """Return how many functions of each repository are kept, of those that have any."""
    sizes: Counter[str] = Counter()
    for start, table in extraction.tables(["repository"]):
        sizes.update(table["repository"].filter(pa.array(kept[start : start + len(table)])).to_pylist())
    return dict(sizes)


def chosen_functions(
    extraction: Extraction, kept: Mask, sizes: Mapping[str, int], selection: Selection, seed: int
) -> Mask:
    """Return which functions are in the corpus: of each repository so many as selected, by content and seed alone."""
    chosen = kept.copy()

    def ranked() -> Iterator[tuple[str, int, int]]:
        for start, table in extraction.tables(["repository", "key"]):
            here = kept[start : start + len(table)]
            columns = (table[name].filter(pa.array(here)).to_pylist() for name in ("repository", "key"))
            positions = start + np.flatnonzero(here)
            for repository, key, position in zip(*columns, positions.tolist(), strict=True):
                yield repository, seeded_hash(seed, key), position

    if any(selection.sizes.get(name, 0) < size for name, size in sizes.items()):
        for repository, found in groupby(ranked(), key=itemgetter(0)):
            positions = [position for _, _, position in sorted(found)]
            chosen[positions[selection.sizes.get(repository, 0) :]] = False
    return chosen


def rows(extraction: Extraction, chosen: Mask, selection: Selection) -> Iterator[pa.Table]:
    """Yield the rows of the corpus."""
    count = 0
    for start, whole in extraction.tables():
        table = whole.filter(pa.array(chosen[start : start + len(whole)]))
        repositories = table["repository"].to_pylist()
        added = {
            "id": pa.array(range(count, count + len(table)), pa.int64()),
            "tier": pa.array([selection.tiers[name] for name in repositories], pa.string()),
            "split": pa.array([selection.splits[name] for name in repositories], pa.string()),
        }
        yield pa.table([added[name] if name in added else table[name] for name in SCHEMA.names], schema=SCHEMA)
        count += len(table)
