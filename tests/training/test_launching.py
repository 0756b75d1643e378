import pytest

from sigjepa.training.launching import runs_command_again

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
