"""Judged pairs of made-up functions, and whether two indices are the same."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import torch

from sigjepa.negatives.exchange.validate import pair_cosines
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.negatives.judging.response_cache import ledgers
from sigjepa.store.manifest import Manifest
from sigjepa.store.store import Store
from sigjepa.store.verified import VERIFIED_FILE


def equal(one, other):
    """Whether two indices hold the same negatives, scores, cosines and related pairs."""
    columns = [
        [
            *(index.negatives.keys, index.negatives.offsets, index.negatives.values, index.scores, index.cosims),
            *(index.related.keys, index.related.offsets, index.related.values),
        ]
        for index in (one, other)
    ]
    return all(np.array_equal(ours, theirs) for ours, theirs in zip(*columns, strict=True))


def judge_all(shards, ids, seed=0, neighbors=6):
    """Judged pairs of `ids` with the cosines of the shards and scores that both directions of a pair share."""
    rng = np.random.default_rng(seed)
    anchors = np.repeat(ids, neighbors)
    others = np.concatenate([rng.choice(np.setdiff1d(ids, [one]), neighbors, replace=False) for one in ids])
    cosims = pair_cosines(shards, anchors, others)
    order = np.lexsort((others, -cosims, anchors))
    scores = ((anchors + others) % 4).astype(np.int8)
    columns = (column[order] for column in (anchors, others, cosims, scores))
    return JudgedPairs(*columns, "an LLM", [f"reason {place}" for place in range(len(order))])


def times_of(folder, pattern):
    """When files below a folder were last written, but the record of those that were found whole."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob(pattern) if path.name != VERIFIED_FILE}


def ledger_lines(data_dir, judge):
    """The lines of all ledgers of a judge, in the order in which they were begun."""
    texts = [path.read_text() for path in ledgers(data_dir, judge)]
    return [line for text in texts for line in text.split("\n") if line]


def at(data_dir):
    """What a source of negatives is given of a data directory."""
    return Store(data_dir).get, data_dir


def made_up_shards(bodies, name="teacher", seed=0):
    """Shards of a teacher, that hold what mining, filters and imports read of them; equal seeds are equal teachers."""
    folder = Path("teacher") / f"{name}-{seed}"
    manifest = Manifest(
        folder, "teacher", "made up", {"teacher": {"path": name, "layer": seed}}, "content", {"name": name}, {}
    )
    body_pooled = torch.from_numpy(np.asarray(bodies, dtype=np.float32))
    shards = SimpleNamespace(
        folder=folder,
        manifest=manifest,
        reference=manifest.reference,
        ids=np.arange(len(bodies)),
        dim=body_pooled.shape[1],
        body_pooled=body_pooled,
    )
    shards.pooled = partial(pooled_of, shards)
    return shards


def pooled_of(shards, half, functions):
    """Return the rows of some functions."""
    return getattr(shards, f"{half}_pooled")[functions]


def tables_of(corpus, columns, rows):
    """The tables of a corpus that gives its columns, of 7 rows each."""
    for start in range(rows.start, rows.stop, 7):
        block = slice(start, min(start + 7, rows.stop))
        yield pa.table({name: corpus.column(name, block) for name in columns})


class MadeUpCorpus:
    """`n` functions: all but the last 20 train (even ids phase0, odd ones heads), then 10 val and 10 test."""

    def __init__(self, name="small", first_key=0, n=60):
        self.folder, self.hash = Path("corpus") / name, f"xxh3_128:{name}"
        self.splits = np.array(["train"] * (n - 20) + ["val"] * 10 + ["test"] * 10)
        self.tiers = np.array(["phase0", "heads"] * (n // 2))
        self.first_key = first_key

    def check_same_functions(self, artifact):
        """Made-up shards are of any corpus."""

    @property
    def reference(self):
        return Manifest(self.folder, "corpus", "made up", {}, self.hash, {}, {}).reference

    def __len__(self):
        return len(self.splits)

    def ids(self, split=None, tiers=None):
        chosen = self.splits == split
        if tiers is not None:
            chosen &= np.isin(self.tiers, tiers)
        return np.flatnonzero(chosen)

    def column(self, name, rows=slice(None)):
        return [f"{name}{self.first_key + i:04}" for i in range(len(self))][rows]

    tables = tables_of
