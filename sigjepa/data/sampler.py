"""Samplers: functions of similar length share a batch, and the order is a pure function of (seed, epoch)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

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


class LengthBucketSampler(Sampler[BatchIndices]):
    """Yields batches of ids, shuffled, each of similar signature length (padding dominates the cost of a batch).

    Ids are shuffled, cut into buckets of `bucket_batches` batches, sorted by length within a bucket, cut into batches
    of near-equal size and shuffled again. Every rank draws the same global batches of `batch_size * world_size` and
    takes its own share, so the global batch does not depend on how many processes there are.

    ids, lengths: `[n]`. batch_size: functions per process and step.
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
        return math.ceil(len(self.ids) / (self.batch_size * self.world_size))

    def __iter__(self) -> Iterator[BatchIndices]:
        generator = np.random.default_rng([self.seed, self.epoch])
        shuffled = generator.permutation(len(self.ids))
        # array_split keeps the last batch as large as the others: no batch of one left over
        batches = np.array_split(shuffled, len(self))
        ordered: list[np.ndarray] = []
        for start in range(0, len(batches), self.bucket_batches):
            bucket = batches[start : start + self.bucket_batches]
            positions = np.concatenate(bucket)
            by_length = positions[np.argsort(self.lengths[positions], kind="stable")]
            ordered.extend(np.split(by_length, np.cumsum([len(batch) for batch in bucket])[:-1]))
        order = generator.permutation(len(ordered))
        for position, index in enumerate(order[self.first :], start=self.first):
            ids = self.ids[ordered[index][self.rank :: self.world_size]]
            yield BatchIndices(ids, self.epoch * len(self) + position, self.epoch + position / len(self))


class SequentialSampler(Sampler[BatchIndices]):
    """Yields batches of ids sorted by length: every function once over all ranks, in the order cheapest to pad.

    Every rank gets the same number of batches, since ranks wait for each other; shares may differ by one function.
    """

    def __init__(
        self, ids: np.ndarray, lengths: np.ndarray, batch_size: int, rank: int = 0, world_size: int = 1
    ) -> None:
        if len(ids) < world_size:
            raise SigjepaError(
                f"{len(ids)} functions cannot be shared out over {world_size} processes; use fewer (trainer.devices)."
            )
        self.ids = ids[np.argsort(lengths, kind="stable")][rank::world_size]
        # the larger share decides; no more batches than the smaller share has functions, so that none is empty
        self.batches = min(math.ceil(math.ceil(len(ids) / world_size) / batch_size), len(ids) // world_size)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[BatchIndices]:
        for ids in np.array_split(self.ids, self.batches) if self.batches else ():
            yield BatchIndices(ids)
