"""The report as one HTML file that needs nothing else: no network, no scripts of others, dark and light."""

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from itertools import chain, count, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from sigjepa.errors import SigjepaError
from sigjepa.reporting.plots import FOREGROUND

if TYPE_CHECKING:
    from sigjepa.reporting.explorer import ExplorerData

STYLES, SCRIPTS = ("page.css", "explorer.css"), ("page.js", "explorer.js")
_NUMBER = re.compile(r"[-+±<≥]? ?\d[\d.,]*( ?%| ± [\d.,]+| to [-+]?[\d.,]+)*( \(.*\))?$")
_FIGURE = re.compile(r"figures/[\w-]+\.png")
_NO_NUMBER = ("", "—", "never")
OWN_IDS = ("theme", "explorer")
"""Ids that the template itself gives; a heading of that name gets another one."""


def render_page(
    markdown: str,
    folder: Path,
    *,
    explorer: "ExplorerData | None" = None,
    title: str = "sigjepa",
    refresh_seconds: int | None = None,
) -> str:
    """Return the page of a report's `markdown`, whose images lie in `folder`.

    Whatever the Markdown holds is shown, never run: HTML in it is escaped, and a content security policy admits this
    page's own script and style sheet alone. refresh_seconds: load the page again that often. Raises SigjepaError for
    an image that is not there.
    """
    tokens = MarkdownIt("commonmark", {"html": False}).enable("table").parse(markdown)
    contents = list(number_headings(tokens))
    align_numbers(tokens)
    body = MarkdownIt().renderer.render(list(frame(tokens, folder)), MarkdownIt().options, {})
    templates = files("sigjepa.reporting") / "templates"
    style, script = (
        "\n".join((templates / name).read_text(encoding="utf-8") for name in names) for names in (STYLES, SCRIPTS)
    )
    environment = Environment(
        loader=PackageLoader("sigjepa.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        title=title,
        contents=contents,
        body=Markup(body),
        style=Markup(style),
        script=Markup(script),
        style_hash=policy_hash(style),
        script_hash=policy_hash(script),
        explorer=explorer,
        refresh_seconds=refresh_seconds,
    )


def harmless(markdown: str) -> str:
    """Return a report's Markdown without HTML, and without links and images but the report's own figures.

    Whatever shows the file would take a run's name, or an error, for them; in a code span they read as their escapes.
    """
    markdown = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", markdown)
    return re.sub(r"\](?=\[|\((?!figures/[\w-]+\.png\)))", "&#93;", markdown)


def policy_hash(content: str) -> str:
    """Return how a content security policy names the one inline script or style sheet that it admits."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def number_headings(tokens: Sequence[Token]) -> Iterator[tuple[str, str]]:
    """Give second-level headings an id of their own and yield it with their text: the table of contents."""
    taken = set(OWN_IDS)
    for heading, inline in pairwise(tokens):
        if heading.type == "heading_open" and heading.tag == "h2":
            name = re.sub(r"[^a-z0-9]+", "-", inline.content.lower()).strip("-") or "section"
            anchor = next(
                free for free in chain([name], (f"{name}-{again}" for again in count(2))) if free not in taken
            )
            taken.add(anchor)
            heading.attrSet("id", anchor)
            yield anchor, inline.content


def align_numbers(tokens: Sequence[Token]) -> None:
    """Set columns right whose cells hold numbers, or nothing, and at least one number."""
    columns: list[list[tuple[Token, str]]] = []
    column = 0
    for token, inline in pairwise([*tokens, *tokens[-1:]]):
        if token.type == "table_open":
            columns = []
        elif token.type == "tr_open":
            column = 0
        elif token.type == "th_open":
            columns.append([(token, "")])
        elif token.type == "td_open":
            columns[column].append((token, inline.content))
            column += 1
        elif token.type == "table_close":
            for cells in columns:
                filled = [text for _, text in cells if text not in _NO_NUMBER]
                if filled and all(_NUMBER.match(text) for text in filled):
                    for cell, _ in cells:
                        cell.attrSet("class", "number")


def frame(tokens: Sequence[Token], folder: Path) -> Iterator[Token]:
    """Put every table into a box that scrolls by itself, and a figure in the place of a paragraph that is an image.

    An image within a text, or of another place than the report's own figures, leaves only its caption: nothing in the
    page refers to another file, and no file that a run's record names gets into it.
    """
    position = 0
    while position < len(tokens):
        token = tokens[position]
        children = tokens[position + 1].children or [] if token.type == "paragraph_open" else []
        source = str(children[0].attrGet("src")) if [child.type for child in children] == ["image"] else ""
        if _FIGURE.fullmatch(source):
            yield _html(figure(children[0].content, folder / source))
            position += 3  # the paragraph's end too
            continue
        for child in token.children or []:
            if child.type == "image":
                child.type, child.children = "text", None
        if token.type == "table_open":
            yield _html('<div class="table" tabindex="0" role="region" aria-label="table">\n')
        yield token
        if token.type == "table_close":
            yield _html("</div>\n")
        position += 1


def _html(content: str) -> Token:
    return Token("html_block", "", 0, content=content)


def figure(caption: str, path: Path) -> str:
    """Return an image as a `<figure>`: the SVG beside `path` inline, or else the PNG itself as data."""
    drawing = path.with_suffix(".svg")
    if drawing.is_file():
        content = inline_svg(drawing.read_text(encoding="utf-8"), path.stem, caption)
    elif path.is_file():
        data = base64.b64encode(path.read_bytes()).decode()
        content = f'<img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
    else:
        raise SigjepaError(f"The report shows {path}, which is not there; write the report again.")
    drawn = f'<div class="drawing" tabindex="0" role="region" aria-label="figure">{content}</div>'
    return f"<figure>{drawn}<figcaption>{escape(caption)}</figcaption></figure>\n"


def inline_svg(svg: str, name: str, caption: str) -> str:
    """Return an SVG file as an element of a page: ids of its own, the page's font and its colour for text and lines."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)  # the page's own style sheet has what it says
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r" font-family: [^;]*;|(?<=\n) +", "", svg)  # the page's font; a fifth of the file
    svg = svg.replace(FOREGROUND, "currentColor")
    head, rest = svg.split(">", 1)
    head = re.sub(r' (?:width|height)="[^"]*"', "", head)
    return f'{head} id="figure-{name}" role="img" aria-label="{escape(caption)}">{rest}'
