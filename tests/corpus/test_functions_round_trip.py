"""Signature and body, put together again, must parse to the syntax tree that they were cut from."""

import ast
import sysconfig
import warnings
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.corpus.functions import definitions, extract_functions
from sigjepa.corpus.text import indent_source

MODULES = [
    "argparse",
    "ast",
    "dataclasses",
    "difflib",
    "doctest",
    "enum",
    "functools",
    "inspect",
    "pathlib",
    "pickletools",
    "subprocess",
    "tarfile",
    "textwrap",
    "turtle",
    "typing",
    "zipfile",
    "asyncio/base_events",
    "email/message",
]


def assert_round_trip(content: bytes) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        originals = defaultdict(list)
        for node, qualname in definitions(ast.parse(content)):
            originals[qualname, node.lineno].append(node)
        functions, _ = extract_functions(
            content, repository="r", path="a.py", min_body_statements=1, max_body_lines=10**6, max_file_bytes=10**9
        )
        for function in functions:
            (node,) = originals[function.qualname, function.line]
            if (docstring := ast.get_docstring(node)) is not None:
                node.body = node.body[1:]
            assert function.docstring == (docstring or "")
            again = ast.parse(f"{function.signature}\n{indent_source(function.body, '  ')}").body[0]
            assert ast.dump(again) == ast.dump(node), f"{function.qualname} of line {function.line}"
    return len(functions)


@pytest.mark.parametrize("module", MODULES)
def test_round_trip_over_the_standard_library(module: str) -> None:
    file = Path(sysconfig.get_path("stdlib"), f"{module}.py")
    if not file.exists():  # pathlib is a package from 3.13 on
        file = file.with_suffix("") / "__init__.py"
    assert assert_round_trip(file.read_bytes()) > (0 if file.name == "__init__.py" else 5)


SIMPLE = st.sampled_from(
    [
        "x = 1",
        "return x",
        "call(a,\n  b)",
        "y = '''one\n      two\n'''",
        'z = f"""{x}\n    {y!r}\n"""',
        "s = 'a\\\n   b'",
        "t = ('ä' 'b'\n 'c')",
        "u = 1; v = 2",
        "w = x + \\\n      y",
        "yield x  # said: so",
        "raise E('a: b') from None;",
    ]
)
COMMENT = st.sampled_from(["# note", "#: x", "# '''"])
DOCSTRING = st.sampled_from(["'Doc.'", '"""Doc.\n\n    More: of it.\n    """', "r'''D\\d'''", "'a' 'b'"])
PARAMETERS = st.sampled_from(
    ["", "x", "x, /, y=1, *, z: 'a:b' = {1: 2}", "\n  x,  # c: d\n  *a: int,\n  **k", 'x="""\n  :\n""", é=lambda: 0']
)
DECORATORS = st.lists(st.sampled_from(["@a", "@a.b(c='''\n ''')", "@(\n  a\n)", "@a  # why: so"]), max_size=2)


def shifted(text: str, indentation: str) -> str:
    return indent_source(text, indentation)


@st.composite
def blocks(draw: st.DrawFn, indentation: str, depth: int = 2) -> str:
    """Statements, comments and empty lines at no indentation."""
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.integers(0, 5))
        if kind == 0 and depth:
            header = draw(st.sampled_from(["if x:", "for x in y:", "class A:", "with a as b:  # c: d", "try:"]))
            parts.append(f"{header}\n{shifted(draw(blocks(indentation, depth - 1)), indentation)}")
            if header == "try:":
                parts[-1] += f"\nfinally:\n{indentation}x"
        elif kind == 1 and depth:
            parts.append(draw(functions(indentation, depth - 1)))
        elif kind == 2:
            parts.append(f"{draw(COMMENT)}\n\n{draw(SIMPLE)}")
        else:
            parts.append(draw(SIMPLE))
    return "\n".join(parts)


@st.composite
def functions(draw: st.DrawFn, indentation: str, depth: int = 2) -> str:
    """A function definition at no indentation."""
    header = "\n".join(draw(DECORATORS)) + "\n" if draw(st.booleans()) else ""
    result = draw(st.sampled_from(["", " -> int", " -> (lambda: 'a:')", " \\\n"]))
    header += f"{draw(st.sampled_from(['def', 'async def']))} f({draw(PARAMETERS)}){result}:"
    documented = draw(st.booleans())
    if draw(st.integers(0, 4)) == 0:
        return header + " " + (draw(DOCSTRING) + "; " if documented else "") + "x = y; return x"
    body = draw(blocks(indentation, depth))
    if documented:
        body = draw(DOCSTRING) + draw(st.sampled_from(["\n", "\n\n", "; x\n", "  # noqa\n# and:\n"])) + body
    return f"{header}{draw(st.sampled_from(['', '  # c: d']))}\n{shifted(body, indentation)}"


@given(st.data(), st.sampled_from(["    ", "\t", "  "]), st.sampled_from(["\n", "\r\n", "\r"]))
def test_round_trip_of_generated_functions(data: st.DataObject, indentation: str, newline: str) -> None:
    source = data.draw(functions(indentation))
    if data.draw(st.booleans()):
        source = f"class A:\n{shifted(source, indentation)}"
    if data.draw(st.booleans()):
        source += "\n\f\n" + data.draw(functions(indentation))
    assert assert_round_trip((source + "\n").replace("\n", newline).encode()) > 0
