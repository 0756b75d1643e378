"""Questions: mined pairs without their direction, each once, and what a judge is shown of them."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging.judges.judge import JudgeRequest, Pair
from sigjepa.negatives.judging.response_cache import pair_hash
from sigjepa.negatives.mining.pairs import Pairs
from sigjepa.negatives.mining.vectors import Ids

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus

COLUMNS = ("key", "signature", "body")
FUNCTIONS = pa.schema({"id": pa.int64(), **dict.fromkeys(COLUMNS, pa.string()), "features": pa.binary()})
"""What is judged of each function, by ascending id."""
Features: TypeAlias = Callable[[str, str], bytes]
"""What reads a judge's features of a signature and a body."""
QUESTIONS_AT_ONCE = 1 << 12
"""Questions whose texts are held: some 20 MB."""


def questions_of(pairs: Pairs) -> tuple[Pairs, Ids]:
    """Return each unordered pair once, by the lower id and then the higher, and `[P]`: which of them a pair is.

    Takes some 50 bytes a pair.
    """
    if not len(pairs):
        return pairs, np.zeros(0, dtype=np.int64)
    ends = np.stack([pairs.anchor_ids, pairs.neighbor_ids])
    numbers = ends.min(axis=0) * (ends.max() + 1) + ends.max(axis=0)
    _, first, question_of = np.unique(numbers, return_index=True, return_inverse=True)
    return pairs.take(first), question_of


def ids_of(pairs: Pairs) -> Ids:
    """Return the ids that occur in pairs, ascending."""
    return np.unique(np.concatenate([pairs.anchor_ids, pairs.neighbor_ids]))


def functions_of(corpus: "Corpus", ids: Ids, features: Features) -> pa.Table:
    """Return what is judged of the functions `ids`, ascending and unique, with their features."""
    if not len(ids):
        return FUNCTIONS.empty_table()
    table = functions_at(corpus, ids, COLUMNS)
    read = map(features, table["signature"].to_pylist(), table["body"].to_pylist())
    return pa.table([ids, *table.columns, list(read)], schema=FUNCTIONS)


def functions_at(corpus: "Corpus", ids: Ids, columns: Sequence[str]) -> pa.Table:
    """Return some columns of the functions `ids`, ascending and unique; what lies between them is read in blocks."""
    found, start = [], int(ids[0])
    for table in corpus.tables(columns, slice(start, int(ids[-1]) + 1)):
        first, last = np.searchsorted(ids, (start, start + len(table)))
        found.append(table.take(pa.array(ids[first:last] - start)))
        start += len(table)
    return pa.concat_tables(found)


def requests_for(questions: Pairs, functions: pa.Table) -> Iterator[JudgeRequest]:
    """Yield the request of each question, the function with the smaller key first; their texts are read in blocks."""
    ids = functions["id"].to_numpy()
    for start in range(0, len(questions), QUESTIONS_AT_ONCE):
        block = questions.take(np.arange(start, min(start + QUESTIONS_AT_ONCE, len(questions))))
        here = ids_of(block)
        columns = (functions[name] for name in (*COLUMNS, "features"))
        values = (values_at(column, np.searchsorted(ids, here)) for column in columns)
        known = dict(zip(here.tolist(), zip(*values, strict=True), strict=True))
        for *pair, cosim in zip(*(column.tolist() for column in block.columns), strict=True):
            first, second = sorted(pair, key=lambda function: (known[function][0], function))
            (key, signature, body, features), other = known[first], known[second]
            other_key, other_signature, other_body, other_features = other
            yield JudgeRequest(
                first,
                second,
                key,
                other_key,
                cosim,
                signature,
                body,
                other_signature,
                other_body,
                features,
                other_features,
            )


def values_at(column: pa.ChunkedArray, rows: Ids) -> list[Any]:
    """Return the values in `rows`; `take` would join the chunks of all files first."""
    return [column[row].as_py() for row in rows.tolist()]


def question_hashes(questions: Pairs, functions: pa.Table) -> npt.NDArray[np.uint64]:
    """Return the hash of each question's pair `[Q]`."""
    ids = functions["id"].to_numpy()
    keys = dict(zip(ids.tolist(), functions["key"].to_pylist(), strict=True))
    pairs = zip(questions.anchor_ids.tolist(), questions.neighbor_ids.tolist(), strict=True)
    found = (pair_hash(pair_of(keys[first], keys[second])) for first, second in pairs)
    return np.fromiter(found, np.uint64, len(questions))


def pair_of(key: str, other: str) -> Pair:
    """Return two content keys in order."""
    return (key, other) if key <= other else (other, key)


def chosen(hashes: npt.NDArray[np.uint64], limit: int | None) -> Ids:
    """Return which questions are asked, ascending: at most `limit`, of the lowest hashes, so a higher limit keeps them.

    Raises SigjepaError for a limit below 1.
    """
    if limit is None:
        return np.arange(len(hashes))
    if limit < 1:
        raise SigjepaError(f"negatives.judge.limit must be at least 1, or null for all pairs, got {limit}.")
    return np.sort(np.argsort(hashes, kind="stable")[:limit])
