"""Checks of a trainer's other processes: those that would sweep again, those it does not expect, and a lost one."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sigjepa.errors import LostProcessError, SigjepaError
from sigjepa.runtime.processes import lacks_srun, launcher

STARTED_WITHIN = ("spawn", "fork", "notebook")
"""Ways to start a process that does not run the command again; Lightning's names of strategies contain them."""
ONE_PROCESS = ("single_device", "single_xla", "single_tpu", "SingleDeviceStrategy")


def runs_command_again(trainer: dict[str, Any]) -> bool:
    """Return whether Lightning starts the other processes of this trainer by running the command again in each.

    trainer: keywords of `lightning.Trainer`; its strategy is a name, or a node with `_target_`.
    """
    strategy = trainer.get("strategy", "auto")
    if isinstance(strategy, dict):
        name, start = str(strategy.get("_target_", "")).rpartition(".")[2], str(strategy.get("start_method", "popen"))
    else:
        name = start = str(strategy)
    if name == "auto":  # ddp as soon as there is more than one device
        devices = trainer.get("devices", "auto")
        return not ((devices == "auto" or _number(devices) == 1) and int(trainer.get("num_nodes", 1)) == 1)
    return name not in ONE_PROCESS and not any(way in start for way in STARTED_WITHIN)


def check_sweep(trainer: dict[str, Any]) -> None:
    """Raise SigjepaError for a job of a sweep whose trainer would run the whole sweep again in its other processes."""
    if runs_command_again(trainer):
        raise SigjepaError(
            f"A sweep (-m) with trainer.strategy={trainer.get('strategy', 'auto')} would run the whole sweep again in "
            "every other process. Use trainer.strategy=ddp_spawn, or start the jobs one by one."
        )


def _number(devices: Any) -> int | None:
    """Return how many devices these are, however they are written; None for as many as there are ("auto", -1)."""
    if isinstance(devices, str) and "," in devices:  # "0,1" are two, and "0," is one
        devices = [device for device in devices.split(",") if device.strip()]
    if isinstance(devices, list):
        return len(devices)
    if str(devices) in ("auto", "-1"):
        return None
    try:
        return int(devices)
    except (TypeError, ValueError):
        raise SigjepaError(f"trainer.devices={devices} must be a number of devices, a list of them, or auto.") from None


def check_processes(trainer: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Raise SigjepaError when torchrun or SLURM has started other processes than the trainer asks for."""
    devices = trainer.get("devices", "auto")
    asked = _number(devices)
    if asked is None:  # Lightning takes those that there are
        return
    wanted = asked * int(trainer.get("num_nodes", 1))
    if wanted > 1 and lacks_srun(environment):
        raise SigjepaError(
            f"trainer.devices={devices} asks for {wanted} processes, but this Slurm job has started the command once, "
            "and they would wait for each other for ever. Start it with srun, or take trainer.devices=1."
        )
    if (started := launcher(environment)) is None:
        return
    name, processes = started
    if wanted != processes:
        raise SigjepaError(
            f"{name} has started {processes} processes, but trainer.devices={devices} on trainer.num_nodes="
            f"{trainer.get('num_nodes', 1)} asks for {wanted}. Give both the same number, and trainer.strategy=ddp."
        )


LOST = re.compile(r"gloo|nccl|connection (closed|reset|refused)|broken pipe|TCPStore|timed? ?out", re.IGNORECASE)


@contextmanager
def lost_process_named() -> Iterator[None]:
    """Raise LostProcessError, which says what to do, for what a backend raises when another process does not answer."""
    from sigjepa.losses.distributed import world_size  # noqa: PLC0415 - torch, which a sweep is listed without

    try:
        yield
    except RuntimeError as error:
        if world_size() == 1 or isinstance(error, SigjepaError) or not LOST.search(str(error)):
            raise
        raise LostProcessError(
            f"Another process of this run has ended or does not answer ({str(error).splitlines()[0][:200]}); what it "
            "said stands above. The same command with resume=auto goes on from the last checkpoint."
        ) from error
