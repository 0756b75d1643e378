"""How a trainer starts its other processes: by running the command again, or not."""

from typing import Any

STARTED_WITHIN = ("spawn", "fork", "notebook")
"""Ways to start a process that does not run the command again; Lightning's names of strategies contain them."""
ONE_PROCESS = ("single_device", "single_xla", "single_tpu", "SingleDeviceStrategy")


def runs_command_again(trainer: dict[str, Any]) -> bool:
    """Whether Lightning starts the other processes of this trainer by running the command again in each.

    trainer: keywords of `lightning.Trainer`; its strategy is a name, or a node with `_target_`.
    """
    strategy = trainer.get("strategy", "auto")
    if isinstance(strategy, dict):
        name, start = str(strategy.get("_target_", "")).rpartition(".")[2], str(strategy.get("start_method", "popen"))
    else:
        name = start = str(strategy)
    if name == "auto":  # ddp as soon as there is more than one device
        return not (_is_one(trainer.get("devices", "auto")) and int(trainer.get("num_nodes", 1)) == 1)
    return name not in ONE_PROCESS and not any(way in start for way in STARTED_WITHIN)


def _is_one(devices: Any) -> bool:
    """Whether `devices` is one device however it is written; "auto" counts as one, -1 and lists of several do not."""
    return len(devices) == 1 if isinstance(devices, list) else str(devices) in {"1", "auto"}
