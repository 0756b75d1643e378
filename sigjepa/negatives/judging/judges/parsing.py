"""Reading a language model's answer: what may pass for a judgement, whatever text it comes in."""

import json
import re
from collections.abc import Iterator
from typing import Any

from sigjepa.negatives.judging.judges.judge import SCORES

ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "score_c": {"type": "integer", "enum": list(SCORES)}},
    "required": ["reason", "score_c"],
    "additionalProperties": False,
}
"""JSON schema of an answer, for strict modes; the reason comes first, so that the score follows from it."""

LONGEST_READ = 20_000  # characters of an answer that are looked at
LONGEST_REASON = 500  # characters of a reason that are kept
_BRACES_TRIED = 200
_THOUGHT = r"(?:think|thinking|thought|thoughts|reasoning|reflection)"
_THOUGHT_BEGINS = re.compile(rf"(?i)[<\[◁]{_THOUGHT}[>\]▷]")
_THOUGHT_ENDS = re.compile(rf"(?i)[<\[◁]/{_THOUGHT}[>\]▷]")


class UnusableAnswerError(ValueError):
    """An answer that holds no judgement; the message says what is wrong with it, for the model to repair."""


def read_answer(text: str) -> tuple[int, str]:
    """Score and reason of an answer: a JSON object, alone, fenced or with prose around it.

    Raises UnusableAnswerError for any other text: no object, one of another schema, or several that disagree.
    """
    text = _THOUGHT_ENDS.split(text)[-1][:LONGEST_READ].strip()  # reasoning is no answer
    if (thought := _THOUGHT_BEGINS.search(text)) and "{" not in text[: thought.start()]:
        raise UnusableAnswerError("it is cut off while it still thinks")
    if not text:
        raise UnusableAnswerError("it is empty")
    problem = "it holds no JSON object"
    found: dict[int, str] = {}
    for value in _objects(text):
        if flaw := _flaw(value):
            problem = flaw
        else:
            # half a surrogate pair can be written in JSON, but to no file
            found.setdefault(value["score_c"], value["reason"].encode(errors="replace").decode()[:LONGEST_REASON])
    if len(found) > 1:
        raise UnusableAnswerError(f"it holds several objects with different scores ({', '.join(map(str, found))})")
    if not found:
        raise UnusableAnswerError(problem)
    return next(iter(found.items()))


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the outermost JSON objects in a text."""
    decoder = json.JSONDecoder()
    start, tried = text.find("{"), 0
    while start >= 0 and tried < _BRACES_TRIED:
        tried += 1
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            yield value
        start = text.find("{", end)


def _flaw(value: dict[str, Any]) -> str:
    if missing := [key for key in ANSWER_SCHEMA["required"] if key not in value]:
        return f"the object lacks {' and '.join(missing)}"
    score = value["score_c"]
    if type(score) is not int or score not in SCORES:
        shown = type(score).__name__ if isinstance(score, dict | list) else json.dumps(score)[:80]
        return f"score_c is {shown}, not one of the integers 0, 1, 2 and 3"
    if not isinstance(value["reason"], str):
        return "reason is not a string"
    if surplus := sorted(set(value) - set(ANSWER_SCHEMA["properties"])):
        return f"the object holds {surplus[0][:80]!r}, which is not asked for"
    return ""
