"""The free names of a body: what it uses and does not define, so its parameters, globals and builtins."""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

from sigjepa.corpus.functions import FunctionNode
from sigjepa.lexicon.scopes import Comprehension, Scope, ScopeKind, parameters_of, strings_bound, type_parameters_of
from sigjepa.lexicon.trees import parse
from sigjepa.lexicon.uses import USES, spelling, use_of

EARLY_LOADS = 3

EVALUATED = {
    ast.Assign: ("value", "targets"),
    ast.AnnAssign: ("annotation", "value", "target"),
    ast.NamedExpr: ("value", "target"),
    ast.For: ("iter", "target", "body", "orelse"),
    ast.AsyncFor: ("iter", "target", "body", "orelse"),
    ast.comprehension: ("iter", "target", "ifs"),
}
"""The order in which the fields of a node are evaluated, where it is not the one in which `ast` lists them."""


@dataclass(frozen=True)
class Body:
    """A body, read.

    free_names: names that are loaded before the body binds them, with a count for each of `USES` and a number for each
    of `SPELLINGS`. super_calls: the attributes taken of `super()`. parsed: whether it is Python; otherwise there are
    neither.
    """

    free_names: Mapping[str, Sequence[int]]
    super_calls: Sequence[str]
    parsed: bool = True


def read_body(body: str) -> Body:
    """Return the free names of a body, the statements of a function as the corpus has them.

    Every branch counts as run, in the order of the text: a name that one branch binds is bound in all that follows.
    """
    tree = parse(body)
    if tree is None:
        return Body({}, [], parsed=False)
    reader = _Reader(tree)
    reader.read()
    free = {name: [*counts, *spelling(name)] for name, counts in reader.uses.items() if name in reader.free}
    return Body(free, list(dict.fromkeys(reader.super_calls)))


class _Child(NamedTuple):
    """A node that is to be visited, and where it stands."""

    node: ast.AST
    parent: ast.AST
    field: str


_Step: TypeAlias = _Child | Callable[[], None]


def _children(node: ast.AST, *fields: str) -> Iterator[_Child]:
    for field in fields:
        value = getattr(node, field, None)
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield _Child(child, node, field)


class _Reader:
    """Follows a body in the order of evaluation, and notes which names are loaded before they are bound.

    The steps to come are on a stack of its own: no nesting is too deep.

    own: the names that the body binds anywhere. An inner function runs later: what it loads is free only when the body
    never binds it.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.own = Scope.of(ScopeKind.FUNCTION, tree.body).names
        self.bound: set[str] = set()
        self.free: set[str] = set()
        self.uses: dict[str, list[int]] = {}
        self.super_calls: list[str] = []
        self.scopes: list[Scope] = []  # those around the node, within the body
        self.functions = 0  # how many of them are of functions
        self.annotations = 0
        self.loads = 0

    def read(self) -> None:
        """Visit all statements."""
        steps: list[_Step] = [*_children(self.tree, "body")]
        steps.reverse()
        while steps:
            step = steps.pop()
            if not isinstance(step, _Child):
                step()
                continue
            annotation = step.field in ("annotation", "returns")
            self.annotations += annotation
            if isinstance(step.node, ast.Name):
                self.name(step.node, step.parent, step.field)
                self.annotations -= annotation
                continue
            if annotation:
                steps.append(self.end_annotation)
            steps += self.visit(step.node)[::-1]

    def visit(self, node: ast.AST) -> list[_Step]:
        """Return the steps that a node takes, in order."""
        bound = strings_bound(node)
        binding = [partial(self.bind, bound)] if bound else []
        match node:
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr=attribute):
                self.super_calls.append(attribute)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                return [*self.function(node), *binding]
            case ast.ClassDef():
                scope = Scope.of(ScopeKind.CLASS, node.body)
                inside = [*_children(node, "bases", "keywords"), *self.within(scope, _children(node, "body"))]
                return [*_children(node, "decorator_list"), *self.with_type_parameters(node, inside), *binding]
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return self.comprehension(node)
            case ast.ExceptHandler():
                return [*_children(node, "type"), *binding, *_children(node, "body")]
        return [*_children(node, *EVALUATED.get(type(node), node._fields)), *binding]

    def function(self, node: FunctionNode | ast.Lambda) -> list[_Step]:
        """Return the steps of an inner function, without the binding of its name."""
        parameters = parameters_of(node.args)
        body = node.body if isinstance(node.body, list) else [node.body]
        scope = Scope.of(ScopeKind.FUNCTION, body, [parameter.arg for parameter in parameters])
        annotations = [step for parameter in parameters for step in _children(parameter, "annotation")]
        inside = [*annotations, *_children(node, "returns"), *self.within(scope, _children(node, "body"))]
        return [
            *_children(node, "decorator_list"),
            *_children(node.args, "defaults", "kw_defaults"),
            *self.with_type_parameters(node, inside),
        ]

    def comprehension(self, node: Comprehension) -> list[_Step]:
        """Return the steps of a comprehension, whose first iterable is evaluated outside of it."""
        first, *others = node.generators
        scope = Scope.of(ScopeKind.COMPREHENSION, [generator.target for generator in node.generators])
        inside = [*_children(first, "target", "ifs")]
        for generator in others:
            inside += _children(generator, *EVALUATED[ast.comprehension])
        return [*_children(first, "iter"), *self.within(scope, [*inside, *_children(node, "key", "value", "elt")])]

    def with_type_parameters(self, node: ast.AST, steps: list[_Step]) -> list[_Step]:
        """Return steps within the type parameters of a definition."""
        parameters = type_parameters_of(node)
        if not parameters:
            return steps
        names = frozenset(str(parameter.name) for parameter in parameters)  # type: ignore[attr-defined]
        return self.within(Scope(ScopeKind.TYPE_PARAMETERS, names), [*_children(node, "type_params"), *steps])

    def within(self, scope: Scope, steps: Iterable[_Step]) -> list[_Step]:
        """Return steps within a scope."""
        return [partial(self.enter, scope), *steps, self.leave]

    def enter(self, scope: Scope) -> None:
        """Begin a scope."""
        self.scopes.append(scope)
        self.functions += scope.kind is ScopeKind.FUNCTION

    def leave(self) -> None:
        """End the innermost scope."""
        self.functions -= self.scopes.pop().kind is ScopeKind.FUNCTION

    def end_annotation(self) -> None:
        """End the innermost annotation."""
        self.annotations -= 1

    def is_inner(self, name: str) -> bool:
        """Return whether a scope around the node, within the body, has a name."""
        class_is_seen = True
        for scope in reversed(self.scopes):
            if name in scope.module_names:
                return False
            if name in scope.names and (class_is_seen or scope.kind is not ScopeKind.CLASS):
                return True
            class_is_seen = class_is_seen and scope.kind is ScopeKind.TYPE_PARAMETERS
        return False

    def bind(self, names: Iterable[str]) -> None:
        """Note that the node binds names, those that are the body's own."""
        if not self.functions:
            self.bound.update(name for name in names if name in self.own and not self.is_inner(name))

    def name(self, node: ast.Name, parent: ast.AST, field: str) -> None:
        """Note a name that is loaded, stored or deleted, unless a scope within the body has it."""
        name = node.id
        if self.is_inner(name):
            return
        augmented = isinstance(parent, ast.AugAssign) and field == "target"
        if isinstance(node.ctx, ast.Store) and not augmented:
            self.count(name, "stored")
            self.bind([name])
            return
        if name not in (self.own if self.functions else self.bound):
            self.free.add(name)
        self.count(name, "loaded")
        self.count(name, use_of(name, parent, field))
        if self.loads < EARLY_LOADS:
            self.count(name, "early")
        if self.functions:
            self.count(name, "nested")
        if self.annotations:
            self.count(name, "annotation")
        self.loads += 1
        if augmented:
            self.bind([name])

    def count(self, name: str, use: str | None) -> None:
        """Count a use of a name, None for one that is not counted."""
        if use is not None:
            self.uses.setdefault(name, [0] * len(USES))[USES.index(use)] += 1
