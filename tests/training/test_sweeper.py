"""Sweeps through Hydra's own command: they go on with any flag, any sweeper and any launcher."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import fast_trainer
import pytest
from hydra.core.plugins import Plugins
from hydra.errors import HydraException

import sigjepa.sweep
from sigjepa.errors import SigjepaError

WORDS = ("logger=none", "data=tiny", "hydra/job_logging=none", "hydra/hydra_logging=none")


@dataclass
class Done:
    """What a command came to. trained: what its jobs trained. said: lines of ours."""

    error: BaseException | None
    trained: list[str]
    said: list[str]
    out: str


@pytest.fixture(scope="module")
def foreign_plugins():
    """The plugins of another package, as if it were installed."""
    sys.path.append(str(Path(__file__).parent / "foreign"))
    from hydra_plugins.climbing_sweeper import ClimbingSweeper

    Plugins.instance().register(ClimbingSweeper)
    yield
    sys.path.remove(str(Path(__file__).parent / "foreign"))


@pytest.fixture
def start(tmp_path, monkeypatch, capsys, foreign_plugins):
    """Run the command in `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def command(*words, main=fast_trainer.main, **environment):
        error = None
        capsys.readouterr()
        with monkeypatch.context() as context:
            context.setattr(sys, "argv", ["train", *WORDS, *words])
            context.setenv("HYDRA_FULL_ERROR", "1")
            for name, value in environment.items():
                context.setenv(name, value)
            try:
                main()
            except (SigjepaError, HydraException, SystemExit) as raised:
                error = raised
        told = capsys.readouterr()
        said = re.findall(r"^sigjepa: (.*)$", told.err, re.MULTILINE)
        return Done(error, re.findall(r"^trained (.*)$", told.out, re.MULTILINE), said, told.out)

    return command


def sweep_folders(root):
    return sorted(path.name for path in (root / "multirun").iterdir())


@pytest.fixture
def own_configs(tmp_path):
    """A folder of a user's own configs: an experiment, and a whole command on top of ours."""
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nname: mine\nmodel: {dropout: 0.3}\n"
    )
    (tmp_path / "own" / "all.yaml").write_text("defaults: [train, _self_]\nmodel: {dropout: 0.4}\n")
    return "own"


def test_the_same_words_go_on_where_the_sweep_was(start, tmp_path):
    first = start("-m", "seed=1,13")
    assert str(first.error) == "The loss is not finite."
    (folder,) = sweep_folders(tmp_path)
    assert first.said[0] == f"multirun/{folder}: 2 jobs, 2 not started"
    assert first.said[1] == f"multirun/{folder}: 2 jobs, 1 failed, 1 finished"
    second = start("seed=13,1", "-m")  # in another order, and with the option among the overrides
    assert second.trained == ["seed=13 dropout=0.1"]
    assert isinstance(second.error, SigjepaError)
    anew = start("-m", "seed=1,13", "resume=never")
    assert len(anew.trained) == 2
    assert len(sweep_folders(tmp_path)) == 2
    # the newest sweep of these jobs is gone on with, though its folders are named by one word more
    assert start("-m", "seed=1,13").trained == ["seed=13 dropout=0.1"]
    assert len(sweep_folders(tmp_path)) == 2
    shown = start("seed=1,13", main=sigjepa.sweep.main).out
    assert f"2 jobs in multirun/{sweep_folders(tmp_path)[-1]}" in shown
    assert re.findall(r"\| (finished|failed) ", shown) == ["finished", "failed"]


def test_configs_of_a_users_own_are_gone_on_with_whichever_flag_brings_them(start, tmp_path, own_configs):
    words = ("-m", "experiment=mine", "seed=1")
    by_flag = start("--config-dir", own_configs, *words)
    assert by_flag.trained == ["seed=1 dropout=0.3"]
    by_path = start(*words, f"hydra.searchpath=[file://{tmp_path / own_configs}]")
    assert (by_path.error, by_path.trained) == (None, [])  # the jobs are the same
    assert "1 job, 1 finished" in by_path.said[0]
    preview = start("--config-dir", own_configs, "experiment=mine", "seed=1", main=sigjepa.sweep.main).out
    assert preview.count("| finished ") == 1
    changed = tmp_path / own_configs / "experiment" / "mine.yaml"
    changed.write_text(changed.read_text().replace("0.3", "0.2"))
    assert start("--config-dir", own_configs, *words).trained == ["seed=1 dropout=0.2"]
    assert len(sweep_folders(tmp_path)) == 2


def test_a_config_of_a_users_own_is_gone_on_with(start, tmp_path, own_configs):
    words = ("--config-dir", own_configs, "--config-name", "all", "-m", "seed=1")
    assert start(*words).trained == ["seed=1 dropout=0.4"]
    assert start(*words).trained == []
    assert len(sweep_folders(tmp_path)) == 1


def test_a_foreign_sweeper_goes_on_with_the_jobs_that_it_asks_for_again(start, tmp_path):
    words = ("-m", "hydra/sweeper=climbing", "model.dropout=0.2")
    killed = start(*words, KILLED_AT="7")
    assert killed.error.code == 143
    assert killed.trained == [f"seed={seed} dropout=0.2" for seed in (4, 5, 6, 7)]  # what is asked for twice runs once
    (folder,) = sweep_folders(tmp_path)
    assert killed.said[0] == f"multirun/{folder}: ClimbingSweeper asks for jobs as it goes; so far 0 jobs"
    assert killed.said[-1] == f"multirun/{folder}: 4 jobs, 3 finished, 1 interrupted"
    shown = start(*words, main=sigjepa.sweep.main).out
    assert f"ClimbingSweeper asks for jobs as it goes, in multirun/{folder}; 4 so far" in shown
    assert shown.count("| finished ") == 3
    again = start(*words)
    assert (again.error, again.trained) == (None, ["seed=7 dropout=0.2"])
    assert f"climbed to 7; study in multirun/{folder}/study" in again.out
    other = start(*words[:-1], "model.dropout=0.3", main=sigjepa.sweep.main).out
    assert "in a new folder below multirun; 0 so far" in other


@pytest.mark.slow  # three sweeps
def test_a_job_is_found_by_its_settings_and_not_by_its_number(start, tmp_path):
    words = ("-m", "hydra/sweeper=climbing", "hydra.sweep.dir=mine", "hydra.sweep.subdir=${hydra.job.num}")
    assert len(start(*words).trained) == 4
    other = start(*words, "hydra.sweeper.start=7")  # asks for 6, 7, 8, then 7, 8, 9
    assert other.trained == ["seed=8 dropout=0.1", "seed=9 dropout=0.1"]
    folders = [path.parent.name for path in (tmp_path / "mine").glob("*/job.json")]
    assert len(folders) == len(set(folders)) == 6
    grid = start("-m", "seed=8,9,10", *words[2:])
    assert grid.trained == ["seed=10 dropout=0.1"]
    assert grid.said[0] == "mine: 3 jobs, 2 finished, 1 not started"


@pytest.mark.slow
def test_optuna_goes_on_with_the_trial_that_was_cut(start, tmp_path):
    """Each job tells its seed, so that the larger one is better."""
    pytest.importorskip("optuna")
    search = ("-m", "hydra/sweeper=optuna", "hydra.sweeper.n_startup_trials=4", "hydra.sweep.dir=mine", "seed=4,5")
    words = (*search, "model.dropout=tag(log,interval(0.1,0.4))")
    killed = start(*words, "hydra.sweeper.n_trials=6", KILLED_AT="5")
    assert killed.error.code == 143
    assert killed.trained[-1].startswith("seed=5 ")
    assert "OptunaSweeper asks for jobs as it goes; so far 0 jobs" in killed.said[0]
    again = start(*words, "hydra.sweeper.n_trials=6")
    assert again.error is None
    assert again.trained[0] == killed.trained[-1]
    trained = [*killed.trained[:-1], *again.trained]
    assert len(set(trained)) == 6
    assert all(0.1 <= float(line.partition("dropout=")[2]) <= 0.4 for line in trained)
    (best,) = (line for line in again.said if line.startswith("best of 6 trials: val/rank10 5.0000"))
    assert "seed=5 " in best
    assert start(*words, "hydra.sweeper.n_trials=6").trained == []
    assert len(start(*words, "hydra.sweeper.n_trials=7").trained) == 1
    failed = start(*search[:-1], "seed=13,14", "hydra.sweep.dir=other", "hydra.sweeper.n_trials=6")
    assert str(failed.error) == "The loss is not finite."


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("seed=3",), "nothing to search"),
        (("optimizer.lr=tag(log,interval(0.0,1.0))",), "optimizer.lr"),
        (("seed=1,2", "hydra.sweeper.n_trials=0"), "n_trials"),
    ],
)
def test_a_search_that_can_not_be_is_refused(start, words, named):
    pytest.importorskip("optuna")
    refused = start("-m", "hydra/sweeper=optuna", *words)
    assert named in str(refused.error)
    assert refused.trained == []


def test_every_job_is_given_a_key_that_only_the_swept_group_has(start):
    done = start("experiment=exp2_1,hardneg_per_anchor", 'negatives.tiers=["a b", c]', "--multirun", "seed=3")
    assert done.trained == ["seed=3 dropout=0.1"] * 2
    refused = start("-m", "experiment=exp2_1,hardneg_per_anchor", "negatives.tears=null")
    assert "negatives.tears" in str(refused.error)
    assert refused.trained == []


def test_a_single_run_goes_on_where_it_was(start, tmp_path):
    words = ("seed=3", "resume=auto")
    assert start(*words, KILLED_AT="3").error.code == 143
    again = start(*words)
    (folder,) = (tmp_path / "outputs" / "exp1_4").iterdir()
    assert again.trained == ["seed=3 dropout=0.1"]
    assert again.said == [
        f"outputs/exp1_4/{folder.name} holds this job (interrupted); going on there. resume=never begins anew."
    ]
    assert start(*words).trained == []
    start("seed=3")
    start("seed=4", "resume=auto")
    start("seed=3", "resume=auto", "hydra.run.dir=outputs/exp1_4/named")
    assert len(list((tmp_path / "outputs" / "exp1_4").iterdir())) == 4


def test_a_sweep_that_other_processes_would_run_again_is_refused_before_anything_is_written(start, tmp_path):
    refused = start("-m", "seed=0,1", "trainer.strategy=ddp", "trainer.devices=2")
    assert isinstance(refused.error, SigjepaError)
    assert "trainer.strategy=ddp_spawn" in str(refused.error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_jobs_at_once_have_a_folder_each(start, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = ("-m", "hydra/sweeper=climbing", "hydra/launcher=parallel")
    done = start(*words)
    assert done.said[-1].endswith("4 jobs, 4 finished")
    assert start("-m", "seed=4,5,6,7", f"hydra.sweep.dir=multirun/{sweep_folders(tmp_path)[0]}").trained == []


def test_hydra_imports_nothing_heavy_for_the_hooks():
    code = "import sys, hydra_plugins.sigjepa_sweeper\nprint(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "hydra_plugins.sigjepa_sweeper" in printed.split()
    assert not {"torch", "sigjepa"} & set(printed.split())
