"""A step of building the corpus: what duplicates among the extracted functions are looked for by."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
import xxhash

from sigjepa.corpus.dedup import REASONS, VIEWS, ShingleSet, band_keys, lsh_bands, shingle_set
from sigjepa.corpus.extraction import Extraction, InParts
from sigjepa.store.manifest import Manifest
from sigjepa.store.stage import Part, Step

Numbers: TypeAlias = npt.NDArray[np.uint64]
Positions: TypeAlias = npt.NDArray[np.int64]


class Sketches(InParts):
    """Hashes, band keys and shingle sets of all functions, by position."""

    def digests(self, reason: str) -> Iterator[tuple[int, Numbers]]:
        """Yield half a hash of what one of REASONS compares, by blocks of functions, each with its first position."""
        yield from self._blocks("digests", (REASONS.index(reason), 1))

    def digests_of(self, reason: str, positions: Positions) -> Numbers:
        """Return 128 bits of hash in halves of what one of REASONS compares, of some functions `[2, P]`."""
        return self._of("digests", (REASONS.index(reason),), positions)

    def keys(self, view: str, band: int) -> Iterator[tuple[int, Numbers]]:
        """Yield the keys of a band by blocks of functions, each with its first position."""
        yield from self._blocks("keys", (list(VIEWS).index(view), band))

    def keys_of(self, view: str, bands: int | slice, positions: Positions) -> Numbers:
        """Return the keys of a band `[P]` or of several `[bands, P]` of some functions."""
        return self._of("keys", (list(VIEWS).index(view), bands), positions)

    def sizes(self, view: str, positions: Positions) -> Positions:
        """Return the sizes of the shingle sets of functions, in the shape of `positions`."""
        sizes: Positions = self._of("sizes", (list(VIEWS).index(view),), positions.ravel()).reshape(positions.shape)
        return sizes

    def shingles(self, view: str, position: int) -> ShingleSet:
        """Return the shingle set of a function."""
        part = int(np.searchsorted(self.starts, position, side="right")) - 1
        number, here = list(VIEWS).index(view), position - self.starts[part]
        start, size = (self._arrays(name)[part][number, here] for name in ("offsets", "sizes"))
        return self._arrays("shingles")[part][start : start + size]

    def _blocks(self, name: str, index: tuple[int, ...]) -> Iterator[tuple[int, Any]]:
        for start, array in zip(self.starts, self._arrays(name), strict=False):
            yield int(start), array[index]

    def _of(self, name: str, index: tuple[int | slice, ...], positions: Positions) -> Any:
        """Return the last dimension of an array at `positions`, across the parts."""
        arrays = self._arrays(name)
        found = np.empty((*arrays[0][index].shape[:-1], len(positions)), arrays[0].dtype)
        parts = np.searchsorted(self.starts, positions, side="right") - 1
        for part in np.unique(parts):
            here = parts == part
            found[..., here] = arrays[part][index][..., positions[here] - self.starts[part]]
        return found

    def _arrays(self, name: str) -> list[Any]:
        if name not in self._opened:
            self._opened[name] = [np.load(self.folder / f"{name}-{part}.npy", mmap_mode="r") for part in self.parts]
        return self._opened[name]

    @cached_property
    def _opened(self) -> dict[str, list[Any]]:
        return {}


@dataclass(frozen=True)
class SketchesStage(Step[Sketches]):
    """Hash the bodies of the extracted functions, in the parts of the extraction."""

    extraction: Extraction
    threshold: float

    kind: ClassVar[str] = "sketches"
    unit: ClassVar[str] = "function"

    def inputs(self) -> dict[str, Any]:
        """Return which extraction it is of: one artifact may have several, of more and more files."""
        return {"extraction": self.extraction.folder.name}

    def parts(self) -> Sequence[Part]:
        """Return the parts of the extraction."""
        starts = self.extraction.starts.tolist()
        ranges = zip(self.extraction.parts, starts, starts[1:], strict=False)
        return [Part(name, start, stop) for name, start, stop in ranges]

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write the arrays of a part."""
        bodies = self.extraction.table(part.name, ["body"])["body"].to_pylist()
        for name, array in arrays_of(bodies, lsh_bands(self.threshold)).items():
            np.save(out / f"{name}-{part.name}.npy", array)
        return {}

    def facts(self, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Return the parts with their functions."""
        return {name: self.extraction.manifest.facts[name] for name in ("parts", "functions")}

    def open(self, manifest: Manifest) -> Sketches:
        """Return the arrays, which are mapped into memory."""
        return Sketches(manifest)


def arrays_of(bodies: Sequence[str], bands: int) -> dict[str, npt.NDArray[Any]]:
    """Return what duplicates are looked for by.

    digests: of what each of REASONS compares `[reasons, 2, N]`. keys: of each view's bands `[views, bands, N]`.
    shingles: the sets of each body's views, one behind another. offsets, sizes: where each of them is
    `[views, N]`.
    """
    digests = np.zeros((len(REASONS), 2, len(bodies)), dtype=np.uint64)
    keys = np.zeros((len(VIEWS), bands, len(bodies)), dtype=np.uint64)
    hashes: dict[str, int] = {}
    sets: list[ShingleSet] = []
    for position, body in enumerate(bodies):
        digests[0, :, position] = halves(body.encode())
        for number, view in enumerate(VIEWS.values()):
            shingles = shingle_set(view(body), hashes)
            digests[1 + number, :, position] = halves(shingles.tobytes())
            keys[number, :, position] = band_keys(shingles, bands)
            sets.append(shingles)
    sizes = np.array([*map(len, sets)], dtype=np.int64)
    ends = np.cumsum(sizes)
    sizes, ends = (each.reshape(-1, len(VIEWS)).T for each in (sizes, ends))
    return {
        "digests": digests,
        "keys": keys,
        "shingles": np.concatenate([np.zeros(0, dtype=np.uint64), *sets]),
        "offsets": ends - sizes,
        "sizes": sizes,
    }


def halves(content: bytes) -> tuple[int, int]:
    """Return 128 bits of hash in two halves."""
    return divmod(xxhash.xxh3_128_intdigest(content), 1 << 64)
