import json
import multiprocessing
import re

import hydra
import pytest
from filelock import FileLock
from hydra.core.global_hydra import GlobalHydra
from hydra.types import HydraContext, RunMode

from sigjepa.runtime.config_files import config_directory
from sigjepa.sweep import preview
from sigjepa.training.run_status import write_summary
from sigjepa.training.sweep_jobs import (
    SWEEP_FILE,
    find_jobs,
    grid_jobs,
    hold_folder,
    job_states,
    open_sweep,
    sweep_key,
)

WORDS = ["data=tiny", "logger=none", "seed=0,1", "model.dropout=0.1,0.2"]


@pytest.fixture
def compose(tmp_path, monkeypatch):
    """Hydra's loader, and the config of a sweep as Hydra composes it before its jobs."""
    monkeypatch.chdir(tmp_path)
    with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        yield lambda *words: (loader, loader.load_configuration("train", list(words), RunMode.MULTIRUN))


@pytest.fixture
def jobs_of(compose):
    """The jobs of a grid."""
    return lambda *words: grid_jobs(*compose(*words), [word for word in words if not word.startswith("hydra")])


@pytest.fixture
def opened(compose):
    """A sweep, held; its jobs are not started."""

    def context_manager(*words):
        loader, config = compose(*words)
        return open_sweep(HydraContext(loader, None), config, [word for word in words if not word.startswith("hydra")])

    return context_manager


def test_every_combination_is_a_job_with_a_folder_of_its_own(jobs_of):
    jobs = jobs_of(*WORDS)
    assert [(job.config.seed, job.config.model.dropout) for job in jobs] == [(0, 0.1), (0, 0.2), (1, 0.1), (1, 0.2)]
    assert len({job.folder for job in jobs}) == len({job.key for job in jobs}) == 4
    assert jobs[0].folder == "data=tiny,logger=none,model.dropout=0.1,seed=0"
    assert jobs[0].settings["data"]["seed"] == 0


def test_a_prepared_sweep_is_unfolded_as_hydra_does(jobs_of):
    jobs = jobs_of("sweep=remedies", "seed=7")
    assert {job.settings["seed"] for job in jobs} == {7}
    assert len({job.settings["name"] for job in jobs}) == len(jobs) == 7


def test_a_sweep_is_its_jobs_however_they_are_asked_for(compose, jobs_of):
    words = [*WORDS[:-2], "seed=0,1"]
    config = compose(*words)[1]
    key = sweep_key(config, words, jobs_of(*words))
    assert key == sweep_key(config, [], jobs_of(*reversed(words), "resume=never"))
    assert key != sweep_key(config, words, jobs_of(*words[:-1], "seed=0,2"))


def test_states_and_the_outcome_are_told(opened, tmp_path, capsys):
    words = [*WORDS[:-2], "seed=0,1,2"]
    with opened(*words) as context:
        sweep, folders = tmp_path / context.folder, list(context.jobs)
        assert json.loads((sweep / SWEEP_FILE).read_text())["jobs"] == context.jobs
        for folder, summary in zip(
            folders, ({"status": "finished"}, {"status": "failed", "error": "boom\n"}), strict=False
        ):
            write_summary(sweep / folder / "summary.json", summary)
    assert list(job_states(sweep, folders).values()) == ["finished", "failed", "not started"]
    told = capsys.readouterr().err
    assert "3 jobs, 3 not started" in told
    assert f"failed: multirun/{sweep.name}/{folders[1]}: boom" in told
    with opened(*words) as again:
        assert tmp_path / again.folder == sweep
    assert "3 jobs, 1 failed, 1 finished, 1 not started" in capsys.readouterr().err
    with opened(*WORDS[:-2], "hydra.sweep.dir=mine") as named:
        assert str(named.folder) == "mine"
    assert "mine: 1 job, 1 not started" in capsys.readouterr().err


def test_a_folder_that_another_process_sweeps_in_is_not_taken(tmp_path):
    with FileLock(tmp_path / ".lock"):
        folder, lock = hold_folder([tmp_path], tmp_path)
    lock.release()
    assert folder.parent == tmp_path
    folder, lock = hold_folder([tmp_path], tmp_path)
    lock.release()
    assert folder == tmp_path


def make_folders(root):
    return [hold_folder([], root)[0] for _ in range(25)]


def test_folders_made_at_once_are_different(tmp_path):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        folders = [folder for made in pool.map(make_folders, [tmp_path] * 4, chunksize=1) for folder in made]
    assert len(set(folders)) == len(folders) == 100


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"settings": 3}'])
def test_the_record_of_a_job_that_is_damaged_stops_no_other(tmp_path, content):
    (tmp_path / "job.json").write_text(content)
    assert len(find_jobs(tmp_path)) == (content == '{"settings": 3}')


def test_the_preview_shows_jobs_and_writes_nothing(compose, tmp_path, tiny_datamodule, tiny_data_dir):
    words = [*WORDS, f"paths.data_dir={tiny_data_dir}", "trainer.max_epochs=2"]
    shown = preview(*compose(*words), words)
    assert shown.startswith("4 jobs in a new folder below multirun")
    assert "| seed=1, model.dropout=0.2 " in shown or "| model.dropout=0.2, seed=1 " in shown
    assert shown.count("| not started |") == 4
    assert shown.count("at most ") == 4
    assert list(tmp_path.iterdir()) == []


def test_the_preview_shows_what_a_job_would_have_to_build(compose, tmp_path):
    words = ["data=tiny", "logger=none", "baseline=[],[random]", f"paths.data_dir={tmp_path / 'cold'}"]
    shown = preview(*compose(*words), words)
    missing = re.findall(r"\| (corpus, .*?) *\|", shown)
    assert sorted(missing) == ["corpus, teacher shards", "corpus, teacher shards, baselines"]
    assert list(tmp_path.iterdir()) == []
