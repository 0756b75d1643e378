"""The error explorer's data: a sample of queries, what each run retrieves for them, and the code, highlighted."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import repeat
from typing import Literal

import numpy as np
from torch import Tensor

from sigjepa.evaluation.ranks import cosine_scores
from sigjepa.reporting.page import script_json
from sigjepa.reporting.retrieval import ExplainedRetrieval, Retrieval

HARDEST, EASIEST, CHANGED = "hardest", "easiest", "changed"
"""Why a query is in the sample."""


@dataclass(frozen=True)
class FunctionText:
    """Hold what a reader sees of one function."""

    signature: str
    body: str
    qualname: str
    repository: str
    path: str


@dataclass(frozen=True)
class Retrieved:
    """One retrieved body: its score, the teacher's cosine with the true body, whether it is it, and what
    its score is the sum of, in words; empty of a cosine."""

    id: int
    score: float
    teacher_cosine: float
    match: Literal["true", "copy", ""]
    why: str = ""


@dataclass(frozen=True)
class Answer:
    """Hold what one run gives for one query: the true body's best and worst rank and score, and the first bodies.

    why: what the true body's score is the sum of.
    """

    optimistic: int
    pessimistic: int
    score: float
    retrieved: tuple[Retrieved, ...]
    why: str = ""


@dataclass(frozen=True)
class SampledQuery:
    """One query of the sample: why it is there, and one answer a run.

    change: log2 of its rank in the first compared run over that in the second; above 0 is an improvement.
    """

    id: int
    kinds: tuple[str, ...]
    change: float | None
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class ExplorerData:
    """Hold all that the error explorer shows; `pool` is the number of candidates of every query.

    measures: what each run ranks by, `cosine` or `score`.
    """

    runs: tuple[str, ...]
    measures: tuple[str, ...]
    compared: tuple[str, str] | None
    pool: int
    queries: tuple[SampledQuery, ...]
    functions: Mapping[int, FunctionText]

    def json(self) -> str:
        """Return the JSON that may stand in a `<script>` element as it is; code is there once an id, as highlighted
        tokens.
        """
        functions = {
            str(key): asdict(text) | {"signature": highlight(text.signature), "body": highlight(text.body)}
            for key, text in sorted(self.functions.items())
        }
        value = {
            "runs": self.runs,
            "measures": self.measures,
            "compared": self.compared,
            "pool": self.pool,
            "queries": [asdict(query) for query in self.queries],
            "functions": functions,
        }
        return script_json(value)


def explore(
    shown: Mapping[str, Retrieval | ExplainedRetrieval],
    bodies: Tensor,
    functions: Mapping[int, FunctionText],
    *,
    queries: int,
    compared: tuple[str, str] | None = None,
    top: int = 5,
) -> ExplorerData:
    """Sample a pool's hardest, easiest and most changed queries and look up what every run retrieves for them.

    bodies: `[N, D]` the pool's true bodies, in the order of the retrievals' ids. queries: how many of each kind.
    compared: the two runs between which a change is measured; None leaves that kind out. functions: the texts of the
    whole pool. Equal scores are put in the order of ids.
    """
    ids = next(iter(shown.values())).ids
    expected = np.stack([(run.ranks.optimistic + run.ranks.pessimistic) / 2 for run in shown.values()])
    own_scores = np.stack([run.own_scores(bodies) for run in shown.values()])
    names = list(shown)
    change = np.log2(expected[names.index(compared[0])] / expected[names.index(compared[1])]) if compared else None
    kinds = sample_queries(ids, expected.mean(axis=0), own_scores.mean(axis=0), change, queries)

    rows = list(kinds)
    found = [run.first(rows, bodies, top) for run in shown.values()]
    teacher = cosine_scores(bodies[rows].float(), bodies).numpy()
    needed = {int(ids[place]) for run in found for ranked in run for place in ranked.places} | set(ids[rows].tolist())

    def answer(run: int, position: int, row: int) -> Answer:
        ranked, ranks = found[run][position], shown[names[run]].ranks
        retrieved = (
            Retrieved(
                int(ids[place]),
                rounded(value),
                rounded(teacher[position][place]),
                match(int(ids[row]), int(ids[place]), functions),
                why,
            )
            for place, value, why in zip(ranked.places, ranked.scores, ranked.why[:-1] or repeat(""), strict=False)
        )
        places = int(ranks.optimistic[row]), int(ranks.pessimistic[row])
        return Answer(*places, rounded(ranked.true_score), tuple(retrieved), ranked.why[-1] if ranked.why else "")

    sampled = tuple(
        SampledQuery(
            int(ids[row]),
            tuple(why),
            None if change is None else rounded(change[row]),
            tuple(answer(run, position, row) for run in range(len(names))),
        )
        for position, (row, why) in enumerate(kinds.items())
    )
    return ExplorerData(
        tuple(names),
        tuple("cosine" if isinstance(run, Retrieval) else "score" for run in shown.values()),
        compared,
        len(ids),
        sampled,
        {function_id: functions[function_id] for function_id in sorted(needed)},
    )


def sample_queries(
    ids: np.ndarray, rank: np.ndarray, cosine: np.ndarray, change: np.ndarray | None, queries: int
) -> dict[int, list[str]]:
    """Return the rows of the sampled queries with their kinds, from `[N]` mean ranks, mean cosines and changes.

    Among equal ranks a lower cosine is harder and a higher one easier, then the lower id comes first. A query whose
    rank is the same in both runs is no change.
    """
    orders = {HARDEST: np.lexsort((ids, cosine, -rank)), EASIEST: np.lexsort((ids, -cosine, rank))}
    if change is not None:
        order = np.lexsort((ids, -np.abs(change)))
        orders[CHANGED] = order[change[order] != 0]
    kinds: dict[int, list[str]] = {}
    for kind, order in orders.items():
        for row in order[:queries].tolist():
            kinds.setdefault(row, []).append(kind)
    return kinds


def match(query: int, retrieved: int, functions: Mapping[int, FunctionText]) -> Literal["true", "copy", ""]:
    """Return whether a retrieved body is the query's own, a copy of it byte for byte, or neither."""
    if retrieved == query:
        return "true"
    return "copy" if functions[retrieved].body == functions[query].body else ""


def rounded(value: float) -> float:
    """Return a figure as precise as anyone reads it, which keeps the page small."""
    return round(float(value), 4)


def highlight(code: str) -> list[tuple[str, str]]:
    """Return Python code as `(class, text)` tokens of one letter a class; texts joined are the code, line ends as
    newlines.
    """
    from pygments.lexers import PythonLexer  # noqa: PLC0415 - only the page needs it
    from pygments.token import (  # noqa: PLC0415 - as above
        Comment,
        Keyword,
        Name,
        Number,
        Operator,
        String,
    )

    classes = (
        ("k", (Keyword, Operator.Word)),
        ("s", (String,)),
        ("c", (Comment,)),
        ("m", (Number,)),
        ("d", (Name.Decorator,)),
        ("f", (Name.Function, Name.Class)),
        ("b", (Name.Builtin,)),
    )
    tokens: list[tuple[str, str]] = []
    for kind, text in PythonLexer(stripnl=False, ensurenl=False).get_tokens(code):
        letter = next((letter for letter, families in classes if any(kind in family for family in families)), "")
        if tokens and (tokens[-1][0] == letter or text.isspace()):
            tokens[-1] = (tokens[-1][0], tokens[-1][1] + text)
        else:
            tokens.append((letter, text))
    return tokens
