"""Free names against Python's own symbol tables and bytecode, and their uses."""

import dis
import re
import symtable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjepa.corpus.functions import extract_functions
from sigjepa.corpus.text import indent_source
from sigjepa.lexicon.body import read_body
from sigjepa.lexicon.function_terms import FREE_NAME_COLUMNS
from sigjepa.lexicon.scopes import Scope, ScopeKind
from sigjepa.lexicon.trees import parse


def wrapped(body):
    return f"async def body():\n{indent_source(body, '    ')}\n"


def tables_below(table):
    yield table
    for child in table.get_children():
        yield from tables_below(child)


def symbol_names(body):
    """The names that Python says are the body's own, and those that it loads from the module."""
    (function,) = symtable.symtable(wrapped(body), "body.py", "exec").get_children()
    own = {symbol.get_name() for symbol in function.get_symbols() if symbol.is_local()}
    symbols = [symbol for table in tables_below(function) for symbol in table.get_symbols()]
    module = {symbol.get_name() for symbol in symbols if symbol.is_global() and symbol.is_referenced()}
    return own, module - {"__class__"}  # which `super` alone names


def assert_as_python_says(body):
    own, module = symbol_names(body)
    assert Scope.of(ScopeKind.FUNCTION, parse(body).body).names == own
    assert read_body(body).free_names.keys() - own == module


MODULES = ["ast", "dataclasses", "inspect", "asyncio.tasks"]


@pytest.mark.parametrize("module", MODULES)
def test_names_of_the_standard_library_are_those_of_its_symbol_tables(module):
    file = Path(symtable.__file__).parent / f"{module.replace('.', '/')}.py"
    functions, _ = extract_functions(file.read_bytes(), repository="python", path=file.name)
    bodies = [each.body for each in functions if not re.search(r"\bnonlocal\b|class \w+[\s\S]*\b__[a-z]", each.body)]
    assert len(bodies) > 15
    for body in bodies:
        assert_as_python_says(body)


NAMES = st.sampled_from("abcde")
ATOMS = st.one_of(NAMES, st.sampled_from(["1", "f()", "None"]))


def joined(*parts):
    return st.tuples(*parts).map("".join)


EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        joined(st.just("("), inner, st.sampled_from([" + ", " < "]), inner, st.just(")")),
        # a name on the left: after a constant, Python compiles nothing of what it never evaluates
        joined(st.just("("), NAMES, st.just(" and "), inner, st.just(")")),
        joined(st.just("("), inner, st.just(" if "), NAMES, st.just(" else "), inner, st.just(")")),
        joined(st.just("("), NAMES, st.just(" := "), inner, st.just(")")),
        joined(st.just("f("), inner, st.just(", k="), inner, st.just(")")),
    ),
    max_leaves=4,
)
NESTED = st.recursive(
    EXPRESSIONS,
    lambda inner: st.one_of(
        joined(st.just("["), inner, st.just(" for "), NAMES, st.just(" in f("), NAMES, st.just(")]")),
        joined(st.just("{"), NAMES, st.just(": "), inner, st.just(" for "), NAMES, st.just(" in "), NAMES).flatmap(
            lambda text: joined(st.just(f"{text} for "), NAMES, st.just(" in "), NAMES, st.just("}"))
        ),
        joined(st.just("(lambda "), NAMES, st.just("="), inner, st.just(": "), inner, st.just(")")),
    ),
    max_leaves=3,
)


def blocks(expressions, others):
    """Strategies of statements, in lines: simple ones, and compound ones of them."""
    simple = st.one_of(
        joined(NAMES, st.just(" = "), expressions),
        joined(NAMES, st.just(", "), NAMES, st.just(" = "), expressions),
        joined(NAMES, st.just(" += "), expressions),
        joined(st.just("f("), expressions, st.just(")")),
        joined(st.just("import "), NAMES, st.just(".x, y as "), NAMES),
    ).map(lambda line: [line])

    def compound(inner):
        block = st.lists(inner, min_size=1, max_size=3).map(
            lambda each: [f"    {line}" for lines in each for line in lines]
        )
        heads = [
            joined(st.just("for "), NAMES, st.just(" in "), expressions, st.just(":")),
            joined(st.just("if "), NAMES, st.just(":")),
            joined(st.just("with "), expressions, st.just(" as "), NAMES, st.just(":")),
            joined(st.just("while "), NAMES, st.just(":")),
            *others,
        ]
        return st.tuples(st.one_of(heads), block).map(lambda parts: [parts[0], *parts[1]])

    statements = st.recursive(simple, compound, max_leaves=6)
    return st.lists(statements, min_size=1, max_size=5).map(
        lambda each: "\n".join(line for lines in each for line in lines)
    )


INNER = [
    joined(st.just("def "), NAMES, st.just("("), NAMES, st.just(": "), NAMES, st.just("="), NESTED, st.just("):")),
    joined(st.just("class "), NAMES, st.just("("), NESTED, st.just("):")),
    joined(st.just("try:\n    pass\nexcept "), NAMES, st.just(" as "), NAMES, st.just(":")),
    joined(st.just("match "), NAMES, st.just(":\n  case ["), NAMES, st.just(", *"), NAMES, st.just("]:")).filter(
        lambda head: len(set(re.findall(r"case \[(.), \*(.)", head)[0])) == 2
    ),
]


@settings(max_examples=100, deadline=None)
@given(blocks(NESTED, INNER))
def test_scopes_of_any_code_are_those_of_its_symbol_tables(body):
    try:
        symbol_names(body)
    except SyntaxError:  # `:=` where Python forbids it
        return
    assert_as_python_says(body)


@settings(max_examples=100, deadline=None)
@given(blocks(EXPRESSIONS, []))
def test_free_names_of_code_without_inner_scopes_are_those_its_bytecode_loads_first(body):
    scope: dict = {}
    exec(wrapped(body), scope)
    first: dict[str, str] = {}
    for instruction in dis.get_instructions(scope["body"]):
        names = instruction.argval if isinstance(instruction.argval, tuple) else [instruction.argval]
        for action, name in zip(
            re.findall(r"(LOAD|STORE|DELETE)_(?:FAST|GLOBAL)", instruction.opname), names, strict=False
        ):
            first.setdefault(name, action)
    assert read_body(body).free_names.keys() == {name for name, action in first.items() if action != "STORE"}


@pytest.mark.parametrize(
    ("body", "free"),
    [
        ("[a for a in a]", {"a"}),
        ("[b for a in c for b in a]", {"c"}),
        ("x = x + 1", {"x"}),
        ("x += 1", {"x"}),
        ("del x", {"x"}),
        ("def g():\n    return x\nx = 1", set()),
        ("def g(x):\n    return x + y", {"y"}),
        ("def g():\n    nonlocal x\n    x += 1\nprint(x)", {"x", "print"}),
        ("def g():\n    nonlocal x\n    x = 1\nreturn x", {"x"}),
        ("global x\nx = 1\nreturn x", {"x"}),
        ("class C:\n    x = 1\n    def m(self):\n        return x, C", {"x"}),
        ("@x\ndef x():\n    return x", {"x"}),
        ("try:\n    f()\nexcept x as x:\n    print(x)", {"f", "x", "print"}),
        ("match a:\n    case B(c=d), *e:\n        return d, e", {"a", "B"}),
        ("if (n := len(x)) > 1:\n    return n", {"len", "x"}),
        ("return [y := f(v) for v in x], y", {"f", "x"}),
        ("return lambda a, *b, c=d, **e: (a, b, c, e, f)", {"d", "f"}),
        ("return f'{a!r:>{b}} {c.d}'", {"a", "b", "c"}),
        ("await a\nasync for b in c:\n    yield b", {"a", "c"}),
        ("from a import b as c\nimport d.e\nreturn b, c, d", {"b"}),
        ("return 1", set()),
        ("", set()),
    ],
)
def test_free_names(body, free):
    read = read_body(body)
    assert read.parsed
    assert read.free_names.keys() == free


def uses(body, name):
    counts = dict(zip(FREE_NAME_COLUMNS, read_body(body).free_names[name], strict=True))
    spelled = ("builtin", "capitalized", "underscore", "length", "words")
    return {use: count for use, count in counts.items() if count and use not in ("loaded", "early", *spelled)}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("x()", {"called": 1}),
        ("x.y.z", {"attribute": 1}),
        ("x[0], y[x]", {"subscripted": 1}),
        ("f(x, *x, x=x, y=x, **x)", {"passed": 2, "starred": 2, "passed_by_name": 1}),
        ("len(x), isinstance(x, A)", {"inspected": 2}),
        ("x is None, y > x, x in y", {"none": 1, "compared": 2}),
        ("x or y, y or x, x and y", {"none": 1, "tested": 2}),
        ("x + 1, -x, not x", {"arithmetic": 2, "tested": 1}),
        ("y += x", {"arithmetic": 1}),
        ("x += 1", {"augmented": 1}),
        ("x = x", {"stored": 1}),
        ("for i in x:\n    pass\nelse:\n    [0 for i in x if x]", {"iterated": 2, "tested": 1}),
        ("if x:\n    return x\nelse:\n    yield x", {"tested": 1, "returned": 2}),
        ("def g(a: x) -> x:\n    return x", {"annotation": 2, "nested": 1, "returned": 1}),
        ("y: list[x] = x", {"annotation": 1}),
        ("class C(x):\n    y = x", {}),
        ("[x for i in range(3)]", {}),
    ],
)
def test_uses(body, expected):
    assert uses(body, "x") == expected


def test_early_are_the_first_three_loads():
    free = read_body("y = a + b\nf(y, c)").free_names
    early = FREE_NAME_COLUMNS.index("early")
    assert {name: counts[early] for name, counts in free.items()} == {"a": 1, "b": 1, "f": 1, "c": 0}


def test_spelling():
    free = read_body("len(_a, HTTPServer, b_c1)").free_names
    spelled = {name: counts[-5:] for name, counts in free.items()}
    assert spelled == {
        "len": [1, 0, 0, 3, 1],
        "_a": [0, 0, 1, 2, 1],
        "HTTPServer": [0, 1, 0, 10, 2],
        "b_c1": [0, 0, 0, 4, 3],
    }


def test_super_calls():
    assert read_body("super().__init__(x)\nsuper(A, self).run\nsuper().__init__()").super_calls == ["__init__", "run"]
    assert read_body("super.run()\nsuper()").super_calls == []


@pytest.mark.parametrize("body", ["return {", "function f() { return 1; }", "a\0b", "(" * 10_000, "x = '\ud800"])
def test_what_is_not_python_has_no_names(body):
    read = read_body(body)
    assert (read.free_names, read.super_calls, read.parsed) == ({}, [], False)


def test_deep_nesting_is_read():
    chain = " + ".join(["x"] * 500)
    assert read_body(f"return {chain}").free_names.keys() == {"x"}
    assert read_body("if a:\n    b()\n" + "elif c:\n    d()\n" * 150).free_names.keys() == set("abcd")
