"""The scopes of Python code: which names each binds, as `symtable` says, for code that does not compile alone, too."""

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from sigjepa.corpus.functions import FunctionNode

Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


NAMED: Mapping[type[ast.AST], str] = {
    ast.FunctionDef: "name",
    ast.AsyncFunctionDef: "name",
    ast.ClassDef: "name",
    ast.ExceptHandler: "name",
    ast.MatchAs: "name",
    ast.MatchStar: "name",
    ast.MatchMapping: "rest",
}
"""The field in which a node holds the name that it binds as a string."""


class ScopeKind(Enum):
    """What a scope is of; a function's code alone runs later than the code around it."""

    FUNCTION = "function"
    CLASS = "class"
    COMPREHENSION = "comprehension"
    TYPE_PARAMETERS = "type parameters"


@dataclass(frozen=True)
class Scope:
    """The names that a scope binds, and those that it declares to be the module's."""

    kind: ScopeKind
    names: frozenset[str]
    module_names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, kind: ScopeKind, nodes: Iterable[ast.AST], parameters: Iterable[str] = ()) -> "Scope":
        """Return the scope of the code of `nodes`, which has some names as parameters, too."""
        bound, outer, module, stack = set(parameters), set(), set(), list(nodes)
        while stack:
            node = stack.pop()
            if isinstance(node, ast.Name):
                if not isinstance(node.ctx, ast.Load):
                    bound.add(node.id)
                continue
            if isinstance(node, ast.Global):
                module.update(node.names)
            elif isinstance(node, ast.Nonlocal):
                outer.update(node.names)
            bound.update(strings_bound(node))
            stack.extend(_in_same_scope(node))
        return cls(kind, frozenset(bound - outer - module), frozenset(module))


def strings_bound(node: ast.AST) -> list[str]:
    """Return the names that a node binds and holds as strings."""
    if isinstance(node, ast.alias):
        return [node.asname or node.name.partition(".")[0]]
    name = getattr(node, NAMED.get(type(node), ""), None)
    return [] if name is None else [name]


def parameters_of(arguments: ast.arguments) -> list[ast.arg]:
    """Return the parameters of a function: those by position, `*args`, those by name alone, `**kwargs`."""
    last = [arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    return [*arguments.posonlyargs, *arguments.args, *(parameter for parameter in last if parameter is not None)]


def type_parameters_of(node: ast.AST) -> Sequence[ast.AST]:
    """Return the type parameters of a definition, `[T]` of Python 3.12 on."""
    return getattr(node, "type_params", [])


def _in_same_scope(node: ast.AST) -> Iterable[ast.AST]:
    """Return the nodes below a node that may bind names of the scope it is in."""
    if isinstance(node, FunctionNode | ast.Lambda):
        defaults = [*node.args.defaults, *(each for each in node.args.kw_defaults if each is not None)]
        return [*defaults, *getattr(node, "decorator_list", [])]
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *node.keywords]
    if isinstance(node, Comprehension):
        return _assignment_expressions(node)
    return ast.iter_child_nodes(node)


def _assignment_expressions(comprehension: ast.AST) -> list[ast.AST]:
    """Return the targets of `:=` in a comprehension, which are names of the scope around it."""
    targets: list[ast.AST] = []
    stack = [comprehension]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.NamedExpr):
            targets.append(node.target)
        stack.extend(_in_same_scope(node) if isinstance(node, ast.Lambda) else ast.iter_child_nodes(node))
    return targets
