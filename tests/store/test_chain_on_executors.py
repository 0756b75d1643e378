"""The chain from a corpus to hard negatives, built by processes: the same bytes as in one."""

import pytest

from sigjepa.corpus import extraction
from sigjepa.negatives.judging import answers, judged_functions
from sigjepa.pipeline import pipeline_of
from sigjepa.runtime.compose import compose
from sigjepa.store.executors.local import Local
from sigjepa.store.manifest import MANIFEST_FILE, Manifest
from sigjepa.store.store import Store

KINDS = {"corpus", "teacher", "mined", "judged", "negatives"}


def built(words, folder, executor):
    """The facts, content and digests of what a chain has built, by kind."""
    paths = [f"paths.data_dir={folder}", "paths.run_dir=none", "logger=none"]
    chain = ["experiment=exp2_1", "negatives.tiers=null", "teacher.hard_negative_min_cosim=0"]
    pipeline_of(compose([*words, *chain, *paths])).collect(Store(folder, executor).get)
    manifests = [Manifest.read(path.parent) for path in folder.glob(f"*/*/{MANIFEST_FILE}")]
    return {each.kind: (each.content, each.reference.digest, dict(each.facts)) for each in manifests}


@pytest.fixture
def in_parts(monkeypatch):
    """Parts of a few files, functions and questions; which they are is decided in the process of the command."""
    monkeypatch.setattr(extraction, "FILES_PER_PART", 5)
    monkeypatch.setattr(judged_functions, "IDS_PER_PART", 7)
    monkeypatch.setattr(answers, "QUESTIONS_PER_PART", 9)


@pytest.mark.slow
def test_processes_build_the_same(small_corpus, tmp_path, in_parts):
    one = built(small_corpus, tmp_path / "one", Local(1))
    assert one.keys() == KINDS
    assert built(small_corpus, tmp_path / "two", Local(2)) == one
