"""Samplers: functions of similar length share a batch, and the order is a pure function of (seed, epoch)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from sigjepa.errors import SigjepaError


@dataclass(frozen=True)
class BatchIndices:
    """The functions of a batch, `ids [B]`, and when it is trained on: `step` of all steps, and `epoch` with fraction.

    Whatever is drawn for a batch depends on this alone, so that any loader process, and a resumed run, draws the same.
    """

    ids: np.ndarray
    step: int = 0
    epoch: float = 0.0


def check_shares(functions: int, processes: int) -> None:
    """Raise SigjepaError for processes of which some would have no function."""
    if functions < processes:
        raise SigjepaError(
            f"{functions} functions cannot be shared out over {processes} processes; use fewer (trainer.devices)."
        )


class LengthBucketSampler(Sampler[BatchIndices]):
    """Yields batches of ids, shuffled, each of similar signature length (padding dominates the cost of a batch).

    Ids are shuffled, cut into buckets of `bucket_batches` batches, sorted by length within a bucket, cut into batches
    of near-equal size and shuffled again. Every rank draws the same global batches of `batch_size * world_size` and
    takes its own share, so the global batch does not depend on how many processes there are; but where a last batch
    of `batch_size=1` would have none for some rank, its functions are among the others.

    ids, lengths: `[n]`. batch_size: functions per process and step. Raises SigjepaError for fewer functions than
    processes.
    """

    def __init__(
        self,
        ids: np.ndarray,
        lengths: np.ndarray,
        batch_size: int,
        seed: int = 0,
        bucket_batches: int = 16,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        check_shares(len(ids), world_size)
        self.ids = ids
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.bucket_batches = bucket_batches
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.first = 0  # batches of an epoch that are left out: they were served before an interruption

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is drawn next; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        # no more batches than the smallest share has functions, so that none is empty
        return min(math.ceil(len(self.ids) / (self.batch_size * self.world_size)), len(self.ids) // self.world_size)

    def __iter__(self) -> Iterator[BatchIndices]:
        generator = np.random.default_rng([self.seed, self.epoch])
        shuffled = generator.permutation(len(self.ids))
        # array_split keeps the last batch as large as the others: no batch of one left over
        ordered = self._by_length(np.array_split(shuffled, len(self)))
        order = generator.permutation(len(ordered))
        for position, index in enumerate(order[self.first :], start=self.first):
            yield self._request(ordered[index][self.rank :: self.world_size], position)

    def _by_length(self, batches: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return batches of the same sizes, the functions of each bucket of them sorted by length."""
        ordered: list[np.ndarray] = []
        for start in range(0, len(batches), self.bucket_batches):
            bucket = batches[start : start + self.bucket_batches]
            positions = np.concatenate(bucket)
            by_length = positions[np.argsort(self.lengths[positions], kind="stable")]
            ordered.extend(np.split(by_length, np.cumsum([len(batch) for batch in bucket])[:-1]))
        return ordered

    def _request(self, positions: np.ndarray, place: int) -> BatchIndices:
        """Return the batch of the functions at `positions`, at its place in the epoch."""
        return BatchIndices(self.ids[positions], self.epoch * len(self) + place, self.epoch + place / len(self))


class BlockSampler(LengthBucketSampler):
    """Yields batches that read mostly in order, for shards that do not fit into memory.

    Blocks of functions that lie beside each other are shuffled, each rank takes a stretch of the blocks for itself, and
    the functions of `shuffle_window` blocks at a time are shuffled and cut into batches as `LengthBucketSampler` does.
    So a process reads so many blocks at a time, no two read the same, save for blocks on the border of two stretches,
    and every function comes once an epoch. Unlike there, which functions share a batch depends on the number of ranks.

    shuffle_block: functions of a block by id, those of other splits included; that of a shard is best. The others as
    for `LengthBucketSampler`. Raises SigjepaError for a block or a window below 1.
    """

    def __init__(self, *arguments: Any, shuffle_block: int, shuffle_window: int, **named: Any) -> None:
        super().__init__(*arguments, **named)
        for key, value in {"shuffle_block": shuffle_block, "shuffle_window": shuffle_window}.items():
            if value < 1:
                raise SigjepaError(f"data.{key}={value} must be at least 1.")
        self.shuffle_block = shuffle_block
        self.shuffle_window = shuffle_window

    def __iter__(self) -> Iterator[BatchIndices]:
        numbers = self.ids // self.shuffle_block
        blocks = np.split(np.arange(len(self.ids)), np.flatnonzero(np.diff(numbers)) + 1)
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(blocks))
        positions = np.array_split(np.concatenate([blocks[number] for number in order]), self.world_size)[self.rank]
        generator = np.random.default_rng([self.seed, self.epoch, self.rank])
        batches = np.array_split(positions, len(self))
        window = max(1, self.shuffle_window * self.shuffle_block // self.batch_size)
        for start in range(0, len(batches), window):
            sizes = [len(batch) for batch in batches[start : start + window]]
            shuffled = generator.permutation(np.concatenate(batches[start : start + window]))
            ordered = self._by_length(np.split(shuffled, np.cumsum(sizes)[:-1]))
            for place, index in enumerate(generator.permutation(len(ordered)), start=start):
                if place >= self.first:
                    yield self._request(ordered[index], place)


class SequentialSampler(Sampler[BatchIndices]):
    """Yields batches of ids sorted by length: every function once over all ranks, in the order cheapest to pad.

    Every rank gets the same number of batches, since ranks wait for each other; shares may differ by one function.
    """

    def __init__(
        self, ids: np.ndarray, lengths: np.ndarray, batch_size: int, rank: int = 0, world_size: int = 1
    ) -> None:
        check_shares(len(ids), world_size)
        self.ids = ids[np.argsort(lengths, kind="stable")][rank::world_size]
        # the larger share decides; no more batches than the smaller share has functions, so that none is empty
        self.batches = min(math.ceil(math.ceil(len(ids) / world_size) / batch_size), len(ids) // world_size)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[BatchIndices]:
        for ids in np.array_split(self.ids, self.batches) if self.batches else ():
            yield BatchIndices(ids)
