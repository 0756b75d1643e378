"""Mined pairs as an artifact: which train bodies the teacher puts close together, before anyone has judged them."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sigjepa.errors import SigjepaError
from sigjepa.negatives.dependencies import data_upstream
from sigjepa.negatives.mining.knn import BLOCK_SIZE, Pairs, check_limits, pair_blocks
from sigjepa.negatives.mining.pair_file import Written, append_blocks, notes_path, read_pairs, unfinished
from sigjepa.negatives.mining.search import Search
from sigjepa.negatives.mining.vectors import Ids, UnitVectors
from sigjepa.store.artifacts import artifact_lock, content_key, damaged, file_digest, read_manifest, write_manifest
from sigjepa.store.origin import MADE, made

if TYPE_CHECKING:
    from torch import Tensor

    from sigjepa.corpus.corpus import Corpus
    from sigjepa.teacher.shards import TeacherShards

logger = logging.getLogger(__name__)

FORMAT = 2  # raise it when the same inputs give other pairs or another file
FILE_NAME = "pairs.jsonl"
MANIFEST = "manifest.json"  # written last: a folder without one is unfinished


@dataclass(frozen=True)
class Mining:
    """Which pairs are mined; equal values over equal shards share one folder `mined/…`.

    top_k: most neighbors of an anchor. min_cosim: lowest cosine of two bodies, inclusive. tiers: tiers of the
    corpus to mine, None is all. search: exact or approximate. Only functions of the train split are mined. Raises
    SigjepaError for arguments out of range.
    """

    top_k: int
    min_cosim: float
    tiers: Sequence[str] | None = None
    search: Search = field(default_factory=Search)

    def __post_init__(self) -> None:
        check_limits(self.top_k, self.min_cosim)
        if isinstance(self.tiers, str) or (self.tiers is not None and not len(self.tiers)):
            raise SigjepaError(f"negatives.tiers must be a list such as [phase0,heads], or null, got {self.tiers!r}.")

    def inputs(self, corpus: "Corpus", shards: "TeacherShards") -> dict[str, Any]:
        """All that the pairs depend on."""
        return {
            "format": FORMAT,
            "corpus": corpus.hash,
            "shards": shards.folder.name,
            "top_k": self.top_k,
            "min_cosim": float(self.min_cosim),
            "tiers": None if self.tiers is None else sorted(set(map(str, self.tiers))),
            "search": self.search.inputs(len(corpus.ids("train", self.tiers))),
        }

    def prepare(self, corpus: "Corpus", shards: "TeacherShards", data_dir: Path) -> Pairs:
        """The mined pairs, built, continued where a job was killed, or reused.

        Raises SigjepaError for an unknown tier, a train split without functions, shards of another corpus, an
        approximate search that does not reach its lowest recall, and damaged files.
        """
        inputs = self.inputs(corpus, shards)
        folder = Path(data_dir) / "mined" / content_key(inputs)
        with artifact_lock(folder):
            if not (folder / MANIFEST).exists():
                self._mine(folder, inputs, corpus, shards)
        return _read(folder)

    def _mine(self, folder: Path, inputs: dict[str, Any], corpus: "Corpus", shards: "TeacherShards") -> None:
        started = time.perf_counter()
        ids = mined_ids(corpus, self.tiers)
        bodies = UnitVectors.of(_BodyRows(shards.body_pooled, rows_of(shards, ids, corpus)), ids)
        index, record = self.search.build(bodies, self.top_k, self.min_cosim)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE_NAME
        done = unfinished(path)
        if done.anchors:
            logger.info("%s is unfinished: mining goes on after %d of %d functions", path, done.anchors, len(ids))
        written = append_blocks(
            path,
            lambda first: pair_blocks(
                bodies,
                bodies,
                index,
                top_k=self.top_k,
                min_cosim=self.min_cosim,
                block_size=BLOCK_SIZE,
                first_anchor=first,
            ),
            done,
            anchors=len(ids),
            block_size=BLOCK_SIZE,
        )
        _finish(folder, inputs, record, written, data_upstream(corpus, shards))
        seconds = time.perf_counter() - started
        logger.info("Mined %d pairs of %d functions in %.0f s: %s", written.pairs, len(ids), seconds, record)


class _BodyRows:
    """Some rows of the pooled bodies `[N, D]`, copied a part at a time."""

    def __init__(self, pooled: "Tensor", rows: Ids) -> None:
        self._pooled = pooled
        self._rows = rows
        self.shape = (len(rows), pooled.shape[1])

    def __getitem__(self, rows: Ids, /) -> npt.NDArray[np.float32]:
        return self._pooled[self._rows[rows]].float().numpy()


def mined_ids(corpus: "Corpus", tiers: Sequence[str] | None) -> npt.NDArray[np.int64]:
    """Ids that may be mined; raises SigjepaError when there are none."""
    ids = corpus.ids("train", tiers)
    if not len(ids):
        raise SigjepaError(
            f"The train split of {corpus.folder} has no functions in {tiers or 'any tier'}: nothing to mine. "
            "Use a larger corpus, other tiers, or negatives=none."
        )
    return ids


def rows_of(shards: "TeacherShards", ids: npt.NDArray[np.int64], corpus: "Corpus") -> npt.NDArray[np.int64]:
    """Rows of `ids` in the shards; raises SigjepaError when they do not hold all of them."""
    rows = np.searchsorted(shards.ids, ids)
    if not np.array_equal(np.take(shards.ids, rows, mode="clip"), ids):
        raise SigjepaError(
            f"{shards.folder} does not hold every function of the corpus in {corpus.folder}; delete it and run "
            "`python -m sigjepa.prepare`."
        )
    return rows


def _finish(
    folder: Path, inputs: dict[str, Any], record: dict[str, Any], written: Written, upstream: dict[str, Any]
) -> None:
    manifest = {
        "inputs": inputs,
        "search": {**record, "faiss": _faiss_version()},
        "functions": written.anchors,
        "pairs": written.pairs,
        "highest_cosim": written.highest_cosim,
        "digest": file_digest(folder / FILE_NAME),
        MADE: made(("faiss-cpu", "numpy", "torch"), upstream),
    }
    write_manifest(folder / MANIFEST, manifest)
    notes_path(folder / FILE_NAME).unlink(missing_ok=True)


def _faiss_version() -> str | None:
    for distribution in ("faiss-cpu", "faiss-gpu", "faiss"):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return None


def _read(folder: Path) -> Pairs:
    manifest = read_manifest(folder / MANIFEST, ("digest", "highest_cosim"))
    path = folder / FILE_NAME
    if not path.exists() or file_digest(path) != manifest["digest"]:
        raise damaged(path, "is missing or was altered after it was mined", folder)
    return read_pairs(path, manifest["highest_cosim"])
