"""Duplicates: equal bodies by hash, nearly equal ones by MinHash LSH and an exact check."""

import re
from collections import Counter
from collections.abc import Sequence
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
SHINGLE_TOKENS = 5
PERMUTATIONS = 160
MISSED_SHARE = 1e-5
"""How rarely LSH may miss a pair that is exactly at the threshold; closer pairs are missed less."""


def drop_duplicates(functions: Sequence[Function], threshold: float = 0.8) -> tuple[list[Function], Counter[str]]:
    """Return the functions no two of which have equal bodies or bodies of a token-shingle Jaccard of `threshold` or
    more.

    In the order given, a function is kept when it is no duplicate of one kept before, so one of each cluster stays
    and no chain of small differences removes unlike functions. The body decides: it is what is predicted, so two
    nearly equal ones would be two right answers, and a leak where they stand in different splits.
    """
    if not 0 < threshold <= 1:
        raise SigjepaError(f"near_duplicate_threshold={threshold} must be above 0 and at most 1.")
    dropped: Counter[str] = Counter()
    bodies: set[bytes] = set()
    hashes: dict[str, int] = {}
    kept: list[Function] = []
    kept_shingles: list[ShingleSet] = []
    index = RMinHashLSH(threshold, PERMUTATIONS, lsh_bands(threshold))
    for function in progress(functions, "Looking for duplicates", unit="function"):
        body = xxhash.xxh3_128_digest(function.body.encode())
        if body in bodies:
            dropped["exact_duplicate"] += 1
            continue
        bodies.add(body)
        shingles = shingle_set(function.body, hashes)
        sketch = RMinHash(PERMUTATIONS, 0)
        sketch.update(shingles.view("V8").tolist())
        # Only kept functions are indexed: a thousand copies of one function cost a thousand comparisons, not a million.
        if any(jaccard(shingles, kept_shingles[candidate]) >= threshold for candidate in index.query(sketch)):
            dropped["near_duplicate"] += 1
            continue
        index.insert(len(kept), sketch)
        kept.append(function)
        kept_shingles.append(shingles)
    return kept, dropped


def shingle_set(body: str, hashes: dict[str, int] | None = None) -> ShingleSet:
    """Return the hashes of all runs of five tokens of `body`; a shorter body is one shingle. `hashes` caches those of
    tokens.
    """
    known = {} if hashes is None else hashes
    tokens = TOKEN.findall(body)
    for token in tokens:
        if token not in known:
            known[token] = xxhash.xxh3_64_intdigest(token.encode())
    values = np.fromiter(map(known.__getitem__, tokens), dtype=np.uint64, count=len(tokens))
    width = min(SHINGLE_TOKENS, len(values))
    shingles = np.zeros(len(values) - width + 1, dtype=np.uint64)
    for position in range(width):  # a polynomial of the tokens, modulo 2^64
        shingles = shingles * np.uint64(0x9E3779B97F4A7C15) + values[position : position + len(shingles)]
    return np.unique(shingles)


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
