"""What a Hydra sweep was asked to run, so that a report can tell what is missing."""

import itertools
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from sigjepa.errors import SigjepaError
from sigjepa.runtime.resolvers import folder_name

MOST_JOBS = 10_000
"""A sweep of more jobs was never meant, whatever a file says."""


def overrides_of(folder: Path) -> dict[str, Any]:
    """`experiment` and `seed` as a job's overrides, or else its folder's name, tell them."""
    path = folder / ".hydra" / "overrides.yaml"
    overrides = read_yaml(path) if path.exists() else folder.name.split(",")
    if not isinstance(overrides, list):
        raise SigjepaError(f"{path} is not a list of overrides; leave the run out.")
    values = dict(item.lstrip("+").split("=", 1) for item in overrides if isinstance(item, str) and "=" in item)
    known: dict[str, Any] = {"experiment": values["experiment"]} if "experiment" in values else {}
    return known | ({"seed": int(values["seed"])} if values.get("seed", "").isdecimal() else {})


def is_training(folder: Path) -> bool:
    """Whether a Hydra job trained, or was to: preparing and evaluating leave folders too."""
    path = folder / ".hydra" / "hydra.yaml"
    return not path.exists() or _inside(read_yaml(path), "hydra", "job", "config_name") == "train"


def planned_jobs(sweep: Path, found: Collection[Path]) -> list[Path]:
    """Folders that the sweep's `multirun.yaml` asks for and that are not among those found."""
    path = sweep / "multirun.yaml"
    if not path.exists():
        return []
    task = _inside(read_yaml(path), "hydra", "overrides", "task") or []
    try:
        overrides = OverridesParser.create().parse_overrides(list(map(str, task)))
        choices = [
            list(itertools.islice(override.sweep_string_iterator(), MOST_JOBS))
            if override.is_sweep_override()
            else [override.get_value_element_as_str()]
            for override in overrides
        ]
    except (HydraException, TypeError, ValueError) as error:
        raise SigjepaError(f"{path} names no jobs that can be read ({error}); leave the sweep out.") from None
    if math.prod(map(len, choices)) > MOST_JOBS:
        raise SigjepaError(f"{path} asks for more than {MOST_JOBS:,} jobs; give the folders of its runs instead.")
    keys = [override.get_key_element() for override in overrides]
    jobs = [
        sweep / folder_name(",".join(sorted(f"{key}={value}" for key, value in zip(keys, values, strict=True))))
        for values in itertools.product(*choices)
    ]
    return [job for job in jobs if job.resolve() not in found]


def _inside(content: Any, *keys: str) -> Any:
    """What lies under nested keys of a file's content; None where there is nothing."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def read_yaml(path: Path) -> Any:
    """A YAML file's plain values; raises SigjepaError naming the file when it can't be read."""
    try:
        return OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (OSError, EOFError, ValueError, TypeError, RecursionError, YAMLError, OmegaConfBaseException) as error:
        raise SigjepaError(f"{path} is not readable YAML ({error}); leave the run out.") from None
