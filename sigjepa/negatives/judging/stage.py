"""Judging as a stage: every mined pair with the score that a judge gave it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from sigjepa.negatives.judging.answers import AnswersStage, answer_table, judged_tables
from sigjepa.negatives.judging.judged_functions import JudgedFunctionsStage, MappedTables
from sigjepa.negatives.judging.judged_pairs import SCHEMA, JudgedPairs, write_tables
from sigjepa.negatives.judging.judges.judge import Judge, Judgement
from sigjepa.negatives.judging.questions import functions_of, ids_of, question_hashes, questions_of, requests_for
from sigjepa.negatives.judging.response_cache import held_ledgers, slug
from sigjepa.negatives.judging.runner import ask, check_scores, plan, reasons
from sigjepa.negatives.mining.pairs import Pairs
from sigjepa.negatives.mining.vectors import Ids
from sigjepa.store.manifest import Manifest, Reference
from sigjepa.store.stage import Get, Part, Stage

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus

FORMAT = 3  # raise it when the same inputs give other pairs or another file
FILE_NAME = "judged_pairs.parquet"
NOT_ASKED = Judgement(None, "")
NO_QUESTIONS = {"parse_errors": 0, "not_asked": 0, "questions": 0, "unusable": ""}


@dataclass(frozen=True)
class JudgedPairsStage(Stage[JudgedPairs]):
    """Score mined pairs.

    mined: opened from the store. data_dir: where the judge's ledgers are kept, which outlive the artifact. answers: to
    the questions that were asked; answer_of: `[P]` which of them each pair has, -1 for none; counts: of questions. They
    are in the stage that builds.
    """

    mined: Pairs
    judge: Judge
    corpus: "Corpus"
    data_dir: Path
    answers: MappedTables | None = field(default=None, repr=False, compare=False)
    answer_of: Ids = field(default_factory=lambda: np.zeros(0, np.int64), repr=False, compare=False)
    counts: Mapping[str, Any] = field(default_factory=NO_QUESTIONS.copy, repr=False, compare=False)

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

    def with_steps(self, get: Get) -> "JudgedPairsStage":
        """Return the stage with the answers to the questions.

        Raises SigjepaError for a judge that breaks its contract, can't go on or gives no score at all, and for a
        damaged ledger.
        """
        questions, question_of = questions_of(self.mined)
        if not len(questions):
            return self
        functions = get(JudgedFunctionsStage(self.corpus, self.judge, ids_of(questions), self.upstream()))
        with held_ledgers(self.data_dir, self.judge) as known:
            within = np.arange(len(questions))
            if self.judge.limit is not None or self.judge.keeps_answers:
                hashes = question_hashes(questions, functions.table)
                within = plan(
                    self.judge,
                    hashes,
                    known,
                    lambda rows: requests_for(questions.take(rows), functions.table),
                )
            asked = questions.take(within)
            answers = get(AnswersStage(asked, functions, self.judge, self.data_dir, self.upstream()))
        answer_of = np.full(len(questions), -1)
        answer_of[within] = np.arange(len(within))
        counts = counted(self.judge, len(questions), len(within), **answers.manifest.facts)
        return replace(self, answers=answers, answer_of=answer_of[question_of], counts=counts)

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write the pairs whose answer has a score; the facts say where they are from and what has none."""
        if len(self.mined) and self.answers is None:
            raise NotImplementedError("with_steps gives the stage that builds")
        tables = () if self.answers is None else judged_tables(self.mined, self.answer_of, self.answers.table)
        pairs = write_tables(tables, out / FILE_NAME)
        highest = {"highest_cosim": self.mined.highest_cosim}
        metadata = {"judge": self.judge.name, **self._mined.facts["metadata"], **highest, **self.counts}
        return {"pairs": pairs, "metadata": metadata}

    def open(self, manifest: Manifest) -> JudgedPairs:
        """Return the judged pairs."""
        return JudgedPairs.read(manifest.folder / FILE_NAME, manifest.facts["metadata"]["judge"], manifest)


def judge_pairs(pairs: Pairs, judge: Judge, corpus: "Corpus", data_dir: Path) -> tuple[JudgedPairs, dict[str, Any]]:
    """Return `pairs` with the scores of `judge`, and how many of the questions have none and why, in this process.

    Answers are asked for, or found in its ledgers below `data_dir`. A pair without a score, be it a parse error or
    beyond `negatives.judge.limit`, is left out. Raises SigjepaError as `JudgedPairsStage`.
    """
    questions, question_of = questions_of(pairs)
    requests = list(requests_for(questions, functions_of(corpus, ids_of(questions), judge.features)))
    answers = ask(judge, requests, data_dir)
    given = answer_table(answers.get(request.pair, NOT_ASKED) for request in requests)
    lost = Counter(answer.reason for answer in answers.values() if answer.score_c is None)
    counts = counted(judge, len(questions), len(answers), lost, len(answers) - lost.total())
    tables = [SCHEMA.empty_table(), *judged_tables(pairs, question_of, given)]
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
