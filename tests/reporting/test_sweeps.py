import os

import pytest

from sigjepa.errors import SigjepaError
from sigjepa.reporting.runs import find_runs
from sigjepa.reporting.sweeps import is_training, overrides_of, planned_jobs, read_yaml

SCRIPT = """
from sigjepa.runtime.command import hydra_job

def work(config):
    if config.name == "exp2_1":
        raise SystemExit("stops the sweep before its fourth job")

hydra_job("train", work)
"""


@pytest.fixture(scope="module")
def stopped_sweep(run_python, tmp_path_factory):
    """A real Hydra sweep of four jobs of which the third ended it."""
    folder = tmp_path_factory.mktemp("stopped")
    words = ["-m", "experiment=exp1_4,exp2_1", "seed=0,1", "loss=[infonce]", "hydra.sweep.dir=sweep"]
    (folder / "script.py").write_text(SCRIPT)
    run_python(["script.py", *words], folder, os.environ)
    return folder / "sweep"


def test_jobs_that_a_sweep_has_not_come_to_are_listed(stopped_sweep):
    runs = find_runs([stopped_sweep])
    by_status = {status: [run for run in runs if run.status == status] for status in ("missing", "not started")}
    assert [(run.experiment, run.seed) for run in by_status["missing"]] == [("exp1_4", 0), ("exp1_4", 1), ("exp2_1", 0)]
    assert [(run.experiment, run.seed) for run in by_status["not started"]] == [("exp2_1", 1)]


def test_what_only_prepared_or_evaluated_is_no_run(stopped_sweep, tmp_path):
    hydra_yaml = next(stopped_sweep.glob("*/.hydra/hydra.yaml")).read_text()
    for name in ("train", "prepare", "evaluate"):
        folder = tmp_path / name / ".hydra"
        folder.mkdir(parents=True)
        (folder / "overrides.yaml").write_text("[]")
        (folder / "hydra.yaml").write_text(
            hydra_yaml.replace("config_name: train", f"config_name: {name}").replace("hydra: train", "hydra: default")
        )
    assert [run.folder.name for run in find_runs([tmp_path])] == ["train"]


@pytest.mark.parametrize("record", [None, '{"key": "", "jobs": {}}'])
def test_a_folder_without_a_sweep_plans_nothing(tmp_path, record):
    if record is not None:
        (tmp_path / "sweep.json").write_text(record)
    assert planned_jobs(tmp_path, []) == []


@pytest.mark.parametrize("record", ["[]", "{}", '{"jobs": {"a": 3}}', '{"jobs": {"a\\u0000": []}}', "{"])
def test_a_damaged_record_is_named(tmp_path, record):
    (tmp_path / "sweep.json").write_text(record)
    with pytest.raises(SigjepaError, match=r"sweep\.json"):
        planned_jobs(tmp_path, [])


def test_a_config_of_a_users_own_trains(tmp_path):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "hydra.yaml").write_text(
        "hydra: {job: {config_name: all}, runtime: {choices: {hydra: train}}}"
    )
    assert is_training(tmp_path)


def test_overrides_are_read_from_hydra_or_else_from_the_folder_name(tmp_path):
    assert overrides_of(tmp_path / "experiment=exp2_2,seed=4") == {"experiment": "exp2_2", "seed": 4}
    assert overrides_of(tmp_path / "anything") == {}


def test_damaged_yaml_is_named(tmp_path):
    (tmp_path / "multirun.yaml").write_text("hydra: [")
    with pytest.raises(SigjepaError, match=r"multirun\.yaml"):
        read_yaml(tmp_path / "multirun.yaml")
