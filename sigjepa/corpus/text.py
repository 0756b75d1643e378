"""Source text addressed as `ast` addresses it: lines from 1, columns in UTF-8 bytes."""

import io
import re
import tokenize

LEADING_WHITESPACE = re.compile(r"[ \t\f]*")


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


def may_span_lines(code: str) -> bool:
    """Return whether a string literal may go on in a next line: few texts have a triple quote or such a backslash."""
    if '"""' in code or "'''" in code:
        return True
    lines = code.split("\n")[:-1] if "\\\n" in code else []
    return any(line.endswith("\\") and ('"' in line or "'" in line) for line in lines)


def literal_lines(code: str) -> set[int]:
    """Return the numbers of the lines of Python code that start inside a string literal, where indentation is content.

    An f-string counts as a whole, as Python up to 3.11 reads it. Raises TokenError or SyntaxError for code that is no
    Python.
    """
    inside: set[int] = set()
    starts: list[int] = []
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        kind = tokenize.tok_name[token.type]
        if kind in ("FSTRING_START", "TSTRING_START"):
            starts.append(token.start[0])
        elif kind in ("FSTRING_END", "TSTRING_END"):
            inside.update(range(starts.pop() + 1, token.end[0] + 1))
        elif kind == "STRING":
            inside.update(range(token.start[0] + 1, token.end[0] + 1))
    return inside


def dedent(line: str, margin: str) -> str:
    """Return `line` without the part of `margin` that it starts with, and without form feeds, which reset it."""
    if "\f" in line:
        line = line[leading_whitespace(line).rfind("\f") + 1 :]
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

    def between(self, start: tuple[int, int], end: tuple[int, int]) -> list[str]:
        """Return the lines between two (line, column in characters) positions, as they are."""
        (first, start_column), (last, end_column) = start, end
        lines = self.lines[first - 1 : last]
        lines[-1] = lines[-1][:end_column]
        lines[0] = lines[0][start_column:]
        return lines

    def cut(self, start: tuple[int, int], end: tuple[int, int], margin: str) -> str:
        """Return the text between two (line, column in characters) positions, dedented by `margin`.

        Lines that start inside a string literal stay as they are.
        """
        cut = self.between(start, end)
        before_last = "\n".join([*cut[:-1], ""])
        literal = literal_lines("\n".join(cut)) if may_span_lines(before_last) else ()
        cut[0] = cut[0].lstrip(" \t\f")
        for position in range(1, len(cut)):
            if position + 1 not in literal:
                cut[position] = dedent(cut[position], margin)
        return "\n".join(cut)


def indent_source(text: str, indentation: str) -> str:
    """Return Python statements moved right by `indentation`, strings untouched; what is no Python moves whole."""
    try:
        literal = literal_lines(text) if may_span_lines(text) else set()
    except (tokenize.TokenError, SyntaxError):
        literal = set()
    return "\n".join(
        indentation + line if line and number not in literal else line
        for number, line in enumerate(text.split("\n"), start=1)
    )
