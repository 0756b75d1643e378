"""A judge: functions of about the same length are related."""

from collections.abc import Iterable, Iterator
from typing import Any

from sigjepa.negatives.judging.judges.judge import Judge, Judgement, JudgeRequest


class LengthJudge(Judge):
    """Score 2 when the shorter body has at least `related_from` of the longer one's characters, else 0."""

    def __init__(self, related_from: float = 0.9) -> None:
        self.related_from = related_from

    @property
    def name(self) -> str:
        """How the judge is called wherever its scores appear."""
        return "length"

    def fingerprint(self) -> dict[str, Any]:
        """Return everything that a score depends on."""
        return {"judge": self.name, "version": 1, "related_from": self.related_from}

    def judge(self, requests: Iterable[JudgeRequest]) -> Iterator[tuple[JudgeRequest, Judgement]]:
        """Yield each request with its judgement."""
        for request in requests:
            shorter, longer = sorted([len(request.anchor_body), len(request.neighbor_body)])
            share = shorter / longer
            yield request, Judgement(2 if share >= self.related_from else 0, f"{share:.2f} of the length")
