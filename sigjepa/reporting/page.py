"""The report as one HTML file that needs nothing else: no network, no file beside it, dark and light."""

import base64
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from itertools import chain, count, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from sigjepa.errors import SigjepaError
from sigjepa.store.files import read_json

if TYPE_CHECKING:
    from sigjepa.reporting.explorer import ExplorerData

STYLES = ("static/uPlot.min.css", "templates/page.css", "templates/explorer.css")
LIBRARIES = ("static/uPlot.iife.min.js", "static/sortable.min.js", "static/sortable.a11y.min.js")
SCRIPTS = (*LIBRARIES, "templates/page.js", "templates/plots.js", "templates/explorer.js")
MAX_ITEMS, FILTER_FROM = 5, 8
"""So many items of a list are shown unfolded; a table of at least so many rows has a field that filters them."""
_NUMBER = re.compile(r"[-+±<≥]? ?\d[\d.,]*( ?%| ± [\d.,]+| to [-+]?[\d.,]+)*( \(.*\))?$")
_FIGURE = re.compile(r"figures/[\w-]+\.png")
_NO_NUMBER = ("", "—", "never")
OWN_IDS = ("theme", "explorer")
"""Ids that the template itself gives; a heading of that name gets another one."""
ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}
"""Signs that are escaped in a script element, since they could end the element, or a line."""


def render_page(
    markdown: str,
    folder: Path,
    *,
    explorer: "ExplorerData | None" = None,
    title: str = "sigjepa",
    refresh_seconds: int | None = None,
    folded: Collection[str] = (),
) -> str:
    """Return the page of a report's `markdown`, whose images lie in `folder`.

    Whatever the Markdown holds is shown, never run: HTML in it is escaped, and a content security policy admits this
    page's own script and style sheet alone. refresh_seconds: load the page again that often. folded: headings of the
    sections that are closed at first. Raises SigjepaError for an image that is not there.
    """
    tokens = MarkdownIt("commonmark", {"html": False}).enable("table").parse(markdown)
    contents = list(number_headings(tokens))
    align_numbers(tokens)
    framed = list(fold(list(wrap_tables(tokens, folder)), folded))
    body = MarkdownIt().renderer.render(framed, MarkdownIt().options, {})
    package = files("sigjepa.reporting")
    style, script = (
        "\n".join((package / name).read_text(encoding="utf-8") for name in names) for names in (STYLES, SCRIPTS)
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


def without_html(markdown: str) -> str:
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
    """Set columns right whose cells hold numbers, or nothing, and at least one number; they sort by the first one."""
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
                    for cell, text in cells:
                        cell.attrSet("class", "number")
                        if cell.type == "td_open":
                            cell.attrSet("data-sort", sort_key(text))


def sort_key(text: str) -> str:
    """Return the number by which a cell of a column of numbers is sorted, empty for one without; `< 1` is below 1."""
    found = re.search(r"([-+]?)\s?(\d[\d.,]*)", text)
    if found is None:
        return ""
    below = 1e-9 if text.startswith("<") else 0.0
    return repr(float(found[1] + found[2].replace(",", "").rstrip(".")) - below)


def wrap_tables(tokens: Sequence[Token], folder: Path) -> Iterator[Token]:
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
            rows = sum(each.type == "tr_open" for each in until(tokens, position, "table_close")) - 1
            if rows >= FILTER_FROM:
                yield _html(f'<input type="search" class="filter" placeholder="Filter {rows} rows" hidden>\n')
            yield _html('<div class="table" tabindex="0" role="region" aria-label="table">\n')
            token.attrSet("class", "sortable n-last")
        yield token
        if token.type == "table_close":
            yield _html("</div>\n")
        position += 1


def fold(tokens: Sequence[Token], folded: Collection[str]) -> Iterator[Token]:
    """Put every section below its heading, which opens and closes it, and what is more than a few items of a list, too.

    folded: headings of sections that are closed at first.
    """
    inside, items, left = False, 0, 0
    for position, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag == "h2":
            state = "" if tokens[position + 1].content in folded else " open"
            yield _html(f'{"</details>" * inside}<details class="section"{state}><summary>\n')
            inside = True
        elif token.type == "bullet_list_open" and token.level == 0:
            listed = until(tokens, position, "bullet_list_close")
            items = left = sum(each.type == "list_item_open" and each.level == 1 for each in listed)
        elif token.type == "list_item_open" and token.level == 1:
            if left == items - MAX_ITEMS and left > 1:
                yield _html(f'</ul><details class="more"><summary>{left} more</summary><ul>\n')
            left -= 1
        yield token
        if token.type == "heading_close" and token.tag == "h2":
            yield _html("</summary>\n")
        elif token.type == "bullet_list_close" and token.level == 0 and items > MAX_ITEMS + 1:
            yield _html("</details>\n")
    yield _html("</details>\n" * inside)


def until(tokens: Sequence[Token], start: int, kind: str) -> Iterator[Token]:
    """Yield the tokens from `start` to the first of a kind at the same level."""
    for token in tokens[start:]:
        if token.type == kind and token.level == tokens[start].level:
            return
        yield token


def _html(content: str) -> Token:
    return Token("html_block", "", 0, content=content)


def figure(caption: str, path: Path) -> str:
    """Return an image as a `<figure>`: a plot of the data beside `path`, and the picture itself where that can't be."""
    if not path.is_file():
        raise SigjepaError(f"The report shows {path}, which is not there; write the report again.")
    content = base64.b64encode(path.read_bytes()).decode()
    picture = f'<img alt="{escape(caption)}" src="data:image/png;base64,{content}">'
    panels = path.with_suffix(".json")
    if panels.is_file():
        data = f'<script type="application/json">{script_json(read_json(panels))}</script>'
        drawn = f'<div class="plot" role="group" aria-label="{escape(caption)}">{data}</div>'
        drawn += f"<noscript>{picture}</noscript>"
    else:
        drawn = picture
    return f"<figure>{drawn}<figcaption>{escape(caption)}</figcaption></figure>\n"


def script_json(value: Mapping[str, Any] | Sequence[Any] | str) -> str:
    """Return the compact JSON without a sign that HTML or a script could read as its own."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).translate(ESCAPES)
