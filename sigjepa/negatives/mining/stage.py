"""Mining as a stage: the nearest bodies of each train function, in blocks of anchors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from sigjepa.errors import SigjepaError
from sigjepa.negatives.mining.exact import NeighborIndex
from sigjepa.negatives.mining.knn import BLOCK_SIZE, block_pairs
from sigjepa.negatives.mining.pairs import Pairs
from sigjepa.negatives.mining.search import Search
from sigjepa.negatives.mining.vectors import Ids, UnitVectors
from sigjepa.store.manifest import Manifest, Reference
from sigjepa.store.stage import Part, Resource, Stage

if TYPE_CHECKING:
    from torch import Tensor

    from sigjepa.corpus.corpus import Corpus
    from sigjepa.teacher.shards import TeacherShards

FORMAT = 4  # raise it when the same inputs give other pairs or other files
MAX_PARTS = 32  # another process builds the index again for each


@dataclass(frozen=True)
class MinedPairsStage(Stage[Pairs]):
    """Find pairs of train functions whose bodies the teacher puts close together.

    top_k: most neighbors of an anchor. min_cosim: lowest cosine of two bodies, inclusive. tiers: tiers of the corpus to
    mine, None is all. search: exact or approximate.
    """

    corpus: "Corpus"
    shards: "TeacherShards"
    top_k: int
    min_cosim: float
    tiers: Sequence[str] | None = None
    search: Search = field(default_factory=Search)

    kind: ClassVar[str] = "mined"
    unit: ClassVar[str] = "function"
    uses: ClassVar[Resource] = "cores"
    packages: ClassVar[Sequence[str]] = ("faiss-cpu", "numpy", "torch")

    def inputs(self) -> dict[str, Any]:
        """Return all that the pairs depend on; raises SigjepaError where there is nothing to mine."""
        return {
            "format": FORMAT,
            "corpus": self.corpus.hash,
            "shards": self.shards.folder.name,
            "top_k": self.top_k,
            "min_cosim": float(self.min_cosim),
            "tiers": None if self.tiers is None else sorted(set(map(str, self.tiers))),
            "search": self.search.inputs(len(mined_ids(self.corpus, self.tiers))),
        }

    def upstream(self) -> Mapping[str, Reference]:
        """Return the corpus and the shards."""
        return {"corpus": self.corpus.reference, "shards": self.shards.reference}

    def parts(self) -> Sequence[Part]:
        """Return a part for each block of anchors, or for several blocks of a large corpus."""
        count = len(mined_ids(self.corpus, self.tiers))
        size = BLOCK_SIZE * math.ceil(count / BLOCK_SIZE / MAX_PARTS)
        return [
            Part(f"pairs-{i:05d}", start, min(start + size, count)) for i, start in enumerate(range(0, count, size))
        ]

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write the pairs of the part's anchors.

        Raises SigjepaError for shards of another corpus, vectors without a cosine, and an approximate search that does
        not reach its lowest recall.
        """
        bodies, index, record = self._searched
        starts = range(part.start, part.stop, BLOCK_SIZE)
        blocks = (np.arange(start, min(start + BLOCK_SIZE, part.stop)) for start in starts)
        pairs = Pairs.joined(
            [block_pairs(block, bodies, bodies, index, self.top_k, self.min_cosim) for block in blocks]
        )
        pairs.write(out / f"{part.name}.parquet")
        return {"pairs": len(pairs), "highest_cosim": pairs.highest_cosim, "search": record}

    def facts(self, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Return sums over the blocks, the highest cosine, and how it was searched."""
        highest = [part["highest_cosim"] for part in parts if part["highest_cosim"] is not None]
        return {
            "functions": len(mined_ids(self.corpus, self.tiers)),
            "pairs": sum(part["pairs"] for part in parts),
            "highest_cosim": max(highest, default=None),
            "search": parts[0]["search"],
            "metadata": pair_metadata(self.corpus, self.shards),
        }

    def open(self, manifest: Manifest) -> Pairs:
        """Return the pairs of all blocks."""
        files = [manifest.folder / f"{part.name}.parquet" for part in self.parts()]
        return Pairs.read(files, manifest.facts["highest_cosim"], manifest)

    @cached_property
    def _searched(self) -> tuple[UnitVectors, NeighborIndex, dict[str, Any]]:
        """Bodies, index and its record: every part that this stage builds searches the same."""
        ids = mined_ids(self.corpus, self.tiers)
        bodies = UnitVectors.of(_BodyRows(self.shards.body_pooled, rows_of(self.shards, ids, self.corpus)), ids)
        return bodies, *self.search.build(bodies, self.top_k, self.min_cosim)

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields alone: an index can't be sent to another process."""
        return {name: value for name, value in vars(self).items() if name in self.__dataclass_fields__}


class _BodyRows:
    """Some rows of the pooled bodies `[N, D]`, copied a part at a time."""

    def __init__(self, pooled: "Tensor", rows: Ids) -> None:
        self._pooled = pooled
        self._rows = rows
        self.shape = (len(rows), pooled.shape[1])

    def __getitem__(self, rows: Ids, /) -> npt.NDArray[np.float32]:
        return self._pooled[self._rows[rows]].float().numpy()


def pair_metadata(corpus: "Corpus", shards: "TeacherShards") -> dict[str, Any]:
    """Return what pairs say of where they are from: `model` (the teacher's name), `corpus`, `teacher`."""
    return {
        "model": shards.manifest.facts.get("name"),
        "corpus": corpus.hash,
        "teacher": shards.manifest.inputs.get("teacher"),
    }


def mined_ids(corpus: "Corpus", tiers: Sequence[str] | None) -> Ids:
    """Return the ids that may be mined; raises SigjepaError when there are none."""
    ids = corpus.ids("train", None if tiers is None else list(tiers))
    if not len(ids):
        raise SigjepaError(
            f"The train split of {corpus.folder} has no functions in {tiers or 'any tier'}: nothing to mine. "
            "Use a larger corpus, other tiers, or negatives=none."
        )
    return ids


def rows_of(shards: "TeacherShards", ids: Ids, corpus: "Corpus") -> Ids:
    """Return the rows of `ids` in the shards; raises SigjepaError when they do not hold all of them."""
    rows = np.searchsorted(shards.ids, ids)
    if not np.array_equal(np.take(shards.ids, rows, mode="clip"), ids):
        raise SigjepaError(
            f"{shards.folder} does not hold every function of the corpus in {corpus.folder}; delete it and run "
            "`python -m sigjepa.prepare`."
        )
    return rows
