"""Results as text: where each function is, its code, and why it was found."""

import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.syntax import Syntax
from rich.text import Text

from sigjepa.corpus.text import indent_source
from sigjepa.data.shares import why_text
from sigjepa.runtime.terminal import WIDTH, printable
from sigjepa.serving.answer import Result
from sigjepa.serving.query import Query


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
    code = f"{result.signature}\n{indent_source(result.body, '    ')}".replace("\t", "    ")
    safe = ["".join(letter if letter.isprintable() else "�" for letter in line) for line in code.splitlines()]
    shown = safe if lines is None else safe[:lines]
    return "\n".join(shown), len(safe) - len(shown)
