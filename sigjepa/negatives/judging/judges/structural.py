"""A heuristic judge that scores two functions from their code alone: no model, no network, no training.

It reads how much two functions have in common, not what they compute: an algorithm rewritten from scratch looks
unrelated to it, and two functions that differ in one operator look equivalent. Its agreement with hand labels is
measured in `tests/negatives/test_structural.py`.
"""

import ast
import re
import warnings
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from sigjepa.corpus.identifiers import split_identifier
from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging.judges.judge import Judge, Judgement, JudgeRequest
from sigjepa.runtime.fields import Count, component

VERSION = 1  # raise it when the same pair may get another score: judged pairs are keyed by it

LITERAL_CHARACTERS = 200  # an embedded text says no more about a function after this

_TOKEN = re.compile(r"[^\W\d]\w*|\d[\w.]*|\"[^\"\n]*\"|'[^'\n]*'|[^\w\s]")
_FLOW_WORDS = frozenset({"if", "for", "while", "try", "with", "return", "raise", "yield", "break", "continue", "del"})
_NO_CONTENT = frozenset({"self", "cls", "args", "kwargs", "none", "true", "false"})

# A comprehension is a loop and a conditional expression is a branch: rewriting one as the other keeps the shape.
_SHAPE: dict[type[ast.AST], str] = {
    ast.comprehension: "for",
    ast.For: "for",
    ast.AsyncFor: "for",
    ast.While: "while",
    ast.If: "if",
    ast.IfExp: "if",
    ast.With: "with",
    ast.AsyncWith: "with",
    ast.AugAssign: "assign",
    ast.AnnAssign: "assign",
    ast.NamedExpr: "assign",
    ast.FunctionDef: "def",
    ast.AsyncFunctionDef: "def",
    ast.Lambda: "def",
    ast.Yield: "yield",
    ast.YieldFrom: "yield",
}


Hashes = npt.NDArray[np.int64]
"""Sorted, unique hashes: a set in a few kilobytes, where tuples of strings would take a hundred."""


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """The features of a function that the judge compares."""

    identifiers: Hashes
    calls: Hashes
    shape: Hashes
    shingles: Hashes
    canonical: str  # equal for two bodies that differ in formatting and local names only


def extract_features(signature: str, body: str) -> Features:
    """Return the features of one function; code that does not parse is read as a stream of tokens instead."""
    tree = _parse(body)  # `return` outside a function is refused by the compiler, not by the parser: no wrapping
    if tree is None:
        return _features_of_tokens(signature, body)
    name, parameters = _read_signature(signature)
    return _features_of_tree(tree, name, parameters)


def _parse(code: str) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in other people's code are no news to our users
        try:
            return ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _read_signature(signature: str) -> tuple[str, list[str]]:
    """Return the function's name and its parameters, in order."""
    tree = _parse(signature + "\n pass")
    statement = tree.body[0] if tree is not None and tree.body else None
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        found = re.search(r"\bdef\s+(\w+)", signature)
        return (found[1] if found else ""), []
    return statement.name, [node.arg for node in ast.walk(statement.args) if isinstance(node, ast.arg)]


def _features_of_tree(tree: ast.Module, name: str, parameters: list[str]) -> Features:
    local = _local_names(tree, parameters)
    numbers = {parameter: number for number, parameter in enumerate(p for p in parameters if p in local)}
    words = [*split_identifier(name), *(word for parameter in parameters for word in split_identifier(parameter))]
    calls: list[str] = []
    shape: list[str] = []
    labels: list[str] = []
    canonical: list[str] = []
    stack: list[tuple[ast.AST, int]] = [(tree, 0)]
    while stack:  # an explicit stack: a long `a + b + …` is deeper than Python's own
        node, depth = stack.pop()
        label = kind = type(node).__name__
        exact = kind
        if isinstance(node, ast.Name):
            words += split_identifier(node.id)
            renamed = node.id in local
            label = "local" if renamed else node.id
            exact = f"${numbers.setdefault(node.id, len(numbers))}" if renamed else node.id
        elif isinstance(node, ast.Attribute):
            words += split_identifier(node.attr)
            label = exact = f".{node.attr}"
        elif isinstance(node, ast.Constant):
            label = type(node.value).__name__
            # repr refuses integers of thousands of digits
            exact = hex(node.value) if isinstance(node.value, int) else repr(node.value)
            exact = f"{label} {exact}"  # True is an int, too
            if isinstance(node.value, str):
                words += split_identifier(node.value[:LITERAL_CHARACTERS])
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Attribute | ast.Name):
                calls.append(called.attr if isinstance(called, ast.Attribute) else called.id)
        else:
            exact = " ".join([kind, *_plain_fields(node)])
        if isinstance(node, ast.stmt) or type(node) in _SHAPE:
            shape.append(_SHAPE.get(type(node), kind.lower()))
        if not isinstance(node, ast.expr_context | ast.Module):
            labels.append(label)
            canonical.append(f"{depth} {exact}")  # depths in pre-order determine the tree
        stack.extend((child, depth + 1) for child in reversed(list(ast.iter_child_nodes(node))))
    return _features(words, calls, shape, labels, canonical)


def _local_names(tree: ast.Module, parameters: list[str]) -> set[str]:
    """Return the parameters and assigned names, which may be renamed freely; `self` and `cls` keep their names."""
    local = set(parameters)
    outer = {"self", "cls"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            local.add(node.id)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            outer.update(node.names)
    return local - outer


def _plain_fields(node: ast.AST) -> Iterator[str]:
    """Yield what a node holds besides child nodes: keyword and import names, `global` names, f-string conversions."""
    for _, value in ast.iter_fields(node):
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str | int):
                yield str(item)


def _features_of_tokens(signature: str, body: str) -> Features:
    tokens = _TOKEN.findall(body)
    names = [token for token in _TOKEN.findall(signature) + tokens if token[0].isidentifier()]
    words = [word for name in names for word in split_identifier(name)]
    calls = [name for name, follower in pairwise(tokens) if follower == "(" and name[0].isidentifier()]
    shape = [token for token in tokens if token in _FLOW_WORDS]
    return _features(words, calls, shape, tokens, tokens)


def _features(
    words: list[str], calls: list[str], shape: list[str], labels: list[str], canonical: list[str]
) -> Features:
    return Features(
        identifiers=_hashes(set(words) - _NO_CONTENT),
        calls=_hashes(set(calls)),
        shape=_hashes(_bag([*shape, *pairwise(shape)])),
        shingles=_hashes(_bag([*pairwise(labels), *zip(labels, labels[1:], labels[2:], strict=False)])),
        canonical=xxhash.xxh3_128_hexdigest("\0".join(canonical).encode("utf-8", "surrogatepass")),
    )


def _bag(items: Iterable[Hashable]) -> Iterator[Hashable]:
    """Yield a multiset as a set: the second `x` becomes `(x, 1)`."""
    return ((item, number) for item, count in Counter(items).items() for number in range(count))


def _hashes(items: Iterable[Hashable]) -> Hashes:
    return np.unique(np.fromiter((hash(item) for item in items), dtype=np.int64))


def dice(one: Hashes, other: Hashes) -> float | None:
    """Return the Dice coefficient of two sets in [0, 1]; None when both are empty, which says nothing either way."""
    size = len(one) + len(other)
    return 2 * len(np.intersect1d(one, other, assume_unique=True)) / size if size else None


@component("negatives.judge")
class StructuralJudge(Judge):
    """Scores a pair by a weighted mean of four overlaps of the two functions' code, cut at three thresholds.

    The overlaps are Dice coefficients: words of the split identifiers and literals, called names, control-flow
    shape (kinds of statements and their neighbours), and shingles of the syntax tree with local names forgotten
    (near-clones). An overlap that neither function has anything for is left out of the mean. Identical bodies, and
    bodies that differ in formatting and local names only, are equivalent whatever the thresholds.

    Raises SigjepaError for weights that are negative or all zero, and thresholds that do not ascend within [0, 1].
    """

    slightly_related_from: float = 0.15
    related_from: float = 0.35
    equivalent_from: float = 0.70
    identifiers_weight: float = 0.5
    calls_weight: float = 0.1
    shape_weight: float = 0.1
    shingles_weight: float = 0.3
    cached_functions: Count = 50_000

    def __post_init__(self) -> None:
        thresholds = self._thresholds()
        if not 0 <= thresholds[0] <= thresholds[1] <= thresholds[2] <= 1:
            raise SigjepaError(
                "negatives.judge.slightly_related_from, related_from and equivalent_from must ascend within [0, 1], "
                f"got {thresholds}; the defaults are 0.15, 0.35 and 0.70."
            )
        weights = self._weights()
        if not all(weight >= 0 for weight in weights) or not 0 < sum(weights) < float("inf"):
            raise SigjepaError(
                f"negatives.judge: the weights (identifiers, calls, shape, shingles) are {weights}; none may "
                "be negative and at least one must be positive."
            )

    @property
    def name(self) -> str:
        """Says in every table and file that the scores are a heuristic's."""
        return "structural (heuristic)"

    def fingerprint(self) -> dict[str, Any]:
        """Name, version, thresholds and weights: all that a score depends on."""
        settings = asdict(self)
        del settings["cached_functions"]  # changes the speed, not a score
        return {"judge": self.name, "version": VERSION, **settings}

    def judge(self, requests: Iterable[JudgeRequest]) -> Iterator[tuple[JudgeRequest, Judgement]]:
        """Yield one judgement per request, in order; the features of recent functions are kept for the length of the
        call.
        """
        features_of = lru_cache(maxsize=self.cached_functions)(extract_features)
        for request in requests:
            if request.anchor_body == request.neighbor_body:
                yield request, Judgement(3, "identical bodies")
                continue
            anchor = features_of(request.anchor_signature, request.anchor_body)
            neighbor = features_of(request.neighbor_signature, request.neighbor_body)
            yield request, self._compare(anchor, neighbor)

    def _compare(self, anchor: Features, neighbor: Features) -> Judgement:
        if anchor.canonical == neighbor.canonical:
            return Judgement(3, "same code up to formatting and local names")
        overlaps = {
            "identifiers": dice(anchor.identifiers, neighbor.identifiers),
            "calls": dice(anchor.calls, neighbor.calls),
            "shape": dice(anchor.shape, neighbor.shape),
            "shingles": dice(anchor.shingles, neighbor.shingles),
        }
        total = weighed = 0.0
        for overlap, weight in zip(overlaps.values(), self._weights(), strict=True):
            if overlap is not None:
                total += weight * overlap
                weighed += weight
        similarity = total / weighed if weighed else 0.0
        score_c = sum(similarity >= threshold for threshold in self._thresholds())
        values = ", ".join(f"{name} {'-' if value is None else f'{value:.2f}'}" for name, value in overlaps.items())
        return Judgement(score_c, f"similarity {similarity:.2f}: {values}")

    def _thresholds(self) -> tuple[float, float, float]:
        return self.slightly_related_from, self.related_from, self.equivalent_from

    def _weights(self) -> tuple[float, float, float, float]:
        return self.identifiers_weight, self.calls_weight, self.shape_weight, self.shingles_weight
