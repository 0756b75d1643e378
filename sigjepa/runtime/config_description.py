"""The description of a command's config: its keys and groups, read from the YAML files that it is composed of.

Nothing is composed: this costs a fraction of a composition, so that `--help` and a misspelled word answer at once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.runtime import resolvers  # noqa: F401 - configs call them
from sigjepa.runtime.config_files import Composition, composition_of, config_directory, searched_folders
from sigjepa.runtime.words import quoted
from sigjepa.runtime.yaml_comments import Key, YamlFile, read_head, read_yaml


@dataclass
class Group:
    """A group of options. options: their names. chosen: what is in use. comment: what the defaults list says of it."""

    options: list[str]
    chosen: str | None
    comment: str = ""


@dataclass
class ConfigDescription:
    """The keys, groups and options that a command can be given.

    composition: its files. root: its root config. keys: by dotted name, in the order of composition. groups: by the
    word that overrides them. complete: every file was found, so no other key exists.
    """

    composition: Composition
    root: YamlFile = field(default_factory=YamlFile)
    keys: dict[str, Key] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    complete: bool = True

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

    directories: further folders of configs, which come after ours. Raises what `composition_of` raises, for the options
    of a sweep as well, and SigjepaError for an option that does not exist.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    folders = [*(f"file://{path.resolve()}" for path in directories)]
    folders += [folder for override in parsed for folder in searched_folders(override)]
    words = [override.input_line or "" for override in parsed if not searched_folders(override)]
    words += [f"hydra.searchpath=[{','.join(map(quoted, folders))}]"] * bool(folders)
    with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
        composition = composition_of(config_name, words)
        if folders:
            for option in swept_options(composition, words):
                composition_of(config_name, [*words, option])
    refuse_missing_options(composition)
    description = ConfigDescription(composition)
    choices = dict(composition.choices)
    comments: dict[str, str] = {}
    for name, package in composition.names:
        if package.split(".")[0] != "hydra":
            comments |= _add_file(description, name, package)
        group = name.rpartition("/")[0]  # a list of options is no choice of one
        if group.split("/")[0] not in ("", "hydra") and not any(word.partition("@")[0] == group for word in choices):
            listed = [other.rpartition("/")[2] for other, _ in composition.names if other.startswith(f"{group}/")]
            choices[group] = ", ".join(listed)
    root = composition.path(config_name)
    description.root = read_head(root) if root is not None else YamlFile()
    for word, choice in choices.items():
        group = word.partition("@")[0]
        if group.startswith("hydra") and (group == "hydra" or "hydra" not in choices):
            continue
        if options := _options(composition.folders, group):
            description.groups[word] = Group(options, choice, comments.get(word, ""))
    for override in parsed:
        name = override.get_key_element()
        known = name in description.keys and name not in description.groups
        if known and not override.is_delete() and not override.is_sweep_override():
            description.set_key(name, Key(override.get_value_element_as_str()))
    return description


def refuse_missing_options(composition: Composition) -> None:
    """Raise SigjepaError for an option that does not exist of a group that is `optional`: Hydra would do without it."""
    found = {name for name, _ in composition.names}
    for word, choice in composition.choices.items():
        group = word.partition("@")[0]
        if choice is not None and f"{group}/{choice}" not in found:
            raise SigjepaError(no_option(f"{group}/{choice}", _options(composition.folders, group)))


def swept_options(composition: Composition, overrides: Sequence[str]) -> list[str]:
    """Return an override for every option of a group that a sweep chooses, on the command line or in a file."""
    params = [node for file in composition.files for place, node in file.nodes() if place == "hydra.sweeper.params"]
    words = [*overrides, *(f"{key}={value}" for node in params for key, value in node.items())]
    swept = [word for word in OverridesParser.create().parse_overrides(words) if word.is_choice_sweep()]
    return [
        f"{override.get_key_element()}={option}"
        for override in swept
        if override.get_key_element() in composition.choices
        for option in override.sweep_string_iterator()
    ]


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
    if (
        description.complete
        and not adds
        and not any(override.get_key_element() in description.groups for override in swept)
    ):
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
    source = description.composition.path(path)
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
