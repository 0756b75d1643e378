"""A corpus and shards of a few made-up functions, for tests of what reads and writes pairs."""

from types import SimpleNamespace

import numpy as np
import pytest
from made_up import MadeUpCorpus, at, judge_all, made_up_shards

from sigjepa.negatives.exchange.exported import export, write_judged
from sigjepa.negatives.exchange.field_map import FieldMap
from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.exchange.imported_pairs import ImportedPairs
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.pair_filter import PairFilter


@pytest.fixture
def corpus():
    return MadeUpCorpus()


@pytest.fixture
def make_corpus():
    return MadeUpCorpus


@pytest.fixture
def make_shards():
    """Shards of a teacher over random bodies, some of them near one another; equal seeds are equal teachers."""

    def make(n=60, seed=0, name="teacher"):
        rng = np.random.default_rng(seed)
        bodies = rng.normal(size=(6, 16))[rng.integers(0, 6, n)] + 0.8 * rng.normal(size=(n, 16))
        return made_up_shards(bodies, name, seed)

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
    write_judged(path, judged, FunctionIds(60), FieldMap())
    return path


@pytest.fixture
def expected(judged, corpus):
    return HardNegatives.from_judged(
        judged, train_ids=corpus.ids("train"), pair_filter=PairFilter(min_cosim=0.3, max_score_c=1)
    )


@pytest.fixture
def exported(file, corpus, shards, tmp_path):
    """An index, and the function that exports it to a folder."""
    index = ImportedPairs(file, PairFilter(min_cosim=0.3)).prepare(corpus, shards, *at(tmp_path))

    def write(name="published", **options):
        export(index, corpus, tmp_path / name, **options)
        return tmp_path / name

    return SimpleNamespace(index=index, write=write)
