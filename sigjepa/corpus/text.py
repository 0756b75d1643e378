"""Source text addressed as `ast` addresses it: lines from 1, columns in UTF-8 bytes."""

import ast
import io
import re
import tokenize
from collections.abc import Iterable

LEADING_WHITESPACE = re.compile(r"[ \t\f]*")
STRING_NODES: tuple[type[ast.AST], ...] = tuple(
    getattr(ast, name) for name in ("JoinedStr", "TemplateStr") if hasattr(ast, name)
)


def decode_source(content: bytes) -> str:
    r"""Return the text of a Python file, by its byte-order mark or encoding cookie, with every line end as `\n`.

    Raises UnicodeError, LookupError (the cookie is no text encoding) or SyntaxError (the cookie is unknown).
    """
    # Python ends the lines first: the cookie stands in the first two of them, whatever ends them
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    encoding, _ = tokenize.detect_encoding(io.BytesIO(lines).readline)
    return plain_text(lines.decode(encoding))


def plain_text(text: str) -> str:
    r"""Return `text` with every line end as `\n`; raises UnicodeError for half a surrogate, which no file holds."""
    text.encode("utf-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def writable(name: str) -> str:
    """Return a name from a disk or a file of rows in letters that UTF-8 can hold; odd bytes are spelt out."""
    return name.encode("utf-8", "backslashreplace").decode()


def leading_whitespace(line: str) -> str:
    """Return the blanks, tabs and form feeds that `line` starts with."""
    match = LEADING_WHITESPACE.match(line)
    return match.group() if match else ""


def may_continue_literal(line: str) -> bool:
    """Return whether the next line may start inside a string literal of this one."""
    return '"""' in line or "'''" in line or line.endswith("\\")


def literal_lines(nodes: Iterable[ast.AST], lines: list[str]) -> set[int]:
    """Return the numbers of the lines that start inside a string literal, where indentation is content.

    Literals are not lexed: when a string expression holds a triple quote or a backslash at a line end, all of its
    lines but the first count. Such a line keeps its indentation, which inside an expression is always valid.
    """
    inside: set[int] = set()
    stack = list(nodes)
    while stack:
        node = stack.pop()
        if isinstance(node, STRING_NODES) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)):
            first, last = node.lineno, node.end_lineno  # type: ignore[attr-defined]
            if first != last and any(map(may_continue_literal, lines[first - 1 : last])):
                inside.update(range(first + 1, last + 1))
        else:  # the positions inside an f-string are wrong before Python 3.12, so strings are not entered
            stack.extend(ast.iter_child_nodes(node))
    return inside


def dedent(line: str, margin: str) -> str:
    """Return `line` without the part of `margin` that it starts with, and without form feeds, which reset it."""
    blank = leading_whitespace(line)
    if "\f" in blank:
        line = line[blank.rindex("\f") + 1 :]
    if line.startswith(margin):
        return line[len(margin) :]
    shared = 0
    while shared < len(line) and line[shared] == margin[shared]:
        shared += 1
    return line[shared:]


class SourceText:
    """The lines of one decoded Python file, from which signatures and bodies are cut."""

    def __init__(self, text: str):
        self.lines = text.split("\n")  # not splitlines(): form feeds and U+2028 do not end a Python line

    def column(self, line: int, offset: int) -> int:
        """Return the position in characters of the UTF-8 `offset` that `ast` reports for `line`."""
        text = self.lines[line - 1]
        return offset if text.isascii() else len(text.encode()[:offset].decode())

    def margin(self, line: int) -> str:
        """Return the leading whitespace of `line`, as Python sees it (what precedes a form feed does not count)."""
        return leading_whitespace(self.lines[line - 1]).rpartition("\f")[2]

    def cut(self, start: tuple[int, int], end: tuple[int, int], margin: str, nodes: Iterable[ast.AST]) -> str:
        """Return the text between two (line, column in characters) positions, dedented by `margin`.

        `nodes` are the syntax trees of that text: lines that start inside one of their string literals stay as is.
        """
        (first, start_column), (last, end_column) = start, end
        cut = self.lines[first - 1 : last]
        cut[-1] = cut[-1][:end_column]
        cut[0] = cut[0][start_column:].lstrip(" \t\f")
        if first == last:
            return cut[0]
        literal = literal_lines(nodes, self.lines) if any(map(may_continue_literal, cut)) else set()
        for position in range(1, len(cut)):
            if first + position not in literal:
                cut[position] = dedent(cut[position], margin)
        return "\n".join(cut)


def indent_source(text: str, indentation: str) -> str:
    """Return Python statements moved right by `indentation`, string contents untouched; what does not parse moves
    whole.
    """
    lines = text.split("\n")
    try:
        literal = literal_lines([ast.parse(text)], lines)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        literal = set()
    return "\n".join(
        indentation + line if line and number not in literal else line for number, line in enumerate(lines, start=1)
    )
