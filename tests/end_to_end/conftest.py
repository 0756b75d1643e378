"""Real commands in processes of their own, from a folder that is not the checkout."""

import os

import pytest
from filelock import FileLock
from small_student import SMALL_STUDENT


@pytest.fixture(scope="session")
def start(commands, tiny_datamodule, tiny_data_dir):
    """Start `python -m sigjepa.<command> …` in a folder, on the shared artifact cache; returns the command."""

    def command(name, *overrides, cwd, **environment):
        env = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
        env |= {"SIGJEPA_DATA_DIR": str(tiny_data_dir), "OMP_NUM_THREADS": "1", **environment}
        return commands.start(["-m", f"sigjepa.{name}", *overrides], cwd, env)

    return command


@pytest.fixture(scope="session")
def run(start):
    """Run `python -m sigjepa.<command> …` in a folder, on the shared artifact cache; returns the finished process."""

    def command(name, *overrides, cwd, check=True, **environment):
        done = start(name, *overrides, cwd=cwd, **environment).wait()
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    return command


@pytest.fixture(scope="session")
def sweep(run, shared_folder):
    """The four experiments on `data=tiny`, swept by one command; the folder of their run directories.

    A test that changes it must copy it.
    """
    folder, done = shared_folder / "sweep", shared_folder / "sweep.done"
    with FileLock(shared_folder / "sweep.lock"):
        if not done.exists():
            folder.mkdir()
            run(
                "train",
                *("-m", "experiment=exp1_4,exp2_1,exp2_2,hardneg_curriculum", "data=tiny", "trainer.max_epochs=2"),
                *("loss.infonce.schedule.start_epoch=0", "loss.infonce.schedule.ramp_epochs=0", *SMALL_STUDENT),
                cwd=folder,
            )
            done.touch()
    (sweep_folder,) = (folder / "multirun").iterdir()
    return sweep_folder
