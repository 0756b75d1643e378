import os
import shutil
from dataclasses import replace

import hydra
import numpy as np
import pytest

from sigjepa.corpus.folds import Fold
from sigjepa.errors import DamagedError, SigjepaError
from sigjepa.lexicon.stage import LexiconStage
from sigjepa.models.predictor import SigPredictor
from sigjepa.pipeline import check, pipeline_of
from sigjepa.runtime.config_files import config_directory
from sigjepa.store.verified import VERIFIED_FILE


def composed(*overrides):
    with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
        return hydra.compose("train", ["data=tiny", "paths.data_dir=nowhere", "paths.run_dir=none", *overrides])


def test_a_second_pipeline_finds_the_artifacts(tiny_config, tiny_pipeline, tiny_data):
    def times():
        folder = tiny_data.shards.folder
        return {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.name != VERIFIED_FILE}

    before = times()
    assert replace(tiny_pipeline, baselines=()).missing() == []
    assert pipeline_of(tiny_config).get().references() == tiny_data.references()
    assert times() == before


@pytest.fixture(scope="module")
def small_pipeline(small_corpus, tmp_path_factory):
    """How the data of a corpus of 42 functions is come by, in a store of its own."""
    words = ("experiment=exp1_4", "baseline=[random]", f"paths.data_dir={tmp_path_factory.mktemp('small')}")
    return pipeline_of(composed(*small_corpus, *words))


def test_a_changed_config_never_reads_a_stale_artifact(small_pipeline):
    data = small_pipeline.get()
    fewer = replace(small_pipeline.corpus, max_functions_per_repository=13)
    other = replace(small_pipeline, corpus=fewer)
    assert other.missing() == ["corpus", "teacher shards", "baselines"]
    changed = other.get()
    assert changed.corpus.folder != data.corpus.folder
    assert changed.shards.folder != data.shards.folder
    assert (len(data.shards), len(changed.shards)) == (len(data.corpus), len(changed.corpus)) == (42, 39)
    assert other.missing() == ["baselines"]
    other.measure_baselines(changed)
    assert other.missing() == []
    assert small_pipeline.missing() == ["baselines"]


def test_shards_with_body_states_serve_a_run_without(tiny_pipeline, tiny_data):
    assert tiny_data.shards.has_body_states
    assert replace(tiny_pipeline, body_states=False).get().shards.folder == tiny_data.shards.folder


def test_the_lexicon_is_built_where_it_is_asked_for_and_nowhere_else(tiny_pipeline, tiny_data, tmp_path, monkeypatch):
    for reference in (tiny_data.corpus.reference, tiny_data.shards.reference):
        place = f"{reference.kind}/{reference.folder}"
        shutil.copytree(tiny_data.store.data_dir / place, tmp_path / place)
    store = replace(tiny_pipeline.store, data_dir=tmp_path)
    pipeline = replace(tiny_pipeline, negatives=None, store=store, baselines=["random"])
    data = pipeline.get()
    pipeline.measure_baselines(data)
    assert data.references().keys() == {"corpus", "shards"}
    assert not (tmp_path / "lexicon").exists()
    needing = replace(pipeline, lexicon=True)
    assert needing.missing() == ["lexicon", "baselines"]
    assert replace(pipeline, baselines=["role_bm25"]).missing() == ["baselines"]
    assert not (tmp_path / "lexicon").exists()
    assert data.lexicon.manifest.inputs["corpus"] == data.corpus.hash
    assert data.lexicon is data.lexicon
    assert needing.missing() == []
    monkeypatch.setattr(LexiconStage, "build", None)
    again = needing.get()
    assert again.references()["lexicon"] == again.lexicon.reference == data.lexicon.reference
    assert again.hashes()["lexicon"] == data.lexicon.folder.name


def test_a_component_says_that_it_needs_the_lexicon(monkeypatch):
    config = composed()
    assert not pipeline_of(config).lexicon
    monkeypatch.setattr(SigPredictor, "needs", ["lexicon"], raising=False)
    check(config)
    assert pipeline_of(config).lexicon


def test_folds_share_the_embedding_of_their_corpus(tiny_pipeline, tiny_data):
    folds = [replace(tiny_pipeline, negatives=None, baselines=(), fold=Fold(3, fold)) for fold in range(3)]
    assert folds[0].missing() == ["corpus"]  # that fold of it alone
    opened = [pipeline.get() for pipeline in folds]
    assert folds[0].missing() == []
    assert {data.shards.folder for data in opened} == {tiny_data.shards.folder}
    pools = np.concatenate([data.corpus.ids("test") for data in opened])
    assert sorted(pools) == list(range(len(tiny_data.corpus)))


@pytest.mark.parametrize("words", [["folds=5"], ["fold=1"], ["folds=2", "fold=2"]])
def test_a_wrong_fold_is_named_before_anything_is_built(words):
    with pytest.raises(SigjepaError, match=words[-1]):
        pipeline_of(composed(*words))


def test_a_pool_too_small_for_rank_10_is_an_error_before_anything_is_embedded(small_pipeline, tmp_path):
    few = replace(small_pipeline.corpus, max_functions_per_repository=5)
    pipeline = replace(small_pipeline, corpus=few, store=replace(small_pipeline.store, data_dir=tmp_path))
    with pytest.raises(SigjepaError, match="val .*larger corpus"):
        pipeline.get()
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["loss=[infonce,token_smooth_l1]"], ["data.body_states=true", "model=token_predictor_small"]),
        (["loss=[infonce,token_smooth_l1]", "data.body_states=true"], ["model=token_predictor_small"]),
        (["loss.infonce.mined_candidates=union"], ["negatives=knn"]),
        (["callbacks=refresh"], ["negatives=knn"]),
        (["data.batch_size=1"], ["data.batch_size=2"]),
        (["data.batch_size=ten"], ["data.batch_size=ten must be"]),
        (["data.batch_size=0"], ["data.batch_size=0 must be"]),
        (["data.batch_size=1", "callbacks=refresh"], ["data.batch_size=2", "negatives=knn"]),
    ],
)
def test_all_that_is_missing_is_said_at_once(overrides, named):
    with pytest.raises(SigjepaError) as error:
        check(composed(*overrides))
    assert [name for name in named if name not in str(error.value)] == []


@pytest.mark.parametrize("experiment", ["exp1_4", "exp2_1", "exp2_2", "hardneg_curriculum"])
def test_every_experiment_has_what_it_needs(experiment):
    check(composed(f"experiment={experiment}"))


def test_the_command_says_what_is_missing_and_builds_nothing(run_python, tmp_path):
    command = ["-m", "sigjepa.train", "data=tiny", "loss=[infonce,token_smooth_l1]", "logger=none"]
    environment = os.environ | {"SIGJEPA_DATA_DIR": str(tmp_path / "data")}
    run = run_python(command, tmp_path, environment)
    assert run.returncode == 1
    assert "data.body_states=true" in run.stderr
    assert "model=token_predictor_small" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "data").exists()


def test_repair_mends_what_is_damaged(small_pipeline, tmp_path):
    data = small_pipeline.get()
    for reference in (data.corpus.reference, data.shards.reference):
        place = f"{reference.kind}/{reference.folder}"
        shutil.copytree(data.store.data_dir / place, tmp_path / place)
    (path,) = tmp_path.glob("corpus/*/functions.parquet/*")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    store = replace(small_pipeline.store, data_dir=tmp_path)
    pipeline = replace(small_pipeline, store=store, baselines=["role_bm25"])
    with pytest.raises(DamagedError, match=path.name):
        pipeline.get()
    mended, problems = pipeline.repair()
    assert len(problems) == 1
    assert path.name in problems[0]
    assert mended.corpus.reference == data.corpus.reference
    assert mended.shards.reference == data.shards.reference
    assert pipeline.repair()[1] == []
    manifest = tmp_path / data.shards.reference.kind / data.shards.reference.folder / "manifest.json"
    manifest.write_text(manifest.read_text()[:-20])  # read before the artifact is opened, to choose among two
    repaired, problems = pipeline.repair()
    assert "manifest.json" in problems[0]
    assert repaired.shards.reference == data.shards.reference
    (path,) = tmp_path.glob("lexicon/*/*.npz")
    path.write_bytes(path.read_bytes()[:-1])
    assert path.name in pipeline.repair()[1][0]
    assert pipeline.repair()[1] == []
