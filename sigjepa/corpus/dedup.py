"""Duplicates: equal bodies by hash, nearly equal ones by MinHash LSH and an exact check, identifiers renamed or not."""

import keyword
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import xxhash
from rensa import RMinHash, RMinHashLSH

from sigjepa.corpus.functions import Function
from sigjepa.errors import SigjepaError
from sigjepa.store.progress import progress

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


def drop_duplicates(functions: Sequence[Function], threshold: float = 0.8) -> tuple[list[Function], Counter[str]]:
    """Return the functions no two of which have equal bodies or bodies of a token-shingle Jaccard of `threshold` or
    more, with their identifiers as they are or renamed.

    In the order given, a function is kept when it is no duplicate of one kept before, so one of each cluster stays
    and no chain of small differences removes unlike functions. The body decides: it is what is predicted, so two
    nearly equal ones would be two right answers, and a leak where they stand in different splits.
    """
    if not 0 < threshold <= 1:
        raise SigjepaError(f"near_duplicate_threshold={threshold} must be above 0 and at most 1.")
    dropped: Counter[str] = Counter()
    bodies: set[bytes] = set()
    kept: list[Function] = []
    indexes = {reason: NearIndex(threshold) for reason in VIEWS}
    for function in progress(functions, "Looking for duplicates", unit="function"):
        body = xxhash.xxh3_128_digest(function.body.encode())
        if body in bodies:
            dropped["exact_duplicate"] += 1
            continue
        bodies.add(body)
        sets = {reason: indexes[reason].shingle_set(view(function.body)) for reason, view in VIEWS.items()}
        reason = next((reason for reason in VIEWS if indexes[reason].holds_near(sets[reason])), None)
        if reason is not None:
            dropped[reason] += 1
            continue
        for name, index in indexes.items():
            index.add(sets[name])
        kept.append(function)
    return kept, dropped


class NearIndex:
    """Shingle sets, and whether one of a Jaccard of `threshold` or more is among them: by LSH, then exactly."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.sets: list[ShingleSet] = []
        self.index = RMinHashLSH(threshold, PERMUTATIONS, lsh_bands(threshold))
        self.hashes: dict[str, int] = {}

    def shingle_set(self, tokens: Iterable[str]) -> ShingleSet:
        """Return the hashes of all runs of five tokens; fewer tokens are one shingle."""
        values = np.array([self.hashes.get(token) or self._hash(token) for token in tokens], dtype=np.uint64)
        width = min(SHINGLE_TOKENS, len(values))
        shingles = np.zeros(len(values) - width + 1, dtype=np.uint64)
        for position in range(width):  # a polynomial of the tokens, modulo 2^64
            shingles = shingles * np.uint64(0x9E3779B97F4A7C15) + values[position : position + len(shingles)]
        return np.unique(shingles)

    def _hash(self, token: str) -> int:
        return self.hashes.setdefault(token, xxhash.xxh3_64_intdigest(token.encode()))

    def holds_near(self, shingles: ShingleSet) -> bool:
        """Return whether a set of the index is near `shingles`."""
        near = self.index.query(sketch(shingles))
        return any(jaccard(shingles, self.sets[candidate]) >= self.threshold for candidate in near)

    def add(self, shingles: ShingleSet) -> None:
        """Add a set. Only kept functions are added: a thousand copies cost a thousand comparisons, not a million."""
        self.index.insert(len(self.sets), sketch(shingles))
        self.sets.append(shingles)


def sketch(shingles: ShingleSet) -> RMinHash:
    """Return the MinHash of a shingle set."""
    result = RMinHash(PERMUTATIONS, 0)
    result.update(shingles.view("V8").tolist())
    return result


def jaccard(first: ShingleSet, second: ShingleSet) -> float:
    """Return the size of the intersection over size of the union of two shingle sets `[K]`, `[L]`."""
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / (len(first) + len(second) - shared)


def lsh_bands(threshold: float) -> int:
    """Return the fewest bands that miss less than MISSED_SHARE, `(1 - t^rows)^bands`, of the pairs at `threshold`."""
    for bands in (divisor for divisor in range(1, PERMUTATIONS + 1) if PERMUTATIONS % divisor == 0):
        if (1 - threshold ** (PERMUTATIONS // bands)) ** bands < MISSED_SHARE:
            return bands
    return PERMUTATIONS
