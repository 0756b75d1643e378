"""Mentions of names in a body: a function's own name is mentioned by what it is, and by what calls it."""

import ast
from collections.abc import Iterator, Sequence

from sigjepa.lexicon.signature import Signature

OWN = ("self", "cls")
MENTIONS = (
    *("own_call", "own_attribute", "own_attribute_stored", "call", "attribute", "name_call", "name", "text", "defined"),
    *("returned", "alone"),
)
"""How a body mentions a name: as an attribute of `self` or `cls` that it calls, reads or stores; as one of something
else that it calls or reads; as a name that it calls or loads; as a whole string; as a function that it defines.
Besides, whether it returns that or its call, and whether the body is one statement."""
NAME_VARIANTS = ("exact", "private", "public")
"""The name of a function as it is, with a further `_` before it, and without any."""


def mentions(nodes: Sequence[ast.AST], alone: bool) -> dict[str, list[int]]:
    """Return by name how often a body has each of `MENTIONS`, without what it takes of `super()`.

    nodes: all of the body, as `ast.walk` gives them. alone: whether it is one statement.
    """
    called, returned = set(), set()
    for node in nodes:
        if isinstance(node, ast.Call):
            called.add(node.func)
        elif isinstance(node, ast.Return):
            returned.add(node.value.func if isinstance(node.value, ast.Call) else node.value)
    found: dict[str, list[int]] = {}
    for node in nodes:
        for name, kind in _mention(node, node in called):
            counts = found.setdefault(name, [0] * len(MENTIONS))
            for each, holds in ((kind, True), ("returned", node in returned), ("alone", alone)):
                counts[MENTIONS.index(each)] += holds
    return found


def _mention(node: ast.AST, called: bool) -> Iterator[tuple[str, str]]:
    """Yield the name that a node mentions, if any, and which of the first of `MENTIONS` that is."""
    match node:
        case ast.Attribute(value=ast.Name(id=owner), attr=name, ctx=context) if owner in OWN:
            stored = isinstance(context, ast.Store)
            yield name, "own_attribute_stored" if stored else "own_call" if called else "own_attribute"
        case ast.Attribute(value=ast.Call(func=ast.Name(id="super"))):
            pass
        case ast.Attribute(attr=name):
            yield name, "call" if called else "attribute"
        case ast.Name(id=name, ctx=ast.Load()):
            yield name, "name_call" if called else "name"
        case ast.Constant(value=str(text)) if text.isidentifier():
            yield text, "text"
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name, "defined"


def name_variants(read: Signature) -> dict[str, list[int]]:
    """Return the name of a function and the two that its body may use instead, with a 1 at one of `NAME_VARIANTS`."""
    variants: dict[str, list[int]] = {}
    for role, name in read.texts:
        if role == "name":
            for place, variant in enumerate((name, f"_{name}", name.lstrip("_"))):
                if variant and variant not in variants:
                    variants[variant] = [int(place == other) for other in range(len(NAME_VARIANTS))]
    return variants
