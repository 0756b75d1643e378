import pickle
from dataclasses import replace

import numpy as np
import pytest

from sigjepa.data.pool_sample import PoolSample
from sigjepa.errors import DamagedError, SigjepaError
from sigjepa.evaluation.baseline_stage import RANKS_FILE, BaselineStage, baseline_stages
from sigjepa.evaluation.baselines import BASELINES, baseline_names
from sigjepa.evaluation.pools import read_pools
from sigjepa.pipeline import pipeline_of
from sigjepa.store.executors.local import Local
from sigjepa.store.manifest import Manifest, Reference
from sigjepa.store.store import Store


@pytest.fixture
def pipeline(tiny_pipeline, tmp_path):
    """The tiny pipeline with room for its own baselines."""
    return replace(tiny_pipeline, store=Store(tmp_path))


def assert_equal(baseline, expected):
    assert baseline.figures == expected.figures
    assert baseline.ranks.keys() == expected.ranks.keys()
    for split, (ids, ranks) in expected.ranks.items():
        np.testing.assert_array_equal(baseline.ranks[split][0], ids)
        np.testing.assert_array_equal(baseline.ranks[split][1].optimistic, ranks.optimistic)
        np.testing.assert_array_equal(baseline.ranks[split][1].pessimistic, ranks.pessimistic)


def test_a_second_job_opens_what_the_first_has_measured(pipeline, tiny_data, monkeypatch):
    first = pipeline.measure_baselines(tiny_data)
    pools = read_pools(tiny_data.corpus, tiny_data.shards, tiny_data.lexicon)
    assert list(first) == list(BASELINES)
    for name, baseline in first.items():
        assert_equal(baseline, BASELINES[name].measure(pools))
    monkeypatch.setattr(BaselineStage, "build", None)
    second = pipeline.measure_baselines(tiny_data)
    for name, baseline in second.items():
        assert_equal(baseline, first[name])


def test_a_baseline_beside_a_sampled_pool_is_of_that_pool(pipeline, tiny_data):
    pools = {name: PoolSample(size) for name, size in {"sampled": 12, "whole": None, "large": 10**6}.items()}
    stages = {name: baseline_stages(["zero_shot"], replace(tiny_data, pool=pool))[0] for name, pool in pools.items()}
    assert stages["whole"].inputs() == stages["large"].inputs() != stages["sampled"].inputs()
    baseline = pipeline.store.get(stages["sampled"])
    sampled = read_pools(tiny_data.corpus, tiny_data.shards, sample=pools["sampled"])
    assert_equal(baseline, BASELINES["zero_shot"].measure(sampled))
    for split in ("val", "test"):
        ids, ranks = baseline.ranks[split]
        assert ids.tolist() == pools["sampled"].ids(tiny_data.corpus, split).tolist()
        assert ranks.pessimistic.max() <= 12
    assert len(sampled["train"].ids) == len(tiny_data.corpus.ids("train"))


def test_another_process_measures_the_same(tiny_data, tmp_path):
    (stage,) = baseline_stages(["fusion"], tiny_data)
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there", Local(2))
    assert_equal(there.get(pickle.loads(pickle.dumps(stage))), here.get(stage))


def test_the_manifest_names_corpus_and_shards(pipeline, tiny_data):
    (stage,) = baseline_stages(["bm25"], tiny_data)
    pipeline.store.get(stage)
    manifest = Manifest.read(pipeline.store.folder(stage))
    assert manifest.folder.parent.name == "baselines"
    assert manifest.folder.name.startswith("bm25-")
    assert manifest.upstream == {"corpus": tiny_data.corpus.reference, "shards": tiny_data.shards.reference}
    assert {"torch", "bm25s"} <= manifest.origin["versions"].keys()


def test_a_baseline_is_of_the_lexicon_where_it_needs_one_and_only_then(tiny_data):
    with_words, without = baseline_stages(["role_bm25", "bm25"], tiny_data)
    assert with_words.upstream() == {**without.upstream(), "lexicon": tiny_data.lexicon.reference}
    assert "lexicon" not in without.inputs()
    assert baseline_stages(["bm25"], tiny_data, pytest.fail) == [without]
    asked = []
    baseline_stages(["free_name_rule", "free_name_counts"], tiny_data, lambda stage: asked.append(stage.kind))
    assert asked == ["lexicon"]


@pytest.mark.parametrize("artifact", ["corpus", "shards", "lexicon"])
def test_another_corpus_other_shards_or_another_lexicon_have_their_own(tiny_data, artifact):
    (stage,) = baseline_stages(["role_bm25"], tiny_data)

    class Other:
        hash = pooled_digest = "another"
        reference = Reference("lexicon", "folder", "another", "another")

    assert replace(stage, **{artifact: Other()}).inputs() != stage.inputs()


def test_damaged_ranks_are_an_error_and_repaired(pipeline, tiny_data):
    (stage,) = baseline_stages(["mean_body"], tiny_data)
    whole = pipeline.store.get(stage)
    path = pipeline.store.folder(stage) / RANKS_FILE
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedError, match=f"{RANKS_FILE}.*repair=true"):
        pipeline.store.get(stage)
    repaired, problems = pipeline.store.repair(stage)
    assert_equal(repaired, whole)
    assert len(problems) == 1


def test_an_unknown_baseline_is_named_before_anything_is_built(tiny_config, tmp_path):
    config = tiny_config.copy()
    config.baseline, config.paths.data_dir = ["bm25", "bm52"], str(tmp_path / "data")
    with pytest.raises(SigjepaError, match="'bm52'.*'bm25'"):
        pipeline_of(config)
    assert not (tmp_path / "data").exists()


def test_all_is_every_baseline_and_a_list_keeps_their_order():
    assert baseline_names("all") == list(BASELINES)
    assert baseline_names(["bm25", "random"]) == ["random", "bm25"]
    assert baseline_names("bm25") == ["bm25"]
