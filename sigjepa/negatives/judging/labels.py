"""Pairs labeled by hand: a JSONL file of two functions and a score each, to hold a judge against."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from sigjepa.corpus.functions import Function
from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging.judges.judge import JudgeRequest, Pair
from sigjepa.runtime.fields import LineError, Score, parse_line


class LabeledPair(BaseModel):
    """The fields that a line must hold; others are not read."""

    model_config = ConfigDict(strict=True)

    label: Score
    anchor_signature: str
    anchor_body: str
    neighbor_signature: str
    neighbor_body: str

    def request(self, number: int) -> JudgeRequest:
        """Return the question, its functions in the order of their keys, so that mined pairs share the answer."""
        halves = (self.anchor_signature, self.anchor_body), (self.neighbor_signature, self.neighbor_body)
        functions = [Function("", "", "", 0, signature, "", body) for signature, body in halves]
        first, second = sorted(functions, key=lambda function: function.key)
        return JudgeRequest(
            2 * number,
            2 * number + 1,
            first.key,
            second.key,
            0.0,
            first.signature,
            first.body,
            second.signature,
            second.body,
        )


def read_labels(path: Path) -> tuple[list[JudgeRequest], dict[Pair, int]]:
    """Return the labeled pairs as requests, and their labels.

    Raises SigjepaError naming file and line for one that is not of that form, and for a pair that stands there twice.
    """
    if not path.is_file():
        raise SigjepaError(f"labels={path} does not exist; give a JSONL file of labeled pairs.")
    requests: list[JudgeRequest] = []
    labels: dict[Pair, int] = {}
    for number, text in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            labeled = parse_line(LabeledPair, text)
        except LineError as error:
            raise SigjepaError(f"{path}:{number}: {error}; repair the line, or take it out.") from None
        request = labeled.request(number)
        if request.pair in labels:
            raise SigjepaError(f"{path}:{number}: this pair was labeled before; remove one of the two lines.")
        requests.append(request)
        labels[request.pair] = labeled.label
    return requests, labels
