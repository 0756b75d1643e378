"""Asking for queries in a terminal, one after the other."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from sigjepa.errors import SigjepaError
from sigjepa.serving.answer import Result
from sigjepa.serving.query import EXPECTED, Query, read_query
from sigjepa.serving.result_text import show_results


class Search(Protocol):
    """What answers queries, here or on another machine."""

    def __len__(self) -> int: ...

    def search(self, query: Query, top_k: int) -> Sequence[Result]:
        """Return the `top_k` best functions for a query."""


def ask(search: Search, top_k: int, lines: int | None) -> None:
    """Ask for queries until there is none; a number shows the whole of a result of the last.

    top_k: results of a query. lines: of each body that are shown; None is all.
    """
    print(f"{len(search):,} functions. {EXPECTED}; a number shows all of a result; an empty line ends.")
    last: tuple[Any, Sequence[Any]] = (None, ())
    while text := prompt():
        if text.isdecimal() and 1 <= int(text) <= len(last[1]):
            show_results(None, [last[1][int(text) - 1]], None)
            continue
        try:
            query = read_query(text)
        except SigjepaError as error:
            print(error)
            continue
        last = query, search.search(query, top_k)
        show_results(*last, lines)


def prompt() -> str:
    """Return a line that is typed; an empty one at the end of the input, or when it is broken off."""
    with suppress(ImportError):
        import readline  # noqa: F401, PLC0415 - arrows and a history, where there is one
    try:
        return input("\nquery> ").strip()
    except (EOFError, KeyboardInterrupt):
        return ""
