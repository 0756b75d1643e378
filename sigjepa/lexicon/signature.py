"""Signatures, read: where each text of one stands, and what is known of its parameters."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sigjepa.corpus.functions import FunctionNode
from sigjepa.corpus.text import SourceText
from sigjepa.lexicon.scopes import parameters_of
from sigjepa.lexicon.trees import parse

ROLES = ("name", "parameter", "annotation", "default", "decorator", "return", "other")
"""Where a word of a signature stands; `other` is all of a signature that is not Python."""
PARAMETER_FLAGS = ("first", "keyword_only", "starred", "annotated", "has_default", "none_default")
"""What is known of a parameter; `starred` is `*args` or `**kwargs`."""


@dataclass(frozen=True)
class Signature:
    """A signature, read.

    texts: pieces with their role. parameters: names with a 0 or 1 for each of `PARAMETER_FLAGS`. parsed: whether it
    is Python; otherwise it is one text of the role `other`, without parameters.
    """

    texts: Sequence[tuple[str, str]]
    parameters: Sequence[tuple[str, Sequence[int]]]
    parsed: bool = True


def read_signature(signature: str) -> Signature:
    """Return the roles and parameters of a signature, decorators and `def …:` as the corpus has it."""
    tree = parse(f"{signature} pass")
    if tree is None or len(tree.body) != 1 or not isinstance(tree.body[0], FunctionNode):
        return Signature([("other", signature)], [], parsed=False)
    node = tree.body[0]
    texts = [("name", node.name), *(("parameter", parameter.arg) for parameter in parameters_of(node.args))]
    source = SourceText(signature)  # `ast.get_source_segment` splits the lines again for each expression
    texts += [(role, _text(source, expression)) for role, expression in _expressions(node)]
    return Signature(texts, list(_parameters(node.args)))


def _expressions(node: FunctionNode) -> Iterator[tuple[str, ast.expr]]:
    """Yield the expressions of a signature with their role."""
    for decorator in node.decorator_list:
        yield "decorator", decorator
    for parameter in parameters_of(node.args):
        if parameter.annotation is not None:
            yield "annotation", parameter.annotation
    for default in [*node.args.defaults, *node.args.kw_defaults]:
        if default is not None:
            yield "default", default
    for parameter in getattr(node, "type_params", ()):  # from Python 3.12 on
        for expression in (getattr(parameter, "bound", None), getattr(parameter, "default_value", None)):
            if expression is not None:
                yield "annotation", expression
    if node.returns is not None:
        yield "return", node.returns


def _text(source: SourceText, expression: ast.expr) -> str:
    last = expression.end_lineno or expression.lineno
    start = (expression.lineno, source.column(expression.lineno, expression.col_offset))
    # without its brackets it need not be Python by itself: its lines are left as they are
    return "\n".join(source.between(start, (last, source.column(last, expression.end_col_offset or 0))))


def _parameters(arguments: ast.arguments) -> Iterator[tuple[str, Sequence[int]]]:
    """Yield each parameter with its flags."""
    positional = [*arguments.posonlyargs, *arguments.args]
    required: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    defaults = dict(zip(positional, [*required, *arguments.defaults], strict=True))
    defaults |= dict(zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True))
    for parameter in parameters_of(arguments):
        default = defaults.get(parameter)
        flags = {
            "first": bool(positional) and parameter is positional[0],
            "keyword_only": parameter in arguments.kwonlyargs,
            "starred": parameter in (arguments.vararg, arguments.kwarg),
            "annotated": parameter.annotation is not None,
            "has_default": default is not None,
            "none_default": isinstance(default, ast.Constant) and default.value is None,
        }
        yield parameter.arg, [int(flags[flag]) for flag in PARAMETER_FLAGS]
