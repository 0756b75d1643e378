"""A config file of a stranger's runs nothing and allows itself nothing; the command line may."""

import os
from pathlib import Path

import pytest

from sigjepa.errors import SigjepaError
from sigjepa.runtime.compose import compose
from sigjepa.runtime.config_description import describe_config
from sigjepa.runtime.config_files import ConfigFile, refuse_settings

STRANGERS = Path(__file__).parent / "strangers_configs"


def stranger(folder, text, name="experiment/fancy"):
    path = folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("hydra: {callbacks: {extra: {_target_: some_module.AnyClass}}}", "hydra.callbacks.extra._target_"),
        ("hydra: {launcher: {_target_: some_module.AnyClass}}", "hydra.launcher._target_"),
        ("hydra: {launcher: {setup: ['rm -r folder']}}", "hydra.launcher.setup"),
        ('hydra: {launcher: {partition: "a\\nrm -r folder"}}', "hydra.launcher.partition"),
        ("hydra: {launcher: {partition: ['rm -r folder']}}", "hydra.launcher.partition"),
        ("hydra: {sweeper: {sampler: {_target_: some_module.AnyClass}}}", "hydra.sweeper.sampler._target_"),
        ("hydra: {sweeper: {custom_search_space: some_module.function}}", "hydra.sweeper.custom_search_space"),
        ("hydra: {sweeper: {params: {+hydra.callbacks.x: '{}'}}}", "hydra.sweeper.params.+hydra.callbacks.x"),
        ("hydra: {sweeper: {params: {' hydra.verbose': 'true'}}}", "hydra.sweeper.params. hydra.verbose"),
        ("hydra: {sweeper: {params: {allowed_targets: '[some_module.]'}}}", "hydra.sweeper.params.allowed_targets"),
        (
            "hydra: {job_logging: {handlers: {file: {filename: /etc/passwd}}}}",
            "hydra.job_logging.handlers.file.filename",
        ),
        ("hydra: {job: {env_set: {LD_PRELOAD: library.so}}}", "hydra.job.env_set.LD_PRELOAD"),
        ("hydra: {searchpath: ['pkg://some_module']}", "hydra.searchpath"),
        ("allowed_targets: [some_module.]", "allowed_targets"),
        ("allowed_targets: ${name}", "allowed_targets"),
    ],
)
def test_a_strangers_file_is_refused(tmp_path, text, key):
    file = ConfigFile("experiment/fancy", stranger(tmp_path, f"# @package _global_\n{text}\n"), "")
    with pytest.raises(SigjepaError) as error:
        refuse_settings(file)
    assert str(file.path) in str(error.value)
    assert key in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "hydra: {run: {dir: 'outputs/${name}'}, sweep: {dir: here}, mode: MULTIRUN}",
        "hydra: {sweeper: {params: {seed: '0,1', +trainer.limit_val_batches: 2}, n_trials: 20}}",
        "hydra: {launcher: {n_jobs: 2, partition: gpu-a100, timeout_min: null}}",
        "model: {dropout: 0.3}",
    ],
)
def test_what_runs_nothing_a_file_may_set(tmp_path, text):
    refuse_settings(ConfigFile("experiment/fancy", stranger(tmp_path, text), ""))


def test_a_file_is_refused_wherever_it_is_put(tmp_path):
    stranger(tmp_path, "extra: {_target_: some_module.AnyClass}\n", "model/callbacks")
    stranger(tmp_path, "# @package _global_\ndefaults:\n  - /model/callbacks@hydra.callbacks\nname: fancy\n")
    stranger(tmp_path, "_target_: some_module.AnyClass\n", "hydra/launcher/fancy")
    stranger(tmp_path, "defaults: [train, _self_]\nhydra: {searchpath: ['pkg://some_module']}\n", "root")
    stranger(tmp_path, "# @package _global_\nhydra: {sweeper: {params: {experiment: 'exp1_4,fancy'}}}\n", "sweep/mine")
    for command, *words in (
        ("train", "experiment=fancy"),
        ("train", "experiment=exp1_4,fancy"),
        ("train", "sweep=mine"),
        ("train", "hydra/launcher=fancy"),
        ("root",),
        ("prepare", f"hydra.searchpath=[{tmp_path}]", "experiment=fancy"),
    ):
        with pytest.raises(SigjepaError, match=str(tmp_path)):
            describe_config(command, words, [tmp_path])


def test_from_python_it_is_refused_as_well(tmp_path):
    stranger(tmp_path, "# @package _global_\nallowed_targets: [some_module.]\n")
    with pytest.raises(SigjepaError, match="allowed_targets"):
        compose(["experiment=fancy"], config_dir=tmp_path)


@pytest.mark.parametrize("name", ["runs_code_by_callback", "allows_itself"])
def test_the_command_refuses_it_before_anything_of_it_is_imported(run_python, tmp_path, name):
    (tmp_path / "some_module_on_the_path.py").write_text("open('imported', 'w')\nclass AnyClass: ...\n")
    stranger(tmp_path / "conf", (STRANGERS / f"{name}.yaml").read_text(), f"experiment/{name}")
    command = ["-m", "sigjepa.train", "--config-dir", "conf", f"experiment={name}", "data=tiny"]
    done = run_python(command, tmp_path, os.environ)
    assert done.returncode == 1
    assert f"{name}.yaml" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "imported").exists()
    assert not (tmp_path / "outputs").exists()
