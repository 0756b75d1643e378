"""The functions of a held-out split that are ranked among each other: all of them, or a sample of a fixed size."""

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sigjepa.corpus.corpus import Corpus
from sigjepa.errors import SigjepaError

log = logging.getLogger(__name__)

HELD_OUT = ("val", "test")
MIN_POOL = 11
"""Rank@10 of a pool of ten or fewer is 100 % whatever the prediction."""
MAX_WHOLE_POOL = 50_000
"""Functions of a pool beyond which a sample is proposed: to compare all with all takes a core half a minute."""


@dataclass(frozen=True)
class PoolSample:
    """The pools of val and test: `size` functions of each, drawn by `seed`, or all where it has no more; None is all.

    Every function of a pool is a query, and a candidate of every query. The seed is not that of a run: the runs of an
    experiment have one pool. Raises SigjepaError for a size that is too small for Rank@10, and for no whole number.
    """

    size: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size is not None and (not isinstance(self.size, int) or self.size < MIN_POOL):
            raise SigjepaError(
                f"data.pool_size={self.size} must be a whole number, at least {MIN_POOL}, for Rank@10, or null for "
                "whole splits."
            )
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or self.seed < 0:
            raise SigjepaError(f"data.pool_seed={self.seed} must be a whole number, at least 0.")

    def ids(self, corpus: Corpus, split: str) -> npt.NDArray[np.int64]:
        """Return the ids of the functions of a split's pool, ascending; all of a split that is not held out."""
        ids = corpus.ids(split)
        if split not in HELD_OUT or self.size is None or len(ids) <= self.size:
            return ids
        generator = np.random.default_rng([self.seed, HELD_OUT.index(split)])
        return np.sort(generator.choice(ids, self.size, replace=False))

    def sample_texts(self, corpus: Corpus) -> dict[str, str]:
        """Return by split what is said of a pool that is a sample; nothing of a whole split."""
        if self.size is None:
            return {}
        sizes = {split: len(corpus.ids(split)) for split in HELD_OUT}
        return {
            split: f"pool of {self.size:,} sampled of {size:,}, seed {self.seed}"
            for split, size in sizes.items()
            if size > self.size
        }


def check_pools(corpus: Corpus, pool: PoolSample) -> None:
    """Raise SigjepaError when the val or test split is too small for Rank@10, before anything is embedded.

    It logs which pools are samples, and proposes one for a very large pool.
    """
    sampled = pool.sample_texts(corpus)
    for split in HELD_OUT:
        size = len(corpus.ids(split))
        if size < MIN_POOL:
            raise SigjepaError(
                f"The {split} split has {size} functions; Rank@10 needs at least {MIN_POOL}. "
                "Take a larger corpus (data=quick, or more repositories)."
            )
        if split in sampled:
            log.info("Ranks on %s are those in a %s: compare them with no other pool", split, sampled[split])
        elif size > MAX_WHOLE_POOL:
            log.warning(
                "The %s pool has %d functions, and all are compared with all whenever it is ranked; data.pool_size=%d "
                "ranks a sample among itself, of which every figure is then said to be.",
                split,
                size,
                MAX_WHOLE_POOL // 2,
            )
