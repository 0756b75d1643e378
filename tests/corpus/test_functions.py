import sys
from pathlib import Path
from textwrap import dedent

import pytest

from sigjepa.corpus.functions import Function, extract_functions, is_test_path
from sigjepa.corpus.skip_reasons import SKIP_REASONS


def extract(source: str | bytes, **options: int) -> list[Function]:
    content = source if isinstance(source, bytes) else source.encode()
    return extract_functions(content, repository="r", path="a.py", **{"min_body_statements": 1} | options)[0]


def skipped(source: str | bytes, **options: int) -> dict[str, int]:
    content = source if isinstance(source, bytes) else source.encode()
    functions, counts = extract_functions(content, repository="r", path="a.py", **options)
    assert not functions
    assert set(counts) <= set(SKIP_REASONS)
    return dict(counts)


def halves(source: str | bytes) -> tuple[str, str]:
    (function,) = extract(source)
    return function.signature, function.body


CASES = Path(__file__).parent / "cases"


def test_a_method_gives_dedented_halves_without_its_docstring() -> None:
    source = dedent(
        '''
        class Shape:
            @property
            @cache(size=2)  # why
            def area(
                self,
                unit: str = "m:2",  # colon: here
            ) -> "Area":
                """What it covers.

                In square units.
                """
                # first the sides
                a, b = self.sides

                return Area(
                    a * b,
                    unit,
                )  # done
        '''
    )
    (function,) = extract(source)
    assert function.qualname == "Shape.area"
    assert function.line == 5
    assert function.signature == (
        '@property\n@cache(size=2)  # why\ndef area(\n    self,\n    unit: str = "m:2",  # colon: here\n) -> "Area":'
    )
    assert function.docstring == "What it covers.\n\nIn square units."
    assert function.body == ("# first the sides\na, b = self.sides\n\nreturn Area(\n    a * b,\n    unit,\n)  # done")


@pytest.mark.parametrize(
    ("source", "signature", "body"),
    [
        ("def f(x): return x", "def f(x):", "return x"),
        ("def f(x): y = x; return y  # ok", "def f(x):", "y = x; return y  # ok"),
        ("def f(x): 'doc'; return x", "def f(x):", "return x"),
        ("def f(x):\n    'doc'; y = x\n    return y", "def f(x):", "y = x\nreturn y"),
        ("def f(x):\n    y = x; return y;", "def f(x):", "y = x; return y"),
        ("async def f(x):\n    await x", "async def f(x):", "await x"),
        ("def f(x):\n\ty = x\n\tif y:\n\t\treturn y", "def f(x):", "y = x\nif y:\n\treturn y"),
        ("def f(x):\r\n    y = x\r\n    return y\r\n", "def f(x):", "y = x\nreturn y"),
        ("def f(x):\n    y = x\n\f\n    return y", "def f(x):", "y = x\n\nreturn y"),
        ("def f(x):\n    y = x\n\f    return y", "def f(x):", "y = x\nreturn y"),
        ("def f ( ) : # a: b\n    return 1", "def f ( ) :", "return 1"),
        ("def f(\n    x,  # a: b\n):\n    return x", "def f(\n    x,  # a: b\n):", "return x"),
        ("def f(x) \\\n  :\n    return x", "def f(x) \\\n  :", "return x"),
        ("def f() -> (lambda: 0):\n    return 1", "def f() -> (lambda: 0):", "return 1"),
        ("def f(x=lambda y: y, *a, z: 'c:d' = {1: 2}, **k): return x", None, "return x"),
        ("def f(x):\n    @deco\n    class A: pass\n    return A", "def f(x):", "@deco\nclass A: pass\nreturn A"),
        ("def f(x):\n    é = 'ü'; return é", "def f(x):", "é = 'ü'; return é"),
        ("def f(é='ü'): return é", "def f(é='ü'):", "return é"),
        ("@(\n  # c\n  deco\n)\ndef f(x): return x", "@(\n  # c\n  deco\n)\ndef f(x):", "return x"),
        ("if 1:\n  def f(x): return g(x,\n                    y)", "def f(x):", "return g(x,\n                  y)"),
    ],
)
def test_ways_to_write_a_function(source: str, signature: str | None, body: str) -> None:
    assert halves(source) == (signature or source.removesuffix(" return x"), body)


def test_contents_of_multi_line_strings_are_not_dedented() -> None:
    source = 'class A:\n    def f(x="""\n    a"""):\n        y = """\n        b"""\n        return y\n'
    assert halves(source) == ('def f(x="""\n    a"""):', 'y = """\n        b"""\nreturn y')


def test_implicitly_joined_strings_are_dedented() -> None:
    source = 'def f(x):\n    raise E("a"\n            f"b{x}")\n'
    assert halves(source)[1] == 'raise E("a"\n        f"b{x}")'


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfdef f(x):\n    return '\xc3\xa9'",
        b"# coding: latin-1\ndef f(x):\n    return '\xe9'",
    ],
)
def test_encodings(content: bytes) -> None:
    assert halves(content) == ("def f(x):", "return 'é'")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 695 needs Python 3.12")
def test_type_parameters() -> None:
    assert halves("def f[T: (int, str)](x: T) -> T: return x")[0] == "def f[T: (int, str)](x: T) -> T:"
    assert halves("def f[T: int](): return 1")[0] == "def f[T: int]():"


def test_nested_functions_are_records_and_stay_in_the_outer_body() -> None:
    source = dedent(
        """
        def outer(x):
            class Local:
                def method(self):
                    return x
            async def inner(y):
                return y
            return inner
        try:
            import a
        except ImportError:
            def fallback(x):
                return x
        match x:
            case 1:
                def matched(x): return x
        """
    )
    functions = {function.qualname: function for function in extract(source)}
    assert list(functions) == [
        "outer",
        "outer.<locals>.Local.method",
        "outer.<locals>.inner",
        "fallback",
        "matched",
    ]
    assert "async def inner(y):\n    return y" in functions["outer"].body
    assert functions["outer.<locals>.inner"].signature == "async def inner(y):"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def f(x): ...", "stub"),
        ("def f(x): pass", "stub"),
        ("def f(x):\n    '''Only said.'''", "stub"),
        ("def f(x):\n    '''Doc.'''\n    pass", "stub"),
        ("@typing.overload\ndef f(x):\n    y = x\n    return y", "overload"),
        ("@abstractmethod\ndef f(x):\n    y = x\n    return y", "abstract"),
        ("@abc.abstractmethod\ndef f(x): ...", "abstract"),
        ("def f(x):\n    raise NotImplementedError", "abstract"),
        ("def f(x):\n    m = 'no'\n    raise exceptions.NotImplementedError(m)", "abstract"),
        ("def f(x):\n    return x", "short_body"),
        ("def f(x):\n    if x:\n        pass", None),
        ("def f(x):\n    y = x\n    raise ValueError(y)", None),
        ("def f(x):\n    g(x)\n    raise NotImplementedError", None),
    ],
)
def test_functions_skipped_by_reason(source: str, reason: str | None) -> None:
    if reason is None:
        assert len(extract(source, min_body_statements=2)) == 1
    else:
        assert skipped(source) == {reason: 1}


def test_long_bodies_are_skipped_at_the_line_after_the_limit() -> None:
    source = "def f(x):\n" + "    x += 1\n" * 5
    assert len(extract(source, max_body_lines=5)) == 1
    assert skipped(source, max_body_lines=4) == {"long_body": 1}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"# Generated by the protocol buffer compiler.  DO NOT EDIT!\n", "generated_file"),
        (b"#!/usr/bin/env python\n# @generated\n", "generated_file"),
        (b'"""This file is generated by tool."""\n', "generated_file"),
        (b"#      This file was automatically generated from a.py.\n", "generated_file"),
        (b"x = '\xe9'\n", "undecodable_file"),
        (b"# coding: no-such-thing\n", "undecodable_file"),
        (b"def f(:\n", "syntax_error"),
        (b"x = '\0'\n", "syntax_error"),
        (b"print 'two'\n", "syntax_error"),
        (b"x = 1\r# @generated\r", "generated_file"),
    ],
)
def test_files_skipped_by_reason(content: bytes, reason: str) -> None:
    assert skipped(content + b"def f(x):\n    y = x\n    return y\n") == {reason: 1}


def test_files_over_the_limit_are_skipped() -> None:
    assert skipped(b"x = 1\n" * 100, max_file_bytes=599) == {"oversized_file": 1}


def test_a_file_too_deep_to_parse_is_counted() -> None:
    reasons = skipped("x = " + "-" * 100_000 + "1")
    assert reasons in ({"too_deeply_nested": 1}, {"syntax_error": 1})  # which of them depends on the interpreter


def test_a_marker_deep_in_a_file_or_in_prose_is_no_generated_file() -> None:
    function = "def f(x):\n    return x\n"
    assert extract("x = 1\n" * 30 + "# DO NOT EDIT\n" + function)
    assert extract('"""Reads the tables generated by the compiler."""\n' + function)


def test_half_a_surrogate_pair_in_a_docstring_does_not_reach_the_corpus() -> None:
    (function,) = extract("def f(x):\n    '\\ud800'\n    return x")
    assert function.docstring == "?"


def test_invalid_escapes_in_their_strings_are_not_our_warnings(recwarn: pytest.WarningsRecorder) -> None:
    assert extract("def f(x):\n    return '\\d'")
    assert not recwarn.list


def test_the_key_is_of_both_halves_alone() -> None:
    (first,) = extract("def f(x):\n    return x")
    (second,) = extract("\n\nclass A:\n    def f(x):\n        'Doc.'\n        return x")
    (third,) = extract("def g(x):\n    return x")
    assert first.key == second.key != third.key


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tests/a.py", True),
        ("pkg/test/a.py", True),
        ("pkg/test_a.py", True),
        ("a_test.py", True),
        ("pkg/conftest.py", True),
        ("pkg/tests.py", True),
        ("pkg/testing/a.py", False),
        ("pkg/latest.py", False),
        ("pkg/contest.py", False),
    ],
)
def test_test_code_is_known_by_its_path(path: str, expected: bool) -> None:
    assert is_test_path(path) is expected


def test_what_only_carriage_returns_separate_is_looked_for_in_the_first_lines() -> None:
    (function,) = extract((CASES / "carriage_returns_only.txt").read_bytes())
    assert (function.qualname, function.line) == ("read", 4)
    assert function.body.startswith(
        "with io.open(path, encoding=encoding) as stream:\n    data = stream.read()\nreturn"
    )
    late_marker = b"\r" * 30 + b"# @generated\r" + b"def f(x):\r    y = x\r    return y\r"
    assert len(extract(late_marker)) == 1


def test_a_line_after_a_backslash_is_dedented_like_the_rest() -> None:
    (function,) = extract((CASES / "continued_lines.txt").read_bytes())
    assert function.body == 'text = "good " \\\n    "morning"\nreturn text'
    in_a_literal = 'class A:\n    def f(self):\n        text = "good \\\n        morning"\n        return text\n'
    assert halves(in_a_literal)[1] == 'text = "good \\\n        morning"\nreturn text'
