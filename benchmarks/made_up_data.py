"""Data of the published sizes that are made up: nothing is downloaded, nothing embedded, and only times count."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import torch
from torch import Tensor

from sigjepa.corpus.corpus import Corpus
from sigjepa.data.training_data import TrainingData
from sigjepa.store.manifest import Manifest
from sigjepa.store.store import Store
from sigjepa.teacher.shards import TeacherShards

BLOCKS = 16
"""Shards of made-up states; all have the same states, so that the host holds a sixteenth of them."""
SHARES = {"train": 0.8271, "val": 0.115, "test": 0.0579}


def made_up_lengths(functions: int, median: float, spread: float, most: int, seed: int) -> np.ndarray:
    """Return lengths `[n]` like those of the pinned corpus: signatures of 24 in the median, bodies of 102."""
    drawn = np.random.default_rng(seed).lognormal(np.log(median), spread, functions)
    return np.clip(drawn, 4, most).astype(np.int64)


class MadeUpShards(TeacherShards):
    """Shards in memory: `BLOCKS` with the same random states, and means of their own; spread: of lengths, 0 for one."""

    def __init__(self, functions: int, dim: int, body_states: bool, spread: float = 1.0) -> None:
        per_block = -(-functions // BLOCKS)
        self._functions = per_block * BLOCKS
        starts = list(range(0, self._functions, per_block))
        facts = {"dim": dim, "shards": [{"file": "", "first_id": start} for start in starts]}
        inputs = {"body_states": body_states}
        super().__init__(Manifest(Path("made-up"), "teacher", "made-up", inputs, "made-up", facts, {}))
        lengths = {
            "signature": made_up_lengths(per_block, 24, 0.75 * spread, 128, seed=0),
            "body": made_up_lengths(per_block, 102, spread, 512, seed=1),
        }
        base = torch.randn(8192, dim, generator=torch.Generator().manual_seed(0)).bfloat16()
        shared: dict[str, Tensor] = {}
        for half, own in lengths.items():
            shared[f"{half}_offsets"] = torch.from_numpy(np.concatenate([[0], np.cumsum(own)]))
            shared[f"{half}_lengths"] = torch.from_numpy(own)
            if half == "signature" or body_states:
                shared[f"{half}_states"] = base.repeat(-(-int(own.sum()) // len(base)), 1)[: int(own.sum())]
        for block in range(BLOCKS):
            pooled = torch.randn(2, per_block, dim, generator=torch.Generator().manual_seed(block + 1))
            self._maps[block] = shared | {"signature_pooled": pooled[0], "body_pooled": pooled[1]}

    def __len__(self) -> int:
        return self._functions


def made_up_data(functions: int, dim: int, body_states: bool, spread: float = 1.0) -> TrainingData:
    """Return data of the published sizes: of 50,835 functions 42,047 are train."""
    shards = MadeUpShards(functions, dim, body_states, spread)
    ids = np.random.default_rng(0).permutation(len(shards))
    ends = np.cumsum([round(share * len(ids)) for share in SHARES.values()])[:-1]
    splits = dict(zip(SHARES, map(np.sort, np.split(ids, ends)), strict=True))
    pairs_of_equals = [str(i // 2 * 2) for i in range(len(ids))]
    corpus = made_up_corpus(splits.__getitem__, lambda name: pairs_of_equals)
    return TrainingData(corpus, shards, cast(Store, None))


def made_up_corpus(ids: Callable[[str], np.ndarray], column: Callable[[str], list[str]]) -> Corpus:
    """Return what training reads of a corpus: the ids of each split, and columns."""
    values = {"values": lambda name: iter(column(name)), "check_same_functions": lambda artifact: None}
    return cast(Corpus, SimpleNamespace(ids=ids, column=column, **values))
