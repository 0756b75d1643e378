"""A step of judging: the answers to questions, in parts that any worker asks."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from sigjepa.negatives.judging.judged_functions import MappedTables, write_mapped
from sigjepa.negatives.judging.judged_pairs import SCHEMA
from sigjepa.negatives.judging.judges.judge import Judge, Judgement
from sigjepa.negatives.judging.questions import requests_for, values_at
from sigjepa.negatives.judging.response_cache import responses_folder
from sigjepa.negatives.judging.runner import answers_to
from sigjepa.negatives.mining.pairs import Pairs
from sigjepa.negatives.mining.vectors import Ids
from sigjepa.store.manifest import Manifest, Reference
from sigjepa.store.stage import Part, Resource, Step, row_parts

QUESTIONS_PER_PART = 1 << 14
"""Some 100 MB of texts."""
ROWS_AT_ONCE = 1 << 17
ANSWERS = pa.schema({"score_c": pa.int8(), "reason": pa.string()})
"""The score is null where an answer holds none."""


@dataclass(frozen=True)
class AnswersStage(Step[MappedTables]):
    """Ask a judge questions; each part is given its own."""

    questions: Pairs
    functions: MappedTables
    judge: Judge
    data_dir: Path
    judged_from: Mapping[str, Reference]

    kind: ClassVar[str] = "answers"
    unit: ClassVar[str] = "question"

    @property
    def packages(self) -> Sequence[str]:  # type: ignore[override]
        """The packages that the judge's scores may depend on."""
        return self.judge.packages

    @property
    def uses(self) -> Resource:
        """The resource that the judge keeps busy."""
        return self.judge.uses

    def upstream(self) -> Mapping[str, Reference]:
        """Return what the judged pairs are built from: an unfinished step of other pairs is begun anew."""
        return {**self.judged_from, "functions": self.functions.reference}

    def caches(self) -> Sequence[Path]:
        """Return the folder of the ledgers."""
        return (responses_folder(self.data_dir),)

    def parts(self) -> Sequence[Part]:
        """Return the ranges of questions."""
        ranges = row_parts(len(self.questions), QUESTIONS_PER_PART, "answers")
        return [replace(part, work=self.questions.take(np.arange(part.start, part.stop))) for part in ranges]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"questions": None}  # a part has its own

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Ask what no ledger answers, and write the answers in order; the facts are counts.

        Raises SigjepaError for a judge that breaks its contract or can't go on.
        """
        requests = list(requests_for(part.work, self.functions.table))
        answers = answers_to(self.judge, requests, self.data_dir)
        given = [answers[request.pair] for request in requests]
        write_mapped(answer_table(given), out / f"{part.name}.arrow")
        lost = Counter(answer.reason for answer in given if answer.score_c is None)
        return {"unusable": lost, "scored": len(given) - lost.total()}

    def facts(self, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Return how many questions got a score, and the reasons of the others with their numbers."""
        counts = sum((Counter(part["unusable"]) for part in parts), Counter[str]())
        return {"unusable": dict(counts), "scored": sum(part["scored"] for part in parts)}

    def open(self, manifest: Manifest) -> MappedTables:
        """Return the answers."""
        return MappedTables(manifest)


def answer_table(answers: Iterable[Judgement]) -> pa.Table:
    """Return answers as a table, in their order."""
    columns = tuple(zip(*((answer.score_c, answer.reason) for answer in answers), strict=True)) or ((), ())
    return pa.table(columns, ANSWERS)


def judged_tables(pairs: Pairs, answer_of: Ids, answers: pa.Table) -> Iterator[pa.Table]:
    """Yield the pairs that have a score, in order and in blocks; answer_of: `[P]` their answers, -1 for none."""
    scores = answers["score_c"].fill_null(-1).to_numpy()
    for start in range(0, len(pairs), ROWS_AT_ONCE):
        here = answer_of[start : start + ROWS_AT_ONCE]
        kept = np.flatnonzero(here >= 0)
        kept = kept[scores[here[kept]] >= 0]
        found = here[kept]
        columns = (*pairs.take(start + kept).columns, scores[found], values_at(answers["reason"], found))
        yield pa.table(columns, schema=SCHEMA)
