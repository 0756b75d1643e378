"""What a person sees of a command: tables that fit, and lines of jobs that run side by side told apart."""

import logging
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO

WIDTH = 100


def show(*texts: str) -> None:
    """Print `texts`, a blank line between two, their Markdown tables at most 100 columns wide."""
    print("\n\n".join(fit_tables(text) for text in texts), flush=True)


def fit_tables(text: str, width: int = WIDTH) -> str:
    """Return `text` with the cells of every Markdown table that is wider than `width` wrapped into several lines."""
    lines: list[str] = []
    table: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            table.append(line)
            continue
        lines += _fit_table(table, width)
        table = []
        lines.append(line)
    return "\n".join(lines[:-1])


def _fit_table(table: Sequence[str], width: int) -> list[str]:
    if not table or max(map(len, table)) <= width:
        return list(table)
    rows = [[cell.strip() for cell in line.replace("\\|", "\0").strip("|").split("|")] for line in table]
    widths = [max(map(len, column)) for column in zip(*(row for row in rows if not _is_rule(row)), strict=True)]
    while sum(widths) + 3 * len(widths) + 1 > width and max(widths) > 1:
        widths[widths.index(max(widths))] -= 1
    fitted = []
    for row in rows:
        if _is_rule(row):
            fitted.append(f"|{'|'.join('-' * (size + 2) for size in widths)}|")
            continue
        cells = [
            textwrap.wrap(cell.replace("/", "/\u200b"), size) or [""] for cell, size in zip(row, widths, strict=True)
        ]
        for number in range(max(map(len, cells))):
            parts = [cell[number] if number < len(cell) else "" for cell in cells]
            fitted.append(f"| {' | '.join(part.ljust(size) for part, size in zip(parts, widths, strict=True))} |")
    return [line.replace("\0", "\\|") for line in fitted]


def _is_rule(row: Sequence[str]) -> bool:
    return all(cell and not cell.strip("-:") for cell in row)


class LabelledStream:
    """A text stream that begins every line with a label. Everything else is the stream's own."""

    def __init__(self, stream: TextIO, label: str) -> None:
        self._stream = stream
        self._label = label
        self._at_start = True

    def write(self, text: str) -> int:
        """Write `text`; returns its length, as a stream does."""
        for line in text.splitlines(keepends=True):
            self._stream.write(f"[{self._label}] {line}" if self._at_start and line.strip() else line)
            self._at_start = line.endswith(("\n", "\r"))
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


@contextmanager
def labelled_lines(label: str) -> Iterator[None]:
    """Context manager: lines that this process prints or logs to a terminal begin with `label`, if there is one."""
    if not label:
        yield
        return
    streams = {id(stream): LabelledStream(stream, label) for stream in (sys.stdout, sys.stderr)}
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.StreamHandler)]
    with ExitStack() as stack:
        for handler in handlers:
            if labelled := streams.get(id(handler.stream)):
                stack.callback(handler.setStream, handler.stream)
                handler.setStream(labelled)
        stack.enter_context(redirect_stdout(streams[id(sys.stdout)]))  # type: ignore[type-var]
        stack.enter_context(redirect_stderr(streams[id(sys.stderr)]))  # type: ignore[type-var]
        yield
