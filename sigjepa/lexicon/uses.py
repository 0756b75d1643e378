"""What a body does with a name, and how the name is spelled."""

import ast
import builtins
from collections.abc import Mapping

from sigjepa.corpus.identifiers import split_identifier

USES = (
    *("loaded", "called", "attribute", "subscripted", "passed", "passed_by_name", "starred", "compared", "none"),
    *("inspected", "arithmetic", "iterated", "tested", "returned", "augmented", "stored", "nested", "annotation"),
    "early",
)
"""What is counted of the uses of a name.

attribute: one of it is taken. passed_by_name: as in `f(x=x)`. none: compared with None, or first of an `or`, as one
with a default is. inspected: an argument of `isinstance`, `len` and the like. tested: as a condition. stored: bound
again. nested: used in an inner function. early: among the first three names that are loaded.
"""
SPELLINGS = ("builtin", "capitalized", "underscore", "length", "words")
"""What is noted of how a name is spelled: 1 for one of Python's builtins, for a first letter that is upper case, for a
first letter `_`; how many letters, how many words."""

INSPECTORS = frozenset({"isinstance", "issubclass", "len", "hasattr", "getattr", "callable", "type"})
BUILTINS = frozenset(
    name
    for name, value in vars(builtins).items()
    # without what an interactive shell or `site` adds
    if name[0] != "_" and getattr(value, "__module__", None) in (None, "builtins", "io", "_io")
)


def spelling(name: str) -> list[int]:
    """Return a number for each of `SPELLINGS`."""
    flags = [name in BUILTINS, name[:1].isupper(), name[:1] == "_"]
    return [*map(int, flags), len(name), len(split_identifier(name))]


PLACES: Mapping[tuple[type[ast.AST], str], str] = {
    (ast.Call, "func"): "called",
    (ast.Call, "args"): "passed",
    (ast.keyword, "value"): "passed",
    (ast.Starred, "value"): "starred",
    (ast.Attribute, "value"): "attribute",
    (ast.Subscript, "value"): "subscripted",
    (ast.Compare, "left"): "compared",
    (ast.Compare, "comparators"): "compared",
    (ast.BoolOp, "values"): "tested",
    **{(node, "test"): "tested" for node in (ast.If, ast.IfExp, ast.While, ast.Assert)},
    (ast.comprehension, "ifs"): "tested",
    **{(node, "iter"): "iterated" for node in (ast.For, ast.AsyncFor, ast.comprehension)},
    (ast.AugAssign, "target"): "augmented",
    (ast.AugAssign, "value"): "arithmetic",
    (ast.BinOp, "left"): "arithmetic",
    (ast.BinOp, "right"): "arithmetic",
    (ast.UnaryOp, "operand"): "arithmetic",
    (ast.Not, "operand"): "tested",
    **{(node, "value"): "returned" for node in (ast.Return, ast.Yield, ast.YieldFrom)},
}
"""The use of a name by the node above it and its field there."""


def use_of(name: str, parent: ast.AST, field: str) -> str | None:
    """Return the use of `USES` that the node above the name `name` makes of it in a field, None for any other."""
    match parent:
        case ast.Call(func=ast.Name(id=function)) if field == "args" and function in INSPECTORS:
            return "inspected"
        case ast.keyword(arg=None):
            return "starred"
        case ast.keyword(arg=argument) if argument == name:
            return "passed_by_name"
        case ast.Compare(comparators=[ast.Constant(value=None)]):
            return "none"
        case ast.BoolOp(op=ast.Or(), values=[ast.Name(id=first), *_]) if first == name:
            return "none"
    place = ast.Not if isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not) else type(parent)
    return PLACES.get((place, field))
