"""Results as text: where each function is, its code, and why it was found."""

import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.syntax import Syntax
from rich.text import Text

from sigjepa.runtime.terminal import WIDTH, printable
from sigjepa.serving.answer import Result, Share
from sigjepa.serving.query import Query

LABELS = {"pooled": "embedding"}
"""What a view is called where its name says it to the makers of students alone."""
MAX_SHOWN_TERMS = 4
MIN_SHOWN_SHARE = 0.05
MIN_SHOWN_VALUE = 0.05


def show_results(query: Query | None, results: Sequence[Result], lines: int | None) -> None:
    """Print results, highlighted where a terminal shows it. query: whose note is printed first. lines: of code each."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = WIDTH
    if query is not None and query.note is not None:
        console.print(Text(printable(query.note), "yellow"))
    for number, result in enumerate(results, 1):
        console.print()
        console.print(heading(number, result))
        shown, left = code_of(result, lines)
        if console.is_terminal:
            code = Syntax(shown, "python", theme="ansi_dark", background_color="default")
            console.print(Padding(code, (0, 0, 0, 4), expand=False))
        else:
            console.print(Text(textwrap.indent(shown, "    ")))
        if left:
            console.print(Text(f"    … {left} more lines", "dim"))
        if result.why:
            why = textwrap.wrap(f"why: {why_text(result.why)}", WIDTH - 9, break_on_hyphens=False)
            console.print(Text(textwrap.indent("\n     ".join(why), "    "), "cyan"))
    if not results:
        console.print("The index has no other function.")


def heading(number: int, result: Result) -> Text:
    """Return the line above a result."""
    text = Text(f"{number}  ", "bold")
    text.append(f"{printable(result.repository)} ", "dim")
    text.append(f"{printable(result.path)}:{result.line}", "bold")
    text.append(f"  {printable(result.qualname)}  score {result.score:.1f}", "dim")
    if result.changed:
        text.append(f"  [the file was {result.changed} since it was indexed]", "red")
    return text


def code_of(result: Result, lines: int | None) -> tuple[str, int]:
    """Return the first lines of a function's code, without what moves a terminal, and how many more there are."""
    code = f"{result.signature}\n{textwrap.indent(result.body, '    ')}".replace("\t", "    ")
    safe = ["".join(letter if letter.isprintable() else "�" for letter in line) for line in code.splitlines()]
    shown = safe if lines is None else safe[:lines]
    return "\n".join(shown), len(safe) - len(shown)


def label_of(view: str) -> str:
    """Return what a view is called."""
    return LABELS.get(view, view.replace("_", " "))


def shown_shares(shares: Sequence[Share]) -> list[Share]:
    """Return the views that count, the strongest first: none below MIN_SHOWN_SHARE of the strongest."""
    ordered = sorted(shares, key=lambda share: -abs(share.value))
    return [share for share in ordered if abs(share.value) >= MIN_SHOWN_SHARE * abs(ordered[0].value) and share.value]


def why_text(shares: Sequence[Share]) -> str:
    """Return what a score is the sum of, in words: each view, and the terms of it that count."""
    parts = []
    for share in shown_shares(shares):
        terms = [
            f"{'expected ' if term.predicted else ''}{printable(term.text)} {term.value:+.1f}"
            for term in share.terms[:MAX_SHOWN_TERMS]
        ]
        others = share.others + sum(term.value for term in share.terms[MAX_SHOWN_TERMS:])
        if abs(others) >= MIN_SHOWN_VALUE:
            terms.append(f"all others {others:+.1f}")
        parts.append(f"{label_of(share.view)} {share.value:+.1f}" + (f" ({', '.join(terms)})" if terms else ""))
    return " · ".join(parts)
