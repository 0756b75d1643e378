"""Judging as a stage: every mined pair with the score that a judge gave it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from sigjepa.negatives.judging.answers import ANSWERS, AnswersStage, answer_table, judged_tables, unusable
from sigjepa.negatives.judging.judged_functions import JudgedFunctionsStage, MappedTables, functions_of
from sigjepa.negatives.judging.judged_pairs import SCHEMA, JudgedPairs, write_tables
from sigjepa.negatives.judging.judges.judge import Judge
from sigjepa.negatives.judging.questions import ids_of, questions_of
from sigjepa.negatives.judging.response_cache import held_ledgers, slug
from sigjepa.negatives.judging.runner import check_scores, plan, reasons
from sigjepa.negatives.mining.pairs import Pairs
from sigjepa.negatives.mining.vectors import Ids
from sigjepa.store.manifest import Manifest, Reference
from sigjepa.store.stage import Get, Part, Stage

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus

FORMAT = 3  # raise it when the same inputs give other pairs or another file
FILE_NAME = "judged_pairs.parquet"


@dataclass(frozen=True)
class JudgedPairsStage(Stage[JudgedPairs]):
    """Score mined pairs.

    mined: opened from the store. data_dir: where the judge's ledgers are kept, which outlive the artifact.
    """

    mined: Pairs
    judge: Judge
    corpus: "Corpus"
    data_dir: Path

    kind: ClassVar[str] = "judged"

    @property
    def label(self) -> str:
        """The name of the judge."""
        return slug(self.judge.name)

    @property
    def packages(self) -> Sequence[str]:  # type: ignore[override]
        """The packages that the judge's scores may depend on."""
        return self.judge.packages

    @property
    def _mined(self) -> Manifest:
        assert self.mined.manifest is not None, "mined pairs come from the store"
        return self.mined.manifest

    def inputs(self) -> dict[str, Any]:
        """Return all that the scores depend on."""
        return {
            "format": FORMAT,
            "mined": dict(self._mined.inputs),
            "judge": self.judge.fingerprint(),
            "limit": self.judge.limit,
            "parse_error_retries": self.judge.parse_error_retries,
        }

    def upstream(self) -> Mapping[str, Reference]:
        """Return the mined pairs and the corpus."""
        return {"mined": self._mined.reference, "corpus": self.corpus.reference}

    def with_steps(self, get: Get) -> "ScoredPairsStage":
        """Return the stage that gives each pair the answer to its question, when all are answered.

        Raises SigjepaError for a judge that breaks its contract, can't go on or gives no score at all, and for a
        damaged ledger.
        """
        questions, question_of = questions_of(self.mined)
        answers: MappedTables | None = None
        answer_of = np.full(len(questions), -1)
        counts = {"parse_errors": 0, "not_asked": 0, "questions": len(questions), "unusable": ""}
        if len(questions):
            functions = get(JudgedFunctionsStage(self.corpus, self.judge, ids_of(questions), self.upstream()))
            with held_ledgers(self.data_dir, self.judge) as known:
                within = plan(self.judge, questions, functions.table, known)
                asked = questions.take(within)
                answers = get(AnswersStage(asked, functions, self.judge, self.data_dir, self.upstream()))
            answer_of[within] = np.arange(len(within))
            counts = counted(self.judge, len(questions), len(within), **answers.manifest.facts)
        return ScoredPairsStage(**vars(self), answers=answers, answer_of=answer_of[question_of], counts=counts)

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Not called: `with_steps` gives the stage that builds."""
        raise NotImplementedError

    def open(self, manifest: Manifest) -> JudgedPairs:
        """Return the judged pairs."""
        return JudgedPairs.read(manifest.folder / FILE_NAME, manifest.facts["metadata"]["judge"], manifest)


@dataclass(frozen=True)
class ScoredPairsStage(JudgedPairsStage):
    """Write the pairs whose question has an answer with a score. answer_of: `[P]` of each pair, -1 for none."""

    answers: MappedTables | None = field(kw_only=True)
    answer_of: Ids = field(kw_only=True)
    counts: Mapping[str, Any] = field(kw_only=True)

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write the pairs block by block; the facts say where they are from and what has no score."""
        answers = ANSWERS.empty_table() if self.answers is None else self.answers.table
        pairs = write_tables(judged_tables(self.mined, self.answer_of, answers), out / FILE_NAME)
        highest = {"highest_cosim": self.mined.highest_cosim}
        metadata = {"judge": self.judge.name, **self._mined.facts["metadata"], **highest, **self.counts}
        return {"pairs": pairs, "metadata": metadata}


def judge_pairs(pairs: Pairs, judge: Judge, corpus: "Corpus", data_dir: Path) -> tuple[JudgedPairs, dict[str, Any]]:
    """Return `pairs` with the scores of `judge`, and how many of the questions have none and why, in this process.

    Answers are asked for, or found in its ledgers below `data_dir`. A pair without a score, be it a parse error or
    beyond `negatives.judge.limit`, is left out. Raises SigjepaError as `JudgedPairsStage`.
    """
    questions, question_of = questions_of(pairs)
    functions = functions_of(corpus, ids_of(questions), judge.features)
    with held_ledgers(data_dir, judge) as known:
        within = plan(judge, questions, functions, known)
        answers = answer_table(questions.take(within), functions, judge, data_dir)
    answer_of = np.full(len(questions), -1)
    answer_of[within] = np.arange(len(within))
    scored = len(answers) - answers["score_c"].null_count
    counts = counted(judge, len(questions), len(within), unusable(answers), scored)
    tables = [SCHEMA.empty_table(), *judged_tables(pairs, answer_of[question_of], answers)]
    return JudgedPairs.of(pa.concat_tables(tables), judge.name), counts


def counted(judge: Judge, questions: int, asked: int, unusable: Mapping[str, int], scored: int) -> dict[str, Any]:
    """Return how many questions have no answer or none with a score, and why; see `check_scores` for what is raised."""
    check_scores(judge, questions, unusable, scored)
    return {
        "parse_errors": sum(unusable.values()),
        "not_asked": questions - asked,
        "questions": questions,
        "unusable": reasons(unusable),
    }
