"""A step of building the corpus: pairs of functions with equal or nearly equal bodies, in parts of bands."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sigjepa.corpus.dedup import REASONS, VIEWS, Pairs, jaccard, lsh_bands
from sigjepa.corpus.sketches import Numbers, Sketches
from sigjepa.store.artifact import OpenedArtifact
from sigjepa.store.manifest import Manifest
from sigjepa.store.stage import Part, Step

MAX_ROWS = 1 << 24
"""Functions that a task sorts at once: 130 MB of keys, and as much again for their order."""
MIN_ROWS = 1 << 23
"""Tasks of fewer functions are put together to parts."""
MAX_PAIRS = 1 << 18
"""Pairs that are compared at once."""


class NearPairs(OpenedArtifact):
    """Pairs of functions by position, the earlier first."""

    def same(self, reason: str) -> Pairs:
        """Return the functions with a text, by one of REASONS, that an earlier one has: the first such and it."""
        return self._pairs(f"same-{reason}")

    def near(self, view: str) -> Pairs:
        """Return the pairs of first functions of a text that are near by one of VIEWS."""
        return self._pairs(f"near-{view}")

    def _pairs(self, start: str) -> Pairs:
        files = sorted(name for name in self.manifest.files if name.startswith(f"{start}-"))
        return np.concatenate([np.zeros((0, 2), dtype=np.int64), *(np.load(self.folder / name) for name in files)])


@dataclass(frozen=True)
class Task:
    """A text or band by which functions are put together: those whose key is `bucket` modulo `buckets`."""

    name: str
    band: int | None
    bucket: int


@dataclass(frozen=True)
class NearPairsStage(Step[NearPairs]):
    """Compare the bodies of functions that share a band of their MinHash, exactly and each pair once."""

    sketches: Sketches
    threshold: float

    kind: ClassVar[str] = "near_pairs"
    unit: ClassVar[str] = "comparison"

    @property
    def buckets(self) -> int:
        """Into so many the functions are divided by their keys, so that one fits a task."""
        return 1 + len(self.sketches) // MAX_ROWS

    def tasks(self) -> list[Task]:
        """Return all texts and bands, each in buckets."""
        bands = range(lsh_bands(self.threshold))
        names = [(reason, None) for reason in REASONS] + [(view, band) for view in VIEWS for band in bands]
        return [Task(name, band, bucket) for name, band in names for bucket in range(self.buckets)]

    def inputs(self) -> dict[str, Any]:
        """Return which sketches it compares: one artifact may have several, of more and more files."""
        return {"sketches": self.sketches.folder.name}

    def parts(self) -> Sequence[Part]:
        """Return ranges of the tasks."""
        tasks = len(self.tasks())
        step = 1 + MIN_ROWS // (1 + len(self.sketches) // self.buckets)
        return [Part(f"{start:06}", start, min(tasks, start + step)) for start in range(0, tasks, step)]

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write the pairs of each of the part's tasks."""
        found: dict[str, list[Pairs]] = {}
        for task in self.tasks()[part.start : part.stop]:
            kind = "same" if task.band is None else "near"
            pairs = self.same(task) if task.band is None else self.near(task.name, task.band, task.bucket)
            found.setdefault(f"{kind}-{task.name}", []).append(pairs)
        for name, several in found.items():
            np.save(out / f"{name}-{part.name}.npy", np.concatenate(several))
        return {}

    def open(self, manifest: Manifest) -> NearPairs:
        """Return the pairs."""
        return NearPairs(manifest)

    def same(self, task: Task) -> Pairs:
        """Return each function whose text an earlier one has: the first such and it `[P, 2]`."""
        positions = self.shared(self.sketches.digests(task.name), task.bucket)
        digests = self.sketches.digests_of(task.name, positions)
        _, first, group = np.unique(digests, axis=1, return_index=True, return_inverse=True)
        pairs = np.stack([positions[first[group.ravel()]], positions], axis=1)
        return pairs[pairs[:, 0] < pairs[:, 1]]

    def near(self, view: str, band: int, bucket: int) -> Pairs:
        """Return the near pairs of first functions of a text that share this band and none before `[P, 2]`."""
        positions = self.shared(self.sketches.keys(view, band), bucket)
        keys, texts = self.sketches.keys_of(view, band, positions), self.sketches.digests_of(view, positions)
        order = np.lexsort((positions, *texts, keys))
        first = np.ones(len(order), dtype=bool)  # of the text
        first[1:] = (texts[:, order[1:]] != texts[:, order[:-1]]).any(axis=0)
        order = order[first]
        near = [self.compared(view, band, pairs) for pairs in pairs_within(positions[order], keys[order])]
        return np.concatenate([np.zeros((0, 2), dtype=np.int64), *near])

    def shared(self, blocks: Iterator[tuple[int, Numbers]], bucket: int) -> npt.NDArray[np.int64]:
        """Return the functions of a bucket that share their key with another, ascending; blocks: of the keys."""
        positions, keys = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.uint64)]
        for start, block in blocks:
            # the high bits: the low ones of a polynomial are those of its last terms
            here = np.flatnonzero((block >> np.uint64(32)) % np.uint64(self.buckets) == bucket)
            positions.append(start + here)
            keys.append(block[here])
        _, group, count = np.unique(np.concatenate(keys), return_inverse=True, return_counts=True)
        return np.concatenate(positions)[count[group] > 1]

    def compared(self, view: str, band: int, pairs: Pairs) -> Pairs:
        """Return those of the pairs that are near and share no earlier band, in whose task they are."""
        first, second = (self.sketches.keys_of(view, slice(band), side) for side in pairs.T)
        pairs = np.sort(pairs[~(first == second).any(axis=0)], axis=1)
        sizes = self.sketches.sizes(view, pairs)
        pairs = pairs[sizes.min(axis=1) >= self.threshold * sizes.max(axis=1)]
        sets = {int(each): self.sketches.shingles(view, int(each)) for each in np.unique(pairs)}
        near = [jaccard(sets[first], sets[second]) >= self.threshold for first, second in pairs.tolist()]
        return pairs[np.array(near, dtype=bool)]


def pairs_within(positions: npt.NDArray[np.int64], keys: Numbers) -> Iterator[Pairs]:
    """Yield all pairs of positions with equal keys, in blocks; equal keys are neighbors."""
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.zeros(0, np.int64)
    sizes = np.diff([*starts, len(keys)])
    ends = np.repeat(starts + sizes, sizes)
    block: list[Pairs] = []
    alive = np.arange(len(keys))
    for distance in range(1, int(sizes.max(initial=0))):
        alive = alive[alive + distance < ends[alive]]
        block.append(np.stack([positions[alive], positions[alive + distance]], axis=1))
        if sum(map(len, block)) >= MAX_PAIRS:
            yield np.concatenate(block)
            block = []
    if block:
        yield np.concatenate(block)
