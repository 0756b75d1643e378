"""The corpus on disk: `functions.parquet`, its manifest and summary, and the recipe that makes them."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

import sigjepa
from sigjepa.corpus.collect import collect
from sigjepa.corpus.dedup import drop_duplicates
from sigjepa.corpus.functions import EXTRACTION_VERSION, Function, extract_functions
from sigjepa.corpus.select import check_tier_sizes, select
from sigjepa.corpus.source_files import SOURCES_FILE, write_sources
from sigjepa.corpus.sources.source import Source
from sigjepa.corpus.split import SPLITS, TIERS, check_shares
from sigjepa.corpus.summary import summary_text
from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.store.artifacts import read_manifest, write_manifest
from sigjepa.store.files import atomic_path, file_digest
from sigjepa.store.manifest import content_key, damaged
from sigjepa.store.origin import MADE, made
from sigjepa.store.store import artifact_lock

FUNCTIONS_FILE = "functions.parquet"
MANIFEST_FILE = "manifest.json"
SUMMARY_FILE = "summary.txt"
SUMMARY_REPOSITORIES = 20

SCHEMA = pa.schema(
    {
        "id": pa.int64(),
        "key": pa.string(),
        "repository": pa.string(),
        "path": pa.string(),
        "qualname": pa.string(),
        "line": pa.int64(),
        "signature": pa.string(),
        "docstring": pa.string(),
        "body": pa.string(),
        "tier": pa.string(),
        "split": pa.string(),
    }
)


@dataclass(frozen=True)
class Corpus:
    """Functions with their split and tier; the id of a function is its position, 0 to n-1."""

    folder: Path
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path) -> "Corpus":
        """The corpus in `folder`; raises SigjepaError naming the file that is missing, damaged or altered."""
        manifest = read_manifest(folder / MANIFEST_FILE, ("digest", "hash"))
        file = folder / FUNCTIONS_FILE
        if not file.is_file():
            raise damaged(file, "does not exist, though its manifest does", folder)
        if (digest := file_digest(file)) != manifest["digest"]:
            problem = f"is damaged or was altered: its digest is {digest}, the manifest says {manifest['digest']}"
            raise damaged(file, problem, folder)
        corpus = cls(folder, manifest)
        if corpus.table.schema.names != SCHEMA.names:
            raise damaged(file, f"has columns {corpus.table.schema.names}, not {SCHEMA.names}", folder)
        return corpus

    def __reduce__(self) -> tuple[Any, ...]:
        return Corpus.open, (self.folder,)  # a worker process reads the file instead of a pickled table

    @cached_property
    def table(self) -> pa.Table:
        """All rows; raises SigjepaError naming the file when it is not parquet."""
        file = self.folder / FUNCTIONS_FILE
        try:
            return pq.read_table(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise damaged(file, f"cannot be read as parquet ({error})", self.folder) from None

    @property
    def hash(self) -> str:
        """Content hash of all rows, equal wherever the same functions got the same splits and tiers."""
        return str(self.manifest["hash"])

    def __len__(self) -> int:
        return self.table.num_rows

    def ids(self, split: str | None = None, tiers: Sequence[str] | None = None) -> npt.NDArray[np.int64]:
        """Ids of the functions of a split and of some tiers, ascending `[n]`; None stands for all of them."""
        chosen = np.ones(len(self), dtype=bool)
        if split is not None:
            check_known(split, SPLITS, "split")
            chosen &= np.asarray(self.column("split")) == split
        if tiers is not None:
            for tier in tiers:
                check_known(tier, TIERS, "tier")
            chosen &= np.isin(np.asarray(self.column("tier")), list(tiers))
        return np.flatnonzero(chosen).astype(np.int64)

    def column(self, name: str) -> list[Any]:
        """One column of all functions, by id."""
        check_known(name, SCHEMA.names, "column")
        return list(self.table.column(name).to_pylist())

    def summary_table(self, repositories: int | None = SUMMARY_REPOSITORIES) -> str:
        """Functions by split, tier and repository, lengths, and what was skipped and why.

        The largest `repositories` are listed, or all when it is None.
        """
        return summary_text({name: self.column(name) for name in SCHEMA.names}, self.manifest, repositories)


@dataclass(frozen=True)
class CorpusRecipe:
    """What a corpus is made of; equal recipes over equal sources share one folder.

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

    def prepare(self, data_dir: Path) -> Corpus:
        """The corpus of this recipe below `data_dir`, built when it is not there yet; raises SigjepaError."""
        inputs = self.inputs()
        folder = Path(data_dir) / "corpus" / f"{self.source.name}-{content_key(inputs)}"
        if not (folder / MANIFEST_FILE).exists():
            with artifact_lock(folder):
                if not (folder / MANIFEST_FILE).exists():  # another job may have built it meanwhile
                    self.build(folder, inputs)
        return Corpus.open(folder)

    def inputs(self) -> dict[str, Any]:
        """All that the content depends on; raises SigjepaError for a value that cannot be."""
        for name in ("max_functions", "max_functions_per_repository", "min_body_statements", "max_body_lines"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SigjepaError(f"corpus.{name}={value} must be at least 1.")
        check_shares(self.split_shares)
        check_tier_sizes(self.tier_sizes, self.max_functions)
        # without the key when there are none, so that corpora of before are found again
        tier_sizes = {} if self.tier_sizes is None else {"tier_sizes": {tier: self.tier_sizes[tier] for tier in TIERS}}
        return {
            "extraction": EXTRACTION_VERSION,
            "python": ".".join(platform.python_version_tuple()[:2]),  # its grammar decides what parses
            "source": self.source.fingerprint(),
            "max_functions": self.max_functions,
            "max_functions_per_repository": self.max_functions_per_repository,
            "min_body_statements": self.min_body_statements,
            "max_body_lines": self.max_body_lines,
            "max_file_bytes": self.max_file_bytes,
            "include_tests": self.include_tests,
            "near_duplicate_threshold": self.near_duplicate_threshold,
            "split_shares": {split: float(self.split_shares[split]) for split in SPLITS},
            "phase0_share": self.phase0_share,
            "split_seed": self.split_seed,
            **tier_sizes,
        }

    def build(self, folder: Path, inputs: Mapping[str, Any]) -> None:
        """Collect, drop duplicates, apply the limits, split, and write `folder`, its manifest last."""
        collected = collect(
            self.source.repositories(),
            partial(
                extract_functions,
                min_body_statements=self.min_body_statements,
                max_body_lines=self.max_body_lines,
                max_file_bytes=self.max_file_bytes,
            ),
            max_functions=self.max_functions,
            max_functions_per_repository=self.max_functions_per_repository,
            include_tests=self.include_tests,
            seed=self.split_seed,
            workers=self.workers,
        )
        extracted = sorted(
            (function for found in collected.functions.values() for function in found), key=lambda one: one.place
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
        with atomic_path(folder / FUNCTIONS_FILE) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        write_sources(folder / SOURCES_FILE, collected.sources)
        manifest = {
            "name": folder.name,
            "inputs": inputs,
            "hash": content_hash(table),
            "digest": file_digest(folder / FUNCTIONS_FILE),
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
            "package_version": sigjepa.__version__,
            "python_version": platform.python_version(),
            MADE: made(("pyarrow", "rensa", "xxhash"), files=[folder / SOURCES_FILE]),
        }
        columns = table.to_pydict()
        with atomic_path(folder / SUMMARY_FILE) as temporary:
            temporary.write_text(summary_text(columns, manifest, repositories=None), encoding="utf-8")
        write_manifest(folder / MANIFEST_FILE, manifest)


def functions_table(functions: Sequence[Function], tiers: Mapping[str, str], splits: Mapping[str, str]) -> pa.Table:
    """Rows in the order given, with the tier and split of their repositories."""
    rows = [
        asdict(function)
        | {
            "id": position,
            "key": function.key,
            "tier": tiers[function.repository],
            "split": splits[function.repository],
        }
        for position, function in enumerate(functions)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def content_hash(table: pa.Table) -> str:
    """`xxh3_128:<hex>` of all values row by row: of the content, not of how a version of pyarrow packs it."""
    digest = xxhash.xxh3_128()
    for row in zip(*(table.column(name).to_pylist() for name in SCHEMA.names), strict=True):
        digest.update(ascii(row).encode())  # what repr() escapes depends on Python's Unicode version
    return f"xxh3_128:{digest.hexdigest()}"


def check_known(name: str, known: Sequence[str], kind: str) -> None:
    """Raise SigjepaError that offers the nearest known name."""
    if name not in known:
        raise SigjepaError(f"A corpus has no {kind} '{name}'.{nearest_name(name, known)} Known: {', '.join(known)}.")
