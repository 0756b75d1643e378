"""Terminal output: tables that fit, and lines of jobs that run side by side told apart."""

import itertools
import logging
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO

WIDTH = 100


def show(*texts: str) -> None:
    """Print `texts`, a blank line between two, their Markdown tables at most 100 columns wide."""
    print("\n\n".join(fit_tables(text) for text in texts), flush=True)


def printable(text: str) -> str:
    """Return `text` as one line that moves no terminal: spaces stand for line breaks and escapes."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def fit_tables(text: str, width: int = WIDTH) -> str:
    """Return `text` with the cells of every Markdown table that is wider than `width` wrapped into several lines."""
    lines: list[str] = []
    for cells, group in itertools.groupby(text.split("\n"), key=lambda line: len(_cells(line))):
        block = list(group)
        lines += _fit_table(block, width) if cells else block
    return "\n".join(lines)


def _cells(line: str) -> list[str]:
    """Return the cells of a line of a Markdown table; none of another line."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]] if line.startswith("|") else []


def _fit_table(table: Sequence[str], width: int) -> list[str]:
    if max(map(len, table)) <= width:
        return list(table)
    rows = [_cells(line) for line in table]
    columns = list(zip(*(row for row in rows if not _is_rule(row)), strict=True))
    room = width - 3 * len(columns) - 1
    widths = _narrowed([max(map(len, column)) for column in columns], columns, room)
    fitted = []
    for row in rows:
        if _is_rule(row):
            fitted.append(f"|{'|'.join('-' * (size + 2) for size in widths)}|")
            continue
        cells = [_wrap(cell, size) for cell, size in zip(row, widths, strict=True)]
        for number in range(max(map(len, cells))):
            parts = [cell[number] if number < len(cell) else "" for cell in cells]
            fitted.append(f"| {' | '.join(part.ljust(size) for part, size in zip(parts, widths, strict=True))} |")
    return fitted


def _narrowed(widths: list[int], columns: Sequence[Sequence[str]], room: int) -> list[int]:
    """Return the widths that fit into `room`: first headers over narrow columns are wrapped, then the widest, words
    kept whole.
    """
    words = [max(len(word.rstrip()) for cell in column for word in _words(cell)) for column in columns]
    bodies = [max(map(len, column[1:]), default=0) for column in columns]
    for least in ([max(pair) for pair in zip(words, bodies, strict=True)], words, [1] * len(words)):
        while sum(widths) > room:
            column = max(range(len(widths)), key=lambda number: (widths[number] > least[number], widths[number]))
            if widths[column] <= least[column]:
                break
            widths[column] -= 1
    return widths


def _words(text: str) -> list[str]:
    """Return where a cell may be broken: after spaces, slashes and commas."""
    return re.findall(r"[^ /,]*[ /,]?", text)


def _wrap(text: str, width: int) -> list[str]:
    lines = [""]
    for word in _words(text):
        if len((lines[-1] + word).rstrip()) > width and lines[-1]:
            lines.append("")
        lines[-1] += word
        while len(lines[-1].rstrip()) > width:
            lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return [line.rstrip() for line in lines]


def _is_rule(row: Sequence[str]) -> bool:
    return all(cell and not cell.strip("-:") for cell in row)


class RewrittenStream:
    """A text stream whose text is rewritten on its way; everything else is the stream's own."""

    def __init__(self, stream: TextIO, rewrite: Callable[[str], str]) -> None:
        self._stream = stream
        self._rewrite = rewrite

    def write(self, text: str) -> int:
        """Write `text`, rewritten; returns its length, as a stream does."""
        self._stream.write(self._rewrite(text))
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


class _Label:
    """Begin every line with a label."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._at_start = True

    def __call__(self, text: str) -> str:
        lines = []
        for line in text.splitlines(keepends=True):
            lines.append(f"[{self._label}] {line}" if self._at_start and line.strip() else line)
            self._at_start = line.endswith(("\n", "\r"))
        return "".join(lines)


@contextmanager
def labeled_lines(label: str) -> Iterator[None]:
    """Context manager: lines that this process prints or logs to a terminal begin with `label`, if there is one."""
    if not label:
        yield
        return
    streams = {id(stream): RewrittenStream(stream, _Label(label)) for stream in (sys.stdout, sys.stderr)}
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.StreamHandler)]
    with ExitStack() as stack:
        for handler in handlers:
            if labeled := streams.get(id(handler.stream)):
                stack.callback(handler.setStream, handler.stream)
                handler.setStream(labeled)
        stack.enter_context(redirect_stdout(streams[id(sys.stdout)]))  # type: ignore[type-var]
        stack.enter_context(redirect_stderr(streams[id(sys.stderr)]))  # type: ignore[type-var]
        yield
