"""What every judge of a mined pair takes and gives, whether it reads the code itself or asks a language model."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

SCORES = {0: "unrelated", 1: "slightly related", 2: "related", 3: "equivalent"}
"""The published scale of `score_c`; 0 and 1 may become hard negatives, 2 and 3 are false negatives."""


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """One unordered pair of functions to be scored; `cosim` is the teacher's cosine of their bodies."""

    anchor_id: int
    neighbor_id: int
    cosim: float
    anchor_signature: str
    anchor_body: str
    neighbor_signature: str
    neighbor_body: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """A score of `SCORES` and, in a few words, why."""

    score_c: int
    reason: str


class Judge(Protocol):
    """Scores pairs; a pair and its reverse get the same score, so that each is judged once."""

    @property
    def name(self) -> str:
        """How the judge is called wherever its scores appear."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """Everything that a score depends on, as JSON; a changed fingerprint judges again."""
        ...

    def judge(self, requests: Iterable[JudgeRequest]) -> Iterator[Judgement]:
        """One judgement per request, in the order of the requests."""
        ...
