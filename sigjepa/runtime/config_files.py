"""The files that a config is composed of, in the order in which they count, and what a file of a user's own may set."""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from sigjepa.errors import SigjepaError
from sigjepa.runtime.defaults_lists import defaults_list

PACKAGE = Path(__file__).resolve().parents[1]

FILES_MAY_SET = re.compile(
    r"hydra\.(mode|run\.dir|sweep\.(dir|subdir)|sweeper\.params(\.\+*(?!hydra|allowed_targets)[A-Za-z_][\w./@-]*)?)"
)
"""What a file of a user's own may set of Hydra: Hydra imports, calls or writes the rest before a command begins."""
FILES_MAY_SET_PLAINLY = re.compile(
    r"hydra\.(sweeper\.(n_trials|n_jobs|direction|study_name|max_batch_size)|launcher\.(n_jobs|timeout_min|nodes|"
    r"cpus_per_task|gpus_per_node|tasks_per_node|mem_gb|partition|qos|account|constraint|array_parallelism|name))"
)
"""More of it, as long as it is a number or a plain word: a scheduler's script holds it."""


def config_directory() -> Path:
    """Return the folder of configs: inside the package in a wheel, beside it in a checkout."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"


@dataclass(frozen=True)
class ConfigFile:
    """A file of a composition. name: as defaults lists call it. package: the node that it is put into."""

    name: str
    path: Path
    package: str

    @cached_property
    def content(self) -> Any:
        """The content of the file, its defaults list left out; raises SigjepaError for one that is no YAML."""
        try:
            content = yaml.safe_load(self.path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise SigjepaError(f"{self.path} is no YAML: {' '.join(str(error).split())}") from None
        return {key: value for key, value in content.items() if key != "defaults"} if isinstance(content, dict) else {}

    @property
    def is_ours(self) -> bool:
        """True for one of this package's."""
        return self.path.resolve().is_relative_to(config_directory().resolve())

    def nodes(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the place of every node of the file in the config, and what the file says in it."""
        return nodes_at(self.package, self.content)


def nodes_at(place: str, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every node that setting `place` to `value` makes or adds to, the root first, and what it gets."""
    for part in reversed(place.split(".") if place else []):
        value = {part: value}
    return _nodes("", value)


def _nodes(place: str, content: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(content, Mapping):
        yield place, content
        for key, value in content.items():
            yield from _nodes(f"{place}.{key}" if place else str(key), value)


@dataclass(frozen=True)
class Composition:
    """The files of a config, of those that lie in folders: what a Python package brings is code already.

    folders: that are searched, in this order. names: of all files, Hydra's own included, by package. choices: the
    option chosen of each group.
    """

    folders: list[Path]
    names: list[tuple[str, str]]
    choices: dict[str, str | None]

    def path(self, name: str) -> Path | None:
        """Return the file of a config or an option (`<group>/<option>`); None where there is none."""
        return next((path for folder in self.folders if (path := folder / f"{name}.yaml").is_file()), None)

    @property
    def files(self) -> list[ConfigFile]:
        """The files, in the order in which they count."""
        found = ((name, self.path(name), package) for name, package in self.names)
        return [ConfigFile(name, path, package) for name, path, package in found if path is not None]


def composition_of(config_name: str, overrides: Sequence[str]) -> Composition:
    """Return the files that Hydra, which must be initialized, would compose `config_name` of.

    Raises what Hydra raises for an option that does not exist and for an override that it can't parse, and SigjepaError
    for a file that sets what only the command line may.
    """
    return _composition_of(GlobalHydra.instance().config_loader(), config_name, tuple(overrides))


@functools.lru_cache(maxsize=64)  # the jobs of a sweep choose the same files over and over
def _composition_of(loader: ConfigLoader, config_name: str, overrides: tuple[str, ...]) -> Composition:
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    paths = [element.path for element in loader.get_search_path().get_path()]
    paths += [path for override in parsed for path in searched_folders(override)]
    folders = [Path(path.removeprefix("file://")) for path in paths if path and not re.match(r"(?!file)\w+://", path)]
    root = next((path for folder in folders if (path := folder / f"{config_name}.yaml").is_file()), None)
    if root is not None:
        refuse_settings(ConfigFile(config_name, root, ""))  # Hydra reads `hydra.searchpath` in it before all else
    defaults = defaults_list(loader, config_name, overrides)
    names = [(str(default.config_path), default.package or "") for default in defaults.defaults]
    composition = Composition(folders, names, dict(reversed(defaults.overrides.known_choices.items())))
    for file in composition.files:
        refuse_settings(file)
    return composition


def searched_folders(override: Override) -> list[str]:
    """Return the folders that an override adds to those that are searched for configs."""
    is_path = override.key_or_group == "hydra.searchpath" and isinstance(override.value(), list)
    return [str(path) for path in override.value()] if is_path else []  # type: ignore[union-attr]


def refuse_settings(file: ConfigFile) -> None:
    """Raise SigjepaError for a file of a user's own that allows itself further targets, or has Hydra run a class.

    Such a file may come from anybody, and must not decide what of it is run.
    """
    if file.is_ours:
        return
    for place, node in file.nodes():
        for key, value in node.items():
            name = f"{place}.{key}" if place else str(key)
            if isinstance(value, Mapping):
                continue
            if name.startswith("allowed_targets"):
                way_out = "'allowed_targets=[my_package.]'"
                raise SigjepaError(f"{file.path} sets allowed_targets, which only the command line may: {way_out}.")
            plain = value is None or isinstance(value, int | float) or re.fullmatch(r"[\w.:,@/+-]*", str(value))
            if name == "hydra" or FILES_MAY_SET.fullmatch(name) or (FILES_MAY_SET_PLAINLY.fullmatch(name) and plain):
                continue
            if name.startswith("hydra."):
                raise SigjepaError(
                    f"{file.path} sets {name}, which only the command line may: Hydra would run or open what it names."
                )
