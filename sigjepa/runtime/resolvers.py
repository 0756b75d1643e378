"""The functions that configs call as `${name:...}`; importing this module registers them with OmegaConf."""

import hashlib
import re
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

MAX_NAME_LENGTH = 120


def folder_name(overrides: str) -> str:
    """Return a folder name for a job's overrides: readable, without separators, short enough for any file system."""
    name = re.sub(r"[^\w.,=+-]+", "-", overrides) or "default"
    if len(name) > MAX_NAME_LENGTH:
        name = f"{name[:MAX_NAME_LENGTH]}-{hashlib.sha256(overrides.encode()).hexdigest()[:8]}"
    return name


def run_group(mode: RunMode, sweep_dir: str, name: str) -> str:
    """Return what a dashboard groups a job by: its sweep's folder, or the experiment's name when it runs alone."""
    return Path(sweep_dir).name if mode == RunMode.MULTIRUN else name


def resume_by_default() -> str:
    """Return `auto` for a job of a sweep, which goes on with what it finds in its folder, and `never` for another."""
    sweeps = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    return "auto" if sweeps else "never"


for resolver in (folder_name, run_group, resume_by_default):
    OmegaConf.register_new_resolver(resolver.__name__, resolver, replace=True)
