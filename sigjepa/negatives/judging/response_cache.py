"""The response cache of a judge: every answer it ever gave, one line a pair, appended as it comes, never asked twice.

It outlives corpora, thresholds and limits, because it names functions by their content and a language model's answers
cost money. Each writer appends to a ledger of its own, and all ledgers are read as one. A process may be killed
anywhere: a line is written at once and whole, and half of one is not read.
"""

import json
import os
import re
import time
import uuid
from array import array
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import numpy as np
import numpy.typing as npt
import xxhash
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


def responses_stem(data_dir: Path, judge: Judge) -> Path:
    """Return what the ledgers of all that is judged under one fingerprint are called, before the writer's name."""
    return responses_folder(data_dir) / f"{slug(judge.name)}-{content_key(judge.fingerprint())}"


def ledgers(data_dir: Path, judge: Judge) -> list[Path]:
    """Return the ledgers of a judge in the order in which they were begun; one without a writer's name came first."""
    stem = responses_stem(data_dir, judge)
    return sorted(stem.parent.glob(f"{stem.name}*.jsonl"), key=lambda path: (len(path.name), path.name))


def slug(name: str) -> str:
    """Return a judge's name as part of a file's."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:MAX_SLUG].strip("-")


def pair_hash(pair: Pair) -> int:
    """Return a number by which pairs are counted and chosen, the same in every corpus."""
    return xxhash.xxh3_64_intdigest("\0".join(pair).encode())


@dataclass
class Known:
    """What the ledgers of a judge hold: hashes of the pairs with a score, and how often the others were answered."""

    scored: "array[int]" = field(default_factory=lambda: array("Q"))
    unscored: Counter[int] = field(default_factory=Counter)

    def answered(self, hashes: npt.NDArray[np.uint64], retries: int) -> npt.NDArray[np.bool_]:
        """Return which of the pairs with these hashes are not to be asked, as `ResponseCache.find` says."""
        given_up = [number for number, count in self.unscored.items() if count > retries]
        return np.isin(hashes, np.array([*self.scored, *given_up], np.uint64))


@contextmanager
def held_ledgers(data_dir: Path, judge: Judge) -> Iterator[Known]:
    """Hold the ledgers of `judge` for this command and its workers: another command waits, and finds the answers.

    All lines are checked: raises DamagedError naming file and line for one that is broken.
    """
    if not judge.keeps_answers:
        yield Known()
        return
    stem = responses_stem(data_dir, judge)
    with artifact_lock(stem):
        write_json(stem.with_name(f"{stem.name}.fingerprint.json"), judge.fingerprint())
        known = Known()
        for path in ledgers(data_dir, judge):
            for pair, judgement in read_ledger(path):
                if judgement.score_c is None:
                    known.unscored[pair_hash(pair)] += 1
                else:
                    known.scored.append(pair_hash(pair))
        yield known


class ResponseCache:
    """The answers of one judge to some pairs: those of all ledgers, and those that are added, to a ledger of its own.

    Nothing is kept of a judge that does not want it.
    """

    def __init__(self, data_dir: Path, judge: Judge, pairs: Collection[Pair]) -> None:
        fingerprint = judge.fingerprint()
        stem, now = responses_stem(data_dir, judge), datetime.now(UTC)
        self.path = stem.with_name(f"{stem.name}.{now:%Y%m%dT%H%M%S.%f}-{uuid.uuid4().hex[:8]}.jsonl")
        self.trusted = False
        """Whether the judge has given a score before."""
        self._head = {"judge": judge.name, **{key: fingerprint.get(key) for key in ("model", "prompt_version")}}
        self._keeps = judge.keeps_answers
        self._stream: BinaryIO | None = None
        self._synced = time.monotonic()
        self._answers: Answers = {}
        if self._keeps:
            earlier = ledgers(data_dir, judge)
            self.trusted = any(map(_has_score, earlier))
            heads = {_head_of(pair) for pair in pairs}
            for path in earlier:
                for pair, judgement in read_ledger(path, heads):
                    self._answers[pair] = (*self._answers.get(pair, ()), judgement)

    def find(self, pair: Pair, retries: int = 0) -> Judgement | None:
        """Return the answer to `pair`, or None when it is to be asked.

        The first answer with a score counts; one without counts when it was given more than `retries` times.
        """
        answers = self._answers.get(pair, ())[: retries + 1]
        for answer in answers:
            if answer.score_c is not None:
                return answer
        return answers[-1] if len(answers) > retries else None

    def append(self, pair: Pair, judgement: Judgement) -> None:
        """Record one answer: it survives whatever happens to this process from here on."""
        self._answers[pair] = (*self._answers.get(pair, ()), judgement)
        if not self._keeps:
            return
        answer = {"score_c": judgement.score_c, "reason": judgement.reason, "details": dict(judgement.details)}
        line = {"pair": list(pair), **self._head, **answer}
        text = json.dumps(line | {CHECKSUM: checksum_of(line)})
        if self._stream is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self.path.open("ab", buffering=0)
        self._stream.write(text.encode() + b"\n")  # unbuffered: one write
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self._sync(self._stream)

    def _sync(self, stream: BinaryIO) -> None:
        os.fsync(stream.fileno())
        self._synced = time.monotonic()

    def __enter__(self) -> "ResponseCache":
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._sync(self._stream)
            self._stream.close()


def read_ledger(path: Path, heads: Collection[bytes] | None = None) -> Iterator[tuple[Pair, Judgement]]:
    """Yield the answers of a ledger, or those that begin with one of `heads`; half a line at the end is none.

    Raises DamagedError naming file and line for one that is not as it was written.
    """
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            head, mark, _ = line.partition(HEAD_END)
            if heads is not None and mark and head not in heads:
                continue
            try:
                pair, judgement = _parsed(line)
            except LineError as error:
                if not line.endswith(b"\n"):
                    return
                raise DamagedError(
                    f"{path}:{number}: {error}",
                    "Repair or remove that line, or have `python -m sigjepa.prepare repair=true` set it aside; the "
                    "others stay judged, and a pair without a line is judged again.",
                    partial(keep_sound_lines, path),
                ) from None
            if heads is None or _head_of(pair) in heads:
                yield pair, judgement


HEAD_END = b'], "judge": '
"""What ends the pair of a line; within a string its quotation mark would stand behind a backslash."""


def _head_of(pair: Pair) -> bytes:
    return json.dumps({"pair": list(pair)})[:-2].encode()


def _has_score(path: Path) -> bool:
    with path.open("rb") as stream:
        return any(b'"score_c": null' not in line for line in stream)


def _parsed(text: bytes) -> tuple[Pair, Judgement]:
    """Return the answer on a line; raises LineError for a line that is not as it was written."""
    content = json_object(text)
    line = validate(Line, content)
    if content.get(CHECKSUM) != checksum_of(content):
        raise LineError("altered after it was written: its checksum differs")
    return (line.pair[0], line.pair[1]), Judgement(line.score_c, line.reason, line.details)


def keep_sound_lines(path: Path) -> None:
    """Move the broken lines of a ledger to `<name>.damaged`, which may hold answers that were paid for."""
    sound: list[bytes] = []
    broken: list[bytes] = []
    for line in filter(None, path.read_bytes().split(b"\n")):
        try:
            _parsed(line)
            sound.append(line)
        except LineError:
            broken.append(line)
    with path.with_name(f"{path.name}.damaged").open("ab") as stream:
        stream.write(b"".join(line + b"\n" for line in broken))
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"".join(line + b"\n" for line in sound))
