"""The structure of signatures and bodies: what kind of function it is, as counts of named features.

No feature names anything of a package: what is learned of one holds for another.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain

from sigjepa.corpus.functions import FunctionNode
from sigjepa.corpus.identifiers import split_identifier
from sigjepa.lexicon.mentions import OWN, mentions
from sigjepa.lexicon.signature import Signature
from sigjepa.lexicon.trees import parse

NODES: Mapping[type[ast.AST], str] = {
    ast.Yield: "yield",
    ast.YieldFrom: "yield",
    ast.Await: "await",
    ast.AsyncFor: "await",
    ast.AsyncWith: "await",
    ast.Raise: "raise",
    ast.FunctionDef: "inner_function",
    ast.AsyncFunctionDef: "inner_function",
    ast.Lambda: "lambda",
    ast.ClassDef: "inner_class",
    ast.For: "for",
    ast.While: "while",
    ast.Try: "try",
    ast.With: "with",
    ast.Compare: "compare",
    ast.Assert: "assert",
    ast.Dict: "dict",
    ast.List: "list",
    ast.ListComp: "list_comprehension",
    ast.GeneratorExp: "generator",
    ast.JoinedStr: "format_string",
    ast.If: "if",
    ast.Global: "global",
    ast.Nonlocal: "global",
    ast.Delete: "delete",
    ast.BoolOp: "bool_operation",
    ast.Subscript: "subscript",
    ast.Pass: "pass",
    ast.Import: "import",
    ast.ImportFrom: "import",
    ast.Call: "call",
}
"""Nodes that are counted, and as what."""
RETURNED: Mapping[type[ast.AST], str] = {
    ast.Call: "return_call",
    ast.Attribute: "return_attribute",
    ast.Compare: "return_condition",
    ast.BoolOp: "return_condition",
    ast.JoinedStr: "return_text",
    ast.Dict: "return_dict",
    ast.DictComp: "return_dict",
    ast.List: "return_list",
    ast.ListComp: "return_list",
    ast.Tuple: "return_tuple",
}
"""Expressions that are returned, and what they count as besides."""
LOADED: Mapping[str, str] = {
    "isinstance": "isinstance",
    "issubclass": "isinstance",
    "super": "super",
    "type": "type",
    "NotImplemented": "not_implemented",
    "NotImplementedError": "not_implemented_error",
}
BODY_STRUCTURES = (
    *dict.fromkeys([*NODES.values(), *RETURNED.values(), *LOADED.values()]),
    *("return", "return_nothing", "return_self", "return_bool", "return_none", "return_only"),
    *("bool", "none", "text", "number", "own_attribute", "own_attribute_stored", "lines", "statements"),
)
"""What is counted of a body. `return_only`: it is one statement, which returns. own: of `self` or `cls`."""
DECORATORS = (
    *("property", "staticmethod", "classmethod", "abstractmethod", "overload", "setter", "contextmanager", "fixture"),
    *("cached_property", "wraps", "parametrize", "deprecated", "lru_cache"),
)
TYPES = (
    *("None", "bool", "str", "int", "float", "list", "dict", "tuple", "set", "Iterator", "Generator", "Iterable"),
    *("Self", "Any", "Optional", "Callable", "bytes", "type", "NoReturn", "Awaitable", "Sequence", "Union"),
)
SPECIAL = (
    *("init", "repr", "str", "eq", "ne", "hash", "len", "iter", "getitem", "setitem", "delitem", "contains", "call"),
    *("enter", "exit", "getattr", "setattr", "getattribute", "new", "add", "sub", "mul", "truediv", "radd", "rsub"),
    *("rmul", "neg", "and", "or", "lt", "le", "gt", "ge", "bool", "int", "float", "del", "next", "get", "set_name"),
    *("copy", "reduce", "getstate", "setstate", "aenter", "aexit", "format", "init_subclass", "post_init"),
)
VERBS = (
    *("is", "has", "get", "set", "test", "to", "from", "add", "on", "visit", "create", "make", "build", "parse"),
    *("load", "save", "read", "write", "check", "validate", "update", "remove", "delete", "init", "run", "start"),
    *("stop", "close", "open", "compute", "find", "iter", "register", "handle", "format", "convert", "as", "can"),
    *("should", "process", "apply", "print", "log", "render", "send", "assert", "setup", "clear", "reset", "copy"),
)
MAX_PARAMETERS = 4
SIGNATURE_STRUCTURES = (
    *(
        "function",
        "async",
        "self",
        "cls",
        "plain",
        "parameters",
        *(f"parameters_{n}" for n in range(MAX_PARAMETERS + 1)),
    ),
    *("starred", "double_starred", "defaults", "annotated", "none_default", "bool_default"),
    *("special", "private", "words", "one_word", "camel_case", "decorated", "no_return_type", "other_return_type"),
    *(f"decorator_{name}" for name in DECORATORS),
    *(f"return_type_{name}" for name in TYPES),
    *(f"special_{name}" for name in SPECIAL),
    *(f"verb_{name}" for name in VERBS),
)
"""What is noted of a signature: 1 where it holds, and how many `parameters` besides `self`, how many `words` its name
has."""
TYPE_NAMES = {name: re.compile(rf"\b{name}\b", re.IGNORECASE if name.islower() else 0) for name in TYPES}
CAMEL_CASE = re.compile("^[A-Z]|[a-z][A-Z]")


def body_structure(body: str) -> tuple[Counter[str], dict[str, list[int]]]:
    """Return how often a body has each of `BODY_STRUCTURES`, and by name how often it has each of `MENTIONS`.

    What is not Python has neither.
    """
    counts: Counter[str] = Counter()
    tree = parse(body)
    if tree is None:
        return counts, {}
    counts["lines"], counts["statements"] = body.count("\n") + 1, len(tree.body)
    counts["return_only"] = int(len(tree.body) == 1 and isinstance(tree.body[0], ast.Return))
    nodes = [*ast.walk(tree)]
    counts.update(chain.from_iterable(map(_structures, nodes)))
    return +counts, mentions(nodes, alone=len(tree.body) == 1)


def _structures(node: ast.AST) -> Iterator[str]:
    if type(node) in NODES:
        yield NODES[type(node)]
    match node:
        case ast.Return(value=None):
            yield "return_nothing"
        case ast.Return(value=value):
            yield "return"
            yield from _returned(value)
        case ast.Constant(value=bool()):
            yield "bool"
        case ast.Constant(value=None):
            yield "none"
        case ast.Constant(value=str()):
            yield "text"
        case ast.Constant(value=int() | float() | complex()):
            yield "number"
        case ast.Name(id=name, ctx=ast.Load()) if name in LOADED:
            yield LOADED[name]
        case ast.Attribute(value=ast.Name(id=owner), ctx=context) if owner in OWN:
            yield "own_attribute_stored" if isinstance(context, ast.Store) else "own_attribute"


def _returned(value: ast.AST | None) -> Iterator[str]:
    yield from (name for kind, name in RETURNED.items() if type(value) is kind)
    match value:
        case ast.Name(id=name) if name in OWN:
            yield "return_self"
        case ast.Constant(value=bool()):
            yield "return_bool"
        case ast.Constant(value=None):
            yield "return_none"
        case ast.Constant(value=str()) | ast.BinOp(op=ast.Mod()):
            yield "return_text"
        case ast.UnaryOp(op=ast.Not()):
            yield "return_condition"


def signature_structure(signature: str, read: Signature) -> Counter[str]:
    """Return what `SIGNATURE_STRUCTURES` notes of a signature; read: the same, with its roles. Not Python: nothing."""
    counts: Counter[str] = Counter()
    tree = parse(f"{signature} pass") if read.parsed else None
    if tree is None or not isinstance(node := tree.body[0], FunctionNode):
        return counts
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    owner = positional[0].arg if positional and positional[0].arg in OWN else "plain"
    number = len(positional) + len(arguments.kwonlyargs) - (owner != "plain")
    defaults = [default for default in [*arguments.defaults, *arguments.kw_defaults] if default is not None]
    constants = [default.value for default in defaults if isinstance(default, ast.Constant)]
    texts: dict[str, str] = {}
    for role, text in read.texts:
        texts[role] = f"{texts.get(role, '')} {text}"
    holds = {
        "function": True,
        "async": isinstance(node, ast.AsyncFunctionDef),
        owner: True,
        f"parameters_{min(number, MAX_PARAMETERS)}": True,
        "starred": arguments.vararg is not None,
        "double_starred": arguments.kwarg is not None,
        "defaults": bool(defaults),
        "annotated": "annotation" in texts,
        "none_default": any(value is None for value in constants),
        "bool_default": any(isinstance(value, bool) for value in constants),
        "decorated": "decorator" in texts,
        **{f"decorator_{name}": name in texts.get("decorator", "") for name in DECORATORS},
        **_return_type(texts.get("return")),
        **_name(node.name),
    }
    counts.update({name: 1 for name, value in holds.items() if value})
    counts["parameters"], counts["words"] = number, len(split_identifier(node.name))
    return +counts


def _return_type(annotation: str | None) -> dict[str, bool]:
    if annotation is None:
        return {"no_return_type": True}
    named = {f"return_type_{name}": bool(pattern.search(annotation)) for name, pattern in TYPE_NAMES.items()}
    return named | {"other_return_type": not any(named.values())}


def _name(name: str) -> dict[str, bool]:
    if name.startswith("__") and name.endswith("__"):
        return {"special": True} | ({f"special_{name[2:-2]}": True} if name[2:-2] in SPECIAL else {})
    words = split_identifier(name)
    holds = {"private": name.startswith("_"), "one_word": len(words) == 1, "camel_case": bool(CAMEL_CASE.search(name))}
    return holds | ({f"verb_{words[0]}": True} if words and words[0] in VERBS else {})
