"""Mined pairs as a stage: in blocks of anchors, the same whatever the blocks, keyed by what they depend on."""

import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
from made_up import MadeUpCorpus, made_up_shards
from nearest import pairs_of

from sigjepa.errors import SigjepaError
from sigjepa.negatives.mining import stage as mining
from sigjepa.negatives.mining.approximate import HNSW, IVF
from sigjepa.negatives.mining.search import Search
from sigjepa.negatives.mining.stage import MinedPairsStage
from sigjepa.negatives.mining.vectors import UnitVectors
from sigjepa.store.store import Store

N = 420
SEARCHES = {"exact": Search(), "ivf": Search(0, IVF(min_recall=0.8)), "hnsw": Search(0, HNSW(min_recall=0.8))}


@pytest.fixture
def stage():
    rng = np.random.default_rng(0)
    bodies = rng.normal(size=(N // 5, 8))[rng.integers(0, N // 5, N)] + 0.5 * rng.normal(size=(N, 8))
    return MinedPairsStage(MadeUpCorpus(n=N), made_up_shards(bodies), top_k=4, min_cosim=0.7)


@pytest.fixture
def _small_blocks(monkeypatch):
    monkeypatch.setattr(mining, "BLOCK_SIZE", 32)


def equal(pairs, other):
    return all(
        np.array_equal(getattr(pairs, name), getattr(other, name)) for name in ("anchor_ids", "neighbor_ids", "cosim")
    )


@pytest.mark.usefixtures("_small_blocks")
def test_pairs_are_those_of_the_train_functions(stage, tmp_path):
    pairs = Store(tmp_path).get(stage)
    ids = stage.corpus.ids("train")
    expected = pairs_of(stage.shards.body_pooled.numpy()[ids], ids, top_k=4, min_cosim=0.7)
    assert equal(pairs, expected)
    assert pairs.highest_cosim == expected.highest_cosim
    facts = pairs.manifest.facts
    assert (facts["functions"], facts["pairs"], facts["search"]) == (
        400,
        len(pairs),
        {"method": "exact", "recall": 1.0},
    )
    assert len(pairs.manifest.files) == 13
    assert {name.split(".")[1] for name in pairs.manifest.files} == {"parquet"}


@pytest.mark.parametrize("name", SEARCHES)
def test_blocks_change_nothing_and_a_lost_one_is_mined_again(stage, tmp_path, monkeypatch, name):
    stage = replace(stage, search=SEARCHES[name])
    whole = Store(tmp_path / "whole").get(stage)
    monkeypatch.setattr(mining, "BLOCK_SIZE", 32)
    store = Store(tmp_path / "blocks")
    pairs = store.get(stage)
    assert equal(pairs, whole)
    (pairs.manifest.folder / "pairs-00003.parquet").unlink()
    assert [part.name for part in store.missing(stage)] == ["pairs-00003"]
    again = store.get(stage)
    assert equal(again, whole)
    assert again.manifest.content == pairs.manifest.content
    assert again.manifest.facts["search"]["method"] == name


def test_a_large_corpus_has_parts_of_several_blocks(stage, tmp_path, monkeypatch):
    whole = Store(tmp_path / "whole").get(stage)
    monkeypatch.setattr(mining, "BLOCK_SIZE", 8)
    monkeypatch.setattr(mining, "MAX_PARTS", 7)
    assert [(part.start, part.stop) for part in stage.parts()][-2:] == [(320, 384), (384, 400)]
    assert equal(Store(tmp_path / "parts").get(stage), whole)
    monkeypatch.setattr(mining, "MAX_BLOCKS", 3)  # so that memory is bounded, and a cluster has enough to do
    assert {part.size for part in stage.parts()} == {24, 16}


@pytest.mark.parametrize("name", SEARCHES)
def test_the_steps_are_built_once_and_read_through_maps(stage, tmp_path, name):
    built = []
    steps = Store(tmp_path)
    builder = replace(stage, search=SEARCHES[name]).with_steps(lambda step: built.append(step.kind) or steps.get(step))
    assert built == (["unit_bodies"] if name == "exact" else ["unit_bodies", "index"])
    vectors = builder.bodies.vectors
    assert isinstance(vectors.matrix.base, np.memmap)
    ids = stage.corpus.ids("train")
    expected = UnitVectors.of(stage.shards.body_pooled.numpy()[ids], ids)
    for field in ("ids", "matrix"):
        assert np.array_equal(getattr(vectors, field), getattr(expected, field))
    assert builder.uses == ("cores" if name == "exact" else "core")


def test_no_vector_is_sent_to_other_processes(stage, tmp_path):
    store = Store(tmp_path)
    steps = Store(tmp_path / "steps")
    builder = replace(stage, search=SEARCHES["ivf"]).with_steps(steps.get)
    (tmp_path / "out").mkdir()
    builder.build(builder.parts()[0], tmp_path / "out")
    sent = pickle.loads(pickle.dumps(builder))
    assert vars(sent).keys() == {field.name for field in fields(stage)} < vars(builder).keys()
    assert not vars(sent.bodies).keys() - {"manifest"}
    assert store.folder(sent) == store.folder(builder)


@pytest.mark.parametrize(
    "change",
    [
        {"top_k": 5},
        {"min_cosim": 0.6},
        {"tiers": ["heads"]},
        {"search": SEARCHES["ivf"]},
        {"corpus": MadeUpCorpus("other", n=N)},
        {"shards": made_up_shards(np.eye(N), "other")},
    ],
)
def test_the_key_is_all_that_pairs_depend_on(stage, change):
    store = Store("data")
    assert store.folder(replace(stage, **change)) != store.folder(stage)


def test_a_search_that_is_not_used_changes_no_key(stage):
    store = Store("data")
    assert store.folder(replace(stage, search=Search(400, HNSW()))) == store.folder(stage)
    assert store.folder(replace(stage, search=Search(399, HNSW()))) != store.folder(stage)
    assert store.folder(replace(stage, tiers=["heads", "phase0"])) == store.folder(
        replace(stage, tiers=["phase0", "heads"])
    )


def test_a_tier_without_functions(stage, tmp_path):
    with pytest.raises(SigjepaError, match="'none'.*negatives=none"):
        Store(tmp_path).get(replace(stage, tiers=["none"]))
