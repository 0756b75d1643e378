"""The functions of a held-out split that are ranked among each other: all of them, or a sample of a fixed size."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sigjepa.corpus.corpus import Corpus
from sigjepa.errors import SigjepaError

HELD_OUT = ("val", "test")
MIN_POOL = 11
"""Rank@10 of a pool of ten or fewer is 100 % whatever the prediction."""


@dataclass(frozen=True)
class PoolSample:
    """The pools of val and test: `size` functions of each, drawn by `seed`, or all where it has no more; None is all.

    Every function of a pool is a query, and a candidate of every query. The seed is not that of a run: the runs of an
    experiment have one pool. Raises SigjepaError for a size that is too small for Rank@10.
    """

    size: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size is not None and self.size < MIN_POOL:
            raise SigjepaError(
                f"data.pool_size={self.size} must be at least {MIN_POOL}, for Rank@10, or null for whole splits."
            )

    def ids(self, corpus: Corpus, split: str) -> npt.NDArray[np.int64]:
        """Return the ids of the functions of a split's pool, ascending."""
        ids = corpus.ids(split)
        if self.size is None or len(ids) <= self.size:
            return ids
        generator = np.random.default_rng([self.seed, HELD_OUT.index(split)])
        return np.sort(generator.choice(ids, self.size, replace=False))

    def sampled(self, corpus: Corpus) -> dict[str, str]:
        """Return by split what is said of a pool that is a sample; nothing of a whole split."""
        if self.size is None:
            return {}
        sizes = {split: len(corpus.ids(split)) for split in HELD_OUT}
        return {
            split: f"pool of {self.size:,} sampled of {size:,}, seed {self.seed}"
            for split, size in sizes.items()
            if size > self.size
        }
