"""Configs composed from Python as a command composes them, for notebooks and scripts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from sigjepa.errors import SigjepaError
from sigjepa.runtime.command import explain, refuse_composed_credentials
from sigjepa.runtime.config_files import config_directory
from sigjepa.runtime.replaced_targets import drop_keys_of_replaced_targets
from sigjepa.runtime.words import quote_value, quoted
from sigjepa.store.credentials import refuse_credentials


def compose(
    overrides: Sequence[str] = (),
    command: str = "train",
    *,
    folder: str | Path | None = None,
    config_dir: str | Path | None = None,
) -> DictConfig:
    """Return the config that `python -m sigjepa.<command> <overrides>` composes, to be looked at, changed and run.

    folder: the run directory; None names a new one below outputs/, as the command does. config_dir: a folder of own
    configs that is searched as well, as with `--config-dir`. What Hydra knows of a running command only (the run
    directory, the job's name) stands in the config as a value. Raises SigjepaError for a key, group or option that
    does not exist, for a class that is not allowed, and for an override that holds a password or an API key.
    """
    refuse_credentials(list(overrides))
    words = [quote_value(word) for word in overrides]
    if config_dir is not None:
        words.insert(0, f"hydra.searchpath=[{quoted(f'file://{Path(config_dir).resolve()}')}]")
    try:
        with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
            config = hydra.compose(command, words, return_hydra_config=True)
            with read_write(config), open_dict(config):
                config.hydra.mode = RunMode.RUN
                config.hydra.runtime.output_dir = str(folder) if folder is not None else config.hydra.run.dir
                with _known_to_hydra(config):
                    drop_keys_of_replaced_targets(config, config.hydra)
                    del config.hydra
                    _write_values_of_hydra(config, OmegaConf.to_container(config))
    except (HydraException, OmegaConfBaseException) as error:
        raise SigjepaError(explain(error, command, list(overrides))) from error
    refuse_composed_credentials(config)
    return config


@contextmanager
def _known_to_hydra(config: DictConfig) -> Iterator[None]:
    """Context manager: `${hydra:...}` is what the `hydra` node of `config` says."""
    singleton = HydraConfig.instance()
    before = singleton.cfg
    singleton.set_config(config)
    try:
        yield
    finally:
        singleton.cfg = before


def _write_values_of_hydra(node: Any, raw: Any) -> None:
    """Replace every `${hydra:...}` below `node` by its value; others stay. raw: the same, not resolved."""
    for key, value in raw.items() if isinstance(raw, dict) else enumerate(raw):
        if isinstance(value, str) and "${hydra:" in value:
            node[key] = node[key]
        elif isinstance(value, dict | list):
            _write_values_of_hydra(node[key], value)
