"""The ledger of a judge: every answer it ever gave, one line a pair, appended as it comes and never asked for twice.

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
from typing import Any, BinaryIO

from sigjepa.errors import DamagedError
from sigjepa.negatives.judging.judges.judge import SCORES, Judge, Judgement, Pair
from sigjepa.store.artifacts import SEAL, artifact_lock, atomic_path, content_key, seal_of, write_json

LONGEST_SLUG = 60  # a model's name may be a path
SYNC_SECONDS = 1.0  # at most this much work is lost when the machine, not the process, dies


def ledger_path(data_dir: Path, judge: Judge) -> Path:
    """Where the answers of `judge` are kept: one file for all that is judged under one fingerprint."""
    return Path(data_dir) / "judgements" / f"{slug(judge.name)}-{content_key(judge.fingerprint())}.jsonl"


def slug(name: str) -> str:
    """A judge's name as part of a file's."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:LONGEST_SLUG].strip("-")


class Ledger:
    """Answers of one judge under one fingerprint; made by `open_ledger`, which holds its lock."""

    def __init__(self, path: Path, stream: BinaryIO, judge: Judge) -> None:
        fingerprint = judge.fingerprint()
        self.path = path
        self._stream = stream
        self._head = {
            "judge": judge.name,
            "model": fingerprint.get("model"),
            "prompt_version": fingerprint.get("prompt_version"),
        }
        self._synced = time.monotonic()
        self._answers = _read(path, stream)

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, pair: Pair, retries: int = 0) -> Judgement | None:
        """The answer to `pair`, or None when it is to be asked.

        The first answer with a score counts; one without counts when it was given more than `retries` times.
        """
        answers = self._answers.get(pair, ())[: retries + 1]
        for answer in answers:
            if answer.score_c is not None:
                return answer
        return answers[-1] if len(answers) > retries else None

    def append(self, pair: Pair, judgement: Judgement) -> None:
        """Record one answer: it survives whatever happens to this process from here on."""
        line = {
            "pair": pair,
            **self._head,
            "score_c": judgement.score_c,
            "reason": judgement.reason,
            "details": dict(judgement.details),
        }
        sealed = line | {SEAL: seal_of(line)}
        self._stream.write(json.dumps(sealed).encode() + b"\n")  # unbuffered: one write
        self._answers[pair] = (*self._answers.get(pair, ()), judgement)
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Have the operating system put on disk what was appended."""
        os.fsync(self._stream.fileno())
        self._synced = time.monotonic()


@contextmanager
def open_ledger(data_dir: Path, judge: Judge) -> Iterator[Ledger]:
    """The ledger of `judge`, held by this process alone: another one waits, and then finds the answers.

    Raises SigjepaError naming file and line for one that is broken; half a line at the end is cut off.
    """
    path = ledger_path(data_dir, judge)
    with artifact_lock(path):
        write_json(path.with_suffix(".fingerprint.json"), judge.fingerprint())
        with path.open("ab+", buffering=0) as stream:
            ledger = Ledger(path, stream, judge)
            try:
                yield ledger
            finally:
                ledger.sync()


def _read(path: Path, stream: Any) -> dict[Pair, tuple[Judgement, ...]]:
    """All answers; leaves the file ending in a whole line."""
    stream.seek(0)
    *lines, torn = stream.read().split(b"\n")
    answers: dict[Pair, tuple[Judgement, ...]] = {}
    for number, line in enumerate(lines, start=1):
        pair, judgement, problem = _parse(line)
        if problem:
            raise DamagedError(
                f"{path}:{number}: {problem}. Repair or remove that line, or have `python -m sigjepa.prepare "
                "repair=true` set it aside; the others stay judged, and a pair without a line is judged again.",
                partial(keep_sound_lines, path),
            )
        answers[pair] = (*answers.get(pair, ()), judgement)
    if torn:
        pair, judgement, problem = _parse(torn)
        if problem:
            stream.truncate(sum(len(line) + 1 for line in lines))
        else:  # only the end of the line is missing
            stream.write(b"\n")
            answers[pair] = (*answers.get(pair, ()), judgement)
    return answers


def keep_sound_lines(path: Path) -> None:
    """Move the broken lines of a ledger to `<name>.damaged`, which may hold answers that were paid for."""
    lines = path.read_bytes().split(b"\n")
    broken = [line for line in lines if line and _parse(line)[2]]
    with path.with_name(f"{path.name}.damaged").open("ab") as stream:
        stream.write(b"".join(line + b"\n" for line in broken))
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"".join(line + b"\n" for line in lines if line and line not in broken))


def _parse(line: bytes) -> tuple[Pair, Judgement, str]:
    """Pair and answer on a line, and what is wrong with it, which is empty when nothing is."""
    nothing = ("", ""), Judgement(None, "")
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        return *nothing, f"not valid JSON ({error})"
    if not isinstance(entry, dict) or not {"pair", "score_c", "reason", "details"} <= entry.keys():
        return *nothing, "not an object with pair, score_c, reason and details"
    pair, score, reason, details = (entry[key] for key in ("pair", "score_c", "reason", "details"))
    if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(key, str) for key in pair)):
        return *nothing, f"pair {pair!r} is not two content keys"
    if score is not None and (type(score) is not int or score not in SCORES):
        return *nothing, f"score_c {score!r} is not one of 0, 1, 2, 3 or null"
    if not isinstance(reason, str) or not isinstance(details, dict):
        return *nothing, "reason must be a text and details an object"
    altered = SEAL in entry and entry[SEAL] != seal_of(entry)  # lines of before seals have none
    problem = "altered after it was written: its seal is broken" if altered else ""
    return (pair[0], pair[1]), Judgement(score, reason, details), problem
