"""What mkdocs asks while it builds: the pages that list every config and every command are written from the sources."""

from pathlib import Path

import yaml

from sigjepa.__main__ import COMMANDS

CHECKOUT = Path(__file__).resolve().parents[1]


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replace the marks `<!-- configs -->` and `<!-- commands -->` of a page by what they stand for."""
    if "<!-- configs -->" in markdown:
        markdown = markdown.replace("<!-- configs -->", configs(CHECKOUT / "conf"))
    if "<!-- commands -->" in markdown:
        markdown = markdown.replace("<!-- commands -->", commands())
    return markdown


def configs(folder: Path) -> str:
    """Return a section for each group below `folder`, with each option's file."""
    groups: dict[str, list[Path]] = {}
    files = [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("*/**/*.yaml"))]
    for path in files:
        groups.setdefault(path.parent.relative_to(folder).as_posix(), []).append(path)
    sections = []
    for group, paths in groups.items():
        sections.append("## Commands" if group == "." else f"## {group}")
        for path in paths:
            text = path.read_text(encoding="utf-8").rstrip()
            yaml.compose(text)  # a page must not show what Hydra could not read
            sections.append(f"### {group + '/' if group != '.' else ''}{path.stem}\n\n```yaml\n{text}\n```")
    return "\n\n".join(sections)


def commands() -> str:
    """Return the table of the commands."""
    rows = [f"| `sigjepa {name}` | `python -m sigjepa.{name}` | {purpose} |" for name, purpose in COMMANDS.items()]
    return "\n".join(["| command | as a module | what it does |", "|---|---|---|", *rows])
