"""The chain from a corpus to hard negatives and baselines, built by processes and by Ray: the same bytes as in one."""

from dataclasses import replace

import pytest

from sigjepa.corpus import extraction
from sigjepa.evaluation.baseline_stage import baseline_stages
from sigjepa.negatives.judging import answers, judged_functions
from sigjepa.pipeline import pipeline_of
from sigjepa.runtime.compose import compose
from sigjepa.serving.functions import FunctionsStage
from sigjepa.store.executors.local import Local
from sigjepa.store.manifest import MANIFEST_FILE, Manifest
from sigjepa.store.store import Store

KINDS = {"corpus", "teacher", "lexicon", "mined", "judged", "negatives", "baselines", "functions"}
CHAIN = ["experiment=exp2_1", "negatives.tiers=null", "teacher.hard_negative_min_cosim=0", "data.body_states=true"]


def built(words, folder, executor):
    """The facts, content and digests of what a chain has built, by kind."""
    paths = [f"paths.data_dir={folder}", "paths.run_dir=none", "logger=none"]
    store = Store(folder, executor)
    pipeline = replace(pipeline_of(compose([*words, *CHAIN, *paths])), lexicon=True)
    data = pipeline.collect(store.get)
    for stage in baseline_stages(["zero_shot"], data, store.get):
        store.get(stage)
    store.get(FunctionsStage(pipeline.corpus.source))
    manifests = [Manifest.read(path.parent) for path in folder.glob(f"*/*/{MANIFEST_FILE}")]
    return {each.kind: (each.content, each.reference.digest, dict(each.facts)) for each in manifests}


@pytest.fixture
def in_parts(monkeypatch):
    """Parts of a few files, functions and questions; which they are is decided in the process of the command."""
    monkeypatch.setattr(extraction, "FILES_PER_PART", 5)
    monkeypatch.setattr(judged_functions, "IDS_PER_PART", 7)
    monkeypatch.setattr(answers, "QUESTIONS_PER_PART", 9)


@pytest.fixture(scope="module")
def one(small_corpus, tmp_path_factory):
    """What one process builds, undivided."""
    found = built(small_corpus, tmp_path_factory.mktemp("one"), Local(1))
    assert found.keys() == KINDS
    return found


@pytest.mark.slow
def test_processes_build_the_same(small_corpus, one, tmp_path, in_parts):
    assert built(small_corpus, tmp_path, Local(2)) == one


@pytest.mark.slow
def test_ray_builds_the_same(small_corpus, one, tmp_path, in_parts, monkeypatch):
    ray = pytest.importorskip("ray")
    from sigjepa.store.executors.ray_cluster import Ray

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # 15 by default: of a busy machine it would get nothing
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    try:
        assert built(small_corpus, tmp_path, Ray(workers=2)) == one
    finally:
        ray.shutdown()
