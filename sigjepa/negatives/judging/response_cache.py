"""The response cache of a judge: every answer it ever gave, one line a pair, appended as it comes, never asked twice.

It outlives corpora, thresholds and limits, because it names functions by their content and a language model's answers
cost money. A process may be killed anywhere: a line is written at once and whole, and half of one is cut off again.
"""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from pydantic import BaseModel, ConfigDict, Field

from sigjepa.errors import DamagedError
from sigjepa.negatives.judging.judges.judge import Judge, Judgement, Pair
from sigjepa.runtime.fields import LineError, Score, json_object, validate
from sigjepa.store.files import atomic_path, write_json
from sigjepa.store.manifest import CHECKSUM, checksum_of, content_key
from sigjepa.store.store import artifact_lock

MAX_SLUG = 60  # a model's name may be a path
SYNC_SECONDS = 1.0  # at most this much work is lost when the machine, not the process, dies

Answers = dict[Pair, tuple[Judgement, ...]]


class Line(BaseModel):
    """The fields that a line must hold; who judged, and the checksum, stand beside them."""

    model_config = ConfigDict(strict=True)

    pair: Annotated[list[str], Field(min_length=2, max_length=2)]
    score_c: Score | None
    reason: str
    details: dict[str, Any]


def responses_folder(data_dir: Path) -> Path:
    """Return where the answers of all judges are kept."""
    return Path(data_dir) / "responses"


def responses_path(data_dir: Path, judge: Judge) -> Path:
    """Return where the answers of `judge` are kept: one file for all that is judged under one fingerprint."""
    return responses_folder(data_dir) / f"{slug(judge.name)}-{content_key(judge.fingerprint())}.jsonl"


def slug(name: str) -> str:
    """Return a judge's name as part of a file's."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:MAX_SLUG].strip("-")


class ResponseCache:
    """Answers of one judge under one fingerprint; opened by `open_responses`, which holds its lock."""

    def __init__(self, path: Path, stream: BinaryIO, judge: Judge) -> None:
        fingerprint = judge.fingerprint()
        self.path = path
        self._stream = stream
        self._head = {"judge": judge.name, **{key: fingerprint.get(key) for key in ("model", "prompt_version")}}
        self._synced = time.monotonic()
        self._answers = _read(path, stream)

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, pair: Pair, retries: int = 0) -> Judgement | None:
        """Return the answer to `pair`, or None when it is to be asked.

        The first answer with a score counts; one without counts when it was given more than `retries` times.
        """
        answers = self._answers.get(pair, ())[: retries + 1]
        for answer in answers:
            if answer.score_c is not None:
                return answer
        return answers[-1] if len(answers) > retries else None

    def has_score(self) -> bool:
        """Return whether any answer has a score."""
        return any(answer.score_c is not None for answers in self._answers.values() for answer in answers)

    def append(self, pair: Pair, judgement: Judgement) -> None:
        """Record one answer: it survives whatever happens to this process from here on."""
        answer = {"score_c": judgement.score_c, "reason": judgement.reason, "details": dict(judgement.details)}
        line = {"pair": list(pair), **self._head, **answer}
        text = json.dumps(line | {CHECKSUM: checksum_of(line)})
        self._stream.write(text.encode() + b"\n")  # unbuffered: one write
        self._answers[pair] = (*self._answers.get(pair, ()), judgement)
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Have the operating system put on disk what was appended."""
        os.fsync(self._stream.fileno())
        self._synced = time.monotonic()


@contextmanager
def open_responses(data_dir: Path, judge: Judge) -> Iterator[ResponseCache]:
    """Hold the response cache of `judge` for this process alone: another one waits, and then finds the answers.

    Raises SigjepaError naming file and line for one that is broken; half a line at the end is cut off.
    """
    path = responses_path(data_dir, judge)
    with artifact_lock(path):
        write_json(path.with_suffix(".fingerprint.json"), judge.fingerprint())
        with path.open("ab+", buffering=0) as stream:
            cache = ResponseCache(path, stream, judge)
            try:
                yield cache
            finally:
                cache.sync()


def _read(path: Path, stream: Any) -> Answers:
    """Return all answers; leaves the file ending in a whole line."""
    stream.seek(0)
    *lines, torn = stream.read().split(b"\n")
    answers: Answers = {}
    for number, line in enumerate(lines, start=1):
        try:
            _add(line, answers)
        except LineError as error:
            raise DamagedError(
                f"{path}:{number}: {error}. Repair or remove that line, or have `python -m sigjepa.prepare "
                "repair=true` set it aside; the others stay judged, and a pair without a line is judged again.",
                partial(keep_sound_lines, path),
            ) from None
    if torn:
        try:
            _add(torn, answers)
        except LineError:
            stream.truncate(sum(len(line) + 1 for line in lines))
        else:  # only the end of the line is missing
            stream.write(b"\n")
    return answers


def _add(text: bytes, answers: Answers) -> None:
    """Add the answer on a line; raises LineError for a line that is not as it was written."""
    content = json_object(text)
    line = validate(Line, content)
    if content.get(CHECKSUM) != checksum_of(content):
        raise LineError("altered after it was written: its checksum differs")
    pair = (line.pair[0], line.pair[1])
    answers[pair] = (*answers.get(pair, ()), Judgement(line.score_c, line.reason, line.details))


def keep_sound_lines(path: Path) -> None:
    """Move the broken lines of a response cache to `<name>.damaged`, which may hold answers that were paid for."""
    sound: list[bytes] = []
    broken: list[bytes] = []
    for line in filter(None, path.read_bytes().split(b"\n")):
        try:
            _add(line, {})
            sound.append(line)
        except LineError:
            broken.append(line)
    with path.with_name(f"{path.name}.damaged").open("ab") as stream:
        stream.write(b"".join(line + b"\n" for line in broken))
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"".join(line + b"\n" for line in sound))
