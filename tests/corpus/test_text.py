import ast
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.corpus.text import SourceText, decode_source, dedent, indent_source, literal_lines, may_span_lines


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"x = 1\r\ny = 2\r\n", "x = 1\ny = 2\n"),
        (b"x = 1\ry = 2", "x = 1\ny = 2"),
        (b"\xef\xbb\xbfname = '\xc3\xa9'", "name = 'é'"),
        (b"# -*- coding: latin-1 -*-\nname = '\xe9'", "# -*- coding: latin-1 -*-\nname = 'é'"),
        ("# coding: koi8-r\nname = 'Ж'".encode("koi8-r"), "# coding: koi8-r\nname = 'Ж'"),
        (b"#\r# coding: latin-1\rx = '\xe9'", "#\n# coding: latin-1\nx = 'é'"),
        (b"#\r\rx = '# coding: latin-1 \xc3\xa9'", "#\n\nx = '# coding: latin-1 é'"),
    ],
)
def test_decoding_follows_marks_and_cookies(content: bytes, text: str) -> None:
    assert decode_source(content) == text


@pytest.mark.parametrize(
    "content", [b"name = '\xe9'", b"# coding: no-such\n", b"# coding: rot13\n", b"# coding: utf-7\nx = '+2AA-'\n"]
)
def test_what_does_not_decode_raises_what_is_documented(content: bytes) -> None:
    with pytest.raises((UnicodeError, LookupError, SyntaxError)):
        decode_source(content)


def test_columns_count_characters_where_ast_counts_bytes() -> None:
    text = SourceText("é = 'ü'; x = 1")
    offset = ast.parse(text.lines[0]).body[1].col_offset
    assert text.lines[0][text.column(1, offset) :] == "x = 1"


@pytest.mark.parametrize(
    ("line", "margin", "expected"),
    [
        ("        x", "    ", "    x"),
        ("  # far left", "    ", "# far left"),
        ("\t\tx", "\t", "\tx"),
        ("\f    x", "    ", "x"),
        ("    \f        x", "    ", "    x"),
        ("", "    ", ""),
        ("  ", "    ", ""),
    ],
)
def test_dedent(line: str, margin: str, expected: str) -> None:
    assert dedent(line, margin) == expected


def test_lines_inside_of_literals_are_found() -> None:
    source = 'a = """one\n two\n"""\nb = ("x"\n     "y")\nc = f"""{a}\n  {b}"""\nd = "e\\\n f"\n'
    assert literal_lines(source) == {2, 3, 7, 9}


@given(st.text("\"'\\\n\r a", max_size=30))
def test_a_string_may_span_lines_by_triple_quotes_or_a_backslash_behind_a_quote(code: str) -> None:
    assert may_span_lines(code) is (re.search(r"""\"{3}|'{3}|["'][^\n]*\\\n""", code) is not None)


def test_a_long_line_of_strings_is_looked_at_once() -> None:
    code = "x = 1 + \\\n    2\ny = [" + "'a', " * 100_000 + "]\n"
    assert not may_span_lines(code)  # many minutes, if each quote were followed to the end of its line


def test_lines_that_a_backslash_joins_between_literals_are_not_inside_of_one() -> None:
    assert literal_lines('a = "x" \\\n  "y"\nb = ("""z""" +\n  "w")\n') == set()


def test_indenting_leaves_strings_and_empty_lines_alone() -> None:
    body = 'x = """one\n two"""\n\nif x:\n    return x'
    indented = indent_source(body, "    ")
    assert indented == '    x = """one\n two"""\n\n    if x:\n        return x'
    assert indent_source("not python at all", "  ") == "  not python at all"
