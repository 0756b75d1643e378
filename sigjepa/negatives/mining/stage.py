"""Mining as a stage: the nearest bodies of each train function, in blocks of anchors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sigjepa.errors import SigjepaError
from sigjepa.negatives.mining.exact import NeighborIndex
from sigjepa.negatives.mining.knn import BLOCK_SIZE, block_pairs
from sigjepa.negatives.mining.pairs import Pairs
from sigjepa.negatives.mining.search import Search, exact_index
from sigjepa.negatives.mining.steps import IndexStage, UnitBodies, UnitBodiesStage
from sigjepa.negatives.mining.vectors import Ids, UnitVectors
from sigjepa.store.artifact import OpenedArtifact
from sigjepa.store.manifest import Manifest, Reference
from sigjepa.store.stage import Get, Part, Resource, Stage, row_parts

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus
    from sigjepa.teacher.shards import TeacherShards

FORMAT = 4  # raise it when the same inputs give other pairs or other files
MAX_PARTS = 32  # of a corpus whose parts have no more than MAX_BLOCKS
MAX_BLOCKS = 16


@dataclass(frozen=True)
class MinedPairsStage(Stage[Pairs]):
    """Find pairs of train functions whose bodies the teacher puts close together.

    top_k: most neighbors of an anchor. min_cosim: lowest cosine of two bodies, inclusive. tiers: tiers of the corpus to
    mine, None is all. search: exact or approximate.

    All parts read the same unit vectors, and the same index where the search is approximate, through memory maps: both
    are built once, as steps. bodies, index: these, in the stage that builds.
    """

    corpus: "Corpus"
    shards: "TeacherShards"
    top_k: int
    min_cosim: float
    tiers: Sequence[str] | None = None
    search: Search = field(default_factory=Search)
    bodies: UnitBodies | None = field(default=None, repr=False, compare=False)
    index: OpenedArtifact | None = field(default=None, repr=False, compare=False)

    kind: ClassVar[str] = "mined"
    unit: ClassVar[str] = "function"
    packages: ClassVar[Sequence[str]] = ("faiss-cpu", "numpy", "torch")

    @property
    def uses(self) -> Resource:
        """Exact search is one large product, the approximate one many small ones, which a single core does best."""
        return "cores" if self.index is None else "core"

    def inputs(self) -> dict[str, Any]:
        """Return all that the pairs depend on; raises SigjepaError where there is nothing to mine, and for the shards
        of another corpus.
        """
        self.corpus.check_same_functions(self.shards)
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
        size = BLOCK_SIZE * min(MAX_BLOCKS, math.ceil(count / BLOCK_SIZE / MAX_PARTS))
        return row_parts(count, size, "pairs")

    def with_steps(self, get: Get) -> "MinedPairsStage":
        """Return the stage with the unit vectors of its functions, and the index over them where one is used.

        Raises SigjepaError for vectors without a cosine, and an approximate search that does not reach its lowest
        recall.
        """
        ids = mined_ids(self.corpus, self.tiers)
        bodies = get(UnitBodiesStage(self.shards, ids))
        approximate = self.search.approximate(len(ids))
        index = None if approximate is None else get(IndexStage(bodies, approximate, self.top_k, self.min_cosim))
        return replace(self, bodies=bodies, index=index)

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write the pairs of the part's anchors."""
        bodies, index, record = self._searched
        size = BLOCK_SIZE if index.exact else part.size  # the more queries, the larger is each product of a cluster
        blocks = (np.arange(start, min(start + size, part.stop)) for start in range(part.start, part.stop, size))
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
    def _searched(self) -> tuple[UnitVectors, NeighborIndex, Mapping[str, Any]]:
        """Bodies, index and its record: every part that this stage builds searches the same."""
        if self.bodies is None:
            raise NotImplementedError("with_steps gives the stage that builds")
        vectors = self.bodies.vectors
        if self.index is None:
            return vectors, *exact_index(vectors)
        record = self.index.manifest.facts
        return vectors, self.search.beyond.open(self.index.folder, vectors, record), record

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields alone: an index can't be sent to another process."""
        return {name: value for name, value in vars(self).items() if name in self.__dataclass_fields__}


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
