"""What the structural judge compares of a function's code: sets of hashes, a few kilobytes, the same in any process."""

import ast
import re
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xxhash

from sigjepa.corpus.identifiers import split_identifier

LITERAL_CHARACTERS = 200  # an embedded text says no more about a function after this

_TOKEN = re.compile(r"[^\W\d]\w*|\d[\w.]*|\"[^\"\n]*\"|'[^'\n]*'|[^\w\s]")
_FLOW_WORDS = frozenset({"if", "for", "while", "try", "with", "return", "raise", "yield", "break", "continue", "del"})
_NO_CONTENT = frozenset({"self", "cls", "args", "kwargs", "none", "true", "false"})

_KINDS = [kind for kind in vars(ast).values() if isinstance(kind, type) and issubclass(kind, ast.AST)]
_FIELDS = {kind: [field for field in kind._fields if field != "ctx"] for kind in _KINDS}

# A comprehension is a loop and a conditional expression is a branch: rewriting one as the other keeps the shape.
_SHAPE: dict[type[ast.AST], str] = {
    **{kind: kind.__name__.lower() for kind in _KINDS if issubclass(kind, ast.stmt)},
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


OVERLAPS = ("identifiers", "calls", "shape", "shingles")
"""What two functions have in common: words of names and literals, called names, control flow, pieces of the tree."""
KIND = np.uint64(62)
"""The place of the bits of a hash that say to which of OVERLAPS it belongs."""
STARTS = np.arange(len(OVERLAPS), dtype=np.uint64) << KIND
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
REPEATED = np.uint64(0xBF58476D1CE4E5B9)
CANONICAL_BYTES = 16

Hashes: TypeAlias = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """The features of a function that the judge compares.

    hashes: of what it has of each of OVERLAPS, sorted and unique: sets in a few kilobytes, where strings would take a
    hundred. canonical: equal for two bodies that differ in formatting and local names only.
    """

    hashes: Hashes
    canonical: bytes

    def pack(self) -> bytes:
        """Return them as bytes, the same in every process."""
        return self.canonical + self.hashes.tobytes()

    @classmethod
    def unpack(cls, packed: bytes) -> "Features":
        """Return what `pack` packed."""
        return cls(np.frombuffer(packed, np.uint64, offset=CANONICAL_BYTES), packed[:CANONICAL_BYTES])


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
    nodes, assigned, outer = _nodes_of(tree)
    local = {*parameters, *assigned} - {"self", "cls", *outer}  # may be renamed freely
    numbers = {parameter: number for number, parameter in enumerate(p for p in parameters if p in local)}
    names = [name, *parameters]
    calls: list[str] = []
    shape: list[str] = []
    labels: list[str] = []
    canonical: list[str] = []
    for node, place, kind, plain in nodes:
        label = exact = kind.__name__
        if kind is ast.Name:
            names.append(node.id)
            renamed = node.id in local
            label = "local" if renamed else node.id
            exact = f"${numbers.setdefault(node.id, len(numbers))}" if renamed else node.id
        elif kind is ast.Attribute:
            names.append(node.attr)
            label = exact = f".{node.attr}"
        elif kind is ast.Constant:
            value = node.value
            label = type(value).__name__
            # repr refuses integers of thousands of digits; True is an int, too
            exact = f"{label} {hex(value) if isinstance(value, int) else repr(value)}"
            if isinstance(value, str):
                names.append(value[:LITERAL_CHARACTERS])
        elif kind is ast.Call:
            called = node.func
            if isinstance(called, ast.Attribute | ast.Name):
                calls.append(called.attr if isinstance(called, ast.Attribute) else called.id)
        elif plain:
            exact = " ".join([label, *plain])
        if form := _SHAPE.get(kind):
            shape.append(form)
        labels.append(label)
        canonical.append(f"{place} {exact}")
    return _features(names, calls, shape, labels, canonical)


_Node: TypeAlias = tuple[Any, str, type[ast.AST], list[str]]
"""A node of a tree, its place, its type, and what it holds besides child nodes: names, f-string conversions.

A place is the depth, the parent's field and the position in it; places in pre-order determine the tree.
"""


def _nodes_of(tree: ast.Module) -> tuple[list[_Node], list[str], list[str]]:
    """Return all nodes in pre-order, the assigned names, and those that are global or of a function around it."""
    nodes: list[_Node] = []
    assigned: list[str] = []
    outer: list[str] = []
    stack: list[tuple[Any, int, str]] = [(node, 1, "") for node in reversed(tree.body)]
    while stack:  # an explicit stack: a long `a + b + …` is deeper than Python's own
        node, depth, field = stack.pop()
        kind = type(node)
        plain: list[str] = []
        if kind is ast.Name:
            if isinstance(node.ctx, ast.Store):
                assigned.append(node.id)
        elif kind is not ast.Constant:
            if kind is ast.Global or kind is ast.Nonlocal:
                outer += node.names
            children = []
            for name in _FIELDS[kind]:
                value = node.__dict__.get(name)
                for position, item in enumerate(value if isinstance(value, list) else (value,)):
                    if isinstance(item, ast.AST):
                        children.append((item, depth + 1, f"{name}{position}"))
                    elif item is not None:
                        plain.append(str(item))
            stack += reversed(children)
        nodes.append((node, f"{depth} {field}", kind, plain))
    return nodes, assigned, outer


def _features_of_tokens(signature: str, body: str) -> Features:
    tokens = _TOKEN.findall(body)
    names = [token for token in _TOKEN.findall(signature) + tokens if token[0].isidentifier()]
    calls = [name for name, follower in pairwise(tokens) if follower == "(" and name[0].isidentifier()]
    shape = [token for token in tokens if token in _FLOW_WORDS]
    return _features(names, calls, shape, tokens, tokens)


def _features(
    names: list[str], calls: list[str], shape: list[str], labels: list[str], canonical: list[str]
) -> Features:
    words = {word for name in set(names) for word in _words(name)} - _NO_CONTENT
    forms, pieces = _hashes(shape), _hashes(labels)
    pairs = _joined(pieces[:-1], pieces[1:])
    found = (
        _hashes(words),
        _hashes(set(calls)),
        _bag(np.concatenate([forms, _joined(forms[:-1], forms[1:])])),
        _bag(np.concatenate([pairs, _joined(pairs[:-1], pieces[2:])])),
    )
    kinds = [(values >> np.uint64(2)) | start for values, start in zip(found, STARTS, strict=True)]
    text = "\0".join(canonical).encode("utf-8", "surrogatepass")
    return Features(np.unique(np.concatenate(kinds)), xxhash.xxh3_128_digest(text))


_words = lru_cache(maxsize=1 << 14)(split_identifier)


@lru_cache(maxsize=1 << 16)
def _hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def _hashes(texts: Collection[str]) -> Hashes:
    return np.fromiter(map(_hash, texts), np.uint64, len(texts))


def _joined(first: Hashes, second: Hashes) -> Hashes:
    """Return hashes of pairs, of those of their sides."""
    return first * MULTIPLIER + second


def _bag(values: Hashes) -> Hashes:
    """Return a multiset as a set: the second `x` becomes another value."""
    values = np.sort(values)
    places = np.arange(len(values), dtype=np.uint64)
    firsts = places.copy()
    firsts[1:][values[1:] == values[:-1]] = 0
    return values + (places - np.maximum.accumulate(firsts)) * REPEATED


def overlaps_of(first: Hashes, second: Hashes) -> dict[str, float | None]:
    """Return the Dice coefficient in [0, 1] of each of OVERLAPS; None where both have nothing of it, which says nothing
    either way.
    """
    shared = np.intersect1d(first, second, assume_unique=True)
    counts = zip(OVERLAPS, _sizes(shared), _sizes(first), _sizes(second), strict=True)
    return {name: 2 * both / (ours + theirs) if ours or theirs else None for name, both, ours, theirs in counts}


def _sizes(hashes: Hashes) -> tuple[int, int, int, int]:
    """Return how many hashes are of each of OVERLAPS."""
    _, calls, shape, shingles = hashes.searchsorted(STARTS).tolist()
    return calls, shape - calls, shingles - shape, len(hashes) - shingles
