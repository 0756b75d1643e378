"""A heuristic judge that scores two functions from their code alone: no model, no network, no training.

It reads how much two functions have in common, not what they compute: an algorithm rewritten from scratch looks
unrelated to it, and two functions that differ in one operator look equivalent. Its agreement with hand labels is
measured in `tests/negatives/judging/judges/test_structural.py`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging.judges.code_features import Features, extract_features, overlaps_of
from sigjepa.negatives.judging.judges.judge import Judge, Judgement, JudgeRequest
from sigjepa.runtime.fields import Count, component

VERSION = 3  # raise it when the same pair may get another score: judged pairs are keyed by it


@component("negatives.judge")
class StructuralJudge(Judge):
    """Scores a pair by a weighted mean of four overlaps of the two functions' code, cut at three thresholds.

    The overlaps are Dice coefficients: words of the split identifiers and literals, called names, control-flow
    shape (kinds of statements and their neighbors), and shingles of the syntax tree with local names forgotten
    (near-clones). An overlap that neither function has anything for is left out of the mean. Identical bodies, and
    bodies that differ in formatting and local names only, are equivalent whatever the thresholds.

    Raises SigjepaError for weights that are negative or all zero, and thresholds that do not ascend within [0, 1].
    """

    slightly_related_from: float = 0.15
    related_from: float = 0.35
    equivalent_from: float = 0.70
    identifiers_weight: float = 0.5
    calls_weight: float = 0.1
    shape_weight: float = 0.1
    shingles_weight: float = 0.3
    cached_functions: Count = 50_000

    def __post_init__(self) -> None:
        thresholds = self._thresholds()
        if not 0 <= thresholds[0] <= thresholds[1] <= thresholds[2] <= 1:
            raise SigjepaError(
                "negatives.judge.slightly_related_from, related_from and equivalent_from must ascend within [0, 1], "
                f"got {thresholds}; the defaults are 0.15, 0.35 and 0.70."
            )
        weights = self._weights()
        if not all(weight >= 0 for weight in weights) or not 0 < sum(weights) < float("inf"):
            raise SigjepaError(
                f"negatives.judge: the weights (identifiers, calls, shape, shingles) are {weights}; none may "
                "be negative and at least one must be positive."
            )

    @property
    def name(self) -> str:
        """Says in every table and file that the scores are a heuristic's."""
        return "structural (heuristic)"

    def fingerprint(self) -> dict[str, Any]:
        """Name, version, thresholds and weights: all that a score depends on."""
        settings = asdict(self)
        del settings["cached_functions"]  # changes the speed, not a score
        return {"judge": self.name, "version": VERSION, **settings}

    @property
    def keeps_answers(self) -> bool:
        """No: a pair takes less time than the line of its answer."""
        return False

    def features(self, signature: str, body: str) -> bytes:
        """Return the features of a function, packed."""
        return extract_features(signature, body).pack()

    def judge(self, requests: Iterable[JudgeRequest]) -> Iterator[tuple[JudgeRequest, Judgement]]:
        """Yield one judgement per request, in order; features that a request lacks are read, and kept for this call."""
        read = lru_cache(maxsize=self.cached_functions)(self.features)
        for request in requests:
            if request.anchor_body == request.neighbor_body:
                yield request, Judgement(3, "identical bodies")
                continue
            anchor = request.anchor_features or read(request.anchor_signature, request.anchor_body)
            neighbor = request.neighbor_features or read(request.neighbor_signature, request.neighbor_body)
            yield request, self._compare(Features.unpack(anchor), Features.unpack(neighbor))

    def _compare(self, anchor: Features, neighbor: Features) -> Judgement:
        if anchor.canonical == neighbor.canonical:
            return Judgement(3, "same code up to formatting and local names")
        overlaps = overlaps_of(anchor.hashes, neighbor.hashes)
        total = weighed = 0.0
        for overlap, weight in zip(overlaps.values(), self._weights(), strict=True):
            if overlap is not None:
                total += weight * overlap
                weighed += weight
        similarity = total / weighed if weighed else 0.0
        score_c = sum(similarity >= threshold for threshold in self._thresholds())
        values = ", ".join(f"{name} {'-' if value is None else f'{value:.2f}'}" for name, value in overlaps.items())
        return Judgement(score_c, f"similarity {similarity:.2f}: {values}")

    def _thresholds(self) -> tuple[float, float, float]:
        return self.slightly_related_from, self.related_from, self.equivalent_from

    def _weights(self) -> tuple[float, float, float, float]:
        return self.identifiers_weight, self.calls_weight, self.shape_weight, self.shingles_weight
