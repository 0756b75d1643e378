"""Every real stage of the chain, damaged, deleted, mistaken for another and killed: found, and built again alone."""

import multiprocessing
import os
import shutil
import signal
from dataclasses import replace

import pytest

from sigjepa.errors import DamagedError
from sigjepa.evaluation.baseline_stage import baseline_stages
from sigjepa.pipeline import pipeline_of
from sigjepa.runtime.compose import compose
from sigjepa.store import build
from sigjepa.store.manifest import MANIFEST_FILE, Manifest
from sigjepa.store.store import Store

STAGES = [
    *(
        "CorpusStage",
        "FoldStage",
        "ShardStage",
        "LexiconStage",
        "MinedPairsStage",
        "JudgedPairsStage",
        "HardNegativesStage",
    ),
    "BaselineStage",
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Where each stage is built once."""
    return Store(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def stages(store, small_corpus):
    """The stages of a whole chain by class, and one baseline, all built in `store`."""
    recorded = []

    def get(stage):
        recorded.append(stage)
        return store.get(stage)

    words = [
        "folds=3",
        "fold=0",
        "experiment=exp2_1",
        "data.body_states=true",
        "negatives.tiers=null",
        "teacher.hard_negative_min_cosim=0",
    ]
    paths = [f"paths.data_dir={store.data_dir}", "paths.run_dir=none", "logger=none"]
    pipeline = pipeline_of(compose([*small_corpus, *words, *paths]))
    data = replace(pipeline, lexicon=True).collect(get)
    get(*baseline_stages(["zero_shot"], data))
    return {type(stage).__name__: stage for stage in recorded}


@pytest.fixture(params=STAGES)
def stage(request, stages):
    return stages[request.param]


@pytest.fixture
def copy(stage, store, tmp_path):
    """A store with a copy of the stage's artifact alone, and that artifact's manifest."""
    other = Store(tmp_path)
    shutil.copytree(store.folder(stage), other.folder(stage))
    return other, Manifest.read(other.folder(stage))


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_no_stage_is_left_out(stages):
    assert list(stages) == STAGES


def test_damage_of_any_file_is_found_and_mended(stage, copy):
    store, manifest = copy
    for name in manifest.files:
        flip(manifest.folder / name)
        with pytest.raises(DamagedError, match=(manifest.folder / name).name):
            store.get(stage)
        assert len(store.repair(stage)[1]) == 1
        again = Manifest.read(manifest.folder)
        assert (again.content, again.facts, again.inputs) == (manifest.content, manifest.facts, manifest.inputs)
    store.get(stage)


def test_a_damaged_manifest_costs_no_work(stage, copy, monkeypatch):
    store, manifest = copy
    flip(manifest.folder / MANIFEST_FILE)
    monkeypatch.setattr(type(stage), "build", lambda *_: pytest.fail("built again"))
    assert len(store.repair(stage)[1]) == 1
    assert Manifest.read(manifest.folder).reference == manifest.reference


def test_a_manifest_of_another_artifact_is_refused(stage, stages, store, copy):
    copied, manifest = copy
    other = stages[STAGES[STAGES.index(type(stage).__name__) - 1]]
    shutil.copy(store.folder(other) / MANIFEST_FILE, manifest.folder / MANIFEST_FILE)
    with pytest.raises(DamagedError, match=MANIFEST_FILE):
        copied.get(stage)


def die_before_the_first_record(store, stage):
    """Build in a process that is killed when its first part is done but not yet recorded."""
    build.write_record = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    store.get(stage)


def test_a_killed_build_is_done_again(stage, store, tmp_path):
    killed = Store(tmp_path)
    child = multiprocessing.get_context("fork").Process(target=die_before_the_first_record, args=(killed, stage))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert not (killed.folder(stage) / MANIFEST_FILE).exists()
    killed.get(stage)
    assert Manifest.read(killed.folder(stage)).reference == Manifest.read(store.folder(stage)).reference
