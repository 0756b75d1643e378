"""A corpus and shards of a few made-up functions, for tests of what reads and writes pairs."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_up import judge_all

from sigjepa.negatives.exchange.exported import export
from sigjepa.negatives.exchange.imported_pairs import PairsFile
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.pair_filter import PairFilter


class SmallCorpus:
    """60 functions: ids 0-39 train (even ids phase0, odd ones heads), 40-49 val, 50-59 test."""

    def __init__(self, name="small", first_key=0, n=60):
        self.folder, self.hash = Path("corpus") / name, f"xxh3_128:{name}"
        self.splits = np.array(["train"] * (n - 20) + ["val"] * 10 + ["test"] * 10)
        self.tiers = np.array(["phase0", "heads"] * (n // 2))
        self.keys = [f"key{first_key + i:04}" for i in range(n)]

    def __len__(self):
        return len(self.splits)

    def ids(self, split=None, tiers=None):
        chosen = self.splits == split
        if tiers is not None:
            chosen &= np.isin(self.tiers, tiers)
        return np.flatnonzero(chosen)

    def column(self, name):
        assert name == "key"
        return self.keys


@pytest.fixture
def corpus():
    return SmallCorpus()


@pytest.fixture
def make_corpus():
    return SmallCorpus


@pytest.fixture
def make_shards():
    """Shards of a teacher over random bodies, some of them near one another; equal seeds are equal teachers."""

    def make(n=60, seed=0, name="teacher"):
        rng = np.random.default_rng(seed)
        bodies = rng.normal(size=(6, 16))[rng.integers(0, 6, n)] + 0.8 * rng.normal(size=(n, 16))
        return SimpleNamespace(
            folder=Path("teacher") / f"{name}-{seed}",
            manifest={"name": name, "inputs": {"teacher": {"path": name, "layer": seed}}},
            ids=np.arange(n),
            body_pooled=torch.from_numpy(bodies.astype(np.float32)),
        )

    return make


@pytest.fixture
def shards(make_shards):
    return make_shards()


@pytest.fixture
def judged(shards):
    return judge_all(shards, np.arange(40))


@pytest.fixture
def file(tmp_path, judged):
    path = tmp_path / "brought" / "phase0_2_knn_results_full.jsonl"
    path.parent.mkdir()
    judged.write(path)
    return path


@pytest.fixture
def expected(judged, corpus):
    return HardNegatives.from_judged(
        judged, train_ids=corpus.ids("train"), pair_filter=PairFilter(min_cosim=0.3, max_score_c=1)
    )


@pytest.fixture
def exported(file, corpus, shards, tmp_path):
    """An index, and the function that exports it to a folder."""
    index = PairsFile(file, PairFilter(min_cosim=0.3)).prepare(corpus, shards, tmp_path)

    def write(name="published", **options):
        export(index, corpus, tmp_path, tmp_path / name, **options)
        return tmp_path / name

    return SimpleNamespace(index=index, write=write)
