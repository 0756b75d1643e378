"""Asking a page that runs: what it has loaded need not be loaded here."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

from sigjepa.errors import SigjepaError
from sigjepa.serving.answer import MAX_TOP_K, Answer, Result
from sigjepa.serving.query import Query

TIMEOUT = 60.0
"""Seconds until a page that says nothing is given up."""


@dataclass(frozen=True)
class ServedSearch:
    """Finds what `sigjepa serve` finds at an address; raises SigjepaError where nothing of the kind answers."""

    address: str

    def __len__(self) -> int:
        return int(self._get("/api/index", {})["functions"])

    def search(self, query: Query, top_k: int) -> Sequence[Result]:
        """Return the `top_k` functions whose bodies fit best, the best first; a function of a file not itself.

        Of MAX_TOP_K, the most that a page gives, there are fewer where copies of the file's function are among them.
        """
        return self.answers([query], [top_k])[0].results

    def answers(self, queries: Sequence[Query], top_k: Sequence[int]) -> list[Answer]:
        """Return what each of some queries comes to; top_k: results of each."""
        return [self._answer(query, number) for query, number in zip(queries, top_k, strict=True)]

    def _answer(self, query: Query, top_k: int) -> Answer:
        wanted = top_k if query.file is None or top_k >= MAX_TOP_K else top_k + 1
        own = query.qualname, query.body
        while True:
            content = self._get("/api/search", {"q": query.signature, "top_k": wanted})
            answer = Answer.of(query, content)
            others = [result for result in answer.results if (result.qualname, result.body) != own]
            if len(others) >= top_k or len(answer.results) < wanted or wanted >= MAX_TOP_K:
                return Answer(query, answer.expected, others[:top_k])
            wanted = min(2 * wanted, MAX_TOP_K)  # copies of its own function were among them

    def _get(self, path: str, values: dict[str, Any]) -> Any:
        try:
            with urlopen(f"{self.address.rstrip('/')}{path}?{urlencode(values)}", timeout=TIMEOUT) as answer:
                return json.load(answer)
        except HTTPError as error:
            raise SigjepaError(f"index={self.address} refuses the query: {_said(error)}") from None
        except (OSError, ValueError) as error:  # a URLError is one, and what is no JSON gives the other
            raise SigjepaError(
                f"index={self.address} is no page of `sigjepa serve` ({getattr(error, 'reason', error)}); give its "
                "address, or the folder of an index."
            ) from None


def _said(error: HTTPError) -> str:
    """Return what a page says of a refusal."""
    try:
        return str(json.load(error)["error"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"HTTP {error.code} {error.reason}"
