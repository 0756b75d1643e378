"""The text of `--help`: what a command does, its commands, groups and keys, from the comments in conf/."""

import re
import textwrap
from collections.abc import Iterator, Mapping

from sigjepa.runtime.config_description import ConfigDescription
from sigjepa.runtime.yaml_comments import read_head

WIDTH = 100
COLUMN = 40
NO_HELP = {"_target_", "_partial_"}
FOOTER = """\
-m starts every combination of values with commas; --cfg job shows the configuration and runs
nothing; --config-dir <folder> adds options of your own; --version; --hydra-help lists further ones."""


def help_text(name: str, description: ConfigDescription, flags: Mapping[str, str], about: str | None = None) -> str:
    """Return what `sigjepa <name> --help` prints, in lines of at most 100 columns.

    about: stands on top; None is the head of the config.
    """
    examples = "\n".join(f"  {command}" for command in description.root.commands())
    head = [textwrap.fill(f"sigjepa {name}: {description.root.summary()}.", WIDTH), examples]
    if about is not None:
        head = [
            textwrap.fill(part, WIDTH) if not part.startswith(" ") else part
            for part in f"sigjepa {name}: {about.strip()}".split("\n\n")
        ]
    blocks = [
        *head,
        _section("Options", [(flag, word and f"the same as {word}") for flag, word in flags.items() if word]),
        _section("Groups: choose with group=option; * is in use", list(_group_rows(description))),
        _section("Keys: change with key=value", list(_key_rows(description))),
        FOOTER,
    ]
    return "\n\n".join(block for block in blocks if block)


def _group_rows(description: ConfigDescription) -> Iterator[tuple[str, str]]:
    for word, group in description.groups.items():
        comment = group.comment
        if set(re.findall(r"\w+", comment)) <= set(group.options):  # a bare list of the options, which follow
            comment = ""
        yield f"{word}=", comment
        for option in group.options:
            path = description.composition.path(f"{word.partition('@')[0]}/{option}")
            mark = "*" if option in (group.chosen or "").split(", ") else " "
            yield f" {mark} {option}", read_head(path).summary() if path is not None else ""


def _key_rows(description: ConfigDescription) -> Iterator[tuple[str, str]]:
    """Yield the root's keys first, then those of each node together, in the order of composition."""
    sections = dict.fromkeys(name.partition(".")[0] for name in description.keys)
    roots = [name for name in sections if description.keys.get(name) and description.keys[name].value is not None]
    for section in [*roots, *(name for name in sections if name not in roots)]:
        for name, key in description.keys.items():
            if name.partition(".")[0] != section or name.rpartition(".")[2] in NO_HELP:
                continue
            if key.value is not None:
                yield f"{name}={key.value}", key.comment
            elif key.comment:
                yield f"{name}:", key.comment


def _section(title: str, rows: list[tuple[str, str]]) -> str:
    """Return a title and a row for each of `rows`: what to type, and beside or below it what that is."""
    lines = [title]
    for word, comment in rows:
        wrapped = textwrap.wrap(comment, WIDTH - COLUMN) or [""]
        first = f"  {word}"
        if len(first) >= COLUMN and wrapped != [""]:
            lines.append(first)
        else:
            lines.append(f"{first:{COLUMN}}{wrapped.pop(0)}".rstrip())
        lines += [" " * COLUMN + line for line in wrapped]
    return "\n".join(lines) if rows else ""
