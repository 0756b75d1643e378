"""What the entry points share: where conf/ lies, and errors that a person can act on."""

import functools
import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.runtime.processes import for_this_process
from sigjepa.runtime.replaced_targets import drop_keys_of_replaced_targets
from sigjepa.runtime.status import visible
from sigjepa.store.credentials import refuse_credentials, refuse_in_config, without_credentials
from sigjepa.store.files import DISK_ERRORS

PACKAGE = Path(__file__).resolve().parents[1]
LONGEST_NAME = 120


def config_directory() -> Path:
    """The folder of configs: inside the package in a wheel, beside it in a checkout."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"


def folder_name(overrides: str) -> str:
    """A folder name from a job's overrides: readable, without separators, short enough for any file system."""
    name = re.sub(r"[^\w.,=+-]+", "-", overrides) or "default"
    if len(name) > LONGEST_NAME:
        name = f"{name[:LONGEST_NAME]}-{hashlib.sha256(overrides.encode()).hexdigest()[:8]}"
    return name


def choose(name: str, values: Mapping[str, Any]) -> Any:
    """The value that belongs to `name`, or that of `default`: a setting that depends on another group's choice."""
    return values[name] if name in values else values["default"]


def run_group(mode: RunMode, sweep_dir: str, name: str) -> str:
    """What a dashboard groups a job by: its sweep's folder, or the experiment's name when it runs alone."""
    return Path(sweep_dir).name if mode == RunMode.MULTIRUN else name


def resume_by_default() -> str:
    """Whether a job goes on with what it finds in its folder: in a sweep, unless it is told not to."""
    sweeps = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    return "auto" if sweeps else "never"


OmegaConf.register_new_resolver("resume_by_default", resume_by_default, replace=True)
OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
OmegaConf.register_new_resolver("choose", choose, replace=True)
OmegaConf.register_new_resolver("run_group", run_group, replace=True)


Around = Callable[[str, Sequence[str]], AbstractContextManager[list[str]]]
"""What is done around a command: takes the config's name and the arguments, and gives the arguments to use."""


def entry_point(
    config_name: str, around: Around | None = None
) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Make a Hydra command of a function of the composed config; a user's mistake exits with 1 and one message."""

    def decorate(run: Callable[[DictConfig], Any]) -> Callable[[], None]:
        words: list[str] = []

        @functools.wraps(run)
        def visibly(config: DictConfig) -> Any:
            sys.argv = list(words) or sys.argv  # records name what a person typed, not how a launcher started its job
            refuse_composed_credentials(config)
            drop_keys_of_replaced_targets(config, HydraConfig.get().overrides.task)
            with visible(own_folder(HydraConfig.get())):
                return run(config)

        command = hydra.main(version_base="1.3", config_path=str(config_directory()), config_name=config_name)(visibly)

        def main() -> None:
            os.environ["HYDRA_FULL_ERROR"] = "1"  # raise to here instead of printing and exiting inside Hydra
            sys.argv[1:] = [quote_path(argument) for argument in sys.argv[1:]]
            try:
                refuse_credentials(sys.argv[1:])  # before Hydra keeps the command line in its folder
                sys.argv[1:] = for_this_process(sys.argv[1:], os.environ)
                with around(config_name, sys.argv[1:]) if around else nullcontext(sys.argv[1:]) as sys.argv[1:]:
                    words[:] = sys.argv
                    command()
            except SigjepaError as error:
                sys.exit(f"sigjepa: {error}")
            except OSError as error:
                if error.errno not in DISK_ERRORS:
                    raise
                place = error.filename or "A file"
                sys.exit(
                    f"sigjepa: {place} can't be read or written: {error.strerror}. Make room, or give the right to."
                )
            except (HydraException, OmegaConfBaseException) as error:
                if isinstance(error.__cause__, SigjepaError):
                    sys.exit(f"sigjepa: {error.__cause__}")
                sys.exit(f"sigjepa: {without_credentials(explain(error, config_name, sys.argv[1:]))}")

        return main

    return decorate


def own_folder(hydra_config: HydraConf) -> Path | None:
    """The folder that Hydra gives a command of its own; None for one that leaves nothing of Hydra's behind."""
    return Path(hydra_config.runtime.output_dir) if hydra_config.output_subdir is not None else None


def refuse_composed_credentials(config: DictConfig) -> None:
    """Raise SigjepaError for a key or password that a config file or an interpolation brought.

    By then Hydra has copied the config into the folders of run and sweep: those copies are removed.
    """
    try:
        resolved = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException:  # the command says which value can't be resolved
        resolved = OmegaConf.to_container(config)
    try:
        refuse_in_config(resolved)
    except SigjepaError:
        if HydraConfig.initialized():
            settings = HydraConfig.get()
            copies = Path(settings.runtime.output_dir) / (settings.output_subdir or "")
            multirun = Path(settings.sweep.dir) / "multirun.yaml"
            for path in [*copies.glob("*.yaml"), *([multirun] if settings.mode == RunMode.MULTIRUN else [])]:
                path.unlink(missing_ok=True)
        raise


def quote_path(argument: str) -> str:
    """`key=value` with its value quoted for Hydra if it is a path that exists: run folders have `=` and `,` in them."""
    key, equals, value = argument.partition("=")
    if not equals or not re.search(r"[=, ]", value) or not Path(value).exists():
        return argument
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{key}="{escaped}"'


def explain(error: Exception, config_name: str, arguments: list[str]) -> str:
    """Hydra's message with the nearest valid key or option added."""
    if isinstance(error, MissingConfigException) and error.options:
        option = str(error.missing_cfg_file).rsplit("/", 1)[-1]
        options = ", ".join(sorted(error.options))
        return f"There is no '{error.missing_cfg_file}'.{nearest_name(option, error.options)} Options: {options}."
    message = str(error)
    if missing := re.search(r"Could not load '([^']+)/([^'/]+)'", message):  # an option inside a list has no .options
        group, option = missing.groups()
        if group == "hydra/launcher":  # one of ours builds on a plugin's
            return f"There is no '{group}/{option}': it needs pip install 'sigjepa[launchers]'."
        siblings = sorted(path.stem for path in (config_directory() / group).glob("*.yaml"))
        return f"There is no '{group}/{option}'.{nearest_name(option, siblings)} Options: {', '.join(siblings)}."
    match = re.search(r"[Cc]ould not override '([^'@]+)[^']*'", message)
    if isinstance(error, ConfigCompositionException) and match:
        key = match.group(1)
        known = known_keys(config_name, [argument for argument in arguments if not names_key(argument, key)])
        return f"There is no config key or group '{key}'.{nearest_name(key, known)}"
    return message


def names_key(argument: str, key: str) -> bool:
    """Whether a command-line argument is an override of `key`, or no override at all."""
    return "=" not in argument or argument.lstrip("+~").split("=", 1)[0].split("@")[0] == key


def known_keys(config_name: str, overrides: list[str]) -> list[str]:
    """Every dotted key and every group that an override may name."""
    groups = {str(path.parent.relative_to(config_directory())) for path in config_directory().rglob("*/*.yaml")}
    with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
        try:
            config = hydra.compose(config_name, [item for item in overrides if "," not in item])
        except (HydraException, OmegaConfBaseException):
            config = hydra.compose(config_name)
    return sorted(groups | set(_dotted_keys(OmegaConf.to_container(config))))


def _dotted_keys(container: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(container, dict):
        for key, value in container.items():
            yield f"{prefix}{key}"
            yield from _dotted_keys(value, f"{prefix}{key}.")
