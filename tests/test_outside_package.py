"""One component of each kind from an outside package, brought as CONTRIBUTING says, and nothing in a second place."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent / "outside_package"
ALLOWED = "allowed_targets=[outside.]"
SHORT = (
    *("data=tiny", "size.max_functions=100", "size.split_shares={train: 0.5, val: 0.25, test: 0.25}"),
    *("trainer.max_epochs=2", "logger=none", "baseline=[random,zero_shot]"),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with the package `outside` and its configs."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(PACKAGE, folder, dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def run(run_python, home):
    """Run `python -m sigjepa.<command> …` where the package can be imported, with its config folder or without."""
    work = home / "work"
    work.mkdir()

    def command(name, *words, check=True, with_configs=True, pythonpath=str(home)):
        options = ["--config-dir", str(home / "conf")] if with_configs else []
        environment = {
            **os.environ,
            "SIGJEPA_DATA_DIR": str(home / "data"),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([pythonpath, os.environ.get("PYTHONPATH", "")]),
        }
        done = run_python(["-m", f"sigjepa.{name}", *options, *words], work, environment)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    return command


@pytest.fixture(scope="module")
def trained(home, run):
    """The run directory of an experiment in which every component is the package's."""
    run("train", "experiment=outside", ALLOWED, *SHORT, "hydra.run.dir=run")
    return home / "work" / "run"


def test_components_of_every_kind_train_together(trained):
    summary = json.loads((trained / "summary.json").read_text())
    assert summary["status"] == "finished"
    rows = list(csv.DictReader((trained / "metrics.csv").open()))
    assert len(rows) == 2
    assert all(float(row["train/unit_norm"]) > 0 for row in rows)
    teacher_dim, width = 384, 48
    assert summary["parameters"] == teacher_dim * width + width + width * teacher_dim + teacher_dim
    settings = json.loads((trained / "job.json").read_text())["settings"]
    assert settings["corpus"]["source"]["_target_"] == "outside.source.StandardPackages"
    assert settings["teacher"]["_target_"] == "outside.teacher.LowerCaseTeacher"
    assert settings["negatives"]["judge"]["_target_"] == "outside.judge.LengthJudge"
    assert settings["scheduler"]["_target_"] == "outside.scheduler.inverse_square_root"
    assert summary["hard_negative_coverage"] > 0


def test_what_they_built_is_verified_evaluated_and_reported(home, trained, run):
    done = run("provenance", str(trained), with_configs=False, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "standard" in done.stdout
    run("evaluate", "experiment=outside", ALLOWED, *SHORT, f"run={trained}", "hydra.run.dir=evaluated")
    run("report", f"runs={trained}", "output=report", with_configs=False)
    assert "| outside" in (home / "work" / "report" / "report.md").read_text()


@pytest.mark.slow
def test_a_class_alone_needs_no_config_folder(home, run):
    words = ("model._target_=outside.model.MeanStudent", ALLOWED, "experiment=exp1_4")
    run("train", *words, *SHORT, "hydra.run.dir=alone", with_configs=False)
    summary = json.loads((home / "work" / "alone" / "summary.json").read_text())
    assert summary["status"] == "finished"
    assert summary["parameters"] == 384 * 64 + 64 + 64 * 384 + 384
    settings = json.loads((home / "work" / "alone" / "job.json").read_text())["settings"]
    assert settings["model"] == {"_target_": "outside.model.MeanStudent", "dropout": 0.1}


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([ALLOWED, "model._target_=outside.broken.Student"], ["outside.broken.Student", "this module is broken"]),
        ([], ["outside.", "allowed_targets"]),
        ([ALLOWED, "model.widht=3"], ["model.width"]),
        ([ALLOWED, "scheduler=inverse_sqare_root"], ["inverse_square_root"]),
    ],
)
def test_a_mistake_is_one_line_that_names_the_way_out(run, words, named):
    done = run("train", "experiment=outside", *SHORT, *words, "hydra.run.dir=mistake", check=False)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("sigjepa: ")]
    assert all(word in line for word in named), line
    assert "Traceback" not in done.stderr


def test_a_package_that_is_not_on_the_path_is_named_before_anything_is_built(run, home):
    words = ("experiment=outside", ALLOWED, *SHORT, "paths.data_dir=nothing", "hydra.run.dir=unbuilt")
    done = run("train", *words, pythonpath="", check=False)
    assert done.returncode == 1
    assert "'outside'" in done.stderr
    assert "PYTHONPATH" in done.stderr
    assert not (home / "work" / "nothing").exists()
