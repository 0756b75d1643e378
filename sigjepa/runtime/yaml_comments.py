"""A YAML file of conf/ as its author wrote it: what stands on top, and every key with its value and its comment."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from sigjepa.runtime.defaults_lists import LOADER


@dataclass
class Key:
    """A key of a config. value: as its file writes it, None for a mapping. comment: what the file says about it."""

    value: str | None
    comment: str = ""

    def may_grow(self) -> bool:
        """Return whether keys below this one may exist that no file shows: it is null, empty, or stands elsewhere."""
        return self.value is not None and (self.value in ("", "null", "{}", "~") or "${" in self.value)


@dataclass
class YamlFile:
    """The comments of a file. head: on top. keys: by dotted name. groups: of its defaults list, by group."""

    head: list[str] = field(default_factory=list)
    keys: dict[str, Key] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        """Return the first sentence of the head."""
        text = " ".join(line for line in self.head if not line.startswith(" ") and "python -m" not in line)
        return text.partition(". ")[0].rstrip(".")

    def commands(self) -> list[str]:
        """Return the commands that the head shows."""
        return [line.strip() for line in self.head if "python -m" in line]


def read_yaml(path: Path) -> YamlFile:
    """Return what the file at `path` says, without composing it."""
    file = read_head(path)
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    top = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    lines = [""] * top + lines[top:]  # the head is no comment on the first key
    root = yaml.compose(text, Loader=LOADER)
    if isinstance(root, yaml.MappingNode):
        _add_mapping(file, root, lines, "")
    return file


def read_head(path: Path) -> YamlFile:
    """Return what stands on top of the file at `path`, and no keys."""
    head = itertools.takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    return YamlFile([line.removeprefix("#").removeprefix(" ").rstrip() for line in head if "@package" not in line])


def _add_mapping(file: YamlFile, node: yaml.MappingNode, lines: Sequence[str], prefix: str) -> None:
    for key_node, value_node in node.value:
        name = f"{prefix}{key_node.value}"
        if name == "defaults":
            _add_groups(file, value_node, lines)
        elif isinstance(value_node, yaml.MappingNode) and value_node.value:
            file.keys[name] = Key(None, _comment(key_node, value_node, lines))
            _add_mapping(file, value_node, lines, f"{name}.")
        else:
            file.keys[name] = Key(_written(value_node, lines), _comment(key_node, value_node, lines))


def _add_groups(file: YamlFile, node: yaml.Node, lines: Sequence[str]) -> None:
    for item in node.value:
        if isinstance(item, yaml.MappingNode):
            ((key_node, value_node),) = item.value
            file.groups[key_node.value.split(" ")[-1].lstrip("/")] = _comment(key_node, value_node, lines)


def _written(node: yaml.Node, lines: Sequence[str]) -> str:
    """Return the value in one line."""
    start, end = node.start_mark, node.end_mark
    if isinstance(node, yaml.SequenceNode) and not node.flow_style:
        return f"[{', '.join(_written(item, lines) for item in node.value)}]"
    if isinstance(node, yaml.MappingNode) and not node.flow_style:
        return f"{{{', '.join(f'{key.value}: {_written(value, lines)}' for key, value in node.value)}}}"
    if start.line != end.line:
        return node.value if isinstance(node, yaml.ScalarNode) else "…"
    return lines[start.line][start.column : end.column].strip() or "null" if start.line < len(lines) else "null"


def _comment(key_node: yaml.Node, value_node: yaml.Node, lines: Sequence[str]) -> str:
    """Return what stands behind a value or, for a block, behind its key; else the comment lines directly above the
    key.
    """
    block = isinstance(value_node, yaml.CollectionNode) and not value_node.flow_style
    mark = key_node.end_mark if block else value_node.end_mark
    behind = lines[mark.line][mark.column :].partition("#")[2].strip() if mark.line < len(lines) else ""
    above: list[str] = []
    number = key_node.start_mark.line - 1
    while not behind and number >= 0 and lines[number].lstrip().startswith("#"):
        above.insert(0, lines[number].lstrip(" #").rstrip())
        number -= 1
    return behind or " ".join(above)
