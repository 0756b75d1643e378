import json
import subprocess
import sys

import hydra
import pytest
from filelock import FileLock

from sigjepa.runtime.command import config_directory
from sigjepa.sweep import preview
from sigjepa.training.job import JOB_FILE
from sigjepa.training.run_directory import write_summary
from sigjepa.training.sweep_jobs import (
    SWEEP_FILE,
    continued,
    job_states,
    known_sweeps,
    new_folder,
    sweep_folder,
    sweep_jobs,
    sweep_key,
)


def compose_train(*words):
    with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
        return hydra.compose("train", list(words))


WORDS = ["data=tiny", "logger=none", "seed=0,1", "model.dropout=0.1,0.2"]


@pytest.fixture(scope="module")
def jobs():
    return sweep_jobs("train", WORDS)


def test_every_combination_is_a_job_with_a_folder_of_its_own(jobs):
    assert [(job.config.seed, job.config.model.dropout) for job in jobs] == [(0, 0.1), (0, 0.2), (1, 0.1), (1, 0.2)]
    assert len({job.folder for job in jobs}) == 4
    assert jobs[0].folder == "data=tiny,logger=none,model.dropout=0.1,seed=0"
    assert jobs[0].settings["data"]["seed"] == 0


def test_a_prepared_sweep_is_unfolded_as_hydra_does():
    jobs = sweep_jobs("train", ["sweep=remedies", "seed=7"])
    assert {job.settings["seed"] for job in jobs} == {7}
    assert len({job.settings["name"] for job in jobs}) == len(jobs) == 7


def test_the_same_jobs_have_the_same_key_however_they_are_asked_for(jobs):
    assert sweep_key(sweep_jobs("train", list(reversed(WORDS)))) == sweep_key(jobs)
    assert sweep_key(sweep_jobs("train", [*WORDS, "resume=never"])) != sweep_key(jobs)  # other folders
    assert sweep_key(sweep_jobs("train", [*WORDS[:-1], "model.dropout=0.1,0.3"])) != sweep_key(jobs)


def test_a_sweep_goes_on_in_its_folder(jobs, tmp_path):
    with sweep_folder(jobs, tmp_path, resume=True) as first:
        assert json.loads((first / SWEEP_FILE).read_text())["jobs"][jobs[0].folder] == list(jobs[0].overrides)
    with sweep_folder(jobs[:2], tmp_path, resume=True) as other:
        assert other != first
    assert known_sweeps(jobs, tmp_path) == [first]
    with sweep_folder(jobs, tmp_path, resume=True) as again:
        assert again == first
    with sweep_folder(jobs, tmp_path, resume=False) as anew:
        assert anew != first


def test_a_folder_that_another_process_sweeps_in_is_not_taken(jobs, tmp_path):
    with sweep_folder(jobs, tmp_path, resume=True) as first:
        pass
    with FileLock(first / ".lock"), sweep_folder(jobs, tmp_path, resume=True) as second:
        assert second != first


def test_folders_made_at_once_are_different(tmp_path):
    make = "import sys; from pathlib import Path; from sigjepa.training.sweep_jobs import new_folder\n"
    make += "print(*(new_folder(Path(sys.argv[1])) for _ in range(50)))"
    processes = [
        subprocess.Popen([sys.executable, "-c", make, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    folders = [folder for process in processes for folder in process.communicate()[0].split()]
    assert len(set(folders)) == len(folders) == 100
    assert new_folder(tmp_path).is_dir()


def test_states_and_the_outcome_are_told(jobs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with continued("train", ["-m", *WORDS]) as arguments:
        sweep = tmp_path / arguments[-1].removeprefix("hydra.sweep.dir=")
        for job, summary in zip(jobs, ({"status": "finished"}, {"status": "failed", "error": "boom\n"}), strict=False):
            write_summary(sweep / job.folder / "summary.json", summary)
    assert list(job_states(sweep, jobs).values()) == ["finished", "failed", "not started", "not started"]
    told = capsys.readouterr().err
    assert "4 jobs, 4 not started" in told
    assert f"failed: multirun/{sweep.name}/{jobs[1].folder}: boom" in told
    with continued("train", ["-m", *WORDS]) as arguments:
        assert arguments[-1] == f"hydra.sweep.dir=multirun/{sweep.name}"
    assert "4 jobs, 1 failed, 1 finished, 2 not started" in capsys.readouterr().err


def test_a_single_run_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["data=tiny", "seed=3", "resume=auto", "logger=none"]
    with continued("train", words) as arguments:
        assert arguments == words
    (job,) = sweep_jobs("train", words)
    folder = tmp_path / "outputs" / "exp1_4" / "earlier"
    folder.mkdir(parents=True)
    (folder / JOB_FILE).write_text(json.dumps({"settings": job.settings, "artifacts": {}, "key": ""}))
    write_summary(folder / "summary.json", {"status": "interrupted"})
    with continued("train", words) as arguments:
        assert arguments == [*words, "hydra.run.dir=outputs/exp1_4/earlier"]
    assert "holds this job (interrupted); going on there" in capsys.readouterr().err
    for other in (["data=tiny", "seed=4", "resume=auto", "logger=none"], ["data=tiny", "seed=3", "logger=none"]):
        with continued("train", other) as arguments:
            assert arguments == other


@pytest.mark.parametrize(
    "words",
    [["--help"], ["-m", "sede=0,1"], ["-m", "seed=0,1", "negatives.tears=null"], ["--cfg", "job"], ["hydra.run.dir=x"]],
)
def test_what_hydra_answers_itself_is_left_to_it(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    with continued("train", words) as arguments:
        assert arguments == words
    assert list(tmp_path.iterdir()) == []


def test_what_became_of_a_sweep_in_a_named_folder_is_told_as_well(jobs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["-m", *WORDS, "hydra.sweep.dir=mine"]
    with continued("train", words) as arguments:
        assert arguments == words
        write_summary(tmp_path / "mine" / jobs[2].folder / "summary.json", {"status": "failed", "error": "boom"})
    told = capsys.readouterr().err
    assert "mine: 4 jobs, 4 not started" in told
    assert f"failed: mine/{jobs[2].folder}: boom" in told
    assert not (tmp_path / "multirun").exists()


@pytest.mark.parametrize("tiers", ["null", "[phase0]", '["a \\"b\\", c", d]'])
def test_every_job_is_given_a_key_that_only_the_swept_group_has(tmp_path, monkeypatch, tiers):
    monkeypatch.chdir(tmp_path)
    words = ["experiment=exp2_1,hardneg_per_anchor", f"negatives.tiers={tiers}", "data=tiny"]
    with continued("train", ["-m", *words]) as arguments:
        overrides = [one for one in arguments[1:] if not one.startswith("hydra.sweep.dir=")]
        assert f"negatives.tiers={tiers}" not in overrides  # Hydra refuses it before it looks at the jobs
        jobs = sweep_jobs("train", overrides)
    want = compose_train("experiment=exp2_1", f"negatives.tiers={tiers}").negatives.tiers
    assert [job.config.negatives.tiers for job in jobs] == [want, want]
    assert [job.folder for job in jobs] == [job.folder for job in sweep_jobs("train", words)]


def test_a_prepared_sweep_takes_such_a_key_beside_its_own():
    words = ["sweep=factorial", "negatives.top_k=7"]
    assert {job.config.negatives.neighbors for job in sweep_jobs("train", words)} == {7}
    words = ["experiment=exp2_1,hardneg_score0", "negatives.top_k=7", "negatives.tiers=null", "seed=0,1"]
    jobs = sweep_jobs("train", words)
    assert {(job.config.negatives.neighbors, job.config.negatives.tiers) for job in jobs} == {(7, None)}
    assert len(jobs) == 4


def test_the_preview_shows_jobs_and_writes_nothing(tmp_path, monkeypatch, tiny_datamodule, tiny_data_dir):
    monkeypatch.chdir(tmp_path)
    shown = preview([*WORDS, f"paths.data_dir={tiny_data_dir}", "trainer.max_epochs=2"])
    assert shown.startswith("4 jobs in a new folder below multirun")
    assert "| seed=1, model.dropout=0.2 " in shown or "| model.dropout=0.2, seed=1 " in shown
    assert shown.count("| not started |") == 4
    assert shown.count("at most ") == 4
    missing = preview([*WORDS, f"paths.data_dir={tmp_path / 'cold'}"])
    assert missing.count("| corpus, teacher shards |") == 4
    assert list(tmp_path.iterdir()) == []
