"""The answer to a query: the functions that were found, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sigjepa.data.shares import Share, Term
from sigjepa.serving.query import Query

MAX_TOP_K = 100
"""Results that a page gives at most."""


@dataclass(frozen=True)
class Result:
    """A function that was found.

    row: its number in the index. file: where it lay when it was indexed, None in an archive. changed: `changed` or
    `removed`, when its file is not as it was indexed. score: the sum of `why`; of a neighbor, the cosine.
    """

    row: int
    repository: str
    path: str
    line: int
    qualname: str
    signature: str
    body: str
    file: str | None
    changed: str | None
    score: float
    why: Sequence[Share] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        why = [dict(vars(share)) | {"terms": [dict(vars(term)) for term in share.terms]} for share in self.why]
        return dict(vars(self)) | {"why": why}


@dataclass(frozen=True)
class Answer:
    """The functions that answer a query. expected: the strongest terms that a student expects of a body, by view."""

    query: Query
    expected: Mapping[str, Sequence[Term]]
    results: Sequence[Result]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        expected = {view: [dict(vars(term)) for term in terms] for view, terms in self.expected.items()}
        results = [result.as_dict() for result in self.results]
        return {"query": self.query.signature, "note": self.query.note, "expected": expected, "results": results}

    @classmethod
    def of(cls, query: Query, content: Mapping[str, Any]) -> "Answer":
        """Return the answer to a query of what `as_dict` gave."""
        expected = {view: [Term(**term) for term in terms] for view, terms in content["expected"].items()}
        results = []
        for each in content["results"]:
            why = [Share(**{**share, "terms": [Term(**term) for term in share["terms"]]}) for share in each["why"]]
            results.append(Result(**{**each, "why": why}))
        return cls(query, expected, results)
