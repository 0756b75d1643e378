"""The jobs that a sweep has asked for, so that a report can tell which are missing."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from sigjepa.errors import SigjepaError
from sigjepa.training.sweep_jobs import recorded_jobs


def overrides_of(folder: Path) -> dict[str, Any]:
    """Return `experiment`, `seed` and `fold` as a job's overrides, or else its folder's name, tell them."""
    path = folder / ".hydra" / "overrides.yaml"
    overrides = read_yaml(path) if path.exists() else folder.name.split(",")
    if not isinstance(overrides, list):
        raise SigjepaError(f"{path} is not a list of overrides; leave the run out.")
    values = dict(item.lstrip("+").split("=", 1) for item in overrides if isinstance(item, str) and "=" in item)
    known: dict[str, Any] = {"experiment": values["experiment"]} if "experiment" in values else {}
    return known | {key: int(values[key]) for key in ("seed", "fold") if values.get(key, "").isdecimal()}


def is_training(folder: Path) -> bool:
    """Return whether a Hydra job trained, or was to: preparing and evaluating leave folders too."""
    path = folder / ".hydra" / "hydra.yaml"
    if not path.exists():
        return True
    content = read_yaml(path)  # a config of a user's own on top of `train` has another name, and the same choice
    names = (_inside(content, "hydra", "job", "config_name"), _inside(content, "hydra", "runtime", "choices", "hydra"))
    return "train" in names


def planned_jobs(sweep: Path, found: Collection[Path]) -> list[Path]:
    """Return the folders of jobs that the sweep has asked for, as its record says, and that are not among those found.

    A sweeper that decides from results has asked for what is recorded, and nobody knows for what else it will.
    """
    return [sweep / job for job in recorded_jobs(sweep) if (sweep / job).resolve() not in found]


def _inside(content: Any, *keys: str) -> Any:
    """Return what lies under nested keys of a file's content; None where there is nothing."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def read_yaml(path: Path) -> Any:
    """Return a YAML file's plain values; raises SigjepaError naming the file when it can't be read."""
    try:
        return OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (OSError, EOFError, ValueError, TypeError, RecursionError, YAMLError, OmegaConfBaseException) as error:
        raise SigjepaError(f"{path} is not readable YAML ({error}); leave the run out.") from None
