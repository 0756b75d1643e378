"""Processes of a run: which of them this is, and who started it: nobody else, Lightning, torchrun or SLURM."""

import os
from collections.abc import Mapping, Sequence

from sigjepa.errors import SigjepaError

NUMBERS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
SHELLS = ("bash", "interactive")
"""SLURM's names of jobs in which a person types commands, each in one process; Lightning knows them as well."""


def is_first_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this is the only process of a run, or the one that writes its files."""
    return all(environment.get(name, "0") == "0" for name in NUMBERS)


def launcher(environment: Mapping[str, str]) -> tuple[str, int] | None:
    """Return what has started this command in several processes, and in how many; None when it was started once."""
    if "TORCHELASTIC_RUN_ID" in environment:
        name, processes = "torchrun", int(environment.get("WORLD_SIZE", "1"))
    elif "SLURM_PROCID" in environment and environment.get("SLURM_JOB_NAME") not in SHELLS:
        # of the step that srun has begun: a batch script has SLURM_NTASKS as well, and runs its commands once
        name, processes = "srun", int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
    else:
        return None
    return (name, processes) if processes > 1 else None


def lacks_srun(environment: Mapping[str, str]) -> bool:
    """Return whether a Slurm job of several tasks runs this command once, where Lightning would wait for the others."""
    tasks = int(environment.get("SLURM_NTASKS", "1"))
    in_script = "SLURM_STEP_NUM_TASKS" not in environment and environment.get("SLURM_JOB_NAME") not in SHELLS
    return tasks > 1 and in_script and launcher(environment) is None


def for_this_process(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return the arguments with which this process of a run leaves Hydra's files to the first one.

    Raises SigjepaError when each process would choose a folder of its own by the time.
    """
    started = launcher(environment)
    named = any(argument.startswith("hydra.run.dir=") for argument in arguments)
    if started is not None and not named:
        name, processes = started
        raise SigjepaError(
            f"{name} has started this command in {processes} processes, and each would name a folder by the time. Give "
            "them one: hydra.run.dir=outputs/<name>."
        )
    if is_first_process(environment):
        return list(arguments)
    return [*arguments, "hydra.output_subdir=null", "hydra/job_logging=stdout"]
