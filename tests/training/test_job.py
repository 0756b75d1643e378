import functools
import json
import os

import hydra
import pytest

from sigjepa.errors import SigjepaError
from sigjepa.runtime.config_files import config_directory
from sigjepa.train import train
from sigjepa.training.job import (
    ResumePoint,
    begin_job,
    check_resume,
    earlier_job,
    experiment_key,
    forget_checkpoint,
    job_settings,
    run_lock,
    start_of,
)
from sigjepa.training.run_file_names import JOB_FILE, LAST_CHECKPOINT
from sigjepa.training.run_status import recorded_status, write_summary

SETTINGS = {"seed": 0, "model": {"dropout": 0.1, "layers": [1, 2]}}
EXPERIMENT = {"model": {"dropout": 0.1}}
ARTIFACTS = {"corpus_hash": "abc", "negatives": None}


@functools.cache
def compose(*overrides):
    with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
        return hydra.compose("train", list(overrides))


def begun(folder, status="running", checkpoint=False):
    """A folder in which a job was begun, and came so far."""
    begin_job(folder, SETTINGS, ARTIFACTS, earlier_job(folder, SETTINGS, "auto"), EXPERIMENT)
    write_summary(folder / "summary.json", {"status": status})
    if checkpoint:
        (folder / LAST_CHECKPOINT).parent.mkdir()
        (folder / LAST_CHECKPOINT).touch()
    return folder


def again(folder, resume="auto", settings=SETTINGS, artifacts=ARTIFACTS):
    return begin_job(folder, settings, artifacts, earlier_job(folder, settings, resume), EXPERIMENT)


def test_settings_tell_what_is_asked_for_not_where_nor_by_which_process(tmp_path):
    ours = job_settings(
        compose(
            *("seed=3", f"paths.data_dir={tmp_path}", "paths.run_dir=here", "resume=auto"),
            *("executor=ray", "logger=csv"),
        )
    )
    theirs = job_settings(compose("paths.run_dir=there", "seed=3"))  # no Hydra is running: nothing is asked of it
    assert ours == theirs
    assert "resume" not in ours
    assert str(tmp_path) not in json.dumps(ours)
    assert ours["trainer"]["max_epochs"] == compose().trainer.max_epochs  # interpolations are resolved


@pytest.mark.parametrize(
    "override",
    ["seed=4", "loss.infonce.temperature=0.08", "trainer.max_epochs=7", "data.num_workers=1", "name=x"],
)
def test_whatever_else_is_changed_is_another_job(override):
    assert job_settings(compose(override)) != job_settings(compose())


def test_an_experiment_is_its_settings_without_seed_fold_and_name():
    key = experiment_key(compose())
    assert key == experiment_key(compose("seed=4", "name=x"))
    assert key != experiment_key(compose("loss.infonce.temperature=0.08"))
    beside = ("logger=none", "baseline=[bm25]", "data.num_workers=1", "callbacks.status=null", "executor=ray")
    assert key == experiment_key(compose(*beside, "paths.data_dir=x", "trainer.enable_progress_bar=false"))
    folds = [experiment_key(compose("folds=5", f"fold={fold}")) for fold in range(2)]
    assert folds[0] == folds[1] != key
    assert job_settings(compose("folds=5", "fold=0")) != job_settings(compose("folds=5", "fold=1"))
    assert key != experiment_key(compose("data.seed=4"))  # a seed that is set apart is a setting


def test_a_metric_makes_another_experiment_only_where_it_selects():
    rank20 = "+metrics.rank20={_target_: sigjepa.evaluation.metrics.RecallAt, k: 20}"
    key = experiment_key(compose())
    assert key == experiment_key(compose(rank20, "metrics.rank5.k=4"))
    assert key != experiment_key(compose("metrics.rank10.k=1"))
    selected = experiment_key(compose("monitor=val/mrr"))
    assert selected == experiment_key(compose("monitor=val/mrr", "metrics.rank10.k=1"))
    by_own = [experiment_key(compose(rank20.replace("20}", f"{k}}}"), "monitor=val/rank20")) for k in (20, 30)]
    assert len({key, selected, *by_own}) == 4
    stopped = "callbacks.early_stopping.monitor=val/mrr", "metrics.mrr={_target_: sigjepa.evaluation.metrics.Cosine}"
    assert experiment_key(compose(*stopped[:1])) != experiment_key(compose(*stopped))


def test_a_plugin_makes_another_experiment_unless_it_writes_checkpoints():
    def key(*classes):
        plugins = ",".join(f"{{_target_: lightning.pytorch.plugins.{name}}}" for name in classes)
        return experiment_key(compose(f"trainer.plugins=[{plugins}]"))

    default, none = (experiment_key(compose(*words)) for words in ((), ("trainer.plugins=null",)))
    assert default == none == key() == key("AsyncCheckpointIO")
    assert default != key("DoublePrecision") == key("AsyncCheckpointIO", "DoublePrecision")


def test_a_new_folder_begins_anew_and_says_which_job_it_holds(tmp_path):
    assert again(tmp_path) == ResumePoint()
    job = json.loads((tmp_path / JOB_FILE).read_text())
    assert job == {"experiment": EXPERIMENT, "artifacts": ARTIFACTS, "settings": SETTINGS}


def test_a_finished_job_is_done(tmp_path):
    assert again(begun(tmp_path, "finished", checkpoint=True)) == ResumePoint(finished=True)


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_an_interrupted_job_goes_on(tmp_path, status):
    assert again(begun(tmp_path, status, checkpoint=True)) == ResumePoint(tmp_path / LAST_CHECKPOINT)
    # a further process may look before the first one has begun the job, or after
    assert start_of(tmp_path, {}) == ResumePoint(tmp_path / LAST_CHECKPOINT)


@pytest.mark.parametrize(("status", "checkpoint"), [("failed", True), ("interrupted", False)])
def test_a_failed_job_or_one_without_a_checkpoint_begins_anew_and_leaves_nothing(tmp_path, status, checkpoint):
    begun(tmp_path, status, checkpoint)
    for name in ("metrics.csv", "wandb_id", "provenance.diff", "provenance-2.diff", "notes.txt"):
        (tmp_path / name).touch()
    assert again(tmp_path) == ResumePoint()
    assert start_of(tmp_path, {}) == ResumePoint()
    assert {path.name for path in tmp_path.iterdir()} == {JOB_FILE, "notes.txt"}  # what is not ours stays


def test_never_begins_anew(tmp_path):
    begun(tmp_path, "finished", checkpoint=True)
    assert again(tmp_path, resume="never", settings={"seed": 1}) == ResumePoint()
    assert not (tmp_path / LAST_CHECKPOINT).exists()


def test_interrupted_before_its_data_is_built_it_begins_anew_again(tmp_path, monkeypatch):
    def interrupted(pipeline):
        raise KeyboardInterrupt

    config = compose("data=tiny", "resume=never", "logger=none", f"paths.run_dir={tmp_path}")
    settings = job_settings(config)
    begin_job(tmp_path, settings, ARTIFACTS, None, EXPERIMENT)
    write_summary(tmp_path / "summary.json", {"status": "finished"})
    for path in (tmp_path / LAST_CHECKPOINT, tmp_path / "metrics.csv"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    monkeypatch.setattr("sigjepa.pipeline.Pipeline.get", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    assert again(tmp_path, settings=settings) == ResumePoint()
    assert not (tmp_path / "metrics.csv").exists()


def test_files_of_no_job_are_not_touched(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / LAST_CHECKPOINT).parent.mkdir()
    (tmp_path / LAST_CHECKPOINT).touch()
    forget_checkpoint(tmp_path)
    again(tmp_path, resume="never")
    assert (tmp_path / "figures").is_dir()
    assert (tmp_path / LAST_CHECKPOINT).exists()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"settings": {"seed": 1, "model": SETTINGS["model"]}}, r"seed: have 0, want 1"),
        ({"artifacts": {"corpus_hash": "xyz", "negatives": None}}, r"corpus_hash: have abc, want xyz"),
    ],
)
def test_another_job_in_the_folder_is_an_error_that_leaves_it(tmp_path, other, message):
    begun(tmp_path, "interrupted", checkpoint=True)
    with pytest.raises(SigjepaError, match=rf"{message}.*resume=never"):
        again(tmp_path, **other)
    assert again(tmp_path) == ResumePoint(tmp_path / LAST_CHECKPOINT)


@pytest.mark.parametrize("content", ["[]", "{}", "{", ""])
def test_a_damaged_record_is_named(tmp_path, content):
    (tmp_path / JOB_FILE).write_text(content)
    with pytest.raises(SigjepaError, match=JOB_FILE):
        again(tmp_path)


def test_an_unknown_word_is_named():
    with pytest.raises(SigjepaError, match="resume=atuo.*'auto'"):
        check_resume("atuo")


def test_a_folder_is_trained_in_by_one_process(run_python, tmp_path):
    attempt = "import sys; from pathlib import Path; from sigjepa.training.job import run_lock\n"
    attempt += "with run_lock(Path(sys.argv[1])): pass"
    (tmp_path / "attempt.py").write_text(attempt)
    with run_lock(tmp_path / "run"):
        other = run_python(["attempt.py", tmp_path / "run"], tmp_path, os.environ)
    assert f"Another process is training in {tmp_path / 'run'}" in other.stderr
    with run_lock(tmp_path / "run"):
        pass


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(143), "interrupted"),
        (OSError(28, "No space left on device"), "interrupted"),
        (SigjepaError("the loss is not finite"), "failed"),
        (ValueError("a defect"), "failed"),
    ],
)
def test_the_status_tells_what_would_happen_again(tmp_path, error, status):
    with pytest.raises(type(error)), recorded_status(tmp_path, {}):
        raise error
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == status
