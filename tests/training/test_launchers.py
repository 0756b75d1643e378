"""The presets that start the jobs of a sweep side by side: they compose, and they change no job."""

import functools
import pickle
from functools import partial

import hydra
import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode

from sigjepa.errors import DamagedError, SigjepaError, StorageError
from sigjepa.runtime.command import explain
from sigjepa.runtime.config_files import config_directory
from sigjepa.store.files import set_aside
from sigjepa.store.manifest import damaged
from sigjepa.training.sweep_jobs import grid_jobs

PLUGINS = {"parallel": "hydra_joblib_launcher", "queue": "hydra_submitit_launcher", "slurm": "hydra_submitit_launcher"}
WORDS = ["data=tiny", "logger=none", "seed=0,1"]


def launcher(*words):
    with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
        return hydra.compose("train", list(words), return_hydra_config=True).hydra.launcher


@functools.cache
def settings_of(*words):
    """The settings of every job of a sweep."""
    with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("train", [*WORDS, *words], RunMode.MULTIRUN)
        return [job.settings for job in grid_jobs(loader, config, WORDS)]


@pytest.fixture(params=PLUGINS)
def preset(request):
    pytest.importorskip(f"hydra_plugins.{PLUGINS[request.param]}")
    return request.param


def test_every_preset_is_here():
    assert {path.stem for path in (config_directory() / "hydra" / "launcher").iterdir()} == set(PLUGINS)


def test_a_preset_composes_and_can_be_instantiated(preset):
    config = launcher(f"hydra/launcher={preset}", "hydra.job.name=train", "hydra.sweep.dir=sweep")
    assert config._target_.startswith(f"hydra_plugins.{PLUGINS[preset]}.")
    hydra.utils.instantiate(config)


def test_presets_take_overrides():
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    assert launcher("hydra/launcher=parallel").n_jobs == 2
    assert launcher("hydra/launcher=parallel", "hydra.launcher.n_jobs=4").n_jobs == 4


def test_slurm_asks_for_what_one_job_needs():
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    config = launcher("hydra/launcher=slurm", "hydra.launcher.partition=mine", "hydra.launcher.gpus_per_node=null")
    assert (config.nodes, config.tasks_per_node, config.gpus_per_node, config.partition) == (1, 1, None, "mine")
    assert config.timeout_min >= 60


def test_a_sweep_is_the_same_with_every_launcher(preset):
    assert settings_of(f"hydra/launcher={preset}") == settings_of()


def test_a_launcher_without_its_plugin_says_what_to_install(monkeypatch):
    launcher()  # loads the plugins, which add theirs
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["launcher"], "joblib.yaml", raising=False)
    with pytest.raises(HydraException) as raised:
        launcher("hydra/launcher=parallel")
    assert "sigjepa[launchers]" in explain(raised.value, "train", ["hydra/launcher=parallel"])


def test_the_errors_of_jobs_reach_the_process_that_started_them(tmp_path):
    path = tmp_path / "shard"
    for error in (SigjepaError("mistake"), StorageError("full"), damaged(path, "is torn")):
        back = pickle.loads(pickle.dumps(error))
        assert (type(back), str(back)) == (type(error), str(error))
    path.touch()
    back = pickle.loads(pickle.dumps(DamagedError("torn", "Build it again.", partial(set_aside, path))))
    back.mend()
    assert not path.exists()
