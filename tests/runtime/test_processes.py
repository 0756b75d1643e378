import pytest

from sigjepa.errors import SigjepaError
from sigjepa.runtime.processes import for_this_process, is_first_process, launcher

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "4", "RANK": "0", "LOCAL_RANK": "0"}
SCRIPT = {"SLURM_JOB_NAME": "train", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"}
SLURM = SCRIPT | {"SLURM_STEP_NUM_TASKS": "8"}
FOLDER = "hydra.run.dir=outputs/one"


@pytest.mark.parametrize("variable", ["RANK", "LOCAL_RANK", "SLURM_PROCID"])
def test_the_process_of_number_zero_is_the_first(monkeypatch, variable):
    monkeypatch.setenv(variable, "0")
    assert is_first_process()
    monkeypatch.setenv(variable, "1")
    assert not is_first_process()


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        (TORCHRUN, ("torchrun", 4)),
        (TORCHRUN | {"WORLD_SIZE": "1"}, None),
        (SLURM, ("srun", 8)),
        (SCRIPT, None),  # a batch script runs its commands once
        (SCRIPT | {"SLURM_STEP_NUM_TASKS": "1"}, None),
        (SLURM | {"SLURM_JOB_NAME": "bash"}, None),  # a person's shell: commands there are started once
        ({"SLURM_NTASKS": "8", "SLURM_JOB_NAME": "bash"}, None),
        ({"RANK": "1", "WORLD_SIZE": "2"}, None),  # Lightning's own children
    ],
)
def test_knows_who_started_several_processes(environment, found):
    assert launcher(environment) == found


@pytest.mark.parametrize("environment", [TORCHRUN, SLURM])
def test_processes_that_would_each_choose_a_folder_are_refused(environment):
    with pytest.raises(SigjepaError, match=r"(torchrun|srun).*hydra.run.dir="):
        for_this_process(["experiment=exp1_4"], environment)
    assert for_this_process([FOLDER], environment) == [FOLDER]


@pytest.mark.parametrize("number", [{"RANK": "2"}, {"LOCAL_RANK": "1"}])
def test_further_processes_leave_hydras_files_to_the_first(number):
    arguments = for_this_process([FOLDER], TORCHRUN | number)
    assert arguments[0] == FOLDER
    assert "hydra.output_subdir=null" in arguments
    assert "hydra/job_logging=stdout" in arguments
