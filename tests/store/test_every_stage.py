"""Every real stage of the chain, damaged, deleted, mistaken for another and killed: found, and built again alone."""

import multiprocessing
import os
import shutil
import signal

import pytest

from sigjepa.errors import DamagedError
from sigjepa.evaluation.baseline_stage import baseline_stages
from sigjepa.store import build
from sigjepa.store.manifest import MANIFEST_FILE, Manifest
from sigjepa.store.store import Store

KINDS = ["corpus", "teacher", "mined", "judged", "negatives", "baselines"]


@pytest.fixture(scope="module")
def stages(tiny_pipeline):
    """The stages of `tiny_pipeline` by kind, and one baseline."""
    recorded = []

    def get(stage):
        recorded.append(stage)
        return tiny_pipeline.store.get(stage)

    data = tiny_pipeline.collect(get)
    get(*baseline_stages(["zero_shot"], data))
    return {stage.kind: stage for stage in recorded}


@pytest.fixture(params=KINDS)
def stage(request, stages):
    return stages[request.param]


@pytest.fixture
def copy(stage, tiny_pipeline, tmp_path):
    """A store with a copy of the stage's artifact alone, and that artifact's manifest."""
    store = Store(tmp_path)
    shutil.copytree(tiny_pipeline.store.folder(stage), store.folder(stage))
    return store, Manifest.read(store.folder(stage))


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_no_stage_is_left_out(stages):
    assert list(stages) == KINDS


def test_damage_of_any_file_is_found_and_mended(stage, copy):
    store, manifest = copy
    for name in manifest.files:
        flip(manifest.folder / name)
        with pytest.raises(DamagedError, match=(manifest.folder / name).name):
            store.get(stage)
        assert len(store.repair(stage)[1]) == 1
        again = Manifest.read(manifest.folder)
        assert (again.content, again.facts, again.inputs) == (manifest.content, manifest.facts, manifest.inputs)
    store.verify(stage)


def test_a_damaged_manifest_costs_no_work(stage, copy, monkeypatch):
    store, manifest = copy
    flip(manifest.folder / MANIFEST_FILE)
    monkeypatch.setattr(type(stage), "build", lambda *_: pytest.fail("built again"))
    assert len(store.repair(stage)[1]) == 1
    assert Manifest.read(manifest.folder).reference == manifest.reference


def test_a_manifest_of_another_artifact_is_refused(stage, stages, copy, tiny_pipeline):
    store, manifest = copy
    other = stages[KINDS[KINDS.index(stage.kind) - 1]]
    shutil.copy(tiny_pipeline.store.folder(other) / MANIFEST_FILE, manifest.folder / MANIFEST_FILE)
    with pytest.raises(DamagedError, match=MANIFEST_FILE):
        store.get(stage)


def die_before_the_first_record(store, stage):
    """Build in a process that is killed when its first part is done but not yet recorded."""
    build.write_record = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    store.get(stage)


# embedding twice takes most of a minute
@pytest.mark.parametrize(
    "stage",
    [pytest.param(kind, marks=[pytest.mark.slow] if kind == "teacher" else []) for kind in KINDS],
    indirect=True,
)
def test_a_killed_build_is_done_again(stage, tiny_pipeline, tmp_path):
    store = Store(tmp_path)
    child = multiprocessing.get_context("spawn").Process(target=die_before_the_first_record, args=(store, stage))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert not (store.folder(stage) / MANIFEST_FILE).exists()
    store.get(stage)
    expected = Manifest.read(tiny_pipeline.store.folder(stage))
    assert Manifest.read(store.folder(stage)).reference == expected.reference
