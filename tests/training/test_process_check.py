import pytest

from sigjepa.errors import SigjepaError
from sigjepa.training.process_check import LostProcessError, check_processes, lost_process_named, runs_command_again

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "4"}
DDP = {"_target_": "lightning.pytorch.strategies.DDPStrategy"}


@pytest.mark.parametrize(
    "trainer",
    [
        {"strategy": "ddp", "devices": 2},
        {"strategy": "ddp_find_unused_parameters_true"},
        {"strategy": "fsdp"},
        {"strategy": "deepspeed_stage_2"},
        {"strategy": DDP},
        {"strategy": DDP | {"start_method": "popen"}},
        {"strategy": "auto", "devices": 2},
        {"devices": "2"},
        {"devices": [0, 1]},
        {"devices": "0,1"},
        {"devices": -1},
        {"devices": 1, "num_nodes": 2},
    ],
)
def test_sees_every_spelling_of_running_the_command_again(trainer):
    assert runs_command_again(trainer)


@pytest.mark.parametrize(
    "trainer",
    [
        {},
        {"strategy": "auto", "devices": 1},
        {"devices": [1]},
        {"strategy": "single_device"},
        {"strategy": "ddp_spawn", "devices": 2},
        {"strategy": "ddp_fork_find_unused_parameters_false"},
        {"strategy": DDP | {"start_method": "spawn"}},
        {"strategy": {"_target_": "lightning.pytorch.strategies.SingleDeviceStrategy", "device": "cpu"}},
    ],
)
def test_lets_pass_what_starts_nothing_or_starts_it_within(trainer):
    assert not runs_command_again(trainer)


@pytest.mark.parametrize(
    "trainer", [{"devices": 2, "num_nodes": 2}, {"devices": [0, 1, 2, 3]}, {"devices": "0,1,2,3"}, {"devices": "auto"}]
)
def test_as_many_processes_as_were_started_are_right(trainer):
    check_processes(trainer, TORCHRUN)


def test_other_processes_than_the_trainer_asks_for_are_refused():
    check_processes({"devices": 1}, {})
    with pytest.raises(SigjepaError, match=r"torchrun.* 4 .*trainer\.devices=1"):
        check_processes({"devices": 1}, TORCHRUN)
    with pytest.raises(SigjepaError, match=r"trainer\.devices=two"):
        check_processes({"devices": "two"}, {})


@pytest.mark.parametrize("script", [{"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, {"SLURM_NTASKS": "4"}])
def test_a_batch_script_without_srun_starts_one_process(script):
    check_processes({"devices": 1}, script)
    check_processes({"devices": 4}, script | {"SLURM_JOB_NAME": "bash"})
    with pytest.raises(SigjepaError, match="srun"):
        check_processes({"devices": 4}, script)


def test_an_error_of_the_backend_says_that_a_process_was_lost(monkeypatch):
    monkeypatch.setattr("sigjepa.losses.distributed.world_size", lambda: 2)
    gloo = RuntimeError("[pair.cc:553] Connection closed by peer [127.0.0.1]:1234")
    lost = pytest.raises(LostProcessError, match=r"closed by peer.*resume=auto")
    with lost, lost_process_named():
        raise gloo
    for message in ("size mismatch", "cannot restore the optimizer"):
        with pytest.raises(RuntimeError, match=f"^{message}$"), lost_process_named():
            raise RuntimeError(message)
    monkeypatch.setattr("sigjepa.losses.distributed.world_size", lambda: 1)
    with pytest.raises(RuntimeError, match="^.pair.cc"), lost_process_named():
        raise gloo
