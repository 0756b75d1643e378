"""The description of a command's config: its keys and groups, read from the YAML files that it is composed of.

Nothing is composed: this costs a fraction of a composition, so that `--help` and a misspelled word answer at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode

from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.runtime import resolvers  # noqa: F401 - configs call them
from sigjepa.runtime.yaml_comments import Key, YamlFile, read_head, read_yaml

PACKAGE = Path(__file__).resolve().parents[1]


def config_directory() -> Path:
    """Return the folder of configs: inside the package in a wheel, beside it in a checkout."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"


@dataclass
class Group:
    """A group of options. options: their names. chosen: what is in use. comment: what the defaults list says of it."""

    options: list[str]
    chosen: str | None
    comment: str = ""


@dataclass
class ConfigDescription:
    """The keys, groups and options that a command can be given.

    folders: where its files are, the first counts. root: its root config. keys: by dotted name, in the order of
    composition. groups: by the word that overrides them. complete: every file was found, so no other key exists.
    """

    folders: list[Path]
    root: YamlFile = field(default_factory=YamlFile)
    keys: dict[str, Key] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    complete: bool = True

    def path(self, name: str) -> Path | None:
        """Return the file of a config or an option (`<group>/<option>`); None where there is none."""
        return next((path for folder in self.folders if (path := folder / f"{name}.yaml").is_file()), None)

    def set_key(self, name: str, key: Key) -> None:
        """Set a key as composition does: the later value counts, and the last comment."""
        before = self.keys.get(name)
        if key.value is not None:
            for below in [other for other in self.keys if other.startswith(f"{name}.")]:
                del self.keys[below]
        self.keys[name] = Key(key.value, key.comment or (before.comment if before else ""))

    def has_key(self, name: str) -> bool:
        """Return whether an override may name this key, as far as the files tell."""
        if name in self.keys:
            return True
        parent = name
        while parent := parent.rpartition(".")[0]:
            if parent in self.keys:
                return self.keys[parent].may_grow()
        return False


def describe_config(config_name: str, overrides: Sequence[str], directories: Sequence[Path] = ()) -> ConfigDescription:
    """Return what `config_name` takes, with the options that `overrides` choose and the values that they give.

    directories: further folders of configs, which come before ours. Raises what Hydra raises for an option that does
    not exist and for an override that it can't parse.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    searched = [Path(path) for override in parsed for path in _search_path(override)]
    description = ConfigDescription([*directories, *searched, config_directory()])
    further = [f"hydra.searchpath=[{','.join(f'file://{path.resolve()}' for path in directories)}]"] * bool(directories)
    with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        defaults = loader.compute_defaults_list(config_name, [*further, *overrides], RunMode.MULTIRUN)
        chosen = [str(default.config_path) for default in defaults.defaults]
        comments: dict[str, str] = {}
        for path, package in zip(chosen, (default.package or "" for default in defaults.defaults), strict=True):
            if package.split(".")[0] != "hydra":
                comments |= _add_file(description, path, package)
        root = description.path(config_name)
        description.root = read_head(root) if root is not None else YamlFile()
        choices = dict(reversed(defaults.overrides.known_choices.items()))
        for path in chosen:  # a list of options is no choice of one
            group = path.rpartition("/")[0]
            if group.split("/")[0] not in ("", "hydra") and not any(
                word.partition("@")[0] == group for word in choices
            ):
                choices[group] = ", ".join(
                    other.rpartition("/")[2] for other in chosen if other.startswith(f"{group}/")
                )
        for word, choice in choices.items():
            group = word.partition("@")[0]
            if group.startswith("hydra") and (group == "hydra" or "hydra" not in choices):
                continue
            if options := _options(description.folders, group):
                description.groups[word] = Group(options, choice, comments.get(word, ""))
    for override in parsed:
        name = override.get_key_element()
        known = name in description.keys and name not in description.groups
        if known and not override.is_delete() and not override.is_sweep_override():
            description.set_key(name, Key(override.get_value_element_as_str()))
    return description


def check_overrides(description: ConfigDescription, overrides: Sequence[str]) -> None:
    """Raise SigjepaError for an override of a key, or an option in a sweep, that does not exist; names the nearest.

    What can't be known without a composition is left to it.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    swept = [override for override in parsed if override.is_sweep_override()]
    for override in swept:
        group = description.groups.get(override.get_key_element())
        for option in override.sweep_string_iterator() if group and override.is_choice_sweep() else ():
            if group and option.isidentifier() and option not in group.options:
                raise SigjepaError(no_option(f"{override.get_key_element()}/{option}", group.options))
    adds = any(override.is_add() or override.is_force_add() or override.is_delete() for override in parsed)
    if description.complete and not adds and not any(one.get_key_element() in description.groups for one in swept):
        for name in (override.get_key_element() for override in parsed):
            exists = name in description.groups or description.has_key(name)
            if not exists and not name.startswith(("hydra.", "hydra/")):
                raise SigjepaError(no_key(name, description))


def no_key(name: str, description: ConfigDescription) -> str:
    """Return the message for a key that does not exist."""
    near = nearest_name(name, [*description.groups, *description.keys])
    return f"There is no config key or group '{name}'.{near} --help lists them."


def no_option(path: str, options: Iterable[str]) -> str:
    """Return the message for an option `<group>/<name>` that does not exist."""
    names = sorted(options)
    return f"There is no '{path}'.{nearest_name(path.rpartition('/')[2], names)} Options: {', '.join(names)}."


def _add_file(description: ConfigDescription, path: str, package: str) -> dict[str, str]:
    """Add the keys of a config file below its package; returns the comments on the groups that it names."""
    source = description.path(path)
    if source is None:
        description.complete = description.complete and path.startswith("hydra/")
        return {}
    file = read_yaml(source)
    if package:
        description.set_key(package, Key(None))
    for name, key in file.keys.items():
        if name.split(".")[0] != "hydra":
            description.set_key(f"{package}.{name}" if package else name, key)
    return {group: comment for group, comment in file.groups.items() if comment}


def _options(folders: Sequence[Path], group: str) -> list[str]:
    """Return the options of a group that are complete: `base` is what others build on."""
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")} - {"base"})


def _search_path(override: Override) -> Iterator[str]:
    """Yield the folders that `hydra.searchpath` adds; a package there makes the description incomplete by its files."""
    if override.key_or_group == "hydra.searchpath" and isinstance(paths := override.value(), list):
        yield from (str(path).removeprefix("file://") for path in paths if not str(path).startswith("pkg://"))
