"""Duplicates: equal bodies by hash, nearly equal ones by MinHash LSH and an exact check, identifiers renamed or not.

A function goes when it is a duplicate of one that is kept and stands before it, in order of place. So one of each
cluster stays, no chain of small differences removes unlike functions, and who was read first does not matter.
"""

import keyword
import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import xxhash
from rensa import RMinHash

from sigjepa.errors import SigjepaError

ShingleSet: TypeAlias = npt.NDArray[np.uint64]
"""Sorted hashes of a body's token shingles `[K]`."""

TOKEN = re.compile(r"\w+|[^\w\s]")
LEXEME = re.compile(
    r"""(?:\b[bBfFrRtTuU]{1,2})?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}"""
    r"""|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|\#[^\n]*|\w+|[^\w\s]""",
    re.DOTALL,
)
"""A string literal, a comment, a word or a sign."""
FORMATTED = re.compile(r"[rR]?[fFtT][rR]?['\"]")
KEYWORDS = frozenset(keyword.kwlist)
SHINGLE_TOKENS = 5
PERMUTATIONS = 160
MISSED_SHARE = 1e-5
"""How rarely LSH may miss a pair that is exactly at the threshold; closer pairs are missed less."""
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def tokens(body: str) -> Iterable[str]:
    """Return the words and signs of `body`."""
    return TOKEN.findall(body)


def renamed_tokens(body: str) -> Iterable[str]:
    """Yield the tokens of `body`, each identifier as the number of its first occurrence; strings and comments stay.

    Bodies that differ in their identifiers alone, type-2 clones (Roy and Cordy 2007), give the same. The words of
    an f-string count as identifiers, since some are.
    """
    names: dict[str, str] = {}
    for lexeme in LEXEME.findall(body):
        for word in TOKEN.findall(lexeme) if FORMATTED.match(lexeme) else (lexeme,):
            is_name = word.isidentifier() and word not in KEYWORDS
            yield names.setdefault(word, f"\0{len(names)}") if is_name else word


VIEWS = {"near_duplicate": tokens, "renamed_duplicate": renamed_tokens}
"""What is compared, by the reason under which its duplicates are counted."""
EXACT = "exact_duplicate"
REASONS = (EXACT, *VIEWS)
"""Why a function may be a duplicate; the first that holds is counted."""


def shingle_set(tokens: Iterable[str], hashes: dict[str, int]) -> ShingleSet:
    """Return the hashes of all runs of five tokens; fewer tokens are one shingle. hashes: of tokens, for the next."""
    found = [
        hashes.get(token) or hashes.setdefault(token, xxhash.xxh3_64_intdigest(token.encode())) for token in tokens
    ]
    values = np.array(found, dtype=np.uint64)
    width = min(SHINGLE_TOKENS, len(values))
    count = len(values) - width + 1
    return np.unique(polynomial([values[position : position + count] for position in range(width)], count))


def polynomial(columns: Iterable[npt.NDArray[np.uint64]], rows: int) -> npt.NDArray[np.uint64]:
    """Return a hash of each row `[rows]` over the columns, modulo 2^64."""
    hashed = np.zeros(rows, dtype=np.uint64)
    for column in columns:
        hashed = hashed * MULTIPLIER + column
    return hashed


def band_keys(shingles: ShingleSet, bands: int) -> npt.NDArray[np.uint64]:
    """Return a key for each band of a set's MinHash `[bands]`; sets that share the key of one may be near."""
    sketch = RMinHash(PERMUTATIONS, 0)
    sketch.update(shingles.view("V8").tolist())
    return polynomial(np.array(sketch.digest(), dtype=np.uint64).reshape(bands, -1).T, bands)


def jaccard(first: ShingleSet, second: ShingleSet) -> float:
    """Return the size of the intersection over size of the union of two shingle sets `[K]`, `[L]`."""
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / (len(first) + len(second) - shared)


def lsh_bands(threshold: float) -> int:
    """Return the fewest bands that miss less than MISSED_SHARE, `(1 - t^rows)^bands`, of the pairs at `threshold`.

    Raises SigjepaError for a threshold that is no Jaccard above 0.
    """
    if not 0 < threshold <= 1:
        raise SigjepaError(f"near_duplicate_threshold={threshold} must be above 0 and at most 1.")
    for bands in (divisor for divisor in range(1, PERMUTATIONS + 1) if PERMUTATIONS % divisor == 0):
        if (1 - threshold ** (PERMUTATIONS // bands)) ** bands < MISSED_SHARE:
            return bands
    return PERMUTATIONS


Pairs: TypeAlias = npt.NDArray[np.int64]
"""Two functions by position `[P, 2]`, the earlier first."""


def duplicates(same: Mapping[str, Pairs], near: Mapping[str, Pairs]) -> dict[str, npt.NDArray[np.int64]]:
    """Return the positions of the functions that go, by reason.

    same: for each of REASONS, each function whose text (by that view) an earlier one has: the first such and it. near:
    for each of VIEWS, the pairs of first ones that are near. Positions are in order of place. Takes memory for the
    functions that occur, and time for them and the pairs.
    """
    nodes = np.unique(np.concatenate([pairs.ravel() for pairs in (*same.values(), *near.values())]))
    first = {reason: np.arange(len(nodes)) for reason in REASONS}
    for reason, pairs in same.items():
        first[reason][np.searchsorted(nodes, pairs[:, 1])] = np.searchsorted(nodes, pairs[:, 0])
    starts, neighbors = {}, {}
    for view in VIEWS:
        one_way = np.searchsorted(nodes, near[view])
        both = np.concatenate([one_way, one_way[:, ::-1]])
        neighbors[view] = both[np.argsort(both[:, 0], kind="stable"), 1]
        starts[view] = np.concatenate([[0], np.cumsum(np.bincount(both[:, 0], minlength=len(nodes)))])
    covered = {view: np.zeros(len(nodes), dtype=bool) for view in VIEWS}
    gone: dict[str, list[int]] = {reason: [] for reason in REASONS}
    for node in range(len(nodes)):
        if first[EXACT][node] != node:
            gone[EXACT].append(node)
        elif reasons := [view for view in VIEWS if covered[view][first[view][node]]]:
            gone[reasons[0]].append(node)
        else:
            for view in VIEWS:
                text = first[view][node]
                covered[view][text] = True
                covered[view][neighbors[view][starts[view][text] : starts[view][text + 1]]] = True
    return {reason: nodes[np.array(found, dtype=np.int64)] for reason, found in gone.items()}
