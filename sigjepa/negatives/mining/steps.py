"""Steps of mining: what all its parts read through memory maps, built once beside the pairs and gone with the last."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sigjepa.negatives.mining.approximate import Approximate
from sigjepa.negatives.mining.vectors import Ids, PooledRows, UnitVectors, unit_parts
from sigjepa.store.artifact import OpenedArtifact
from sigjepa.store.manifest import Manifest
from sigjepa.store.progress import progress
from sigjepa.store.stage import Part, Resource, Step

if TYPE_CHECKING:
    from sigjepa.teacher.shards import TeacherShards


class UnitBodies(OpenedArtifact):
    """The unit vectors of some functions' bodies."""

    @cached_property
    def vectors(self) -> UnitVectors:
        """The vectors, of which only those are read that are asked for."""
        matrix = np.load(self.folder / "matrix.npy", mmap_mode="r").view(np.ndarray)
        return UnitVectors(np.load(self.folder / "ids.npy"), matrix)


@dataclass(frozen=True)
class UnitBodiesStage(Step[UnitBodies]):
    """Write the bodies of the functions `ids` `[n]`, ascending, as unit vectors."""

    shards: "TeacherShards"
    ids: Ids

    kind: ClassVar[str] = "unit_bodies"

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write ids and matrix; memory holds a part of them."""
        rows = PooledRows(copy(self.shards), "body", self.ids)  # a copy has maps of its own, which go with it
        header = {"descr": np.dtype(np.float32).str, "fortran_order": False, "shape": rows.shape}
        bar = progress(None, "unit vectors", total=len(self.ids), unit="function")
        with (out / "matrix.npy").open("wb") as file, bar:
            np.lib.format.write_array_header_1_0(file, header)
            for _, matrix in unit_parts(rows, self.ids):
                matrix.tofile(file)
                bar.update(len(matrix))
        np.save(out / "ids.npy", self.ids)
        return {}

    def open(self, manifest: Manifest) -> UnitBodies:
        """Return the vectors, which are read when they are asked for."""
        return UnitBodies(manifest)


@dataclass(frozen=True)
class IndexStage(Step[OpenedArtifact]):
    """Build an approximate index over the bodies; the arguments are those of `Approximate.build`."""

    bodies: UnitBodies
    approximate: Approximate
    top_k: int
    min_cosim: float

    kind: ClassVar[str] = "index"
    uses: ClassVar[Resource] = "cores"

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write the index; the facts are its record."""
        index, record = self.approximate.build(self.bodies.vectors, self.top_k, self.min_cosim)
        index.save(out)
        return record

    def open(self, manifest: Manifest) -> OpenedArtifact:
        """Return the folder of the index, with its record as facts."""
        return OpenedArtifact(manifest)
