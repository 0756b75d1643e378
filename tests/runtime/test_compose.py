"""Configs from Python equal those of a command, and mistakes are one clear error."""

import os

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from sigjepa.errors import SigjepaError
from sigjepa.runtime.compose import compose
from sigjepa.training.job import experiment_key, job_settings


def test_every_value_resolves_though_no_command_runs(tmp_path):
    config = compose(["experiment=exp2_1", "seed=3"], folder=tmp_path)
    resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert resolved["paths"]["run_dir"] == str(tmp_path)
    assert resolved["logger"]["wandb"]["name"] == "experiment=exp2_1,seed=3"
    assert "hydra" not in resolved
    assert not HydraConfig.initialized()


def test_a_run_from_python_is_the_job_of_the_command(run_python, tmp_path):
    overrides = ["experiment=exp2_1", "data=tiny", "trainer.max_epochs=1"]
    shown = run_python(["-m", "sigjepa.train", *overrides, "--cfg", "job"], tmp_path, os.environ).stdout
    assert job_settings(compose(overrides)) == job_settings(OmegaConf.create(shown))


def test_seeds_from_python_are_one_experiment():
    assert experiment_key(compose(["seed=0"], folder="a")) == experiment_key(compose(["seed=1"], folder="b"))


def test_configs_of_a_folder_of_ones_own_are_found(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nname: mine\n")
    assert compose(["experiment=mine"], config_dir=tmp_path).name == "mine"


@pytest.mark.parametrize(
    ("overrides", "nearest"),
    [(["experiment=exp1_5"], "exp1_4"), (["dat=tiny"], "data"), (["trainer.max_epoch=3"], "trainer.max_epochs")],
)
def test_a_misspelt_word_is_answered_with_the_nearest(overrides, nearest):
    with pytest.raises(SigjepaError, match=f"'{nearest}'"):
        compose(overrides)


def test_a_password_is_refused():
    with pytest.raises(SigjepaError, match="logger.wandb.api_key"):
        compose(["+logger.wandb.api_key=0123456789abcdef0123456789abcdef01234567"])


def test_a_key_that_an_interpolation_brings_is_refused(monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "plain-words-4711")
    with pytest.raises(SigjepaError, match="'name'"):
        compose(["name=${oc.env:PGPASSWORD}"])
